"""Clusters of directions as a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import knn
from winnow.core.numerics.directions import MOST_NOTED_SIZES, by_lot, clustered, directions, root
from winnow.core.operators import Context, Schema, Whole


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
        clusters, num = clustered(grid, self.num or root(len(place)), order, self.iterations, ctx)
        sizes = clusters.sizes(num)
        ctx.note("clusters", num)
        ctx.note("without_vector", rows.height - len(place))
        ctx.note("sizes", np.sort(sizes)[::-1][:MOST_NOTED_SIZES].tolist())
        home = np.full(rows.height, -1, dtype=np.int32)
        home[place] = clusters.home
        similarity = np.full(rows.height, np.nan)
        similarity[place] = np.minimum(clusters.similarity / knn.ONE, 1.0)
        return pl.DataFrame(
            {
                "cluster": pl.Series(home).set(pl.Series(home < 0), None),
                "cluster_similarity": pl.Series(similarity, nan_to_null=True),
            }
        )
