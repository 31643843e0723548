"""Kernel of `refinedweb_lines`: which lines stay, which phrases go, and the words in what goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.edit.line_kernels import trim_left, trim_right
from winnow.pipeline.measure.signals_kernels_bytes import decode, decode_last, followed_by
from winnow.pipeline.measure.signals_kernels_unicode import ALPHA, DIGIT, SPACE, UPPER

COUNTED = (
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes", "downloads",
    "views", "followers",
)  # fmt: skip
PHRASES = ("sign-in", "read more...", "items in cart")
AT_START, AT_END, ANYWHERE = 0, 1, 2
MOST_WORDS = 10  # of a line of which a phrase is cut

# Counters of one document.
KEPT, UPPERCASE, NUMERIC, COUNTERS, SHORT, CUT_LINES, WORDS, WORDS_GONE, NUM_COUNTERS = range(9)


def joined(texts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(bytes of some texts, where each begins)."""
    begins = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return np.frombuffer("".join(texts).encode(), dtype=np.uint8), begins


@njit(cache=True, nogil=True, _nrt=False)
def facts(data: Any, start: Any, stop: Any, flags: Any) -> Any:
    """(characters, upper-case ones, decimal digits, words) of data[start:stop]."""
    chars, upper, digits, words, inside, at = 0, 0, 0, 0, False, start
    while at < stop:
        point, size = decode(data, at, stop)
        what = flags[point]
        chars += 1
        upper += what & UPPER != 0
        digits += what & DIGIT != 0
        blank = what & SPACE != 0
        words += not blank and not inside
        inside = not blank
        at += size
    return chars, upper, digits, words


@njit(cache=True, nogil=True, _nrt=False)
def is_mark(point: Any, flags: Any) -> Any:
    """Whether a character is no letter, digit or underscore."""
    return flags[point] & (ALPHA | DIGIT) == 0 and point != 0x5F


@njit(cache=True, nogil=True, _nrt=False)
def bare(data: Any, start: Any, stop: Any, flags: Any) -> Any:
    """(start, stop) of data[start:stop] without marks and white space at its ends."""
    while start < stop:
        point, size = decode(data, start, stop)
        if not is_mark(point, flags):
            break
        start += size
    while stop > start and is_mark(decode_last(data, start, stop), flags):
        stop -= 1
        while stop > start and data[stop] & 0xC0 == 0x80:
            stop -= 1
    return start, stop


@njit(cache=True, nogil=True, _nrt=False)
def is_counter(data: Any, start: Any, stop: Any, flags: Any, names: Any) -> Any:
    """Whether a line is a number, perhaps with K, M or B, and one of the counted things, with marks around it."""
    texts, begins = names
    start, stop = bare(data, start, stop, flags)
    at = start
    while at < stop and (0x30 <= data[at] <= 0x39 or (at > start and (data[at] == 0x2C or data[at] == 0x2E))):
        at += 1
    if at == start:
        return False
    if at < stop and (data[at] | 0x20) in (0x6B, 0x6D, 0x62):
        at += 1
    word = trim_left(data, at, stop, flags)
    if word == at:
        return False
    for one in range(begins.size - 1):
        size = begins[one + 1] - begins[one]
        if stop - word == size and followed_by(data, word, stop, texts[begins[one] : begins[one + 1]]):
            return True
    return False


@njit(cache=True, nogil=True, _nrt=False)
def phrase_in(data: Any, start: Any, stop: Any, phrases: Any) -> Any:
    """(start, stop) of the first phrase of a short line at the place where it counts, (-1, -1) without one."""
    texts, begins = phrases
    for place in range(3):
        text = texts[begins[place] : begins[place + 1]]
        size = text.size
        if stop - start < size:
            continue
        first = stop - size if place == AT_END else start
        last = start if place == AT_START else stop - size
        for at in range(first, last + 1):
            if followed_by(data, at, stop, text):
                return at, at + size
    return -1, -1


@njit(cache=True, nogil=True, _nrt=False)
def judge(data: Any, start: Any, stop: Any, options: Any, tables: Any, counts: Any) -> Any:
    """(whether a line with a word stays, its words); counts why not."""
    flags, names, _ = tables
    upper_share, numeric, counters, min_words = options[:4]
    chars, upper, digits, words = facts(data, start, stop, flags)
    counts[WORDS] += words
    reason = KEPT
    if upper > upper_share * chars:
        reason = UPPERCASE
    elif numeric and digits == chars:
        reason = NUMERIC
    elif counters and is_counter(data, start, stop, flags, names):
        reason = COUNTERS
    elif words < min_words:
        reason = SHORT
    counts[reason] += 1
    counts[WORDS_GONE] += words if reason != KEPT else 0
    return reason == KEPT, words


@njit(cache=True, nogil=True, _nrt=False)
def note(start: Any, stop: Any, out: Any) -> None:
    """Note that the bytes from `start` to `stop` of the document go."""
    starts, stops, used = out
    starts[used[0]], stops[used[0]] = start, stop
    used[0] += 1


@njit(cache=True, nogil=True, _nrt=False)
def cut_phrase(data: Any, line: Any, base: Any, tables: Any, out: Any, counts: Any) -> Any:
    """Note the phrase of a short line, with the white space that it leaves at an end; True where it is all of it."""
    left, right = line
    flags, _, phrases = tables
    begins, ends = phrase_in(data, left, right, phrases)
    if begins < 0:
        return False
    counts[CUT_LINES] += 1
    counts[WORDS_GONE] += facts(data, begins, ends, flags)[3]
    if begins == left and ends == right:
        return True
    if begins == left:
        ends = trim_left(data, ends, right, flags)
    elif ends == right:
        begins = trim_right(data, left, begins, flags)
    note(begins - base, ends - base, out)
    return False


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, options: Any, tables: Any, rows: Any, out: Any, counts: Any) -> None:
    """Fill the spans of a batch and one row of counters per document; `rows` counts the spans before each row."""
    offsets, data, valid = texts
    flags = tables[0]
    for row in range(offsets.size - 1):
        base, stop, at, end = offsets[row], offsets[row + 1], offsets[row], offsets[row]
        rows[row] = out[2][0]
        while valid[row] and at < stop:
            last = at
            while last < stop and data[last] != 0x0A:
                last += 1
            left = trim_left(data, at, last, flags)
            right = trim_right(data, left, last, flags)
            gone = False
            if right > left:
                stays, words = judge(data, left, right, options, tables, counts[row])
                gone = not stays
                if stays and options[4] and words <= MOST_WORDS:
                    gone = cut_phrase(data, (left, right), base, tables, out, counts[row])
            if gone:  # with its line feed; the last line with the one before it
                begins = at if last < stop or at == base else max(at - 1, end)
                end = min(last + 1, stop)
                note(begins - base, end - base, out)
            at = last + 1
    rows[offsets.size - 1] = out[2][0]
