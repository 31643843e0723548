"""Semantic deduplication within clusters, and the removal of prototypes after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut as threshold_fold
from winnow.core.numerics import knn, numeric, rng
from winnow.core.numerics.water_filling import exact_shares
from winnow.core.operators import Context, Schema, Whole
from winnow.selectors.balance.clusters import by_lot, clustered, directions, root
from winnow.selectors.coverage import picking

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Order = Literal["hard", "easy", "random"]

TILE = 1024
NOTED_EPS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)


@dataclass(frozen=True, kw_only=True)
class SemDeDup(Whole):
    """Documents that no earlier one of their cluster resembles: `kept`, `weight` 1 or 0, `semdedup_similarity`.

    Within a cluster documents are ordered: `hard` farthest from the centre first, `easy` nearest first, or
    `random` by lot; ties by doc_id. `semdedup_similarity` is the largest cosine with any earlier document, removed
    ones too (null for the first), and a document is removed where it is above 1 - `eps`. A larger `eps` removes
    more. With `share` instead, the documents of the least similarity are kept, that share of the candidates with a
    vector, rounded down; ties by doc_id. The metric `kept_at` says what other values of `eps` would keep.

    `cluster` and `similarity` are columns of `clusters`. Near-duplicates in different clusters are not compared.
    Documents without a vector or a cluster are not kept and are counted.

    Raises:
        DataError: vectors differ in length or hold NaN, or `similarity` has no number for a clustered document.
    Cost: half the sum of squared cluster sizes * dim multiply-adds at BLAS speed, in tiles of 1,024 x 1,024.
    Source: SemDeDup (Abbas et al. 2023).
    """

    name: ClassVar[str] = "semdedup"
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "dedup"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("cluster", "similarity", "vectors")

    eps: float | None = None
    share: float | None = None
    order: Order = "hard"
    cluster: str = "cluster"
    similarity: str = "cluster_similarity"
    vectors: str = "vector"
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """Identity, the cluster and, where it orders, the similarity to its centre."""
        return ("doc_id", self.cluster, *([] if self.order == "random" else [self.similarity]))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Similarity is null where there is nothing before."""
        return {**threshold_fold.SELECTION, "semdedup_similarity": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError unless one of `eps` and `share` is given, within its range."""
        if (self.eps is None) == (self.share is None):
            raise ConfigError("give `eps` or `share`", where="eps", hint="`eps: 0.05`, or the share to keep")
        if self.eps is not None and not 0 <= self.eps <= 2:
            raise ConfigError(f"eps is {self.eps}, and lies in [0, 2]", where="eps")
        if self.share is not None:
            check_share(self.share, "share")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice: the stage's and as they are read."""
        return 0.35 + rows * (250 + 2 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verdict on all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=False)
        inside = rows[place]
        some = inside[self.cluster].is_not_null().to_numpy()
        if not some.all():
            grid, place, inside = grid[some], place[some], inside.filter(pl.Series(some))
        home = inside[self.cluster].rank("dense").cast(pl.Int64).to_numpy()
        order = self._order(inside, home, ctx)
        most = before(grid, home, order)
        kept = most <= 1 - self.eps if self.eps is not None else lowest(most, share_of(self.share, len(place)))
        ctx.note("kept_at", {str(e): int((most <= 1 - e).sum()) for e in NOTED_EPS})
        ctx.note("largest_cluster", int(np.bincount(home).max(initial=0)))
        line = f"kept {int(kept.sum()):,} of {len(place):,} documents"
        picking.tell(ctx, rows.height, len(place), int(kept.sum()), "a vector or a cluster", line)
        weight, shown = np.zeros(rows.height), np.full(rows.height, np.nan)
        weight[place] = kept
        shown[place] = np.where(np.isinf(most), np.nan, most)
        return threshold_fold.selection(weight).with_columns(
            semdedup_similarity=pl.Series(shown, nan_to_null=True, dtype=pl.Float64)
        )

    def _order(self, inside: pl.DataFrame, home: Longs, ctx: Context) -> Longs:
        """Rows by cluster, then as `order` says, then by doc_id."""
        if self.order == "random":
            lot = rng.keys(inside["doc_id"], seed=ctx.seed, salt=f"semdedup\0{self.salt}")
            return np.lexsort((lot, home)).astype(np.int64)
        near = inside[self.similarity].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if np.isnan(near).any():
            raise DataError(f"{self.similarity!r} is null or NaN for a document with a cluster", where="similarity")
        return np.lexsort((near if self.order == "hard" else -near, home)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class D4(Whole):
    """A share of the documents without near-duplicates and prototypes: `kept`, `weight`, `d4_removed_by`.

    The documents with a vector are clustered and deduplicated as by `clusters` and `semdedup` down to
    `dedup_share` of them; the others are clustered anew, and of those the ones nearest to their centre are
    removed, until `share` of all documents with a vector is left, rounded down. `d4_removed_by` is `duplicate` or
    `prototype`, null where a document is kept or has no vector. Ties by doc_id.

    Raises:
        DataError: vectors differ in length or hold NaN.
    Cost: two runs of `clusters` and one of `semdedup`.
    Source: D4 (Tirumala et al. 2023); its share of 0.75 after deduplication from memory.
    """

    name: ClassVar[str] = "d4"
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    share: float
    dedup_share: float = 0.75
    clusters: int = 0
    order: Order = "hard"
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
        """Null in `d4_removed_by` for kept rows and rows without a vector."""
        return {**threshold_fold.SELECTION, "d4_removed_by": pa.large_string()}

    def validate(self) -> None:
        """Raise ConfigError for shares that do not fall, negative clusters or no round."""
        check_share(self.share, "share")
        check_share(self.dedup_share, "dedup_share")
        if self.share > self.dedup_share:
            hint = "deduplication leaves fewer than are wanted"
            raise ConfigError(f"share {self.share} is above dedup_share {self.dedup_share}", where="share", hint=hint)
        if self.clusters < 0 or self.iterations < 1:
            raise ConfigError("clusters are 0 (by size) or more, iterations 1 or more", where="clusters")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors three times: the stage's, the survivors' and as they are read."""
        return 0.35 + rows * (250 + 3 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verdict on all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=False)
        ids = rows["doc_id"].gather(place)
        first = by_lot(ids, ctx, f"d4\0{self.salt}")
        found, _ = clustered(grid, self.clusters or root(len(grid)), first, self.iterations)
        lot = rng.keys(ids, seed=ctx.seed, salt=f"d4 order\0{self.salt}") if self.order == "random" else None
        near = lot if lot is not None else found.similarity if self.order == "hard" else -found.similarity
        most = before(grid, found.home.astype(np.int64), np.lexsort((near, found.home)).astype(np.int64))
        unique = lowest(most, share_of(self.dedup_share, len(place)))
        left = np.flatnonzero(unique)
        again = by_lot(ids.gather(left), ctx, f"d4 again\0{self.salt}")
        second, _ = clustered(grid[left], self.clusters or root(len(left)), again, self.iterations)
        far = np.argsort(second.similarity, kind="stable")[: share_of(self.share, len(place))]
        why = np.zeros(rows.height, dtype=np.int64)
        why[place[~unique]], why[place[left]] = 1, 2
        why[place[left[far]]] = 0
        weight = np.zeros(rows.height)
        weight[place[left[far]]] = 1.0
        ctx.note("duplicates", int((~unique).sum()))
        ctx.note("prototypes", len(left) - len(far))
        ctx.note("dedup_threshold", float(most[unique & np.isfinite(most)].max(initial=-1.0)))
        line = f"kept {len(far):,} of {len(place):,} documents"
        picking.tell(ctx, rows.height, len(place), max(len(far), 1), "a vector", line)
        names = pl.Series([None, "duplicate", "prototype"], dtype=pl.String)
        return threshold_fold.selection(weight).with_columns(d4_removed_by=names.gather(why))


def before(grid: knn.Grid, home: Longs, order: Longs) -> Floats:
    """Largest cosine of every row with a row of its cluster that comes before it in `order`; -inf for the first.

    `order` has the clusters one after another. Products are whole numbers, and lengths divide them once: equal
    vectors have a cosine within 2^-51 of 1, and never above it.
    Cost: half the sum of squared cluster sizes * dim multiply-adds; tiles of TILE x TILE.
    """
    from winnow.selectors.coverage import near_kernels as kernels

    inverse, out = kernels.lengths(grid), np.full(len(grid), -np.inf)
    space = np.empty(TILE * TILE, dtype=np.float32)
    for members in runs(home, order):
        for low in range(0, len(members), TILE):
            right = members[low : low + TILE]
            columns, best = grid[right].astype(np.float32).T, np.full(len(right), -np.inf)
            for start in range(0, low + 1, TILE):
                left = members[start : start + TILE]
                products = knn.product(grid[left].astype(np.float32), columns, space)
                kernels.largest(products, inverse[left], start == low, best)
            out[right] = np.minimum(best * inverse[right], 1.0)
    return out


def runs(home: Longs, order: Longs) -> Iterator[Longs]:
    """The rows of one cluster after another, in `order`."""
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(home[order])) + 1)


def lowest(values: Floats, num: int) -> npt.NDArray[np.bool_]:
    """True for the `num` lowest values; of equal ones the first."""
    keep = np.zeros(len(values), dtype=np.bool_)
    keep[np.argsort(numeric.sortable(values), kind="stable")[:num]] = True
    return keep


def share_of(share: float | None, total: int) -> int:
    """The share of a total, rounded down."""
    assert share is not None
    return int(exact_shares([float(share)])[0] * total)


def check_share(share: float, field: str) -> None:
    """Raise ConfigError for a share outside (0, 1]."""
    if not 0 < share <= 1:
        raise ConfigError(f"{field} is {share}, and lies in (0, 1]", where=field)
