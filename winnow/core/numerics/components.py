"""Connected components of an undirected graph over row numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import numpy.typing as npt

from winnow.core.words.distinct import distinct

Rows = npt.NDArray[np.int64]
Names = npt.NDArray[np.uint64]


def components(rows: int, left: Rows, right: Rows) -> Rows:
    """Smallest row number of every row's component, i64[rows]; free of the order and direction of the edges.

    Raises: IndexError where an edge names a row outside [0, rows).
    Cost: nearly linear in rows + edges; 8 bytes per row.
    """
    from winnow.core.numerics.components_kernels import union

    for ends in (left, right):
        if len(ends) and (int(ends.min()) < 0 or int(ends.max()) >= rows):
            raise IndexError(f"an edge names row {int(ends.max())} (or {int(ends.min())}) of {rows}")
    one, two = (np.ascontiguousarray(ends, dtype=np.int64) for ends in (left, right))
    return cast("Rows", union(rows, one, two))


def named_components(edges: Callable[[], Iterable[tuple[Names, Names]]]) -> tuple[Names, Rows]:
    """(names u64[n] in ascending order, place of the smallest name of its component i64[n]) of all names in edges.

    `edges` gives the edges in chunks, as often as it is asked (twice).
    Cost: n log n and nearly linear in the edges; 16 bytes per name beside three times a chunk.
    """
    from winnow.core.numerics.components_kernels import flatten, join

    names = np.zeros(0, dtype=np.uint64)
    fresh: list[Names] = []
    for left, right in edges():
        fresh.append(distinct(np.concatenate([left, right])))
        if sum(map(len, fresh)) > len(names):
            names, fresh = distinct(np.concatenate([names, *fresh])), []
    names = distinct(np.concatenate([names, *fresh]))
    parent = np.arange(len(names))
    for left, right in edges():
        join(parent, np.searchsorted(names, left), np.searchsorted(names, right))
    flatten(parent)
    return names, parent
