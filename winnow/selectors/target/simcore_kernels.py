"""One round of `simcore`: every centre takes its most similar document that is not used yet."""

from __future__ import annotations

from typing import Any

from numba import njit, types

IDS = types.Array(types.int64, 2, "C", readonly=True)


@njit(types.int64(IDS, types.boolean[::1], types.int64[::1], types.int64[::1]), cache=True, nogil=True)
def take_round(ids: Any, used: Any, pointers: Any, picks: Any) -> int:
    """Writes each centre's pick (-1 where its list is at its end); returns how many lists ended.

    `used` does not change inside a round, so that two centres may name the same document.
    """
    ended = 0
    for centre in range(ids.shape[0]):
        at = pointers[centre]
        while at < ids.shape[1] and used[ids[centre, at]]:
            at += 1
        pointers[centre] = at
        if at < ids.shape[1]:
            picks[centre] = ids[centre, at]
        else:
            picks[centre] = -1
            ended += 1
    return ended
