"""Compiled boundaries of sentences, lines and paragraphs; `segments.py` says the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LONGEST = 8  # bytes of an abbreviation
NOTHING, OPENER, CLOSER, ENDING, WIDE_ENDING = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True, inline="always")
def _is_space(byte: Any) -> Any:
    return byte == 32 or 9 <= byte <= 13


@njit(cache=True, nogil=True, inline="always")
def _is_letter(byte: Any) -> Any:
    return 97 <= (byte | 32) <= 122 or byte >= 0x80


@njit(cache=True, nogil=True, inline="always")
def _is_digit(byte: Any) -> Any:
    return 48 <= byte <= 57


@njit(cache=True, nogil=True)
def mark_at(data: Any, at: Any, stop: Any) -> Any:
    """(bytes, kind) of the mark at `at`: what opens, closes or ends; (1, NOTHING) elsewhere."""
    byte = data[at]
    if byte in (46, 33, 63):  # . ! ?
        return 1, ENDING
    if byte in (34, 39):  # " ' do both
        return 1, CLOSER
    if byte in (41, 93, 125):  # ) ] }
        return 1, CLOSER
    if byte in (40, 91, 123):  # ( [ {
        return 1, OPENER
    if byte == 0xC2 and at + 1 < stop:
        second = data[at + 1]
        return (2, CLOSER) if second == 0xBB else ((2, OPENER) if second == 0xAB else (1, NOTHING))
    if byte == 0xDB and at + 1 < stop and data[at + 1] == 0x94:  # the full stop of Urdu
        return 2, ENDING
    if byte < 0xE0 or at + 2 >= stop:
        return 1, NOTHING
    point = (np.int64(byte & 15) << 12) | (np.int64(data[at + 1] & 63) << 6) | np.int64(data[at + 2] & 63)
    return _wide_mark(point)


@njit(cache=True, nogil=True)
def _wide_mark(point: Any) -> Any:
    """(3, kind) of a character of three bytes that is a mark; else (1, NOTHING)."""
    if point in (0x3002, 0xFF01, 0xFF1F, 0xFF61):  # full stops, ! and ? of East Asia
        return 3, WIDE_ENDING
    if point in (0x2026, 0x0964, 0x0965):  # the ellipsis, dandas
        return 3, ENDING
    if point in (0x201D, 0x2019, 0x300D, 0x300F, 0xFF09):
        return 3, CLOSER
    if point in (0x201C, 0x2018, 0x201E):
        return 3, OPENER
    return 1, NOTHING


@njit(cache=True, nogil=True)
def goes_on(data: Any, at: Any, stop: Any) -> Any:
    """Whether a small letter follows, behind what opens: then the sentence has not ended."""
    while at < stop:
        size, kind = mark_at(data, at, stop)
        if kind not in (OPENER, CLOSER):
            break
        at += size
    if at >= stop:
        return False
    byte = data[at]
    if byte < 0x80:
        return 97 <= byte <= 122
    if at + 1 >= stop:
        return False
    point = (np.int64(byte & 31) << 6) | np.int64(data[at + 1] & 63)
    two = 0xC3 <= byte <= 0xD1
    return two and (0xDF <= point <= 0xFF or 0x3B1 <= point <= 0x3C9 or 0x430 <= point <= 0x45F)


@njit(cache=True, nogil=True)
def _known(data: Any, low: Any, high: Any, words: Any) -> Any:
    """Whether the bytes, lower-cased, are one of the words, which are packed into 8 bytes each."""
    if high - low > LONGEST:
        return False
    word = np.uint64(0)
    for i in range(low, high):
        word = (word << np.uint64(8)) | np.uint64(data[i] | 32)
    for known in words:  # noqa: SIM110
        if known == word:
            return True
    return False


@njit(cache=True, nogil=True)
def _number(data: Any, low: Any, high: Any) -> Any:
    for i in range(low, high):  # noqa: SIM110
        if not _is_digit(data[i]):
            return False
    return True


@njit(cache=True, nogil=True)
def abbreviates(data: Any, start: Any, dot: Any, after: Any, stop: Any, titles: Any, numbered: Any) -> Any:
    """Whether a full stop belongs to the word before it: an initial, a title, `Fig.` before a number, a list's `1.`."""
    low = dot
    while low > start and (_is_letter(data[low - 1]) or _is_digit(data[low - 1])):
        low -= 1
    if low == dot:
        return False
    first = low
    while first > start and _is_space(data[first - 1]):
        first -= 1
    if _number(data, low, dot):
        return first == start
    if dot - low == 1:
        pronoun = data[low] == 73 and first > start and first < low  # "So do I."
        return not pronoun
    if _known(data, low, dot, titles):
        return True
    return after < stop and _is_digit(data[after]) and _known(data, low, dot, numbered)


@njit(cache=True, nogil=True)
def _after_spaces(data: Any, at: Any, stop: Any) -> Any:
    while at < stop and _is_space(data[at]):
        at += 1
    return at


