"""JSON objects to documents: what readers of them share, whatever stands between the objects.

Every record is judged by itself, so a bad one never changes what becomes of its neighbours. Plain ones are read
many at a time by a compiled pass (`jsonl_kernels`), which leaves whatever is unusual to orjson; both give the same
documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa

from winnow.core.errors import did_you_mean
from winnow.core.operators import Bad, Tell
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.charset import utf16_hint
from winnow.pipeline.read.document import KEPT, NO_DOC_ID, RefusedError, Rows, declared, id_field
from winnow.pipeline.read.json_fields import MISSING, TAKERS, as_string, getter, loads, nullable
from winnow.pipeline.read.jsonl_blocks import MOST_SLOW, Block, BlockParser
from winnow.pipeline.read.presence import Presence
from winnow.pipeline.read.record_reader import RecordReader

JSON_SPACE = b" \t\r"
_DOC_ID = re.compile("[0-9a-fA-F]{32}")
_NAMES: Mapping[type, str] = {
    str: "a string", int: "a number", float: "a number", bool: "a boolean",
    list: "an array", dict: "an object", type(None): "null",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JsonReader(RecordReader):
    """A reader of JSON objects."""

    one: ClassVar[str] = "record"  # what a record is called
    whole: ClassVar[str] = "the compressed stream"  # what may end early
    on_truncated: Literal["error", "keep"] = "error"

    def tables_of(
        self, block: Block, parse: JsonParser, stream: ByteStream, rows: Rows, bad: Tell
    ) -> Iterator[pa.Table]:
        """Tables of a block: what the kernel took as it lies, others one by one through `rows`."""
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
                self.add(rows, parse, stream, start, line if len(line) <= self.cap else None, bad)
                if rows.full:
                    yield rows.take()

    @property
    def cap(self) -> int:
        """Bytes of the longest record."""
        return self.max_record_mb * 1_000_000

    def add(
        self, rows: Rows, parse: JsonParser, stream: ByteStream, offset: int, line: bytes | None, bad: Tell
    ) -> None:
        """One record judged alone (None: one that is too long to be held): a document, bad, or none."""
        rel = stream.piece.rel
        try:
            record = self.record(parse, line, offset)
        except RefusedError as refused:
            if not stream.truncated:  # else it is the broken end, reported in the end
                bad(Bad(origin=f"{rel}#{offset}", error=refused.error, message=str(refused)))
            return
        if record is not None:
            text, identity, extra = record
            rows.add(text, rel, str(offset), size=len(line or b""), identity=identity, extra=extra)

    def record(self, parse: JsonParser, line: bytes | None, offset: int) -> tuple[str, str, list[Any]] | None:
        """(text, id, extra values); None for a blank one. Raises: RefusedError."""
        if line is None:
            raise RefusedError("too_large", f"the record is longer than {self.max_record_mb} MB (`max_record_mb`)")
        try:
            return parse(line)
        except orjson.JSONDecodeError as error:
            if not line.strip(JSON_SPACE):
                self.nothing()
                return None
            raise self.why(line, error) from None

    def nothing(self) -> None:
        """What stands where a record might and is blank is none, or (RefusedError) a bad one."""

    def why(self, line: bytes, error: orjson.JSONDecodeError) -> RefusedError:
        """The class of a record that does not parse."""
        try:
            line.decode()
        except UnicodeDecodeError as wrong:
            hint = utf16_hint(line)
            told = f"byte {wrong.start} of the {self.one} is not UTF-8"
            return RefusedError("invalid_utf8", f"{told}; {hint}" if hint else told)
        kind = "lone_surrogate" if "surrogate" in error.msg else "invalid_json"
        return RefusedError(kind, f"{error.msg} at character {error.pos} of {len(line)} bytes")

    def tell_truncated(self, stream: ByteStream, bad: Tell) -> None:
        """Report a file that ended early, once it has been read."""
        if stream.truncated:
            message = f"{self.whole} ends early, at decompressed byte {stream.end}"
            bad(Bad(origin=f"{stream.piece.rel}#{stream.end}", error="truncated", message=message))


class JsonParser:
    """bytes of one record -> (text, id, extra values)."""

    def __init__(self, reader: JsonReader) -> None:
        self._one = reader.one
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
        """Raises: RefusedError, orjson.JSONDecodeError."""
        row = loads(line)
        if type(row) is not dict:
            raise RefusedError("not_an_object", f"the {self._one} is {_NAMES[type(row)]}, not an object")
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
        try:
            return as_string(value)
        except ValueError as error:
            raise RefusedError("missing_id", f"{self._id_field!r} is {_NAMES[type(value)]}, not {error}") from None

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
