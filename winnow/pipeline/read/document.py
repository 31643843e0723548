"""What the readers share: the fields that name records and columns, and the tables they yield."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import FileSlice, FoundFile, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.store.packing import UNSUPPORTED, USUAL

TABLE_BYTES = 4 << 20
COLUMN_TYPES: Final[Mapping[str, pa.DataType]] = {
    "string": pa.large_string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}
RESERVED = ("text", "origin", "rel", "locator", "doc_id", "text_hash", "text_bytes", "state")
Columns = Mapping[str, str | Mapping[str, str]]  # as a recipe declares them
READER_FIELDS: Final[Mapping[str, Meaning]] = {
    "base": "free", "source": "free", "text_field": "records", "id": "records", "columns": "records",
}  # fmt: skip
_FIELD = "field:"
KEPT = "doc_id"  # `id: doc_id`: the records have winnow's own ids, which stay as they are
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
NO_DOC_ID = "no doc_id of winnow's: 32 hex digits"


class RefusedError(Exception):
    """A record that is no document: `error` is the class that is counted, the message names the value."""

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        super().__init__(message[:400])


def column_name(field: str) -> str:
    """Name of the column that holds `field`: `meta.lang` is kept as `meta_lang`."""
    return field.replace(".", "_")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A declared column: its name, the field of the records that it is taken from, and its type."""

    name: str
    field: str
    kind: str


def declared(columns: Columns) -> list[Declared]:
    """`FIELD: type`, or `NAME: {from: FIELD, type: type}` for another name, as columns in their order."""
    out = []
    for key, value in columns.items():
        if isinstance(value, str):
            out.append(Declared(name=column_name(key), field=key, kind=value))
        else:
            out.append(Declared(name=key, field=value.get("from", key), kind=value.get("type", "string")))
    return out


def partitions(rel: str) -> dict[str, str]:
    """The `key=value` folders of a relative path, as Hive and Spark write columns that are not in the files."""
    found = (part.partition("=") for part in rel.split("/")[:-1])
    return {key: unquote(value) for key, equals, value in found if equals and key}


def of_partition(file: FileSlice, column: Declared, rows: int) -> pa.Array:
    """The column of a file that lacks it: the value its `key=value` folder says, else nulls. Raises: DataError."""
    value = partitions(file.rel).get(column.field, NO_PARTITION)
    kind = COLUMN_TYPES[column.kind]
    if value == NO_PARTITION:
        return pa.nulls(rows, kind)
    try:
        return pa.repeat(pa.scalar(value).cast(kind), rows)
    except pa.ArrowInvalid as error:
        what = f"the folder {column.field}={value} holds no {column.kind}"
        raise DataError(what, where=file.rel, hint="declare it as a string") from error


def extra_columns(columns: Columns) -> Schema:
    """Column name -> Arrow type of the declared extra fields, in their order."""
    return {column.name: COLUMN_TYPES[column.kind] for column in declared(columns)}


def id_field(identity: str) -> str | None:
    """NAME of `field:NAME`, `doc_id` of itself; None where documents are named by position or content."""
    if identity == KEPT:
        return KEPT
    return identity.removeprefix(_FIELD) if identity.startswith(_FIELD) else None


def check_id(identity: str, *, fields: bool = True) -> None:
    """Raises: ConfigError unless `identity` is position, content or (where `fields`) field:NAME."""
    if identity in ("position", "content") or (fields and id_field(identity)):
        return
    known = ["position", "content", *(["field:NAME", KEPT] if fields else [])]
    named = f"`id: {_FIELD}{identity}`, where that is a field of the records" if fields and identity else ""
    hint = "; ".join(filter(None, [named, did_you_mean(identity, known)]))
    raise ConfigError(f"{identity!r} does not say how documents are named", where="id", hint=hint)


def check_record_limit(max_record_mb: int) -> None:
    """Raises: ConfigError where no record could pass."""
    if max_record_mb < 1:
        raise ConfigError(f"{max_record_mb} MB holds no record", where="max_record_mb", hint="use 1 or more")


def check_text_field(name: str) -> None:
    """Raises: ConfigError where the field has no name."""
    if not name:
        raise ConfigError("the field that holds the text has no name", where="text_field", hint="name it")


