"""Kernels of what NeMo, DCLM and Dolma count of characters, words and lines beside Gopher's rules, in integers.

They read the document where the word pass found its runs (`spans`) and line feeds, so nothing is split twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import load64
from winnow.pipeline.measure import signals_kernels_words as wd
from winnow.pipeline.measure.signals_kernels_breaks import ALNUM, ATTACHED, CLASS
from winnow.pipeline.measure.signals_kernels_bytes import TOP_BITS, decode, ends_with, first_bytes, followed_by
from winnow.pipeline.measure.signals_kernels_unicode import ALPHA

# Counters of one document, i64[NUM_MARKS].
(
    ALPHAS,
    ALNUMS,
    SPECIALS,  # neither letter nor mark on one: digits, white space, punctuation, pictures
    NEMO_KEPT,
    NEMO_BRACKETS,
    NEMO_BLANKS,
    CURLIES,
    NEMO_SYMBOL_WORDS,
    DOLMA_SYMBOL_WORDS,
    FOLDED_STOP_WORDS,
    URL_CHARS,
    SPACED_DOTS,  # ". . ."
    BOILERPLATE,
    NEMO_PARAGRAPHS,
    NEMO_BULLETS,
    NO_END_MARK,
    NEMO_ELLIPSES,
    DCLM_BULLETS,
    DCLM_ELLIPSES,
    DOLMA_BULLETS,
    DOLMA_ELLIPSES,
    DOTTED_LINES,  # lines that end with "..." or "…", white space at the end left out
    LONGEST_LINE,
    NUM_MARKS,
) = range(24)

# Classes of ASCII bytes as bits of a u8; `classes` lists them.
C_ALPHA, C_ALNUM, C_SPECIAL, C_KEPT, C_BRACKET, C_BLANK, C_CURLY, C_URL = (1 << bit for bit in range(8))


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)


SPACED = _bytes(". . .")
READ_MORE, READ_MORE_DOTS, ANGLE_DASH = _bytes("read more"), _bytes("read more.."), _bytes("-»")
OPEN_ROUND, OPEN_SQUARE, OPEN_ELLIPSIS = _bytes("(...)"), _bytes("[...]"), _bytes("[…]")
OVERVIEW, AND_POLICY, SIGN_POLICY = _bytes(" overview"), _bytes(" and cookies policy"), _bytes(" & cookies policy")
NECESSARY, NEEDED = _bytes("necessary"), _bytes(" cookies are absolutely essential for the website")
SETTINGS = _bytes(" your cookie settings, you agree to this use")
CHANGING = _bytes("changing")
COOKIES_THAT, ANY = _bytes(" cookies that may not be particularly necessary"), _bytes("any")
NEMO_BULLET_LIST = np.array(
    [0x2022, 0x2023, 0x2043, 0x204C, 0x204D, 0x2219, 0x25CB, 0x25CF, 0x25D8, 0x25E6, 0x29BE, 0x29BF]
)


def classes() -> Any:
    """Class bits of the 128 ASCII bytes, u8[128]."""
    table = np.zeros(128, dtype=np.uint8)
    for byte in range(128):
        char = chr(byte)
        table[byte] |= C_ALPHA * char.isalpha() | C_ALNUM * char.isalnum() | C_SPECIAL * (not char.isalpha())
        table[byte] |= C_KEPT * (char.isalnum() or char in "\n?!,.") | C_BRACKET * (char in "{}[]()")
        table[byte] |= C_BLANK * (char in "\t\n\r\b ") | C_CURLY * (char in "{}")
        table[byte] |= C_URL * (char.isalnum() or char in "$-_@.&+/:=?#~!*(),")
    return table


@njit(cache=True, nogil=True, _nrt=False)
def note_bytes(data: Any, start: Any, stop: Any, found: Any, marks: Any) -> Any:
    """Count the characters of each class; `found` is (flags, breaks, classes, histogram)."""
    flags, breaks, classes_of, histogram = found
    histogram[:] = 0
    at = start
    while at < stop:
        if at + 8 <= data.size and at + 8 <= stop:
            word = load64(data, at)
            if word & TOP_BITS == 0:
                for _ in range(8):
                    histogram[np.int64(word & np.uint64(0xFF))] += 1
                    word >>= np.uint64(8)
                at += 8
                continue
        if data[at] < 0x80:
            histogram[data[at]] += 1
            at += 1
            continue
        point, size = decode(data, at, stop)
        flag = breaks[point]
        alnum = flag & ALNUM != 0
        marks[ALPHAS] += flags[point] & ALPHA != 0
        marks[ALNUMS] += alnum
        marks[SPECIALS] += not alnum and ATTACHED >> np.int64(flag & CLASS) & 1 == 0
        marks[NEMO_BRACKETS] += point in (0x27E8, 0x27E9)
        at += size
    for byte in range(128):
        times, kind = histogram[byte], classes_of[byte]
        if times:
            marks[ALPHAS] += times * (kind & C_ALPHA != 0)
            marks[ALNUMS] += times * (kind & C_ALNUM != 0)
            marks[SPECIALS] += times * (kind & C_SPECIAL != 0)
            marks[NEMO_KEPT] += times * (kind & C_KEPT != 0)
            marks[NEMO_BRACKETS] += times * (kind & C_BRACKET != 0)
            marks[NEMO_BLANKS] += times * (kind & C_BLANK != 0)
            marks[CURLIES] += times * (kind & C_CURLY != 0)


@njit(cache=True, nogil=True, _nrt=False)
def is_hex(byte: Any) -> Any:
    """Whether the byte is a hexadecimal digit."""
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46 or 0x61 <= byte <= 0x66


@njit(cache=True, nogil=True, _nrt=False)
def url_chars(data: Any, start: Any, stop: Any, classes_of: Any) -> Any:
    """Characters of http:// and https:// addresses in a run, as far as the pattern of NeMo Curator 1.4 reads them."""
    found, free = 0, start
    at = start + 4
    while at + 3 < stop:
        if data[at] != 0x3A or data[at + 1] != 0x2F or data[at + 2] != 0x2F:
            at += 1
            continue
        begin = at - 5 if data[at - 1] == 0x73 and at - 5 >= free else at - 4
        scheme = begin >= free and data[begin] == 0x68 and data[begin + 1] == 0x74 and data[begin + 2] == 0x74
        end = at + 3
        while scheme and data[begin + 3] == 0x70 and end < stop:
            if data[end] < 0x80 and classes_of[data[end]] & C_URL:
                end += 1
            elif data[end] == 0x25 and end + 2 < stop and is_hex(data[end + 1]) and is_hex(data[end + 2]):
                end += 3
            else:
                break
        if end > at + 3:
            found += end - begin
            free = end
        at = max(at + 1, end)
    return found


