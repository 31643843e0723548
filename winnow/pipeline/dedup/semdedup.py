"""Semantic deduplication within clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng, selections
from winnow.core.numerics.directions import directions
from winnow.core.numerics.earlier_neighbours import Longs, Order, before, lowest
from winnow.core.numerics.water_filling import check_share, share_of
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.effect import ReadAt, left_out
from winnow.pipeline.dedup.keeper import (
    check_keeper,
    check_keeper_types,
    columns_of,
    is_order,
    order_keys,
    order_ranks,
)
from winnow.pipeline.dedup.soft import ONE, Softening

NOTED_EPS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)


@dataclass(frozen=True, kw_only=True)
class SemDeDup(Softening, Whole):
    """Documents that no earlier one of their cluster resembles: `kept`, `weight` 1 or 0, `semdedup_similarity`.

    Within a cluster documents are ordered: `hard` farthest from the centre first, `easy` nearest first, `random` by
    lot, or as `keeper` says, ORDER BY over columns (`quality desc`; nulls last); ties by doc_id. `semdedup_similarity`
    is the largest cosine with any earlier document, removed ones too (null for the first), and a document is removed
    where it is above 1 - `eps`. A larger `eps` removes more. With `share` instead, the documents of the least
    similarity are kept, that share of the candidates with a vector, rounded down; ties by doc_id. The metric `kept_at`
    says what other values of `eps` would keep.

    With `soft: weights` a document above 1 - `eps` is not removed but weighs less: (1 - similarity) / `eps`, 0 for an
    exact copy, a multiple of 2^-20.

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
    informs: ClassVar[tuple[str, ...]] = ("semdedup_similarity",)
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("cluster", "similarity", "vectors", "keeper")
    read_at: ClassVar[ReadAt] = {"order": ("keeper", left_out), "salt": ("keeper", left_out)}

    eps: float | None = None
    share: float | None = None
    order: Order = "hard"
    cluster: str = "cluster"
    similarity: str = "cluster_similarity"
    vectors: str = "vector"
    salt: str = ""
    keeper: str = ""  # instead of `order`

    def needs(self) -> tuple[str, ...]:
        """Identity, the cluster and, where it orders, the similarity to its centre."""
        order = columns_of(self.keeper) if self.keeper else () if self.order == "random" else (self.similarity,)
        return tuple(dict.fromkeys(("doc_id", self.cluster, *order)))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Similarity is null where there is nothing before."""
        return {**selections.SELECTION, "semdedup_similarity": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError unless one of `eps` and `share` is given, within its range."""
        if (self.eps is None) == (self.share is None):
            raise ConfigError("give `eps` or `share`", where="eps", hint="`eps: 0.05`, or the share to keep")
        if self.eps is not None and not 0 <= self.eps <= 2:
            raise ConfigError(f"eps is {self.eps}, and lies in [0, 2]", where="eps")
        if self.share is not None:
            check_share(self.share, "share")
        if self.soft and not self.eps:
            raise ConfigError("weights fall from 1 at `eps` to 0", where="soft", hint="give `eps`, above 0")
        if self.keeper:
            check_keeper(self.keeper)
            if not is_order(self.keeper) or "text" in columns_of(self.keeper):
                hint = "`keeper: quality desc`, or `text_bytes desc` for the longest"
                raise ConfigError(f"{self.keeper!r} is no order over columns of numbers or labels", where="keeper",
                                  hint=hint)  # fmt: skip

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where `keeper` is of what has no order."""
        if self.keeper:
            check_keeper_types(self.keeper, types)

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
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cluster", line)
        weight, shown = np.zeros(rows.height), np.full(rows.height, np.nan)
        weight[place] = _softly(most, kept, self.eps) if self.soft and self.eps else kept
        shown[place] = np.where(np.isinf(most), np.nan, most)
        return selections.by_weight(weight).with_columns(
            semdedup_similarity=pl.Series(shown, nan_to_null=True, dtype=pl.Float64)
        )

    def _order(self, inside: pl.DataFrame, home: Longs, ctx: Context) -> Longs:
        """Rows by cluster, then as `order` or `keeper` says, then by doc_id."""
        if self.keeper:
            return np.lexsort((order_ranks(order_keys(inside, self.keeper)), home)).astype(np.int64)
        if self.order == "random":
            lot = rng.keys(inside["doc_id"], seed=ctx.seed, salt=f"semdedup\0{self.salt}")
            return np.lexsort((lot, home)).astype(np.int64)
        near = inside[self.similarity].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if np.isnan(near).any():
            raise DataError(f"{self.similarity!r} is null or NaN for a document with a cluster", where="similarity")
        return np.lexsort((near if self.order == "hard" else -near, home)).astype(np.int64)


def _softly(most: np.ndarray, kept: np.ndarray, eps: float) -> np.ndarray:
    """1 for the kept, and for the others less the nearer they are to an earlier one, in multiples of 2^-20."""
    return np.where(kept, 1.0, np.floor(np.clip((1 - np.where(kept, 0.0, most)) / eps, 0, 1) * ONE) / ONE)
