"""Compiled words and word n-grams of texts: 64 bytes at a time where they are ASCII, else character by character.

A word's hash folds its lower-cased bytes as 8-byte little-endian words, zero-padded. A block of 64 ASCII bytes is
lower-cased and its word bytes are found by vector instructions; the words' ends come out of two bits of one mask, so
that hardly a branch depends on the text. Whatever is not ASCII, and the last bytes of a text, go through `next_word`,
which says what a word is; both give the same words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import (
    BYTES_01,
    BYTES_7F,
    BYTES_80,
    I64,
    P5,
    U8,
    ZERO,
    absorb,
    avalanche,
    load64,
    trailing_zeros,
)
from winnow.core.words.normal_form_kernels import DEEPEST, first_change, put_text

SEPARATOR, LETTER, LONELY = 0, 1, 2
SEPARATORS = ((0x80, 0xBF), (0x2000, 0x206F), (0x3000, 0x303F), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20))
ALONE = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x312F), (0x3400, 0x9FFF))
ALONE_FAR = ((0xF900, 0xFAFF), (0x20000, 0x3FFFF))
NGRAM_BASE = np.uint64(0x9FB21C651E98DF25)
BYTES_20 = BYTES_01 * np.uint64(0x20)
FROM_A, ABOVE_Z = BYTES_01 * np.uint64(0x80 - ord("a")), BYTES_01 * np.uint64(0x7F - ord("z"))
FROM_0, ABOVE_9 = BYTES_01 * np.uint64(0x80 - ord("0")), BYTES_01 * np.uint64(0x7F - ord("9"))
UNDERSCORES = BYTES_01 * np.uint64(ord("_"))


@njit(cache=True, nogil=True)
def ascii_words(block: Any) -> Any:
    """(8 bytes with A-Z lower-cased, a 0x80 for every byte that is an ASCII letter, digit or underscore)."""
    low = block & BYTES_7F
    folded = low | BYTES_20
    letters = (folded + FROM_A) & ~(folded + ABOVE_Z)
    digits = (low + FROM_0) & ~(low + ABOVE_9)
    marks = ~((low ^ UNDERSCORES) + BYTES_7F)
    ascii_only = ~block & BYTES_80
    letters &= ascii_only
    return block | (letters >> np.uint64(2)), letters | ((digits | marks) & ascii_only)


@njit(cache=True, nogil=True)
def classify(point: int) -> Any:
    """SEPARATOR, LETTER or LONELY for a character that is not ASCII."""
    for first, last in SEPARATORS:
        if first <= point <= last:
            return SEPARATOR
    for first, last in ALONE:
        if first <= point <= last:
            return LONELY
    for first, last in ALONE_FAR:
        if first <= point <= last:
            return LONELY
    return LETTER


@njit(cache=True, nogil=True)
def character(data: Any, at: Any, stop: Any) -> Any:
    """(bytes, class) of the character at `at`; a cut or stray byte is a letter of one byte."""
    byte = np.int64(data[at])
    if byte < 0x80:
        word = (48 <= byte <= 57) or (97 <= (byte | 32) <= 122) or byte == 95
        return 1, LETTER if word else SEPARATOR
    size = 2 if byte < 0xE0 else (3 if byte < 0xF0 else 4)
    if byte < 0xC0 or at + size > stop:
        return 1, LETTER
    point = byte & (0xFF >> (size + 1))
    for more in range(1, size):
        point = (point << 6) | (np.int64(data[at + more]) & 0x3F)
    return size, classify(point)


@njit(cache=True, nogil=True)
def after_voicing(data: Any, at: Any, stop: Any) -> Any:
    """Where the marks of voicing at `at` end (U+3099, U+309A): they belong to the kana before them."""
    while at + 3 <= stop and data[at] == 0xE3 and data[at + 1] == 0x82 and 0x99 <= data[at + 2] <= 0x9A:
        at += 3
    return at


@njit(cache=True, nogil=True)
def take_bytes(data: Any, at: Any, stop: Any, state: Any, chunk: Any, size: Any) -> Any:
    """(state, chunk, size) of a word's hash with data[at:stop] behind it, A-Z lower-cased."""
    for byte in range(at, stop):
        value = np.uint64(data[byte])
        value |= np.uint64(32) if 65 <= data[byte] <= 90 else ZERO
        chunk |= value << np.uint64((size & 7) * 8)
        size += 1
        if size & 7 == 0:
            state, chunk = absorb(state, chunk), ZERO
    return state, chunk, size


