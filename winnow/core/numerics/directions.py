"""Rows by the direction of their vectors: which have one, their order by lot, their clusters."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.numerics import knn, rng, spherical_kmeans
from winnow.core.operators import Context

MOST_NOTED_SIZES = 200

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


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
