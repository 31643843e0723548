"""Span corruption for decoders: a sequence as what is read of it and what is to be restored, and back.

`input` is the sequence with each noise span replaced by a sentinel; `target` lists each sentinel with its span behind.
Sentinels are numbered in the order of the spans, so both together are the sequence again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from winnow.core.numerics.rng import uniform

Ints = npt.NDArray[np.int64]
Mode = Literal["R", "S", "X"]
MODES: tuple[Mode, ...] = ("R", "S", "X")


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """A share `rate` of the tokens is noise, in spans of `mean` tokens on average; `S`: one span, at the end."""

    mode: Mode
    mean: float
    rate: float

    def counts(self, length: int) -> tuple[int, int]:
        """(noise tokens, spans) of a sequence of at least two tokens: round(length x rate), at least 1 and not all."""
        noise = min(max(round(length * self.rate), 1), length - 1)
        spans = 1 if self.mode == "S" else max(1, round(noise / self.mean))
        return noise, min(spans, noise, length - noise)


MIXTURE = (
    Denoiser(mode="R", mean=3, rate=0.15), Denoiser(mode="R", mean=8, rate=0.15),
    Denoiser(mode="S", mean=0, rate=0.25),
    Denoiser(mode="X", mean=3, rate=0.5), Denoiser(mode="X", mean=8, rate=0.5),
    Denoiser(mode="X", mean=64, rate=0.15), Denoiser(mode="X", mean=64, rate=0.5),
)  # fmt: skip


def noise_mask(length: int, denoiser: Denoiser, *, row: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which tokens are noise, bool[length]; spans alternate with what is kept, which comes first.

    The cuts are drawn by (seed, row): all ways to cut both into so many non-empty pieces are equally likely.
    """
    noise, spans = denoiser.counts(length)
    kept = _pieces(length - noise, spans, row=row, seed=seed, salt="kept")
    gone = _pieces(noise, spans, row=row, seed=seed, salt="noise")
    return np.repeat(np.tile([False, True], spans), np.stack((kept, gone), axis=1).ravel())


def _pieces(total: int, count: int, *, row: int, seed: int, salt: str) -> Ints:
    """`total` as a sum of `count` numbers of at least 1, i64[count]."""
    places = np.stack((np.full(total - 1, row), np.arange(total - 1)), axis=1).astype(np.uint64)
    cuts = np.sort(np.argsort(uniform(places, seed=seed, salt=f"winnow.ul2.{salt}"), kind="stable")[: count - 1]) + 1
    return np.diff(np.concatenate(([0], cuts, [total]))).astype(np.int64)


def corrupted(tokens: Ints, noise: npt.NDArray[np.bool_], first: int) -> tuple[Ints, Ints]:
    """(input, target): sentinels are `first`, `first + 1`, ..."""
    begins = noise & ~np.concatenate(([False], noise[:-1]))
    span = np.cumsum(begins) - 1
    sentinel = first + span
    read = np.where(begins, sentinel, tokens)[~noise | begins]
    starts = np.flatnonzero(begins)
    numbers = np.flatnonzero(noise)
    before = np.searchsorted(numbers, starts)
    return read, np.insert(tokens[noise], before, sentinel[starts])


def restored(read: Ints, target: Ints, first: int, last: int) -> Ints:
    """The sequence of which `corrupted` made both; `last` is the largest sentinel."""
    marks = np.flatnonzero((target >= first) & (target <= last))
    spans = {int(target[at]): target[at + 1 : end] for at, end in zip(marks, [*marks[1:], len(target)], strict=True)}
    pieces = [spans[int(one)] if first <= one <= last else np.array([one]) for one in read]
    return np.concatenate(pieces).astype(np.int64)
