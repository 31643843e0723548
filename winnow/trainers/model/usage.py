"""What a run made of each document: how much of it was trained on, and with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.trainers.data.batches import Batch, Batches

TOKENS, WEIGHT = "trained_tokens", "weight_used"  # columns of a run's feedback
PASSED = "tokens_of_pass"  # and the predicted tokens of one pass over the document, by which uses are counted
Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class Usage:
    """Sums per document of the selection, f64[documents]: tokens that a loss was taken of, and their weights."""

    tokens: Floats
    weights: Floats

    @classmethod
    def of(cls, documents: int) -> Usage:
        """Nothing yet."""
        return cls(tokens=np.zeros(documents), weights=np.zeros(documents))

    def add(self, rows: Batch, weights: npt.NDArray[np.float32]) -> None:
        """One step: `rows` of the whole step, and what each token's loss was multiplied by, f32[B, T].

        Tokens behind the budget and fill have no weight of their own, and are not trained on.
        """
        used = rows.weights > 0
        found, size = rows.documents[used], len(self.tokens)
        self.tokens += np.bincount(found, minlength=size)
        self.weights += np.bincount(found, weights=weights[used].astype(np.float64), minlength=size)

    def columns(self) -> dict[str, Floats]:
        """`trained_tokens`, and `weight_used`: the mean weight of those tokens, NaN where there were none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self.tokens > 0, self.weights / self.tokens, np.nan)
        return {TOKENS: self.tokens.copy(), WEIGHT: mean}

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        import torch

        return {TOKENS: torch.from_numpy(self.tokens.copy()), WEIGHT: torch.from_numpy(self.weights.copy())}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Go on from `tensors`.

        Raises:
            DataError: they are of a run that kept none.
        """
        if TOKENS not in tensors:
            raise DataError("the checkpoint does not say what was trained on", where="checkpoint",
                            hint="another version made it: train from the start in another folder")  # fmt: skip
        self.tokens, self.weights = tensors[TOKENS].numpy().copy(), tensors[WEIGHT].numpy().copy()


def usage_of(batches: Batches, documents: int) -> Usage:
    """What a run makes of its documents whose weights are those of the batches: no policy weighs them.

    Cost: opens every batch once more; nothing is computed with them.
    """
    out = Usage.of(documents)
    for step in range(batches.num_steps):
        rows = batches.batch(step)
        out.add(rows, rows.weights)
    return out
