"""Compiled loops that take exemplars in order, over similarities and over 64-bit codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_MIX = np.uint64(0x9E3779B97F4A7C15)
_LANES = 64


@njit(cache=True, nogil=True)
def cover(products: Any, own: Any, above: Any, least: float, ids: Any, by: Any) -> None:
    """`by[j]` = id of the first exemplar i whose cosine products[j, i] * own[j] * above[i] is `least` or more."""
    for j in range(products.shape[0]):
        start = 0
        while start < products.shape[1]:
            stop = min(start + _LANES, products.shape[1])
            hits = 0
            for i in range(start, stop):  # all lanes at once
                hits += np.float64(products[j, i]) * above[i] * own[j] >= least
            if hits:
                while np.float64(products[j, start]) * above[start] * own[j] < least:
                    start += 1
                by[j] = ids[start]
                break
            start = stop


@njit(cache=True, nogil=True)
def exemplars(products: Any, inverse: Any, least: float, first: int, by: Any) -> None:
    """The rows of a block in order: `by[j]` = first + i of the first exemplar i < j near enough, else -1 stays."""
    for j in range(products.shape[0]):
        if by[j] >= 0:
            continue
        for i in range(j):
            if by[i] < 0 and np.float64(products[j, i]) * inverse[i] * inverse[j] >= least:
                by[j] = first + i
                break


@njit(cache=True, nogil=True)
def bits_apart(a: Any, b: Any) -> Any:
    """Number of different bits of two u64."""
    x = a ^ b
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def hamming_exemplars(codes: Any, most: int) -> Any:
    """Of codes in order, i64[rows]: -1 for an exemplar, else the first exemplar within `most` bits, by all pairs."""
    by = np.full(codes.size, -1, dtype=np.int64)
    kept = np.empty(codes.size, dtype=np.int64)
    num = 0
    for j in range(codes.size):
        for at in range(num):
            if bits_apart(codes[kept[at]], codes[j]) <= most:
                by[j] = kept[at]
                break
        if by[j] < 0:
            kept[num] = j
            num += 1
    return by


@njit(cache=True, nogil=True)
def _slot(value: Any, bits: Any) -> Any:
    """Where a value of a band is, of 2^bits places: the value itself where it fits."""
    return np.int64(value if value >> bits == 0 else (value * _MIX) >> (np.uint64(64) - bits))


@njit(cache=True, nogil=True)
def _earliest(at: Any, code: Any, most: Any, codes: Any, after: Any, found: Any) -> Any:
    """The first code of an ascending chain within `most` bits, if it is before `found`."""
    while 0 <= at < found:
        if bits_apart(codes[at], code) <= most:
            return np.int64(at)
        at = after[at]
    return found


@njit(cache=True, nogil=True)
def banded_exemplars(codes: Any, most: int, bands: int) -> Any:
    """As `hamming_exemplars` for `most` of 0 or more, comparing only codes that nearly agree in one of the bands.

    Codes within `most` bits differ in some band by at most most // bands bits, which is to be 0, 1 or 2: all values
    of a band that are so near are looked up. Source: multi-index hashing (Norouzi, Punjani, Fleet 2012).
    """
    one, bits, flips = np.uint64(1), np.uint64(8), most // bands
    while bits < 21 and (1 << bits) < codes.size:
        bits += one
    first = np.full((bands, 1 << bits), -1, dtype=np.int32)
    last = np.full((bands, 1 << bits), -1, dtype=np.int32)
    after = np.full((bands, codes.size), -1, dtype=np.int32)
    by = np.full(codes.size, -1, dtype=np.int64)
    for j in range(codes.size):
        code, found = codes[j], np.int64(codes.size)
        for band in range(bands):
            low, high = band * 64 // bands, (band + 1) * 64 // bands
            value = (code << np.uint64(64 - high)) >> np.uint64(64 - high + low)
            found = _earliest(first[band, _slot(value, bits)], code, most, codes, after[band], found)
            for a in range(high - low if flips else 0):
                near = value ^ (one << np.uint64(a))
                found = _earliest(first[band, _slot(near, bits)], code, most, codes, after[band], found)
                for b in range(a if flips > 1 else 0):
                    other = first[band, _slot(near ^ (one << np.uint64(b)), bits)]
                    found = _earliest(other, code, most, codes, after[band], found)
        if found < codes.size:
            by[j] = found
            continue
        for band in range(bands):
            low, high = band * 64 // bands, (band + 1) * 64 // bands
            slot = _slot((code << np.uint64(64 - high)) >> np.uint64(64 - high + low), bits)
            if last[band, slot] < 0:
                first[band, slot] = j
            else:
                after[band, last[band, slot]] = j
            last[band, slot] = j
    return by
