"""Selection by rank: the rows with the best keys, up to a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from winnow.core import threshold_fold
from winnow.core.budget import Budget
from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Fold, Schema


@dataclass(frozen=True, kw_only=True)
class TopK(Fold):
    """The best documents by a column, up to a budget: `kept`, and `weight` 1 or 0.

    Documents in the order (key, doc_id) are kept while their summed cost stays within the budget; the first
    one that would overflow ends the selection, even where a later one would fit. Equal keys go by ascending
    doc_id, so that the result is the same for any layout. Documents whose key or cost is null, or whose key
    is NaN, are never kept; they are counted in `excluded`. `10%` is a share of all candidate documents,
    those included.

    Cost: 2 or 3 passes over key and cost for continuous keys, at most 13; memory 65,536 bins.
    Source: own (radix selection of a weighted quantile over parts).
    """

    name: ClassVar[str] = "top_k"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    by: str
    budget: Budget
    descending: bool = True

    def needs(self) -> tuple[str, ...]:
        """doc_id, the key and, for tokens and bytes, the cost."""
        return tuple(dict.fromkeys(("doc_id", self.by, *threshold_fold.cost_columns(self.budget))))

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return threshold_fold.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or an empty `by`."""
        threshold_fold.check_budget(self.budget)
        if not self.by:
            raise ConfigError("no column to rank by", where="by", hint="name a score column")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Counts per key bin, or the few rows at the cut."""
        return threshold_fold.summarise(self._ranks(rows), state)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return threshold_fold.merge(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """A narrower range, or the cut."""
        return threshold_fold.advance(summary, state, self.budget)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows that rank before the cut."""
        return threshold_fold.decide(self._ranks(rows), state)

    def _ranks(self, rows: pl.DataFrame) -> threshold_fold.Ranks:
        key, ranked = threshold_fold.ascending_key(rows[self.by])
        return threshold_fold.ranks(
            ~key if self.descending else key,
            rows["doc_id"],
            threshold_fold.cost_of(rows, self.budget),
            ranked,
        )
