"""Kernel of `c4_lines`: which lines stay, and the spans that do not; one look at every byte of a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from winnow.pipeline.edit.line_kernels import NEWLINE, NOTHING, close, keep, trim_left, trim_right
from winnow.pipeline.measure.signals_kernels_bytes import followed_by

# What a byte may be the beginning, or a rare letter, of: u8[256].
PLAIN, BLANK, CUT, LEAD, BRACKET, CURLY, PHRASE = 0, 1, 2, 3, 4, 5, 6
PHRASES = (  # (text, place of the rare letter by which it is found)
    (b"javascript", 0), (b"lorem ipsum", 7), (b"terms of use", 7), (b"privacy policy", 3), (b"cookie policy", 3),
    (b"uses cookies", 8), (b"use of cookies", 10), (b"use cookies", 7),
)  # fmt: skip
JAVASCRIPT, LOREM, POLICY, HAS_CURLY, LONG = 1, 2, 4, 8, 16
MARKS = (b"[edit]", b"[citation needed]")

# Counters of one document.
KEPT, TOO_LONG, NO_END, SHORT, SCRIPT, POLICIES, CITATIONS, LOREMS, CURLIES, NUM_COUNTERS = range(10)


def kinds() -> npt.NDArray[np.uint8]:
    """What each byte may mean, u8[256]."""
    table = np.zeros(256, dtype=np.uint8)
    table[[0x09, 0x20, 0x1F]] = BLANK
    table[[0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E]] = CUT
    table[[0xC2, 0xE1, 0xE2, 0xE3]] = LEAD
    table[ord("[")], table[ord("{")] = BRACKET, CURLY
    for text, at in PHRASES:
        table[[text[at], ord(chr(text[at]).upper())]] = PHRASE
    return table


def tables() -> tuple[Any, ...]:
    """(kinds, phrases as bytes, their starts, places of the rare letters, what each says)."""
    texts = [text for text, _ in PHRASES]
    starts = np.cumsum([0, *map(len, texts)])
    says = [JAVASCRIPT, LOREM, *[POLICY] * (len(texts) - 2)]
    places = [at for _, at in PHRASES]
    joined = np.frombuffer(b"".join(texts), dtype=np.uint8)
    marks = np.frombuffer(b"".join(MARKS), dtype=np.uint8)
    arrays = [np.array(values, dtype=np.int64) for values in (starts, places, says)]
    return kinds(), joined, *arrays, marks[: len(MARKS[0])].copy(), marks[len(MARKS[0]) :].copy()


@njit(cache=True, nogil=True, _nrt=False)
def line_end(data: Any, start: Any, stop: Any, kind: Any) -> Any:
    """(end of the line at `start`, start of the next one, whether it holds a bracket): `str.splitlines`."""
    bracket = False
    at = start
    while at < stop:
        what = kind[data[at]]
        if what == CUT:
            both = data[at] == 0x0D and at + 1 < stop and data[at + 1] == 0x0A
            return at, at + (2 if both else 1), bracket
        if what == LEAD:
            if data[at] == 0xC2 and at + 1 < stop and data[at + 1] == 0x85:
                return at, at + 2, bracket
            if data[at] == 0xE2 and at + 2 < stop and data[at + 1] == 0x80 and data[at + 2] | 1 == 0xA9:
                return at, at + 3, bracket
        bracket |= what == BRACKET
        at += 1
    return stop, stop, bracket


@njit(cache=True, nogil=True, _nrt=False)
def blank_size(data: Any, at: Any, stop: Any, what: Any) -> Any:
    """Bytes of the white space at `at`, 0 where there is none; `what` is BLANK, CUT or LEAD."""
    if what != LEAD:
        return 1
    if at + 1 < stop and data[at] == 0xC2:
        return 2 if data[at + 1] == 0x85 or data[at + 1] == 0xA0 else 0
    if at + 2 >= stop:
        return 0
    second, third = data[at + 1], data[at + 2]
    if data[at] == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if data[at] == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    wide = second == 0x80 and (third <= 0x8A or third in (0xA8, 0xA9, 0xAF))
    return 3 if wide or (second == 0x81 and third == 0x9F) else 0


@njit(cache=True, nogil=True, _nrt=False)
def longer_than(data: Any, start: Any, stop: Any, most: Any) -> Any:
    """Whether data[start:stop] has more than `most` characters."""
    if stop - start <= most:
        return False
    chars = 0
    for at in range(start, stop):
        chars += data[at] & 0xC0 != 0x80
    return chars > most


@njit(cache=True, nogil=True, _nrt=False)
def look(data: Any, start: Any, stop: Any, longest: Any, found: Any) -> Any:
    """(words, what a line holds: bits) of data[start:stop]."""
    kind, phrases, begins, places, says = found[:5]
    words, bits, word_at, at = 0, 0, -1, start
    while at < stop:
        what = kind[data[at]]
        size = blank_size(data, at, stop, what) if BLANK <= what <= LEAD else 0
        if size:
            if word_at >= 0 and longest > 0 and longer_than(data, word_at, at, longest):
                bits |= LONG
            word_at = -1
            at += size
            continue
        if word_at < 0:
            words += 1
            word_at = at
        if what == CURLY:
            bits |= HAS_CURLY
        elif what == PHRASE:
            for one in range(places.size):
                first = at - places[one]
                if first >= start and followed_by(data, first, stop, phrases[begins[one] : begins[one + 1]]):
                    bits |= says[one]
        at += 1
    if word_at >= 0 and longest > 0 and longer_than(data, word_at, stop, longest):
        bits |= LONG
    return words, bits


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
def without_marks(data: Any, start: Any, stop: Any, found: Any, scratch: Any) -> Any:
    """(bytes written, marks): the line without its citation marks, in `scratch`.

    Digits behind a bracket are looked at once: where they close no mark they are copied with it.
    """
    size, marks, at = 0, 0, start
    while at < stop:
        gone = mark_size(data, at, stop, found) if data[at] == 0x5B else 0
        if gone:
            marks += 1
            at += gone
            continue
        scratch[size] = data[at]
        size += 1
        at += 1
    return size, marks


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
def judge(words: Any, bits: Any, good_end: Any, options: Any, counts: Any) -> Any:
    """Whether a line stays, in the order of the rules; counts why not, and what it holds where it got so far."""
    end_marks, min_words, _, javascript, policy, _ = options
    if bits & LONG:
        counts[TOO_LONG] += 1
        return False
    if end_marks and not good_end:
        counts[NO_END] += 1
        return False
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
    """Fill the spans of a batch and one row of counters per document; `rows` counts the spans before each row."""
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
            words, bits = look(data, left, right, longest, found)
            good, marks = ends_well(data, left, right), 0
            if citations and bracket and bits & LONG == 0:
                size, marks = without_marks(data, left, right, found, scratch)
                if marks:
                    words, bits = look(scratch, 0, size, np.int64(0), found)
                    good = ends_well(scratch, 0, size)
                    counts[row, CITATIONS] += marks
            if judge(words, bits, good, options, counts[row]):
                end = keep_line(data, (base, left, right), marks > 0, end, first, found, out)
            at = following
        end = strip(data, base, first, end, flags, out)
        close(stop - base, first, end, out)
    rows[offsets.size - 1] = out[3][0]


@njit(cache=True, nogil=True, _nrt=False)
def most_spans(texts: Any, kind: Any) -> Any:
    """(spans that a batch may have at most, bytes of its longest text)."""
    offsets, data, _ = texts
    found, longest = 2 * (offsets.size - 1), np.int64(0)
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    for at in range(offsets[0], offsets[offsets.size - 1]):
        what = kind[data[at]]
        found += what in (CUT, BRACKET)
        if what == LEAD and at + 1 < data.size:
            lead, second = data[at], data[at + 1]
            found += (lead == 0xC2 and second == 0x85) or (lead == 0xE2 and second == 0x80)
    return found, longest
