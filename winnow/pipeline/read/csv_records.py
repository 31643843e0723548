"""Delimited text to blocks of records: the fields that are asked for as columns, bad records by their offset."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import FileSlice
from winnow.pipeline.read.charset import utf16_hint
from winnow.pipeline.read.document import TABLE_BYTES

_BOM = b"\xef\xbb\xbf"
_MOST_ROWS = 1 << 14  # of a block
_NAMES = {1: "field_count", 2: "bad_quotes"}
UTF8 = ("utf-8", "utf8", "utf_8", "utf-8-sig", "ascii")


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be read: its offset, and what is wrong with it."""

    offset: int
    error: str
    message: str


@dataclass(frozen=True)
class Records:
    """The records of one block, right ones alone."""

    offsets: npt.NDArray[np.int64]  # i64[rows], in the file
    columns: Sequence[pa.Array]  # large_binary, null where a field is empty and has no quotes


@dataclass
class CsvDialect:
    """How fields are written: one character each, '' for none."""

    delimiter: str
    quote: str
    escape: str

    def marks(self) -> npt.NDArray[np.int64]:
        """Delimiter, quote and escape as bytes, -1 for none."""
        return np.array([ord(c) if c else -1 for c in (self.delimiter, self.quote, self.escape)], dtype=np.int64)

    def fields(self, record: bytes) -> list[str]:
        """The fields of one record, such as the first. Bytes that are no UTF-8 come out as replacement characters."""
        quoting = {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        lines = io.StringIO(record.decode("utf-8", "replace"), newline="")
        return next(csv.reader(lines, delimiter=self.delimiter, escapechar=self.escape or None, **quoting), [])


@dataclass
class CsvScanner:
    """Goes through the pieces of one file: `first` gives the first record, `blocks` all from there on."""

    pieces: Iterator[bytes]
    dialect: CsvDialect
    cap: int  # bytes of a record
    cut: Callable[[], bool]  # whether the pieces ended before the file does: then an open record is no record

    def __post_init__(self) -> None:
        self._data, self._at, self._base, self._line = b"", 0, 0, 1  # `_base`: offset of `_data` in the file
        self._strict, self._ended, self._width = 0, False, -1

    def peek(self) -> bytes:
        """The first record, which is not passed by; empty where there is none, or it is no record."""
        found = self.first()
        self._at = len(_BOM) if self._data.startswith(_BOM) and not self._base else 0
        return found if isinstance(found, bytes) else b""

    def first(self) -> bytes | BadRecord | None:
        """The first record, passed by; None where the file has none."""
        self._more()
        if self._data.startswith(_BOM):
            self._at = len(_BOM)
        for found in self._records(-1, [], most=1):
            if isinstance(found, BadRecord):
                return found
            start = int(found.offsets[0]) - self._base
            return self._data[start : self._at]
        return None

    def blocks(self, width: int, wanted: Sequence[int]) -> Iterator[Records | BadRecord]:
        """Blocks of records with `width` fields, of which `wanted` become columns; in order, with what is bad."""
        self._width = width
        slots = np.full(max(wanted, default=-1) + 1, -1, dtype=np.int64)
        slots[list(wanted)] = np.arange(len(wanted))
        yield from self._records(width, slots, most=_MOST_ROWS)

    def _more(self) -> None:
        """Hold more of the file behind what is not read yet: a table's bytes, or as many again as are open."""
        held = self._data[self._at :]
        self._line += self._data.count(b"\n", 0, self._at)
        self._base, self._at, self._strict = self._base + self._at, 0, max(self._strict - self._at, 0)
        ready, wanted = [held], len(held) + max(TABLE_BYTES, len(held))
        size = len(held)
        while size < wanted and (piece := next(self.pieces, None)) is not None:
            ready.append(piece)
            size += len(piece)
        self._ended = size < wanted
        self._data = b"".join(ready)

    def _records(
        self, width: int, slots: Sequence[int] | npt.NDArray[np.int64], *, most: int
    ) -> Iterator[Records | BadRecord]:
        from winnow.pipeline.read.csv_kernels import read_records

        columns = int((np.asarray(slots) >= 0).sum())
        starts, states = np.empty((most, 2), np.int64), np.empty(most, np.uint8)
        spans, hows = np.empty((most, columns, 2), np.int64), np.empty((most, columns), np.uint8)
        while True:
            raw = np.frombuffer(self._data, dtype=np.uint8)
            final = self._ended and not self.cut()
            rows, at, self._strict = read_records(
                raw, self._at, len(raw), final, self.dialect.marks(), width, np.asarray(slots, dtype=np.int64),
                self._strict, starts, states, spans, hows,
            )  # fmt: skip
            self._at = at
            yield from self._judged(starts[:rows], states[:rows], spans[:rows], hows[:rows])
            if rows == most:
                continue
            if self._ended:
                return
            if len(raw) - at > self.cap:
                yield from self._too_long()
            else:
                self._more()

    def _judged(self, starts: npt.NDArray[np.int64], states: npt.NDArray[np.uint8], spans: npt.NDArray[np.int64],
                hows: npt.NDArray[np.uint8]) -> Iterator[Records | BadRecord]:  # fmt: skip
        """Runs of right records as columns, and between them the others."""
        long = starts[:, 1] - starts[:, 0] > self.cap
        wrong = np.flatnonzero((states != 0) | long).tolist()
        for first, last in zip([0, *(w + 1 for w in wrong)], [*wrong, len(starts)], strict=True):
            if first < last:
                yield Records(starts[first:last, 0] + self._base, self._columns(spans[first:last], hows[first:last]))
            if last < len(starts):
                start, stop = starts[last].tolist()
                yield self._bad(start, "too_large" if long[last] else _NAMES[int(states[last])], stop)

    def _columns(self, spans: npt.NDArray[np.int64], hows: npt.NDArray[np.uint8]) -> list[pa.Array]:
        from winnow.pipeline.read.csv_kernels import gather

        raw, (_, quote, escape) = np.frombuffer(self._data, dtype=np.uint8), self.dialect.marks()
        out = []
        for column in range(spans.shape[1]):
            own, how = np.ascontiguousarray(spans[:, column]), np.ascontiguousarray(hows[:, column])
            lengths = own[:, 1] - own[:, 0]
            data, ends = np.empty(int(lengths.sum()), np.uint8), np.empty(len(own) + 1, np.int64)
            gather(raw, own, how, quote, escape, data, ends)
            there = np.packbits((lengths > 0) | (how != 0), bitorder="little")
            buffers = [pa.py_buffer(there), pa.py_buffer(ends), pa.py_buffer(data)]
            out.append(pa.Array.from_buffers(pa.large_binary(), len(own), buffers))
        return out

    def _bad(self, at: int, error: str, stop: int = 0) -> BadRecord:
        line = self._line + self._data.count(b"\n", 0, at)
        words = {
            "bad_quotes": "a quote is out of place, or never closed: the line is put aside, and read on at the next",
            "too_large": "the record is longer than `max_record_mb`",
        }
        what = words.get(error, "the record has another number of fields than the first")
        with suppress(csv.Error):  # of fields that are very long
            if error == "field_count":
                what = f"the record has {len(self.dialect.fields(self._data[at:stop]))} fields, the first {self._width}"
        return BadRecord(self._base + at, error, f"line {line}: {what}")

    def _too_long(self) -> Iterator[BadRecord]:
        """A record that does not end within `cap`: its first line is put aside, held or not."""
        newline = self._data.find(b"\n", self._at)
        if newline >= 0:
            yield self._bad(self._at, "bad_quotes")
            self._strict, self._at = len(self._data), newline + 1
            return
        yield self._bad(self._at, "too_large")
        while newline < 0 and not self._ended:
            self._at = len(self._data)
            self._more()
            newline = self._data.find(b"\n")
        self._at = newline + 1 if newline >= 0 else len(self._data)


def as_utf8(pieces: Iterable[bytes], encoding: str, file: FileSlice) -> Iterator[bytes]:
    """The pieces in UTF-8; bytes that do not fit the encoding stay as they are, which is no UTF-8.

    Raises: DataError for a file that begins as UTF-16 does where UTF-8 is asked for.
    """
    if encoding.lower() in UTF8:
        for number, piece in enumerate(pieces):
            if not number and utf16_hint(piece):
                what = f"{file.path} is UTF-16 by its first two bytes"
                raise DataError(what, where=file.rel, hint="set `encoding: utf-16`")
            yield piece
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
