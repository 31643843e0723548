"""Semantic deduplication, then the removal of prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import rng, selections
from winnow.core.numerics.directions import by_lot, clustered, directions, root
from winnow.core.numerics.earlier_neighbours import Order, before, lowest
from winnow.core.numerics.water_filling import check_share, share_of
from winnow.core.operators import Context, Schema, Whole


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
    informs: ClassVar[tuple[str, ...]] = ("d4_removed_by",)
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
        return {**selections.SELECTION, "d4_removed_by": pa.large_string()}

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
        clusters, _ = clustered(grid, self.clusters or root(len(grid)), first, self.iterations)
        lot = rng.keys(ids, seed=ctx.seed, salt=f"d4 order\0{self.salt}") if self.order == "random" else None
        near = lot if lot is not None else clusters.similarity if self.order == "hard" else -clusters.similarity
        most = before(grid, clusters.home.astype(np.int64), np.lexsort((near, clusters.home)).astype(np.int64))
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
        selections.note_summary(ctx, rows.height, len(place), "a vector", line)
        names = pl.Series([None, "duplicate", "prototype"], dtype=pl.String)
        return selections.by_weight(weight).with_columns(d4_removed_by=names.gather(why))
