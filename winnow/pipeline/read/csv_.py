"""CSV, TSV and other delimited text, plain or compressed: a document per record, wherever its line ends lie.

Quotes say where a record ends, so a file is read from its beginning, in blocks of about 4 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, FileSlice, Tell
from winnow.core.operators.contract import Meaning
from winnow.core.store.packing import with_packed, without_packed
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.column_documents import documents_of, fields_of, tell_absent
from winnow.pipeline.read.csv_records import BadRecord, CsvDialect, CsvScanner, as_utf8
from winnow.pipeline.read.document import (
    COLUMN_TYPES,
    READER_FIELDS,
)
from winnow.pipeline.read.parquet_columns import ParquetBatch
from winnow.pipeline.read.record_reader import RecordReader

_TABBED = (".tsv", ".tab")


@dataclass(frozen=True, kw_only=True)
class Csv(RecordReader):
    """Documents from CSV and TSV files (plain, .gz, .zst, .bz2, .xz), one per record.

    The first record names the columns, unless `names` does. `delimiter` is a comma, in .tsv and .tab files a tab.
    A field between quotes may hold delimiters, line ends and doubled quotes. An empty field is null, one that is
    written `""` is an empty text (in columns that are no strings, null). Blank lines are no records. Quarantined are:
    field_count, bad_quotes (the line is put aside, reading goes on at the next), too_large, invalid_utf8 (bytes that
    are not `encoding`), null_text, missing_id, column_type, truncated.
    Cost: about 8 ns of one core per byte of quoted prose. Memory: a block of 4 MB or the longest record, three times.
    Source: RFC 4180; own.
    """

    name: ClassVar[str] = "csv"
    meaning: ClassVar[Mapping[str, Meaning]] = {
        **READER_FIELDS, "delimiter": "closed", "names": "free", "quote": "closed", "escape": "closed",
        "encoding": "closed",
    }  # fmt: skip
    suffixes: ClassVar[tuple[str, ...]] = with_packed(".csv", *_TABBED)
    delimiter: str | None = None  # one character; by default a comma, or a tab where the suffix says so
    names: tuple[str, ...] = ()  # of the columns, where the first record does not hold them
    quote: str = '"'  # '' where quotes are characters like any other
    escape: str = ""  # such as a backslash, where a character before quotes and delimiters makes them text
    encoding: str = "utf-8"
    max_record_mb: int = 64
    on_truncated: Literal["error", "keep"] = "error"

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        super().validate()
        marks = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        given = {name: mark for name, mark in marks.items() if mark or (name == "delimiter" and mark is not None)}
        for name, mark in given.items():
            if mark is None or len(mark) != 1 or not mark.isascii() or mark in "\r\n":
                raise ConfigError(f"{mark!r} is not one ASCII character", where=name, hint='such as ";" or "\\t"')
            if [*given.values()].count(mark) > 1:
                raise ConfigError(f"{mark!r} means two things", where=name, hint="use a different character for each")
        try:
            with suppress(UnicodeError):
                b"ab".decode(self.encoding)  # refuses unknown names and codecs that do not give text
        except LookupError as error:
            hint = "use a name that Python knows, such as utf-8 or latin-1"
            raise ConfigError(str(error), where="encoding", hint=hint) from error

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of at most about 4 MB; the locator is the record's byte offset in the decompressed file (in UTF-8).

        Raises: DataError where a file is corrupt, lacks a column, or `names` are its first record.
        """
        for piece in unit:
            yield from self._tables(piece, bad)

    def _tables(self, piece: FileSlice, bad: Tell) -> Iterator[pa.Table]:
        stream = ByteStream(piece, keep_truncated=self.on_truncated == "keep")
        tab = without_packed(piece.rel).lower().endswith(_TABBED)
        dialect = CsvDialect(self.delimiter or ("\t" if tab else ","), self.quote, self.escape)
        scanner = CsvScanner(
            as_utf8(stream.pieces(), self.encoding, piece),
            dialect,
            self.max_record_mb * 1_000_000,
            lambda: stream.truncated,
        )
        names = self._names(scanner, dialect, piece)
        if names:
            schema = pa.schema([(name, pa.large_binary()) for name in names])
            fields = fields_of(self, schema, piece)
            wanted = [names.index(field) for field in fields]
            for found in scanner.blocks(len(names), wanted):
                if isinstance(found, BadRecord):
                    bad(Bad(origin=f"{piece.rel}#{found.offset}", error=found.error, message=found.message))
                    continue
                batch = pa.RecordBatch.from_arrays(list(found.columns), names=list(fields))
                table = documents_of(self, TextBatch(batch, {f: [f] for f in fields}, piece, ""),
                                     pa.array(found.offsets), bad)  # fmt: skip
                tell_absent(self.columns, table, names, fields, piece, bad)
                yield table
        if stream.truncated:
            message = f"the compressed stream ends early, at decompressed byte {stream.end}"
            bad(Bad(origin=f"{piece.rel}#{stream.end}", error="truncated", message=message))

    def _names(self, scanner: CsvScanner, dialect: CsvDialect, piece: FileSlice) -> list[str]:
        """Names of the file's columns; none where it is empty. The scanner stands before the first record of data."""
        if self.names:
            first = scanner.peek()
            if first and dialect.fields(first) == list(self.names):
                what = f"the first record of {piece.path} holds the names"
                raise DataError(what, where=piece.rel, hint="leave `names` out")
            return list(self.names)
        found = scanner.first()
        if isinstance(found, BadRecord):
            hint = "`quote` and `escape` say how fields are written"
            raise DataError(f"the first record of {piece.path} is none: {found.message}", where=piece.rel, hint=hint)
        return dialect.fields(found) if found else []


class TextBatch(ParquetBatch):
    """Columns that are all text: numbers are what their digits say."""

    def typed(self, name: str, kind: str) -> tuple[pa.Array, pa.Array]:
        """See `ParquetBatch`; each value is judged alone, an empty one is null."""
        text, invalid = self.strings(name)
        if kind == "string":
            return text, invalid
        filled = pc.if_else(pc.equal(pc.binary_length(text), 0), pa.scalar(None, pa.large_string()), text)
        values = _cast(filled, COLUMN_TYPES[kind])
        return values, pc.or_(invalid, pc.and_(pc.is_null(values), pc.is_valid(filled)))


def _cast(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values of a type, null where a text says none. Cost: one cast, and log n more for each such text."""
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, kind)
        half = len(text) // 2
        return pa.concat_arrays([_cast(text.slice(0, half), kind), _cast(text.slice(half), kind)])
