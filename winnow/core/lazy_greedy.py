"""Greedy facility location on a sparse similarity graph, exactly, with an upper bound on the best there is.

The value of a set is the sum over all rows of the similarity to the nearest chosen row (1 to itself, 0 to
rows the graph does not connect). It is monotone and submodular, so that a gain computed earlier bounds the
gain now, and greedy looks again only at the top of a heap (Minoux's lazy evaluation: the same picks as
looking at everything). Similarities are integers, so are gains and values: no order of summation matters.

Source: Minoux 1978 (lazy evaluation); Nemhauser, Wolsey, Fisher 1978 (greedy reaches 1 - 1/e); Leskovec et
al. 2007 (gain per cost, and the bound from the gains at the end).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Longs: TypeAlias = npt.NDArray[np.int64]
Ints: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Rows as facilities: row i covers `indices[starts[i]:starts[i + 1]]` by `similarities`, itself by `one`."""

    starts: Longs  # i64[rows + 1]
    indices: Ints
    similarities: Ints  # all above 0, at most `one`
    one: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What greedy chose: `order` (rows as picked), `gains` when picked, and the state it ended in."""

    order: Longs
    gains: Longs
    coverage: Ints  # i32[rows]: similarity to the nearest chosen row
    left: Longs  # i64[rows]: what each row would still add; 0 for chosen rows
    evaluations: int


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The value of a selection and a bound that no selection within the budget exceeds, in whole rows covered."""

    value: float
    upper: float

    @property
    def ratio(self) -> float:
        """The selection reaches at least this share of the optimum, in [0, 1]; 1 where there is nothing."""
        return self.value / self.upper if self.upper > 0 else 1.0


def symmetric(starts: Longs, neighbours: Longs, similarities: Ints, *, one: int) -> Graph:
    """The graph of directed lists: a and b are joined by the larger of what a says of b and b of a.

    Entries that name no row (below 0) or have no positive similarity are left out.
    Cost: O(edges log degree) time; 24 bytes per edge.
    """
    from winnow.core import lazy_greedy_kernels as kernels

    source = np.repeat(np.arange(len(starts) - 1, dtype=np.int64), np.diff(starts))
    real = (neighbours >= 0) & (similarities > 0) & (neighbours != source)
    out_starts, indices, values = kernels.both_ways(
        len(starts) - 1, source[real], neighbours[real].astype(np.int64), np.minimum(similarities[real], one)
    )
    return Graph(starts=out_starts, indices=indices, similarities=values, one=one)


def greedy(graph: Graph, *, cost: Longs, budget: int, per_cost: bool) -> Picks:
    """Rows in the order of their gain (per cost), ties by number, until one would overflow the budget.

    That first overflow ends the selection, and so does a gain of 0. A smaller budget gives a prefix of a larger
    one. With `per_cost`, the value and the next gain together are at least 1 - 1/e of the best within the
    budget; with equal costs the value alone is. A cost of 0 counts as 1 where gains are divided by it.

    Cost: about 3 evaluations per row; 24 bytes per row.
    """
    from winnow.core import lazy_greedy_kernels as kernels

    divisor = np.maximum(cost, 1).astype(np.float64) if per_cost else np.ones(graph.rows)
    order, gains, coverage, evaluations = kernels.lazy(
        graph.starts, graph.indices, graph.similarities, graph.one, cost, divisor, budget
    )
    left = kernels.gains(graph.starts, graph.indices, graph.similarities, graph.one, coverage)
    return Picks(order=order, gains=gains, coverage=coverage, left=left, evaluations=int(evaluations))


def value(graph: Graph, chosen: Longs) -> int:
    """The value of any set of rows, in units of 1 / `one`."""
    from winnow.core import lazy_greedy_kernels as kernels

    coverage = kernels.cover(graph.starts, graph.indices, graph.similarities, graph.one, chosen.astype(np.int64))
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
