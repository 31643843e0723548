"""Near-duplicates: MinHash finds candidates, exact Jaccard decides, a kept document stands for its cluster.

Three sub-stages with identities of their own: `signatures` (reads text; depends on the n-gram and the number
of hashes alone), `pairs` (candidates that share a band, each verified by exact Jaccard over the hashed
shingle sets), `clusters` (who stands for whom). Another threshold recomputes pairs and clusters
and reads no text.

What is exact and what is not. A pair is never reported below the threshold, and the numbers are integer
counts with one division. Candidates are found with probability 1 - (1 - J^rows)^bands: with 14 x 8, 0.77 at
J = 0.75 and 0.92 at J = 0.8 for long documents. A group of more than FULL_GROUP rows in one band is not
compared in full: its rows meet the group's first document and their next NEIGHBOURS in doc_id order, and the
pair says so in `group_rows`. Shingles are 32-bit hashes: two different n-grams collide with probability
2^-32.

A document is dropped only for a kept one that it resembles: documents are met in order (longest first), and
one is kept unless a kept one reaches the threshold with it. `linkage: components` drops all but one of every
connected component instead, as most tools do; that chains: A ~ B ~ C drops C for A although J(A, C) may be
below the threshold (measured on code-heavy text: a quarter of the removals, benchmarks/bench_peers.py). Every
dropped row carries the exact `keeper_jaccard`, and `chained` marks those below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import (
    ArrowColumns,
    Composite,
    Context,
    Group,
    Kind,
    MapArrow,
    Schema,
    Scope,
    Sub,
    Whole,
    port,
)
from winnow.core.words.hashing import Lanes, as_lanes

if TYPE_CHECKING:
    from winnow.pipeline.dedup.locate import Located

FULL_GROUP = 128
NEIGHBOURS = 16

Keeper = Literal["longest", "smallest_id"]
Linkage = Literal["leader", "components"]
Rows = npt.NDArray[np.int64]

OUTPUTS: Schema = {
    "kept": pa.bool_(),
    "cluster": pa.binary(16),
    "minhash_cluster_size": pa.int32(),
    "keeper_jaccard": pa.float64(),
    "chained": pa.bool_(),
}


@dataclass(frozen=True, kw_only=True)
class Signatures(MapArrow):
    """MinHash signature and the sorted set of hashed word n-grams of every text.

    Words as in `core.hashing.ngram_hashes`. A text of fewer words than `ngram` has one shingle; a text
    without a word has none and a null signature.
    Source: Broder 1997 (resemblance); one-permutation hashing after Li, Owen, Zhang 2012, empty bins filled
    by their own hash function (own).
    """

    name: ClassVar[str] = "minhash_signatures"
    role: ClassVar[str] = "dedup"

    ngram: int = 5
    num_hashes: int = 112

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`signature` (num_hashes u32), `shingles` (ascending, distinct), `num_shingles`."""
        return {
            "signature": pa.binary(4 * self.num_hashes),
            "shingles": pa.large_list(pa.uint32()),
            "num_shingles": pa.int32(),
        }

    def validate(self) -> None:
        """Raise ConfigError unless there is at least one word per n-gram and one hash."""
        _at_least_one(self, "ngram", "num_hashes")

    def open(self, ctx: Context) -> ArrowColumns:
        """Compiled kernels over the text buffers; no state."""
        return self._measure

    def _measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from winnow.pipeline.dedup.shingling import sketched

        offsets, shingles, slots = sketched(batch.column("text"), self.ngram, self.num_hashes)
        counts = np.diff(offsets)
        some = counts > 0
        bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
        types = self.outputs()
        columns = [
            pa.FixedSizeBinaryArray.from_buffers(types["signature"], len(counts), [bitmap, pa.py_buffer(slots)]),
            pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(shingles)),
            pa.array(counts.astype(np.int32)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(list(types.items())))


