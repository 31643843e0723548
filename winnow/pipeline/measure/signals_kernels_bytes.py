"""Small compiled tools over UTF-8 bytes: decoding, comparing, hashing, and tests on eight bytes at once.

None of them counts references (`_nrt=False`): numba would otherwise take and release every array argument at every
call, which costs more than the work (three quarters of the word pass, measured with perf). They read inside the
buffer only, and inside the document wherever the answer depends on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, load64

K1 = np.uint64(0x9E3779B185EBCA87)
K2 = np.uint64(0xC2B2AE3D27D4EB4F)
SHIFT = np.uint64(32)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
ONES = np.uint64(0x0101010101010101)
TOP_BITS = np.uint64(0x8080808080808080)
LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)


@njit(cache=True, nogil=True, _nrt=False)
def decode(data: Any, at: Any, stop: Any) -> Any:
    """(code point, bytes it takes) of the character at `at`; a broken one is (U+FFFD, 1)."""
    lead = np.int64(byte_at(data, at))
    if lead < 0x80:
        return lead, 1
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or at + size > stop:
        return 0xFFFD, 1
    point = lead & (0x7F >> size)
    for k in range(1, size):
        point = point << 6 | np.int64(byte_at(data, at + k)) & 0x3F
    return (point if point < 0x110000 else 0xFFFD), size


@njit(cache=True, nogil=True, _nrt=False)
def decode_last(data: Any, start: Any, stop: Any) -> Any:
    """Code point of the last character of data[start:stop] (not empty)."""
    at = stop - 1
    while at > start and at > stop - 4 and byte_at(data, at) & 0xC0 == 0x80:
        at -= 1
    return decode(data, at, stop)[0]


@njit(cache=True, nogil=True, _nrt=False)
def ends_with(data: Any, start: Any, stop: Any, tail: Any) -> Any:
    """Whether data[start:stop] ends with the lower-case bytes `tail`, ASCII letters in any case."""
    if stop - start < tail.size:
        return False
    for k in range(tail.size):
        byte = byte_at(data, stop - tail.size + k)
        if (byte | 0x20 if 0x41 <= byte <= 0x5A else byte) != tail[k]:
            return False
    return True


@njit(cache=True, nogil=True, _nrt=False)
def followed_by(data: Any, at: Any, stop: Any, text: Any) -> Any:
    """Whether the lower-case bytes `text` stand at data[at:], ASCII letters in any case."""
    return at + text.size <= stop and ends_with(data, at, at + text.size, text)


@njit(cache=True, nogil=True, _nrt=False)
def contains(data: Any, start: Any, stop: Any, text: Any) -> Any:
    """Whether the lower-case bytes `text` stand anywhere in data[start:stop], ASCII letters in any case."""
    for at in range(start, stop - text.size + 1):
        if byte_at(data, at) | 0x20 == text[0] and followed_by(data, at, stop, text):
            return True
    return False


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def first_bytes(data: Any, start: Any, size: Any) -> Any:
    """The first min(size, 8) bytes at `start` as a little-endian u64; reads inside the buffer only."""
    if start + 8 <= data.size:
        word = load64(data, start)
        return word if size >= 8 else word & (FULL >> np.uint64(64 - 8 * size))
    word = np.uint64(0)
    for k in range(min(size, 8)):
        word |= np.uint64(byte_at(data, start + k)) << np.uint64(8 * k)
    return word


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def mix(state: Any, word: Any) -> Any:
    """One step of the 64-bit hash: `state` with `word` folded in."""
    state = (state ^ word) * K1
    return (state ^ (state >> SHIFT)) * K2


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def finish(state: Any) -> Any:
    """The hash of the words mixed into `state`."""
    return state ^ (state >> SHIFT)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def hash_bytes(data: Any, start: Any, stop: Any) -> Any:
    """64-bit hash of data[start:stop]; compared for equality only, never an output."""
    size = stop - start
    state = mix(np.uint64(size) * K2, first_bytes(data, start, size) if size else np.uint64(0))
    if size <= 8:
        return finish(state)
    other, at = K1, start + 8
    while at + 16 < stop:  # two chains of multiplications, neither of which waits for the other
        state, other = mix(state, load64(data, at)), mix(other, load64(data, at + 8))
        at += 16
    if at + 8 < stop:
        state = mix(state, load64(data, at))
    return finish(mix(state + other * K2, load64(data, stop - 8)))


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def between(word: Any, low: Any, high: Any) -> Any:
    """0x80 in each byte of `word` (all below 0x80) that lies in [low, high]."""
    above = word + (TOP_BITS - low * ONES)
    return above & ~(word + (TOP_BITS - (high + np.uint64(1)) * ONES)) & TOP_BITS


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def equals(word: Any, byte: Any) -> Any:
    """0x80 in each byte of `word` (all below 0x80) that is `byte`."""
    return ~((word ^ byte * ONES) + LOW_BITS) & TOP_BITS


@njit(cache=True, nogil=True, _nrt=False)
def dot_runs(data: Any, start: Any, stop: Any) -> Any:
    """Number of "..." in data[start:stop], counted from the left without overlap."""
    found, run = 0, 0
    for at in range(start, stop):
        run = run + 1 if byte_at(data, at) == 0x2E else 0
        if run == 3:
            found += 1
            run = 0
    return found


@njit(cache=True, nogil=True, _nrt=False)
def same(data: Any, at: Any, text: Any) -> Any:
    """Whether the bytes `text` stand at data[at:]; they must fit."""
    equal = True
    for k in range(text.size):
        equal &= byte_at(data, at + k) == text[k]
    return equal