@njit(cache=True, nogil=True, forceinline=True)
def next_word(data: Any, at: Any, stop: Any) -> Any:
    """(position after it, hash) of the next word of data[at:stop]; the hash is 0 where no word is left."""
    state, chunk, size = P5, ZERO, np.int64(0)
    while at < stop:
        if size & 7 == 0 and at + 8 <= stop:
            folded, word = ascii_words(load64(data, at))
            other = ~word & BYTES_80
            if other == ZERO:
                state = absorb(state, folded)
                size, at = size + 8, at + 8
                continue
            bits = trailing_zeros(other) & np.uint64(0x38)
            chunk = folded & ((np.uint64(1) << bits) - np.uint64(1))
            size += np.int64(bits >> np.uint64(3))
            skip = (word | (folded & BYTES_80)) & ~((np.uint64(0x100) << bits) - np.uint64(1))
            if data[at + np.int64(bits >> np.uint64(3))] < 0x80:
                at += np.int64(trailing_zeros(skip) >> np.uint64(3)) if skip != ZERO else 8
                if size:
                    break
                continue
            at += np.int64(bits >> np.uint64(3))
        step, kind = character(data, at, stop)
        if kind == SEPARATOR or (kind == LONELY and size):
            at += step if kind == SEPARATOR else 0
            if size:
                break
            continue
        state, chunk, size = take_bytes(data, at, at + step, state, chunk, size)
        at += step
        if kind == LONELY:
            end = after_voicing(data, at, stop)
            state, chunk, size = take_bytes(data, at, end, state, chunk, size)
            at = end
            break
    if size == 0:
        return at, ZERO
    state = absorb(absorb(state, chunk), np.uint64(size))
    return at, (state ^ (state >> np.uint64(32))) | np.uint64(1)


BLOCK = 64
SEGMENT = 4096  # bytes whose words are found at a time: their folded form and their ends stay in the nearest cache
ROOM = SEGMENT + 8  # of the folded bytes
MOST_ENDS = SEGMENT + BLOCK
ONE = np.uint64(1)


@intrinsic
def fold64(typing_context: Any, data: Any, at: Any, folded: Any, to: Any) -> Any:
    """A numba intrinsic (u8[:], index, u8[:], index) -> two masks of the 64 bytes at `at`: word bytes, not ASCII.

    The bytes are written to folded[to:] with A-Z lower-cased.
    """
    byte, vector = ir.IntType(8), ir.VectorType(ir.IntType(8), BLOCK)

    def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
        start = context.make_array(kind)(context, builder, array).data
        return builder.inttoptr(builder.add(builder.ptrtoint(start, ir.IntType(64)), index), vector.as_pointer())

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def every(value: int) -> Any:
            return ir.Constant(vector, [ir.Constant(byte, value)] * BLOCK)

        def within(first: str, last: str) -> Any:
            return builder.icmp_unsigned("<=", builder.sub(text, every(ord(first))), every(ord(last) - ord(first)))

        text = builder.load(pointer(context, builder, signature.args[0], args[0], args[1]), align=1, typ=vector)
        upper = within("A", "Z")
        lower = builder.select(upper, builder.or_(text, every(32)), text)
        place = pointer(context, builder, signature.args[2], args[2], args[3])
        builder.store(lower, place, align=1)
        marks = builder.icmp_unsigned("==", text, every(ord("_")))
        word = builder.or_(builder.or_(upper, within("a", "z")), builder.or_(within("0", "9"), marks))
        other = builder.icmp_signed("<", text, every(0))
        masks = [builder.bitcast(mask, ir.IntType(64)) for mask in (word, other)]
        return cgutils.pack_array(builder, masks)

    return types.UniTuple(types.uint64, 2)(data, types.int64, folded, types.int64), codegen


@njit(cache=True, nogil=True, _nrt=False)
def _ends(data: Any, at: Any, stop: Any, folded: Any, ends: Any) -> Any:
    """(bytes looked at, number of ends): whole blocks of ASCII from `at` on, at most SEGMENT bytes.

    ends[2 i] and ends[2 i + 1] are where word i starts and ends in `folded`; the last may be open.
    """
    size, count, before = np.int64(0), np.int64(0), ZERO
    last = min(stop - at, np.int64(SEGMENT)) - BLOCK
    while size <= last:
        word, other = fold64(data, at + size, folded, size)
        if other != ZERO:
            break
        turns = word ^ ((word << ONE) | before)
        before = word >> np.uint64(63)
        while turns != ZERO:
            ends[count] = size + np.int64(trailing_zeros(turns))
            turns &= turns - ONE
            count += 1
        size += BLOCK
    return size, count