@dataclass(frozen=True, kw_only=True)
class Pairs(Group):
    """Pairs of documents whose exact Jaccard similarity reaches the threshold.

    Source: banding after Indyk and Motwani 1998, as in Leskovec, Rajaraman, Ullman, Mining of Massive
    Datasets, chapter 3; verification own.
    """

    name: ClassVar[str] = "minhash_pairs"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.TABLE

    threshold: float = 0.75
    num_bands: int = 14
    rows_per_band: int = 8

    def needs(self) -> tuple[str, ...]:
        """doc_id and the signature; shingles are read by position."""
        return ("doc_id", "signature")

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a pair is verified by."""
        return ("signature", "shingles")

    def outputs(self) -> Schema:
        """`a` < `b` (doc_id), `jaccard` in [threshold, 1], `group_rows` of the group that found it."""
        return {"a": pa.binary(16), "b": pa.binary(16), "jaccard": pa.float64(), "group_rows": pa.int64()}

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1] or bands without rows."""
        _at_least_one(self, "num_bands", "rows_per_band")
        _threshold(self.threshold)

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One row per band of every document with a signature: (key, doc_id)."""
        from winnow.pipeline.dedup import kernels
        from winnow.pipeline.dedup.locate import addresses

        present = rows.filter(pl.col("signature").is_not_null())
        found = addresses(present["signature"].to_arrow(), np.arange(present.height))
        self._check(found)
        key = kernels.band_keys(found.address, self.num_bands, self.rows_per_band)
        repeat = np.repeat(np.arange(present.height), self.num_bands)
        return pl.DataFrame({"key": key.reshape(-1), "doc_id": present["doc_id"].gather(repeat)})

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verified pairs of whole key groups."""
        from winnow.pipeline.dedup import kernels
        from winnow.pipeline.dedup.locate import locate

        shared = rows.filter(pl.len().over("key") > 1).with_columns(group_rows=pl.len().over("key").cast(pl.Int64))
        access = ctx.rows()
        signature = locate(access, "signature", shared["_part"], shared["_row"])
        self._check(signature)
        shingles = locate(access, "shingles", shared["_part"], shared["_row"])
        shape = (self.num_bands, self.rows_per_band, FULL_GROUP, NEIGHBOURS)
        left, right, score = kernels.verified_pairs(
            shared["key"].to_numpy(),
            signature.address,
            shingles.address,
            shingles.size,
            shape,
            self.threshold,
        )
        pairs = pl.DataFrame(
            {
                "a": shared["doc_id"].gather(left),
                "b": shared["doc_id"].gather(right),
                "jaccard": score,
                "group_rows": shared["group_rows"].gather(left),
            }
        )
        return pairs.filter(pl.col("a") != pl.col("b")).unique(maintain_order=True)

    def _check(self, signature: Located) -> None:
        """Kernels read by address: a signature of another length must never reach them."""
        expected = self.num_bands * self.rows_per_band
        if (signature.size != expected).any():
            raise DataError(f"a signature does not have {expected} hashes", hint="num_bands * rows_per_band")


