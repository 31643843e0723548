"""Compiled loops over blocks of similarities: the largest one before a row, and exemplars taken in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def lengths(grid: Any) -> Any:
    """1 / length of every vector, f64[rows]; 0 for a zero vector."""
    out = np.zeros(grid.shape[0])
    for row in range(grid.shape[0]):
        squares = np.int64(0)
        for at in range(grid.shape[1]):
            squares += np.int64(grid[row, at]) * np.int64(grid[row, at])
        if squares:
            out[row] = 1.0 / np.sqrt(np.float64(squares))
    return out


@njit(cache=True, nogil=True)
def largest(products: Any, above: Any, triangle: bool, best: Any) -> None:
    """`best[j]` = max of itself and products[i, j] * above[i]; with `triangle` for i < j only."""
    for i in range(products.shape[0]):
        for j in range(i + 1 if triangle else 0, products.shape[1]):
            best[j] = max(best[j], np.float64(products[i, j]) * above[i])


@njit(cache=True, nogil=True)
def cover(products: Any, above: Any, own: Any, least: float, ids: Any, by: Any) -> None:
    """`by[j]` = id of the first exemplar i whose cosine with j is `least` or more, where j has none yet."""
    for j in range(products.shape[1]):
        if by[j] < 0:
            for i in range(products.shape[0]):
                if np.float64(products[i, j]) * above[i] * own[j] >= least:
                    by[j] = ids[i]
                    break


@njit(cache=True, nogil=True)
def exemplars(products: Any, inverse: Any, least: float, first: int, by: Any) -> None:
    """The rows of a block in order: `by[j]` = first + i of the first exemplar i < j near enough, else -1 stays."""
    for j in range(products.shape[0]):
        if by[j] >= 0:
            continue
        for i in range(j):
            if by[i] < 0 and np.float64(products[i, j]) * inverse[i] * inverse[j] >= least:
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
    """Of codes in order, i64[rows]: -1 for an exemplar, else the first exemplar within `most` bits."""
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
