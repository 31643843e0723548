"""Greedy facility location on a sparse similarity graph, exactly, with an upper bound on the best there is.

The value of a set is the sum over all rows of the similarity to the nearest chosen row (1 to itself, 0 to
rows the graph does not connect). It is monotone and submodular, so that a gain computed earlier bounds the
gain now, and greedy looks again only at the top of a heap (Minoux's lazy evaluation: the same picks as
looking at everything). Similarities are integers, so are gains and values: no order of summation matters.

Source: Minoux 1978 (lazy evaluation); Nemhauser, Wolsey, Fisher 1978 (greedy reaches 1 - 1/e); Leskovec et
al. 2007 (gain per cost, and the bound from the gains at the end); Badanidiyuru, Vondrak 2014 (levels);
Mirzasoleiman et al. 2015 (samples).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Longs: TypeAlias = npt.NDArray[np.int64]
Ints: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Lists:
    """One-way lists: row i names `neighbours[starts[i]:starts[i + 1]]` (below 0: no row), most similar first.

    `unlisted` is the most that a row which a list does not name can resemble its owner.
    """

    starts: Longs
    neighbours: Ints
    similarities: Ints
    unlisted: Ints
    one: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Facility i is row `owner[i]`, covers it by `one`, and other rows by `entries[starts[i]:starts[i + 1]]`.

    An entry is `row << 32 | similarity`, ascending in a facility, similarities in [1, one]: 8 bytes per edge end.
    """

    starts: Longs
    entries: Longs
    owner: Ints
    one: int
    rows: int  # to be covered

    @property
    def indices(self) -> Ints:
        """Covered rows, i32[entries]; a copy."""
        return (self.entries >> 32).astype(np.int32)

    @property
    def similarities(self) -> Ints:
        """Their similarities, i32[entries]; a copy."""
        return (self.entries & 0xFFFFFFFF).astype(np.int32)

    @property
    def parts(self) -> tuple[Longs, Longs, Ints, int]:
        """What the kernels take."""
        return self.starts, self.entries, self.owner, self.one


NOBODY: Ints = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What rows ask for: `weight` (none: each once), and how far they are covered before the first pick (none: not).

    Weights are whole, and their sum times `one` is below 2^62.
    """

    weight: Ints = field(default_factory=lambda: NOBODY)
    start: Ints = field(default_factory=lambda: NOBODY)

    def covered(self, rows: int) -> Ints:
        """A fresh copy of the coverage that the rows start with, i32[rows]."""
        return self.start.copy() if len(self.start) else np.zeros(rows, dtype=np.int32)

    def of(self, rows: Longs) -> Demand:
        """The demand of some rows."""
        return Demand(
            weight=self.weight[rows] if len(self.weight) else NOBODY,
            start=self.start[rows] if len(self.start) else NOBODY,
        )

    def total(self, coverage: Ints) -> int:
        """The sum of the coverage, weighted."""
        return int(coverage.astype(np.int64) @ self.weight if len(self.weight) else coverage.astype(np.int64).sum())


EVERYONE = Demand()


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What greedy chose: `order` (facilities as picked), `gains` when picked, and the state it ended in."""

    order: Longs
    gains: Longs
    coverage: Ints  # i32[rows]: similarity to the nearest chosen row
    left: Longs  # i64[facilities]: what each would still add; 0 for chosen ones
    evaluations: int
    over: int = -1  # the first facility that did not fit; -1: none, nothing that adds was left


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The value of a selection and a bound that no selection within the budget exceeds, in whole rows covered."""

    value: float
    upper: float

    @property
    def ratio(self) -> float:
        """The selection reaches at least this share of the optimum, in [0, 1]; 1 where there is nothing."""
        return self.value / self.upper if self.upper > 0 else 1.0


def symmetric(starts: Longs, neighbours: npt.NDArray[Any], similarities: Ints, *, one: int) -> Graph:
    """The graph of one-way lists: a and b are joined by the larger of what a says of b and b of a.

    Entries that name no row (below 0) or have no positive similarity are left out.
    Cost: O(edges log degree) time; 16 bytes per entry of a list.
    """
    rows = len(starts) - 1
    everyone = np.arange(rows, dtype=np.int32)
    return _graph(starts, neighbours, similarities, one, everyone, everyone)


def graph_of(lists: Lists, facilities: Longs) -> Graph:
    """Some rows, ascending, as facilities for all rows, through lists in either direction."""
    number = np.full(lists.rows, -1, dtype=np.int32)
    number[facilities] = np.arange(len(facilities), dtype=np.int32)
    owner = facilities.astype(np.int32)
    return _graph(lists.starts, lists.neighbours, lists.similarities, lists.one, number, owner)


def greedy(graph: Graph, *, cost: Longs, budget: int, per_cost: bool, demand: Demand = EVERYONE) -> Picks:
    """Facilities in the order of their gain (per cost), ties by number, as far as the budget goes.

    A gain of 0 ends it as well. Where nothing is passed over, a smaller budget gives a prefix of a larger one. With
    `per_cost`, the value and the next gain together are at least 1 - 1/e of the best within the budget; with equal
    costs the value alone is. A cost of 0 counts as 1 where gains are divided by it.

    Cost: about 3 evaluations per row; 60 bytes per row.
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    start = demand.covered(graph.rows)
    return _picks(graph, demand, kernels.lazy(*graph.parts, start, demand.weight, cost, per_cost, budget))


