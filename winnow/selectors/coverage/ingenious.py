"""Selection by chance in proportion to what a document adds for coverage, drawn anew as often as wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, numeric, rng, selections
from winnow.core.numerics.walk import walk
from winnow.core.operators import Context, Schema, TrainingPart, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import lazy_greedy, picking
from winnow.selectors.coverage.lazy_greedy import Ints, Lists, Longs
from winnow.selectors.coverage.picking import ONE, Floats

_ALL = 2**62
_PROB_BITS = 36


@dataclass(frozen=True, kw_only=True)
class Ingenious(Whole):
    """Documents drawn by what they add to coverage, `redraws` times: `kept`, `weight`, `gain`, `prob`, `drawn`.

    `gain` is what the document added when greedy facility location took it, with all documents in the end
    (copies of earlier ones add 0). Odds are 1 + u + u^2 / 2 for u = gain / `temperature`, so that nothing is
    impossible; `prob` is the share of the odds. A redraw draws by these odds without replacement, one after the
    other as far as the budget goes (docs/concepts.md). Take as many redraws as a training run has times to
    change its subset: number r is the rows whose `drawn` lists r. An `ablation` changes it so, at equal parts of its
    tokens and under the recipe's one schedule. `kept` is in any of them, `weight` is in how many;
    `rank_selected` counts the kept ones by first redraw and place in it.

    Gains are heavy-tailed: the first is about the number of rows times their mean similarity. `normalise: max`
    divides by the largest, `rank` replaces them by their order from 1 down to 0. `group` draws in every value of a
    column apart, with gains from the group's own edges and a share of the budget by its cost (largest
    remainders). Draws are pure in (doc_id, seed, salt, redraw): another seed draws anew.

    The graph's columns are as in `facility_location`. Documents without a graph row, cost or group are never
    kept.

    Cost: seconds per million rows, and a sort per redraw; `memory_gb`.
    Source: INGENIOUS (Renduchintala et al. 2023): gains once, redraws by Taylor softmax; gains here are those of
    exact greedy.
    """

    name: ClassVar[str] = "ingenious"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    less_memory: ClassVar[str] = "a smaller `k` of `knn_graph`"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("rank_selected", "gain", "prob")
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities", "group")

    budget: Budget
    redraws: int = 1
    temperature: float = 1.0
    normalise: Literal["none", "max", "rank"] = "none"
    group: str = ""
    salt: str = ""
    node: str = "node"
    neighbors: str = "neighbors"
    similarities: str = "similarities"

    def needs(self) -> tuple[str, ...]:
        """The graph's numbers, the group and, for tokens and bytes, the cost."""
        return selections.columns_of(
            self.node, *([self.group] if self.group else []), *selections.cost_columns(self.budget.unit)
        )

    def looks_up(self) -> tuple[str, ...]:
        """The graph's lists, memory-mapped."""
        return self.neighbors, self.similarities

    def outputs(self) -> Schema:
        """Rows that are no candidates: not kept, `gain` and `prob` null, never drawn."""
        return {**picking.RANKED, "prob": pa.float64(), "drawn": pa.large_list(pa.uint16())}

    def training_parts(self) -> tuple[TrainingPart, ...]:
        """The redraws in turn, each for an equal part of the run; one redraw is the selection itself."""
        labels = [f"redraw_{number}" for number in range(self.redraws)] if self.redraws > 1 else []
        return tuple(TrainingPart(label=label, column="drawn", number=n) for n, label in enumerate(labels))

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, two columns of one name, or numbers that cannot work."""
        selections.check_budget(self.budget)
        picking.check_names(self.node, self.neighbors, self.similarities)
        if not 1 <= self.redraws <= 1 << 16:
            raise ConfigError(f"redraws is {self.redraws}, not in [1, 65536]", where="redraws")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"temperature is {self.temperature}, and must be above 0", where="temperature")

    def memory_gb(self, rows: int, width: float = 272.0) -> float:
        """Lists one way, in both directions and as they are read, and the redraws."""
        return 0.35 + rows * (450 + 3 * width + 3 * self.redraws) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The draws over all rows in doc_id order."""
        cost, paid = selections.costs(rows, self.budget)
        some = paid & rows[self.node].is_not_null().to_numpy()
        if self.group:
            some &= rows[self.group].is_not_null().to_numpy()
        place = np.flatnonzero(some)
        cost, candidates = cost[place], rows[place]
        group = self._groups(candidates)
        lists = picking.lists(rows, place, ctx.rows(), (self.node, self.neighbors, self.similarities))
        gain = _gains(lists, group)
        odds = self._odds(gain, group)
        prob = shares(odds, group)
        budget = self.budget.of(rows.height)
        quota = largest_remainders(np.bincount(group, weights=cost).astype(np.int64), budget)
        drawn, order = np.zeros((len(place), self.redraws), dtype=np.bool_), []
        for number in range(self.redraws):
            lots = rng.gumbel(candidates["doc_id"], seed=ctx.seed, salt=f"ingenious\0{self.salt}\0{number}")
            picks = draw(numeric.log(odds) + lots, group, cost, quota)
            drawn[picks, number] = True
            order.append(picks)
        least = min(order, key=lambda picks: int(cost[picks].sum()))  # of the redraws the one that is filled least
        fills.note_picks(ctx, self.budget, budget, cost, least, ended="shares of groups are spent")
        lacks = "a row in the graph, a group or a cost" if self.group else "a row in the graph or a cost"
        selections.note_summary(ctx, rows.height, len(place), lacks)
        ctx.note("redraws", {"kept": [len(o) for o in order], "in_any": int(drawn.any(axis=1).sum())})
        return self._frame(rows.height, place, order, drawn, gain / ONE, prob)

    def _groups(self, rows: pl.DataFrame) -> Longs:
        """Number of every row's group, ascending by value."""
        if not self.group or not rows.height:
            return np.zeros(rows.height, dtype=np.int64)
        return rows[self.group].rank("dense").cast(pl.Int64).to_numpy() - 1

    def _odds(self, gain: Longs, group: Longs) -> Floats:
        """1 + u + u^2 / 2, f64[rows]."""
        scaled = gain / ONE
        if self.normalise == "max":
            scaled = gain / np.maximum(_largest(gain, group), 1)
        elif self.normalise == "rank":
            order = np.lexsort((np.arange(len(gain)), -gain, group))
            starts = np.searchsorted(group[order], group[order])
            sizes = np.bincount(group, minlength=1)[group[order]]
            scaled = np.empty(len(gain))
            scaled[order] = 1.0 - (np.arange(len(gain)) - starts) / sizes
        return taylor(scaled / self.temperature)

    def _frame(
        self, height: int, place: Longs, order: list[Longs], drawn: npt.NDArray[np.bool_], gain: Floats, prob: Floats
    ) -> pl.DataFrame:
        union = np.concatenate([*order, np.zeros(0, dtype=np.int64)])
        _, first = np.unique(union, return_index=True)
        out = picking.ranked(height, place, union[np.sort(first)], gain)
        times = np.zeros(height)
        times[place] = drawn.sum(axis=1)
        row, number = np.nonzero(drawn)
        sizes = np.zeros(height, dtype=np.int64)
        sizes[place] = np.bincount(row, minlength=len(place))
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        listed = pl.from_arrow(pa.LargeListArray.from_arrays(offsets, pa.array(number.astype(np.uint16))))
        assert isinstance(listed, pl.Series)
        return out.with_columns(weight=times, prob=picking.placed(prob, place, height), drawn=listed)


