"""Selection of documents that resemble many others, but not each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, selections
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import lazy_greedy, picking
from winnow.selectors.coverage.picking import ONE


@dataclass(frozen=True, kw_only=True)
class GraphCut(Whole):
    """Documents that resemble many others and not each other: `kept`, `weight` 1 or 0, `rank_selected`, `gain`.

    The value of a selection S is the sum of the similarities of all candidates to all of S, less `redundancy`
    times those within S (both orders and itself counted). Up to 0.5 nothing ever lowers the value; higher ones
    stop where the next document would. In contrast to `facility_location` a document may be counted for several
    kept ones, so dense regions are taken first: prefer it where frequent kinds should stay frequent.

    Budget, cost, ties, `gain` and the graph's columns are as in `facility_location`. The metric `certificate`
    bounds the best value within the budget (for `redundancy` up to 0.5).

    Cost: a second per million rows once the graph is there; `memory_gb`.
    Source: graph cut as in INGENIOUS (Renduchintala et al. 2023), lazily and on a sparse graph.
    """

    name: ClassVar[str] = "graph_cut"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    less_memory: ClassVar[str] = "a smaller `k` of `knn_graph`"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("rank_selected", "gain")
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities")

    budget: Budget
    redundancy: float = 0.4
    cost_aware: bool = True
    node: str = "node"
    neighbors: str = "neighbors"
    similarities: str = "similarities"

    def needs(self) -> tuple[str, ...]:
        """The graph's numbers and, for tokens and bytes, the cost."""
        return selections.columns_of(self.node, *selections.cost_columns(self.budget.unit))

    def looks_up(self) -> tuple[str, ...]:
        """The graph's lists, memory-mapped."""
        return self.neighbors, self.similarities

    def outputs(self) -> Schema:
        """Rows that are no candidates: not kept, `gain` null."""
        return picking.RANKED

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, two columns of one name, or a negative redundancy."""
        selections.check_budget(self.budget)
        picking.check_names(self.node, self.neighbors, self.similarities)
        if not 0 <= self.redundancy < np.inf:
            raise ConfigError(f"redundancy is {self.redundancy}, and must be 0 or more", where="redundancy")

    def memory_gb(self, rows: int, width: float = 272.0) -> float:
        """Lists one way, in both directions and as they are read."""
        return 0.35 + rows * (330 + 3 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order."""
        from winnow.selectors.coverage import graph_cut_kernels as kernels

        cost, paid = selections.costs(rows, self.budget)
        place = np.flatnonzero(paid & rows[self.node].is_not_null().to_numpy())
        lists = picking.lists(rows, place, ctx.rows(), (self.node, self.neighbors, self.similarities))
        graph = lazy_greedy.graph_of(lists, np.arange(lists.rows))
        budget = self.budget.of(rows.height)
        order, gains, left = kernels.greedy(
            graph.starts, graph.entries, ONE, self.redundancy, cost[place], self.cost_aware, budget
        )
        value = float(gains.sum()) / ONE
        ctx.note("value", value)
        fills.note_picks(ctx, self.budget, budget, cost[place], order)
        selections.note_summary(ctx, rows.height, len(place), "a row in the graph or a cost")
        if self.redundancy <= 0.5:
            open_rows = np.delete(np.arange(len(place)), order)
            upper = lazy_greedy.upper_bound(value, left[open_rows] / ONE, cost[place][open_rows], budget)
            ctx.note("certificate", picking.certificate_of(value, upper))
        left[order] = gains
        return picking.ranked(rows.height, place, order, left / ONE)
