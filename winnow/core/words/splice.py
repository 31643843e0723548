"""Spans of texts, and the texts with other bytes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.text import utf8_buffers

Ints = npt.NDArray[np.int64]
_WRONG = ("", "overlap or are out of order", "end behind the text", "begin or end inside a character")


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Replacements in a batch of texts: those of row r are rows[r] .. rows[r + 1], ascending and apart.

    Positions are bytes from the start of their own text; `new` has one text per span, "" where it is removed.
    """

    rows: Ints  # [texts + 1]
    starts: Ints
    stops: Ints
    new: pa.Array  # large_string, no nulls

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, wanted: npt.NDArray[np.bool_]) -> Spans:
        """Those of the spans that are wanted, bool[spans]."""
        if bool(wanted.all()):
            return self
        before = np.zeros(len(wanted) + 1, dtype=np.int64)
        np.cumsum(wanted, out=before[1:])
        return Spans(
            rows=before[self.rows], starts=self.starts[wanted], stops=self.stops[wanted],
            new=self.new.filter(pa.array(wanted)),
        )  # fmt: skip


def removed(rows: Ints, starts: Ints, stops: Ints) -> Spans:
    """Spans of which nothing stays."""
    zeros = pa.py_buffer(np.zeros(len(starts) + 1, dtype=np.int64))
    new = pa.Array.from_buffers(pa.large_string(), len(starts), [None, zeros, pa.py_buffer(b"")])
    return Spans(rows=rows, starts=starts, stops=stops, new=new)


def replaced(rows: Ints, starts: Ints, stops: Ints, by: Ints, texts: Sequence[str]) -> Spans:
    """Spans of which text number `by` takes the place."""
    return Spans(rows=rows, starts=starts, stops=stops, new=pa.array(texts, pa.large_string()).take(pa.array(by)))


def changed(text: pa.Array, spans: Spans) -> tuple[pa.Array, Spans]:
    """(large_string[rows]: the new text of each row, null where it is as it was; the spans that change something).

    Raises: DataError for spans that overlap, reach behind their text, or part the bytes of a character.
    Cost: one pass over the bytes of the changed rows.
    """
    from winnow.core.words import splice_kernels as kernels

    offsets, data = utf8_buffers(text)
    texts = (np.ascontiguousarray(offsets), data)
    wrong, row = kernels.check(texts, _arrays(spans))
    if wrong:
        raise DataError(f"the changed spans of row {row} {_WRONG[wrong]}")
    useful = np.zeros(len(spans), dtype=np.bool_)
    kernels.changes(texts, _arrays(spans), _buffers(spans), useful)
    spans = spans.only(useful)
    news = _buffers(spans)
    size = np.zeros(len(text), dtype=np.int64)
    kernels.sizes(texts, _arrays(spans), news, size)
    ends = np.zeros(len(text) + 1, dtype=np.int64)
    np.cumsum(np.maximum(size, 0), out=ends[1:])
    out = np.zeros(int(ends[-1]), dtype=np.uint8)
    kernels.splice(texts, _arrays(spans), news, ends, out)
    bitmap = pa.py_buffer(np.packbits(size >= 0, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.large_string(), len(text), [bitmap, pa.py_buffer(ends), pa.py_buffer(out)]), spans


def _arrays(spans: Spans) -> tuple[Ints, Ints, Ints]:
    return spans.rows, spans.starts, spans.stops


def _buffers(spans: Spans) -> tuple[Ints, npt.NDArray[np.uint8]]:
    offsets, data = utf8_buffers(spans.new)
    return np.ascontiguousarray(offsets), data


def united(row: Ints, starts: Ints, stops: Ints) -> tuple[Ints, Ints, Ints]:
    """(row, start, stop) of the same bytes as spans in order that neither touch nor overlap."""
    order = np.lexsort((stops, starts, row))
    row, starts, stops = row[order], starts[order], stops[order]
    if not len(row):
        return row, starts, stops
    far = int(max(stops.max(), starts.max())) + 2  # behind the end of any text
    reach = np.maximum.accumulate(stops + row * far)
    fresh = np.ones(len(row), dtype=bool)
    fresh[1:] = (starts + row * far)[1:] > reach[:-1]
    at = np.flatnonzero(fresh)
    ends = reach[np.append(at[1:], len(row)) - 1] - row[at] * far
    return row[at], starts[at], ends
