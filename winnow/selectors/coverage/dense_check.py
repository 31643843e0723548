"""What a selection covers by all similarities, on documents that had no say in it, beside selections that know less.

The value that a greedy search reports is of the pairs that it looked at. Here every pair of some held-out documents
and the documents taken is compared, and the same is done for documents drawn at random: under the same budget, and
of the same lengths, since long documents resemble more and many short ones stand for themselves. Where few are taken,
what greedy selection reaches that was made for the held-out documents themselves is the mark to measure against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.numerics import knn, rng
from winnow.core.operators import Context
from winnow.core.terminal import percent
from winnow.selectors.coverage import sampled_demand
from winnow.selectors.coverage.lazy_greedy import Ints, Longs

HELD_OUT = 1000
CANDIDATES = 50_000  # that a search by all similarities looks at
_CLASSES = 20  # of lengths
_DRAWS, _MANY = 3, 5_000  # of controls; one where so many documents are drawn
_FEW = 4  # held-out documents per document taken from which greedy for them tells something
_FAR = 2.0  # mean lengths that differ by more are remarked


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The candidates of a selection: vectors, costs, how much each asks, lengths, and lots drawn by doc_id."""

    grid: knn.Grid
    cost: Longs
    weight: Ints  # empty: each once
    length: Longs
    unit: str  # of the lengths
    doc_id: pl.Series
    salt: str

    def lots(self, name: str) -> Longs:
        """All rows in an order drawn by doc_id; another one for another name."""
        keys = rng.keys(self.doc_id, seed=0, salt=f"facility_location\0{self.salt}{name}")
        return np.argsort(keys, kind="stable")


@dataclass(frozen=True, kw_only=True)
class Check:
    """Mean coverage of the held-out documents, in [0, 1], by what was taken and by what it is held against."""

    held_out: int
    coverage: float
    random: float  # the same budget
    length_matched: float  # as many documents of the same lengths
    greedy: float | None  # made for the held-out documents themselves; None where that tells nothing
    length_ratio: float  # mean length of the documents taken over that of all

    def metrics(self) -> dict[str, float | int | None]:
        """As the metric `dense`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def line(self) -> str:
        """The figures in words."""
        best = f", greedy for these documents alone {percent(self.greedy)}" if self.greedy is not None else ""
        return (f"cover {percent(self.coverage)} by all pairs (random {percent(self.random)}, of the same lengths "
                f"{percent(self.length_matched)}{best})")  # fmt: skip


def check(pool: Pool, order: Longs, held: Longs, *, budget: int, per_cost: bool, known: bool) -> Check:
    """The selection `order` held against controls on the rows `held`; `known`: it was made for just these.

    Cost: held * (picks of all selections) * dim multiply-adds at BLAS speed, and greedy selection for them where they
    are four times as many as the picks.
    """
    draws = 1 if len(order) > _MANY else _DRAWS
    chance = [_within(pool, budget, f"random{d}") for d in range(draws)]
    matched = [_matched(pool, order, f"matched{d}") for d in range(draws)]
    reached = _mean(pool, order, held)
    best: float | None = reached if known else None
    if not known and _FEW * len(order) <= len(held):
        some = np.sort(pool.lots("")[:CANDIDATES])
        for_them = sampled_demand.start(
            pool.grid, held, some, cost=pool.cost, budget=budget, per_cost=per_cost, weight=pool.weight, most=len(held)
        )
        best = _mean(pool, for_them.order, held)
    whole = float(pool.length.mean()) if len(pool.length) else 0.0
    return Check(
        held_out=len(held),
        coverage=reached,
        random=float(np.mean([_mean(pool, some, held) for some in chance])),
        length_matched=float(np.mean([_mean(pool, some, held) for some in matched])),
        greedy=best,
        length_ratio=float(pool.length[order].mean()) / whole if len(order) and whole else 1.0,
    )


def tell(found: Check, pool: Pool, order: Longs, ctx: Context) -> None:
    """Note the figures, and remark what a person should know before taking the selection."""
    ctx.note("dense", found.metrics())
    if len(order) < 2 or len(order) == len(pool.cost):
        return
    if not 1 / _FAR <= found.length_ratio <= _FAR:
        mean, whole = pool.length[order].mean(), pool.length.mean()
        kind, other = ("short", "drop short documents") if mean < whole else ("long", "cut or drop long documents")
        ctx.remark(
            f"the documents taken are {kind}: {mean:,.0f} {pool.unit} on average, all {whole:,.0f}; compare with "
            f"`length_matched`, or {other} before"
        )
    if found.coverage <= found.length_matched:
        ctx.remark(
            f"the selection covers {percent(found.coverage)} of {found.held_out:,} held-out documents, random ones of "
            f"the same lengths {percent(found.length_matched)}: raise `k` of `knn_graph`, or take `random`"
        )


def _mean(pool: Pool, order: Longs, held: Longs) -> float:
    """Mean coverage of the rows `held`, weighted by what they ask."""
    if not len(held):
        return 0.0
    covered = sampled_demand.coverage_by(pool.grid, order, held) / knn.ONE
    weight: npt.NDArray[np.float64] | None = pool.weight[held].astype(np.float64) if len(pool.weight) else None
    return float(np.average(covered, weights=weight)) if weight is None or weight.sum() else 0.0


def _within(pool: Pool, budget: int, name: str) -> Longs:
    """Documents drawn until one would overflow the budget."""
    lots = pool.lots(name)
    return lots[: int(np.searchsorted(np.cumsum(pool.cost[lots]), budget, side="right"))]


def _matched(pool: Pool, order: Longs, name: str) -> Longs:
    """As many documents of every twentieth of the lengths as the selection has, drawn."""
    if not len(order):
        return order
    limits = np.quantile(pool.length, np.linspace(0, 1, _CLASSES + 1)[1:-1])
    group = np.searchsorted(limits, pool.length)
    wanted = np.bincount(group[order], minlength=_CLASSES)
    lots = pool.lots(name)
    inside = [lots[group[lots] == number][: wanted[number]] for number in range(_CLASSES)]
    return np.concatenate(inside).astype(np.int64)
