"""Facility location in two rounds: greedy inside parts, then over what the parts picked.

A part needs only its own edges in both directions, which is most of what greedy needs memory for. The second
round sees all rows as demand, but only the parts' picks as candidates. Parts that follow the graph lose less
than 1 %; random parts would lose 4 to 5 %. No factor is proven for such parts: the bound from the gains at the
end holds for any selection, so it is computed over all rows, and says what was reached.

Source: two rounds after Mirzasoleiman et al. 2013 (GreeDi); parts along the graph own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from winnow.selectors.coverage import lazy_greedy
from winnow.selectors.coverage.lazy_greedy import EVERYONE, Demand, Ints, Lists, Longs, Picks, upper_bound


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What two rounds chose, out of how many candidates in the second, and `dense_upper_bound` of it."""

    picks: Picks
    candidates: int
    dense_upper: float


def grown(lists: Lists, seeds: Longs) -> Ints:
    """Part of every row, i32[rows] in [0, len(seeds)): cells of almost equal size that grow along the lists."""
    from winnow.selectors.coverage import lazy_greedy_parts_kernels as kernels

    if not len(seeds):
        return np.zeros(lists.rows, dtype=np.int32)
    capacity = -(-lists.rows // len(seeds))
    return np.asarray(kernels.grow_parts(lists.starts, lists.neighbours, seeds, capacity), dtype=np.int32)


def greedy(
    lists: Lists, part: Ints, *, cost: Longs, budget: int, per_cost: bool, slack: float = 1.5, demand: Demand = EVERYONE
) -> Rounds:
    """Picks over all rows; with one part those of plain greedy.

    Every part picks `slack` times its share of the budget (by cost), and what overflowed it is a candidate too.
    Cost: 16 bytes per entry of the largest part's lists, beside the lists.
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    order = np.argsort(part, kind="stable")
    counts = np.bincount(part, minlength=int(part.max(initial=-1)) + 1)
    members = np.split(order, np.cumsum(counts)[:-1]) if len(counts) else []
    total = max(int(cost.sum()), 1)
    local = np.full(lists.rows, -1, dtype=np.int32)
    found = [np.zeros(0, dtype=np.int64)]
    for rows in members:
        share = int(slack * budget * (int(cost[rows].sum()) / total)) if len(members) > 1 else budget
        found.append(rows[_inside(lists, rows, local, cost[rows], share, per_cost, demand.of(rows))])
    union = np.sort(np.concatenate(found)).astype(np.int64)
    graph = lazy_greedy.graph_of(lists, union)
    picks = lazy_greedy.greedy(graph, cost=cost[union], budget=budget, per_cost=per_cost, demand=demand)
    least = np.maximum(picks.coverage, lists.unlisted)
    both = np.stack([picks.coverage, least])
    left, dense = kernels.gains_of_lists(
        lists.starts, lists.neighbours, lists.similarities, lists.one, both, demand.weight
    )
    over = int(union[picks.over]) if picks.over >= 0 else -1
    whole = replace(picks, order=union[picks.order], left=left, over=over)
    upper = upper_bound(float(demand.total(least)), dense.astype(np.float64), cost, budget)
    return Rounds(picks=whole, candidates=len(union), dense_upper=upper)


def _inside(lists: Lists, rows: Longs, local: Ints, cost: Longs, budget: int, per_cost: bool, demand: Demand) -> Longs:
    """Picks among `rows` for `rows`, and what overflowed; `local` is lent, all -1 before and after."""
    from winnow.selectors.coverage import lazy_greedy_parts_kernels as kernels

    local[rows] = np.arange(len(rows), dtype=np.int32)
    starts, neighbours, similarities = kernels.inside(lists.starts, lists.neighbours, lists.similarities, rows, local)
    local[rows] = -1
    graph = lazy_greedy.symmetric(starts, neighbours, similarities, one=lists.one)
    picks = lazy_greedy.greedy(graph, cost=cost, budget=budget, per_cost=per_cost, demand=demand)
    return np.append(picks.order, picks.over) if picks.over >= 0 else picks.order
