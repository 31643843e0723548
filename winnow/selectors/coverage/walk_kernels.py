"""The rule of `walk` for selections that find their next document as they go."""

from __future__ import annotations

from typing import Any

from numba import njit

TAKEN, PASSED, ENDED = 0, 1, 2
_FULL = 100  # as in `walk`


@njit(cache=True, nogil=True)
def verdict(cost: Any, spent: Any, limit: Any, budget: Any) -> Any:
    """(what becomes of the next document, the new limit): taken, passed over, or the end of the walk.

    The limit is what was left when a document did not fit for the last time; the budget at first.
    """
    if cost > limit:
        return PASSED, limit
    left = budget - spent
    if cost <= left:
        return TAKEN, limit
    if left <= budget // _FULL:
        return ENDED, limit
    return PASSED, left
