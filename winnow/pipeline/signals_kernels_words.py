"""Kernel of the word pass: one walk over a document's bytes, all word, character and C4 line counts in integers.

A word is a maximal run of characters that are not white space (`str.split()`); a line here is what
`str.splitlines()` gives. Runs of ASCII go through one 256-entry table of packed counters (seven 9-bit fields, so
a word is walked in pieces of at most 511 bytes); other characters are decoded and looked up by code point.
"""

# ruff: noqa: PLR0917  (kernels take their buffers one by one)

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.hashing_kernels import load64
from winnow.pipeline.signals_kernels_unicode import ALPHA, BREAK, DIGIT, LOWER, PUNCT, SPACE, TERMINAL, UPPER

# Counters of one document, i64[NUM_COUNTERS]; the names from LINE_START on are the state of the current line.
(
    SPACES,
    WORDS,
    PLAIN_WORDS,
    PLAIN_CHARS,
    ALPHA_WORDS,
    LONGEST,
    HASHES,
    ELLIPSES,
    DIGITS,
    UPPERS,
    STOP_MASK,
    STOP_HITS,
    COMMON_MASK,
    COMMON_HITS,
    FEEDS,
    CURLY,
    LOREM,
    LINES,
    BULLET_LINES,
    ELLIPSIS_LINES,
    SENTENCES,
    MARKED_LINES,
    JAVASCRIPT_LINES,
    POLICY_LINES,
    C4_LINES,
    C4_SENTENCES,
    FIRST_WORD,
    LAST_END,
    LINE_START,
    LINE_FIRST,
    LINE_LAST,
    LINE_WORDS,
    LINE_CUTS,
    LINE_PENDING,
    LINE_LONG,
    LINE_JAVASCRIPT,
    LINE_POLICY,
    NUM_COUNTERS,
) = range(38)

# Fields of a packed counter, 9 bits each.
F_DIGIT, F_UPPER, F_ALPHA, F_PLAIN, F_HASH, F_DOT, F_RARE = (9 * field for field in range(7))
FIELD = 511
PIECE = 511

LONG_WORD = 1000
MIN_LINE_WORDS = 3

K1 = np.uint64(0x9E3779B185EBCA87)
K2 = np.uint64(0xC2B2AE3D27D4EB4F)
K_LISTED = np.uint64(0x8FF34785799E5CBD)  # gives every listed word a slot of its own
FOLD = np.uint64(0x2020202020202020)
SHIFT = np.uint64(32)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)

TERMS_OF_USE = np.frombuffer(b" of use", dtype=np.uint8)
COOKIES = np.frombuffer(b" cookies", dtype=np.uint8)
OF_COOKIES = np.frombuffer(b" of cookies", dtype=np.uint8)
POLICY = np.frombuffer(b" policy", dtype=np.uint8)
IPSUM = np.frombuffer(b" ipsum", dtype=np.uint8)
TERMS = np.frombuffer(b"terms", dtype=np.uint8)
USES = np.frombuffer(b"uses", dtype=np.uint8)
USE = np.frombuffer(b"use", dtype=np.uint8)
PRIVACY = np.frombuffer(b"privacy", dtype=np.uint8)
COOKIE = np.frombuffer(b"cookie", dtype=np.uint8)
LOREM_WORD = np.frombuffer(b"lorem", dtype=np.uint8)
JAVASCRIPT = np.frombuffer(b"javascript", dtype=np.uint8)
EDIT = np.frombuffer(b"[edit]", dtype=np.uint8)
CITATION_NEEDED = np.frombuffer(b"[citation needed]", dtype=np.uint8)
DOTS = np.frombuffer(b"...", dtype=np.uint8)
ELLIPSIS = np.frombuffer("…".encode(), dtype=np.uint8)
BULLET = np.frombuffer("•".encode(), dtype=np.uint8)
RIGHT_DOUBLE = np.frombuffer("”".encode(), dtype=np.uint8)
RIGHT_SINGLE = np.frombuffer("’".encode(), dtype=np.uint8)
RIGHT_ANGLE = np.frombuffer("»".encode(), dtype=np.uint8)


