"""Sampling through a tree of clusters: space is covered evenly, however the documents crowd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core import knn, rng, spherical_kmeans, threshold_fold
from winnow.core.budget import Budget
from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Schema, Whole
from winnow.core.water_filling import water_fill
from winnow.selectors.clusters import by_lot, directions

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Hierarchical(Whole):
    """A sample through a tree of clusters: `kept`, `weight` 1 or 0, and `cluster`, the finest one.

    `levels` are numbers of clusters from fine to coarse: the first clusters the documents, each further one the
    centres before it. With `rounds` above 0, every level is refined so often: k-means again on the `nearest`
    members of each cluster, then all are assigned anew, which moves centres from where documents crowd towards even
    cover (level l takes the l-th of `nearest`, or its last). The budget is shared out from the top: every
    cluster gets the same, what small ones cannot take rises in the others, and units left over go by lot. In a
    finest cluster documents are drawn by lot, or the nearest to the centre are taken (`leaf: closest`).

    Exactly as many documents are kept as the budget says, or all that have a vector. The others are not kept.

    Raises:
        DataError: vectors differ in length or hold NaN.
    Cost: `clusters` per level and round; the vectors and 60 bytes per row.
    Source: automatic data curation by hierarchical k-means (Vo et al. 2024); whole-number arithmetic own.
    """

    name: ClassVar[str] = "hierarchical"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    budget: Budget
    levels: tuple[int, ...]
    rounds: int = 0
    nearest: tuple[int, ...] = (10, 5, 3)
    leaf: Literal["lot", "closest"] = "lot"
    vectors: str = "vector"
    iterations: int = 20
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """Identity; vectors are read by position."""
        return ("doc_id",)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """`cluster` is null where a row has no vector."""
        return {**threshold_fold.SELECTION, "cluster": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for a budget that is not docs or a share, levels that do not fall, or counts below 1."""
        if self.budget.unit not in ("docs", "share"):
            raise ConfigError(f"a tree shares out documents, not {self.budget}", where="budget", hint="docs or a share")
        if not self.levels or min(self.levels) < 1 or list(self.levels) != sorted(set(self.levels), reverse=True):
            hint = "from fine to coarse, as [1000, 100, 10]"
            raise ConfigError(f"levels are {list(self.levels)}", where="levels", hint=hint)
        if self.rounds < 0 or self.iterations < 1 or not self.nearest or min(self.nearest) < 1:
            raise ConfigError("rounds are 0 or more, iterations and nearest 1 or more", where="rounds")

    def memory_gb(self, rows: int) -> float:
        """Vectors of 512 dimensions, three times while they are read."""
        return 0.5 + rows * (3 * 1024 + 120) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The sample of all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=False)
        ids = rows["doc_id"].gather(place)
        homes, similarity = self._tree(grid, by_lot(ids, ctx, self.salt))
        lot = rng.keys(ids, seed=ctx.seed, salt=self.salt + "leaf")
        inside = np.lexsort((lot, homes[0]) if self.leaf == "lot" else (-similarity, homes[0]))
        sizes = [np.bincount(homes[0], minlength=int(homes[0].max(initial=-1)) + 1).astype(np.int64)]
        for up in homes[1:]:
            sizes.append(np.bincount(up, weights=sizes[-1]).astype(np.int64))
        share = np.array([self.budget.of(rows.height)]) if len(grid) else np.zeros(1, dtype=np.int64)
        parents = [*homes[1:], np.zeros(len(sizes[-1]), dtype=np.int64)]
        for level in range(len(sizes) - 1, -1, -1):
            share = shared(share, parents[level], sizes[level], f"{ctx.seed}/{self.salt}/{level}")
        starts = np.concatenate([[0], np.cumsum(sizes[0])])
        rank = np.empty(len(grid), dtype=np.int64)
        rank[inside] = np.arange(len(grid)) - starts[homes[0][inside]]
        weight, cluster = np.zeros(rows.height), np.full(rows.height, -1, dtype=np.int32)
        weight[place] = rank < share[homes[0]] if len(grid) else 0
        cluster[place] = homes[0]
        ctx.note("excluded", rows.height - len(place))
        ctx.note("clusters", [len(s) for s in sizes])
        ctx.note("most_from_one_cluster", int(share.max(initial=0)))
        return threshold_fold.selection(weight).with_columns(
            cluster=pl.Series(cluster).set(pl.Series(cluster < 0), None)
        )

    def _tree(self, grid: knn.Grid, order: Longs) -> tuple[list[Longs], npt.NDArray[np.int32]]:
        """(cluster of every row, then of every cluster of the level before; similarity of the rows)."""
        homes: list[Longs] = []
        first = np.zeros(0, dtype=np.int32)
        points = grid
        for level, num in enumerate(self.levels):
            most = self.nearest[min(level, len(self.nearest) - 1)]
            home, similarity, points = self._level(points, num, order, most)
            homes.append(home)
            first = similarity if level == 0 else first
            order = np.arange(len(points))
        return homes, first

    def _level(
        self, points: knn.Grid, num: int, order: Longs, most: int
    ) -> tuple[Longs, npt.NDArray[np.int32], knn.Grid]:
        """(cluster of every point, their similarity, centres) without empty clusters."""
        centres = spherical_kmeans.fit(points, min(num, len(points)), order=order, iterations=self.iterations).grid
        found = spherical_kmeans.assign(points, centres)
        for _ in range(self.rounds):
            near = nearest_members(found.home, found.similarity, most)
            again = order[near[order]]
            centres = spherical_kmeans.fit(points[again], len(centres), order=np.arange(len(again)),
                                           iterations=self.iterations).grid  # fmt: skip
            found = spherical_kmeans.assign(points, centres)
        used, home = np.unique(found.home, return_inverse=True)
        return home.astype(np.int64), found.similarity, centres[used]


def nearest_members(home: npt.NDArray[np.int32], similarity: npt.NDArray[np.int32], most: int) -> npt.NDArray[np.bool_]:
    """True for the `most` rows of every cluster that are nearest to its centre, ties by row."""
    order = np.lexsort((-similarity, home))
    sizes = np.bincount(home)
    place = np.arange(len(home)) - np.concatenate([[0], np.cumsum(sizes)])[home[order]]
    out = np.zeros(len(home), dtype=np.bool_)
    out[order] = place < most
    return out


def shared(amounts: Longs, parent: Longs, sizes: Longs, salt: str) -> Longs:
    """Documents per child, i64: every parent's amount water-filled over its children, leftovers by lot.

    Sums are exact: min(amount, what the children hold). A pure function of the sizes and the salt.
    """
    out = np.zeros(len(sizes), dtype=np.int64)
    names = np.stack([np.arange(len(sizes), dtype=np.uint64), sizes.astype(np.uint64)], axis=1)
    lot = rng.keys(names, seed=0, salt=salt)
    order = np.lexsort((lot, parent))
    for children in np.split(order, np.flatnonzero(np.diff(parent[order])) + 1):
        if len(children):
            out[children] = water_fill(sizes[children].tolist(), int(amounts[parent[children[0]]]))
    return out
