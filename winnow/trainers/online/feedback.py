"""A feedback set while a run looks at it: which of its rows a look takes, and how much of it the run's text repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.core.words.distinct import distinct
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.alignment import NGRAM, known_phrases, repeated


@dataclass(kw_only=True)
class Feedback:
    """All rows of the feedback in a keyed order; a look takes the next `per_look`, round and round."""

    texts: Batch
    per_look: int
    order: npt.NDArray[np.int64]
    known: npt.NDArray[np.uint64]
    sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))

    @staticmethod
    def of(texts: Sequence[Batch], *, per_look: int, seed: int) -> Feedback:
        """Feedback in rows of the run.

        Raises:
            DataError: it is empty.
        """
        rows = [batch for batch in texts if len(batch.ids) and (batch.weights > 0).any()]
        if not rows:
            raise DataError("the feedback holds no token", where="feedback", hint="name texts that are not empty")
        names = [f.name for f in fields(Batch)]
        whole = Batch(**{name: np.concatenate([getattr(batch, name) for batch in rows]) for name in names})
        used = np.flatnonzero((whole.weights > 0).any(axis=1))
        draw = np.random.Generator(np.random.Philox(key=seed))
        return Feedback(texts=whole, per_look=min(per_look, len(used)), order=draw.permutation(used),
                        known=known_phrases([whole]))  # fmt: skip

    def rows(self, look: int) -> Batch:
        """The rows of a look: a function of its number alone."""
        at = self.order[np.arange(look * self.per_look, (look + 1) * self.per_look) % len(self.order)]
        return Batch(**{f.name: getattr(self.texts, f.name)[at] for f in fields(Batch)})

    def examples(self, look: int) -> int:
        """Documents in the rows of a look."""
        rows = self.rows(look)
        return len(distinct(rows.documents[rows.weights > 0]))

    def compare(self, rows: Batch, weights: npt.NDArray[np.float32]) -> None:
        """Count the phrases of a step that the feedback has too: as they come, and as they are weighed."""
        same, any_ = repeated(rows, self.known)
        own, given = rows.weights.astype(np.float64), weights.astype(np.float64)
        self.sums += [(same * own).sum(), (any_ * own).sum(), (same * given).sum(), (any_ * given).sum()]

    def figures(self) -> dict[str, Any]:
        """Shares of the text's phrases that the feedback has too: of all text, and as it was weighed."""
        same, all_, same_weighed, all_weighed = self.sums.tolist()
        return {
            "feedback_rows": len(self.order),
            "phrase_tokens": NGRAM,
            "phrases_shared": same / all_ if all_ else 0.0,
            "phrases_shared_weighed": same_weighed / all_weighed if all_weighed else 0.0,
        }

    def state(self) -> dict[str, Any]:
        """The counts."""
        return {"sums": self.sums.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.sums = np.asarray(state["sums"], dtype=np.float64)