@njit(cache=True, nogil=True, _nrt=False)
def is_nemo_symbol(data: Any, start: Any, stop: Any, hashes: Any) -> Any:
    """Whether a run is an ellipsis as NeMo lists them or has more than one run of # per two characters."""
    size = stop - start
    if hashes:
        chars, signs = 0, 0
        for at in range(start, stop):
            chars += data[at] & 0xC0 != 0x80
            signs += data[at] == 0x23 and (at == start or data[at - 1] != 0x23)
        return 2 * signs > chars
    if size == 3:
        return ends_with(data, start, stop, wd.DOTS) or ends_with(data, start, stop, wd.ELLIPSIS) or (
            ends_with(data, start, stop, ANGLE_DASH))  # fmt: skip
    if size != 5:
        return False
    listed = ends_with(data, start, stop, OPEN_ROUND) or ends_with(data, start, stop, OPEN_SQUARE)
    return listed or ends_with(data, start, stop, OPEN_ELLIPSIS)


@njit(cache=True, nogil=True, _nrt=False)
def note_runs(data: Any, spans: Any, runs: Any, listed: Any, classes_of: Any, some: Any, marks: Any) -> Any:
    """Count the runs of a document; `some` says whether it has number signs, ellipses or colons at all."""
    hashes, wide, colons = some
    for k in range(runs):
        start, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        size = stop - start
        if size <= 4:
            folded = first_bytes(data, start, size) | wd.FOLD
            slot = np.int64((folded * wd.K_LISTED) >> np.uint64(56))
            if listed[slot, 0] == folded and listed[slot, 1] == np.uint64(size):
                marks[FOLDED_STOP_WORDS] += listed[slot, 3] != 0
        sign: Any = 0
        dots: Any = 0
        if hashes or wide:
            for at in range(start, stop):
                sign += data[at] == 0x23
                dots += data[at] == 0xE2 and at + 2 < stop and data[at + 1] == 0x80 and data[at + 2] == 0xA6
        marks[DOLMA_SYMBOL_WORDS] += sign + dots > 0
        if sign or size in (3, 5):
            marks[NEMO_SYMBOL_WORDS] += is_nemo_symbol(data, start, stop, sign)
        if colons and size > 7:
            marks[URL_CHARS] += url_chars(data, start, stop, classes_of)


@njit(cache=True, nogil=True, _nrt=False)
def spaced_dots(data: Any, start: Any, stop: Any) -> Any:
    """Number of ". . ." in data[start:stop], counted from the left without overlap."""
    found, at = 0, start
    while at + 5 <= stop:
        if data[at] == 0x2E and followed_by(data, at, stop, SPACED):
            found += 1
            at += 5
        else:
            at += 1
    return found


