"""JSON Lines, plain or compressed: one object a line, each judged alone.

Every record is judged by itself, so a bad one never changes what becomes of its neighbours and the cut of a
file never changes a record. Plain lines are read many at a time by a compiled pass (`jsonl_kernels`), which
leaves whatever is unusual to orjson; both give the same documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa

from winnow.core.errors import did_you_mean
from winnow.core.operators import Bad, Derive, FileSlice, FoundFile, Schema, Tell, port
from winnow.core.operators.contract import Meaning
from winnow.core.store.packing import with_packed
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.document import (
    KEPT,
    NO_DOC_ID,
    READER_FIELDS,
    RefusedError,
    Rows,
    check_columns,
    check_found,
    check_id,
    check_packing,
    check_record_limit,
    check_text_field,
    declared,
    extra_columns,
    id_field,
)
from winnow.pipeline.read.json_fields import MISSING, TAKERS, getter, loads, nullable
from winnow.pipeline.read.jsonl_blocks import MOST_SLOW, BlockParser
from winnow.pipeline.read.presence import Presence

_BOM = b"\xef\xbb\xbf"
_DOC_ID = re.compile("[0-9a-fA-F]{32}")
_JSON_SPACE = b" \t\r"
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
_NAMES: Mapping[type, str] = {
    str: "a string", int: "a number", float: "a number", bool: "a boolean",
    list: "an array", dict: "an object", type(None): "null",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Jsonl(Derive):
    """Documents from JSON Lines files (plain, .gz, .zst, .bz2, .xz), one per object.

    Lines that are no object with a string `text_field` are quarantined under one of: invalid_json,
    invalid_utf8, lone_surrogate, not_an_object, missing_text, null_text, text_type, missing_id, column_type,
    too_large, truncated. Blank lines are no records; "" is a document. Dotted names reach into objects;
    `columns` keeps `meta.lang` as `meta_lang`, null and counted where absent. A string column takes any JSON value
    (non-strings as JSON text). Bare NaN, Infinity and -Infinity, as Python writes them, are read: in a float64 column
    NaN is null and counted, an infinity is kept; columns of other types refuse the record.
    Source: own.
    """

    name: ClassVar[str] = "jsonl"
    version: ClassVar[int] = 2
    meaning: ClassVar[Mapping[str, Meaning]] = READER_FIELDS
    suffixes: ClassVar[tuple[str, ...]] = with_packed(".jsonl", ".json", ".ndjson")
    splittable: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".json")
    no_data: ClassVar[tuple[str, ...]] = ("_", ".")
    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    text_field: str = "text"
    id: str = "position"
    columns: dict[str, str | dict[str, str]] = field(default_factory=dict)  # or NAME: {from: FIELD, type: string}
    max_record_mb: int = 256
    on_truncated: Literal["error", "keep"] = "error"

    def outputs(self) -> Schema:
        """The declared extra columns."""
        return extra_columns(self.columns)

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id)
        check_columns(self.columns)
        check_text_field(self.text_field)
        check_record_limit(self.max_record_mb)

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """All files. Raises: ConfigError for archives and compressions that cannot be read."""
        check_found(found)
        check_packing(found)
        return list(found)

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is the record's byte offset in the decompressed file.

        Cost: per core about 1 ns a byte; of a line that is left to the slow path 2 us more and 2 ns a byte;
        memory of a few pieces and the largest record.
        """
        parse = _Parser(self)
        rows = Rows(self.outputs(), with_ids=parse.with_ids)
        cap = self.max_record_mb * 1_000_000
        for piece in unit:
            stream = ByteStream(piece, keep_truncated=self.on_truncated == "keep")
            if parse.blocks is None:
                for offset, line in stream.lines(cap):
                    self._add(rows, parse, stream, offset, line, bad)
                    if rows.full:
                        yield rows.take()
            else:
                yield from self._read_blocks(rows, parse, stream, cap, bad)
            if stream.truncated:
                message = f"the compressed stream ends early, at decompressed byte {stream.end}"
                bad(Bad(origin=f"{piece.rel}#{stream.end}", error="truncated", message=message))
        if rows:
            yield rows.take()
        parse.presence.tell(bad)

    def _read_blocks(self, rows: Rows, parse: _Parser, stream: ByteStream, cap: int, bad: Tell) -> Iterator[pa.Table]:
        """Tables of the lines that the kernel takes; others go to `rows`, which come out where they lie."""
        assert parse.blocks is not None
        for offset, data in stream.blocks(cap):
            if data is None:
                self._add(rows, parse, stream, offset, None, bad)
                continue
            block = parse.blocks(data, offset, stop=stream.last, cap=cap)
            slow = int((~block.taken).sum())
            runs = block.runs() if slow * MOST_SLOW <= len(block.taken) else [(0, len(block.taken), False)]
            for first, last, taken in runs:
                if taken:
                    if rows:
                        yield rows.take()
                    lines = (block.line(row)[1] for row in range(first, last))
                    parse.presence.add_block(block.lacking[first:last, int(parse.with_ids) :], lines)
                    yield block.table(first, last, stream.piece.rel, self.outputs(), with_ids=parse.with_ids)
                    continue
                for row in range(first, last):
                    start, line = block.line(row)
                    self._add(rows, parse, stream, start, line if len(line) <= cap else None, bad)
                    if rows.full:
                        yield rows.take()

    def _add(self, rows: Rows, parse: _Parser, stream: ByteStream, offset: int, line: bytes | None, bad: Tell) -> None:
        """One line judged alone: a document, bad, or blank."""
        rel = stream.piece.rel
        try:
            record = self._record(parse, line, offset)
        except RefusedError as refused:
            if not stream.truncated:  # else it is the broken end, reported in the end
                bad(Bad(origin=f"{rel}#{offset}", error=refused.error, message=str(refused)))
            return
        if record is not None:
            text, identity, extra = record
            rows.add(text, rel, str(offset), size=len(line or b""), identity=identity, extra=extra)

    def _record(self, parse: _Parser, line: bytes | None, offset: int) -> tuple[str, str, list[Any]] | None:
        """(text, id, extra values); None for a blank line. Raises: RefusedError."""
        if line is None:
            raise RefusedError("too_large", f"the record is longer than {self.max_record_mb} MB (`max_record_mb`)")
        if offset == 0:
            line = line.removeprefix(_BOM)
        try:
            return parse(line)
        except orjson.JSONDecodeError as error:
            if not line.strip(_JSON_SPACE):
                return None
            raise _why(line, error) from None


