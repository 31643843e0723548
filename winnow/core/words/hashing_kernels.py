"""Compiled XXH64 over Arrow buffers, and the folds that content digests are made of.

XXH64 is written out here and not called from a C library, because a call per row costs more in Python than
the hash itself for most documents. Words are read by unaligned loads that end at the row's last byte at the
latest: nothing past a row is touched, so memory-mapped files need no padding. Little-endian machines only.

Source: the XXH64 specification (xxHash, doc/xxhash_spec.md); own code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.quick_start import quick_numba

quick_numba()

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
NULL_CELL = np.uint64(0x6E756C6C5F63656C)
ZERO = np.uint64(0)
BYTES_01 = np.uint64(0x0101010101010101)
BYTES_7F = BYTES_01 * np.uint64(0x7F)
BYTES_80 = BYTES_01 * np.uint64(0x80)

# Two independent lanes make 128 bits: the same folds from two seeds.
SEED_0 = np.uint64(0x77696E6E6F775F30)
SEED_1 = np.uint64(0x77696E6E6F775F31)

U8 = types.Array(types.uint8, 1, "C", readonly=True)
BOOL = types.Array(types.boolean, 1, "C", readonly=True)
I64 = types.Array(types.int64, 1, "C", readonly=True)
U32 = types.Array(types.uint32, 1, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
LANES = types.Array(types.uint64, 2, "C", readonly=True)
LANES_OUT = types.Array(types.uint64, 2, "C")


def _loader(bits: int) -> Any:
    """A numba intrinsic (bytes u8[:], index) -> u64 that reads `bits` bits at any address."""

    def load(typing_context: Any, data: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            address = builder.add(builder.ptrtoint(array.data, ir.IntType(64)), args[1])
            pointer = builder.inttoptr(address, ir.IntType(bits).as_pointer())
            value = builder.load(pointer, align=1, typ=ir.IntType(bits))
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.uint64(data, types.int64), codegen

    return load


load64 = intrinsic(_loader(64))
load32 = intrinsic(_loader(32))


@intrinsic
def byte_at(typing_context: Any, data: Any, index: Any) -> Any:
    """A numba intrinsic (u8[:], i64) -> the u8 at an index that is not negative.

    `data[index]` counts from the end where the index is negative, and finding out takes longer than reading the byte.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load(builder.gep(array.data, [args[1]], inbounds=True))

    return types.uint8(data, types.int64), codegen


@intrinsic
def put_byte(typing_context: Any, data: Any, index: Any, byte: Any) -> Any:
    """A numba intrinsic (u8[:], i64, u8) that writes the byte at an index that is not negative."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        builder.store(args[2], builder.gep(array.data, [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint8), codegen


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """A numba intrinsic (u64) -> u64: number of zero bits below the lowest one bit; undefined for 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@njit(cache=True, nogil=True)
def rotl(word: Any, bits: Any) -> Any:
    """`word` rotated left by `bits` (both u64)."""
    return (word << bits) | (word >> (np.uint64(64) - bits))


@njit(cache=True, nogil=True)
def absorb(state: Any, word: Any) -> Any:
    """XXH64's step for one 8-byte word."""
    lane = rotl(word * P2, np.uint64(31)) * P1
    return rotl(state ^ lane, np.uint64(27)) * P1 + P4


@njit(cache=True, nogil=True)
def avalanche(state: Any) -> Any:
    """XXH64's final mix: every input bit reaches every output bit."""
    state ^= state >> np.uint64(33)
    state *= P2
    state ^= state >> np.uint64(29)
    state *= P3
    return state ^ (state >> np.uint64(32))


@njit(cache=True, nogil=True)
def _round(lane: Any, word: Any) -> Any:
    return rotl(lane + word * P2, np.uint64(31)) * P1


@njit(cache=True, nogil=True)
def _merge_round(state: Any, lane: Any) -> Any:
    return (state ^ _round(ZERO, lane)) * P1 + P4


@njit(cache=True, nogil=True)
def _stripes(data: Any, start: Any, stop: Any, seed: Any) -> Any:
    """State after all whole 32-byte stripes of data[start:stop] (at least one)."""
    one, two, three, four = seed + P1 + P2, seed + P2, seed, seed - P1
    while start + 32 <= stop:
        one = _round(one, load64(data, start))
        two = _round(two, load64(data, start + 8))
        three = _round(three, load64(data, start + 16))
        four = _round(four, load64(data, start + 24))
        start += 32
    state = rotl(one, np.uint64(1)) + rotl(two, np.uint64(7)) + rotl(three, np.uint64(12))
    state += rotl(four, np.uint64(18))
    state = _merge_round(state, one)
    state = _merge_round(state, two)
    state = _merge_round(state, three)
    return _merge_round(state, four)


@njit(cache=True, nogil=True)
def xxh64(data: Any, start: Any, stop: Any, seed: Any) -> Any:
    """XXH64 of data[start:stop] as u64."""
    size = stop - start
    if size >= 32:
        state = _stripes(data, start, stop, seed)
        start = stop - (size & 31)
    else:
        state = seed + P5
    state += np.uint64(size)
    while start + 8 <= stop:
        state = absorb(state, load64(data, start))
        start += 8
    if start + 4 <= stop:
        state = rotl(state ^ (load32(data, start) * P1), np.uint64(23)) * P2 + P3
        start += 4
    while start < stop:
        state = rotl(state ^ (np.uint64(data[start]) * P5), np.uint64(11)) * P1
        start += 1
    return avalanche(state)


