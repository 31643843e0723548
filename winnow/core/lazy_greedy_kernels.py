"""Compiled lazy greedy over compressed sparse rows, with a binary heap of (key down, row up)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def both_ways(rows: int, source: Any, target: Any, similarity: Any) -> Any:
    """(starts, indices, similarities) of the edges in both directions, ascending, the larger of each pair."""
    ends = np.zeros(rows + 1, dtype=np.int64)
    for edge in range(source.size):
        ends[source[edge] + 1] += 1
        ends[target[edge] + 1] += 1
    ends = np.cumsum(ends)
    fill = ends[:-1].copy()
    to = np.empty(2 * source.size, dtype=np.int32)
    by = np.empty(2 * source.size, dtype=np.int32)
    for edge in range(source.size):
        one, two = source[edge], target[edge]
        to[fill[one]], by[fill[one]] = two, similarity[edge]
        to[fill[two]], by[fill[two]] = one, similarity[edge]
        fill[one] += 1
        fill[two] += 1
    starts = np.zeros(rows + 1, dtype=np.int64)
    kept = 0
    for row in range(rows):
        low, high = ends[row], ends[row + 1]
        order = np.argsort(to[low:high])
        others, values = to[low:high][order], by[low:high][order]
        for at in range(others.size):
            if at and others[at] == others[at - 1]:
                by[kept - 1] = max(by[kept - 1], values[at])
            else:
                to[kept], by[kept] = others[at], values[at]
                kept += 1
        starts[row + 1] = kept
    return starts, to[:kept].copy(), by[:kept].copy()


@njit(cache=True, nogil=True)
def _gain(row: Any, starts: Any, indices: Any, similarities: Any, one: Any, coverage: Any) -> Any:
    """What the row adds to the coverage."""
    gain = np.int64(one - coverage[row])
    for at in range(starts[row], starts[row + 1]):
        more = similarities[at] - coverage[indices[at]]
        if more > 0:
            gain += more
    return gain


@njit(cache=True, nogil=True)
def _take(row: Any, starts: Any, indices: Any, similarities: Any, one: Any, coverage: Any) -> None:
    coverage[row] = one
    for at in range(starts[row], starts[row + 1]):
        coverage[indices[at]] = max(coverage[indices[at]], similarities[at])


@njit(cache=True, nogil=True)
def gains(starts: Any, indices: Any, similarities: Any, one: int, coverage: Any) -> Any:
    """What every row would add, i64[rows]."""
    out = np.empty(starts.size - 1, dtype=np.int64)
    for row in range(out.size):
        out[row] = _gain(row, starts, indices, similarities, one, coverage)
    return out


@njit(cache=True, nogil=True)
def cover(starts: Any, indices: Any, similarities: Any, one: int, chosen: Any) -> Any:
    """Similarity of every row to the nearest chosen one, i32[rows]."""
    coverage = np.zeros(starts.size - 1, dtype=np.int32)
    for row in chosen:
        _take(row, starts, indices, similarities, one, coverage)
    return coverage


@njit(cache=True, nogil=True)
def _ahead(key: Any, row: Any, other_key: Any, other_row: Any) -> Any:
    return key > other_key or (key == other_key and row < other_row)


@njit(cache=True, nogil=True)
def _sink(heap: Any, keys: Any, at: Any, size: Any) -> None:
    """Let the entry at `at` sink to its place; `keys` is by row."""
    row = heap[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _ahead(keys[heap[child + 1]], heap[child + 1], keys[heap[child]], heap[child]):
            child += 1
        if not _ahead(keys[heap[child]], heap[child], keys[row], row):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = row


@njit(cache=True, nogil=True)
def lazy(starts: Any, indices: Any, similarities: Any, one: int, cost: Any, divisor: Any, budget: int) -> Any:
    """(order, gains, coverage, evaluations): picks until one would overflow the budget or adds nothing.

    A row that is looked at again and stays on top is the best: the others' true keys are at most their old
    ones, and division and rounding keep that order.
    """
    rows = starts.size - 1
    coverage = np.zeros(rows, dtype=np.int32)
    now = gains(starts, indices, similarities, one, coverage)
    keys = now / divisor
    heap = np.arange(rows)
    for at in range(rows // 2 - 1, -1, -1):
        _sink(heap, keys, at, rows)
    order = np.empty(rows, dtype=np.int64)
    picked = np.empty(rows, dtype=np.int64)
    num, spent, size, evaluations = 0, 0, rows, rows
    while size > 0:
        row = heap[0]
        now[row] = _gain(row, starts, indices, similarities, one, coverage)
        keys[row] = now[row] / divisor[row]
        evaluations += 1
        _sink(heap, keys, 0, size)
        if heap[0] != row:
            continue
        if now[row] == 0 or spent + cost[row] > budget:
            break
        spent += cost[row]
        order[num], picked[num] = row, now[row]
        num += 1
        _take(row, starts, indices, similarities, one, coverage)
        size -= 1
        heap[0] = heap[size]
        _sink(heap, keys, 0, size)
    return order[:num].copy(), picked[:num].copy(), coverage, evaluations
