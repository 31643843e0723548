"""MinHash, second: candidates that share a band, each verified by exact Jaccard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Group, Kind, Schema
from winnow.core.words.hashing import as_lanes

if TYPE_CHECKING:
    from winnow.pipeline.dedup.locate import Located
from winnow.pipeline.dedup.minhash_settings import Banding, Proposing, Similarity, check_at_least_one, check_threshold

FULL_GROUP = 128
NEIGHBOURS = 16
EVERY = 1 << 62  # more rows than any group has
CANDIDATES = "candidates"  # counter: pairs of which the sets were compared


@dataclass(frozen=True, kw_only=True)
class Pairs(Proposing, Banding, Similarity, Group):
    """Pairs of documents whose exact Jaccard similarity reaches the threshold.

    Source: banding after Indyk and Motwani 1998, as in Leskovec, Rajaraman, Ullman, Mining of Massive
    Datasets, chapter 3; verification own.
    """

    name: ClassVar[str] = "minhash_pairs"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.TABLE
    version: ClassVar[int] = 2  # 2: the places of both documents are kept beside the table
    locates: ClassVar[tuple[str, ...]] = ("a", "b")

    parted: bool = False  # only documents of one `per_hash` are compared

    def needs(self) -> tuple[str, ...]:
        """doc_id and the signature, and the group; shingles are read by position."""
        return ("doc_id", "signature", *(("per_hash",) if self.parted else ()))

    def key_schema(self) -> Schema:
        """The key of the band and the group, where there are groups: `key` is of both then."""
        return {"band": pa.uint64(), "per_hash": pa.binary(16)} if self.parted else {}

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a pair is verified by."""
        return ("signature", "shingles")

    def outputs(self) -> Schema:
        """`a` < `b` (doc_id), `jaccard` in [threshold, 1], `group_rows` of the group that found it."""
        return {"a": pa.binary(16), "b": pa.binary(16), "jaccard": pa.float64(), "group_rows": pa.int64()}

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1] or bands without rows."""
        check_at_least_one(self, "num_bands", "rows_per_band")
        check_threshold(self.threshold)

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One row per band of every document with a signature: (key, doc_id)."""
        from winnow.pipeline.dedup import minhash_kernels
        from winnow.pipeline.dedup.locate import addresses

        present = rows.filter(pl.all_horizontal(pl.exclude("doc_id").is_not_null()))
        signatures = addresses(present["signature"].to_arrow(), np.arange(present.height))
        self._check(signatures)
        key = minhash_kernels.band_keys(signatures.address, self.num_bands, self.rows_per_band)
        repeat = np.repeat(np.arange(present.height), self.num_bands)
        key = key.reshape(-1)
        sent = pl.DataFrame({"key": key, "doc_id": present["doc_id"].gather(repeat)})
        if not self.parted:
            return sent
        group = as_lanes(present["per_hash"].to_arrow())[repeat, 0]
        both = key ^ (group * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1))
        return sent.with_columns(key=pl.Series(both), band=pl.Series(key), per_hash=present["per_hash"].gather(repeat))

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verified pairs of whole key groups."""
        from winnow.pipeline.dedup import minhash_kernels
        from winnow.pipeline.dedup.locate import locate

        same = ["band", "per_hash"] if self.parted else ["key"]
        shared = rows.filter(pl.len().over(same) > 1).with_columns(group_rows=pl.len().over(same).cast(pl.Int64))
        group = band = shared["key"].to_numpy()
        if self.parted:
            shared = shared.sort(*same, "doc_id")
            number = pl.struct(same).rle_id().cast(pl.UInt64)
            group, band = shared.select(number).to_series().to_numpy(), shared["band"].to_numpy()
        access = ctx.rows()
        signature = locate(access, "signature", shared["_part"], shared["_row"])
        self._check(signature)
        shingles = locate(access, "shingles", shared["_part"], shared["_row"])
        full = EVERY if self.all_pairs else FULL_GROUP
        shape = (self.num_bands, self.rows_per_band, full, NEIGHBOURS)
        left, right, score, candidates = minhash_kernels.verified_pairs(
            band,
            group,
            signature.address,
            shingles.address,
            shingles.size,
            shape,
            self.threshold,
        )
        ctx.count(CANDIDATES, int(candidates))
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
