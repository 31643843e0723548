"""Selection for coverage: documents that stand for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, rng, selections
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import lazy_greedy, lazy_greedy_parts, picking, sampled_demand
from winnow.selectors.coverage.lazy_greedy import Certificate, Ints, Lists, Longs, Picks
from winnow.selectors.coverage.picking import ONE

_LAZY_ENTRIES, _LAZY_PICKS = 320_000_000, 1_000_000
_PART_ROWS = 500_000
_FEW = 500  # rows per pick from which lists of neighbours are too short


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Whole):
    """Documents that cover the others best within a budget: `kept`, `weight` 1 or 0, and why.

    The value of a selection is the sum over all candidates of the similarity to the nearest kept document:
    `coverage`, in [0, 1], 1 for kept ones. Documents are taken greedily by the value they add per token (or byte, as
    the budget counts; `cost_aware: false` ignores the cost, and then a few giant documents fill the budget, because
    they resemble much and each counts once). `gain` is the value a kept document added when it was taken and the
    value another one would still add; `rank_selected` counts the kept ones from 0. A document that is too large for
    what is left of the budget is passed over (docs/concepts.md); documents that add nothing are not taken (copies of
    kept ones add what rounding leaves, and come last).

    `method`: `lazy` picks what greedy picks. `threshold` takes what is within 1 - `epsilon` of the best, in
    half the time. `stochastic` takes the best of a sample for each pick (`salt`: another one; no prefixes).
    `partitioned` picks inside parts first, then among what the parts picked, and needs 8 bytes per list entry
    instead of 24: parts are the values of column `part`, or `num_parts` cells grown along the graph. `auto` is
    `lazy` up to 320M list entries, 20M rows of 16 (`threshold` above 1M rows and picks to expect), `partitioned`
    beyond: whatever the machine has. `sampled` needs `vectors`
    and no graph: greedy for `demand` documents drawn by doc_id, by all their similarities; for budgets of fewer
    than one document in a few hundred, where lists of neighbours are too short.

    The graph comes from `knn_graph` (`node`, `neighbors`, `similarities`) over these rows or more of them:
    neighbours that are no candidates are left out. Two documents are joined where either lists the other.
    Documents without a graph row or without a cost are never kept. The metric `certificate` bounds the best
    possible value: of the graph (`upper`), and, where the lists hold the true nearest rows, of all
    similarities (`dense_upper`).

    Cost: seconds per million rows; `memory_gb`.
    Source: facility location by lazy greedy (Minoux 1978), gain per cost after Leskovec et al. 2007, levels
    after Badanidiyuru, Vondrak 2014, samples after Mirzasoleiman et al. 2015, two rounds after the same 2013.
    """

    name: ClassVar[str] = "facility_location"
    version: ClassVar[int] = 3  # 2: `auto` counts list entries, not rows; 3: passes over what does not fit
    less_memory: ClassVar[str] = "`method: partitioned`, or a smaller `k` of `knn_graph` (`dim` of `sampled`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("rank_selected", "gain", "coverage")
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities", "part", "vectors")

    budget: Budget
    cost_aware: bool = True
    method: Literal["auto", "lazy", "threshold", "stochastic", "partitioned", "sampled"] = "auto"
    epsilon: float = 0.1
    num_parts: int = 0  # 0: one per 500,000 rows, at least 2
    part: str = ""
    salt: str = ""
    node: str = "node"
    neighbors: str = "neighbors"
    similarities: str = "similarities"
    demand: int = 2000  # documents that ask, for `sampled`
    vectors: str = "vector"  # for `sampled`

    def needs(self) -> tuple[str, ...]:
        """The graph's numbers and, for tokens and bytes, the cost."""
        own = [] if self.method == "sampled" else [self.node]
        return selections.columns_of(
            *own, *([self.part] if self.part else []), *selections.cost_columns(self.budget.unit)
        )

    def looks_up(self) -> tuple[str, ...]:
        """The graph's lists, or the vectors, memory-mapped."""
        return (self.vectors,) if self.method == "sampled" else (self.neighbors, self.similarities)

    def outputs(self) -> Schema:
        """Rows that are no candidates: not kept, `gain` and `coverage` null."""
        return {**picking.RANKED, "coverage": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, two columns of one name, or shares outside (0, 1)."""
        selections.check_budget(self.budget)
        picking.check_names(self.node, self.neighbors, self.similarities)
        if not 0 < self.epsilon < 1:
            raise ConfigError(f"epsilon is {self.epsilon}, not in (0, 1)", where="epsilon")
        if self.num_parts < 0:
            raise ConfigError(f"num_parts is {self.num_parts}, and cannot be negative", where="num_parts")
        if self.method != "partitioned" and (self.part or self.num_parts):
            raise ConfigError(f"method {self.method!r} has no parts", where="method", hint="`method: partitioned`")
        if self.demand < 1:
            raise ConfigError(f"demand is {self.demand}, and must be at least 1", where="demand")

    def memory_gb(self, rows: int, width: float = 272.0) -> float:
        """Lists one way, in both directions and as they are read; in parts one way and read; or vectors twice."""
        if self.method == "sampled":
            return 0.35 + rows * (200 + 2 * width) / 1e9
        entries = int(rows * max(width - 16, 0)) // 8  # 4 bytes for the neighbour and its similarity each
        in_parts = self.method == "partitioned" or (self.method == "auto" and entries > _LAZY_ENTRIES)
        return 0.35 + rows * (370 + 1.5 * width if in_parts else 330 + 3 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where a list and its similarities differ in length or costs are not whole numbers.
        """
        if self.method == "sampled":
            return self._sampled(rows, ctx)
        cost, paid = selections.costs(rows, self.budget)
        place = np.flatnonzero(paid & rows[self.node].is_not_null().to_numpy())
        graph = (self.node, self.neighbors, self.similarities)
        lists = picking.lists(rows, place, ctx.rows(), graph)
        budget = self.budget.of(rows.height)
        picks, dense_upper = self._picks(lists, rows[place], cost[place], budget, ctx)
        line = _note(picks, dense_upper, cost[place], budget, ctx)
        fills.note_picks(ctx, self.budget, budget, cost[place], picks.order)
        selections.note_summary(ctx, rows.height, len(place), "a row in the graph or a cost", line)
        gain = picks.left
        gain[picks.order] = picks.gains
        out = picking.ranked(rows.height, place, picks.order, gain / ONE)
        return out.with_columns(coverage=picking.placed(picks.coverage / ONE, place, rows.height))

    def _sampled(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection for a sample of the demand."""
        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=False)
        keys = rng.keys(rows["doc_id"].gather(place), seed=0, salt=f"facility_location\0{self.salt}")
        asked = np.sort(np.argsort(keys, kind="stable")[: self.demand])
        budget = self.budget.of(rows.height)
        picks = sampled_demand.greedy(grid, asked, cost=cost, budget=budget, per_cost=self.cost_aware)
        scale = len(grid) / max(len(asked), 1) / ONE
        gain = np.asarray(picks.left * scale, dtype=np.float64)
        gain[picks.order] = picks.gains * scale
        ctx.note("method", self.method)
        ctx.note("demand", len(asked))
        ctx.note("evaluations", picks.evaluations)
        ctx.note("value", float(picks.coverage.astype(np.int64).sum()) / ONE)
        ctx.note("certificate", picking.certificate_of(picks.value * scale, picks.upper * scale))
        fills.note_picks(ctx, self.budget, budget, cost, picks.order)
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost")
        out = picking.ranked(rows.height, place, picks.order, gain)
        return out.with_columns(coverage=picking.placed(picks.coverage / ONE, place, rows.height))

    def _picks(self, lists: Lists, rows: pl.DataFrame, cost: Longs, budget: int, ctx: Context) -> tuple[Picks, float]:
        """What was picked, and the bound on the value by all similarities."""
        given: dict[str, Any] = {"cost": cost, "budget": budget, "per_cost": self.cost_aware}
        method = self._method(lists.rows, len(lists.neighbours), int(cost.sum()), budget)
        ctx.note("method", method)
        if method == "partitioned":
            parts = self._parts(lists, rows)
            found = lazy_greedy_parts.greedy(lists, parts, **given)
            ctx.note("parts", {"parts": int(parts.max(initial=-1)) + 1, "second_round_rows": found.candidates})
            return found.picks, found.dense_upper
        graph = lazy_greedy.graph_of(lists, np.arange(lists.rows))
        if method == "threshold":
            picks = lazy_greedy.by_threshold(graph, **given, epsilon=self.epsilon)
        elif method == "stochastic":
            lot = rng.keys(np.zeros((1, 2), dtype=np.uint64), seed=0, salt=f"facility_location\0{self.salt}")
            picks = lazy_greedy.by_sampling(graph, **given, epsilon=self.epsilon, seed=int(lot[0]))
        else:
            picks = lazy_greedy.greedy(graph, **given)
        return picks, lazy_greedy.dense_upper_bound(lists, graph, picks.coverage, cost, budget)

    def _method(self, rows: int, entries: int, total: int, budget: int) -> str:
        """The method; `auto` is a function of the rows, their lists and the budget, never of the machine."""
        if self.method != "auto":
            return self.method
        if entries > _LAZY_ENTRIES:
            return "partitioned"
        return "lazy" if budget * rows <= _LAZY_PICKS * total or rows <= _LAZY_PICKS else "threshold"

    def _parts(self, lists: Lists, rows: pl.DataFrame) -> Ints:
        """Part of every row; nulls of the column share one."""
        if self.part:
            parts = rows[self.part].rank("dense").cast(pl.Int32).fill_null(0).to_numpy()
            return np.asarray(parts - parts.min(initial=parts.max(initial=0)), dtype=np.int32)
        num = min(self.num_parts or max(lists.rows // _PART_ROWS, 2), lists.rows)
        keys = rng.keys(rows["doc_id"], seed=0, salt=f"facility_location\0{self.salt}")
        return lazy_greedy_parts.grown(lists, np.sort(np.argsort(keys, kind="stable")[:num]))


def certificate(selection: pl.DataFrame, budget: Budget) -> Certificate:
    """How good a selection is at least, from its columns `kept`, `gain`, `coverage` and the cost column.

    `selection` holds the rows of the selection's population alone. Value and bound are of the graph, in
    documents: similarities that the graph does not list count as 0 in both.
    """
    cost, paid = selections.costs(selection, budget)
    value = float(selection["coverage"].fill_null(0.0).sum())
    open_rows = (~selection["kept"] & selection["gain"].is_not_null()).to_numpy() & paid
    left = selection["gain"].fill_null(0.0).to_numpy()[open_rows]
    upper = lazy_greedy.upper_bound(value, left, cost[open_rows], budget.of(selection.height))
    return Certificate(value=value, upper=upper)


def _note(picks: Picks, dense: float, cost: Longs, budget: int, ctx: Context) -> str:
    """What was reached and what no selection within the budget exceeds; the same as a line."""
    value = float(picks.coverage.astype(np.int64).sum())
    upper = lazy_greedy.upper_bound(value, picks.left.astype(np.float64), cost, budget)
    metrics: dict[str, Any] = picking.certificate_of(value / ONE, upper / ONE)
    metrics |= {"dense_upper": dense / ONE, "dense_ratio": value / dense if dense > 0 else 1.0}
    ctx.note("certificate", metrics)
    ctx.note("evaluations", picks.evaluations)
    ctx.note("cost", {"budget": budget, "spent": int(cost[picks.order].sum()), "kept": len(picks.order)})
    rows = len(picks.coverage)
    if not len(picks.order):
        return ""
    few = "; lists are short for so few: see `method: sampled`" if _FEW * len(picks.order) <= rows else ""
    reached = f"cover {value / ONE / rows:.1%}, at least {metrics['ratio']:.1%} of the best there is"
    return f"{len(picks.order):,} of {rows:,} {reached}{few}"
