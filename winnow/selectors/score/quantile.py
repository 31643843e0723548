"""Selection by share: a quantile as the threshold, and the best share of every group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.numerics import budget_cut, row_ranks, selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import Counted, columns_of
from winnow.core.numerics.water_filling import check_share, exact_shares
from winnow.core.operators import Context
from winnow.selectors.score import weighted_quantile
from winnow.selectors.score.ranking import MOST_NOTED_GROUPS, Ranked, check_by


@dataclass(frozen=True, kw_only=True)
class Quantile(Ranked):
    """The documents whose score reaches a quantile: `kept`, and `weight` 1 or 0.

    The threshold is the score at which the best documents together hold at least `share` of the tokens (or
    bytes, or docs: `count`); every document with that score or a better one is kept. So equal scores share one
    fate, the kept share is `share` or more, and the threshold (noted) can be used elsewhere by `threshold`.
    `top_k` instead stops within the budget and splits ties by doc_id. `per` finds a threshold for every value of a
    column: one per language, say. Scores are compared as f64. Null and NaN have no part in it and are counted.

    Cost: 2 or 3 passes over score and cost (`per`: one or two more).
    Source: token-weighted quantile as in PreSelect (Shum et al. 2025); thresholds per language as in FineWeb2
    (Penedo et al. 2025).
    """

    name: ClassVar[str] = "quantile"
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    ties: ClassVar[budget_cut.Ties] = "together"
    beyond: ClassVar[budget_cut.Overflow] = "stop"

    by: str
    share: float
    count: Counted = "tokens"
    descending: bool = True
    per: tuple[str, ...] = ()

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, what is counted and the groups."""
        return columns_of(self.by, *selections.cost_columns(self.count), *self.per)

    def validate(self) -> None:
        """Raise ConfigError for an empty `by` or a share outside (0, 1]."""
        check_by(self.by)
        check_share(self.share, "share")

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score; equal scores are equal."""
        score = rows[self.by]
        score = score.cast(pl.Float64) if score.dtype.is_numeric() or score.dtype == pl.Boolean else score
        cost = selections.cost_of(rows, self.count)
        return row_ranks.by_score(score, None, cost, descending=self.descending, group=row_ranks.labels(rows, self.per))

    def targets(self) -> Targets:
        """The share of every group's tokens."""
        return weighted_quantile.reaching(exact_shares([self.share]))

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note the thresholds."""
        keys = state.filter(pl.col("rows") > 0).head(MOST_NOTED_GROUPS).select("group", "low_key")
        at = {
            group or "": weighted_quantile.score_at(key, descending=self.descending) for group, key in keys.iter_rows()
        }
        ctx.note("thresholds", at)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows at the quantile or before it."""
        passed = weighted_quantile.passed(self.ranks(rows, ctx), state)
        return selections.by_weight((passed == 0).astype(np.float64))
