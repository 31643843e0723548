"""Compiled look-up of short texts by a hash that grows byte by byte; whole texts are compared, a hash decides nothing.

The hash of data[a:b] may be made from either end, byte after byte: of all endings of a host, or of all beginnings of
an address, one pass finds each in the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at

_PRIME = np.uint64(0x100000001B3)
START = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@njit(cache=True, nogil=True, _nrt=False)
def step(code: Any, byte: Any) -> Any:
    """The hash with one more byte; it begins with START."""
    return (code ^ np.uint64(byte)) * _PRIME


@njit(cache=True, nogil=True, _nrt=False)
def mixed(code: Any) -> Any:
    """The hash with all bits spread, as the table has it."""
    x = (code ^ (code >> np.uint64(31))) * _MIX
    return x ^ (x >> np.uint64(29))


@njit(cache=True, nogil=True, _nrt=False)
def hash_text(data: Any, start: Any, stop: Any, backwards: Any) -> Any:
    """The mixed hash of data[start:stop], from its end where `backwards`."""
    code = START
    if backwards:
        for i in range(stop - 1, start - 1, -1):
            code = step(code, byte_at(data, i))
    else:
        for i in range(start, stop):
            code = step(code, byte_at(data, i))
    return mixed(code if stop > start else np.uint64(0))


@njit(cache=True, nogil=True, _nrt=False)
def find_text(data: Any, start: Any, stop: Any, code: Any, slots: Any, hashes: Any, starts: Any, texts: Any) -> Any:
    """Number of the text data[start:stop], whose mixed hash is `code`; -1 where the table has it not."""
    if slots.size == 0:
        return np.int64(-1)
    mask = np.int64(slots.size - 1)
    slot = np.int64(code & np.uint64(mask))
    while slots[slot] >= 0:
        number = slots[slot]
        if hashes[slot] == code and starts[number + 1] - starts[number] == stop - start:
            same, low = True, starts[number]
            for i in range(stop - start):
                if byte_at(texts, low + i) != byte_at(data, start + i):
                    same = False
                    break
            if same:
                return np.int64(number)
        slot = (slot + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def fill_table(starts: Any, texts: Any, backwards: Any, slots: Any, hashes: Any) -> Any:
    """Fill the table; of every text the number of the first equal one, i64[texts]."""
    first = np.empty(starts.size - 1, dtype=np.int64)
    mask = np.int64(slots.size - 1)
    for number in range(first.size):
        code = hash_text(texts, starts[number], starts[number + 1], backwards)
        found = find_text(texts, starts[number], starts[number + 1], code, slots, hashes, starts, texts)
        first[number] = number if found < 0 else found
        if found < 0:
            slot = np.int64(code & np.uint64(mask))
            while slots[slot] >= 0:
                slot = (slot + 1) & mask
            slots[slot], hashes[slot] = number, code
    return first
