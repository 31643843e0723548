"""Kernel of the word pass: one walk over a document's bytes, all word, character and C4 line counts in
integers.

A word is a maximal run of characters that are not white space (`str.split()`); a line here is what
`str.splitlines()` gives. Visible ASCII is read eight bytes at a time: where the run ends, how many digits and
capitals it has and whether it holds a letter are a few operations on one u64. Other characters are decoded and
looked up by code point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, load64, trailing_zeros
from winnow.pipeline.measure.signals_kernels_bytes import (
    FULL,
    K2,
    ONES,
    TOP_BITS,
    between,
    contains,
    decode,
    decode_last,
    dot_runs,
    ends_with,
    equals,
    finish,
    first_bytes,
    followed_by,
    hash_bytes,
    mix,
    same,
)
from winnow.pipeline.measure.signals_kernels_unicode import ALPHA, BREAK, DIGIT, LOWER, PUNCT, SPACE, TERMINAL, UPPER

# Counters of one document, i64[NUM_COUNTERS]; the names from LINE_START on are the state of the current line.
(
    SPACES,
    WIDE,  # bytes that white space takes beyond one per character
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
) = range(39)

# What a word has in it; RARE: a brace, a j, or two full stops side by side.
LETTER, PLAIN, RARE = 1, 2, 4

LONG_WORD = 1000
MIN_LINE_WORDS = 3

K_LISTED = np.uint64(0x8FF34785799E5CBD)  # gives every listed word a slot of its own
FOLD = np.uint64(0x2020202020202020)
BLANKS = np.uint64(0x2020202020202020)
BLANK_NEXT = np.uint64(0x2121212121212121)
B_0, B_9, B_A, B_Z, B_LOWER_A, B_LOWER_Z = (np.uint64(ord(char)) for char in "09AZaz")
B_HASH, B_DOT, B_J, B_BRACE = (np.uint64(ord(char)) for char in "#.j{")

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


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def ascii_run(data: Any, at: Any, stop: Any, counts: Any) -> Any:
    """(end, traits) of the run of visible ASCII at `at`, eight bytes a step; digits, capitals and # are counted."""
    traits = 0
    while at < stop:
        word = load64(data, at) if at + 8 <= data.size else first_bytes(data, at, stop - at)
        stops = ((word - BLANK_NEXT) | word) & TOP_BITS
        size = min(np.int64(trailing_zeros(stops) >> np.uint64(3)) if stops else 8, stop - at)
        if size == 0:
            break
        word &= FULL >> np.uint64(64 - 8 * size)
        folded = word | FOLD
        digits, capitals = between(word, B_0, B_9), between(word, B_A, B_Z)
        letters, signs, dots = between(folded, B_LOWER_A, B_LOWER_Z), equals(word, B_HASH), equals(word, B_DOT)
        rare = equals(folded, B_J) | equals(word, B_BRACE) | dots & dots >> np.uint64(8)
        both = np.int64((((digits >> np.uint64(7)) | (capitals >> np.uint64(3))) * ONES) >> np.uint64(56))
        counts[DIGITS] += both & 15
        counts[UPPERS] += both >> 4
        if signs:
            counts[HASHES] += np.int64(((signs >> np.uint64(7)) * ONES) >> np.uint64(56))
        traits |= (LETTER | PLAIN) * (letters != 0) | PLAIN * (digits != 0) | RARE * (rare != 0)
        at += size
        if size < 8:
            break
    return at, traits


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def walk_word(data: Any, at: Any, stop: Any, flags: Any, counts: Any) -> Any:
    """(end, characters, traits) of the word at `at`; digits, capitals, # and ellipsis characters are counted."""
    start, extra = at, 0
    at, traits = ascii_run(data, at, stop, counts)
    while at < stop and byte_at(data, at) != 0x20:
        point, size = decode(data, at, stop)
        flag = flags[point]
        if flag & SPACE:
            break
        counts[DIGITS] += flag & DIGIT != 0
        counts[UPPERS] += flag & UPPER != 0
        counts[ELLIPSES] += point == 0x2026
        traits |= LETTER * (flag & ALPHA != 0) | PLAIN * (flag & PUNCT == 0)
        extra += size - 1
        at += size
        if at < stop and byte_at(data, at) < 0x80:
            at, more = ascii_run(data, at, stop, counts)
            traits |= more
    return at, at - start - extra, traits


