"""Columns of Parquet files and the like: where a name leads, values as declared types, rows that make a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import DataError, did_you_mean
from winnow.core.operators import FileSlice
from winnow.core.store.packing import packed_as
from winnow.core.store.remote_files import open_input
from winnow.core.store.shard_format import IDS, hex_of
from winnow.pipeline.read.document import COLUMN_TYPES, TABLE_BYTES

_TEXT = pa.large_string()
_OTHERS = {
    b"{": "JSON", b"[": "JSON", b"ARRO": "an Arrow file", b"PAR1": "a Parquet file",
    b"FEA1": "a Feather file of version 1",
}  # fmt: skip
_MAX_BATCH_ROWS = 2048  # dictionaries can make a small page a large batch


class ParquetBatch:
    """The columns of one record batch as documents need them."""

    def __init__(self, batch: pa.RecordBatch, fields: dict[str, list[str]], piece: FileSlice, group: str) -> None:
        self._batch, self._fields, self._piece, self._group = batch, fields, piece, group

    @property
    def file(self) -> FileSlice:
        """The file that the batch is of."""
        return self._piece

    def has(self, name: str) -> bool:
        """True where the file has the field."""
        return name in self._fields

    def rel(self) -> pa.Array:
        """The file's relative path, repeated."""
        return pa.repeat(pa.scalar(self._piece.rel, _TEXT), self._batch.num_rows)

    def locators(self, rows: pa.Array) -> pa.Array:
        """`rowgroup:row` of each row."""
        empty = pa.scalar("", _TEXT)
        return pc.binary_join_element_wise(pa.scalar(self._group, _TEXT), rows.cast(_TEXT), empty)

    def values(self, name: str) -> pa.Array:
        """The field's values; null where a struct above it is null. Dictionaries are decoded."""
        first, *rest = self._fields[name]
        array = self._batch.column(first)
        for step in rest:
            array = pc.struct_field(array, step)
        if not pa.types.is_dictionary(array.type):
            return array
        if pa.types.is_string_view(array.type.value_type):  # pyarrow does not decode these
            return array.dictionary.cast(_TEXT).take(array.indices)
        return array.cast(array.type.value_type)

    def text(self, name: str) -> tuple[pa.Array, pa.Array]:
        """(texts as large_string, mask of those that are no UTF-8 and came out null)."""
        array = self.values(name)
        if not is_text(array.type):
            raise self._mismatch(name, array.type, "string")
        return _utf8(array)

    def strings(self, name: str) -> tuple[pa.Array, pa.Array]:
        """Like `text`, but any type will do: numbers as digits, lists and structs as JSON."""
        array = self.values(name)
        if is_text(array.type):
            return _utf8(array)
        if array.type == pa.binary(16) and name in IDS:
            return hex_of(array), pa.repeat(pa.scalar(False), len(array))
        if pa.types.is_fixed_size_binary(array.type):
            raise self._mismatch(name, array.type, "string")
        whole = pa.repeat(pa.scalar(False), len(array))
        if pa.types.is_nested(array.type):
            values = [None if v is None else orjson.dumps(v, default=str).decode() for v in array.to_pylist()]
            return pa.array(values, _TEXT), whole
        try:
            return array.cast(_TEXT), whole
        except pa.ArrowNotImplementedError:
            raise self._mismatch(name, array.type, "string") from None

    def typed(self, name: str, kind: str) -> tuple[pa.Array, pa.Array]:
        """(values as the declared type, mask of those that do not fit and came out null)."""
        if kind == "string":
            return self.strings(name)
        array = self.values(name)
        if not _FITS[kind](array.type) and not pa.types.is_null(array.type):
            raise self._mismatch(name, array.type, kind)
        misfit = pa.repeat(pa.scalar(False), len(array))
        if array.type == pa.uint64() and kind == "int64":
            misfit = pc.fill_null(pc.greater(array, pa.scalar(2**63 - 1, pa.uint64())), False)
            array = pc.if_else(misfit, pa.scalar(None, pa.uint64()), array)
        return array.cast(COLUMN_TYPES[kind], safe=False), misfit

    def _mismatch(self, name: str, found: pa.DataType, wanted: str) -> DataError:
        hint = "declare the type the file has, or leave the column out"
        return DataError(f"column {name!r} is {found}, declared {wanted}", where=self._piece.rel, hint=hint)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_FITS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "int64": pa.types.is_integer,
    "float64": _is_number,
    "bool": pa.types.is_boolean,
}


