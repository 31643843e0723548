"""JSON Lines, plain or compressed: one object a line. The cut of a file never changes a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.operators import FileSlice, Tell
from winnow.core.store.packing import with_packed
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.document import RefusedError, Rows
from winnow.pipeline.read.json_records import JSON_SPACE, JsonParser, JsonReader

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Jsonl(JsonReader):
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
    one: ClassVar[str] = "line"
    suffixes: ClassVar[tuple[str, ...]] = with_packed(".jsonl", ".json", ".ndjson")
    splittable: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".json")

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is the record's byte offset in the decompressed file.

        Cost: per core about 1 ns a byte; of a line that is left to the slow path 2 us more and 2 ns a byte;
        memory of a few pieces and the largest record.
        """
        parse = JsonParser(self)
        rows = Rows(self.outputs(), with_ids=parse.with_ids)
        for piece in unit:
            stream = ByteStream(piece, keep_truncated=self.on_truncated == "keep")
            if parse.blocks is None:
                for offset, line in stream.lines(self.cap):
                    self.add(rows, parse, stream, offset, line, bad)
                    if rows.full:
                        yield rows.take()
            else:
                for offset, data in stream.blocks(self.cap):
                    if data is None:
                        self.add(rows, parse, stream, offset, None, bad)
                        continue
                    block = parse.blocks(data, offset, stop=stream.last, cap=self.cap)
                    yield from self.tables_of(block, parse, stream, rows, bad)
            self.tell_truncated(stream, bad)
        if rows:
            yield rows.take()
        parse.presence.tell(bad)

    def record(self, parse: JsonParser, line: bytes | None, offset: int) -> tuple[str, str, list[Any]] | None:
        """See `JsonReader`; the first line of a file may begin with a byte order mark."""
        if offset or line is None:
            return super().record(parse, line, offset)
        line = line.removeprefix(_BOM)
        try:
            return super().record(parse, line, offset)
        except RefusedError as refused:
            raise RefusedError(refused.error, f"{refused}{_hint(line.lstrip(JSON_SPACE))}") from None


def _hint(line: bytes) -> str:
    """What the first line of a file says where it is no record."""
    if line.startswith(b"["):
        return "; a file that is one array is read by `json_array`"
    cut = line.startswith(b"{") and b"}" not in line
    return "; an array within one object is read by `json_array`, its `items` says where it is" if cut else ""
