"""MinHash, third: who stands for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Schema, Whole, port
from winnow.core.operators.contract import Source
from winnow.core.operators.effect import ReadAt
from winnow.core.words.distinct import distinct
from winnow.core.words.hashing import Lanes, as_lanes
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup import minhash_earlier
from winnow.pipeline.dedup.minhash_pairs import CANDIDATES
from winnow.pipeline.dedup.minhash_settings import KEEPING_AT, Keeping, Similarity, check_threshold
from winnow.pipeline.dedup.soft import Softening, softened

Rows = npt.NDArray[np.int64]

MOST_NOTED, SHOWN = 1000, 5  # sizes of clusters; the largest of them

OUTPUTS: Schema = {
    "kept": pa.bool_(),
    "cluster": pa.binary(16),
    "minhash_cluster_size": pa.int32(),
    "keeper_jaccard": pa.float64(),
    "chained": pa.bool_(),
}


def outputs_of(contained: float | None, *, earlier: bool = False) -> Schema:
    """Columns of every row; the share that the kept one has of a dropped one where it decides."""
    share = {} if contained is None else {"keeper_contains": pa.float64()}
    return {**OUTPUTS, **share, **(minhash_earlier.ADDED if earlier else {})}


@dataclass(frozen=True, kw_only=True)
class Clusters(Softening, Keeping, Similarity, Whole):
    """Kept or not, the cluster, its size and the similarity to the kept document, from verified pairs.

    Source: own
    """

    name: ClassVar[str] = "minhash_clusters"
    role: ClassVar[str] = "dedup"
    read_at: ClassVar[ReadAt] = KEEPING_AT

    pairs: str = port("ref", default="")
    earlier: bool = False  # documents of earlier data stand for some rows

    def needs(self) -> tuple[str, ...]:
        """doc_id, the number of distinct shingles and the order of keepers; shingles are read by position."""
        order = ("keeper_order",) if keepers.is_order(self.keeper) else ()
        return ("doc_id", "num_shingles", *order, *(minhash_earlier.COLUMNS if self.earlier else ()))

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a member is compared with its keeper by."""
        return ("shingles",)

    def outputs(self) -> Schema:
        """Columns of every row; see `MinHash`."""
        return {**outputs_of(self.contained, earlier=self.earlier), **self.soft_outputs()}

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1]."""
        check_threshold(self.threshold)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs of all rows in doc_id order.

        Raises: DataError where a pair names a document that is not among the rows.
        """
        edges = ctx.ref("pairs").frame("a", "b")
        edges = minhash_earlier.without_earlier(edges, rows) if self.earlier else edges
        ids = _ascending(rows["doc_id"])
        left, right = (_positions(ids, edges[end]) for end in ("a", "b"))
        weight = self._weight(rows)
        if self.linkage == "leader":
            chosen, sizes = _leaders(rows, left, right, weight, (self.threshold, self.contained or 0.0), ctx)
        else:
            from winnow.core.numerics.components import components
            from winnow.pipeline.dedup import minhash_kernels

            chosen, sizes = minhash_kernels.keepers(components(rows.height, left, right), weight)
        columns = self._columns(rows, chosen, sizes, ctx)
        columns = minhash_earlier.with_earlier(columns, rows) if self.earlier else columns
        _audit(ctx, ctx.ref("pairs"), edges.height, columns)
        return softened(columns, "minhash_cluster_size") if self.soft else columns

    def _weight(self, rows: pl.DataFrame) -> Rows:
        """The row with the largest is kept, i64[rows]; of equal ones the first."""
        if self.keeper == keepers.LONGEST:
            return cast("Rows", rows["num_shingles"].fill_null(0).to_numpy().astype(np.int64))
        if self.keeper == keepers.SMALLEST_ID:
            return np.zeros(rows.height, dtype=np.int64)
        return -keepers.order_ranks(rows["keeper_order"])

    def _columns(self, rows: pl.DataFrame, chosen: Rows, sizes: Rows, ctx: Context) -> pl.DataFrame:
        dropped = np.flatnonzero(chosen != np.arange(rows.height))
        score, share = np.zeros((2, rows.height), dtype=np.float64)
        score[dropped] = _jaccards(rows, dropped, chosen[dropped], ctx)
        if self.contained is not None:
            sets = rows["num_shingles"].fill_null(0).to_numpy().astype(np.float64)
            jaccard, own, kept_one = score[dropped], sets[dropped], sets[chosen[dropped]]
            share[dropped] = np.rint(jaccard * (own + kept_one) / (1 + jaccard)) / np.maximum(own, 1)
        kept = np.ones(rows.height, dtype=np.bool_)
        kept[dropped] = False
        frame = pl.DataFrame(
            {
                "kept": kept,
                "cluster": rows["doc_id"].gather(chosen),
                "minhash_cluster_size": sizes.astype(np.int32),
                "keeper_jaccard": score,
            }
        )
        if self.contained is not None:
            contains = pl.when(~pl.col("kept")).then(pl.Series(share))
            frame = frame.with_columns(keeper_contains=contains)
        return frame.with_columns(
            cluster=pl.when(pl.col("minhash_cluster_size") > 1).then("cluster"),
            keeper_jaccard=pl.when(~pl.col("kept")).then("keeper_jaccard"),
            chained=~pl.col("kept") & (pl.col("keeper_jaccard") < self.threshold),
        ).select(list(outputs_of(self.contained)))