@njit(cache=True, nogil=True, _nrt=False)
def ends_sentence(data: Any, start: Any, stop: Any, flags: Any, abbreviations: Any) -> Any:
    """Whether the word data[start:stop] may close a sentence: a sentence mark, then closing quotes or brackets."""
    while stop > start:
        byte = byte_at(data, stop - 1)
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
    if byte_at(data, stop - 1) != 0x2E:
        point = decode_last(data, start, stop)
        return point == 0x2026 or flags[point] & TERMINAL != 0
    return not _is_abbreviation(data, start, stop, abbreviations)


@njit(cache=True, nogil=True, _nrt=False)
def _is_abbreviation(data: Any, start: Any, stop: Any, abbreviations: Any) -> Any:
    """Whether data[start:stop], which ends with a full stop, is one ASCII letter and it, or a listed abbreviation."""
    if stop - start > 8:
        return False
    key = np.uint64(0)
    for at in range(start, stop):
        byte = byte_at(data, at)
        key |= np.uint64(byte | 0x20 if 0x41 <= byte <= 0x5A else byte) << np.uint64(8 * (at - start))
    if stop - start == 2 and np.uint64(0x2E61) <= key <= np.uint64(0x2E7A):
        return True
    found = False
    for known in abbreviations:
        found |= key == known
    return found


@njit(cache=True, nogil=True, _nrt=False)
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


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
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


@njit(cache=True, nogil=True, _nrt=False)
def without_citations(data: Any, start: Any, stop: Any) -> Any:
    """End of data[start:stop] without the citation marks it ends with: [12], [], [edit], [citation needed]."""
    while stop > start and byte_at(data, stop - 1) == 0x5D:
        at = stop - 2
        while at > start and 0x30 <= byte_at(data, at) <= 0x39:
            at -= 1
        if at >= start and byte_at(data, at) == 0x5B:
            stop = at
        elif stop - start >= EDIT.size and same(data, stop - EDIT.size, EDIT):
            stop -= EDIT.size
        elif stop - start >= CITATION_NEEDED.size and same(data, stop - CITATION_NEEDED.size, CITATION_NEEDED):
            stop -= CITATION_NEEDED.size
        else:
            return stop
    return stop


@njit(cache=True, nogil=True, _nrt=False)
def end_line(data: Any, next_line: Any, counts: Any) -> Any:
    """Count the line that ends here, by its first word's start and its last word's end, and open the next one."""
    counts[LINES] += 1
    counts[LINE_START] = next_line
    if counts[LINE_WORDS] == 0:
        return
    first, last = counts[LINE_FIRST], counts[LINE_LAST]
    mark = byte_at(data, last - 1)
    counts[BULLET_LINES] += byte_at(data, first) == 0x2D or followed_by(data, first, last, BULLET)
    if mark in (0x2E, 0xA6):
        counts[ELLIPSIS_LINES] += ends_with(data, first, last, DOTS) or ends_with(data, first, last, ELLIPSIS)
    counts[SENTENCES] += counts[LINE_CUTS] + 1
    if mark == 0x5D:
        last = without_citations(data, first, last)
        mark = byte_at(data, last - 1) if last > first else np.uint8(0)
    marked = mark in (0x2E, 0x3F, 0x21, 0x22, 0x27) and not (mark == 0x2E and ends_with(data, first, last, DOTS))
    counts[MARKED_LINES] += marked
    counts[JAVASCRIPT_LINES] += counts[LINE_JAVASCRIPT]
    counts[POLICY_LINES] += counts[LINE_POLICY]
    bad = counts[LINE_LONG] + counts[LINE_JAVASCRIPT] + counts[LINE_POLICY]
    if marked and bad == 0 and counts[LINE_WORDS] >= MIN_LINE_WORDS:
        counts[C4_LINES] += 1
        counts[C4_SENTENCES] += counts[LINE_CUTS] + 1
    for field in range(LINE_WORDS, NUM_COUNTERS):
        counts[field] = 0


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def skip_space(data: Any, at: Any, start: Any, stop: Any, flags: Any, counts: Any, feeds: Any, words_at: Any) -> Any:
    """Start of the next word, or `stop`; white space is counted, lines are ended, line feeds are recorded."""
    while at < stop:
        byte = byte_at(data, at)
        size = 1
        if byte == 0x20:
            at += 1
            while at + 8 <= stop and load64(data, at) == BLANKS:
                at += 8
            continue
        if byte < 0x80:
            flag = flags[byte]
        else:
            point, size = decode(data, at, stop)
            flag = flags[point]
        if flag & SPACE == 0:
            return at
        counts[WIDE] += size - 1
        if flag & BREAK and not (byte == 0x0D and at + 1 < stop and byte_at(data, at + 1) == 0x0A):
            if byte == 0x0A:
                feeds[counts[FEEDS]] = at - start
                words_at[counts[FEEDS]] = counts[WORDS]
                counts[FEEDS] += 1
            end_line(data, at + size, counts)
        at += size
    return at


