"""Compiled kernels of the data path: best-fit packing, a keyed permutation, and filling a batch from a plan."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

ROUNDS = 6
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def best_fit(lengths: I64, capacity: int) -> tuple[I64, int]:
    """(row of every piece i64[pieces], number of rows); `lengths` descend, each in [1, capacity].

    A piece goes to the row whose free space is smallest among those that hold it, and of equal rows to the one
    that was touched last; where none holds it, it opens a row.
    """
    size = 1
    while size < capacity + 1:
        size *= 2
    tree = np.zeros(2 * size, dtype=np.bool_)  # leaf c: is there a row with c free positions?
    newest = np.full(capacity + 1, -1, dtype=np.int64)  # per free space: the row touched last ...
    older = np.full(len(lengths), -1, dtype=np.int64)  # ... and per row the one before it
    row_of = np.empty(len(lengths), dtype=np.int64)
    rows = 0
    for i in range(len(lengths)):
        space = _smallest_from(tree, size, lengths[i])
        if space < 0:
            row, space = rows, capacity
            rows += 1
        else:
            row = newest[space]
            newest[space] = older[row]
            if newest[space] < 0:
                _clear(tree, size + space)
        row_of[i] = row
        left = space - lengths[i]
        if left > 0:
            older[row] = newest[left]
            newest[left] = row
            _set(tree, size + left)
    return row_of, rows


@numba.njit(cache=True, nogil=True)
def _smallest_from(tree: npt.NDArray[np.bool_], size: int, least: int) -> int:
    """The smallest marked leaf >= `least`; -1 where there is none."""
    node = size + least
    if tree[node]:
        return least
    while node > 1:
        if node % 2 == 0 and tree[node + 1]:
            node += 1
            while node < size:
                node *= 2
                if not tree[node]:
                    node += 1
            return node - size
        node //= 2
    return -1


@numba.njit(cache=True, nogil=True)
def _set(tree: npt.NDArray[np.bool_], node: int) -> None:
    while node >= 1 and not tree[node]:
        tree[node] = True
        node //= 2


@numba.njit(cache=True, nogil=True)
def _clear(tree: npt.NDArray[np.bool_], node: int) -> None:
    tree[node] = False
    node //= 2
    while node >= 1 and not (tree[2 * node] or tree[2 * node + 1]):
        tree[node] = False
        node //= 2


@numba.njit(cache=True, nogil=True)
def by_row(row_of: I64, rows: int) -> tuple[I64, I64]:
    """(pieces grouped by row in their given order i64[pieces], row offsets i64[rows + 1])."""
    offsets = np.zeros(rows + 1, dtype=np.int64)
    for row in row_of:
        offsets[row + 1] += 1
    for row in range(rows):
        offsets[row + 1] += offsets[row]
    place = offsets[:-1].copy()
    order = np.empty(len(row_of), dtype=np.int64)
    for i in range(len(row_of)):
        order[place[row_of[i]]] = i
        place[row_of[i]] += 1
    return order, offsets


@numba.njit(cache=True, nogil=True)
def permuted(index: I64, count: int, keys: U64) -> I64:
    """The places that a keyed permutation of [0, count) gives to the members `index` of it.

    A Feistel network over the next power of four, walked along its cycle until it is back inside: at most four
    steps on average.
    """
    half = np.uint64(1)
    while (np.uint64(1) << (np.uint64(2) * half)) < np.uint64(count):
        half += np.uint64(1)
    mask = (np.uint64(1) << half) - np.uint64(1)
    out = np.empty(len(index), dtype=np.int64)
    for i in range(len(index)):
        x = np.uint64(index[i])
        while True:
            left, right = x >> half, x & mask
            for r in range(ROUNDS):
                left, right = right, left ^ (_mixed(right + keys[r]) & mask)
            x = (left << half) | right
            if x < np.uint64(count):
                break
        out[i] = np.int64(x)
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _mixed(x: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def fill(
    rows: I64,
    limits: I64,
    plan: tuple[I64, npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]],
    tokens: npt.NDArray[np.uint16],
    offsets: I64,
    weight: npt.NDArray[np.float32],
    end: int,
    apart: bool,
    out: tuple[I64, I64, npt.NDArray[np.int32], I64, npt.NDArray[np.float32], I64],
) -> None:
    """Fill `out` (ids, targets, segments, documents, weights, places; each [B, T]) with rows of a plan.

    A row of -1 is all fill. Behind `limits[b]` tokens of a row the weights stay 0. `apart`: pieces are segments of
    their own. `out` comes filled: ids and targets with `end`, segments and documents with -1,
    weights and places with 0.
    """
    row_offsets, document, start, length = plan
    ids, targets, segments, documents, weights, places = out
    for b in range(len(rows)):
        if rows[b] < 0:
            continue
        first, at = row_offsets[rows[b]], 0
        for p in range(first, row_offsets[rows[b] + 1]):
            doc, begin = np.int64(document[p]), np.int64(start[p])
            base, count = offsets[doc], offsets[doc + 1] - offsets[doc]
            segment = p - first if apart else 0
            for i in range(begin, begin + np.int64(length[p])):
                if i > 0:
                    ids[b, at] = tokens[base + i - 1]
                if i < count:
                    targets[b, at] = tokens[base + i]
                segments[b, at] = segment
                documents[b, at] = doc
                places[b, at] = i
                if at < limits[b]:
                    weights[b, at] = weight[doc]
                at += 1