def check_columns(columns: Columns) -> None:
    """Raises: ConfigError where a type is unknown or a column would stand where a reader's own does."""
    for key, value in columns.items():
        where = f"columns.{key}"
        for other in () if isinstance(value, str) else value.keys() - {"from", "type"}:
            raise ConfigError(f"a column has no {other!r}", where=where, hint="write {from: FIELD, type: string}")
        (column,) = declared({key: value})
        if column.kind not in COLUMN_TYPES:
            hint = did_you_mean(column.kind, COLUMN_TYPES)
            raise ConfigError(f"unknown type {column.kind!r}", where=where, hint=hint)
        if not column.field or not column.name or column.name in RESERVED or column.name[0] == "_":
            own = f"my_{column.name.strip('_') or 'name'}"
            hint = f"give it another name: `columns: {{{own}: {{from: {column.field}, type: {column.kind}}}}}`"
            raise ConfigError(
                f"a column cannot be called {column.name!r}: winnow's own are {', '.join(RESERVED)}",
                where=where,
                hint=hint,
            )
    names = [column.name for column in declared(columns)]
    if len(set(names)) < len(names):
        hint = "keep one of them, or name one: `NAME: {from: FIELD, type: string}`"
        raise ConfigError(f"two fields give one column: {sorted(names)}", where="columns", hint=hint)


def check_found(found: Sequence[FoundFile]) -> None:
    """Raises: ConfigError where two files share a relative path or a path is no text."""
    seen: dict[str, str] = {}
    for file in found:
        if file.rel in seen:
            raise ConfigError(
                f"{seen[file.rel]} and {file.path} are both {file.rel!r} relative to the base",
                where="files",
                hint="make the patterns disjoint, or set `base` so that the paths differ",
            )
        seen[file.rel] = file.path
        if not _encodable(file.rel):
            raise ConfigError(f"the file name {file.rel!r} is not UTF-8", where="files", hint="rename the file")


def check_packing(found: Sequence[FoundFile], refused: tuple[str, ...] = UNSUPPORTED) -> None:
    """Raises: ConfigError for archives and compressions that cannot be read."""
    for file in found:
        if file.rel.lower().endswith(refused):
            hint = f"repack it as {', '.join(end for end in USUAL if end not in refused)}, or narrow the pattern"
            raise ConfigError(f"cannot read the compression of {file.rel!r}", where="files", hint=hint)


def documents(
    *, text: pa.Array, rel: pa.Array, locator: pa.Array, ids: pa.Array | None, extra: Mapping[str, pa.Array]
) -> pa.Table:
    """A reader's table: `text`, `origin`, `rel`, `locator`, `_id` where given, then the extra columns."""
    addressed = pc.binary_join_element_wise(rel, locator, pa.scalar("#", pa.large_string()))
    origin = pc.if_else(pc.equal(pc.binary_length(locator), 0), rel, addressed)
    named = {} if ids is None else {"_id": ids}
    return pa.table({"text": text, "origin": origin, "rel": rel, "locator": locator, **named, **extra})


class Rows:
    """Documents collected one by one until they fill a table of about `TABLE_BYTES`."""

    def __init__(self, outputs: Schema, *, with_ids: bool) -> None:
        self._outputs, self._with_ids = outputs, with_ids
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        """True once the collected bytes reach a table's size."""
        return self._bytes >= TABLE_BYTES

    def add(
        self, text: str | bytes | memoryview, rel: str, locator: str, *, size: int, identity: str = "",
        extra: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """Append one document (all of a table as str, or all as bytes that are UTF-8); `size` is about its bytes,
        `extra` follows the declared columns.
        """
        self._rows.append((text, rel, locator, identity, *extra))
        self._bytes += size

    def take(self) -> pa.Table:
        """The collected documents (at least one) as a table; the collection is empty afterwards."""
        text, rel, locator, ids, *extra = zip(*self._rows, strict=True)
        kind = pa.large_string()
        table = documents(
            text=pa.array(text, kind) if type(text[0]) is str else _joined(text),
            rel=pa.array(rel, kind),
            locator=pa.array(locator, kind),
            ids=pa.array(ids, kind) if self._with_ids else None,
            extra={n: pa.array(v, k) for (n, k), v in zip(self._outputs.items(), extra, strict=True)},
        )
        self._rows, self._bytes = [], 0
        return table


def _joined(texts: Sequence[bytes | memoryview]) -> pa.Array:
    """Texts that are known to be UTF-8 as a column. Cost: each byte is copied once, and not looked at."""
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
