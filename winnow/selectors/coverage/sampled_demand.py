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
from winnow.selectors.coverage.lazy_greedy import NOBODY, Demand, Ints, Longs

_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What was picked: `order`, `gains` of all rows when picked, and the state that it ended in."""

    order: Longs
    gains: Longs  # i64[picks]: of the sample, weighted
    left: Longs  # i64[rows]: what each would still add to the sample; 0 for picked ones
    coverage: Ints  # i32[rows]: similarity of every row to the nearest pick
    value: int  # of the sample, weighted
    upper: float  # no selection within the budget covers the sample better
    evaluations: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """The first picks, made for a sample of the demand, and what they do for all rows."""

    order: Longs
    gains: Longs  # i64[picks]: of all rows when picked, weighted
    coverage: Ints  # i32[rows]
    evaluations: int
    full: bool  # nothing more fits into the budget


def greedy(grid: knn.Grid, asked: Longs, *, cost: Longs, budget: int, per_cost: bool, weight: Ints = NOBODY) -> Covered:
    """Rows in the order of their gain (per cost) for the rows `asked`, ties by number, as far as the budget goes.

    `weight`: how much each of all rows asks (none: each once).
    Cost: 2 rows * asked * dim multiply-adds at BLAS speed, and asked * dim for each of the evaluations, a few per
    row at most; then rows * picks * dim for the coverage. Memory: the vectors, 60 bytes per row.
    """
    demand, number, mass = _asked(grid, asked, weight)
    picked = _picked(grid, demand, number, mass, cost, per_cost, budget, len(grid))
    left = _gains(grid, demand, number, mass, picked.covered)
    value = Demand(weight=mass).total(picked.covered)
    return Covered(
        order=picked.order,
        gains=picked.gains,
        left=left,
        coverage=coverage_by(grid, picked.order),
        value=value,
        upper=lazy_greedy.upper_bound(value, left.astype(np.float64), cost, budget),
        evaluations=picked.evaluations,
    )


def start(
    grid: knn.Grid,
    asked: Longs,
    candidates: Longs,
    *,
    cost: Longs,
    budget: int,
    per_cost: bool,
    weight: Ints,
    most: int,
) -> Start:
    """The first picks, at most `most`, of `candidates` (ascending) by all their similarities to the rows `asked`.

    Cost: candidates * asked * dim and rows * picks * dim multiply-adds at BLAS speed.
    """
    from winnow.selectors.coverage import vector_kernels as kernels

    demand, number, mass = _asked(grid, asked, weight)
    some = grid if len(candidates) == len(grid) else grid[candidates]
    picked = _picked(some, demand, number[candidates], mass, cost[candidates], per_cost, budget, most)
    order = candidates[picked.order]
    gains, covered = np.zeros(len(order), dtype=np.int64), np.zeros(len(grid), dtype=np.int32)
    for first in range(0, len(order), _BLOCK):
        turn = order[first : first + _BLOCK]
        right = grid[turn].astype(np.float32).T
        for low in range(0, len(grid), _BLOCK):
            products = grid[low : low + _BLOCK].astype(np.float32) @ right
            part, one = covered[low : low + _BLOCK], np.int32(knn.ONE)
            kernels.cover_in_turn(products, low, turn, weight, one, part, gains[first : first + _BLOCK])
    return Start(order=order, gains=gains, coverage=covered, evaluations=picked.evaluations, full=picked.full)


def coverage_by(grid: knn.Grid, order: Longs, rows: Longs | None = None) -> Ints:
    """Similarity of every row (of `rows`) to the nearest of the picked ones, i32; 1 for these, at least 0."""
    from winnow.selectors.coverage import vector_kernels as kernels

    left = grid if rows is None else grid[rows]
    out: npt.NDArray[np.int32] = np.zeros(len(left), dtype=np.int32)
    for begin in range(0, len(order), _BLOCK):
        right = grid[order[begin : begin + _BLOCK]].astype(np.float32).T
        for low in range(0, len(left), _BLOCK):
            products = left[low : low + _BLOCK].astype(np.float32) @ right
            kernels.nearest_similarity(products, np.int32(knn.ONE), out[low : low + _BLOCK])
    out[order if rows is None else np.isin(rows, order)] = knn.ONE
    return out


@dataclass(frozen=True, kw_only=True)
class _Picked:
    order: Longs
    gains: Longs
    covered: Ints
    evaluations: int
    full: bool


def _asked(grid: knn.Grid, asked: Longs, weight: Ints) -> tuple[knn.Grid, Ints, Ints]:
    """(vectors of the demand, every row's place among it or -1, its weights)."""
    number = np.full(len(grid), -1, dtype=np.int32)
    number[asked] = np.arange(len(asked), dtype=np.int32)
    return grid[asked], number, weight[asked] if len(weight) else NOBODY


def _picked(
    grid: knn.Grid, demand: knn.Grid, number: Ints, mass: Ints, cost: Longs, per_cost: bool, budget: int, most: int
) -> _Picked:
    from winnow.selectors.coverage import vector_kernels as kernels

    first = _gains(grid, demand, number, mass, np.zeros(len(demand), dtype=np.int32))
    order, gains, covered, evaluations, full = kernels.cover_demand(
        grid, demand, number, first, mass, cost, per_cost, budget, most, np.int32(knn.ONE)
    )
    return _Picked(order=order, gains=gains, covered=covered, evaluations=int(evaluations), full=bool(full))


def _gains(grid: knn.Grid, demand: knn.Grid, number: Ints, mass: Ints, coverage: Ints) -> Longs:
    """What every row would add to the coverage of the demand, i64[rows]."""
    from winnow.selectors.coverage import vector_kernels as kernels

    out: npt.NDArray[np.int64] = np.zeros(len(grid), dtype=np.int64)
    right = demand.astype(np.float32).T
    for low in range(0, len(grid), _BLOCK):
        products = grid[low : low + _BLOCK].astype(np.float32) @ right
        kernels.excess(products, low, number, coverage, mass, np.int32(knn.ONE), out)
    return out
