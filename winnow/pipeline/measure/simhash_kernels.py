"""Compiled sums of hashed n-grams, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def spread(word: Any) -> Any:
    """64 well-mixed bits of a 32-bit hash. Source: splitmix64 (Steele, Lea, Flood 2014)."""
    x = np.uint64(word) + _STEP
    x = (x ^ (x >> np.uint64(30))) * _ONE
    x = (x ^ (x >> np.uint64(27))) * _TWO
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def codes(starts: Any, hashes: Any) -> Any:
    """(u64[rows], bool[rows]: has an n-gram): a bit is set where more than half of the row's hashes set it."""
    out = np.zeros(starts.size - 1, dtype=np.uint64)
    some = np.zeros(out.size, dtype=np.bool_)
    shifts = np.arange(64).astype(np.uint64)
    sums = np.zeros(64, dtype=np.int64)
    for row in range(out.size):
        num = starts[row + 1] - starts[row]
        if num == 0:
            continue
        some[row] = True
        sums[:] = 0
        for at in range(starts[row], starts[row + 1]):
            word = spread(hashes[at])
            for bit in range(64):
                sums[bit] += np.int64((word >> shifts[bit]) & np.uint64(1))
        code = np.uint64(0)
        for bit in range(64):
            if 2 * sums[bit] > num:
                code |= np.uint64(1) << shifts[bit]
        out[row] = code
    return out, some