@njit(cache=True, nogil=True)
def decode(data: Any, at: Any, stop: Any) -> Any:
    """(code point, bytes it takes) of the character at `at`; a broken one is (U+FFFD, 1)."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, 1
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or at + size > stop:
        return 0xFFFD, 1
    point = lead & (0x7F >> size)
    for k in range(1, size):
        point = point << 6 | np.int64(data[at + k]) & 0x3F
    return (point if point < 0x110000 else 0xFFFD), size


@njit(cache=True, nogil=True)
def decode_last(data: Any, start: Any, stop: Any) -> Any:
    """Code point of the last character of data[start:stop] (not empty)."""
    at = stop - 1
    while at > start and at > stop - 4 and data[at] & 0xC0 == 0x80:
        at -= 1
    return decode(data, at, stop)[0]


@njit(cache=True, nogil=True)
def ends_with(data: Any, start: Any, stop: Any, tail: Any) -> Any:
    """Whether data[start:stop] ends with the lower-case bytes `tail`, ASCII letters in any case."""
    if stop - start < tail.size:
        return False
    for k in range(tail.size):
        byte = data[stop - tail.size + k]
        if (byte | 0x20 if 0x41 <= byte <= 0x5A else byte) != tail[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def followed_by(data: Any, at: Any, stop: Any, text: Any) -> Any:
    """Whether the lower-case bytes `text` stand at data[at:], ASCII letters in any case."""
    return at + text.size <= stop and ends_with(data, at, at + text.size, text)


@njit(cache=True, nogil=True)
def contains(data: Any, start: Any, stop: Any, text: Any) -> Any:
    """Whether the lower-case bytes `text` stand anywhere in data[start:stop], ASCII letters in any case."""
    for at in range(start, stop - text.size + 1):
        if data[at] | 0x20 == text[0] and followed_by(data, at, stop, text):
            return True
    return False


@njit(cache=True, nogil=True)
def first_bytes(data: Any, start: Any, size: Any) -> Any:
    """The first min(size, 8) bytes at `start` as a little-endian u64; reads inside the buffer only."""
    if start + 8 <= data.size:
        word = load64(data, start)
        return word if size >= 8 else word & (FULL >> np.uint64(64 - 8 * size))
    word = np.uint64(0)
    for k in range(min(size, 8)):
        word |= np.uint64(data[start + k]) << np.uint64(8 * k)
    return word


@njit(cache=True, nogil=True)
def mix(state: Any, word: Any) -> Any:
    """One step of the 64-bit hash: `state` with `word` folded in."""
    state = (state ^ word) * K1
    return (state ^ (state >> SHIFT)) * K2


@njit(cache=True, nogil=True)
def hash_bytes(data: Any, start: Any, stop: Any) -> Any:
    """64-bit hash of data[start:stop]; compared for equality only, never an output."""
    size = stop - start
    state = mix(np.uint64(size) * K2, first_bytes(data, start, size) if size else np.uint64(0))
    if size <= 8:
        return state ^ (state >> SHIFT)
    at = start + 8
    while at + 8 < stop:
        state = mix(state, load64(data, at))
        at += 8
    state = mix(state, load64(data, stop - 8))
    return state ^ (state >> SHIFT)


@njit(cache=True, nogil=True)
def walk_word(data: Any, at: Any, stop: Any, add: Any, flags: Any, counts: Any) -> Any:
    """(end, characters, packed counters) of the word at `at`.

    A packed field is exact for words of one piece; for longer ones it is zero exactly where the count is zero.
    Digits, upper-case letters, number signs and ellipsis characters are added to `counts` here.
    """
    start, folded, extra, found, open_end = at, np.int64(0), np.int64(0), np.int64(0), True
    while open_end and at < stop:
        piece_stop = min(stop, at + PIECE)
        packed = np.int64(0)
        while at < piece_stop:
            step = add[data[at]]
            if step >= 0:
                packed += step
                at += 1
                continue
            if data[at] < 0x80:
                open_end = False
                break
            point, size = decode(data, at, stop)
            flag = flags[point]
            if flag & SPACE:
                open_end = False
                break
            packed += _pack_flag(flag)
            found += point == 0x2026
            extra += size - 1
            at += size
        counts[DIGITS] += packed & FIELD
        counts[UPPERS] += packed >> F_UPPER & FIELD
        counts[HASHES] += packed >> F_HASH & FIELD
        folded |= packed
    counts[ELLIPSES] += found
    return at, at - start - extra, folded


@njit(cache=True, nogil=True)
def _pack_flag(flag: Any) -> Any:
    return (
        np.int64(flag & DIGIT != 0) << F_DIGIT
        | np.int64(flag & UPPER != 0) << F_UPPER
        | np.int64(flag & ALPHA != 0) << F_ALPHA
        | np.int64(flag & PUNCT == 0) << F_PLAIN
    )


@njit(cache=True, nogil=True)
def dot_runs(data: Any, start: Any, stop: Any) -> Any:
    """Number of "..." in data[start:stop], counted from the left without overlap."""
    found, run = 0, 0
    for at in range(start, stop):
        run = run + 1 if data[at] == 0x2E else 0
        if run == 3:
            found += 1
            run = 0
    return found


@njit(cache=True, nogil=True)
def ends_sentence(data: Any, start: Any, stop: Any, flags: Any, abbreviations: Any) -> Any:
    """Whether the word data[start:stop] may close a sentence: a sentence mark, then closing quotes or brackets."""
    while stop > start:
        byte = data[stop - 1]
        if byte in (0x22, 0x27, 0x29, 0x5D, 0x7D):
            stop -= 1
        elif ends_with(data, start, stop, RIGHT_DOUBLE) or ends_with(data, start, stop, RIGHT_SINGLE):
            stop -= 3
        elif ends_with(data, start, stop, RIGHT_ANGLE):
            stop -= 2
        else:
            break
    if stop == start:
        return False
    if data[stop - 1] != 0x2E:
        point = decode_last(data, start, stop)
        return point == 0x2026 or flags[point] & TERMINAL != 0
    return not _is_abbreviation(data, start, stop, abbreviations)


@njit(cache=True, nogil=True)
def _is_abbreviation(data: Any, start: Any, stop: Any, abbreviations: Any) -> Any:
    """Whether data[start:stop], which ends with a full stop, is one ASCII letter and it, or a listed abbreviation."""
    if stop - start > 8:
        return False
    key = np.uint64(0)
    for at in range(start, stop):
        byte = data[at]
        key |= np.uint64(byte | 0x20 if 0x41 <= byte <= 0x5A else byte) << np.uint64(8 * (at - start))
    if stop - start == 2 and np.uint64(0x2E61) <= key <= np.uint64(0x2E7A):
        return True
    for known in abbreviations:
        if key == known:
            return True
    return False


@njit(cache=True, nogil=True)
def note_phrases(data: Any, start: Any, stop: Any, doc_stop: Any, counts: Any) -> Any:
    """Set the line's policy flag and the document's lorem flag where the word at [start, stop) opens a phrase."""
    if followed_by(data, stop, doc_stop, COOKIES):
        hit = ends_with(data, start, stop, USES) or ends_with(data, start, stop, USE)
    elif followed_by(data, stop, doc_stop, POLICY):
        hit = ends_with(data, start, stop, PRIVACY) or ends_with(data, start, stop, COOKIE)
    elif followed_by(data, stop, doc_stop, OF_COOKIES):
        hit = ends_with(data, start, stop, USE)
    elif followed_by(data, stop, doc_stop, TERMS_OF_USE):
        hit = ends_with(data, start, stop, TERMS)
    else:
        hit = False
        if followed_by(data, stop, doc_stop, IPSUM) and ends_with(data, start, stop, LOREM_WORD):
            counts[LOREM] = 1
    if hit:
        counts[LINE_POLICY] = 1


@njit(cache=True, nogil=True)
def note_stop_word(key: Any, size: Any, listed: Any, counts: Any) -> Any:
    """Count the word of `size` bytes packed in `key` if it is listed: as it is (Gopher) or in any case (common)."""
    folded = key | FOLD
    slot = np.int64((folded * K_LISTED) >> np.uint64(56))
    if listed[slot, 0] != folded or listed[slot, 1] != np.uint64(size):
        return
    stop_bit, common_bit = np.int64(listed[slot, 3]), np.int64(listed[slot, 4])
    if stop_bit and key == listed[slot, 2]:
        counts[STOP_HITS] += 1
        counts[STOP_MASK] |= stop_bit
    if common_bit:
        counts[COMMON_HITS] += 1
        counts[COMMON_MASK] |= common_bit


@njit(cache=True, nogil=True)
def without_citations(data: Any, start: Any, stop: Any) -> Any:
    """End of data[start:stop] without the citation marks it ends with: [12], [], [edit], [citation needed]."""
    while stop > start and data[stop - 1] == 0x5D:
        at = stop - 2
        while at > start and 0x30 <= data[at] <= 0x39:
            at -= 1
        if at >= start and data[at] == 0x5B:
            stop = at
        elif stop - start >= EDIT.size and same(data, stop - EDIT.size, EDIT):
            stop -= EDIT.size
        elif stop - start >= CITATION_NEEDED.size and same(
            data, stop - CITATION_NEEDED.size, CITATION_NEEDED
        ):
            stop -= CITATION_NEEDED.size
        else:
            return stop
    return stop


@njit(cache=True, nogil=True)
def same(data: Any, at: Any, text: Any) -> Any:
    """Whether the bytes `text` stand at data[at:]; they must fit."""
    for k in range(text.size):
        if data[at + k] != text[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def end_line(data: Any, next_line: Any, counts: Any) -> Any:
    """Count the line that ends here, by its first word's start and its last word's end, and open the next one."""
    counts[LINES] += 1
    counts[LINE_START] = next_line
    if counts[LINE_WORDS] == 0:
        return
    first, last = counts[LINE_FIRST], counts[LINE_LAST]
    mark = data[last - 1]
    counts[BULLET_LINES] += data[first] == 0x2D or followed_by(data, first, last, BULLET)
    if mark == 0x2E or mark == 0xA6:
        counts[ELLIPSIS_LINES] += ends_with(data, first, last, DOTS) or ends_with(data, first, last, ELLIPSIS)
    counts[SENTENCES] += counts[LINE_CUTS] + 1
    if mark == 0x5D:
        last = without_citations(data, first, last)
        mark = data[last - 1] if last > first else np.uint8(0)
    marked = mark in (0x2E, 0x3F, 0x21, 0x22, 0x27) and not (
        mark == 0x2E and ends_with(data, first, last, DOTS)
    )
    counts[MARKED_LINES] += marked
    counts[JAVASCRIPT_LINES] += counts[LINE_JAVASCRIPT]
    counts[POLICY_LINES] += counts[LINE_POLICY]
    bad = counts[LINE_LONG] + counts[LINE_JAVASCRIPT] + counts[LINE_POLICY]
    if marked and bad == 0 and counts[LINE_WORDS] >= MIN_LINE_WORDS:
        counts[C4_LINES] += 1
        counts[C4_SENTENCES] += counts[LINE_CUTS] + 1
    for field in range(LINE_WORDS, NUM_COUNTERS):
        counts[field] = 0


@njit(cache=True, nogil=True)
def skip_space(
    data: Any, at: Any, start: Any, stop: Any, flags: Any, counts: Any, feeds: Any, words_at: Any
) -> Any:
    """Start of the next word, or `stop`; white space is counted, lines are ended, line feeds are recorded."""
    while at < stop:
        byte = data[at]
        size = 1
        if byte == 0x20:
            counts[SPACES] += 1
            at += 1
            continue
        if byte < 0x80:
            flag = flags[byte]
        else:
            point, size = decode(data, at, stop)
            flag = flags[point]
        if flag & SPACE == 0:
            return at
        counts[SPACES] += 1
        if flag & BREAK and not (byte == 0x0D and at + 1 < stop and data[at + 1] == 0x0A):
            if byte == 0x0A:
                feeds[counts[FEEDS]] = at - start
                words_at[counts[FEEDS]] = counts[WORDS]
                counts[FEEDS] += 1
            end_line(data, at + size, counts)
        at += size
    return at


@njit(cache=True, nogil=True)
def note_long_tail(data: Any, start: Any, stop: Any, packed: Any, counts: Any) -> Any:
    """What few words need: ellipses inside the word, braces, "javascript"."""
    dots = packed >> F_DOT & FIELD
    if dots >= 3 or (dots and stop - start > PIECE):
        counts[ELLIPSES] += dot_runs(data, start, stop)
    if packed >> F_RARE & FIELD:
        for at in range(start, stop):
            counts[CURLY] |= data[at] == 0x7B
        if contains(data, start, stop, JAVASCRIPT):
            counts[LINE_JAVASCRIPT] = 1


@njit(cache=True, nogil=True)
def note_line(data: Any, start: Any, stop: Any, doc_stop: Any, tables: Any, counts: Any) -> Any:
    """Bring the current line's state up to date with the word at [start, stop)."""
    _, flags, tail, _, abbreviations = tables
    if counts[LINE_WORDS] == 0:
        counts[LINE_FIRST] = start
    elif counts[LINE_PENDING]:
        point = np.int64(data[start])
        if point >= 0x80:
            point, _ = decode(data, start, stop)
        counts[LINE_CUTS] += flags[point] & LOWER == 0
    counts[LINE_WORDS] += 1
    counts[LINE_LAST] = stop
    last = tail[data[stop - 1]]
    counts[LINE_PENDING] = last & 1 and ends_sentence(data, start, stop, flags, abbreviations)
    if stop < doc_stop and data[stop] == 0x20 and stop - start > 1 and last & tail[256 + data[stop - 2]]:
        note_phrases(data, start, stop, doc_stop, counts)


