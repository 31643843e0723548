"""Selection by share: a quantile as the threshold, and the best share of every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut as threshold_fold
from winnow.core.numerics import row_ranks, weighted_quantile
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.water_filling import exact_shares
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.ranking import MOST_NOTED_GROUPS, Ranked, check_by, columns_of

Counted = Literal["tokens", "bytes", "docs"]
COST = {"tokens": ("token_count",), "bytes": ("text_bytes",), "docs": ()}


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
    ties: ClassVar[threshold_fold.Ties] = "together"

    by: str
    share: float
    count: Counted = "tokens"
    descending: bool = True
    per: tuple[str, ...] = ()

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, what is counted and the groups."""
        return columns_of(self.by, *COST[self.count], *self.per)

    def validate(self) -> None:
        """Raise ConfigError for an empty `by` or a share outside (0, 1]."""
        check_by(self.by)
        check_share(self.share)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score; equal scores are equal."""
        score = rows[self.by]
        score = score.cast(pl.Float64) if score.dtype.is_numeric() or score.dtype == pl.Boolean else score
        cost = cost_of(rows, self.count)
        return row_ranks.by_score(score, None, cost, descending=self.descending, group=row_ranks.labels(rows, self.per))

    def targets(self) -> Targets:
        """The share of every group's tokens."""
        return weighted_quantile.reaching(exact_shares([self.share]))

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note the thresholds."""
        found = state.filter(pl.col("rows") > 0).head(MOST_NOTED_GROUPS).select("group", "low_key")
        at = {
            group or "": weighted_quantile.score_at(key, descending=self.descending) for group, key in found.iter_rows()
        }
        ctx.note("thresholds", at)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows at the quantile or before it."""
        passed = weighted_quantile.passed(self.ranks(rows, ctx), state)
        return threshold_fold.selection((passed == 0).astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class PerGroup(Ranked):
    """The best documents of every group: `kept`, and `weight` 1 or 0.

    Documents are ranked within the values of the columns `per`; of each, those are kept that fit a `share` of
    what the group holds (in `count`: tokens, bytes or docs), or a `budget` of its own. The mix of groups stays
    as it is, to within one document each. Ties, nulls and the document that overflows are as in `top_k`.

    Cost: 3 or 4 passes over score, group and cost.
    Source: ranking within the language as in Arctic-SnowCoder (Wei et al. 2024).
    """

    name: ClassVar[str] = "per_group"
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")

    by: str
    per: tuple[str, ...]
    share: float | None = None
    budget: Budget | None = None
    count: Counted = "tokens"
    descending: bool = True

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, the groups and what is counted."""
        cost = COST[self.count] if self.budget is None else threshold_fold.cost_columns(self.budget)
        return columns_of(self.by, *cost, *self.per)

    def validate(self) -> None:
        """Raise ConfigError without groups, or where not one of share and budget is given."""
        check_by(self.by)
        if not self.per:
            raise ConfigError("no groups", where="per", hint="name one column or more, or use `top_k`")
        if (self.share is None) == (self.budget is None):
            raise ConfigError("give either `share:` or `budget:` of each group", where="share")
        if self.share is not None:
            check_share(self.share)
        if self.budget is not None:
            threshold_fold.check_budget(self.budget)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id, within the group."""
        cost = cost_of(rows, self.count) if self.budget is None else threshold_fold.cost_of(rows, self.budget)
        return row_ranks.by_score(
            rows[self.by], rows["doc_id"], cost, descending=self.descending, group=row_ranks.labels(rows, self.per)
        )

    def targets(self) -> Targets:
        """What each group may take."""
        return self._targets

    def _targets(self, found: Totals) -> dict[Group, Sequence[int]]:
        if self.budget is not None:
            rows, gone = found.of("rows"), found.of("excluded")
            return {group: [self.budget.of(rows[group] + gone[group])] for group in rows}
        (share,) = exact_shares([self.share or 0.0])
        return {group: [int(Fraction(cost) * share)] for group, cost in found.of("cost").items()}


def check_share(share: float) -> None:
    """Raise ConfigError for a share outside (0, 1]."""
    if not 0 < share <= 1:
        raise ConfigError(f"a share lies in (0, 1], found {share}", where="share")


def cost_of(rows: pl.DataFrame, count: Counted) -> pl.Series | None:
    """The column that is counted; None where every document counts as 1."""
    return rows[COST[count][0]] if COST[count] else None
