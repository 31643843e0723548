"""Compiled: anchors of the byte windows of texts, and hashes of windows.

An n-byte window holds n - k + 1 runs of k bytes; its anchor is the one of the least hash (the first of equal ones), a
function of what the window holds alone. So equal windows have equal anchors at equal places, wherever they stand, and
few anchors stand for all windows: about two in n - k + 1 (winnowing, Schleimer, Wilkerson, Aiken 2003).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import absorb, avalanche, xxh64

I64 = types.Array(types.int64, 1, "C", readonly=True)
U8 = types.Array(types.uint8, 1, "C", readonly=True)
BASE = np.uint64(0x9E3779B97F4A7C15)
SEED_LOW, SEED_HIGH = np.uint64(0x7375627374726C6F), np.uint64(0x7375627374726869)


@njit(cache=True, nogil=True)
def _put(data: Any, at: Any, span: Any, anchor: Any, found: Any, spans: Any, hashes: Any) -> Any:
    """Writes down windows, `span` = (row, first, last, n), of one anchor, with its hash and that of all their bytes."""
    row, first, last, n = span
    if found < spans.shape[0]:
        spans[found, 0], spans[found, 1], spans[found, 2] = row, first, last
        where = np.uint64(anchor[0] - first)
        hashes[found, 0] = anchor[1]
        hashes[found, 1] = avalanche(absorb(xxh64(data, at + first, at + last + n, SEED_LOW), where))
        hashes[found, 2] = avalanche(absorb(xxh64(data, at + first, at + last + n, SEED_HIGH), where))
    return found + 1


@njit(cache=True, nogil=True)
def _rolled(state: Any, data: Any, at: Any, end: Any, k: Any, power: Any) -> Any:
    """The polynomial of the k bytes that end with byte `end` of the text at `at`, from that of those before."""
    if end >= k:
        state -= (np.uint64(data[at + end - k]) + np.uint64(1)) * power
    return state * BASE + np.uint64(data[at + end]) + np.uint64(1)


@njit(cache=True, nogil=True)
def _pushed(held: Any, place: Any, queue: Any, mixed: Any, gram: Any, window: Any) -> Any:
    """(head, tail) of the queue of least values, a ring, with one more and without those before the window."""
    head, tail = queue
    ring = held.size - 1
    while tail > head and held[(tail - 1) & ring] > mixed:
        tail -= 1
    held[tail & ring], place[tail & ring] = mixed, gram
    while place[head & ring] < window:
        head += 1
    return head, tail + 1


@njit(types.int64(I64, U8, types.int64, types.int64, types.int64[:, ::1], types.uint64[:, ::1]), cache=True, nogil=True)
def anchors(offsets: Any, data: Any, n: int, k: int, spans: Any, hashes: Any) -> Any:
    """How many anchors there are; as far as there is room, `spans` (row, first and last window) and `hashes` of each.

    Windows are known by where they start in their text; `hashes` are that of the anchor, and two of all the bytes of
    its windows and of the anchor's place in them.
    """
    width, found, ring, power = n - k + 1, np.int64(0), np.int64(2), np.uint64(1)
    while ring <= width:
        ring *= 2
    for _ in range(k - 1):
        power *= BASE
    held, place = np.empty(ring, dtype=np.uint64), np.empty(ring, dtype=np.int64)
    for row in range(offsets.size - 1):
        at, size = offsets[row], offsets[row + 1] - offsets[row]
        if size < n:
            continue
        state, queue = np.uint64(0), (np.int64(0), np.int64(0))
        anchor, value, first = np.int64(-1), np.uint64(0), np.int64(0)
        for end in range(size):
            state = _rolled(state, data, at, end, k, power)
            gram, window = end - k + 1, end - n + 1
            if gram < 0:
                continue
            queue = _pushed(held, place, queue, avalanche(state), gram, window)
            least = place[queue[0] & (ring - 1)]
            if window < 0 or least == anchor:
                continue
            if anchor >= 0:
                found = _put(data, at, (row, first, window - 1, n), (anchor, value), found, spans, hashes)
            anchor, value, first = least, held[queue[0] & (ring - 1)], np.int64(window)
        found = _put(data, at, (row, first, size - n, n), (anchor, value), found, spans, hashes)
    return found


@njit(types.void(I64, U8, types.int64, I64, I64, types.uint64[:, ::1]), cache=True, nogil=True)
def window_hashes(offsets: Any, data: Any, n: int, row: Any, start: Any, out: Any) -> None:
    """128-bit hash of the window of n bytes that begins at `start[i]` of text `row[i]`, u64[windows, 2]."""
    for one in range(row.size):
        at = offsets[row[one]] + start[one]
        out[one, 0] = xxh64(data, at, at + n, SEED_LOW)
        out[one, 1] = xxh64(data, at, at + n, SEED_HIGH)
