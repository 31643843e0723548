"""A budget filled down a ranking: what fits is taken, and what does not fit is passed over while much is left.

The rule of every selection under a budget. Documents are looked at in their order, but for those larger than the
budget. One that fits what is left is taken. The first that does not fit ends the walk where at most a hundredth of
the budget is left; else it is passed over, and so is every later one that is larger than what is left then. So one
large document cannot end a selection at its third document, and a nearly full budget is not topped up with
whatever is small, from wherever it ranks.

A *leg* is what lies between two documents that did not fit. A walk has at most `MOST_LEGS`; only contrived costs need
more than a few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

FULL = 100  # a budget is full where at most one part in so many is left
MOST_LEGS = 64


class Stop(NamedTuple):
    """A document that did not fit: its place in the order, rows taken before it, and what was left of the budget."""

    place: int
    rows: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Walk:
    """`taken` bool[rows] in their order, what is `left` of the budget, the `stops`, and whether it `ended` at one."""

    taken: npt.NDArray[np.bool_]
    left: int
    stops: tuple[Stop, ...]
    ended: bool

    @property
    def limit(self) -> int | None:
        """What was left at the last stop: a larger document cannot be taken any more; None before any stop."""
        return self.stops[-1].left if self.stops else None


def is_full(left: int, budget: int) -> bool:
    """Whether so little is left that the next document that does not fit ends the walk."""
    return left <= budget // FULL


def walk(cost: Ints, budget: int, *, left: int | None = None, limit: int | None = None, legs: int = MOST_LEGS) -> Walk:
    """Documents of these costs in their order, walked under a budget of which `left` is left (default: all of it).

    `limit`: a larger document is known not to fit (default: what is left). `legs`: how many there may still be.
    Cost: a pass over the rest per leg.
    """
    left = budget if left is None else left
    limit = left if limit is None else limit
    taken = np.zeros(len(cost), dtype=np.bool_)
    stops: list[Stop] = []
    at = rows = 0
    while True:
        some = np.flatnonzero(cost[at:] <= limit) + at
        spent = np.cumsum(cost[some])
        fits = int(np.searchsorted(spent, left, side="right"))
        taken[some[:fits]] = True
        rows, left = rows + fits, left - (int(spent[fits - 1]) if fits else 0)
        if fits == len(some):
            return Walk(taken=taken, left=left, stops=tuple(stops), ended=False)
        stops.append(Stop(int(some[fits]), rows, left))
        if is_full(left, budget) or len(stops) >= legs:
            return Walk(taken=taken, left=left, stops=tuple(stops), ended=True)
        at, limit = int(some[fits]) + 1, left
