"""The normal form in which words are compared: one spelling of what reads the same.

`minhash`, `decontaminate`, `simhash`, `dsir`, `ngram_vectors` and the overlap check of an ablation compare words in it.
It is Unicode's NFKC_Casefold, decomposed (NFKD), so that only marks have to be put in order and nothing is composed:

* case folding in full: STRASSE and straße are one word, and so are Σίσυφος and ΣΊΣΥΦΟΣ;
* composed and decomposed letters are one (NFC or NFD), marks in canonical order;
* compatibility forms are the letters that they stand for: full-width Latin, half-width kana, ligatures, superscripts;
* what is shown as nothing is gone: soft hyphens, zero-width spaces and joiners, marks of direction, variants.

Own rules: accents that stand alone (´ ¨ ¯) separate words, where Unicode makes a space and an accent of them. The
Turkish dotless ı stays another letter than i, I folds to i as everywhere but in Turkish, and İ to i with a dot above:
ISPARTA and ısparta differ. Characters newer than Unicode 14 stay as they are. Accents count: cafe is not café.

Characters go by table, Hangul by rule, marks are sorted. A text of plain characters is left where it is: all of ASCII
costs a look at its bytes. Bytes that are no UTF-8 stay as they are. The form is part of the `version` of every operator
that compares words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import BYTES_80, I64, U8, ZERO, load64
from winnow.core.words.normal_form_table import ENDS, FILE, HANGUL, PAGE, SAME, SIZE_BITS, STARTS

_TABLE = np.load(FILE)
PAGES, ENTRIES, BYTES = (np.ascontiguousarray(_TABLE[name]) for name in ("pages", "entries", "bytes"))
MARK_PAGES, MARKS = (np.ascontiguousarray(_TABLE[name]) for name in ("mark_pages", "marks"))
FLAGS = np.int64(STARTS | ENDS)
SIZES = np.int64((1 << SIZE_BITS) - 1)
FIRST_SYLLABLE, LEAD, VOWEL, TAIL = 0xAC00, 0x1100, 0x1161, 0x11A7
VOWELS, TAILS = 21, 28
MOST_MARKS = 256  # of one character that are put in order
NO_ROOM = np.int64(-1)
DEEPEST = 40  # bytes that one character becomes at most


@intrinsic
def store64(typing_context: Any, data: Any, index: Any, word: Any) -> Any:
    """A numba intrinsic (u8[:], index, u64): writes 8 bytes at any address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.add(builder.ptrtoint(start, ir.IntType(64)), args[1])
        builder.store(args[2], builder.inttoptr(address, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), codegen


@njit(cache=True, nogil=True, _nrt=False)
def decoded(data: Any, at: Any, stop: Any) -> Any:
    """(bytes, code point) of the character at `at`, which is not ASCII; the point is -1 where it is no UTF-8."""
    byte = np.int64(data[at])
    size = np.int64(2) if byte < 0xE0 else (np.int64(3) if byte < 0xF0 else np.int64(4))
    if byte < 0xC2 or byte > 0xF4 or at + size > stop:
        return np.int64(1), np.int64(-1)
    point = byte & (0xFF >> (size + 1))
    for more in range(1, size):
        if data[at + more] & 0xC0 != 0x80:
            return np.int64(1), np.int64(-1)
        point = (point << 6) | (np.int64(data[at + more]) & 0x3F)
    return size, (point if point < 0x110000 else np.int64(-1))


@njit(cache=True, nogil=True, _nrt=False)
def entry_of(point: Any) -> Any:
    """What the table says of a character."""
    return np.int64(ENTRIES[PAGES[point // PAGE], point % PAGE]) if point >= 0 else np.int64(SAME)


@njit(cache=True, nogil=True, _nrt=False)
def first_change(data: Any, at: Any, stop: Any) -> Any:
    """Where the first character of data[at:stop] lies that is another in normal form, or may change places; or -1."""
    before = np.int64(0)
    while at < stop:
        if at + 8 <= stop and load64(data, at) & BYTES_80 == ZERO:
            at, before = at + 8, np.int64(0)
            continue
        if data[at] < 0x80:
            at, before = at + 1, np.int64(0)
            continue
        size, point = decoded(data, at, stop)
        entry = entry_of(point)
        if entry & ~FLAGS != SAME or (entry & STARTS and before & ENDS):
            return at
        at, before = at + size, entry
    return np.int64(-1)


@njit(cache=True, nogil=True, _nrt=False)
def put_point(out: Any, to: Any, point: Any) -> Any:
    """End of `out` with a character of three bytes."""
    out[to] = np.uint8(0xE0 | (point >> 12))
    out[to + 1] = np.uint8(0x80 | ((point >> 6) & 0x3F))
    out[to + 2] = np.uint8(0x80 | (point & 0x3F))
    return to + 3


@njit(cache=True, nogil=True, _nrt=False)
def put_syllable(out: Any, to: Any, point: Any) -> Any:
    """End of `out` with the letters of a Hangul syllable."""
    number = point - FIRST_SYLLABLE
    to = put_point(out, to, LEAD + number // (VOWELS * TAILS))
    to = put_point(out, to, VOWEL + number % (VOWELS * TAILS) // TAILS)
    return put_point(out, to, TAIL + number % TAILS) if number % TAILS else to


@njit(cache=True, nogil=True, _nrt=False)
def put_bytes(source: Any, at: Any, size: Any, out: Any, to: Any) -> Any:
    """End of `out` with source[at:at + size]."""
    for k in range(size):
        out[to + k] = source[at + k]
    return to + size


@njit(cache=True, nogil=True, _nrt=False)
def put_text(data: Any, at: Any, stop: Any, out: Any) -> Any:
    """Bytes of the normal form of data[at:stop] in `out`; NO_ROOM where it is too small."""
    to, before, unordered = np.int64(0), np.int64(0), False
    while at < stop:
        if to + DEEPEST > out.size:
            return NO_ROOM
        if at + 8 <= stop:
            word = load64(data, at)
            if word & BYTES_80 == ZERO:
                store64(out, to, word)
                at, to, before = at + 8, to + 8, np.int64(0)
                continue
        if data[at] < 0x80:
            out[to] = data[at]
            at, to, before = at + 1, to + 1, np.int64(0)
            continue
        size, point = decoded(data, at, stop)
        entry = entry_of(point)
        rule = entry & ~FLAGS
        if rule == SAME:
            to = put_bytes(data, at, size, out, to)
        elif rule == HANGUL:
            to = put_syllable(out, to, point)
        elif rule & SIZES:
            to = put_bytes(BYTES, rule >> SIZE_BITS, rule & SIZES, out, to)
        else:  # shown as nothing
            at += size
            continue
        unordered |= (entry & STARTS) != 0 and (before & ENDS) != 0
        at, before = at + size, entry
    if unordered:
        order_marks(out, to)
    return to


@njit(cache=True, nogil=True, _nrt=False)
def mark_of(point: Any) -> Any:
    """Canonical combining class of a character; 0 for one that is no mark."""
    return np.int64(MARKS[MARK_PAGES[point // PAGE], point % PAGE]) if point >= 0 else np.int64(0)


@njit(cache=True, nogil=True, _nrt=False)
def order_marks(data: Any, stop: Any) -> None:
    """Puts the marks behind every character of data[:stop] into canonical order, in place: a stable sort by class."""
    at, start, classes = np.int64(0), np.int64(-1), np.int64(0)  # `classes`: the last one's
    count = np.int64(0)
    while at < stop:
        size, point = (np.int64(1), np.int64(0)) if data[at] < 0x80 else decoded(data, at, stop)
        kind = mark_of(point)
        if kind == 0 or count == MOST_MARKS:
            start, classes, count = np.int64(-1), np.int64(0), np.int64(0)
        else:
            start = at if start < 0 else start
            count += 1
            if kind < classes:
                sink(data, start, at, size, kind)
            else:
                classes = kind
        at += size


@njit(cache=True, nogil=True, _nrt=False)
def sink(data: Any, start: Any, at: Any, size: Any, kind: Any) -> None:
    """Moves the mark data[at:at + size] of class `kind` before the first of data[start:at] that has a higher one."""
    place = start
    while place < at:
        step, point = decoded(data, place, at)
        if mark_of(point) > kind:
            break
        place += step
    for byte in range(size):  # one byte of the mark after the other takes its place
        value = data[at + byte]
        to = at + byte
        while to > place + byte:
            data[to] = data[to - 1]
            to -= 1
        data[to] = value


@njit(types.Tuple((types.int64[::1], types.uint8[::1]))(I64, U8), cache=True, nogil=True)
def normal_rows(offsets: Any, data: Any) -> Any:
    """(offsets i64[rows + 1], bytes) of the normal form of every row."""
    rows = offsets.size - 1
    starts = np.zeros(rows + 1, dtype=np.int64)
    out = np.empty((offsets[rows] - offsets[0]) * 2 + DEEPEST, dtype=np.uint8)
    for row in range(rows):
        size = NO_ROOM
        while size < 0:
            size = put_text(data, offsets[row], offsets[row + 1], out[starts[row] :])
            if size < 0:
                larger = np.empty(2 * out.size, dtype=np.uint8)
                larger[: starts[row]] = out[: starts[row]]
                out = larger
        starts[row + 1] = starts[row] + size
    return starts, out[: starts[rows]].copy()
