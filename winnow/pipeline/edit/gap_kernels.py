"""Taking a piece out of a line without leaving a hole: blanks, brackets and line ends that go with it. Compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.quick_start import quick_numba

quick_numba()

SPACE_BYTE, TAB, NEWLINE_BYTE, RETURN = 0x20, 0x09, 0x0A, 0x0D


@njit(cache=True, nogil=True, _nrt=False)
def line_stop(data: Any, start: Any, stop: Any) -> Any:
    """Where the line at `start` ends: at its line feed, or at `stop`."""
    at = start
    while at < stop and data[at] != NEWLINE_BYTE:
        at += 1
    return at


@njit(cache=True, nogil=True, _nrt=False)
def is_word(byte: Any) -> Any:
    """Whether a byte is a letter, a digit or `_` of ASCII, or part of another character."""
    return byte >= 0x80 or 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A or byte == 0x5F


@njit(cache=True, nogil=True, _nrt=False)
def within_brackets(data: Any, first: Any, last: Any, start: Any, stop: Any) -> Any:
    """(start, stop) with the round, square or angle brackets that stand right around data[start:stop] in the line."""
    if start > first and stop < last:
        left, right = data[start - 1], data[stop]
        round_ = left == 0x28 and right == 0x29
        square = left == 0x5B and right == 0x5D
        if round_ or square or (left == 0x3C and right == 0x3E):
            return start - 1, stop + 1
    return start, stop


@njit(cache=True, nogil=True, _nrt=False)
def with_blank(data: Any, first: Any, last: Any, start: Any, stop: Any) -> Any:
    """(start, stop) with one of the blanks around data[start:stop], so that none is left double, in front of a mark or
    at an end of the line data[first:last].
    """
    before = start > first and data[start - 1] in (SPACE_BYTE, TAB)
    after = stop < last and data[stop] in (SPACE_BYTE, TAB)
    if before and (after or stop == last or data[stop] in (0x2E, 0x2C, 0x3B, 0x3A, 0x21, 0x3F, 0x29, RETURN)):
        return start - 1, stop
    if start == first and after:
        return start, stop + 1
    return start, stop


@njit(cache=True, nogil=True, _nrt=False)
def line_edge(base: Any, first: Any, at: Any, floor: Any, out: Any) -> Any:
    """Where what is left of a line begins for a piece at `at`: there, where all before it in the line has gone."""
    last = out[3][0] - 1
    gone = last >= floor and base + out[1][last] == at and base + out[0][last] <= first and out[2][last] == 0
    return at if gone else first


@njit(cache=True, nogil=True, _nrt=False)
def without_line(base: Any, first: Any, last: Any, stop: Any) -> Any:
    """(start, stop) of a line that goes whole: with the line feed behind it, that of the last one before it."""
    if last < stop:
        return first, last + 1
    return (first - 1 if first > base else first), last


@njit(cache=True, nogil=True, _nrt=False)
def note(base: Any, start: Any, stop: Any, by: Any, floor: Any, out: Any) -> None:
    """Add the span data[start:stop] of the document at `base`; one that touches the last span of the document (number
    `floor` or more) with the same text in its place is joined with it.
    """
    starts, stops, texts, used = out
    one = used[0]
    start, stop = start - base, stop - base
    if one > floor:
        start = max(start, stops[one - 1])
        if stop <= start:
            return
        if start == stops[one - 1] and by == 0 and texts[one - 1] == 0:
            stops[one - 1] = stop
            return
    starts[one], stops[one], texts[one] = start, stop, by
    used[0] = one + 1


@njit(cache=True, nogil=True, _nrt=False)
def count_byte(texts: Any, byte: Any) -> Any:
    """How often a byte stands in a batch."""
    offsets, data = texts[0], texts[1]
    found = np.int64(0)
    for at in range(offsets[0], offsets[offsets.size - 1]):
        found += data[at] == byte
    return found