def unreadable(piece: FileSlice, error: Exception, own: str = "Parquet") -> DataError:
    """What is wrong with a file that pyarrow does not read, in the words that help."""
    with suppress(OSError), open_input(piece.path) as file:
        head = file.read(10)
        if head.startswith(b"PARE") or "decrypt" in str(error).lower() or "encrypt" in str(error).lower():
            what, hint = f"{piece.path} is encrypted", "decrypt it first: winnow has no keys"
            return DataError(what, where=piece.rel, hint=hint)
        kind = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
        packed = packed_as(head)
        kind = f"a {packed} file" if packed else kind
        if kind and own not in kind:
            what = f"{piece.path} is no {own} file but {kind}"
            return DataError(what, where=piece.rel, hint="name it as what it is, under the reader for that")
    what = f"{piece.path} is corrupt or no {own} file: {error}"
    return DataError(what, where=piece.rel, hint="fetch the file again")


def has_field(schema: pa.Schema, name: str) -> bool:
    """True where `name` leads to something in a file of this schema."""
    return bool(_steps(schema, name))


def steps_to(schema: pa.Schema, name: str, piece: FileSlice) -> list[str]:
    """The names that lead to `name`: one for a column, several through structs. Raises: DataError."""
    found = _steps(schema, name)
    if found:
        return found
    first = name.split(".", maxsplit=1)[0]
    twice = schema.names.count(first)
    if twice > 1:
        what = f"{piece.path} has {twice} columns called {first!r}, and nothing says which is meant"
        raise DataError(what, where=piece.rel, hint="write the file again with one of them renamed or left out")
    near = did_you_mean(name, schema.names)
    hint = near if near.startswith("did you mean") else f"`text_field:`, `id:` and `columns:` say what is read; {near}"
    available = ", ".join(schema.names[:50])
    raise DataError(f"{piece.path} has no column {name!r} (it has: {available})", where=piece.rel, hint=hint)


def _steps(schema: pa.Schema, name: str) -> list[str]:
    if schema.get_field_index(name) >= 0:
        return [name]
    steps = name.split(".")
    if schema.names.count(steps[0]) == 1:
        kind = schema.field(steps[0]).type
        for step in steps[1:]:
            index = kind.get_field_index(step) if pa.types.is_struct(kind) else -1
            kind = kind.field(index).type if index >= 0 else None
        if kind is not None and len(steps) > 1:
            return steps
    return []


def batch_rows(group: Any, columns: Sequence[str]) -> int:
    """Rows that make about a table of the wanted columns."""
    size = 0
    for index in range(group.num_columns):
        chunk = group.column(index)
        path = chunk.path_in_schema
        if any(path == c or path.startswith(f"{c}.") for c in columns):
            size += chunk.total_uncompressed_size
    return int(max(1, min(_MAX_BATCH_ROWS, TABLE_BYTES * group.num_rows // max(size, 1))))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, if only as bytes."""
    checks = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _utf8(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(large_string values, mask of those that are no UTF-8 and came out null)."""
    raw = array.cast(pa.large_binary())
    try:
        return raw.cast(_TEXT), pa.repeat(pa.scalar(False), len(array))  # this cast checks every byte
    except pa.ArrowInvalid:
        values = [_decoded(value) for value in raw.to_pylist()]
        text = pa.array(values, _TEXT)
        return text, pc.and_(pc.is_null(text), pc.is_valid(raw))


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
