"""Compiled: which documents resemble those of a sample, by an index of the sample's shingles.

Sets of other parts are read where they lie, by address (`minhash_kernels.peek`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import avalanche
from winnow.pipeline.dedup.minhash_kernels import I64, I64_OUT, U64, peek

U32 = types.Array(types.uint32, 1, "C", readonly=True)


@njit(types.void(U32, types.int64[::1]), cache=True, nogil=True)
def fill_table(values: Any, table: Any) -> None:
    """Puts the place of every distinct value into an open table of -1, twice as long as they are or longer, 2^n."""
    mask = np.uint64(table.size - 1)
    for place in range(values.size):
        slot = avalanche(np.uint64(values[place])) & mask
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = place


@njit(cache=True, nogil=True)
def _place(value: Any, values: Any, table: Any) -> Any:
    """Place of a value among the distinct ones, or -1."""
    mask = np.uint64(table.size - 1)
    slot = avalanche(np.uint64(value)) & mask
    while table[slot] >= 0:
        if values[table[slot]] == value:
            return table[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _within(sorted_rows: Any, first: Any, stop: Any, row: Any) -> Any:
    """Whether a row is among sorted_rows[first:stop], which ascend."""
    while first < stop:
        middle = (first + stop) >> 1
        if sorted_rows[middle] < row:
            first = middle + 1
        elif sorted_rows[middle] > row:
            stop = middle
        else:
            return True
    return False


@njit(
    types.UniTuple(I64_OUT, 2)(U32, I64, I64, I64, types.int64[::1], I64, I64, I64, U64, I64, I64, types.float64),
    cache=True,
    nogil=True,
)
def near_ones(
    values: Any, starts: Any, owners: Any, sample: Any, table: Any, found_at: Any, found: Any, others: Any,
    address: Any, size: Any, group: Any, threshold: float,
) -> Any:  # fmt: skip
    """(other documents of `threshold` or more, how many of those were found) of every document of the sample, i64[n].

    `values` are the distinct shingles of the sample; owners[starts[v] : starts[v + 1]] have value v, by number in the
    sample; `sample` their rows. `found` rows of sample s are found[found_at[s] : found_at[s + 1]], ascending.
    Compared are the rows `others`, of the same `group`. Jaccard is exact: integer counts, one division.
    """
    near, hits = np.zeros(sample.size, dtype=np.int64), np.zeros(sample.size, dtype=np.int64)
    common = np.zeros(sample.size, dtype=np.int64)
    touched = np.empty(sample.size, dtype=np.int64)
    for row in others:
        num = np.int64(0)
        for at in range(size[row]):
            place = _place(peek(address[row], at), values, table)
            if place >= 0:
                for one in range(starts[place], starts[place + 1]):
                    who = owners[one]
                    if common[who] == 0:
                        touched[num] = who
                        num += 1
                    common[who] += 1
        for one in range(num):
            who, same = touched[one], common[touched[one]]
            common[who] = 0
            mine = sample[who]
            either = size[row] + size[mine] - same
            if mine == row or group[mine] != group[row] or np.float64(same) / np.float64(either) < threshold:
                continue
            near[who] += 1
            hits[who] += np.int64(_within(found, found_at[who], found_at[who + 1], row))
    return near, hits
