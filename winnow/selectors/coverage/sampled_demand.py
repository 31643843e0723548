"""Facility location on a sample of the demand: every candidate against some documents, by exact similarities.

A graph of k neighbours lists too little where a pick has to stand for far more than k documents: then most pairs
that matter are in no list. A sample of the documents asks instead. Gains are means over the sample: with r documents
in it they are off by about sqrt(log(rows) / r) of all, whatever the size of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.numerics import knn
from winnow.selectors.coverage import lazy_greedy
from winnow.selectors.coverage.lazy_greedy import Ints, Longs

_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What was picked: `order`, `gains` of the sample when picked, and the state that it ended in."""

    order: Longs
    gains: Longs
    left: Longs  # i64[rows]: what each would still add to the sample; 0 for picked ones
    coverage: Ints  # i32[rows]: similarity of every row to the nearest pick
    value: int  # of the sample
    upper: float  # no selection within the budget covers the sample better
    evaluations: int


def greedy(grid: knn.Grid, asked: Longs, *, cost: Longs, budget: int, per_cost: bool) -> Covered:
    """Rows in the order of their gain (per cost) for the rows `asked`, ties by number, as far as the budget goes.

    Cost: 2 rows * asked * dim multiply-adds at BLAS speed, and asked * dim for each of the evaluations, a few per
    row at most; then rows * picks * dim for the coverage. Memory: the vectors, 60 bytes per row.
    """
    from winnow.selectors.coverage import vector_kernels as kernels

    demand = grid[asked]
    number = np.full(len(grid), -1, dtype=np.int32)
    number[asked] = np.arange(len(asked), dtype=np.int32)
    one = np.int32(knn.ONE)
    first = _gains(grid, demand, number, np.zeros(len(asked), dtype=np.int32))
    order, gains, covered, evaluations = kernels.cover_demand(grid, demand, number, first, cost, per_cost, budget, one)
    left = _gains(grid, demand, number, covered)
    value = int(covered.astype(np.int64).sum())
    return Covered(
        order=order,
        gains=gains,
        left=left,
        coverage=_coverage(grid, order),
        value=value,
        upper=lazy_greedy.upper_bound(value, left.astype(np.float64), cost, budget),
        evaluations=int(evaluations),
    )


def _gains(grid: knn.Grid, demand: knn.Grid, number: Ints, coverage: Ints) -> Longs:
    """What every row would add to the coverage of the demand, i64[rows]."""
    from winnow.selectors.coverage import vector_kernels as kernels

    out: npt.NDArray[np.int64] = np.zeros(len(grid), dtype=np.int64)
    right = demand.astype(np.float32).T
    for low in range(0, len(grid), _BLOCK):
        products = grid[low : low + _BLOCK].astype(np.float32) @ right
        kernels.excess(products, low, number, coverage, np.int32(knn.ONE), out)
    return out


def _coverage(grid: knn.Grid, order: Longs) -> Ints:
    """Similarity of every row to the nearest of the picked ones, i32[rows]; 1 for these, at least 0."""
    from winnow.selectors.coverage import vector_kernels as kernels

    out: npt.NDArray[np.int32] = np.zeros(len(grid), dtype=np.int32)
    for start in range(0, len(order), _BLOCK):
        right = grid[order[start : start + _BLOCK]].astype(np.float32).T
        for low in range(0, len(grid), _BLOCK):
            products = grid[low : low + _BLOCK].astype(np.float32) @ right
            kernels.nearest_similarity(products, np.int32(knn.ONE), out[low : low + _BLOCK])
    out[order] = knn.ONE
    return out
