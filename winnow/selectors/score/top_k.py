"""The best by a score, up to a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from winnow.core.numerics import row_ranks, selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.operators.occurring import Absent
from winnow.selectors.score.ranking import Quotas, Ranked, check_by, check_quota, shared_out


@dataclass(frozen=True, kw_only=True)
class TopK(Ranked):
    """The best documents by a column, up to a budget: `kept`, and `weight` 1 or 0.

    Documents in the order (key, doc_id) are kept as far as the budget goes: one that is too large for what is left is
    passed over while more than a hundredth is left (docs/concepts.md). Equal keys go by ascending doc_id, so that the
    result is the same for any layout. Documents whose key or cost is null, or whose key is NaN, are never kept; they
    are counted in `excluded`. `10%` is a share of all candidate documents, those included.

    `per` gives every value of a column a budget of its own: in proportion to what it holds, `equal`, or by
    `quota: {value: share}`; what a small group cannot take goes to the others. Documents without a value are
    never kept.

    Cost: 2 or 3 passes over key and cost for continuous keys, at most 13 (`per`: one or two more); memory 65,536
    bins.
    Source: own (radix selection of a weighted quantile over parts).
    """

    name: ClassVar[str] = "top_k"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    read_at: ClassVar[ReadAt] = {"quota": ("per", given)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"quota": "values"}

    by: str
    budget: Budget
    descending: bool = True
    per: tuple[str, ...] = ()
    quota: Quotas = "proportional"
    absent: Absent = "error"  # a value in `quota` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the key, the groups and, for tokens and bytes, the cost."""
        return columns_of(self.by, *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, an empty `by` or impossible shares."""
        selections.check_budget(self.budget)
        check_by(self.by)
        check_quota(self.quota, self.per)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id."""
        return row_ranks.by_score(
            rows[self.by],
            rows["doc_id"],
            selections.cost_of(rows, self.budget.unit),
            descending=self.descending,
            group=row_ranks.labels(rows, self.per),
        )

    def targets(self) -> Budget | Targets:
        """The budget, or its shares."""
        return shared_out(self.budget, self.quota) if self.per else self.budget
