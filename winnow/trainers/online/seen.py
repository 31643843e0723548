"""What a policy sees of a step: the losses of all of it, token by token and document by document.

A sample is a document's piece in a row: packed rows hold several, and a policy that weighs rows would weigh mixtures.

Shape suffixes: B rows of the whole step (all passes, all ranks), T context, S samples of the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from winnow.core.words.distinct import distinct
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.told import Told

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Per = Literal["token", "sample"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A step before its gradients. `nats` f32[B, T] is the loss of every target, fill included."""

    step: int  # counted from 0
    rows: Batch  # of the whole step
    nats: npt.NDArray[np.float32]
    told: Told  # what was known before the first step
    measured: npt.NDArray[np.float32] | None = None  # f32[B, T]: what `Acting.measured` made of the hidden states

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.told.steps

    @cached_property
    def sample(self) -> Ints:
        """Number of the sample of each token, i64[B, T], counted along the rows; -1 where a token has no weight."""
        rows, used = self.rows, self.rows.weights > 0
        fresh = np.ones(rows.segments.shape, dtype=bool)
        fresh[:, 1:] = (rows.segments[:, 1:] != rows.segments[:, :-1]) | (
            rows.documents[:, 1:] != rows.documents[:, :-1]
        )
        piece = np.cumsum(fresh.ravel()) - 1
        kept = distinct(piece[used.ravel()])
        number = np.full(int(piece[-1]) + 1 if len(piece) else 0, -1, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        return np.where(used, number[piece].reshape(used.shape), -1)

    @cached_property
    def tokens(self) -> Ints:
        """Weighed tokens of every sample, i64[S]."""
        found = self.sample[self.sample >= 0]
        return np.bincount(found, minlength=int(found.max(initial=-1)) + 1).astype(np.int64)

    @cached_property
    def loss(self) -> Floats:
        """Mean nats per token of every sample, f64[S]."""
        return self.mean_of(self.nats)

    @cached_property
    def documents(self) -> Ints:
        """Number of every sample's document in the selection, i64[S]."""
        out = np.zeros(len(self.tokens), dtype=np.int64)
        at = self.sample >= 0
        out[self.sample[at]] = self.rows.documents[at]
        return out

    def mean_of(self, values: npt.NDArray[np.floating]) -> Floats:
        """Mean over each sample's tokens of a value per token [B, T], f64[S]."""
        at = self.sample >= 0
        sums = np.bincount(self.sample[at], weights=values[at].astype(np.float64), minlength=len(self.tokens))
        return np.asarray(sums / self.tokens)

    def column(self, name: str) -> Floats:
        """A column's value of every sample's document, f64[S]; NaN where it has none."""
        return np.asarray(self.told.column(name)[self.documents], dtype=np.float64)

    def spread(self, weights: Floats, *, per: Per = "token") -> npt.NDArray[np.float32]:
        """Weights of samples f64[S] as weights of tokens f32[B, T], scaled to the sum of `rows.weights`.

        `per: token` multiplies each token's own weight, so a long document counts as its tokens do; `sample` makes
        every sample of weight 1 count alike. Equal weights with `token` give `rows.weights` to the bit.
        """
        own = self.rows.weights
        if per == "token" and len(weights) and (weights == weights[0]).all() and weights[0] > 0:
            return own
        each = np.asarray(weights, dtype=np.float64) / (self.tokens if per == "sample" else 1)
        token = np.where(self.sample >= 0, each[np.maximum(self.sample, 0)] if len(each) else 0.0, 0.0) * own
        total = token.sum()
        return (
            (token * (own.sum(dtype=np.float64) / total)).astype(np.float32) if total > 0 else token.astype(np.float32)
        )
