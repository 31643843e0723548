"""Kernel of `drop_urls`: addresses in a text, and lines that hold nothing else; every byte is looked at a few times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.edit.gap_kernels import (
    NEWLINE_BYTE,
    is_word,
    line_edge,
    line_stop,
    note,
    with_blank,
    within_brackets,
    without_line,
)
from winnow.pipeline.measure.signals_kernels_bytes import decode, followed_by
from winnow.pipeline.measure.signals_kernels_unicode import ALPHA, DIGIT

BEGINNINGS = (b"http://", b"https://", b"ftp://", b"www.")
URLS, LINES, GONE, NUM_COUNTERS = range(4)
NOTHING, REPLACED = 0, 1


def beginnings() -> tuple[Any, ...]:
    """The beginnings as arrays of bytes."""
    return tuple(np.frombuffer(one, dtype=np.uint8) for one in BEGINNINGS)


@njit(cache=True, nogil=True, _nrt=False)
def joins(data: Any, first: Any, at: Any) -> Any:
    """Whether the character before `at` is a letter, a digit or `_`: one below U+0800, for above no blanks are set."""
    before = at - 1
    while before > first and before > at - 4 and data[before] & 0xC0 == 0x80:
        before -= 1
    return data[before] < 0xE0 and is_word(data[before])


@njit(cache=True, nogil=True, _nrt=False)
def begun(data: Any, first: Any, at: Any, last: Any, heads: Any) -> Any:
    """Bytes of the beginning of an address at `at`, 0 where none is: no letter before it, one or a digit behind."""
    byte = data[at] | 0x20
    if byte not in (0x68, 0x66, 0x77) or (at > first and joins(data, first, at)):
        return 0
    size = 0
    for head in heads:
        if followed_by(data, at, last, head):
            size = head.size
    if size and at + size < last and (is_word(data[at + size]) or data[at + size] == 0x5B):
        return size
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def ends_address(data: Any, at: Any, last: Any) -> Any:
    """Whether the byte at `at` is none of an address: a blank or control, a quote or <>{}|^`, or the first of a
    character from U+0800 on, a no-break space or a guillemet (letters of the alphabets below may stand in one).
    """
    byte = data[at]
    if byte < 0x80:
        return byte <= 0x20 or byte == 0x7F or byte in (0x22, 0x3C, 0x3E, 0x60, 0x7B, 0x7C, 0x7D, 0x5C, 0x5E)
    if byte >= 0xE0:
        return True
    return byte == 0xC2 and at + 1 < last and data[at + 1] in (0xA0, 0x85, 0xAB, 0xBB)


@njit(cache=True, nogil=True, _nrt=False)
def address_end(data: Any, start: Any, head: Any, last: Any) -> Any:
    """Where the address at `start` ends: marks of the sentence, and brackets it did not open, are not its own."""
    at, opened, closed = start + head, 0, 0
    while at < last and not ends_address(data, at, last):
        opened += data[at] == 0x28
        closed += data[at] == 0x29
        at += 1
    while at > start + head:
        byte = data[at - 1]
        if byte == 0x29:
            if closed <= opened:
                break
            closed -= 1
        elif byte not in (0x2E, 0x2C, 0x3B, 0x3A, 0x21, 0x3F, 0x27, 0x5D, 0x2A, 0x5F):
            break
        at -= 1
    return at


@njit(cache=True, nogil=True, _nrt=False)
def says_something(data: Any, at: Any, last: Any, flags: Any) -> Any:
    """(whether the character at `at` is a letter or a digit, its bytes)."""
    byte = data[at]
    if byte < 0x80:
        return is_word(byte) and byte != 0x5F, 1
    point, size = decode(data, at, last)
    return flags[point] & (ALPHA | DIGIT) != 0, size


@njit(cache=True, nogil=True, _nrt=False)
def look(data: Any, base: Any, line: Any, tables: Any, floor: Any, out: Any) -> Any:
    """(addresses of a line, whether it says something else); notes the spans of the addresses, with brackets and a
    blank where nothing takes their place.
    """
    first, last = line
    heads, flags, by = tables
    at, found, other = first, 0, False
    while at < last:
        head = begun(data, first, at, last, heads)
        if head:
            end = address_end(data, at, head, last)
            start, stop = at, end
            if by == NOTHING:
                start, stop = within_brackets(data, first, last, start, stop)
                start, stop = with_blank(data, line_edge(base, first, start, floor, out), last, start, stop)
            note(base, start, stop, by, floor, out)
            found += 1
            at = end
            continue
        if other:
            at += 1
            continue
        other, size = says_something(data, at, last, flags)
        at += size
    return found, other


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, everywhere: Any, tables: Any, rows: Any, out: Any, counts: Any) -> None:
    """Fill the spans of a batch and one row of counters per document; `rows` counts the spans before each row."""
    offsets, data, valid = texts
    for row in range(offsets.size - 1):
        base, stop = offsets[row], offsets[row + 1]
        floor = out[3][0]
        rows[row] = floor
        first = base
        while valid[row] and first < stop:
            last = line_stop(data, first, stop)
            before, end = out[3][0], (out[1][out[3][0] - 1] if out[3][0] > floor else np.int64(0))
            found, other = look(data, base, (first, last), tables, floor, out)
            counts[row, URLS] += found
            if found and not other:
                out[3][0] = before
                if before > floor:
                    out[1][before - 1] = end
                start, behind = without_line(base, first, last, stop)
                note(base, start, behind, NOTHING, floor, out)
                counts[row, LINES] += 1
                counts[row, GONE] += found
            elif everywhere:
                counts[row, GONE] += found
            else:
                out[3][0] = before
                if before > floor:
                    out[1][before - 1] = end
            first = last + 1
    rows[offsets.size - 1] = out[3][0]


@njit(cache=True, nogil=True, _nrt=False)
def most_spans(texts: Any) -> Any:
    """Spans that a batch may have at most: an address has a `.` or a `:` of its own at its beginning."""
    offsets, data = texts[0], texts[1]
    found = np.int64(offsets.size)
    for at in range(offsets[0], offsets[offsets.size - 1]):
        found += data[at] in (0x2E, 0x3A, NEWLINE_BYTE)
    return found
