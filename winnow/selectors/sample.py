"""Selection by lot: the control every other selection is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core import rng, threshold_fold
from winnow.core.budget import Budget
from winnow.core.operators import Context, Fold, Schema


@dataclass(frozen=True, kw_only=True)
class Random(Fold):
    """Documents drawn by lot up to a budget: `kept`, and `weight` 1 or 0.

    The lot is pure in (doc_id, seed, salt), so that layout and order do not matter, and a smaller budget is
    a subset of a larger one. The lots are kept in order while the summed cost stays within the budget; the
    first document that would overflow ends the draw. Another `salt` or seed is an independent draw.
    Documents without a cost are never kept; they are counted in `excluded`.

    Cost: 2 or 3 passes over doc_id and cost; memory 65,536 bins.
    Source: own (keyed hash as the order of a draw without replacement).
    """

    name: ClassVar[str] = "random"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    budget: Budget
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id and, for tokens and bytes, the cost."""
        return ("doc_id", *threshold_fold.cost_columns(self.budget))

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return threshold_fold.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs."""
        threshold_fold.check_budget(self.budget)

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Counts per bin of the lot, or the few rows at the cut."""
        return threshold_fold.summarise(self._ranks(rows, ctx), state)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return threshold_fold.merge(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """A narrower range, or the cut."""
        return threshold_fold.advance(summary, state, self.budget)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows whose lot comes before the cut."""
        return threshold_fold.decide(self._ranks(rows, ctx), state)

    def _ranks(self, rows: pl.DataFrame, ctx: Context) -> threshold_fold.Ranks:
        lot = rng.keys(rows["doc_id"], seed=ctx.seed, salt=self.salt)
        everyone = np.ones(rows.height, dtype=np.bool_)
        return threshold_fold.ranks(lot, rows["doc_id"], threshold_fold.cost_of(rows, self.budget), everyone)
