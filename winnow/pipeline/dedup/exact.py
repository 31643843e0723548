"""Exact duplicates: rows whose 16-byte hash is equal; the smallest doc_id stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Group, Kind, Schema
from winnow.core.words.hashing import as_lanes

NO_TEXT = bytes(16)  # what a null text hashes to


@dataclass(frozen=True, kw_only=True)
class Exact(Group):
    """Rows with the same text hash are one document; the one with the smallest doc_id is kept.

    All 128 bits are compared. A row without a hash (null, or the hash of a null text) is nobody's duplicate.
    Source: own
    """

    name: ClassVar[str] = "exact"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    by: str = "text_hash"  # a 16-byte binary column

    def needs(self) -> tuple[str, ...]:
        """doc_id and the hash."""
        return ("doc_id", self.by)

    def outputs(self) -> Schema:
        """`kept`; `duplicate_of` (the kept doc_id, null for kept rows); `exact_cluster_size` (1: unique)."""
        return {"kept": pa.bool_(), "duplicate_of": pa.binary(16), "exact_cluster_size": pa.int32()}

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where `by` is no column of 16-byte values."""
        kind = types[self.by]
        if kind not in (pa.binary(16), pa.binary(), pa.large_binary()):
            hint = "name a column of hashes, such as `text_hash`"
            raise ConfigError(f"{self.by!r} is {kind}, not 16 bytes", where="by", hint=hint)

    def key_schema(self) -> Schema:
        """The full hash travels with the row: its first half alone is only the way to the bucket."""
        return {"hash": pa.binary(16)}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One key row per document with a hash: (key = first word of the hash, doc_id, hash)."""
        present = rows.filter(pl.col(self.by).is_not_null() & (pl.col(self.by) != pl.lit(NO_TEXT)))
        lanes = as_lanes(present[self.by].to_arrow())
        return present.select(
            pl.Series("key", np.ascontiguousarray(lanes[:, 0])), "doc_id", pl.col(self.by).alias("hash")
        )

    def answer_schema(self) -> Schema:
        """The keeper and the number of equal rows; only rows that have an equal are answered."""
        return {"keeper": pa.binary(16), "exact_cluster_size": pa.int32()}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """(doc_id, keeper, size) of every row whose hash occurs more than once."""
        equal = rows.group_by("hash").agg(keeper=pl.col("doc_id").min(), exact_cluster_size=pl.len().cast(pl.Int32))
        answers = rows.select("doc_id", "hash").join(
            equal.filter(pl.col("exact_cluster_size") > 1), on="hash", how="inner", maintain_order="left"
        )
        return answers.select("doc_id", "keeper", "exact_cluster_size")

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs for `rows`; a row without an answer has no equal.

        Raises: DataError where a document is answered twice.
        """
        joined = rows.select("doc_id").join(answers, on="doc_id", how="left", maintain_order="left")
        if joined.height != rows.height:
            raise DataError(
                f"{joined.height} answers for {rows.height} documents",
                hint="doc_id must be unique in a row space",
            )
        twin = pl.col("keeper").is_not_null() & (pl.col("keeper") != pl.col("doc_id"))
        return joined.select(
            kept=~twin,
            duplicate_of=pl.when(twin).then("keeper"),
            exact_cluster_size=pl.col("exact_cluster_size").fill_null(1),
        )