@njit(cache=True, nogil=True, _nrt=False)
def note_rare(data: Any, start: Any, stop: Any, counts: Any) -> Any:
    """What few words need: ellipses inside the word, braces, "javascript"."""
    counts[ELLIPSES] += dot_runs(data, start, stop)
    for at in range(start, stop):
        counts[CURLY] |= byte_at(data, at) == 0x7B
    if contains(data, start, stop, JAVASCRIPT):
        counts[LINE_JAVASCRIPT] = 1


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def note_line(
    data: Any, start: Any, stop: Any, doc_stop: Any, flags: Any, tail: Any, abbreviations: Any, counts: Any
) -> Any:
    """Bring the current line's state up to date with the word at [start, stop)."""
    if counts[LINE_WORDS] == 0:
        counts[LINE_FIRST] = start
    elif counts[LINE_PENDING]:
        point = np.int64(byte_at(data, start))
        if point >= 0x80:
            point, _ = decode(data, start, stop)
        counts[LINE_CUTS] += flags[point] & LOWER == 0
    counts[LINE_WORDS] += 1
    counts[LINE_LAST] = stop
    last = tail[byte_at(data, stop - 1)]
    counts[LINE_PENDING] = last & 1 and ends_sentence(data, start, stop, flags, abbreviations)
    before = tail[256 + byte_at(data, stop - 2)] if stop - start > 1 else np.uint8(0)
    if last & before and stop < doc_stop and byte_at(data, stop) == 0x20:
        note_phrases(data, start, stop, doc_stop, counts)


@njit(cache=True, nogil=True, _nrt=False)
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
    spans: Any,
) -> Any:
    """Walk the document data[start:stop]: fill `counts`, word hashes, characters before each word, line feeds.

    `spans` i64[2, words] takes the starts and ends of the words; one of no columns is left alone.
    """
    flags, tail, listed, abbreviations = tables
    counts[:] = 0
    counts[LINE_START], chars_to[0] = start, 0
    words, plain_words, plain_chars, letter_words, longest, chars_so_far = 0, 0, 0, 0, 0, 0
    blanks = stop - start
    at = skip_space(data, start, start, stop, flags, counts, feeds, words_at)
    counts[FIRST_WORD], counts[LAST_END] = at, at
    while at < stop:
        end, chars, traits = walk_word(data, at, stop, flags, counts)
        size = end - at
        blanks -= size
        if size <= 8:
            key = first_bytes(data, at, size)
            note_stop_word(key, size, listed, counts)
            hashes[np.uint64(words)] = finish(mix(np.uint64(size) * K2, key))
        else:
            hashes[np.uint64(words)] = hash_bytes(data, at, end)
        chars_so_far += chars
        chars_to[np.uint64(words + 1)] = chars_so_far
        if spans.size:
            spans[0, words], spans[1, words] = at, end
        words += 1
        counts[WORDS] = words
        plain_words += traits & PLAIN != 0
        plain_chars += chars if traits & PLAIN else 0
        letter_words += traits & LETTER
        longest = max(longest, chars)
        if chars > LONG_WORD:
            counts[LINE_LONG] = 1
        if traits & RARE:
            note_rare(data, at, end, counts)
        note_line(data, at, end, stop, flags, tail, abbreviations, counts)
        counts[LAST_END] = end
        at = skip_space(data, end, start, stop, flags, counts, feeds, words_at)
    counts[PLAIN_WORDS], counts[PLAIN_CHARS], counts[ALPHA_WORDS] = plain_words, plain_chars, letter_words
    counts[LONGEST] = longest
    counts[SPACES] = blanks - counts[WIDE]
    if counts[LINE_START] < stop:
        end_line(data, stop, counts)
