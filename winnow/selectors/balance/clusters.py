"""Clusters of directions as a column, and selection that evens clusters out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut as threshold_fold
from winnow.core.numerics import knn, numeric, rng, spherical_kmeans
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import picking

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_NOTED_SIZES = 200


@dataclass(frozen=True, kw_only=True)
class Clusters(Whole):
    """The cluster of each document by direction: `cluster` from 0, and `cluster_similarity` to its centre.

    Spherical k-means on the vectors: Lloyd's rounds on the 256 `num` documents whose lots come first, then all
    documents are assigned. `num` 0 takes about the square root of the number of vectors; with fewer different
    vectors than `num` there are fewer clusters. `cluster_similarity` is a cosine in [-1, 1]. `center` subtracts the
    mean of all vectors first. Documents without a vector have null in both.

    Raises:
        DataError: vectors differ in length or hold NaN.
    Cost: (iterations * 256 * num + rows) * num * dim multiply-adds at BLAS speed; the vectors and 30 bytes per row.
    Source: spherical k-means (Dhillon and Modha 2001); whole-number arithmetic own.
    """

    name: ClassVar[str] = "clusters"
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    num: int = 0
    vectors: str = "vector"
    iterations: int = 20
    center: bool = False
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """Identity; vectors are read by position."""
        return ("doc_id",)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Null where a row has no vector."""
        return {"cluster": pa.int32(), "cluster_similarity": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for a negative number of clusters, or no round."""
        if self.num < 0:
            raise ConfigError(f"num is {self.num}", where="num", hint="1 or more clusters, or 0 for about sqrt(rows)")
        if self.iterations < 1:
            raise ConfigError(f"iterations is {self.iterations}, and must be at least 1", where="iterations")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice: the stage's and as they are read."""
        return 0.35 + rows * (250 + 2 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Clusters of all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=self.center)
        order = by_lot(rows["doc_id"].gather(place), ctx, f"clusters\0{self.salt}")
        found, num = clustered(grid, self.num or root(len(place)), order, self.iterations, ctx)
        sizes = found.sizes(num)
        ctx.note("clusters", num)
        ctx.note("without_vector", rows.height - len(place))
        ctx.note("sizes", np.sort(sizes)[::-1][:MOST_NOTED_SIZES].tolist())
        home = np.full(rows.height, -1, dtype=np.int32)
        home[place] = found.home
        similarity = np.full(rows.height, np.nan)
        similarity[place] = np.minimum(found.similarity / knn.ONE, 1.0)
        return pl.DataFrame(
            {
                "cluster": pl.Series(home).set(pl.Series(home < 0), None),
                "cluster_similarity": pl.Series(similarity, nan_to_null=True),
            }
        )


@dataclass(frozen=True, kw_only=True)
class ClusterBalanced(Whole):
    """A draw that evens clusters out: `kept`, and `weight` 1 or 0; a document's odds are 1 / |cluster|^beta.

    Documents are drawn without replacement until the next would overflow the budget. `beta` 0 draws as `random`
    does; at 1 all clusters are drawn from alike while they last; 0.5 lies between. `by` names any column of
    clusters, topics or domains, and sizes are counted among the candidates. A document without a value, or
    without a cost, is not kept and is counted.

    Cost: a sort of all rows; 100 bytes per row.
    Source: cluster-balanced sampling as in ssl-data-curation (Vo et al. 2024); Gumbel draws own.
    """

    name: ClassVar[str] = "cluster_balanced"
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
        return picking.columns(self.budget, self.by)

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return threshold_fold.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or a beta outside [0, 1]."""
        threshold_fold.check_budget(self.budget)
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"beta is {self.beta}, and lies in [0, 1]", where="beta")

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The draw over all rows in doc_id order."""
        cost, paid = picking.costs(rows, self.budget)
        place = np.flatnonzero(paid & rows[self.by].is_not_null().to_numpy())
        inside = rows.select(pl.col("doc_id"), pl.col(self.by).alias("cluster"))[place]
        sizes = inside.select(pl.len().over("cluster").cast(pl.Float64).alias("n"))["n"].to_numpy()
        noise = rng.gumbel(inside["doc_id"], seed=ctx.seed, salt=f"cluster_balanced\0{self.salt}")  # not `random`'s
        lot = noise - self.beta * numeric.log(sizes)
        order = np.argsort(-lot, kind="stable")  # ties by doc_id
        fits = int(np.searchsorted(np.cumsum(cost[place][order]), self.budget.of(rows.height), side="right"))
        weight = np.zeros(rows.height)
        weight[place[order[:fits]]] = 1.0
        left = inside[order[:fits]].group_by("cluster").len().sort("len", descending=True)["len"]
        picking.tell(ctx, rows.height, len(place), fits, "a cluster or a cost")
        ctx.note("clusters", inside["cluster"].n_unique())
        ctx.note("kept_sizes", left.head(MOST_NOTED_SIZES).to_list())
        return threshold_fold.selection(weight)


def directions(rows: pl.DataFrame, ctx: Context, column: str, *, center: bool) -> tuple[knn.Grid, Longs]:
    """(vectors, their rows) of the rows that have a direction."""
    grid, some = knn.directions(rows, ctx.rows(), column, center=center)
    place, left = np.flatnonzero(some), grid.any(axis=1)
    return (grid, place) if left.all() else (grid[left], place[left])


def by_lot(doc_id: pl.Series, ctx: Context, salt: str) -> Longs:
    """A permutation of the rows, pure in their doc_id, the seed and the salt."""
    return np.argsort(rng.keys(doc_id, seed=ctx.seed, salt=salt), kind="stable").astype(np.int64)


def root(rows: int) -> int:
    """About the square root of the rows, 1 or more."""
    return max(1, math.isqrt(rows))


def clustered(
    grid: knn.Grid, num: int, order: Longs, iterations: int, ctx: Context | None = None
) -> tuple[spherical_kmeans.Clusters, int]:
    """(where rows belong, number of clusters); at most `num`, fewer where there are fewer directions."""
    centres = spherical_kmeans.fit(grid, min(num, len(grid)), order=order, iterations=iterations)
    if ctx is not None:
        ctx.note("objective", [round(value / knn.ONE, 6) for value in centres.objective])
    return spherical_kmeans.assign(grid, centres.grid), len(centres.grid)
