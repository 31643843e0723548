"""JSON documents that hold one array of records, plain or compressed; elements are judged as lines of `jsonl` are."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Derive, FileSlice, Tell
from winnow.core.operators.contract import Meaning
from winnow.core.store.packing import with_packed
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.document import READER_FIELDS, RefusedError, Rows
from winnow.pipeline.read.json_array_blocks import ArrayBlocks
from winnow.pipeline.read.json_records import JSON_SPACE, JsonParser, JsonReader


@dataclass(frozen=True, kw_only=True)
class JsonArray(JsonReader):
    """Documents from JSON files that are one array, or hold one (plain, .gz, .zst, .bz2, .xz), one per element.

    `items` is the dotted path of the array, as in `{"data": {"items": [...]}}`: `data.items`; without it the file is
    the array. Elements are read and quarantined as lines of `jsonl` are: invalid_json, invalid_utf8, lone_surrogate,
    not_an_object, missing_text, null_text, text_type, missing_id, column_type, too_large, truncated. A file without
    that array, or whose brackets do not close, is an error; one that ends early too, unless `on_truncated: keep`.
    Cost: about 2.5 ns of one core per byte. Memory: a few pieces, or the longest element, four times.
    Source: own.
    """

    name: ClassVar[str] = "json_array"
    one: ClassVar[str] = "element"
    whole: ClassVar[str] = "the document"
    meaning: ClassVar[Mapping[str, Meaning]] = {**READER_FIELDS, "items": "records"}
    suffixes: ClassVar[tuple[str, ...]] = with_packed(".json")
    lines: ClassVar[bool] = False
    items: str = ""

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        super().validate()
        if self.items and not all(self.items.split(".")):
            raise ConfigError(f"{self.items!r} is no path of keys", where="items", hint="such as `data.items`")

    def of_beginnings(self) -> Derive:
        """It keeps what is there of a file that is cut."""
        return dataclasses.replace(self, on_truncated="keep")

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is the element's byte offset in the decompressed file.

        Raises: DataError where a file is corrupt or no JSON document with this array.
        """
        parse = JsonParser(self)
        rows = Rows(self.outputs(), with_ids=parse.with_ids)
        for piece in unit:
            stream = ByteStream(piece, keep_truncated=self.on_truncated == "keep")
            for offset, data in ArrayBlocks(stream, self.items, self.cap).blocks():
                if data is None:
                    self.add(rows, parse, stream, offset, None, bad)
                else:
                    yield from self._documents(data, offset, parse, stream, rows, bad)
            self.tell_truncated(stream, bad)
        if rows:
            yield rows.take()
        parse.presence.tell(bad)

    def _documents(
        self, data: memoryview, offset: int, parse: JsonParser, stream: ByteStream, rows: Rows, bad: Tell
    ) -> Iterator[pa.Table]:
        from winnow.pipeline.read.json_array_kernels import trim

        if parse.blocks is not None:
            block = parse.blocks(data, offset, stop=sys.maxsize, cap=self.cap)
            trim(np.frombuffer(data, dtype=np.uint8), block.lines)
            yield from self.tables_of(block, parse, stream, rows, bad)
            return
        for line in bytes(data).split(b"\n")[:-1]:
            record = line.strip(JSON_SPACE)
            begun = offset + len(line) - len(line.lstrip(JSON_SPACE))
            self.add(rows, parse, stream, begun, record if len(record) <= self.cap else None, bad)
            offset += len(line) + 1
            if rows.full:
                yield rows.take()

    def nothing(self) -> None:
        """See `JsonReader`."""
        raise RefusedError("invalid_json", "no element stands before this comma or bracket")
