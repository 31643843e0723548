"""What a training loop reads: batch k as a pure function of (data, seed, k).

A document of n tokens has n + 1 positions: it is read as [end, t1, ..., tn] and predicts [t1, ..., tn, end], so every
token and the end are predicted exactly once per epoch, the first token from the end mark (as evaluation does).
Inputs and targets are two arrays (not one shifted by a slot), because the target of a piece's last position is
that document's next token, not whatever begins the next piece of the row.

    batches: Batches = PackedBatches(documents, context=128, batch=8, tokens=250_000, seed=0)
    for step in range(start, batches.num_steps):                      # resume: any `start`, no other state
        rows = batches.batch(step, rank=rank, world=world)
        nats = cross_entropy(model(rows.ids, segments=rows.segments), rows.targets)             # [B, T]
        loss = (nats * rows.weights).sum() / batches.step_tokens(step)    # the same number on every rank

Shape suffixes: B rows per step on this rank, T context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One optimiser step's rows. A row holds pieces of documents one after another, filled up at its end.

    `ids`, `targets` i64[B, T]: inputs and what each predicts. `segments` i32[B, T] counts the pieces of a row from
    0, -1 on fill: position i sees position j <= i only where their segments are equal (fill sees fill, so no row of
    the mask is empty); with `concat` packing all real positions are segment 0. `documents` i64[B, T] numbers the
    documents of the selection in ascending doc_id, -1 on fill. `weights` f32[B, T] multiplies the loss of each
    target: 0 on fill and behind the token budget, else the document's weight, scaled so that the mean over all
    tokens of an epoch is 1 (exactly 1 everywhere where documents have no weights). `places` i64[B, T] says which
    token of its document each target is, counted from 0, the end last; left out, every segment begins a document.
    """

    ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    documents: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if self.places is None:
            object.__setattr__(self, "places", self.positions)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """i64[B, T]: 0, 1, 2, ... within every segment, for models that number positions per document."""
        fresh = np.ones(self.segments.shape, dtype=bool)
        fresh[:, 1:] = self.segments[:, 1:] != self.segments[:, :-1]
        column = np.arange(self.segments.shape[1], dtype=np.int64)
        return column - np.maximum.accumulate(np.where(fresh, column, 0), axis=1)


class Batches(Protocol):
    """Training data in training order; opening it at any step costs the same."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps until the token budget is spent; the last one may hold fewer tokens than the others."""

    @property
    def num_tokens(self) -> int:
        """Predicted tokens of all steps: exactly the budget, so equal between arms."""

    @property
    def epochs(self) -> float:
        """`num_tokens` over the tokens of the selection; below 1: not all of it is seen."""

    @property
    def digest(self) -> str:
        """32 hex digits of the plan, everything it was made from, seed, batch and budget; checkpoints carry it."""

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of the whole step on all ranks: what the loss of a rank is divided by."""

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of step `step`'s batch; all ranks together have the same `batch` rows at any world size."""
