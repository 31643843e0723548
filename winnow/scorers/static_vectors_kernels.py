"""Compiled sums of table rows over hashed n-grams, placed on the integer grid of `core.numerics.knn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

I64 = types.Array(types.int64, 1, "C", readonly=True)
U32 = types.Array(types.uint32, 1, "C", readonly=True)
TABLE = types.Array(types.int16, 2, "C", readonly=True)
SUMS = types.Array(types.int64, 2, "C")
FLUSH = 65_000  # rows of i16 that an i32 sum holds


@njit(types.void(I64, U32, TABLE, types.int64, SUMS), cache=True, nogil=True)
def add_rows(starts: Any, hashes: Any, table: Any, first: int, sums: Any) -> None:
    """Add table[bucket] over the n-grams of rows first.. to sums i64[rows, dim]; buckets are the high bits."""
    num_buckets, dim = np.uint64(table.shape[0]), table.shape[1]
    part = np.zeros(dim, dtype=np.int32)
    for row in range(sums.shape[0]):
        held = 0
        for at in range(starts[first + row], starts[first + row + 1]):
            found = np.int64((np.uint64(hashes[at]) * num_buckets) >> np.uint64(32))
            for cell in range(dim):
                part[cell] += table[found, cell]
            held += 1
            if held == FLUSH:
                for cell in range(dim):
                    sums[row, cell] += part[cell]
                part[:] = 0
                held = 0
        for cell in range(dim):
            sums[row, cell] += part[cell]
        part[:] = 0


@njit(
    types.Tuple((types.int16[:, ::1], types.boolean[::1]))(types.int64[:, ::1], types.float64), cache=True, nogil=True
)
def on_grid(sums: Any, unit: float) -> Any:
    """(i16[rows, dim] of length `unit`, rows that have a direction): one division, root and rounding per cell."""
    out = np.zeros(sums.shape, dtype=np.int16)
    some = np.zeros(sums.shape[0], dtype=np.bool_)
    for row in range(sums.shape[0]):
        total = 0.0
        for cell in range(sums.shape[1]):
            total += np.float64(sums[row, cell]) * np.float64(sums[row, cell])
        if total == 0.0:
            continue
        some[row] = True
        norm = np.sqrt(total)
        for cell in range(sums.shape[1]):
            out[row, cell] = np.int16(np.rint(np.float64(sums[row, cell]) / norm * unit))
    return out, some
