"""All documents whose score lies within bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.effect import ReadAt, given
from winnow.selectors.score.ranking import EVERYTHING, Ranked, check_by, lots


@dataclass(frozen=True, kw_only=True)
class Threshold(Ranked):
    """The documents whose score lies within bounds: `kept`, and `weight` 1 or 0.

    `at_least` and `at_most` include their bound; both together are a range. `outside: true` keeps the
    complement instead: the same cut in the other direction, so that the two never share a document and leave none
    out but those without a score. With a `budget` the documents are drawn by lot from those that pass, as
    `random` would: arms of equal tokens on either side of a cut. Null and NaN pass in neither direction;
    `excluded` counts them, and `infinite_scores` those that are infinite, which pass like other numbers.

    Cost: one pass over the score; with a budget as `random`.
    Source: own; both directions as in A Pretrainer's Guide (Longpre et al. 2023).
    """

    name: ClassVar[str] = "threshold"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)
    read_at: ClassVar[ReadAt] = {"salt": ("budget", given)}

    by: str
    at_least: float | None = None
    at_most: float | None = None
    outside: bool = False
    budget: Budget | None = None
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score and what the budget counts."""
        return columns_of(self.by, *(selections.cost_columns(self.budget.unit) if self.budget else ()))

    def validate(self) -> None:
        """Raise ConfigError for no bound, a bound that is NaN, an empty range, or a budget in epochs."""
        check_by(self.by)
        bounds = [b for b in (self.at_least, self.at_most) if b is not None]
        if not bounds or any(math.isnan(b) for b in bounds):
            raise ConfigError("no bound", where="at_least", hint="give `at_least:`, `at_most:` or both")
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            raise ConfigError(f"nothing lies between {bounds[0]:g} and {bounds[1]:g}", where="at_most")
        if self.budget is not None:
            selections.check_budget(self.budget)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """Lots of those that pass."""
        values = rows[self.by]
        if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
            raise DataError(f"{self.by!r} is {values.dtype}, which has no threshold", hint="choose a number")
        score = values.cast(pl.Float64).to_numpy()
        within = np.ones(rows.height, dtype=np.bool_)
        if self.at_least is not None:
            within &= score >= self.at_least
        if self.at_most is not None:
            within &= score <= self.at_most
        real = ~np.isnan(score)
        reason = np.where(real, UNRANKED, NO_SCORE)
        eligible = real & (within != self.outside)
        cost = selections.cost_of(rows, self.budget.unit) if self.budget else None
        why, infinite = reason.astype(np.uint8), int(np.isinf(score).sum())
        return lots(rows, ctx, self.salt, cost=cost, eligible=eligible, reason=why, infinite=infinite)

    def targets(self) -> Budget | Targets:
        """The budget; all that pass without one."""
        return self.budget or EVERYTHING
