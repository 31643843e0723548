"""Compiled loops over similarities: the largest one with a row before."""

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
