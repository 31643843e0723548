"""Quantiles of scores weighted by documents, tokens or bytes, exact over all parts, one set per group.

The quantile at a share is the first score, in the order of the ranks, at which the summed weight reaches that
share of the total; rows of equal scores stay together. What is kept is a pure function of score and quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.numerics import budget_cut, numeric
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks


def reaching(shares: Sequence[Fraction]) -> Targets:
    """Targets for `budget_cut.advance(ties="together")`: the cuts' keys are the quantiles at the shares."""

    def targets(totals: Totals) -> dict[Group, list[int]]:
        # The first row that overflows `target - 1` is the first at which the sum reaches `target`.
        return {group: [_ceil(share * cost) - 1 for share in shares] for group, cost in totals.of("cost").items()}

    return targets


def passed(rows: Ranks, state: pl.DataFrame) -> npt.NDArray[np.int64]:
    """How many of its group's quantiles a row's score lies beyond (equal is not beyond); -1 for unranked rows."""
    return budget_cut.tiers(rows, state, ties="together")


def score_at(key: int, *, descending: bool) -> float:
    """The f64 score behind a cut's `low_key`."""
    bits = np.array([key], dtype=np.uint64)
    return float(numeric.unsortable(~bits if descending else bits)[0])


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