@njit(cache=True, nogil=True)
def scan(
    data: Any,
    start: Any,
    stop: Any,
    tables: Any,
    counts: Any,
    hashes: Any,
    chars_to: Any,
    feeds: Any,
    words_at: Any,
) -> Any:
    """Walk the document data[start:stop]: fill `counts`, word hashes, characters before each word, line feeds."""
    add, flags, _, listed, _ = tables
    counts[:] = 0
    counts[LINE_START] = start
    chars_to[0] = 0
    words = 0
    at = skip_space(data, start, start, stop, flags, counts, feeds, words_at)
    counts[FIRST_WORD], counts[LAST_END] = at, at
    while at < stop:
        end, chars, packed = walk_word(data, at, stop, add, flags, counts)
        size = end - at
        if size <= 8:
            key = first_bytes(data, at, size)
            note_stop_word(key, size, listed, counts)
        hashes[words] = hash_bytes(data, at, end)
        chars_to[words + 1] = chars_to[words] + chars
        words += 1
        counts[WORDS] = words
        plain = packed >> F_PLAIN & FIELD != 0
        counts[PLAIN_WORDS] += plain
        counts[PLAIN_CHARS] += chars if plain else 0
        counts[ALPHA_WORDS] += packed >> F_ALPHA & FIELD != 0
        counts[LONGEST] = max(counts[LONGEST], chars)
        counts[LINE_LONG] |= chars > LONG_WORD
        if packed >> F_DOT:
            note_long_tail(data, at, end, packed, counts)
        note_line(data, at, end, stop, tables, counts)
        counts[LAST_END] = end
        at = skip_space(data, end, start, stop, flags, counts, feeds, words_at)
    if counts[LINE_START] < stop:
        end_line(data, stop, counts)