@njit(cache=True, nogil=True, _nrt=False)
def opens_boilerplate(data: Any, start: Any, stop: Any, doc_stop: Any) -> Any:
    """2 where "lorem ipsum" begins in the run data[start:stop], 1 where one of NeMo's policy phrases does, else 0."""
    last = data[stop - 1] | 0x20
    if last == 0x6D:
        return 2 if ends_with(data, start, stop, wd.LOREM_WORD) and followed_by(data, stop, doc_stop, wd.IPSUM) else 0
    if last == 0x73:
        if ends_with(data, start, stop, wd.TERMS) and followed_by(data, stop, doc_stop, wd.TERMS_OF_USE):
            return 1
        return ends_with(data, start, stop, wd.USES) and followed_by(data, stop, doc_stop, wd.COOKIES)
    if last == 0x67:
        return ends_with(data, start, stop, CHANGING) and followed_by(data, stop, doc_stop, SETTINGS)
    if last == 0x65:
        if ends_with(data, start, stop, wd.USE):
            return followed_by(data, stop, doc_stop, wd.COOKIES) or followed_by(data, stop, doc_stop, wd.OF_COOKIES)
        return ends_with(data, start, stop, wd.COOKIE) and followed_by(data, stop, doc_stop, wd.POLICY)
    if ends_with(data, start, stop, wd.PRIVACY):
        if followed_by(data, stop, doc_stop, wd.POLICY) or followed_by(data, stop, doc_stop, OVERVIEW):
            return 1
        return followed_by(data, stop, doc_stop, AND_POLICY) or followed_by(data, stop, doc_stop, SIGN_POLICY)
    if ends_with(data, start, stop, NECESSARY):
        return followed_by(data, stop, doc_stop, NEEDED)
    return ends_with(data, start, stop, ANY) and followed_by(data, stop, doc_stop, COOKIES_THAT)


@njit(cache=True, nogil=True, _nrt=False)
def note_boilerplate(data: Any, start: Any, stop: Any, found: Any, lorem: Any, marks: Any) -> Any:
    """Count paragraphs, cut at every second line feed of a row of them, and those with a policy phrase in them."""
    counts, feeds, spans = found
    runs, num_feeds = counts[wd.WORDS], counts[wd.FEEDS]
    k, word = 0, 0
    while k <= num_feeds:
        while k + 1 < num_feeds and feeds[k + 1] != feeds[k] + 1:
            k += 1
        end = start + feeds[k] if k + 1 < num_feeds else stop
        hit = 0
        while word < runs and spans[0, word] < end:
            if hit == 0:
                hit = opens_boilerplate(data, np.int64(spans[0, word]), np.int64(spans[1, word]), end)
                hit = hit if hit < 2 else 0
            word += 1
        marks[NEMO_PARAGRAPHS] += 1
        marks[BOILERPLATE] += hit
        if end == stop:
            break
        k += 2
    if lorem:
        marks[BOILERPLATE] = marks[NEMO_PARAGRAPHS]


@njit(cache=True, nogil=True, _nrt=False)
def note_trimmed(data: Any, first: Any, last: Any, marks: Any) -> Any:
    """Count a line with a word in it by its first and last visible characters."""
    lead, mark = data[first], data[last - 1]
    point = decode(data, first, last)[0] if lead >= 0x80 else np.int64(lead)
    if lead >= 0x80:
        for bullet in NEMO_BULLET_LIST:
            marks[NEMO_BULLETS] += point == bullet
    marks[DCLM_BULLETS] += point in (0x2A, 0x2D, 0x2022, 0x25CF)
    marks[NO_END_MARK] += mark not in (0x2E, 0x3F, 0x21, 0x22, 0x27)
    dotted = False
    if mark in (0x2E, 0xA6):
        dotted = ends_with(data, first, last, wd.DOTS) or ends_with(data, first, last, wd.ELLIPSIS)
        marks[DCLM_ELLIPSES] += dotted or ends_with(data, first, last, SPACED)
    marks[DOTTED_LINES] += dotted
    listed = dotted
    if mark == 0x2E:
        listed |= ends_with(data, first, last, READ_MORE_DOTS)
    elif mark in (0x65, 0x45):
        listed = ends_with(data, first, last, READ_MORE)
    elif mark in (0x29, 0x5D, 0xBB):
        listed = ends_with(data, first, last, OPEN_ROUND) or ends_with(data, first, last, OPEN_SQUARE)
        listed |= ends_with(data, first, last, OPEN_ELLIPSIS) or ends_with(data, first, last, ANGLE_DASH)
    marks[NEMO_ELLIPSES] += listed


@njit(cache=True, nogil=True, _nrt=False)
def note_lines(data: Any, start: Any, stop: Any, found: Any, ascii_only: Any, marks: Any) -> Any:
    """Count the lines between line feeds: as they stand (Dolma), and by their words."""
    counts, feeds, words_at, spans = found
    num_feeds = counts[wd.FEEDS]
    first, words_before = start, np.int64(0)
    for k in range(num_feeds + 1):
        last = start + feeds[k] if k < num_feeds else stop
        words_here = np.int64(words_at[k]) if k < num_feeds else counts[wd.WORDS]
        chars = last - first
        if not ascii_only:
            for at in range(first, last):
                chars -= data[at] & 0xC0 == 0x80
        marks[LONGEST_LINE] = max(marks[LONGEST_LINE], chars)
        if last > first:
            marks[DOLMA_BULLETS] += data[first] == 0x2A or data[first] == 0x2D
            marks[DOLMA_ELLIPSES] += data[last - 1] == 0xA6 and ends_with(data, first, last, wd.ELLIPSIS)
        if words_here > words_before:
            begin, end = np.int64(spans[0, words_before]), np.int64(spans[1, words_here - 1])
            note_trimmed(data, begin, end, marks)
        first, words_before = last + 1, words_here
