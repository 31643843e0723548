"""Compiled greedy for the graph cut: totals and overlaps are integers, a gain is one product and difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.selectors.coverage.lazy_greedy_kernels import drop, heaped, key_of, sink
from winnow.selectors.coverage.walk_kernels import ENDED, PASSED, verdict

_LOW = np.int64(0xFFFFFFFF)


@njit(cache=True, nogil=True)
def _gain(total: Any, overlap: Any, one: Any, trade: Any) -> Any:
    """In units of 1 / one; both operands are whole numbers below 2^53."""
    return np.float64(total) - trade * np.float64(2 * overlap + one)


@njit(cache=True, nogil=True)
def greedy(starts: Any, entries: Any, one: int, trade: float, cost: Any, per_cost: bool, budget: int) -> Any:
    """(order, gains, f64 what each row would still add): a walk until nothing adds.

    A pick only adds overlap, so that gains only fall: a row that is looked at again and stays on top is the best.
    """
    rows = starts.size - 1
    total = np.empty(rows, dtype=np.int64)
    overlap = np.zeros(rows, dtype=np.int64)
    keys = np.empty(rows, dtype=np.float64)
    for row in range(rows):
        total[row] = one
        for at in range(starts[row], starts[row + 1]):
            total[row] += entries[at] & _LOW
        keys[row] = key_of(_gain(total[row], 0, one, trade), cost[row], per_cost)
    items = heaped(keys)
    order = np.empty(rows, dtype=np.int64)
    picked = np.empty(rows, dtype=np.float64)
    num, spent, limit, size = 0, 0, budget, rows
    while size > 0:
        row = items[0]
        gain = _gain(total[row], overlap[row], one, trade)
        keys[0] = key_of(gain, cost[row], per_cost)
        sink(keys, items, 0, size)
        if items[0] != row:
            continue
        if gain <= 0.0:
            break
        said, limit = verdict(cost[row], spent, limit, budget)
        if said == ENDED:
            break
        size = drop(keys, items, size)
        if said == PASSED:
            continue
        spent += cost[row]
        order[num], picked[num] = row, gain
        num += 1
        for at in range(starts[row], starts[row + 1]):
            overlap[entries[at] >> 32] += entries[at] & _LOW
    left = np.empty(rows, dtype=np.float64)
    for row in range(rows):
        left[row] = _gain(total[row], overlap[row], one, trade)
    return order[:num].copy(), picked[:num].copy(), left
