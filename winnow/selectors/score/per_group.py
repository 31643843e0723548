"""The best share of every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import Counted, columns_of
from winnow.core.numerics.water_filling import check_share, exact_shares
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.ranking import Ranked, check_by


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
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")

    by: str
    per: tuple[str, ...]
    share: float | None = None
    budget: Budget | None = None
    count: Counted = "tokens"
    descending: bool = True

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, the groups and what is counted."""
        cost = selections.cost_columns(self.count) if self.budget is None else selections.cost_columns(self.budget.unit)
        return columns_of(self.by, *cost, *self.per)

    def validate(self) -> None:
        """Raise ConfigError without groups, or where not one of share and budget is given."""
        check_by(self.by)
        if not self.per:
            raise ConfigError("no groups", where="per", hint="name one column or more, or use `top_k`")
        if (self.share is None) == (self.budget is None):
            raise ConfigError("give either `share:` or `budget:` of each group", where="share")
        if self.share is not None:
            check_share(self.share, "share")
        if self.budget is not None:
            selections.check_budget(self.budget)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id, within the group."""
        cost = (
            selections.cost_of(rows, self.count) if self.budget is None else selections.cost_of(rows, self.budget.unit)
        )
        return row_ranks.by_score(
            rows[self.by], rows["doc_id"], cost, descending=self.descending, group=row_ranks.labels(rows, self.per)
        )

    def targets(self) -> Targets:
        """What each group may take."""
        return self._targets

    def asked(self, state: pl.DataFrame) -> int:
        """The budgets of all groups."""
        return int(budget_cut.outcome(state)["budget"].sum())

    def _targets(self, totals: Totals) -> dict[Group, Sequence[int]]:
        if self.budget is not None:
            rows, gone = totals.of("rows"), totals.of("excluded")
            return {group: [self.budget.of(rows[group] + gone[group])] for group in rows}
        (share,) = exact_shares([self.share or 0.0])
        return {group: [int(Fraction(cost) * share)] for group, cost in totals.of("cost").items()}
