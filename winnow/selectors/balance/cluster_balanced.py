"""Selection that evens clusters out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, numeric, rng, selections
from winnow.core.numerics.directions import MOST_NOTED_SIZES
from winnow.core.numerics.walk import walk
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget


@dataclass(frozen=True, kw_only=True)
class ClusterBalanced(Whole):
    """A draw that evens clusters out: `kept`, and `weight` 1 or 0; a document's odds are 1 / |cluster|^beta.

    Documents are drawn without replacement as far as the budget goes (docs/concepts.md). `beta` 0 draws as `random`
    does; at 1 all clusters are drawn from alike while they last; 0.5 lies between. `by` names any column of
    clusters, topics or domains, and sizes are counted among the candidates. A document without a value, or
    without a cost, is not kept and is counted.

    Cost: a sort of all rows; 100 bytes per row.
    Source: cluster-balanced sampling as in ssl-data-curation (Vo et al. 2024); Gumbel draws own.
    """

    name: ClassVar[str] = "cluster_balanced"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    budget: Budget
    by: str = "cluster"
    beta: float = 1.0
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """Identity, the cluster and, for tokens and bytes, the cost."""
        return selections.columns_of(self.by, *selections.cost_columns(self.budget.unit))

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return selections.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or a beta outside [0, 1]."""
        selections.check_budget(self.budget)
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"beta is {self.beta}, and lies in [0, 1]", where="beta")

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The draw over all rows in doc_id order."""
        cost, paid = selections.costs(rows, self.budget)
        place = np.flatnonzero(paid & rows[self.by].is_not_null().to_numpy())
        inside = rows.select(pl.col("doc_id"), pl.col(self.by).alias("cluster"))[place]
        sizes = inside.select(pl.len().over("cluster").cast(pl.Float64).alias("n"))["n"].to_numpy()
        noise = rng.gumbel(inside["doc_id"], seed=ctx.seed, salt=f"cluster_balanced\0{self.salt}")  # not `random`'s
        lot = noise - self.beta * numeric.log(sizes)
        order = np.argsort(-lot, kind="stable")  # ties by doc_id
        budget = self.budget.of(rows.height)
        picks = order[walk(cost[place][order], budget).taken]
        weight = np.zeros(rows.height)
        weight[place[picks]] = 1.0
        fills.note_picks(ctx, self.budget, budget, cost[place], picks)
        left = inside[picks].group_by("cluster").len().sort("len", descending=True)["len"]
        selections.note_summary(ctx, rows.height, len(place), "a cluster or a cost")
        ctx.note("clusters", inside["cluster"].n_unique())
        ctx.note("kept_sizes", left.head(MOST_NOTED_SIZES).to_list())
        return selections.by_weight(weight)