@njit(cache=True, nogil=True)
def sentence_end(data: Any, start: Any, at: Any, stop: Any, titles: Any, numbered: Any) -> Any:
    """(where the marks that begin at `at` end, whether the sentence that began at `start` ends there)."""
    end, wide, marks = at, False, 0
    while end < stop:
        size, kind = mark_at(data, end, stop)
        if kind not in (ENDING, WIDE_ENDING) and (kind != CLOSER or marks == 0):
            break
        wide = wide or kind == WIDE_ENDING
        marks += 1
        end += size
    if wide or end == stop:
        return end, True
    if not _is_space(data[end]):
        return end, False
    after = _after_spaces(data, end, stop)
    if goes_on(data, after, stop):
        return end, False
    lonely = data[at] == 46 and marks == 1
    return end, not (lonely and abbreviates(data, start, at, after, stop, titles, numbered))


@njit(cache=True, nogil=True)
def _breaks(data: Any, at: Any, stop: Any) -> Any:
    """(where the white space that begins at `at` ends, where the line ends, number of line ends in it)."""
    end, line, count = at, np.int64(-1), 0
    while end < stop and _is_space(data[end]):
        if data[end] == 10 or (data[end] == 13 and not (end + 1 < stop and data[end + 1] == 10)):
            count += 1
            if line < 0:
                line = end + 1
        end += 1
    return end, line, count


@njit(cache=True, nogil=True)
def _plain(sentences: Any) -> Any:
    """Whether a byte is neither white space nor, of sentences, the first of what may end one; bool[256]."""
    plain = np.ones(256, dtype=np.bool_)
    for byte in range(256):
        plain[byte] = not (byte == 32 or 9 <= byte <= 13)
        if sentences and (byte in (33, 46, 63, 0xDB) or byte >= 0xE0):
            plain[byte] = False
    return plain


@njit(cache=True, nogil=True)
def _append(ends: Any, num: Any, end: Any) -> Any:
    if num == ends.size:
        wider = np.empty(2 * num, dtype=np.int64)
        wider[:num] = ends
        ends = wider
    ends[num] = end
    return ends, num + 1


@njit(cache=True, nogil=True)
def _step(data: Any, start: Any, at: Any, stop: Any, seen: Any, how: Any, titles: Any, numbered: Any) -> Any:
    """(where to go on, where the segment ends or -1) at a byte that is white space or may begin a mark."""
    if _is_space(data[at]):
        sentences, breaks = how
        end, line, count = _breaks(data, at, stop)
        ended = seen and end < stop and count >= breaks
        return end, (at if sentences else line) if ended else np.int64(-1)
    size, kind = mark_at(data, at, stop)
    if kind not in (ENDING, WIDE_ENDING):
        return at + size, np.int64(-1)
    end, ended = sentence_end(data, start, at, stop, titles, numbered)
    return end, end if ended and _after_spaces(data, end, stop) < stop else np.int64(-1)


@njit(cache=True, nogil=True)
def cut(offsets: Any, data: Any, sentences: Any, breaks: Any, titles: Any, numbered: Any) -> Any:
    """(row offsets i64[rows + 1], end of every segment in bytes from the start of its text i64[segments]).

    A segment ends where `breaks` line ends follow, of `sentences` also behind what ends one.
    """
    plain = _plain(sentences)
    rows = np.zeros(offsets.size, dtype=np.int64)
    ends = np.empty(max(16, data.size // 32), dtype=np.int64)
    num = 0
    for row in range(offsets.size - 1):
        low, stop = offsets[row], offsets[row + 1]
        at, start, seen = low, low, False
        while at < stop:
            if plain[data[at]]:
                at, seen = at + 1, True
                continue
            if data[at] == 32 and at + 1 < stop and not _is_space(data[at + 1]):
                at += 1
                continue
            space = _is_space(data[at])
            at, cut_at = _step(data, start, at, stop, seen, (sentences, breaks), titles, numbered)
            seen = seen or not space
            if cut_at >= 0:
                ends, num = _append(ends, num, cut_at - low)
                start, seen = cut_at, False
        if stop > low:
            ends, num = _append(ends, num, stop - low)
        rows[row + 1] = num
    return rows, ends[:num]


@njit(cache=True, nogil=True)
def cut_lines(offsets: Any, data: Any, breaks: Any) -> Any:
    """As `cut` for lines (`breaks` 1) and paragraphs (2), which end at line ends alone: (rows, ends)."""
    rows, ends, num = np.zeros(offsets.size, dtype=np.int64), np.empty(1024, dtype=np.int64), np.int64(0)
    for text in range(offsets.size - 1):
        start, at, stop = offsets[text], offsets[text], offsets[text + 1]
        first = _after_spaces(data, start, stop)  # of the segment, that is no white space
        at = first
        while at < stop:
            while at < stop and data[at] != 10 and data[at] != 13:
                at += 1
            if at == stop:
                break
            end, line, count = _breaks(data, at, stop)
            if end < stop and count >= breaks and first < at:
                ends, num = _append(ends, num, line - start)
                first = end
            at = end
        if stop > start:
            ends, num = _append(ends, num, stop - start)
        rows[text + 1] = num
    return rows, ends[:num].copy()
