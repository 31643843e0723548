"""Selection by shares: so much of every value of a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, row_ranks, selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.core.operators.occurring import Absent
from winnow.selectors.score.ranking import Quotas, Ranked, check_quota, lots, shared_out
from winnow.selectors.score.repeats import check_repeats, group_weights


@dataclass(frozen=True, kw_only=True)
class Quota(Ranked):
    """A budget shared out among the values of a column: `kept`, and `weight`, the times a document is used.

    `shares: {value: share}` says how much of the budget each value of `per` gets (others nothing), `equal` the same
    for all, `proportional` as it is. What a value cannot take goes to the others in proportion to their shares,
    so that the budget is used while there is anything to use. With `max_repeats` above 1 a value that is too small
    is first repeated up to so many times: its documents have weights above 1, multiples of 2^-20 (`write` with
    `repeat: weight` follows them). Within a value the best by `by` are taken, or by lot without it; the first
    document that overflows ends the value's part, and leaves less than one document of its share unused.

    Cost: 3 or 4 passes over group, score and cost.
    Source: water-filling as in UniMax (Chung et al. 2023).
    """

    name: ClassVar[str] = "quota"
    version: ClassVar[int] = 3  # 2: lots of its own; 3: passes over what does not fit
    seeded: ClassVar[bool] = True
    remedy: ClassVar[str] = "lower `budget:`, raise `max_repeats`, or let more documents in"
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    read_at: ClassVar[ReadAt] = {"descending": ("by", given), "salt": ("by", left_out)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"shares": "values"}

    per: tuple[str, ...]
    budget: Budget
    shares: Quotas = "equal"
    by: str | None = None
    descending: bool = True
    max_repeats: float = 1.0
    salt: str = ""
    absent: Absent = "error"  # a value in `shares` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the groups, the score if there is one, and what the budget counts."""
        return columns_of(*([self.by] if self.by else []), *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError without groups, for impossible shares, or repeats below 1."""
        selections.check_budget(self.budget)
        if not self.per:
            raise ConfigError("no groups", where="per", hint="name the column whose values get shares")
        check_quota(self.shares, self.per)
        check_repeats(self.max_repeats)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id, or by lot, within the group."""
        cost = selections.cost_of(rows, self.budget.unit)
        if not self.by:
            return lots(rows, ctx, f"quota\0{self.salt}", cost=cost, per=self.per)  # not `random`'s
        group = row_ranks.labels(rows, self.per)
        return row_ranks.by_score(rows[self.by], rows["doc_id"], cost, descending=self.descending, group=group)

    def targets(self) -> Targets:
        """The shares of the budget."""
        return shared_out(self.budget, self.shares, max_repeats=self.max_repeats)

    def spent(self, state: pl.DataFrame) -> float:
        """With the repeats of every value."""
        weights = group_weights(state)
        kept = budget_cut.outcome(state).select("group", "kept_cost").iter_rows()
        return float(sum(weights[group] * cost for group, cost in kept))

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note what came out, and how often values are repeated."""
        super().report(state, ctx)
        ctx.note("weights", {group or "": weight for group, weight in group_weights(state).items()})

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows before their group's cut with the weight of the group."""
        ranks = self.ranks(rows, ctx)
        times = pl.DataFrame({"group": list(group_weights(state)), "times": list(group_weights(state).values())},
                             schema={"group": pl.String, "times": pl.Float64})  # fmt: skip
        assert ranks.group is not None
        found = ranks.group.to_frame("group").join(times, on="group", how="left", maintain_order="left")["times"]
        kept = budget_cut.taken(ranks, state)
        return selections.by_weight(np.where(kept, found.fill_null(0.0).to_numpy(), 0.0))
