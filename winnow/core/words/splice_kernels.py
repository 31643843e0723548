"""Texts with spans of theirs replaced, in one pass over the bytes: compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.quick_start import quick_numba

quick_numba()

GOOD, DISORDER, OUTSIDE, HALVED = 0, 1, 2, 3


@njit(cache=True, nogil=True, _nrt=False)
def splits_character(data: Any, first: Any, last: Any, at: Any) -> Any:
    """Whether a cut at `at` of data[first:last] would part the bytes of one character."""
    return first < at < last and data[at] & 0xC0 == 0x80


@njit(cache=True, nogil=True, _nrt=False)
def check(texts: Any, spans: Any) -> Any:
    """(what is wrong with the spans, the row where it is): GOOD and -1 where nothing is."""
    offsets, data = texts
    rows, starts, stops = spans
    for row in range(offsets.size - 1):
        first, last = offsets[row], offsets[row + 1]
        before = np.int64(0)
        for one in range(rows[row], rows[row + 1]):
            if starts[one] < before or stops[one] < starts[one]:
                return DISORDER, row
            if stops[one] > last - first:
                return OUTSIDE, row
            left = splits_character(data, first, last, first + starts[one])
            if left or splits_character(data, first, last, first + stops[one]):
                return HALVED, row
            before = stops[one]
    return GOOD, -1


@njit(cache=True, nogil=True, _nrt=False)
def changes(texts: Any, spans: Any, news: Any, useful: Any) -> None:
    """Fill bool[spans]: whether the new bytes of a span are others than those that stand there."""
    offsets, data = texts
    rows, starts, stops = spans
    at_new, new = news
    for row in range(offsets.size - 1):
        first = offsets[row]
        for one in range(rows[row], rows[row + 1]):
            size = at_new[one + 1] - at_new[one]
            other = size != stops[one] - starts[one]
            if not other:
                for k in range(size):
                    if data[first + starts[one] + k] != new[at_new[one] + k]:
                        other = True
                        break
            useful[one] = other


@njit(cache=True, nogil=True, _nrt=False)
def sizes(texts: Any, spans: Any, news: Any, out: Any) -> None:
    """Fill i64[rows]: bytes of each row after its changes, -1 for a row without any."""
    offsets, _ = texts
    rows, starts, stops = spans
    at_new, _ = news
    for row in range(offsets.size - 1):
        size = offsets[row + 1] - offsets[row]
        for one in range(rows[row], rows[row + 1]):
            size += at_new[one + 1] - at_new[one] - (stops[one] - starts[one])
        out[row] = size if rows[row + 1] > rows[row] else -1


@njit(cache=True, nogil=True, _nrt=False)
def splice(texts: Any, spans: Any, news: Any, ends: Any, out: Any) -> None:
    """Write the changed rows one behind the other; row r ends at ends[r + 1], rows without changes are empty."""
    offsets, data = texts
    rows, starts, stops = spans
    at_new, new = news
    for row in range(offsets.size - 1):
        if rows[row + 1] == rows[row]:
            continue
        first, to, at = offsets[row], ends[row], np.int64(0)
        for one in range(rows[row], rows[row + 1]):
            for k in range(at, starts[one]):
                out[to] = data[first + k]
                to += 1
            for k in range(at_new[one], at_new[one + 1]):
                out[to] = new[k]
                to += 1
            at = stops[one]
        for k in range(at, offsets[row + 1] - first):
            out[to] = data[first + k]
            to += 1
