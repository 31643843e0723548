"""Compiled look at lines for `c4_lines`: where they end, their words, and what they hold; eight bytes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, load64, trailing_zeros
from winnow.pipeline.measure.signals_kernels_bytes import LOW_BITS, ONES, TOP_BITS, equals, followed_by

# What a byte may be the beginning, or a rare letter, of: u8[256].
PLAIN, BLANK, CUT, LEAD, BRACKET, CURLY, PHRASE = 0, 1, 2, 3, 4, 5, 6
PHRASES = (  # (text, place of the rare pair of letters by which it is found)
    (b"javascript", 0), (b"lorem ipsum", 7), (b"terms of use", 3), (b"privacy policy", 5), (b"cookie policy", 3),
    (b"uses cookies", 8), (b"use of cookies", 10), (b"use cookies", 7),
)  # fmt: skip
PAIRS = ("ja", "ki", "cy", "ms", "ps")
(_J, _A, _K, _I, _C, _Y, _M, _P, _S, BLANK_BYTE, CURLY_BYTE) = (np.uint64(ord(char)) for char in "jakicymps {")
BRACKETS, BLANKS, SMALL, ALL_C2, ALL_E1, ALL_E2, ALL_E3 = (
    np.uint64(byte) * ONES for byte in (0x5B, 0x20, 0x60, 0xC2, 0xE1, 0xE2, 0xE3)
)
JAVASCRIPT, LOREM, POLICY, HAS_CURLY = 1, 2, 4, 8
MARKS = (b"[edit]", b"[citation needed]")


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


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def may_cut(word: Any) -> Any:
    """0x80 in each of eight bytes that may end a line or is a bracket; the lowest is one, others may be none."""
    bracket, c2, e2 = word ^ BRACKETS, word ^ ALL_C2, word ^ ALL_E2
    low = (word - BLANKS) & ~word
    return (low | (bracket - ONES) & ~bracket | (c2 - ONES) & ~c2 | (e2 - ONES) & ~e2) & TOP_BITS


@njit(cache=True, nogil=True, _nrt=False)
def line_end(data: Any, start: Any, stop: Any, kind: Any) -> Any:
    """(end of the line at `start`, start of the next one, whether it holds a bracket): `str.splitlines`."""
    bracket = False
    at = start
    while at < stop:
        if at + 8 <= stop:
            hit = may_cut(load64(data, at))
            if hit == 0:
                at += 8
                continue
            at += np.int64(trailing_zeros(hit) >> np.uint64(3))
        byte = byte_at(data, at)
        what = kind[byte]
        if what == CUT:
            both = byte == 0x0D and at + 1 < stop and byte_at(data, at + 1) == 0x0A
            return at, at + (2 if both else 1), bracket
        if what == LEAD:
            if byte == 0xC2 and at + 1 < stop and byte_at(data, at + 1) == 0x85:
                return at, at + 2, bracket
            wide = byte == 0xE2 and at + 2 < stop and byte_at(data, at + 1) == 0x80
            if wide and byte_at(data, at + 2) | 1 == 0xA9:
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
        chars += byte_at(data, at) & 0xC0 != 0x80
    return chars > most


@njit(cache=True, nogil=True, _nrt=False)
def blank_at(data: Any, at: Any, stop: Any, kind: Any) -> Any:
    """Bytes of the white space at `at`, 0 where there is none."""
    what = kind[byte_at(data, at)]
    return blank_size(data, at, stop, what) if BLANK <= what <= LEAD else 0


@njit(cache=True, nogil=True, _nrt=False)
def has_long_word(data: Any, start: Any, stop: Any, most: Any, kind: Any) -> Any:
    """Whether a word of data[start:stop] has more than `most` characters.

    A look back from the byte that such a word must have finds the white space before it: most bytes are never read.
    """
    word = start
    while stop - word > most:
        at = word + most
        while at >= word and blank_at(data, at, stop, kind) == 0:
            at -= 1
        if at < word:
            at = word + most + 1
            while at < stop and blank_at(data, at, stop, kind) == 0:
                at += 1
            if longer_than(data, word, at, most):
                return True
            if at == stop:
                return False
        word = at + blank_at(data, at, stop, kind)
    return False


@njit(cache=True, nogil=True, _nrt=False)
def phrase_at(data: Any, start: Any, at: Any, stop: Any, found: Any) -> Any:
    """What the phrases say (bits) of which the two letters at `at` are those that they are found by."""
    _, phrases, begins, places, says = found[:5]
    bits = 0
    for one in range(places.size):
        first = at - places[one]
        if first >= start and followed_by(data, first, stop, phrases[begins[one] : begins[one + 1]]):
            bits |= says[one]
    return bits


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def pairs(word: Any, after: Any) -> Any:
    """0x80 in each of eight bytes (all below 0x80) that begins one of PAIRS, in any case; `after`: from one byte on."""
    one, two = word | BLANKS, after | BLANKS
    found = equals(one, _J) & equals(two, _A) | equals(one, _K) & equals(two, _I) | equals(one, _C) & equals(two, _Y)
    return found | (equals(one, _M) | equals(one, _P)) & equals(two, _S)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def is_simple(word: Any) -> Any:
    """Whether the only white space that eight bytes may hold or begin is the blank."""
    control = ~((word & LOW_BITS) + SMALL) & ~word & TOP_BITS
    if control:
        return False
    if word & TOP_BITS == 0:
        return True
    c2, e1, e2, e3 = word ^ ALL_C2, word ^ ALL_E1, word ^ ALL_E2, word ^ ALL_E3
    lead = (c2 - ONES) & ~c2 | (e1 - ONES) & ~e1 | (e2 - ONES) & ~e2 | (e3 - ONES) & ~e3
    return lead & TOP_BITS == 0


@njit(cache=True, nogil=True, _nrt=False)
def look_closely(data: Any, start: Any, at: Any, limit: Any, stop: Any, inside: Any, found: Any) -> Any:
    """(words that begin, what is held: bits, next place, whether inside a word) of data[at:limit], byte by byte."""
    kind = found[0]
    words, bits = 0, 0
    while at < limit:
        what = kind[byte_at(data, at)]
        size = blank_size(data, at, stop, what) if BLANK <= what <= LEAD else 0
        if size:
            inside = False
            at += size
            continue
        words += not inside
        inside = True
        if what == CURLY:
            bits |= HAS_CURLY
        elif what == PHRASE and at + 1 < stop and byte_at(data, at + 1) | 0x20 in (0x61, 0x69, 0x79, 0x73):
            bits |= phrase_at(data, start, at, stop, found)
        at += 1
    return words, bits, at, inside


@njit(cache=True, nogil=True, _nrt=False)
def look(data: Any, start: Any, stop: Any, found: Any) -> Any:
    """(words, what a line holds: bits) of data[start:stop]; eight bytes at once where all white space is blanks."""
    words, bits, inside, at = np.int64(0), 0, False, start
    while at < stop:
        limit = stop
        if at + 9 <= stop:
            limit = at + 8
            word = load64(data, at)
            if is_simple(word):
                plain = word & LOW_BITS
                blank = equals(plain, BLANK_BYTE) & ~word
                before = blank << np.uint64(8) | (np.uint64(0) if inside else np.uint64(0x80))
                words += np.int64(((~blank & before & TOP_BITS) >> np.uint64(7)) * ONES >> np.uint64(56))
                inside = blank >> np.uint64(63) == 0
                if equals(plain, CURLY_BYTE) & ~word:
                    bits |= HAS_CURLY
                hit = pairs(plain, load64(data, at + 1) & LOW_BITS)
                while hit:
                    one = at + np.int64(trailing_zeros(hit) >> np.uint64(3))
                    bits |= phrase_at(data, start, one, stop, found)
                    hit &= hit - np.uint64(1)
                at = limit
                continue
        more, held, at, inside = look_closely(data, start, at, limit, stop, inside, found)
        words += more
        bits |= held
    return words, bits
