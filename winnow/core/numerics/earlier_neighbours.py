"""Within clusters whose rows have an order: how similar each row is to the ones before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from winnow.core.numerics import knn, numeric

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Order = Literal["hard", "easy", "random"]

TILE = 1024


def before(grid: knn.Grid, home: Longs, order: Longs) -> Floats:
    """Largest cosine of every row with a row of its cluster that comes before it in `order`; -inf for the first.

    `order` has the clusters one after another. Products are whole numbers, and lengths divide them once: equal
    vectors have a cosine within 2^-51 of 1, and never above it.
    Cost: half the sum of squared cluster sizes * dim multiply-adds; tiles of TILE x TILE.
    """
    from winnow.core.numerics import earlier_neighbours_kernels as kernels

    inverse, out = kernels.lengths(grid), np.full(len(grid), -np.inf)
    space = np.empty(TILE * TILE, dtype=np.float32)
    for members in runs(home, order):
        for low in range(0, len(members), TILE):
            right = members[low : low + TILE]
            columns, best = grid[right].astype(np.float32).T, np.full(len(right), -np.inf)
            for start in range(0, low + 1, TILE):
                left = members[start : start + TILE]
                products = knn.product(grid[left].astype(np.float32), columns, space)
                kernels.largest(products, inverse[left], start == low, best)
            out[right] = np.minimum(best * inverse[right], 1.0)
    return out


def runs(home: Longs, order: Longs) -> Iterator[Longs]:
    """The rows of one cluster after another, in `order`."""
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(home[order])) + 1)


def lowest(values: Floats, num: int) -> npt.NDArray[np.bool_]:
    """True for the `num` lowest values; of equal ones the first."""
    keep = np.zeros(len(values), dtype=np.bool_)
    keep[np.argsort(numeric.sortable(values), kind="stable")[:num]] = True
    return keep
