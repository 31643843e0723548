"""Compiled kernels from hashed n-grams to vectors on the integer grid of `core.numerics.knn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_UNIT = 2048.0


@njit(cache=True, nogil=True)
def _count(start: Any, stop: Any, hashes: Any, counts: Any) -> None:
    dim = np.uint32(counts.size)
    for at in range(start, stop):
        word = hashes[at]
        counts[(word >> np.uint32(1)) % dim] += 1 if word & np.uint32(1) else -1


@njit(cache=True, nogil=True)
def signed_roots(one_starts: Any, ones: Any, two_starts: Any, twos: Any, dim: int) -> Any:
    """(i16[rows, dim], bool[rows]): signed square roots of signed counts, unit length times 2048.

    The squared length before scaling is the sum of the absolute counts, an integer; each cell then takes one
    division, one square root and one rounding, all exact in the IEEE sense.
    """
    rows = one_starts.size - 1
    out = np.zeros((rows, dim), dtype=np.int16)
    some = np.zeros(rows, dtype=np.bool_)
    counts = np.zeros(dim, dtype=np.int64)
    for row in range(rows):
        counts[:] = 0
        _count(one_starts[row], one_starts[row + 1], ones, counts)
        _count(two_starts[row], two_starts[row + 1], twos, counts)
        total = 0
        for at in range(dim):
            total += abs(counts[at])
        if total == 0:
            continue
        some[row] = True
        for at in range(dim):
            root = np.int16(np.rint(np.sqrt(abs(counts[at]) / total) * _UNIT))
            out[row, at] = root if counts[at] > 0 else -root
    return out, some
