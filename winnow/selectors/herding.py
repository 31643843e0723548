"""Selection whose mean is the mean of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core import threshold_fold
from winnow.core.budget import Budget
from winnow.core.operators import Context, Schema, Whole
from winnow.selectors import picking


@dataclass(frozen=True, kw_only=True)
class Herding(Whole):
    """Documents whose mean vector stays nearest to that of all: `kept`, `weight` 1 or 0, `rank_selected`, `gain`.

    The next document is the one most along what the mean of the kept ones lacks, ties by doc_id, until one would
    overflow the budget; each at most once. `gain` is by how much the squared distance of the two means fell (it
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
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    budget: Budget
    vectors: str = "vector"

    def needs(self) -> tuple[str, ...]:
        """Identity and, for tokens and bytes, the cost; vectors are read by position."""
        return picking.columns(self.budget)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Rows that are not kept: `gain` null."""
        return picking.RANKED

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs."""
        threshold_fold.check_budget(self.budget)

    def memory_gb(self, rows: int) -> float:
        """Vectors of 512 dimensions."""
        return 0.5 + rows * (1024 + 160) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where vectors differ in length or hold NaN.
        """
        from winnow.core import knn_kernels
        from winnow.selectors import vector_kernels as kernels

        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=False)
        sums = knn_kernels.column_sums(grid)
        order, apart, whole = kernels.herd(grid, sums, cost, self.budget.of(rows.height))
        gain = np.full(len(place), np.nan)
        if len(order):
            gain[order] = -np.diff(apart, prepend=whole)
            ctx.note("distance", {"first": float(np.sqrt(apart[0])), "last": float(np.sqrt(apart[-1]))})
        return picking.ranked(rows.height, place, order, gain)