def by_threshold(
    graph: Graph, *, cost: Longs, budget: int, per_cost: bool, epsilon: float, demand: Demand = EVERYONE
) -> Picks:
    """As `greedy`, but a pick may be worse than the best by the factor 1 - epsilon; no heap.

    Reaches 1 - 1/e - epsilon where costs are equal. Prefixes are as those of `greedy`.
    Source: Badanidiyuru, Vondrak 2014; levels that nothing reaches are passed over.
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    start = demand.covered(graph.rows)
    found = kernels.threshold(*graph.parts, start, demand.weight, cost, per_cost, budget, epsilon)
    return _picks(graph, demand, found)


def by_sampling(
    graph: Graph, *, cost: Longs, budget: int, per_cost: bool, epsilon: float, seed: int, demand: Demand = EVERYONE
) -> Picks:
    """As `greedy`, but every pick is the best of n / k ln(1 / epsilon) rows drawn for it (k: picks to expect).

    Reaches 1 - 1/e - epsilon in expectation where costs are equal. Draws come from `seed` and the row numbers.
    Source: Mirzasoleiman et al. 2015 (stochastic greedy).
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    num = len(graph.owner)
    expected = budget * num / max(int(cost.sum()), 1)
    sample = min(max(math.ceil(num / max(expected, 1.0) * math.log(1 / epsilon)), 1), max(num, 1))
    start = demand.covered(graph.rows)
    picked = kernels.sampled(*graph.parts, start, demand.weight, cost, per_cost, budget, sample, np.uint64(seed))
    return _picks(graph, demand, picked)


def value(graph: Graph, chosen: Longs) -> int:
    """The value of any set of facilities, in units of 1 / `one`."""
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    coverage = kernels.cover(*graph.parts, graph.rows, chosen.astype(np.int64))
    return int(coverage.astype(np.int64).sum())


def upper_bound(value: float, left: npt.NDArray[np.float64], cost: Longs, budget: int) -> float:
    """No selection within the budget is worth more: the value, and the budget filled with what is left to gain.

    The budget is filled anew with the best gains per cost, the last one in part (by submodularity the optimum
    adds at most that to any set). Valid for any set that `left` was computed at.
    Source: Leskovec et al. 2007, section 3.2 (the online bound), for costs.
    """
    some = (left > 0) & (cost <= budget)
    gains, costs = left[some], cost[some].astype(np.float64)
    free = costs == 0
    total = float(gains[free].sum())
    gains, costs = gains[~free], costs[~free]
    order = np.argsort(-gains / costs, kind="stable")
    spent = np.cumsum(costs[order])
    whole = int(np.searchsorted(spent, budget, side="right"))
    total += float(gains[order[:whole]].sum())
    if whole < len(order):
        used = float(spent[whole - 1]) if whole else 0.0
        total += float(gains[order[whole]] * (budget - used) / costs[order[whole]])
    return value + total


def dense_upper_bound(
    lists: Lists, graph: Graph, coverage: Ints, cost: Longs, budget: int, demand: Demand = EVERYONE
) -> float:
    """As `upper_bound`, of the value by all similarities, listed or not, in units of 1 / `one`.

    A row that a list does not name resembles its owner by at most `unlisted`. So a selection's full value is at
    most that of coverage that starts from `unlisted` instead of 0, which is submodular as well and is bounded in
    the same way. Valid where the lists hold the true nearest rows (exact search, or recall 1). `graph`: the
    lists in both directions, all rows as facilities.
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    least = np.maximum(coverage, lists.unlisted)
    left = kernels.gains(*graph.parts, least, demand.weight).astype(np.float64)
    return upper_bound(float(demand.total(least)), left, cost, budget)


def _graph(
    starts: Longs, neighbours: npt.NDArray[Any], similarities: Ints, one: int, number: Ints, owner: Ints
) -> Graph:
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    out, entries = kernels.both_ways(starts, neighbours, similarities, one, number, len(owner))
    return Graph(starts=out, entries=entries, owner=owner, one=one, rows=len(starts) - 1)


def _picks(graph: Graph, demand: Demand, found: tuple[Longs, Longs, Ints, int, int]) -> Picks:
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    order, gains, coverage, evaluations, over = found
    left = kernels.gains(*graph.parts, coverage, demand.weight)
    return Picks(order=order, gains=gains, coverage=coverage, left=left, evaluations=int(evaluations), over=int(over))