@dataclass(frozen=True, kw_only=True)
class Clusters(Whole):
    """Kept or not, the cluster, its size and the similarity to the kept document, from verified pairs.

    Source: own
    """

    name: ClassVar[str] = "minhash_clusters"
    role: ClassVar[str] = "dedup"

    pairs: str = port("ref", default="")
    threshold: float = 0.75
    keeper: Keeper = "longest"
    linkage: Linkage = "leader"

    def needs(self) -> tuple[str, ...]:
        """doc_id and the number of distinct shingles; shingles are read by position."""
        return ("doc_id", "num_shingles")

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a member is compared with its keeper by."""
        return ("shingles",)

    def outputs(self) -> Schema:
        """Columns of every row; see `MinHash`."""
        return OUTPUTS

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1]."""
        _threshold(self.threshold)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs of all rows in doc_id order.

        Raises: DataError where a pair names a document that is not among the rows.
        """
        edges = ctx.ref("pairs").frame("a", "b")
        ids = _ascending(rows["doc_id"])
        left, right = (_positions(ids, edges[end]) for end in ("a", "b"))
        weight = rows["num_shingles"].fill_null(0).to_numpy().astype(np.int64)
        weight = weight if self.keeper == "longest" else np.zeros_like(weight)
        if self.linkage == "leader":
            chosen, sizes = _leaders(rows, left, right, weight, self.threshold, ctx)
        else:
            from winnow.pipeline.dedup import kernels
            from winnow.pipeline.dedup.components import components

            chosen, sizes = kernels.keepers(components(rows.height, left, right), weight)
        return self._columns(rows, chosen, sizes, ctx)

    def _columns(self, rows: pl.DataFrame, chosen: Rows, sizes: Rows, ctx: Context) -> pl.DataFrame:
        dropped = np.flatnonzero(chosen != np.arange(rows.height))
        score = np.zeros(rows.height, dtype=np.float64)
        score[dropped] = _jaccards(rows, dropped, chosen[dropped], ctx)
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
        return frame.with_columns(
            cluster=pl.when(pl.col("minhash_cluster_size") > 1).then("cluster"),
            keeper_jaccard=pl.when(~pl.col("kept")).then("keeper_jaccard"),
            chained=~pl.col("kept") & (pl.col("keeper_jaccard") < self.threshold),
        )


@dataclass(frozen=True, kw_only=True)
class MinHash(Composite):
    """Near-duplicates by MinHash, every pair verified by exact Jaccard; one document of a cluster is kept.

    `kept`; `cluster`: doc_id of the kept document (null for a row without duplicates);
    `minhash_cluster_size` (1: no duplicate); `keeper_jaccard` of a dropped row with the kept one (else
    null). `linkage` "leader" drops a row only for a kept one that reaches the threshold with it; "components"
    drops all but one of a connected component, and `chained` marks rows dropped although they are below the
    threshold with the kept one. `keeper` "longest" keeps the document with the most distinct shingles (ties: smallest
    doc_id).
    Source: Broder 1997 (resemblance); banding after Indyk and Motwani 1998; verification and audit own
    """

    name: ClassVar[str] = "minhash"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS

    threshold: float = 0.75
    ngram: int = 5  # words
    num_bands: int = 14
    rows_per_band: int = 8
    keeper: Keeper = "longest"
    linkage: Linkage = "leader"

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """The columns of the last sub-stage."""
        return OUTPUTS

    def validate(self) -> None:
        """Raise ConfigError for values that cannot work."""
        _at_least_one(self, "ngram", "num_bands", "rows_per_band")
        _threshold(self.threshold)

    def expand(self, scope: Scope) -> list[Sub]:
        """`signatures`, `pairs` and `clusters`; the mask goes to the first and the last."""
        signatures = Signatures(ngram=self.ngram, num_hashes=self.num_bands * self.rows_per_band)
        pairs = Pairs(threshold=self.threshold, num_bands=self.num_bands, rows_per_band=self.rows_per_band)
        clusters = Clusters(threshold=self.threshold, keeper=self.keeper, linkage=self.linkage)
        return [
            Sub(name="signatures", operator=signatures, inputs=scope.inputs, where=scope.where),
            Sub(name="pairs", operator=pairs, inputs=(".signatures",)),
            Sub(
                name="clusters",
                operator=clusters,
                inputs=(*scope.inputs, ".signatures"),
                refs={"pairs": ".pairs"},
                where=scope.where,
            ),
        ]


def _positions(ids: Lanes, wanted: pl.Series) -> Rows:
    """Row of every wanted doc_id; all must be there."""
    from winnow.pipeline.dedup import kernels

    found = kernels.positions(ids, _ascending(wanted))
    if (found < 0).any():
        stranger = wanted[int(np.flatnonzero(found < 0)[0])]
        raise DataError(f"a pair names document {bytes(stranger).hex()}, which is not among the rows")
    return cast("Rows", found)


def _leaders(
    rows: pl.DataFrame, left: Rows, right: Rows, weight: Rows, threshold: float, ctx: Context
) -> tuple[Rows, Rows]:
    """(kept row that stands for it, cluster size) of every row, by the leader rule."""
    from winnow.pipeline.dedup import kernels
    from winnow.pipeline.dedup.locate import locate

    paired = np.unique(np.concatenate([left, right]))
    one, two = np.searchsorted(paired, left), np.searchsorted(paired, right)
    source, target = np.concatenate([one, two]), np.concatenate([two, one])
    by_source = np.lexsort((target, source))
    starts = np.searchsorted(source[by_source], np.arange(len(paired) + 1))
    sets = locate(ctx.rows(), "shingles", rows["_part"].gather(paired), rows["_row"].gather(paired))
    order = np.lexsort((paired, -weight[paired]))
    found = kernels.leaders(order, starts, target[by_source], sets.address, sets.size, threshold)
    chosen = np.arange(rows.height)
    chosen[paired] = paired[found]
    return chosen, np.bincount(chosen, minlength=rows.height)[chosen]


def _ascending(doc_id: pl.Series) -> Lanes:
    """doc_id as big-endian words u64[rows, 2], whose order is the order of the bytes."""
    return as_lanes(doc_id.to_arrow()).byteswap()


def _jaccards(rows: pl.DataFrame, one: Rows, two: Rows, ctx: Context) -> npt.NDArray[np.float64]:
    """Exact Jaccard of row one[i] and row two[i] by their shingle sets, f64[pairs]."""
    from winnow.pipeline.dedup import kernels
    from winnow.pipeline.dedup.locate import locate

    both = np.unique(np.concatenate([one, two]))
    sets = locate(ctx.rows(), "shingles", rows["_part"].gather(both), rows["_row"].gather(both))
    left, right = np.searchsorted(both, one), np.searchsorted(both, two)
    return cast("npt.NDArray[np.float64]", kernels.jaccards(sets.address, sets.size, left, right))


def _at_least_one(operator: Any, *fields: str) -> None:
    for field in fields:
        if getattr(operator, field) < 1:
            raise ConfigError(f"{field} is {getattr(operator, field)}", where=field, hint="it must be 1 or more")


def _threshold(value: float) -> None:
    if not 0 < value <= 1:
        raise ConfigError(f"threshold is {value}", where="threshold", hint="a Jaccard index lies in (0, 1]")
