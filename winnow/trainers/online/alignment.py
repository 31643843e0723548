"""Alignments of samples with a feedback set: measured at some steps, kept a while, made comparable.

An alignment is <v, gradient of a sample's mean loss>, v the unit direction of the feedback's gradient: noisy, as two
gradients of a language model are nearly orthogonal, so a designer learns from those of many looks. They shrink as a
model learns, so those of a look are taken relative to the mean and the deviation of the last few dozen samples; and
short samples have larger gradients, so what log(tokens) explains is taken off.

Shape suffixes: S samples, F features, M samples in memory, R rows, T context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.words.distinct import distinct
from winnow.trainers.data.batches import Batch

Floats = npt.NDArray[np.float64]
KEEP = 0.9  # of running means that are told, at every look
HALF_LIFE = 16  # samples after which an alignment counts half in the running mean and mean square
NGRAM = 8  # tokens of a phrase, for the overlap with the feedback
STEPS = tuple(0.5**k for k in range(10))  # of a finite difference, tried from the largest


@dataclass(kw_only=True)
class Memory:
    """The latest samples: features, log(tokens) and alignment of each, f64[M, F + 2], at most `capacity`."""

    features: int
    capacity: int
    mean: float = 0.0  # running mean of the alignments
    square: float = 0.0  # and of their squares
    looks: int = 0
    kept: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, x_SF: Floats, tokens_S: npt.NDArray[np.int64], alignment_S: Floats) -> int:
        """Take in a look; returns how many of its samples were no numbers, and were left out."""
        good = np.isfinite(alignment_S) & np.isfinite(x_SF).all(axis=1)
        if good.any():
            keep = 0.5 ** (int(good.sum()) / HALF_LIFE) if self.looks else 0.0
            self.mean = keep * self.mean + (1 - keep) * float(alignment_S[good].mean())
            self.square = keep * self.square + (1 - keep) * float((alignment_S[good] ** 2).mean())
            self.looks += 1
            scaled = self._relative(alignment_S[good])
            fresh = np.column_stack((x_SF[good], np.log(tokens_S[good]), scaled))
            before = self.kept if len(self.kept) else np.zeros((0, fresh.shape[1]))
            self.kept = np.concatenate((before, fresh))[-self.capacity :]
        return int((~good).sum())

    def learned(self) -> tuple[Floats, Floats]:
        """(features f64[M, F], alignments f64[M] of mean 0 and deviation 1, without what length explains)."""
        if not len(self.kept):
            return np.zeros((0, self.features)), np.zeros(0)
        return self.kept[:, :-2], self._standard(self.kept[:, -2], self.kept[:, -1])

    def standard(self, tokens_S: npt.NDArray[np.int64], alignment_S: Floats) -> Floats:
        """Other alignments on the same scale as those of `learned`."""
        return self._standard(np.log(tokens_S), self._relative(alignment_S))

    def _relative(self, alignment_S: Floats) -> Floats:
        variance = self.square - self.mean**2
        if variance <= 1e-12 * self.square:  # one sample so far, or all alike
            return np.zeros(len(alignment_S))
        return np.asarray((alignment_S - self.mean) / variance**0.5)

    def _standard(self, length: Floats, value: Floats) -> Floats:
        known_length, known = self.kept[:, -2], self.kept[:, -1]
        centre, spread = known_length.mean(), float(((known_length - known_length.mean()) ** 2).sum())
        slope = float(((known_length - centre) * known).sum()) / spread if spread > 1e-12 * len(known) else 0.0
        rest = known - slope * (known_length - centre)
        deviation = float(rest.std())
        if deviation <= 1e-9 * max(1.0, float(np.abs(known).max())):
            return np.zeros(len(value))
        return np.asarray((value - slope * (length - centre) - rest.mean()) / deviation)


@dataclass(kw_only=True)
class RunningMeans:
    """A mean per unit (document or group) of what was seen of it: exponential with `keep`, or plain with `keep` 1."""

    total: Floats
    count: npt.NDArray[np.int64]
    keep: float

    @staticmethod
    def of(num_units: int, *, keep: float) -> RunningMeans:
        """Nothing seen yet."""
        return RunningMeans(total=np.zeros(num_units), count=np.zeros(num_units, dtype=np.int64), keep=keep)

    def add(self, units_S: npt.NDArray[np.int64], values_S: Floats) -> None:
        """Take in values; several of one unit count as their mean."""
        good = np.isfinite(values_S) & (units_S >= 0) & (units_S < len(self.total))
        units, at = np.unique(units_S[good], return_inverse=True)
        if not len(units):
            return
        mean = np.bincount(at, weights=values_S[good]) / np.bincount(at)
        seen = self.count[units]
        share = 1.0 / (seen + 1) if self.keep == 1 else np.where(seen == 0, 1.0, 1.0 - self.keep)
        self.total[units] += share * (mean - self.total[units])
        self.count[units] += 1

    def of_units(self, units_S: npt.NDArray[np.int64]) -> Floats:
        """The mean of each, f64[S]; 0 where nothing was seen of it."""
        known = np.maximum(units_S, 0)
        return np.where((units_S >= 0) & (self.count[known] > 0), self.total[known], 0.0)

    def values(self) -> Floats:
        """The mean of every unit, NaN where nothing was seen."""
        return np.where(self.count > 0, self.total, np.nan)


def unit(direction: Mapping[str, Any]) -> dict[str, Any]:
    """The direction with norm 1 over all its tensors; zeros stay zeros."""
    length = norm(direction)
    return {name: tensor / length if length > 0 else tensor for name, tensor in direction.items()}


def norm(direction: Mapping[str, Any]) -> float:
    """Root of the sum of squares over all tensors."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in direction.values()))


