"""The `join` operator: columns from files that others made, by id, URL or any kept column.

`index` sorts the annotations by a hash of their key (files that are memory-mapped, whatever their size); the face
looks every document up in it, comparing whole keys, so a hash decides nothing. `used` and `counts` say how many
annotations and documents found each other. A lookup is a binary search per row: no exchange of the documents, and
an added crawl looks up its own parts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Composite, Derive, Schema, Scope, Sub, Union
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.pipeline.join.join_counts import JoinCounts
from winnow.pipeline.join.join_index import JoinIndex
from winnow.pipeline.join.join_lookup import JoinLookup
from winnow.pipeline.join.join_settings import (
    MATCHED,
    AnnotationColumns,
    AnnotationFiles,
    AnnotationKeys,
    DocumentKey,
    Keys,
    lookup_columns,
)
from winnow.pipeline.join.join_used import JoinUsed
from winnow.pipeline.read.document import COLUMN_TYPES, column_name, id_field

_TAKEN = (MATCHED, "state", "doc_id")


@dataclass(frozen=True, kw_only=True)
class Join(AnnotationKeys, AnnotationColumns, DocumentKey, AnnotationFiles, Composite):
    """Annotations from Parquet or JSONL files as columns, and `matched`: whether a document has one.

    `key` is the annotations' key column, `on` what it is compared with, byte for byte: `doc_id` (keys are 32 hex
    digits), `id` (the user's own ids, where the reader has `id: field:NAME`), or any text or integer column, such
    as a kept `url`. `columns` maps annotation columns to string, int64, float64 or bool. Documents without an
    annotation get nulls; two annotations of one key are an error unless `duplicates: first` takes the one that
    comes first in order of file path and row. `counts` says how many of both sides found nothing. Keys are compared
    as they are (no URL is normalised); a float column's NaN is null, counted per document.
    Source: own.
    """

    name: ClassVar[str] = "join"
    meaning: ClassVar[Mapping[str, Meaning]] = {
        "key": "records",
        "columns": "records",
        "on": "columns",
        "source": "free",
    }
    role: ClassVar[str] = "annotations"

    def outputs(self) -> Schema:
        """`matched`, then the annotations' columns."""
        return lookup_columns(self.columns)

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
            **part_of(self, AnnotationFiles), **part_of(self, AnnotationColumns),
            duplicates=self.duplicates, keys=keys, source=source,
        )  # fmt: skip
        used = JoinUsed(index=".index", on=on)
        face = JoinLookup(index=".index", on=on, **part_of(self, AnnotationColumns))
        rows: dict[str, Any] = {"inputs": scope.inputs, "where": scope.where, "refs": {"index": ".index"}}
        return [
            Sub(name="index", operator=index),
            Sub(name="used", operator=used, **rows),
            Sub(name="counts", operator=JoinCounts(index=".index", used=".used"),
                refs={"index": ".index", "used": ".used"}),
            Sub(name="lookup", operator=face, **rows),
        ]  # fmt: skip


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
        sources = ", ".join(f"{name} (id: {rule})" for name, rule in named.items())
        raise ConfigError(
            f"`on: id` needs rows of one reader with `id: field:NAME`; these come from {sources}",
            where="on", hint="join by a kept column (`on: url`), or say `source:` of the reader whose ids are meant",
        )  # fmt: skip
    return str(getattr(next(iter(readers.values())), "source", ""))
