"""Compiled kernels on integer vectors: the grid, and keeping the best k of a block of similarities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_UNIT = 2048.0
_ONE = 2048 * 2048
_LANES = 32


@njit(cache=True, nogil=True)
def copy_rows(starts: Any, valid: Any, data: Any, out: Any) -> None:
    """`out[row]` = the bytes from `starts[row]` on, where valid."""
    for row in range(out.shape[0]):
        if valid[row]:
            for at in range(out.shape[1]):
                out[row, at] = data[starts[row] + at]


@njit(cache=True, nogil=True)
def to_grid(reals: Any) -> Any:
    """(i16[rows, dim], bool[rows]): unit vectors times 2048, rounded; False where the length is zero.

    A row is scaled by its largest number first, so that no square overflows or vanishes.
    """
    out = np.zeros(reals.shape, dtype=np.int16)
    some = np.zeros(reals.shape[0], dtype=np.bool_)
    for row in range(reals.shape[0]):
        largest = 0.0
        for at in range(reals.shape[1]):
            largest = max(largest, abs(reals[row, at]))
        if largest == 0.0:
            continue
        some[row] = True
        squares = 0.0
        for at in range(reals.shape[1]):
            squares += (reals[row, at] / largest) * (reals[row, at] / largest)
        length = np.sqrt(squares)
        for at in range(reals.shape[1]):
            out[row, at] = np.int16(np.rint(reals[row, at] / largest / length * _UNIT))
    return out, some


@njit(cache=True, nogil=True)
def column_sums(grid: Any) -> Any:
    """i64[dim]."""
    sums = np.zeros(grid.shape[1], dtype=np.int64)
    for row in range(grid.shape[0]):
        for at in range(grid.shape[1]):
            sums[at] += grid[row, at]
    return sums


@njit(cache=True, nogil=True)
def less(grid: Any, mean: Any, out: Any) -> None:
    """`out` = the rows less the mean, normalised, on the grid; it may be the grid itself."""
    for row in range(grid.shape[0]):
        squares = 0.0
        for at in range(grid.shape[1]):
            value = grid[row, at] - mean[at]
            squares += value * value
        scale = np.sqrt(squares)
        for at in range(grid.shape[1]):
            out[row, at] = np.int16(np.rint((grid[row, at] - mean[at]) / scale * _UNIT)) if squares > 0.0 else 0


@njit(cache=True, nogil=True)
def compact(grid: Any, some: Any) -> Any:
    """Move the rows where `some` is true to the front, in order; their number."""
    kept = 0
    for row in range(grid.shape[0]):
        if some[row]:
            if kept < row:
                for at in range(grid.shape[1]):
                    grid[kept, at] = grid[row, at]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def group_sums(grid: Any, group: Any, num: int) -> Any:
    """(i64[num, dim] sums, i64[num] counts) of the rows of every group."""
    sums = np.zeros((num, grid.shape[1]), dtype=np.int64)
    counts = np.zeros(num, dtype=np.int64)
    for row in range(grid.shape[0]):
        counts[group[row]] += 1
        for at in range(grid.shape[1]):
            sums[group[row], at] += grid[row, at]
    return sums, counts


@njit(cache=True, nogil=True)
def _insert(similarity: Any, candidate: Any, ids: Any, similarities: Any) -> None:
    """Put a candidate into a row's list, ordered by (similarity down, id up), if it beats the last one."""
    at = ids.size - 1
    if similarity < similarities[at] or (similarity == similarities[at] and candidate > ids[at]):
        return
    while at > 0 and (
        similarity > similarities[at - 1] or (similarity == similarities[at - 1] and candidate < ids[at - 1])
    ):
        similarities[at], ids[at] = similarities[at - 1], ids[at - 1]
        at -= 1
    similarities[at], ids[at] = similarity, candidate


@njit(cache=True, nogil=True)
def _offer_row(products: Any, row: Any, candidates: Any, skip: Any, ids: Any, similarities: Any) -> None:
    """Offer every candidate with a product that can enter the row's list; `skip` is never offered."""
    last = ids.shape[1] - 1
    start = 0
    while start < products.size:
        stop = min(start + _LANES, products.size)
        limit = similarities[row, last]
        most = np.int32(-(2**31))
        for at in range(start, stop):  # whole numbers: their maximum is taken in vector registers
            most = max(most, np.int32(products[at]))
        if most >= limit:
            for at in range(start, stop):
                if products[at] >= limit and candidates[at] != skip:
                    whole = min(np.int32(products[at]), np.int32(_ONE))
                    _insert(whole, candidates[at], ids[row], similarities[row])
                    limit = similarities[row, last]
        start = stop


@njit(cache=True, nogil=True)
def offer(products: Any, rows: Any, candidates: Any, ids: Any, similarities: Any) -> None:
    """Offer `candidates` to the lists of `rows` by products f32[rows, candidates]; never a row to itself."""
    for at in range(rows.size):
        _offer_row(products[at], rows[at], candidates, rows[at], ids, similarities)


@njit(cache=True, nogil=True)
def offer_some(products: Any, own: Any, rows: Any, candidates: Any, ids: Any, similarities: Any) -> None:
    """As `offer`, where the lists are those of some rows: list `rows[i]` is that of row `own[i]`."""
    for at in range(rows.size):
        _offer_row(products[at], rows[at], candidates, own[at], ids, similarities)


@njit(cache=True, nogil=True)
def offer_all(products: Any, rows: Any, candidates: Any, ids: Any, similarities: Any) -> None:
    """As `offer`, where candidates and rows are different things."""
    for at in range(rows.size):
        _offer_row(products[at], rows[at], candidates, -1, ids, similarities)


@njit(cache=True, nogil=True)
def best(products: Any, base: Any, home: Any, similarity: Any) -> None:
    """Keep in `home` the first column (plus `base`) with the largest product so far, in `similarity` the product."""
    for row in range(products.shape[0]):
        most = np.int32(-(2**31))
        for at in range(products.shape[1]):  # whole numbers: their maximum is taken in vector registers
            most = max(most, np.int32(products[row, at]))
        if most > similarity[row]:
            similarity[row] = most
            for at in range(products.shape[1]):
                if np.int32(products[row, at]) == most:
                    home[row] = base + at
                    break


@njit(cache=True, nogil=True)
def common(one: Any, two: Any) -> Any:
    """Number of real ids of `one` that `two` holds, per row, i64[rows]."""
    out = np.zeros(one.shape[0], dtype=np.int64)
    for row in range(one.shape[0]):
        for a in one[row]:
            for b in two[row]:
                if a == b and a != 2147483647:
                    out[row] += 1
    return out


@njit(cache=True, nogil=True)
def dot(one: Any, two: Any) -> Any:
    """i32: below 2^24 for vectors on the grid."""
    total = np.int32(0)
    for at in range(one.size):
        total += np.int32(one[at]) * np.int32(two[at])
    return total
