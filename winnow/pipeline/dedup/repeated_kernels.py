"""Compiled: hashes of the pieces of texts, and runs of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import absorb, avalanche, xxh64

I64 = types.Array(types.int64, 1, "C", readonly=True)
U8 = types.Array(types.uint8, 1, "C", readonly=True)
LANES = types.Array(types.uint64, 2, "C", readonly=True)
SEED_LOW, SEED_HIGH = np.uint64(0x7265706561746C6F), np.uint64(0x7265706561746869)


@njit(cache=True, nogil=True)
def _is_space(byte: Any) -> Any:
    return byte == 32 or (byte >= 9 and byte <= 13)


@njit(types.uint64[:, ::1](I64, U8, types.int64), cache=True, nogil=True)
def piece_hashes(offsets: Any, data: Any, least: int) -> Any:
    """128-bit hash of every piece without white space around it, u64[pieces, 2]; zeros below `least` bytes, or none."""
    out = np.zeros((offsets.size - 1, 2), dtype=np.uint64)
    for piece in range(out.shape[0]):
        start, stop = offsets[piece], offsets[piece + 1]
        while start < stop and _is_space(data[start]):
            start += 1
        while stop > start and _is_space(data[stop - 1]):
            stop -= 1
        if stop > start and stop - start >= least:
            out[piece, 0] = xxh64(data, start, stop, SEED_LOW)
            out[piece, 1] = xxh64(data, start, stop, SEED_HIGH) | np.uint64(1)
    return out


@njit(
    types.int64(I64, LANES, types.int64, types.uint64[:, ::1], types.int64[::1], types.int64[::1]),
    cache=True,
    nogil=True,
)
def run_hashes(rows: Any, pieces: Any, run: int, out: Any, row_of: Any, first: Any) -> Any:
    """How many runs of `run` pieces, each with a hash, stand in the texts: their hashes, texts and first pieces."""
    found = np.int64(0)
    for row in range(rows.size - 1):
        for piece in range(rows[row], rows[row + 1] - run + 1):
            low, high, whole = SEED_LOW, SEED_HIGH, True
            for at in range(piece, piece + run):
                whole = whole and pieces[at, 1] != 0
                low, high = absorb(low, pieces[at, 0]), absorb(high, pieces[at, 1])
            if whole:
                out[found, 0], out[found, 1] = avalanche(low), avalanche(high)
                row_of[found], first[found] = row, piece
                found += 1
    return found


@njit(types.void(I64, U8, I64, I64, types.int64[::1]), cache=True, nogil=True)
def without_blank_start(offsets: Any, data: Any, rows: Any, starts: Any, stops: Any) -> None:
    """Moves the end of a span at a text's start behind the white space that would be its first, if another follows.

    Spans of row r are rows[r] .. rows[r + 1], ascending and apart; it stays before the next span.
    """
    for row in range(rows.size - 1):
        one = rows[row]
        if one == rows[row + 1] or starts[one] > 0:
            continue
        size = offsets[row + 1] - offsets[row]
        limit = starts[one + 1] if one + 1 < rows[row + 1] else size
        while stops[one] < limit and _is_space(data[offsets[row] + stops[one]]):
            stops[one] += 1


@njit(types.void(I64, U8, I64, types.int64[::1], types.int64[::1]), cache=True, nogil=True)
def whole_characters(offsets: Any, data: Any, rows: Any, starts: Any, stops: Any) -> None:
    """Makes spans shorter, so that they begin and end between characters; one without a whole one ends where it begins.

    Spans of row r are rows[r] .. rows[r + 1].
    """
    for row in range(rows.size - 1):
        low, size = offsets[row], offsets[row + 1] - offsets[row]
        for one in range(rows[row], rows[row + 1]):
            while starts[one] < stops[one] and data[low + starts[one]] & 0xC0 == 0x80:
                starts[one] += 1
            while stops[one] > starts[one] and stops[one] < size and data[low + stops[one]] & 0xC0 == 0x80:
                stops[one] -= 1
