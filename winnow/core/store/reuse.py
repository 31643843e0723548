"""Memory that is used again: to touch new memory takes about as long as to parse a text into it.

A block is free when nobody but this module refers to it: no array over it, no Arrow buffer. So nothing is ever handed
back, and what a table still shows is never overwritten. A process keeps at most BLOCKS blocks.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt

BLOCKS = 4
_blocks: list[npt.NDArray[np.uint8]] = []
_lock = threading.Lock()


def used_again(size: int) -> npt.NDArray[np.uint8]:
    """A block of at least `size` bytes (whatever is in them), u8[...]; it is free again when all its users are gone.

    Cost: nothing where a block is free, else one allocation; from 4 MB on numpy asks for huge pages.
    """
    with _lock:
        for number in range(len(_blocks)):
            if _free(number) and len(_blocks[number]) >= size:
                return _blocks[number]
        fresh = np.empty(size, dtype=np.uint8)
        small = next((n for n in range(len(_blocks)) if _free(n)), None)
        if small is not None:
            _blocks[small] = fresh  # a free one that is too small
        elif len(_blocks) < BLOCKS:
            _blocks.append(fresh)
        return fresh


def _free(number: int) -> bool:
    """True where the list's own reference is the only one."""
    return sys.getrefcount(_blocks[number]) <= 2
