"""What a run begins from: the weights of a trained model, and the policy that weighs its tokens. Both are identity.

A run that continues takes weights alone: its optimiser is new, and its learning rate warms up and decays as that of
any other run. So it has no seed of its own for the first weights, and what differs between seeds is the order of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import DataError
from winnow.core.operators import Source
from winnow.trainers.data.packing import array_digest
from winnow.trainers.model.shape import Shape

WEIGHTS = "weights.npz"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights on disk (a .npz or .safetensors file, never a pickle), known by their digest."""

    path: Path
    digest: str

    def into(self, model: Any) -> None:
        """Set the weights of a module of the same shape.

        Raises:
            DataError: names or shapes of weights differ; both are said.
        """
        import torch

        arrays = read_weights(self.path)
        wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        found = {name: array.shape for name, array in arrays.items()}
        if wanted != found:
            name = next(n for n in sorted({*wanted, *found}) if wanted.get(n) != found.get(n))
            raise DataError(f"the start's weight {name!r} is {found.get(name)}, the model's {wanted.get(name)}",
                            where=str(self.path), hint="a run continues a model of its own shape")  # fmt: skip
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(torch.from_numpy(arrays[name]))


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Name -> weights f32 of a .npz or .safetensors file.

    Raises:
        DataError: it is neither, or broken.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name], dtype=np.float32) for name in arrays.files}
    except Exception as error:  # whatever the libraries raise on a broken file
        raise DataError(f"these are no weights: {type(error).__name__}: {error}"[:300], where=str(path),
                        hint="a .safetensors file, or a .npz of plain arrays")  from error  # fmt: skip


def weights_digest(weights: Mapping[str, np.ndarray]) -> str:
    """32 hex digits of names, shapes and values, whatever file they lie in."""
    import orjson

    names = sorted(weights)
    head = orjson.dumps([[name, list(weights[name].shape)] for name in names])
    return array_digest(*(weights[name] for name in names), head=head)


def start_of(source: Source, shape: Shape) -> Start:
    """The start that a stage holds, for a run of `shape`.

    Raises:
        DataError: the stage holds no model, or one of another shape; both shapes are said.
    """
    result = source.result()
    path = source.files().get(WEIGHTS)
    if path is None or "shape" not in result:
        why = result.get("failed") or result.get("stopped") or "it has no weights"
        raise DataError(f"the start holds no trained model: {why}", where="start", hint="name a trained model's stage")
    check_shape(Shape(**result["shape"]), shape)
    return Start(path=path, digest=weights_digest(read_weights(path)))


def check_shape(start: Shape, own: Shape) -> None:
    """Check that a run has the shape of its start.

    Raises:
        DataError: it has not; both are said.
    """
    if start != own:
        theirs, wanted = start.beside(own)
        raise DataError(f"the start has {theirs}, and this run {wanted}", where="start",
                        hint="give the stage the size of its start")  # fmt: skip


def tokens_behind(result: Mapping[str, Any]) -> int | None:
    """Tokens that a trained model has read in all, its own starts' included; None where nobody said."""
    before = result.get("start")
    own = result.get("tokens")
    if own is None or (before is not None and before["tokens"] is None):
        return None
    return int(own) + (0 if before is None else int(before["tokens"]))