def _audit(ctx: Context, pairs: Source, verified: int, columns: pl.DataFrame) -> None:
    """Note what was compared and found, the sizes of clusters, and the largest of them by their kept documents."""
    candidates = pairs.counts.get(CANDIDATES, verified)
    ctx.note("summary", "")  # the funnel says how many were removed, in how many clusters
    ctx.note("candidates", candidates)
    ctx.note("verified", verified)
    ctx.note("false_share", 1 - verified / candidates if candidates else 0.0)
    kept = columns.filter(pl.col("kept") & (pl.col("minhash_cluster_size") > 1))
    sizes = kept.group_by("minhash_cluster_size").len().sort("minhash_cluster_size")
    ctx.note("cluster_sizes", {str(size): number for size, number in sizes.head(MOST_NOTED).rows()})
    largest = kept.sort("minhash_cluster_size", "cluster", descending=[True, False]).head(SHOWN)
    ctx.note("largest", {bytes(c).hex(): s for c, s in largest.select("cluster", "minhash_cluster_size").rows()})


def _positions(ids: Lanes, wanted: pl.Series) -> Rows:
    """Row of every wanted doc_id; all must be there."""
    from winnow.pipeline.dedup import minhash_kernels

    places = minhash_kernels.positions(ids, _ascending(wanted))
    if (places < 0).any():
        stranger = wanted[int(np.flatnonzero(places < 0)[0])]
        raise DataError(f"a pair names document {bytes(stranger).hex()}, which is not among the rows")
    return cast("Rows", places)


def _leaders(
    rows: pl.DataFrame, left: Rows, right: Rows, weight: Rows, least: tuple[float, float], ctx: Context
) -> tuple[Rows, Rows]:
    """(kept row that stands for it, cluster size) of every row, by the leader rule: `least` Jaccard and share."""
    from winnow.pipeline.dedup import minhash_kernels
    from winnow.pipeline.dedup.locate import locate

    paired = distinct(np.concatenate([left, right]))
    one, two = np.searchsorted(paired, left), np.searchsorted(paired, right)
    source, target = np.concatenate([one, two]), np.concatenate([two, one])
    by_source = np.lexsort((target, source))
    starts = np.searchsorted(source[by_source], np.arange(len(paired) + 1))
    sets = locate(ctx.rows(), "shingles", rows["_part"].gather(paired), rows["_row"].gather(paired))
    order = np.lexsort((paired, -weight[paired]))
    leader = minhash_kernels.leaders(order, starts, target[by_source], sets.address, sets.size, *least)
    chosen = np.arange(rows.height)
    chosen[paired] = paired[leader]
    return chosen, np.bincount(chosen, minlength=rows.height)[chosen]


def _ascending(doc_id: pl.Series) -> Lanes:
    """doc_id as big-endian words u64[rows, 2], whose order is the order of the bytes."""
    return as_lanes(doc_id.to_arrow()).byteswap()


def _jaccards(rows: pl.DataFrame, one: Rows, two: Rows, ctx: Context) -> npt.NDArray[np.float64]:
    """Exact Jaccard of row one[i] and row two[i] by their shingle sets, f64[pairs]."""
    from winnow.pipeline.dedup import minhash_kernels
    from winnow.pipeline.dedup.locate import locate

    both = distinct(np.concatenate([one, two]))
    sets = locate(ctx.rows(), "shingles", rows["_part"].gather(both), rows["_row"].gather(both))
    left, right = np.searchsorted(both, one), np.searchsorted(both, two)
    return cast("npt.NDArray[np.float64]", minhash_kernels.jaccards(sets.address, sets.size, left, right))
