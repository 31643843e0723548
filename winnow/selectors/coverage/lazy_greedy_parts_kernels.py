"""Compiled parts of a graph: cells that grow along one-way lists, and the lists inside a part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def grow_parts(starts: Any, neighbours: Any, seeds: Any, capacity: int) -> Any:
    """Part of every row, i32[rows]: cells that grow from the seeds along the lists, breadth first.

    A full cell stops; what no cell reaches joins the smallest one, and grows on from there.
    """
    rows = starts.size - 1
    part = np.full(rows, -1, dtype=np.int32)
    sizes = np.zeros(seeds.size, dtype=np.int64)
    queue = np.empty(rows, dtype=np.int32)
    head, tail, lost = 0, 0, 0
    for number in range(seeds.size):
        part[seeds[number]] = number
        sizes[number] = 1
        queue[tail] = seeds[number]
        tail += 1
    while head < rows:
        if head == tail:
            while part[lost] >= 0:
                lost += 1
            part[lost] = np.argmin(sizes)
            sizes[part[lost]] += 1
            queue[tail] = lost
            tail += 1
        row = queue[head]
        head += 1
        for at in range(starts[row], starts[row + 1]):
            other = neighbours[at]
            if other >= 0 and part[other] < 0 and sizes[part[row]] < capacity:
                part[other] = part[row]
                sizes[part[row]] += 1
                queue[tail] = other
                tail += 1
    return part


@njit(cache=True, nogil=True)
def inside(starts: Any, neighbours: Any, similarities: Any, members: Any, local: Any) -> Any:
    """(starts, neighbours, similarities) of the members' lists; `local` numbers the members, -1 for others."""
    sizes = np.zeros(members.size + 1, dtype=np.int64)
    for item in range(members.size):
        for at in range(starts[members[item]], starts[members[item] + 1]):
            if neighbours[at] >= 0 and local[neighbours[at]] >= 0:
                sizes[item + 1] += 1
    ends = np.cumsum(sizes)
    to = np.empty(ends[-1], dtype=np.int32)
    by = np.empty(ends[-1], dtype=np.int32)
    write = 0
    for item in range(members.size):
        for at in range(starts[members[item]], starts[members[item] + 1]):
            if neighbours[at] >= 0 and local[neighbours[at]] >= 0:
                to[write], by[write] = local[neighbours[at]], similarities[at]
                write += 1
    return ends, to, by