@njit(types.uint64[::1](I64, U8, types.uint64), cache=True, nogil=True)
def hash_rows(offsets: Any, data: Any, seed: Any) -> Any:
    """XXH64 of every row, u64[rows]."""
    out = np.empty(offsets.size - 1, dtype=np.uint64)
    for row in range(out.size):
        out[row] = xxh64(data, offsets[row], offsets[row + 1], seed)
    return out


@njit(LANES_OUT(I64, U8, types.uint64, types.uint64), cache=True, nogil=True)
def hash_rows_128(offsets: Any, data: Any, seed_0: Any, seed_1: Any) -> Any:
    """XXH64 of every row from two seeds, u64[rows, 2]."""
    out = np.empty((offsets.size - 1, 2), dtype=np.uint64)
    for row in range(out.shape[0]):
        out[row, 0] = xxh64(data, offsets[row], offsets[row + 1], seed_0)
        out[row, 1] = xxh64(data, offsets[row], offsets[row + 1], seed_1)
    return out


@njit(LANES_OUT(U64, BOOL, types.uint64), cache=True, nogil=True)
def word_cells(words: Any, valid: Any, tag: Any) -> Any:
    """Cell lanes of 64-bit values, u64[rows, 2]; a null is one constant whatever its type."""
    out = np.empty((words.size, 2), dtype=np.uint64)
    for row in range(words.size):
        word, kind = (words[row], tag) if valid[row] else (NULL_CELL, ZERO)
        out[row, 0] = avalanche(absorb(absorb(SEED_0, kind), word))
        out[row, 1] = avalanche(absorb(absorb(SEED_1, kind), word))
    return out


@njit(LANES_OUT(LANES, BOOL, types.uint64), cache=True, nogil=True)
def tagged_cells(lanes: Any, valid: Any, tag: Any) -> Any:
    """Cell lanes of 128-bit hashes, u64[rows, 2]: the tag folded in, nulls replaced by the constant."""
    out = np.empty((lanes.shape[0], 2), dtype=np.uint64)
    for row in range(lanes.shape[0]):
        kind = tag if valid[row] else ZERO
        for lane in range(2):
            state = absorb(SEED_0 if lane == 0 else SEED_1, kind)
            out[row, lane] = avalanche(absorb(state, lanes[row, lane] if valid[row] else NULL_CELL))
    return out


@njit(LANES_OUT(I64, I64, U64, BOOL, types.uint64), cache=True, nogil=True)
def word_ranges(starts: Any, stops: Any, words: Any, valid: Any, tag: Any) -> Any:
    """Lanes of words[start:stop] of every row with its length, u64[rows, 2]; a null is two words."""
    out = np.empty((starts.size, 2), dtype=np.uint64)
    for row in range(starts.size):
        size = np.uint64(stops[row] - starts[row])
        one = absorb(absorb(SEED_0, tag), size)
        two = absorb(absorb(SEED_1, tag), size)
        for at in range(starts[row], stops[row]):
            word = words[at] if valid[at] else NULL_CELL
            one, two = absorb(one, word), absorb(two, word)
            if not valid[at]:
                one, two = absorb(one, P5), absorb(two, P5)
        out[row, 0], out[row, 1] = avalanche(one), avalanche(two)
    return out


@njit(LANES_OUT(I64, I64, U32, types.uint64), cache=True, nogil=True)
def u32_ranges(starts: Any, stops: Any, values: Any, tag: Any) -> Any:
    """What `word_ranges` gives for the same values as 64-bit words, none of them null, u64[rows, 2]."""
    out = np.empty((starts.size, 2), dtype=np.uint64)
    for row in range(starts.size):
        size = np.uint64(stops[row] - starts[row])
        one = absorb(absorb(SEED_0, tag), size)
        two = absorb(absorb(SEED_1, tag), size)
        for at in range(starts[row], stops[row]):
            lane = rotl(np.uint64(values[at]) * P2, np.uint64(31)) * P1
            one = rotl(one ^ lane, np.uint64(27)) * P1 + P4
            two = rotl(two ^ lane, np.uint64(27)) * P1 + P4
        out[row, 0], out[row, 1] = avalanche(one), avalanche(two)
    return out


@njit(LANES_OUT(I64, I64, LANES), cache=True, nogil=True)
def lane_ranges(starts: Any, stops: Any, cells: Any) -> Any:
    """Lanes of the cell sequence cells[start:stop] of every row with its length, u64[rows, 2]."""
    out = np.empty((starts.size, 2), dtype=np.uint64)
    for row in range(starts.size):
        size = np.uint64(stops[row] - starts[row])
        one, two = absorb(SEED_0, size), absorb(SEED_1, size)
        for at in range(starts[row], stops[row]):
            one, two = absorb(one, cells[at, 0]), absorb(two, cells[at, 1])
        out[row, 0], out[row, 1] = avalanche(one), avalanche(two)
    return out


@njit(LANES_OUT(LANES, LANES), cache=True, nogil=True)
def chain(left: Any, right: Any) -> Any:
    """Lanes of the pair (left row, right row), order-dependent, u64[rows, 2]."""
    out = np.empty((left.shape[0], 2), dtype=np.uint64)
    for row in range(left.shape[0]):
        for lane in range(2):
            state = absorb(SEED_0 if lane == 0 else SEED_1, left[row, 0])
            state = absorb(absorb(state, left[row, 1]), right[row, lane])
            out[row, lane] = avalanche(state)
    return out


@njit(types.UniTuple(types.uint64, 2)(LANES), cache=True, nogil=True)
def sum_rows(lanes: Any) -> Any:
    """Sum over rows modulo 2**64 per lane: order-free and additive."""
    one, two = ZERO, ZERO
    for row in range(lanes.shape[0]):
        one += lanes[row, 0]
        two += lanes[row, 1]
    return one, two
