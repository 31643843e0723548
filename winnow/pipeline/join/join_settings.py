"""Fields of `join` and its sub-stages, each declared once for all that have it, and what keys and columns are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Schema, port
from winnow.pipeline.read.document import COLUMN_TYPES, column_name

MATCHED = "matched"

Keys = Literal["text", "doc_id", "id"]


@dataclass(frozen=True, kw_only=True)
class AnnotationFiles:
    """Where the annotations are, and which of their columns is the key."""

    files: tuple[str, ...] = port("files")
    key: str


@dataclass(frozen=True, kw_only=True)
class DocumentKey:
    """The column of the documents that is looked up."""

    on: str = "doc_id"


@dataclass(frozen=True, kw_only=True)
class AnnotationColumns:
    """Which columns of the annotations come along, and as what."""

    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AnnotationKeys:
    """What becomes of repeated keys, and whose ids the keys are."""

    duplicates: Literal["error", "first"] = "error"
    source: str = ""  # of the reader, for `on: id`; found where the rows come from one reader


def lookup_columns(columns: Mapping[str, str]) -> Schema:
    """`matched`, then the annotations' columns."""
    return {MATCHED: pa.bool_(), **{column_name(c): COLUMN_TYPES[kind] for c, kind in columns.items()}}


def keys_of(column: pa.Array, name: str) -> pa.Array:
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