def taylor(u: Floats) -> Floats:
    """1 + u + u^2 / 2: the second-order Taylor polynomial of exp, at least 1 / 2."""
    return np.asarray(1.0 + u + 0.5 * u * u)


def shares(odds: Floats, group: Longs) -> Floats:
    """The odds as shares of their group's, f64[rows]; sums are of whole units of 2^-36 of the largest."""
    if not len(odds):
        return odds
    largest = np.zeros(int(group.max()) + 1)
    np.maximum.at(largest, group, odds)
    scaled = odds / largest[group]
    total = np.zeros(len(largest), dtype=np.int64)
    np.add.at(total, group, np.rint(scaled * 2.0**_PROB_BITS).astype(np.int64))
    return np.asarray(scaled / (total[group] * 2.0**-_PROB_BITS))


def draw(key: Floats, group: Longs, cost: Longs, quota: Longs) -> Longs:
    """Rows by falling key, ties by number, of every group as far as its quota goes; i64, by key."""
    order = np.lexsort((np.arange(len(key)), -key, group))
    ends = np.searchsorted(group[order], np.arange(len(quota) + 1))
    kept = [order[a:b][walk(cost[order[a:b]], int(most)).taken]
            for a, b, most in zip(ends[:-1], ends[1:], quota, strict=True)]  # fmt: skip
    taken = np.concatenate([*kept, np.zeros(0, dtype=np.int64)])
    return np.asarray(taken[np.lexsort((taken, -key[taken]))])


def largest_remainders(sizes: Longs, budget: int) -> Longs:
    """The budget in whole units in proportion to the sizes, i64[groups]; ties by number."""
    total = int(sizes.sum())
    if total == 0:
        return np.full(len(sizes), budget, dtype=np.int64)
    shares = [divmod(int(size) * budget, total) for size in sizes]
    quota = np.array([whole for whole, _ in shares], dtype=np.int64)
    left = budget - int(quota.sum())
    rest = np.argsort([-part for _, part in shares], kind="stable")
    quota[rest[:left]] += 1
    return quota


def _gains(lists: Lists, group: Longs) -> Longs:
    """What every row adds in the order of greedy, i64[rows]; edges between groups do not count."""
    to = lists.neighbours
    source = np.repeat(group, np.diff(lists.starts))
    inside: Ints = np.where((to >= 0) & (group[to] == source), to, -1) if group.any() else to
    graph = lazy_greedy.graph_of(replace(lists, neighbours=inside), np.arange(lists.rows))
    ones = np.ones(lists.rows, dtype=np.int64)
    picks = lazy_greedy.greedy(graph, cost=ones, budget=_ALL, per_cost=False)
    gain = np.zeros(lists.rows, dtype=np.int64)
    gain[picks.order] = picks.gains
    return gain


def _largest(values: Longs, group: Longs) -> Longs:
    """The largest value of every row's group."""
    most = np.zeros(int(group.max(initial=0)) + 1, dtype=np.int64)
    np.maximum.at(most, group, values)
    return most[group]
