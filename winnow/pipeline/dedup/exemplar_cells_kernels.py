"""Compiled search for the first exemplar near a vector, among cells of exemplars that cannot be ruled out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.numerics.knn_kernels import dot

_PRODUCT = 7
_SLACK = 1e-6  # angles and distances of cells are rounded; what is decided is decided by whole numbers


@njit(cache=True, nogil=True)
def _angle(cosine: Any) -> Any:
    return np.arccos(min(max(cosine, -1.0), 1.0))


@njit(cache=True, nogil=True)
def exemplars(
    products: Any, low: int, grid: Any, inverse: Any, home: Any, lengths: Any, apart: Any, starts: Any, sizes: Any,
    ids: Any, angles: Any, reach: Any, stored: Any, least: float, by: Any,
) -> Any:  # fmt: skip
    """The rows of a block in order: `by[j]` = the first earlier exemplar with a cosine of `least` or more, else -1.

    `products`: i32 as f32[block, cells] with the centres. Row low + j becomes an exemplar of its cell `home` where
    there is none. A cell is passed over where all its vectors lie behind the bisector with the row's own centre by
    more than the angle, or nearer to or farther from its centre than the row by more than it. Returns the number of
    exemplars looked at, those compared in full counted 8 times. Columns of `reach`: the least and largest angle of a
    cell's exemplars to its centre.
    """
    theta = _angle(least) + _SLACK
    sine, looked = np.sin(theta), np.int64(0)
    for j in range(products.shape[0]):
        row = low + j
        own, found, own_vector = home[row], np.int64(grid.shape[0]), grid[row]
        mine = np.float64(products[j, own])
        for step in range(-1, sizes.size):
            cell = own if step < 0 else step
            if sizes[cell] == 0 or (step >= 0 and cell == own):
                continue
            product = np.float64(products[j, cell])
            if (mine - product) * inverse[row] > sine * apart[own, cell] + _SLACK:
                continue
            angle = _angle(product * inverse[row] * lengths[cell])
            if angle > reach[cell, 1] + theta or angle < reach[cell, 0] - theta:
                continue
            first = starts[cell]
            for at in range(first, first + sizes[cell]):
                if ids[at] >= found:
                    break
                looked += 1
                if abs(angle - angles[at]) > theta:
                    continue
                looked += _PRODUCT
                if np.float64(dot(stored[at], own_vector)) * inverse[ids[at]] * inverse[row] >= least:
                    found = np.int64(ids[at])
        if found < grid.shape[0]:
            by[j] = found
            continue
        at = starts[own] + sizes[own]
        angle = _angle(mine * inverse[row] * lengths[own])
        ids[at], angles[at] = row, angle
        stored[at] = own_vector
        reach[own, 0], reach[own, 1] = min(reach[own, 0], angle), max(reach[own, 1], angle)
        sizes[own] += 1
    return looked
