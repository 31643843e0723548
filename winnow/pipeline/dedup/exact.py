"""Exact duplicates: rows of which a column is equal, as it is or in a normal form; one of them stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Group, Kind, Schema, port
from winnow.core.words.hashing import as_lanes
from winnow.pipeline.dedup import index_files
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.exact_index import earlier, opened
from winnow.pipeline.dedup.exact_rows import ComparedBy, fields_of
from winnow.pipeline.dedup.index_files import Index
from winnow.pipeline.dedup.soft import Softening, softened


@dataclass(frozen=True, kw_only=True)
class Exact(Softening, ComparedBy, Group):
    """Rows with the same text are one document, or with the same value of the column `by`; one of them is kept.

    `by` may be any column: `url`, an id, `text`. With `form`, texts are compared in a normal form: `nfc` (Unicode NFC),
    `fold` (also without case, width and compatibility forms: NFKC_Casefold), `no_space` (without white space), `words`
    (folded words alone, without punctuation), `c_code` and `script_code` (without comments, `//` and `/* */` or `#`,
    and without white space that separates nothing). A text of which a form leaves nothing is compared as it is.

    `keeper` says which one stays, as ORDER BY: `quality desc, length(text) desc`; nulls last, ties by doc_id, which
    decides alone by default. `per` compares within equal values of columns only: a source, a dump.

    `against` names what earlier runs left by `dedup_index`: RUN/STAGE, or a folder of such files. The documents
    in there are keepers before all new ones: `duplicate_of` is the earlier doc_id then, and
    `earlier_origin` where it lay.

    With `soft: weights` nothing is removed: `weight` is 1 / `exact_cluster_size` (else 1), so that a cluster counts as
    one document; `duplicate_of` says whose copy a row is. `write` follows it with `repeat: weight`, a training by
    itself.

    All 128 bits of the hash are compared. A row without a value in `by` (null; in a column besides the text an empty
    text too) or in `per` is nobody's duplicate.
    Source: own
    """

    name: ClassVar[str] = "exact"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("by", "keeper", "per")
    of_runs: ClassVar[Mapping[str, tuple[str, ...]]] = {"against": ("exact_index",)}

    keeper: str = keepers.SMALLEST_ID
    against: tuple[str, ...] = port("files", default=())  # RUN/STAGE of a `dedup_index`, or a folder of its files

    def needs(self) -> tuple[str, ...]:
        """doc_id, the column, and those of the order and of the groups."""
        return tuple(dict.fromkeys(("doc_id", self.by, *self.per, *keepers.columns_of(self.keeper))))

    def outputs(self) -> Schema:
        """`kept`; `duplicate_of` (the kept doc_id, null for kept rows); `exact_cluster_size` (1: unique)."""
        origin = {"earlier_origin": pa.large_string()} if self.against else {}
        return {
            "kept": pa.bool_(),
            "duplicate_of": pa.binary(16),
            "exact_cluster_size": pa.int32(),
            **origin,
            **self.soft_outputs(),
        }

    def validate(self) -> None:
        """Raise ConfigError for an order that is none, or a form of hashes."""
        if self.keeper == keepers.LONGEST:
            hint = "write `keeper: text_bytes desc`, or an order by other columns"
            raise ConfigError("`longest` is a keeper of `minhash`", where="keeper", hint=hint)
        keepers.check_keeper(self.keeper)
        self.check_soft(self.against)
        if self.form != "bytes" and self.by == "text_hash":
            raise ConfigError(f"a hash has no form {self.form}", where="form", hint="write `by: text` beside it")

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where they are no indexes, or were made with other settings."""
        self._indexes(paths)

    def check_digests(self, digests: Mapping[str, str]) -> None:
        """Raise ConfigError where a file has changed since the index was made."""
        index_files.check_digests(digests)

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
        rows = rows.filter(self.compared(rows))
        hashes = self.hashes(rows)
        lanes = as_lanes(hashes.to_arrow())
        made = [pl.Series("key", np.ascontiguousarray(lanes[:, 0])), rows["doc_id"], hashes.alias("hash")]
        if keepers.is_order(self.keeper):
            made.append(keepers.order_keys(rows, self.keeper))
        return pl.DataFrame(made)

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
        ctx.count(keepers.ALONE, int((~self.compared(rows)).sum()))
        joined = rows.select("doc_id").join(answers, on="doc_id", how="left", maintain_order="left")
        if joined.height != rows.height:
            raise DataError(
                f"{joined.height} answers for {rows.height} documents",
                hint="doc_id must be unique in a row space",
            )
        size = pl.col("exact_cluster_size").fill_null(1)
        if self.against:
            found = earlier(self.hashes(rows).set(~self.compared(rows), None), self._indexes(ctx.refs["against"]))
            joined = pl.concat([joined, found], how="horizontal")
            size += pl.col("earlier").is_not_null().cast(pl.Int32)
            joined = joined.with_columns(keeper=pl.coalesce("earlier", "keeper"))
        twin = pl.col("keeper").is_not_null() & (pl.col("keeper") != pl.col("doc_id"))
        origin = ["earlier_origin"] if self.against else []
        columns = joined.select(*origin, kept=~twin, duplicate_of=pl.when(twin).then("keeper"), exact_cluster_size=size)
        columns = softened(columns, "exact_cluster_size") if self.soft else columns
        return columns.select(list(self.outputs()))

    def _indexes(self, paths: Sequence[str]) -> list[Index]:
        return opened(tuple(paths), ComparedBy(**fields_of(self)))