def cosine(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Cosine of two directions; NaN where one is zero."""
    product = sum(float((tensor.double() * other[name].double()).sum()) for name, tensor in one.items())
    length = norm(one) * norm(other)
    return product / length if length > 0 else float("nan")


def halved(difference: Callable[[float], Floats]) -> tuple[float, float, int]:
    """(the step of a central difference that agrees best with half of it, relative disagreement, differences taken).

    Too large a step sees curvature, which halving makes four times smaller; too small a one sees rounding, which
    halving doubles. So the disagreement falls and then rises, and the search ends where it has risen twice.
    """
    best, least, worse = STEPS[0], np.inf, 0
    before, taken = difference(STEPS[0]), 1
    for step in STEPS[1:]:
        now = difference(step)
        taken += 1
        size = float(np.sqrt(np.nanmean(now**2))) if np.isfinite(now).any() else 0.0
        apart = float(np.sqrt(np.nanmean((now - before) ** 2))) / size if size > 0 else np.inf
        best, least, worse = (step, apart, 0) if apart < least else (best, least, worse + 1)
        if worse == 2:
            break
        before = now
    return best, least, taken


def phrases(rows: Batch) -> npt.NDArray[np.uint64]:
    """Hash of the `NGRAM` tokens that end at each position, u64[R, T]; 0 where they are not all of one document."""
    out = np.zeros(rows.ids.shape, dtype=np.uint64)
    last = NGRAM - 1
    if rows.ids.shape[1] < NGRAM:
        return out
    count = rows.ids.shape[1] - last
    hashed = np.zeros((len(rows.ids), count), dtype=np.uint64)
    for at in range(NGRAM):
        hashed = (
            hashed * np.uint64(0x9E3779B97F4A7C15) + rows.targets[:, at : at + count].astype(np.uint64) + np.uint64(1)
        )
        hashed ^= hashed >> np.uint64(29)
    same = rows.segments[:, :count] == rows.segments[:, last:]
    same &= (rows.documents[:, :count] == rows.documents[:, last:]) & (rows.weights[:, last:] > 0)
    out[:, last:] = np.where(same, hashed | np.uint64(1), np.uint64(0))
    return out


def known_phrases(texts: list[Batch]) -> npt.NDArray[np.uint64]:
    """Hashes of all phrases of some texts, sorted, each once."""
    found = distinct(np.concatenate([distinct(phrases(rows)) for rows in texts]))
    return found[found > 0]


def repeated(rows: Batch, known: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(whether the phrase that ends at a position is a known one, whether one ends there), bool[R, T]."""
    own = phrases(rows)
    if not len(known):
        return np.zeros(own.shape, dtype=bool), own > 0
    at = np.minimum(np.searchsorted(known, own.ravel()), len(known) - 1)
    return (known[at] == own.ravel()).reshape(own.shape) & (own > 0), own > 0
