"""Exemplars in order among many vectors: most are ruled out by the cell that they lie in.

Vectors belong to the nearest of some centres. Whatever lies in another cell lies behind the bisector of the two
centres, and whatever has another angle to a centre is at least so far away; both bounds are geometry, not chance. The
result is that of comparing all pairs, bit for bit.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from winnow.core.numerics import knn

Longs = npt.NDArray[np.int64]

_SAMPLE = 16  # vectors per centre that centres are fitted on
_LEAST_ROWS = 8192
_MOST_DISTANCE = 0.5
_PRICE = 1.0  # of a look at an exemplar, in pairs of a matrix product


class Cells:
    """Exemplars by cell; blocks of rows come in order."""

    def __init__(self, grid: knn.Grid, distance: float, inverse: npt.NDArray[np.float64], least: float) -> None:
        self.grid, self.inverse, self.least = grid, inverse, least
        self.pays = len(grid) >= _LEAST_ROWS and distance < _MOST_DISTANCE
        self.looked = self.pairs = 0
        if self.pays:
            self._prepare()

    def _prepare(self) -> None:
        from winnow.core.numerics.earlier_neighbours_kernels import lengths

        rows = len(self.grid)
        num = 4 * math.isqrt(rows)
        sample = self.grid[np.linspace(0, rows - 1, min(_SAMPLE * num, rows)).astype(np.int64)]
        centres = knn.spherical_means(sample, num)
        self.home, _ = knn.first_nearest(self.grid, centres)
        reals = centres.astype(np.float32)
        self.right, self.lengths = np.ascontiguousarray(reals.T), lengths(centres)
        squares = (reals.astype(np.float64) ** 2).sum(axis=1)
        apart = squares[:, None] + squares - 2.0 * (reals @ self.right)  # whole numbers
        self.apart = np.sqrt(np.maximum(apart, 0.0)).astype(np.float32)
        members = np.bincount(self.home, minlength=num)
        self.starts = np.concatenate([[0], np.cumsum(members)[:-1]]).astype(np.int64)
        self.sizes = np.zeros(num, dtype=np.int64)
        self.ids = np.empty(rows, dtype=np.int32)
        self.angles = np.empty(rows, dtype=np.float32)
        self.reach = np.tile(np.array([4.0, -4.0]), (num, 1))
        self.stored = np.empty_like(self.grid)

    def block(self, low: int, high: int, kept: int) -> Longs:
        """For rows [low, high): the first exemplar near enough, -1 for new ones; `kept` are known so far.

        `pays` becomes false where a matrix product with all exemplars would be cheaper: then no block may follow.
        """
        from winnow.pipeline.dedup import exemplar_cells_kernels as kernels

        by = np.full(high - low, -1, dtype=np.int64)
        products = self.grid[low:high].astype(np.float32) @ self.right
        self.looked += int(kernels.exemplars(
            products, low, self.grid, self.inverse, self.home, self.lengths, self.apart, self.starts, self.sizes,
            self.ids, self.angles, self.reach, self.stored, self.least, by,
        ))  # fmt: skip
        self.pairs += (high - low) * (kept + (high - low) // 2)
        self.pays = _PRICE * self.looked <= self.pairs or low < _LEAST_ROWS
        return by
