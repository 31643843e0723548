"""Kernel of `c4_lines`: which lines stay, and the spans that do not; a line's words only where its end is good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, load64, put_byte
from winnow.pipeline.edit.c4_look_kernels import (
    HAS_CURLY,
    JAVASCRIPT,
    LOREM,
    POLICY,
    has_long_word,
    line_end,
    look,
    may_cut,
)
from winnow.pipeline.edit.line_kernels import NEWLINE, NOTHING, close, keep, trim_left, trim_right
from winnow.pipeline.measure.signals_kernels_bytes import ONES

# Counters of one document.
KEPT, TOO_LONG, NO_END, SHORT, SCRIPT, POLICIES, CITATIONS, LOREMS, CURLIES, NUM_COUNTERS = range(10)


@njit(cache=True, nogil=True, _nrt=False)
def mark_size(data: Any, at: Any, stop: Any, found: Any) -> Any:
    """Bytes of the citation mark at `at` ([3], [], [edit], [citation needed]), 0 where there is none."""
    to = at + 1
    while to < stop and 0x30 <= data[to] <= 0x39:
        to += 1
    if to < stop and data[to] == 0x5D:
        return to + 1 - at
    for one in (found[5], found[6]):
        if at + one.size <= stop:
            same = True
            for k in range(one.size):
                same &= data[at + k] == one[k]
            if same:
                return one.size
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def marks_of(data: Any, start: Any, stop: Any, found: Any) -> Any:
    """Number of citation marks in data[start:stop]."""
    marks, at = 0, start
    while at < stop:
        gone = mark_size(data, at, stop, found) if byte_at(data, at) == 0x5B else 0
        marks += gone > 0
        at += max(gone, 1)
    return marks


@njit(cache=True, nogil=True, _nrt=False)
def without_marks(data: Any, start: Any, stop: Any, found: Any, scratch: Any) -> Any:
    """Bytes written: the line without its citation marks, in `scratch`."""
    size, at = 0, start
    while at < stop:
        gone = mark_size(data, at, stop, found) if byte_at(data, at) == 0x5B else 0
        if gone:
            at += gone
            continue
        put_byte(scratch, size, byte_at(data, at))
        size += 1
        at += 1
    return size


@njit(cache=True, nogil=True, _nrt=False)
def ends_well(data: Any, start: Any, stop: Any) -> Any:
    """Whether data[start:stop] ends with . ? ! " or ' and not with three full stops."""
    if stop == start:
        return False
    last = data[stop - 1]
    good = last in (0x2E, 0x3F, 0x21, 0x22, 0x27)
    dots = stop - start >= 3 and last == 0x2E and data[stop - 2] == 0x2E and data[stop - 3] == 0x2E
    return good and not dots


@njit(cache=True, nogil=True, _nrt=False)
def judge(data: Any, start: Any, stop: Any, options: Any, found: Any, counts: Any) -> Any:
    """Whether a line stays, in the order of the rules; counts why not, and what it holds where it got so far.

    Its words are looked at only where its end is good.
    """
    end_marks, min_words, _, javascript, policy, _ = options
    if end_marks and not ends_well(data, start, stop):
        counts[NO_END] += 1
        return False
    words, bits = look(data, start, stop, found)
    if words < min_words:
        counts[SHORT] += 1
        return False
    counts[LOREMS] += bits & LOREM != 0
    if javascript and bits & JAVASCRIPT:
        counts[SCRIPT] += 1
        return False
    counts[CURLIES] += bits & HAS_CURLY != 0
    if policy and bits & POLICY:
        counts[POLICIES] += 1
        return False
    counts[KEPT] += 1
    return True


@njit(cache=True, nogil=True, _nrt=False)
def keep_line(data: Any, where: Any, marked: Any, end: Any, first: Any, found: Any, out: Any) -> Any:
    """Note what stays of a line, piece by piece between its citation marks; positions are from the document's start."""
    base, left, right = where
    by = NEWLINE if out[3][0] > first else NOTHING
    if not marked:
        return keep(left - base, right - base, by, end, out)
    at = left
    while True:
        to = at
        size = 0
        while to < right and size == 0:
            size = mark_size(data, to, right, found) if data[to] == 0x5B else 0
            to += size == 0
        end = keep(at - base, to - base, by, end, out)
        by = NOTHING
        if size == 0:
            return end
        at = to + size


@njit(cache=True, nogil=True, _nrt=False)
def strip(data: Any, base: Any, first: Any, end: Any, flags: Any, out: Any) -> Any:
    """The kept pieces of a document without white space at both its ends; returns the end of the last one."""
    starts, stops, texts, used = out
    while used[0] > first:
        begins = stops[used[0] - 1]
        right = trim_right(data, base + begins, base + end, flags) - base
        if right > begins:
            end = right
            break
        used[0] -= 1
        end = starts[used[0]] if used[0] > first else 0
    one = first
    while one < used[0]:
        stop = starts[one + 1] if one + 1 < used[0] else end
        stops[one] = trim_left(data, base + stops[one], base + stop, flags) - base
        texts[one] = NOTHING
        if stops[one] < stop:
            break
        one += 1
    return end


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, options: Any, found: Any, flags: Any, scratch: Any, rows: Any, out: Any, counts: Any) -> None:
    """Fill the spans of a batch and one row of counters per document; `rows` counts the spans before each row.

    `scratch` is one array twice, to write and, of the type of the texts, to read: one version of `judge` is compiled.
    """
    offsets, data, valid = texts
    longest, citations = options[2], options[5]
    for row in range(offsets.size - 1):
        base, stop = offsets[row], offsets[row + 1]
        first, end, at = out[3][0], np.int64(0), base
        rows[row] = first
        if not valid[row] or stop == base:
            continue
        while at < stop:
            last, following, bracket = line_end(data, at, stop, found[0])
            left = trim_left(data, at, last, flags)
            right = trim_right(data, left, last, flags)
            at = following
            if longest > 0 and right - left > longest and has_long_word(data, left, right, longest, found[0]):
                counts[row, TOO_LONG] += 1
                continue
            marks = marks_of(data, left, right, found) if citations and bracket else 0
            counts[row, CITATIONS] += marks
            if marks:
                size = without_marks(data, left, right, found, scratch[0])
                stays = judge(scratch[1], 0, size, options, found, counts[row])
            else:
                stays = judge(data, left, right, options, found, counts[row])
            if stays:
                end = keep_line(data, (base, left, right), marks > 0, end, first, found, out)
        end = strip(data, base, first, end, flags, out)
        close(stop - base, first, end, out)
    rows[offsets.size - 1] = out[3][0]


@njit(cache=True, nogil=True, _nrt=False)
def most_spans(texts: Any) -> Any:
    """(no fewer spans than a batch may have, bytes of its longest text)."""
    offsets, data, _ = texts
    found, longest = 2 * (offsets.size - 1), np.int64(0)
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    at, stop = offsets[0], offsets[offsets.size - 1]
    while at + 8 <= stop:
        found += np.int64((may_cut(load64(data, at)) >> np.uint64(7)) * ONES >> np.uint64(56))
        at += 8
    return found + stop - at, longest
