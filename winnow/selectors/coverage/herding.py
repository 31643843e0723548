"""Selection whose mean is the mean of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.numerics import fills, selections
from winnow.core.operators import Context
from winnow.selectors.coverage import picking
from winnow.selectors.coverage.by_vectors import VectorSelection


@dataclass(frozen=True, kw_only=True)
class Herding(VectorSelection):
    """Documents whose mean vector stays nearest to that of all: `kept`, `weight` 1 or 0, `rank_selected`, `gain`.

    The next document is the one most along what the mean of the kept ones lacks, ties by doc_id, as far as the budget
    goes (docs/concepts.md); each at most once. `gain` is by how much the squared distance of the two means fell (it
    may be negative), null for documents that are not kept. With k documents the distance falls like 1 / k, where
    chance gives 1 / sqrt(k); it says nothing about rare kinds. The metric `distance` has the last one.

    Documents without a vector (`vectors`: cells or lists of numbers, as in `knn_graph`) or a cost are never
    kept. Vectors are not centred: the mean is what is matched.

    Cost: rows * picks * dim integer multiply-adds, one thread: 2 s for 200 picks of a million rows of 64
    dimensions, so a million picks of them would take hours (`benchmarks/bench_coresets.py`). Memory: the vectors and
    30 bytes per row.
    Source: Welling 2009 (herding), without repetition.
    """

    name: ClassVar[str] = "herding"
    version: ClassVar[int] = 2  # 2: passes over what does not fit

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where vectors differ in length or hold NaN.
        """
        from winnow.core.numerics import knn_kernels
        from winnow.selectors.coverage import vector_kernels as kernels

        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=False)
        sums = knn_kernels.column_sums(grid)
        budget = self.budget.of(rows.height)
        order, apart, whole = kernels.herd(grid, sums, cost, budget)
        fills.note_picks(ctx, self.budget, budget, cost, order)
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost")
        gain = np.full(len(place), np.nan)
        if len(order):
            gain[order] = -np.diff(apart, prepend=whole)
            ctx.note("distance", {"first": float(np.sqrt(apart[0])), "last": float(np.sqrt(apart[-1]))})
        return picking.ranked(rows.height, place, order, gain)
