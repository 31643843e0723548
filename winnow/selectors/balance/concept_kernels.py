"""Compiled loops over lists of concepts: counts, odds of a text, and the best of a list."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def odds(starts: Any, ids: Any, known: Any, rate: Any, how: int) -> Any:
    """f64[rows] from the rates p of a row's known ids: 0: 1 - prod(1 - p), 1: the largest, 2: the mean.

    0 where there is none. Ids are worked through in their order: the same bits anywhere.
    """
    out = np.zeros(starts.size - 1)
    for row in range(out.size):
        none, most, total, num = 1.0, 0.0, 0.0, 0
        for at in range(starts[row], starts[row + 1]):
            if known[ids[at]]:
                p = rate[ids[at]]
                none *= 1.0 - p
                most = max(most, p)
                total += p
                num += 1
        if num:
            out[row] = 1.0 - none if how == 0 else (most if how == 1 else total / num)
    return out


@njit(cache=True, nogil=True)
def best_of_lists(starts: Any, score: Any, top: int, keep: Any) -> None:
    """`keep` is made False but for the `top` highest scores of every row above -inf; the first of equal ones."""
    for row in range(starts.size - 1):
        low, high = starts[row], starts[row + 1]
        order = np.argsort(-score[low:high], kind="mergesort")
        for place in range(high - low):
            at = low + order[place]
            keep[at] = place < top and score[at] > -np.inf


@njit(cache=True, nogil=True)
def first_of_lists(starts: Any, ids: Any, num_ids: int) -> Any:
    """True where an id is not earlier in its row already, bool[...]."""
    keep = np.ones(ids.size, dtype=np.bool_)
    seen = np.full(num_ids, -1, dtype=np.int64)
    for row in range(starts.size - 1):
        for at in range(starts[row], starts[row + 1]):
            keep[at] = seen[ids[at]] != row
            seen[ids[at]] = row
    return keep