@njit(cache=True, nogil=True, _nrt=False)
def _word(folded: Any, start: Any, end: Any) -> Any:
    """The hash of the word folded[start:end]; as `next_word`."""
    state, at = P5, start
    while at + 8 <= end:
        state = absorb(state, load64(folded, at))
        at += 8
    chunk = load64(folded, at) & ((ONE << np.uint64(8 * (end - at))) - ONE)
    state = absorb(absorb(state, chunk), np.uint64(end - start))
    return (state ^ (state >> np.uint64(32))) | ONE


@njit(cache=True, nogil=True, _nrt=False)
def _roll(word: Any, power: Any, ring: Any, out: Any, run: Any) -> Any:
    """`run` (rolling hash, place in the ring, words so far, end of `out`) with one more word.

    `out` takes the upper bits of a hash, as many as its numbers have: 32 or all 64.
    """
    rolled, slot, num_words, filled = run
    rolled = rolled * NGRAM_BASE + word - ring[slot]
    ring[slot] = word * power
    slot = slot + 1 if slot + 1 < ring.size else np.int64(0)
    num_words += 1
    out[filled] = avalanche(rolled + np.uint64(ring.size) * P5) >> np.uint64(64 - 8 * out.itemsize)
    filled += np.int64(num_words >= ring.size)
    return rolled, slot, num_words, filled


@njit(cache=True, nogil=True, _nrt=False)
def row_ngrams(data: Any, at: Any, stop: Any, scratch: Any, out: Any, filled: Any) -> Any:
    """End of `out` with the hashes of data[at:stop]'s word n-grams from out[filled] on.

    `scratch`: ring u64[n], folded u8[ROOM], ends i64[MOST_ENDS].
    """
    ring, folded, ends = scratch
    power = ONE
    for k in range(ring.size):
        power *= NGRAM_BASE
        ring[k] = ZERO
    run = (ZERO, np.int64(0), np.int64(0), np.int64(filled))
    while at < stop:
        size, count = _ends(data, at, stop, folded, ends)
        for number in range(count >> 1):
            run = _roll(_word(folded, ends[2 * number], ends[2 * number + 1]), power, ring, out, run)
        until = at + size + (BLOCK if size < SEGMENT else 0)
        at += ends[count - 1] if count & 1 else size
        while at < min(until, stop):
            at, word = next_word(data, at, stop)
            if word != ZERO:
                run = _roll(word, power, ring, out, run)
    rolled, _, num_words, filled = run
    if 0 < num_words < ring.size:
        out[filled] = avalanche(rolled + np.uint64(num_words) * P5) >> np.uint64(64 - 8 * out.itemsize)
        filled += 1
    return filled


@njit(cache=True, nogil=True)
def formed(data: Any, at: Any, stop: Any, form: Any) -> Any:
    """(bytes, their number): the normal form of data[at:stop], in `form` where that is large enough."""
    size = put_text(data, at, stop, form)
    while size < 0:
        form = np.empty(max(2 * form.size, 2 * (stop - at) + DEEPEST), dtype=np.uint8)
        size = put_text(data, at, stop, form)
    return form, size


@njit(cache=True, nogil=True)
def most_words(size: Any) -> Any:
    """Words, and so n-grams, that `size` bytes of normal form can hold."""
    return size // 2 + 1


@njit(types.Tuple((types.int64[::1], types.uint32[::1]))(I64, U8, types.int64), cache=True, nogil=True)
def ngram_rows(offsets: Any, data: Any, n: int) -> Any:
    """(offsets i64[rows + 1], u32[...]): word n-grams of every row's normal form, hashed by a rolling polynomial."""
    rows = offsets.size - 1
    starts = np.zeros(rows + 1, dtype=np.int64)
    out = np.empty((offsets[rows] - offsets[0]) // 2 + rows, dtype=np.uint32)
    scratch = (np.empty(n, np.uint64), np.empty(ROOM, np.uint8), np.empty(MOST_ENDS, np.int64))
    form, filled = np.empty(0, dtype=np.uint8), np.int64(0)
    for row in range(rows):
        at, stop = offsets[row], offsets[row + 1]
        if first_change(data, at, stop) < 0:
            filled = row_ngrams(data, at, stop, scratch, out, filled)
        else:
            form, size = formed(data, at, stop, form)
            left = (offsets[rows] - stop) // 2 + rows - row
            if filled + most_words(size) + left > out.size:
                wider = np.empty(2 * (filled + most_words(size) + left), dtype=np.uint32)
                wider[:filled] = out[:filled]
                out = wider
            filled = row_ngrams(form, np.int64(0), size, scratch, out, filled)
        starts[row + 1] = filled
    return starts, out[:filled].copy()
