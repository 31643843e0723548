"""How often a document is used: weights that are multiples of 2^-20."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics.budget_cut import outcome

ONE = 1 << 20  # weights are multiples of 1 / ONE


def group_weights(state: pl.DataFrame) -> dict[str | None, float]:
    """Group -> times its kept documents are used: 1, or more where the budget is above all it holds."""
    ends = outcome(state).select("group", "budget", "cost").iter_rows()
    return {group: fixed(Fraction(budget, cost)) if 0 < cost < budget else 1.0 for group, budget, cost in ends}


def fixed(weight: Fraction) -> float:
    """The weight rounded down to a multiple of 2^-20, exact in f64."""
    return int(weight * ONE) / ONE


def check_repeats(times: float) -> None:
    """Raise ConfigError for repeats below 1."""
    if not 1 <= times < 2**20:
        raise ConfigError(f"max_repeats is {times}, and must be 1 or more", where="max_repeats")
