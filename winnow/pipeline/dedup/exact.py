"""Exact duplicates: rows of which a column is equal, as it is or in a normal form; one of them stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Group, Kind, Schema
from winnow.core.words.hashing import as_lanes
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.forms import Form, hashed

NO_TEXT = bytes(16)  # what a null text hashes to


@dataclass(frozen=True, kw_only=True)
class Exact(Group):
    """Rows with the same text are one document, or with the same value of the column `by`; one of them is kept.

    `by` may be any column: `url`, an id, `text`. With `form`, texts are compared in a normal form: `nfc` (Unicode NFC),
    `fold` (also without case, width and compatibility forms: NFKC_Casefold), `no_space` (without white space), `words`
    (folded words alone, without punctuation), `c_code` and `script_code` (without comments, `//` and `/* */` or `#`,
    and without white space that separates nothing). A text of which a form leaves nothing is compared as it is.

    `keeper` says which one stays, as ORDER BY: `quality desc, length(text) desc`; nulls last, ties by doc_id, which
    decides alone by default. `per` compares within equal values of columns only: a source, a dump.

    All 128 bits of the hash are compared. A row without a value in `by` (null; in a column besides the text an empty
    text too) or in `per` is nobody's duplicate.
    Source: own
    """

    name: ClassVar[str] = "exact"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("by", "keeper", "per")

    by: str = "text_hash"
    form: Form = "bytes"
    keeper: str = keepers.SMALLEST_ID
    per: tuple[str, ...] = ()

    def needs(self) -> tuple[str, ...]:
        """doc_id, the column, and those of the order and of the groups."""
        return tuple(dict.fromkeys(("doc_id", self.by, *self.per, *keepers.columns_of(self.keeper))))

    def outputs(self) -> Schema:
        """`kept`; `duplicate_of` (the kept doc_id, null for kept rows); `exact_cluster_size` (1: unique)."""
        return {"kept": pa.bool_(), "duplicate_of": pa.binary(16), "exact_cluster_size": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for an order that is none, or a form of hashes."""
        if self.keeper == keepers.LONGEST:
            hint = "write `keeper: text_bytes desc`, or an order by other columns"
            raise ConfigError("`longest` is a keeper of `minhash`", where="keeper", hint=hint)
        keepers.check_keeper(self.keeper)
        if self.form != "bytes" and self.by == "text_hash":
            raise ConfigError(f"a hash has no form {self.form}", where="form", hint="write `by: text` beside it")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where `by` has no values to compare, a form is not of texts, or the order is of none."""
        kind = types[self.by]
        if pa.types.is_nested(kind):
            raise ConfigError(f"{self.by!r} is {kind}", where="by", hint="name a column of texts, numbers or hashes")
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if self.form != "bytes" and not is_text:
            raise ConfigError(f"{self.by!r} is {kind}, and forms are of texts", where="form", hint="leave it out")
        keepers.check_keeper_types(self.keeper, types)
        keepers.check_per_types(self.per, types)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Rows that were compared with none."""
        if self.by == "text_hash" and not self.per:
            return ()
        return keepers.alone_remarks(counts, (self.by, *self.per))

    def key_schema(self) -> Schema:
        """The full hash travels with the row: its first half alone is only the way to the bucket."""
        order = {"keeper_order": pa.large_binary()} if keepers.is_order(self.keeper) else {}
        return {"hash": pa.binary(16), **order}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One key row per document with a hash: (key = first word of the hash, doc_id, hash, place in the order)."""
        rows = rows.filter(self._compared(rows))
        hashes = rows[self.by] if self.by == "text_hash" else hashed(rows[self.by], self.form)
        if self.per:
            hashes = keepers.combined(hashes, keepers.per_hashes(rows, self.per))
        lanes = as_lanes(hashes.to_arrow())
        made = [pl.Series("key", np.ascontiguousarray(lanes[:, 0])), rows["doc_id"], hashes.alias("hash")]
        if keepers.is_order(self.keeper):
            made.append(keepers.order_keys(rows, self.keeper))
        return pl.DataFrame(made)

    def _compared(self, rows: pl.DataFrame) -> pl.Series:
        """Whether a row has a value to be compared by, and one of every group."""
        values = rows[self.by]
        here = values.is_not_null()
        if self.by == "text_hash":
            here &= rows.select(pl.col(self.by) != pl.lit(NO_TEXT)).to_series()
        elif self.by != "text" and values.dtype in (pl.String, pl.Binary):
            here &= values.cast(pl.Binary).bin.size() > 0
        for name in self.per:
            here &= rows[name].is_not_null()
        return here.fill_null(value=False)

    def answer_schema(self) -> Schema:
        """The keeper and the number of equal rows; only rows that have an equal are answered."""
        return {"keeper": pa.binary(16), "exact_cluster_size": pa.int32()}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """(doc_id, keeper, size) of every row whose hash occurs more than once."""
        best = pl.col("doc_id").min()
        if keepers.is_order(self.keeper):
            best = pl.col("doc_id").sort_by("keeper_order", "doc_id").first()
        equal = rows.group_by("hash").agg(keeper=best, exact_cluster_size=pl.len().cast(pl.Int32))
        answers = rows.select("doc_id", "hash").join(
            equal.filter(pl.col("exact_cluster_size") > 1), on="hash", how="inner", maintain_order="left"
        )
        return answers.select("doc_id", "keeper", "exact_cluster_size")

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs for `rows`; a row without an answer has no equal.

        Raises: DataError where a document is answered twice.
        """
        ctx.count(keepers.ALONE, int((~self._compared(rows)).sum()))
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
