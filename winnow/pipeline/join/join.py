"""The `join` operator: columns from files that others made, by id, URL or any kept column.

`index` sorts the annotations by a hash of their key (files that are memory-mapped, whatever their size); the face
looks every document up in it, comparing whole keys, so a hash decides nothing. `used` and `counts` say how many
annotations and documents found each other. A lookup is a binary search per row: no exchange of the documents, and
an added crawl looks up its own parts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import (
    ArrowColumns,
    Composite,
    Context,
    Derive,
    Group,
    Job,
    Kind,
    MapArrow,
    Resources,
    Schema,
    Scope,
    Sub,
    Union,
    port,
)
from winnow.pipeline.read.document import COLUMN_TYPES, column_name, id_field

MATCHED = "matched"
_TAKEN = (MATCHED, "state", "doc_id")
_NOWHERE = 1 << 63  # keys of documents without an annotation, spread over this many groups:
_NOWHERE_GROUPS = 1024

Keys = Literal["text", "doc_id", "id"]


@dataclass(frozen=True, kw_only=True)
class Join(Composite):
    """Annotations from Parquet or JSONL files as columns, and `matched`: whether a document has one.

    `key` is the annotations' key column, `on` what it is compared with, byte for byte: `doc_id` (keys are 32 hex
    digits), `id` (the user's own ids, where the reader has `id: field:NAME`), or any text or integer column, such
    as a kept `url`. `columns` maps annotation columns to string, int64, float64 or bool. Documents without an
    annotation get nulls; two annotations of one key are an error unless `duplicates: first` takes the one that
    comes first in order of file path and row. `counts` tells how many of both sides found nothing. Keys are compared
    as they are (no URL is normalised); a float column's NaN is null.
    Source: own.
    """

    name: ClassVar[str] = "join"
    role: ClassVar[str] = "annotations"

    files: tuple[str, ...] = port("files")
    key: str
    on: str = "doc_id"
    columns: dict[str, str] = field(default_factory=dict)
    duplicates: Literal["error", "first"] = "error"
    source: str = ""  # of the reader, for `on: id`; found where the rows come from one reader

    def outputs(self) -> Schema:
        """`matched`, then the annotations' columns."""
        return _outputs(self.columns)

    def validate(self) -> None:
        """Raises: ConfigError where a name or type cannot work."""
        for name in ("key", "on"):
            if not getattr(self, name):
                raise ConfigError(f"`{name}` names no column", where=name, hint="name one")
        for column, kind in self.columns.items():
            if kind not in COLUMN_TYPES:
                hint = did_you_mean(kind, COLUMN_TYPES)
                raise ConfigError(f"unknown type {kind!r}", where=f"columns.{column}", hint=hint)
            if not column or column_name(column) in _TAKEN or column.startswith("_"):
                hint = "these names are taken: " + ", ".join(_TAKEN)
                raise ConfigError(f"a column cannot be called {column!r}", where=f"columns.{column}", hint=hint)
        if len({column_name(c) for c in self.columns}) < len(self.columns):
            raise ConfigError("two fields give one column", where="columns", hint="keep one of them")

    def expand(self, scope: Scope) -> list[Sub]:
        """`index`, `used` (annotation -> documents), `counts`, and the lookup, which is the face."""
        keys, on, source = _meaning(self, scope)
        index = JoinIndex(
            files=self.files, key=self.key, columns=self.columns, duplicates=self.duplicates, keys=keys, source=source
        )
        used = JoinUsed(index=".index", on=on)
        face = JoinLookup(index=".index", on=on, columns=self.columns)
        rows: dict[str, Any] = {"inputs": scope.inputs, "where": scope.where, "refs": {"index": ".index"}}
        return [
            Sub(name="index", operator=index),
            Sub(name="used", operator=used, **rows),
            Sub(name="counts", operator=JoinCounts(index=".index", used=".used"),
                refs={"index": ".index", "used": ".used"}),
            Sub(name="lookup", operator=face, **rows),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JoinIndex(Job):
    """Annotations sorted by a hash of their keys, as files to be memory-mapped; counts as metrics.

    Cost: about 2 us a record for JSONL, less for Parquet. Memory: about 1 GB for up to 32 GB of annotations (they
    are dealt to at most 256 buckets by hash, one of which is sorted at a time), then in proportion.
    Source: own.
    """

    kind: ClassVar[Kind] = Kind.ARTEFACT
    name: ClassVar[str] = "join_index"
    role: ClassVar[str] = "annotations"
    resources: ClassVar[Resources] = Resources(memory_gb=2)

    files: tuple[str, ...] = port("files")
    key: str
    columns: dict[str, str] = field(default_factory=dict)
    duplicates: Literal["error", "first"] = "error"
    keys: Keys = "text"
    source: str = ""

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the index; how many annotations, rows without a key and repeated rows there are.

        Raises: DataError on repeated keys and unreadable records; ConfigError where a file lacks a column.
        """
        from winnow.pipeline.join import join_files, join_index

        paths = [str(path) for path in ctx.refs["files"]]
        tables = join_files.read(paths, self.key, self.columns)
        shaped = join_files.shaped(tables, self.keys, self.source)
        return join_index.build(
            shaped, ctx.work, files=paths, first_wins=self.duplicates == "first", columns=self.columns
        )


@dataclass(frozen=True, kw_only=True)
class JoinLookup(MapArrow):
    """`matched` and the columns of the annotation whose key equals the document's; null where there is none.

    Source: own.
    """

    name: ClassVar[str] = "join_lookup"
    role: ClassVar[str] = "annotations"
    columns_from: ClassVar[tuple[str, ...]] = ("on",)

    index: str = port("ref")
    on: str = "doc_id"
    columns: dict[str, str] = field(default_factory=dict)

    def needs(self) -> tuple[str, ...]:
        """The column that is looked up."""
        return (self.on,)

    def outputs(self) -> Schema:
        """`matched`, then the annotations' columns."""
        return _outputs(self.columns)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> columns; the index is mapped, not loaded."""
        from winnow.pipeline.join import join_index

        index = join_index.opened(ctx.ref("index").files())

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = index.find(_keys_of(batch.column(self.on), self.on))
            names = [MATCHED, *(column_name(c) for c in self.columns)]
            arrays = [pa.array(found >= 0), *(index.column(i, found) for i in range(len(self.columns)))]
            return pa.RecordBatch.from_arrays(arrays, names=names)

        return columns


@dataclass(frozen=True, kw_only=True)
class JoinUsed(Group):
    """Annotations that documents asked for: `annotation` (row of the index; -1: none), `documents` (how many).

    Source: own.
    """

    kind: ClassVar[Kind] = Kind.TABLE
    name: ClassVar[str] = "join_used"
    role: ClassVar[str] = "annotations"
    columns_from: ClassVar[tuple[str, ...]] = ("on",)

    index: str = port("ref")
    on: str = "doc_id"

    def needs(self) -> tuple[str, ...]:
        """The id and the column that is looked up."""
        return tuple(dict.fromkeys(("doc_id", self.on)))

    def outputs(self) -> Schema:
        """One row per annotation that was found, some rows of -1 for the documents that found none."""
        return {"annotation": pa.int64(), "documents": pa.int64()}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The annotation's row as key."""
        import numpy as np

        from winnow.core.store.ids import as_fixed
        from winnow.core.words.hashing import as_lanes
        from winnow.pipeline.join import join_index

        column = rows[self.on].to_arrow(compat_level=pl.CompatLevel.oldest())
        found = join_index.opened(ctx.ref("index").files()).find(_keys_of(column, self.on))
        spread = as_lanes(as_fixed(rows["doc_id"]))[:, 0] % np.uint64(_NOWHERE_GROUPS)
        key = np.where(found >= 0, found.astype(np.uint64), spread | np.uint64(_NOWHERE))
        return pl.DataFrame({"key": pl.Series(key, dtype=pl.UInt64), "doc_id": rows["doc_id"]})

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Documents per key, in order of the keys."""
        counted = rows.group_by("key", maintain_order=True).agg(documents=pl.len().cast(pl.Int64))
        known = pl.when(pl.col("key") < _NOWHERE).then(pl.col("key")).otherwise(None)
        return counted.select(known.cast(pl.Int64).fill_null(-1).alias("annotation"), "documents")


@dataclass(frozen=True, kw_only=True)
class JoinCounts(Job):
    """How many annotations and how many documents found each other, and some annotations that nobody asked for.

    Cost: 16 bytes of memory per annotation that was found.
    Source: own.
    """

    name: ClassVar[str] = "join_counts"
    role: ClassVar[str] = "annotations"

    index: str = port("ref")
    used: str = port("ref")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Counts of both sides."""
        from winnow.pipeline.join import join_index

        metrics = ctx.ref("index").result()
        table = ctx.ref("used").frame("annotation", "documents")
        found = table.filter(pl.col("annotation") >= 0)
        documents, matched = int(table["documents"].sum()), int(found["documents"].sum())
        index = join_index.opened(ctx.ref("index").files())
        out = {
            **metrics,
            "matched_annotations": found.height,
            "unmatched_annotations": metrics["annotations"] - found.height,
            "unmatched_keys": index.examples(found["annotation"].to_numpy()),
            "documents": documents,
            "matched_documents": matched,
            "unmatched_documents": documents - matched,
        }
        _note(out, ctx)
        return out


def _note(counts: Mapping[str, Any], ctx: Context) -> None:
    """All counts, and a line."""
    for name, value in counts.items():
        ctx.note(name, value)
    told = f"{counts['matched_documents']:,} of {counts['documents']:,} documents matched"
    told += f", {counts['unmatched_annotations']:,} of {counts['annotations']:,} annotations unused"
    repeated = counts["repeated"]
    ctx.note("summary", told + (f", {repeated:,} repeated key{'s' * (repeated != 1)}" if repeated else ""))


def _outputs(columns: Mapping[str, str]) -> Schema:
    return {MATCHED: pa.bool_(), **{column_name(c): COLUMN_TYPES[kind] for c, kind in columns.items()}}


def _meaning(join: Join, scope: Scope) -> tuple[Keys, str, str]:
    """(what the annotations' keys are, document column, source that ids are hashed with)."""
    if join.on == "doc_id":
        return "doc_id", "doc_id", ""
    if join.on != "id":
        return "text", join.on, ""
    return "id", "doc_id", join.source or _source_of_ids(scope)


def _source_of_ids(scope: Scope) -> str:
    """`source` of the one reader that the rows come from. Raises: ConfigError where there is not one with ids."""
    if not scope.inputs:
        raise ConfigError("`join` needs `inputs`", where="inputs", hint="name a reader stage")
    todo, readers = [scope.space(scope.inputs[0])], {}
    while todo:
        sub = scope.lookup(todo.pop())
        if isinstance(sub.operator, Derive):
            readers[sub.name] = sub.operator
        else:
            below = sub.inputs if isinstance(sub.operator, Union) else sub.inputs[:1]
            todo += [scope.space(name) for name in below]
    named = {name: str(getattr(reader, "id", "")) for name, reader in sorted(readers.items())}
    if len(readers) != 1 or not id_field(next(iter(named.values()))):
        told = ", ".join(f"{name} (id: {rule})" for name, rule in named.items())
        raise ConfigError(
            f"`on: id` needs rows of one reader with `id: field:NAME`; these come from {told}",
            where="on", hint="join by a kept column (`on: url`), or say `source:` of the reader whose ids are meant",
        )  # fmt: skip
    return str(getattr(next(iter(readers.values())), "source", ""))


def _keys_of(column: pa.Array, name: str) -> pa.Array:
    """The documents' keys as large_binary. Raises: ConfigError for a column that is neither text nor integer."""
    kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.large_string()).cast(pa.large_binary())
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(pa.large_binary())
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.large_binary())
    raise ConfigError(f"column {name!r} is {kind}", where="on", hint="a key is text or an integer")
