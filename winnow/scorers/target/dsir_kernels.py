"""Compiled bucket counts and sums for `dsir`: no per-document vector is ever made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

I64 = types.Array(types.int64, 1, "C", readonly=True)
U32 = types.Array(types.uint32, 1, "C", readonly=True)


@njit(cache=True, nogil=True)
def bucket(value: Any, num_buckets: Any) -> Any:
    """The bucket of a 32-bit hash: its high bits decide."""
    return np.int64((np.uint64(value) * np.uint64(num_buckets)) >> np.uint64(32))


@njit(types.void(I64, U32, I64, types.int64, types.int64[::1]), cache=True, nogil=True)
def count_into(starts: Any, hashes: Any, num_words: Any, order: int, counts: Any) -> None:
    """Add the n-grams of every row with at least `order` words to counts i64[num_buckets]."""
    for row in range(starts.size - 1):
        if num_words[row] >= order:
            for at in range(starts[row], starts[row + 1]):
                counts[bucket(hashes[at], counts.size)] += 1


@njit(types.void(I64, U32, I64, types.int64, I64, types.int64[::1]), cache=True, nogil=True)
def sum_into(starts: Any, hashes: Any, num_words: Any, order: int, values: Any, totals: Any) -> None:
    """Add values[bucket] over the n-grams of every row with at least `order` words to totals i64[rows]."""
    for row in range(starts.size - 1):
        if num_words[row] >= order:
            total = np.int64(0)
            for at in range(starts[row], starts[row + 1]):
                total += values[bucket(hashes[at], values.size)]
            totals[row] += total
