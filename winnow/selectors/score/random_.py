"""Selection by lot: the control every other selection is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from winnow.core.numerics import selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.operators.occurring import Absent
from winnow.selectors.score.ranking import Quotas, Ranked, check_quota, lots, shared_out


@dataclass(frozen=True, kw_only=True)
class Random(Ranked):
    """Documents drawn by lot up to a budget: `kept`, and `weight` 1 or 0.

    The lot is pure in (doc_id, seed, salt), so that layout and order do not matter. The lots are kept in order as far
    as the budget goes: a document that is too large for what is left is passed over while more than a hundredth is
    left (docs/concepts.md). Another `salt` or seed is an independent draw. Documents without a cost are never kept;
    they are counted in `excluded`.

    `per` and `quota` share the budget out among the values of a column, as `top_k` does.

    Cost: 2 or 3 passes over doc_id and cost (`per`: one or two more); memory 65,536 bins.
    Source: own (keyed hash as the order of a draw without replacement).
    """

    name: ClassVar[str] = "random"
    version: ClassVar[int] = 3  # 2: draws per group have lots of their own; 3: passes over what does not fit
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per",)
    read_at: ClassVar[ReadAt] = {"quota": ("per", given)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"quota": "values"}

    budget: Budget
    salt: str = ""
    per: tuple[str, ...] = ()
    quota: Quotas = "proportional"
    absent: Absent = "error"  # a value in `quota` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the groups and, for tokens and bytes, the cost."""
        return columns_of(*selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or impossible shares."""
        selections.check_budget(self.budget)
        check_quota(self.quota, self.per)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """Everyone's lot."""
        # groups that are cut hard hold low lots: a later draw over all must not favour them
        salt = f"random per\0{self.salt}" if self.per else self.salt
        return lots(rows, ctx, salt, cost=selections.cost_of(rows, self.budget.unit), per=self.per)

    def targets(self) -> Budget | Targets:
        """The budget, or its shares."""
        return shared_out(self.budget, self.quota) if self.per else self.budget
