"""k-means by direction on the grid of `core.numerics.knn`: equal clusters for any layout, block and thread count.

Assignment is a float32 matrix product of integers (exact) and the first of the largest; sums are integers, and
a centre is their direction back on the grid, rounded once. Nothing depends on the order in which blocks are
worked through. Centres on the grid cost about 1e-4 of the objective against float ones.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from winnow.core.numerics.knn import Grid, Ints, Rows, first_nearest


@dataclass(frozen=True, kw_only=True)
class Centres:
    """`grid` i16[clusters, dim] and, per round, the sum of similarities of the rows it was fitted on."""

    grid: Grid
    objective: tuple[int, ...]  # in units of 2^-22


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Where rows belong: `home` i32[rows], -1 for a zero row, and their similarity to that centre, i32[rows]."""

    home: Ints
    similarity: Ints

    def sizes(self, num: int) -> Rows:
        """Number of rows of every cluster, i64[num]."""
        return np.bincount(self.home[self.home >= 0], minlength=num).astype(np.int64)


def fit(grid: Grid, num: int, *, order: Rows, iterations: int = 20, rows_per_centre: int = 256) -> Centres:
    """At most `num` centres by Lloyd's rounds on the head of `order`; fewer where there are fewer directions.

    `order` is a permutation of the rows by a keyed hash of doc_id: its head is the sample, and the first
    different vectors in it are the first centres. A centre that loses all rows moves to the sampled row that is
    farthest from its own centre, ties by row. Ends early when no row changes its cluster.
    Cost: iterations * min(rows, num * rows_per_centre) * num * dim multiply-adds at BLAS speed.
    """
    from winnow.core.numerics import knn_kernels as kernels

    head = order[: max(num, 1) * rows_per_centre]
    head = head[grid[head].any(axis=1)] if len(head) else head
    centres = _different(grid[head], num)
    sample = grid[np.sort(head)]
    objective: list[int] = []
    last = np.zeros(0, dtype=np.int32)
    for _ in range(iterations if len(centres) else 0):
        clusters = assign(sample, centres)
        objective.append(int(clusters.similarity.astype(np.int64).sum()))
        if np.array_equal(clusters.home, last):
            break
        last = clusters.home
        sums, counts = kernels.group_sums(sample, clusters.home, len(centres))
        moved, some = kernels.to_grid(sums.astype(np.float64))
        some &= counts > 0
        centres = np.where(some[:, None], moved, centres)
        _refill(centres, np.flatnonzero(~some), sample, clusters)
    return Centres(grid=centres, objective=tuple(objective))


def assign(grid: Grid, centres: Grid) -> Clusters:
    """The most similar centre of every row, the first of equals.

    Cost: as `knn.first_nearest`.
    """
    home, similarity = first_nearest(grid, centres)
    nothing = ~grid.any(axis=1)
    home[nothing] = -1
    similarity[nothing | (home < 0)] = 0
    return Clusters(home=home, similarity=similarity)


def members(home: Ints, num: int) -> list[Rows]:
    """The rows of every cluster, ascending."""
    order = np.argsort(home, kind="stable")
    ends = np.searchsorted(home[order], np.arange(num + 1))
    return [order[a:b].astype(np.int64) for a, b in itertools.pairwise(ends.tolist())]


def _different(rows: Grid, num: int) -> Grid:
    """The first `num` different rows, in their order."""
    taken = min(2 * num, len(rows))
    while True:
        some = np.ascontiguousarray(rows[:taken])
        keys = some.view(np.dtype((np.void, some.shape[1] * 2))).ravel() if some.size else np.zeros(0, dtype="V2")
        _, first = np.unique(keys, return_index=True)
        if len(first) >= num or taken == len(rows):
            return some[np.sort(first)[:num]]
        taken = min(4 * taken, len(rows))


def _refill(centres: Grid, empty: Rows, sample: Grid, clusters: Clusters) -> None:
    """Put the empty centres on the rows that are farthest from theirs."""
    if len(empty):
        far = np.argsort(clusters.similarity, kind="stable")[: len(empty)]
        centres[empty[: len(far)]] = sample[far]
