"""Selection of documents that point in different directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, selections
from winnow.core.operators import Context
from winnow.selectors.coverage import lazy_greedy, picking
from winnow.selectors.coverage.by_vectors import VectorSelection


@dataclass(frozen=True, kw_only=True)
class LogDet(VectorSelection):
    """Documents whose vectors span the most volume: `kept`, `weight` 1 or 0, `rank_selected`, `gain`.

    The value of a selection S is log det(I + X X' / `ridge`), where X holds the unit vectors of S: the greedy
    maximum a posteriori set of a determinantal point process. It grows by less where vectors are alike, is never
    lowered, and asks for variety alone: outliers come first, so filter before. After about `dim` documents every
    direction is taken once, and it balances the directions.

    Documents are taken greedily by gain per token (or byte; `cost_aware: false`: by gain), ties by doc_id, as
    far as the budget goes (docs/concepts.md). `gain` is in nats, for kept documents when taken, for others at the end.
    Documents without a vector (`vectors`: cells or lists of numbers, as in `knn_graph`) or a cost are never
    kept. `center` subtracts the mean first. The metric `certificate` bounds the best value within the budget.

    Cost: dim * min(picks, dim) multiply-adds for each of the noted `evaluations`, one thread; these grow with rows
    times picks: 6 per row for 100 picks, 30 for 1,000, 60 for 3,000 (64 dimensions, clustered vectors). Memory: the
    vectors and 60 bytes per row.
    Source: greedy after Chen, Zhang, Zhou 2018, in dim instead of rows (Sherman-Morrison), evaluated lazily.
    """

    name: ClassVar[str] = "log_det"
    version: ClassVar[int] = 2  # 2: passes over what does not fit

    ridge: float = 1.0
    center: bool = True
    cost_aware: bool = True

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or a ridge that is not above 0."""
        super().validate()
        if not 0 < self.ridge < np.inf:
            raise ConfigError(f"ridge is {self.ridge}, and must be above 0", where="ridge")

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where vectors differ in length or hold NaN.
        """
        from winnow.selectors.coverage import vector_kernels as kernels

        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=self.center)
        budget = self.budget.of(rows.height)
        order, gains, left, evaluations = kernels.log_det(grid, self.ridge, cost, self.cost_aware, budget)
        value = float(gains.sum())
        open_rows = np.delete(np.arange(len(place)), order)
        upper = lazy_greedy.upper_bound(value, left[open_rows], cost[open_rows], budget)
        ctx.note("certificate", picking.certificate_of(value, upper))
        ctx.note("evaluations", int(evaluations))
        fills.note_picks(ctx, self.budget, budget, cost, order)
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost")
        left[order] = gains
        return picking.ranked(rows.height, place, order, left)
