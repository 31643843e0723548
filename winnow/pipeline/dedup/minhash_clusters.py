"""MinHash, third: who stands for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.operators import Context, Linked, Schema, port
from winnow.core.operators.effect import ReadAt
from winnow.core.words.distinct import distinct
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
class Clusters(Softening, Keeping, Similarity, Linked):
    """Kept or not, the cluster, its size and the similarity to the kept document, from verified pairs.

    Source: own
    """

    name: ClassVar[str] = "minhash_clusters"
    role: ClassVar[str] = "dedup"
    read_at: ClassVar[ReadAt] = KEEPING_AT

    pairs: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """doc_id, the number of distinct shingles and the order of keepers; shingles are read by position."""
        return ("doc_id", "num_shingles", *(("keeper_order",) if keepers.is_order(self.keeper) else ()))

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a member is compared with its keeper by."""
        return ("shingles",)

    def outputs(self) -> Schema:
        """Columns of every row; see `MinHash`."""
        return {**outputs_of(self.contained), **self.soft_outputs()}

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1]."""
        check_threshold(self.threshold)

    def solve(self, rows: pl.DataFrame, left: Rows, right: Rows, ctx: Context) -> pl.DataFrame:
        """The outputs of the rows of whole pieces, in doc_id order."""
        columns = self.columns_of(rows, left, right, ctx)
        for name, value in self.sizes_of(columns).items():
            ctx.note(name, value)
        return softened(columns, "minhash_cluster_size") if self.soft else columns

    def columns_of(self, rows: pl.DataFrame, left: Rows, right: Rows, ctx: Context) -> pl.DataFrame:
        """The outputs of rows with their pairs."""
        weight = self._weight(rows)
        if self.linkage == "leader":
            chosen, sizes = _leaders(rows, left, right, weight, (self.threshold, self.contained or 0.0), ctx)
        else:
            from winnow.core.numerics.components import components
            from winnow.pipeline.dedup import minhash_kernels

            chosen, sizes = minhash_kernels.keepers(components(rows.height, left, right), weight)
        return self._columns(rows, chosen, sizes, ctx)

    def sizes_of(self, columns: pl.DataFrame) -> dict[str, Any]:
        """How many clusters there are of each size, and the largest ones, as `noted` takes them."""
        kept = columns.filter(pl.col("kept") & (pl.col("minhash_cluster_size") > 1))
        number = kept.group_by("minhash_cluster_size").len().sort("minhash_cluster_size")
        largest = kept.sort("minhash_cluster_size", "cluster", descending=[True, False]).head(SHOWN)
        named = [[s, bytes(c).hex()] for s, c in largest.select("minhash_cluster_size", "cluster").rows()]
        return {"sizes": [list(row) for row in number.rows()], "largest": named}

    def alone(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Kept, in no cluster."""
        nothing = {name: pl.Series(pa.nulls(rows.height, kind)) for name, kind in self.outputs().items()}
        size = pl.repeat(1, rows.height, dtype=pl.Int32, eager=True)
        kept = pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True)
        columns = pl.DataFrame(nothing | {"kept": kept, "minhash_cluster_size": size, "chained": ~kept})
        return softened(columns.drop("weight"), "minhash_cluster_size") if self.soft else columns

    def noted(self, notes: Sequence[Mapping[str, Any]], pairs: int, counts: Mapping[str, int]) -> dict[str, Any]:
        """What was compared and found, the sizes of clusters, and the largest of them by their kept documents."""
        candidates = counts.get(CANDIDATES, pairs)
        sizes: Counter[int] = Counter()
        for one in notes:
            sizes.update(dict(one["sizes"]))
        largest = sorted((-size, cluster) for one in notes for size, cluster in one["largest"])[:SHOWN]
        return {
            "summary": "",  # the funnel says how many were removed, in how many clusters
            "candidates": candidates,
            "verified": pairs,
            "false_share": 1 - pairs / candidates if candidates else 0.0,
            "cluster_sizes": {str(size): sizes[size] for size in sorted(sizes)[:MOST_NOTED]},
            "largest": {cluster: -size for size, cluster in largest},
        }

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


def _jaccards(rows: pl.DataFrame, one: Rows, two: Rows, ctx: Context) -> npt.NDArray[np.float64]:
    """Exact Jaccard of row one[i] and row two[i] by their shingle sets, f64[pairs]."""
    from winnow.pipeline.dedup import minhash_kernels
    from winnow.pipeline.dedup.locate import locate

    both = distinct(np.concatenate([one, two]))
    sets = locate(ctx.rows(), "shingles", rows["_part"].gather(both), rows["_row"].gather(both))
    left, right = np.searchsorted(both, one), np.searchsorted(both, two)
    return cast("npt.NDArray[np.float64]", minhash_kernels.jaccards(sets.address, sets.size, left, right))