class _Parser:
    """bytes of one line -> (text, id, extra values)."""

    def __init__(self, reader: Jsonl) -> None:
        self._text_field = reader.text_field
        self._text = getter(reader.text_field)
        named = id_field(reader.id)
        self._id_field, self._id = named, getter(named) if named else None
        columns = [(column.field, column.kind) for column in declared(reader.columns)]
        self._keeps = reader.id == KEPT
        self._columns = [(name, getter(name), TAKERS[kind]) for name, kind in columns]
        self.with_ids = named is not None
        self.presence = Presence([name for name, _ in columns])
        takes = [(name, nullable(TAKERS[kind])) for name, kind in columns]
        if named:
            takes = [(named, self._identity), *takes]
        flat = "." not in "".join([reader.text_field, *(name for name, _ in takes)])
        self.blocks = BlockParser(reader.text_field, takes) if flat else None  # a dotted name reaches into objects

    def __call__(self, line: bytes) -> tuple[str, str, list[Any]]:
        row = loads(line)
        if type(row) is not dict:
            raise RefusedError("not_an_object", f"the line is {_NAMES[type(row)]}, not an object")
        text = self._text(row)
        if type(text) is not str:
            raise self._no_text(row, text)
        identity = "" if self._id is None else self._identity(self._id(row))
        values = [get(row) for _, get, _ in self._columns]
        extra = [self._taken(*column, value) for column, value in zip(self._columns, values, strict=True)]
        self.presence.add_record([value is MISSING for value in values], row)
        return text, identity, extra

    def _identity(self, value: Any) -> str:
        if value is MISSING or value is None or value == "" or (type(value) is float and math.isnan(value)):
            raise RefusedError("missing_id", f"the record has no {self._id_field!r}")
        if self._keeps and not (type(value) is str and _DOC_ID.fullmatch(value)):
            raise RefusedError("missing_id", f"{value!r} is {NO_DOC_ID}")
        return value if type(value) is str else orjson.dumps(value).decode()

    def _no_text(self, row: dict[str, Any], value: Any) -> RefusedError:
        name = self._text_field
        if value is MISSING:
            return RefusedError("missing_text", f"the record has no {name!r}; {did_you_mean(name, row)}")
        if value is None or (type(value) is float and math.isnan(value)):
            return RefusedError("null_text", f"{name!r} is {'null' if value is None else 'NaN'}")
        return RefusedError("text_type", f"{name!r} is {_NAMES[type(value)]}, not a string")

    @staticmethod
    def _taken(name: str, _get: Callable[[Any], Any], take: Callable[[Any], Any], value: Any) -> Any:
        if value is MISSING or value is None:
            return None
        try:
            return take(value)
        except ValueError as error:
            endless = type(value) is float and not math.isfinite(value)
            found = f"{value} (declare float64)" if endless else _NAMES[type(value)]
            raise RefusedError("column_type", f"{name!r} is {found}, not {error}") from None


def _why(line: bytes, error: orjson.JSONDecodeError) -> RefusedError:
    """The class of a line that does not parse."""
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        packed = next((end for magic, end in _PACKED.items() if line.startswith(magic)), "")
        hint = f"; it begins like a {packed} file: let its name end in {packed}" if packed else ""
        return RefusedError("invalid_utf8", f"byte {wrong.start} of the line is not UTF-8{hint}")
    kind = "lone_surrogate" if "surrogate" in error.msg else "invalid_json"
    return RefusedError(kind, f"{error.msg} at character {error.pos} of {len(line)} bytes")
