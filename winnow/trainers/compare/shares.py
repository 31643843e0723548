"""Share of the reference's gain: how far an arm goes from random towards an arm that knows the target.

Both gains are paired differences to the same baseline, seed by seed, so they are correlated; their ratio gets
Fieller's interval, which keeps its level where the interval of a ratio by the delta method does not (a reference
gain that is small against its noise). Where the reference's own gain cannot be told from zero there is no ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.compare.intervals import ALPHA

Floats = npt.NDArray[np.float64]
NO_GAIN = "the reference's own gain cannot be told from zero: there is no share of it"


@dataclass(frozen=True, kw_only=True)
class Share:
    """Ratio of two mean gains with its interval; all None where the denominator cannot be told from zero."""

    share: float | None
    low: float | None
    high: float | None
    n: int


def share_of_gain(arm: Sequence[float], reference: Sequence[float], *, alpha: float = ALPHA) -> Share:
    """Share of the reference's gain that an arm reaches, from differences to the baseline per seed.

    1 is as good as the reference, 0 as good as the baseline, below 0 worse than it.
    """
    n = len(arm)
    if n < 2:
        return Share(share=None, low=None, high=None, n=n)
    ratio, low, high = fieller(np.asarray([arm], dtype=float), np.asarray([reference], dtype=float), alpha=alpha)
    if np.isnan(low[0]):
        return Share(share=None, low=None, high=None, n=n)
    return Share(share=float(ratio[0]), low=float(low[0]), high=float(high[0]), n=n)


def fieller(top: Floats, bottom: Floats, *, alpha: float = ALPHA) -> tuple[Floats, Floats, Floats]:
    """(ratio of means, low, high) of every row of paired samples f64[rows, n]; NaN bounds where unbounded.

    Source: Fieller 1954; the set of ratios r for which the mean of top - r x bottom is not off zero
    """
    from scipy import special

    n = top.shape[1]
    a, b = top.mean(axis=1), bottom.mean(axis=1)
    u, v = top - a[:, None], bottom - b[:, None]
    scale = special.stdtrit(n - 1, 1 - alpha / 2) ** 2 / (n * (n - 1))
    va, vb, vab = ((x * y).sum(axis=1) * scale for x, y in ((u, u), (v, v), (u, v)))
    lead = b * b - vb  # above zero where the denominator is off zero at this level
    middle = a * b - vab
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(middle * middle - lead * (a * a - va), 0.0))
        low, high = (np.where(lead > 0, (middle + sign * root) / lead, np.nan) for sign in (-1, 1))
        return a / b, low, high


def share_row(arm: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    """The fields of one share in the metrics."""
    found = share_of_gain(arm, reference)
    note = NO_GAIN if found.share is None and found.n > 1 else None
    return {"share": found.share, "low": found.low, "high": found.high, "n": found.n, "note": note}
