"""Compiled union-find."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

_I64 = types.Array(types.int64, 1, "C", readonly=True)


@njit(cache=True, nogil=True)
def find(parent: Any, node: Any) -> Any:
    """The root of `node`; halves the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(types.int64[::1](types.int64, _I64, _I64), cache=True, nogil=True)
def union(rows: int, left: Any, right: Any) -> Any:
    """Smallest member of every row's component, i64[rows]; the smaller root always wins."""
    parent = np.arange(rows)
    for edge in range(left.size):
        one, two = find(parent, left[edge]), find(parent, right[edge])
        if one < two:
            parent[two] = one
        else:
            parent[one] = two
    for row in range(rows):
        parent[row] = find(parent, row)
    return parent


@njit(types.void(types.int64[::1], _I64, _I64), cache=True, nogil=True)
def join(parent: Any, left: Any, right: Any) -> None:
    """Add edges to a forest in which every root is the smallest member of its tree."""
    for edge in range(left.size):
        one, two = find(parent, left[edge]), find(parent, right[edge])
        if one < two:
            parent[two] = one
        else:
            parent[one] = two


@njit(types.void(types.int64[::1]), cache=True, nogil=True)
def flatten(parent: Any) -> None:
    """Let every row name its root."""
    for row in range(parent.size):
        parent[row] = find(parent, row)
