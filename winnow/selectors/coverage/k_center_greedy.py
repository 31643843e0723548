"""Selection that leaves no document far from a kept one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.numerics import fills, selections
from winnow.core.operators import Context
from winnow.selectors.coverage import picking
from winnow.selectors.coverage.by_vectors import VectorSelection

_UNIT = 2048


@dataclass(frozen=True, kw_only=True)
class KCenterGreedy(VectorSelection):
    """Documents with none far from a kept one: `kept`, `weight` 1 or 0, `rank_selected`, `gain`.

    Starts from the document nearest to the mean of all and always takes the one farthest from those taken, as far as
    the budget goes (docs/concepts.md); ties by doc_id. `gain` is the distance to the nearest document taken before, in
    [0, 2] (unit vectors; 2 for the first), null for documents that are not kept; copies are not taken. Ends with
    a largest distance of at most twice the least possible with as many documents; the metric `radius` has it
    and the lower bound. It follows outliers by design: filter first, or use `facility_location`.

    Documents without a vector (`vectors`: cells or lists of numbers, as in `knn_graph`) or a cost are never
    kept. `center` subtracts the mean first.

    Cost: at most rows * picks * dim integer multiply-adds, one thread; most rows are compared with few picks,
    because one that fell below the farthest waits. The vectors and 30 bytes per row.
    Source: Gonzalez 1985 (farthest first; factor 2); lazy comparison own.
    """

    name: ClassVar[str] = "k_center_greedy"
    version: ClassVar[int] = 2  # 2: passes over what does not fit

    center: bool = True

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where vectors differ in length or hold NaN.
        """
        from winnow.core.numerics import knn_kernels
        from winnow.selectors.coverage import vector_kernels as kernels

        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=self.center)
        budget = self.budget.of(rows.height)
        gain = np.full(len(place), np.nan)
        order = np.zeros(0, dtype=np.int64)
        if len(grid):
            sums, fit = knn_kernels.column_sums(grid), np.flatnonzero(cost <= budget)
            fit = fit if len(fit) else np.arange(1)
            first = int(fit[kernels.most_central(grid if len(fit) == len(grid) else grid[fit], sums)])
            order, reach, left = kernels.farthest_first(grid, first, cost, budget)
            gain[order] = np.minimum(np.sqrt(reach) / _UNIT, 2.0)
            radius = float(np.sqrt(left) / _UNIT)
            if len(order):
                apart = min(radius, float(np.sqrt(reach[-1]) / _UNIT))  # of any two picks, and of the farthest left
                ctx.note("radius", {"value": radius, "lower": apart / 2})
        fills.note_picks(ctx, self.budget, budget, cost, order, ended="all others are copies")
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost")
        return picking.ranked(rows.height, place, order, gain)
