"""Sampling through a tree of clusters: space is covered evenly, however the documents crowd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, knn, rng, selections, spherical_kmeans
from winnow.core.numerics.directions import by_lot
from winnow.core.numerics.walk import MOST_LEGS, is_full
from winnow.core.numerics.water_filling import water_fill
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import picking

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Hierarchical(Whole):
    """A sample through a tree of clusters: `kept`, `weight`, the times used, and `cluster`, the finest one.

    `levels` are numbers of clusters from fine to coarse: the first clusters the documents, each further one the
    centres before it. With `rounds` above 0, every level is refined so often: k-means again on the `nearest`
    members of each cluster, then all are assigned anew, which moves centres from where documents crowd towards even
    cover (level l takes the l-th of `nearest`, or its last). Documents are shared out from the top: every
    cluster gets the same, what small ones cannot take rises in the others, and units left over go by lot. In a
    finest cluster documents are drawn by lot, or the nearest to the centre are taken (`leaf: closest`).

    A budget in documents, or a share of the candidates, is used to the last one, or all there are. For tokens and
    bytes the number of documents is the largest whose sum stays within the budget: the sample grows one document
    at a time, and passes over a document that is too large for what is left (docs/concepts.md). With `max_repeats` a
    cluster can take so many times what it holds, whole rounds first, and `weight` counts them. Documents without a
    vector or a cost are not kept and are counted.

    Raises:
        DataError: vectors differ in length or hold NaN; a cost is negative or not whole.
    Cost: `clusters` per level and round; the vectors and 60 bytes per row.
    Source: automatic data curation by hierarchical k-means (Vo et al. 2024); whole-number arithmetic own.
    """

    name: ClassVar[str] = "hierarchical"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("cluster",)
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    budget: Budget
    levels: tuple[int, ...]
    rounds: int = 0
    nearest: tuple[int, ...] = (10, 5, 3)
    leaf: Literal["lot", "closest"] = "lot"
    max_repeats: int = 1
    vectors: str = "vector"
    iterations: int = 20
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """Identity and, for tokens and bytes, the cost; vectors are read by position."""
        return selections.columns_of(*selections.cost_columns(self.budget.unit))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """`cluster` is null where a row has no vector or no cost."""
        return {**selections.SELECTION, "cluster": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, levels that do not fall, or counts below 1."""
        selections.check_budget(self.budget)
        if not self.levels or min(self.levels) < 1 or list(self.levels) != sorted(set(self.levels), reverse=True):
            hint = "from fine to coarse, as [1000, 100, 10]"
            raise ConfigError(f"levels are {list(self.levels)}", where="levels", hint=hint)
        if self.rounds < 0 or self.iterations < 1 or not self.nearest or min(self.nearest) < 1:
            raise ConfigError("rounds are 0 or more, iterations and nearest 1 or more", where="rounds")
        if self.max_repeats < 1:
            raise ConfigError(f"max_repeats is {self.max_repeats}, and must be 1 or more", where="max_repeats")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice: the stage's and as they are read."""
        return 0.35 + rows * (250 + 2 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The sample of all rows in doc_id order."""
        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=False)
        ids = rows["doc_id"].gather(place)
        homes, similarity = self._tree(grid, by_lot(ids, ctx, f"hierarchical\0{self.salt}"))
        lot = rng.keys(ids, seed=ctx.seed, salt=f"hierarchical leaf\0{self.salt}")
        budget = self.budget.of(rows.height)
        salts = [f"{ctx.seed}/{self.salt}/{level}" for level in range(len(homes))]
        times = self._times(homes, lot if self.leaf == "lot" else -similarity, cost, budget, salts)
        weight, cluster = np.zeros(rows.height), np.full(rows.height, -1, dtype=np.int32)
        weight[place], cluster[place] = times, homes[0]
        ctx.note("clusters", [int(home.max(initial=-1)) + 1 for home in homes])
        ctx.note("most_from_one_cluster", int(np.bincount(homes[0], weights=times, minlength=1).max()))
        fills.note_picks(ctx, self.budget, budget, cost, np.flatnonzero(times), times=times, ended="repeats do not fit")
        kept = int((times > 0).sum())
        line = f"kept {kept:,} of {len(place):,} documents with a vector and a cost"
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost", line)
        return selections.by_weight(weight).with_columns(cluster=pl.Series(cluster).set(pl.Series(cluster < 0), None))

    def _times(
        self, homes: Sequence[Longs], key: npt.NDArray[np.generic], cost: Longs, budget: int, salts: Sequence[str]
    ) -> Longs:
        """How often every document is used: as the sample grows, one use at a time, as far as the budget goes."""
        uses, most = self._growth(homes, key, salts), self.max_repeats * len(cost)
        passed = cost > budget
        for _ in range(MOST_LEGS):
            paid = np.where(passed, 0, cost)
            fits = lambda num, paid=paid: int(uses(num) @ paid) <= budget  # noqa: E731
            num = largest(most, fits) if selections.cost_columns(self.budget.unit) else min(budget, most)
            times: Longs = np.where(passed, 0, uses(num))
            left = budget - int(times @ cost)
            too_large = ~passed & (cost > left) & (times == 0)
            if num == most or is_full(left, budget) or not too_large.any():
                break
            passed |= too_large
        return times

    def _growth(
        self, homes: Sequence[Longs], key: npt.NDArray[np.generic], salts: Sequence[str]
    ) -> Callable[[int], Longs]:
        """A function: how often every document is used where so many are shared out, ranked in a cluster by the key."""
        sizes = [np.bincount(homes[0]).astype(np.int64)]
        for up in homes[1:]:
            sizes.append(np.bincount(up, weights=sizes[-1]).astype(np.int64))
        rank = ranks_inside(homes[0], key)

        def uses(num: int) -> Longs:
            share = down_the_tree(num, homes, [self.max_repeats * size for size in sizes], salts)
            each, more = np.divmod(share, np.maximum(sizes[0], 1))
            return each[homes[0]] + (rank < more[homes[0]])

        return uses

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
        clusters = spherical_kmeans.assign(points, centres)
        for _ in range(self.rounds):
            near = nearest_members(clusters.home, clusters.similarity, most)
            again = order[near[order]]
            centres = spherical_kmeans.fit(points[again], len(centres), order=np.arange(len(again)),
                                           iterations=self.iterations).grid  # fmt: skip
            clusters = spherical_kmeans.assign(points, centres)
        used, home = np.unique(clusters.home, return_inverse=True)
        return home.astype(np.int64), clusters.similarity, centres[used]


def nearest_members(home: npt.NDArray[np.int32], similarity: npt.NDArray[np.int32], most: int) -> npt.NDArray[np.bool_]:
    """True for the `most` rows of every cluster that are nearest to its centre, ties by row."""
    return ranks_inside(home, -similarity) < most


def ranks_inside(home: npt.NDArray[np.integer], key: npt.NDArray[np.generic]) -> Longs:
    """The place of every row among those of its cluster by ascending key, from 0, ties by row; i64[rows]."""
    order = np.lexsort((key, home))
    out = np.empty(len(home), dtype=np.int64)
    out[order] = np.arange(len(home)) - np.concatenate([[0], np.cumsum(np.bincount(home))])[home[order]]
    return out


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 0 to `most` that fits, where all below one that fits do and 0 does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def down_the_tree(num: int, homes: Sequence[Longs], capacity: Sequence[Longs], salts: Sequence[str]) -> Longs:
    """Documents per finest cluster where `num` are shared out from the top, i64; no less for a larger `num`."""
    share = np.array([num])
    for level in range(len(capacity) - 1, -1, -1):
        above = homes[level + 1] if level + 1 < len(homes) else np.zeros(len(capacity[level]), dtype=np.int64)
        share = shared(share, above, capacity[level], salts[level])
    return share


def shared(amounts: Longs, parent: Longs, sizes: Longs, salt: str) -> Longs:
    """Documents per child, i64: every parent's amount water-filled over its children, leftovers by lot.

    Sums are exact: min(amount, what the children hold). A larger amount gives no child less. A pure function of
    the sizes and the salt.
    """
    out = np.zeros(len(sizes), dtype=np.int64)
    names = np.stack([np.arange(len(sizes), dtype=np.uint64), sizes.astype(np.uint64)], axis=1)
    lot = rng.keys(names, seed=0, salt=salt)
    order = np.lexsort((lot, parent))
    for children in np.split(order, np.flatnonzero(np.diff(parent[order])) + 1):
        if len(children):
            out[children] = water_fill(sizes[children].tolist(), int(amounts[parent[children[0]]]))
    return out
