"""Selection for coverage: documents that stand for the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import fills, knn, rng, selections
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.core.operators.effect import ReadAt
from winnow.core.terminal import percent
from winnow.selectors.coverage import dense_check, lazy_greedy, lazy_greedy_parts, picking, sampled_demand
from winnow.selectors.coverage.lazy_greedy import Certificate, Demand, Ints, Lists, Longs, Picks
from winnow.selectors.coverage.picking import ONE

_LAZY_ENTRIES, _LAZY_PICKS = 320_000_000, 1_000_000
_PART_ROWS = 500_000
_BY_VECTORS = ("auto", "sampled")
_BY_LISTS = ("lazy", "threshold", "stochastic", "partitioned")
_ASKED_PER_PICK = 40  # documents that ask per first pick: more picks would fit the sample and not the pool
_FEW = 500  # rows per pick from which lists of neighbours are too short


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Whole):
    """Documents that cover the others best within a budget: `kept`, `weight` 1 or 0, and why.

    The value of a selection is the sum over all candidates of the similarity to the nearest kept document:
    `coverage`, in [0, 1], 1 for kept ones. Every document asks for as much as the budget counts it (`demand_by:
    docs`: for one, and then short documents come first, because many of them cost little and each stands at least
    for itself). Documents are taken greedily by the value they add per token (or byte; `cost_aware: false` ignores
    the cost, and then a few giant documents fill the budget). `gain` is the value a kept document added when it
    was taken and the value another one would still add; `rank_selected` counts the kept ones from 0. What
    does not fit is passed over (docs/concepts.md), and up to there a smaller budget is a prefix of a larger one;
    documents that add nothing are not taken (copies of kept ones add what rounding leaves, and come last).

    `method`: `auto` makes the first picks (one per 40 of `demand` documents drawn by doc_id) by all similarities to
    these, and goes on along the graph's lists, from what the first picks cover: a pair that no list names is then
    worth what the nearest of them gives, and not nothing. Up to `demand` documents all pairs count. The others know
    the lists alone: `lazy` picks what greedy picks. `threshold` takes what is within 1 - `epsilon` of the best, in
    half the time. `stochastic` takes the best of a sample for each pick (`salt`: another one; no prefixes).
    `partitioned` picks inside parts first, then among what the parts picked, and needs 8 bytes per list entry
    instead of 24: parts are the values of column `part`, or `num_parts` cells grown along the graph. Along the lists
    `auto` is `lazy` up to 320M list entries, 20M rows of 16 (`threshold` above 1M rows and picks to expect),
    `partitioned` beyond: whatever the machine has. `sampled` needs no graph: greedy for `demand` documents, by all
    their similarities, to the end.

    Similarities of `auto` and `sampled` are cosines of `vectors` as they are, those of the others the graph's. The
    metric `dense` says what is covered by all pairs, on documents that had no say: by the selection, by random
    documents under the same budget and of the same lengths, and by greedy selection for them alone.

    The graph comes from `knn_graph` (`node`, `neighbors`, `similarities`) over these rows or more of them:
    neighbours that are no candidates are left out. Two documents are joined where either lists the other.
    Documents without a graph row or without a cost are never kept. The metric `certificate` bounds the best
    possible value: as the method counts it (`upper`; of `auto`: first picks and lists), and, for the lists alone where
    they hold the true nearest rows, of all similarities (`dense_upper`). Values are in documents of mean cost.

    Cost: seconds per million rows; `auto` also rows * (picks + 50) * dim / 50,000 and more multiply-adds for each of
    50 first and 1,000 held-out documents; `memory_gb`.
    Source: facility location by lazy greedy (Minoux 1978), gain per cost after Leskovec et al. 2007, levels
    after Badanidiyuru, Vondrak 2014, samples after Mirzasoleiman et al. 2015, two rounds after the same 2013.
    """

    name: ClassVar[str] = "facility_location"
    version: ClassVar[int] = 3  # 3: `auto` begins by all pairs, costs ask, and what does not fit is passed over
    less_memory: ClassVar[str] = "`method: partitioned`, or a smaller `k` of `knn_graph` (`dim` of `sampled`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("rank_selected", "gain", "coverage")
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities", "part", "vectors")
    read_at: ClassVar[ReadAt] = {
        "epsilon": ("method", ("threshold", "stochastic", "auto")),
        "demand": ("method", _BY_VECTORS),
        "vectors": ("method", _BY_VECTORS),
        "node": ("method", ("auto", *_BY_LISTS)),
        "neighbors": ("method", ("auto", *_BY_LISTS)),
        "similarities": ("method", _BY_LISTS),
    }

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
    demand: int = 2000  # documents that ask, for `auto` and `sampled`
    demand_by: Literal["budget", "docs"] = "budget"  # what a document asks for: what it costs, or one
    vectors: str = "vector"  # for `auto` and `sampled`

    def needs(self) -> tuple[str, ...]:
        """The graph's numbers, for tokens and bytes the cost, and lengths to compare."""
        own = [] if self.method == "sampled" else [self.node]
        length = ["text_bytes"] if self.method in _BY_VECTORS and self.budget.unit != "tokens" else []
        parts = [self.part] if self.part else []
        return selections.columns_of(*own, *parts, *selections.cost_columns(self.budget.unit), *length)

    def looks_up(self) -> tuple[str, ...]:
        """The graph's lists, or the vectors, or both, memory-mapped."""
        if self.method == "sampled":
            return (self.vectors,)
        return (self.neighbors, self.vectors if self.method == "auto" else self.similarities)

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
        """Lists one way, in both directions and as they are read; in parts one way and read; vectors twice."""
        if self.method == "sampled":
            return 0.35 + rows * (200 + 2 * width) / 1e9
        if self.method == "auto":
            return 0.45 + rows * (450 + 2.5 * width) / 1e9
        return 0.35 + rows * (370 + 1.5 * width if self.method == "partitioned" else 330 + 3 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where a list and its similarities differ in length or costs are not whole numbers.
        """
        budget = self.budget.of(rows.height)
        if self.method in _BY_VECTORS:
            return self._by_vectors(rows, budget, ctx)
        cost, paid = selections.costs(rows, self.budget)
        place = np.flatnonzero(paid & rows[self.node].is_not_null().to_numpy())
        lists = picking.lists(rows, place, ctx.rows(), (self.node, self.neighbors, self.similarities))
        task = Task(cost=cost[place], budget=budget, per_cost=self.cost_aware, demand=self._demand(cost[place]))
        ctx.note("method", self.method)
        picks, dense_upper = self._along(self.method, lists, rows[place], task, ctx)
        line = _note(picks, dense_upper, task, ctx)
        fills.note_picks(ctx, self.budget, budget, task.cost, picks.order)
        selections.note_summary(ctx, rows.height, len(place), "a row in the graph or a cost", line)
        return _frame(rows.height, place, picks, task.scale)

    def _by_vectors(self, rows: pl.DataFrame, budget: int, ctx: Context) -> pl.DataFrame:
        """The selection by all similarities to some documents, to the end or for its first picks."""
        grid, cost, place = picking.vectors(rows, ctx.rows(), self.vectors, self.budget, center=False)
        if self.method == "auto":
            some = rows[self.node].gather(place).is_not_null().to_numpy()
            grid, cost, place = grid[some] if not some.all() else grid, cost[some], place[some]
        task = Task(cost=cost, budget=budget, per_cost=self.cost_aware, demand=self._demand(cost))
        pool = self._pool(rows, place, grid, task)
        lots = pool.lots("")
        asked, known = np.sort(lots[: self.demand]), len(lots) <= self.demand
        ctx.note("demand", len(asked))
        if self.method == "sampled" or known:
            picks, scale = self._to_the_end(grid, asked, task, ctx)
        else:
            picks, scale = self._begun(rows, place, grid, asked, lots, task, ctx), task.scale
        held = asked if known else np.sort(lots[-dense_check.HELD_OUT :])
        found = dense_check.check(pool, picks.order, held, budget=budget, per_cost=task.per_cost, known=known)
        dense_check.tell(found, pool, picks.order, ctx)
        fills.note_picks(ctx, self.budget, budget, cost, picks.order)
        lacks = "a vector or a cost" if self.method == "sampled" else "a row in the graph or a cost"
        line = f"{len(picks.order):,} of {len(place):,} {found.line}" if len(picks.order) else ""
        selections.note_summary(ctx, rows.height, len(place), lacks, line)
        return _frame(rows.height, place, picks, scale)

    def _to_the_end(self, grid: knn.Grid, asked: Longs, task: Task, ctx: Context) -> tuple[Picks, float]:
        """All picks by all similarities to the documents that ask, and documents of mean cost in a unit of a gain."""
        weight = task.demand.weight
        found = sampled_demand.greedy(
            grid, asked, cost=task.cost, budget=task.budget, per_cost=task.per_cost, weight=weight
        )
        whole, of = (int(weight.astype(np.int64).sum()), int(weight[asked].astype(np.int64).sum())) \
            if len(weight) else (len(grid), len(asked))  # fmt: skip
        scale = task.scale * (whole / of if of else 1.0)
        ctx.note("method", "dense" if len(asked) == len(grid) and self.method == "auto" else "sampled")
        ctx.note("evaluations", found.evaluations)
        ctx.note("value", task.demand.total(found.coverage) * task.scale)
        ctx.note("certificate", picking.certificate_of(found.value * scale, found.upper * scale))
        gains, evaluations = found.gains, found.evaluations
        picks = Picks(order=found.order, gains=gains, coverage=found.coverage, left=found.left, evaluations=evaluations)
        return picks, scale

    def _begun(
        self, rows: pl.DataFrame, place: Longs, grid: knn.Grid, asked: Longs, lots: Longs, task: Task, ctx: Context
    ) -> Picks:
        """The first picks by all similarities, the others along the lists from what these cover."""
        from winnow.selectors.coverage import vector_kernels as kernels

        some = np.sort(lots[: dense_check.CANDIDATES])
        first = sampled_demand.start(
            grid, asked, some, cost=task.cost, budget=task.budget, per_cost=task.per_cost,
            weight=task.demand.weight, most=max(len(asked) // _ASKED_PER_PICK, 1),
        )  # fmt: skip
        bare = picking.lists(rows, place, ctx.rows(), (self.node, self.neighbors, ""))
        kernels.similarities_of_lists(grid, bare.starts, bare.neighbours, np.int32(ONE), bare.similarities)
        spent = int(task.cost[first.order].sum())
        demand = replace(task.demand, start=first.coverage)
        rest = replace(task, budget=0 if first.full else task.budget - spent, demand=demand)
        method = self._method(bare.rows, len(bare.neighbours), int(task.cost.sum()), task.budget)
        ctx.note("method", f"dense start, {method}")
        ctx.note("first_picks", len(first.order))
        more, _ = self._along(method, bare, rows[place], rest, ctx)
        picks = replace(
            more,
            order=np.concatenate([first.order, more.order]),
            gains=np.concatenate([first.gains, more.gains]),
            evaluations=more.evaluations + first.evaluations,
        )
        _note(picks, 0.0, task, ctx)
        return picks

    def _along(self, method: str, lists: Lists, rows: pl.DataFrame, task: Task, ctx: Context) -> tuple[Picks, float]:
        """What is picked along the lists, and the bound on the value by all similarities."""
        given = task.given
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
        if len(task.demand.start):
            return picks, 0.0  # lists of other similarities bound nothing
        cost, budget, demand = task.cost, task.budget, task.demand
        return picks, lazy_greedy.dense_upper_bound(lists, graph, picks.coverage, cost, budget, demand)

    def _method(self, rows: int, entries: int, total: int, budget: int) -> str:
        """How `auto` goes along the lists: a function of the rows, their lists and the budget, never of the machine."""
        if entries > _LAZY_ENTRIES:
            return "partitioned"
        return "lazy" if budget * rows <= _LAZY_PICKS * total or rows <= _LAZY_PICKS else "threshold"

    def _demand(self, cost: Longs) -> Demand:
        """What every candidate asks for, as whole numbers whose sum stays far below 2^62 / ONE."""
        if self.budget.unit not in ("tokens", "bytes") or self.demand_by == "docs" or not len(cost):
            return Demand()
        shift = max(int(cost.sum()).bit_length() - 39, int(cost.max()).bit_length() - 31, 0)
        return Demand(weight=np.where(cost > 0, np.maximum(cost >> shift, 1), 0).astype(np.int32))

    def _pool(self, rows: pl.DataFrame, place: Longs, grid: knn.Grid, task: Task) -> dense_check.Pool:
        """The candidates, for what is said of the selection."""
        unit = "tokens" if self.budget.unit == "tokens" else "bytes"
        length = task.cost if unit == "tokens" else rows["text_bytes"].gather(place).fill_null(0).to_numpy()
        return dense_check.Pool(
            grid=grid, cost=task.cost, weight=task.demand.weight, length=length, unit=unit,
            doc_id=rows["doc_id"].gather(place), salt=self.salt,
        )  # fmt: skip

    def _parts(self, lists: Lists, rows: pl.DataFrame) -> Ints:
        """Part of every row; nulls of the column share one."""
        if self.part:
            parts = rows[self.part].rank("dense").cast(pl.Int32).fill_null(0).to_numpy()
            return np.asarray(parts - parts.min(initial=parts.max(initial=0)), dtype=np.int32)
        num = min(self.num_parts or max(lists.rows // _PART_ROWS, 2), lists.rows)
        keys = rng.keys(rows["doc_id"], seed=0, salt=f"facility_location\0{self.salt}")
        return lazy_greedy_parts.grown(lists, np.sort(np.argsort(keys, kind="stable")[:num]))


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done: costs, the budget, by which key, for whom."""

    cost: Longs
    budget: int
    per_cost: bool
    demand: Demand

    @property
    def given(self) -> dict[str, Any]:
        """What every search takes."""
        return {"cost": self.cost, "budget": self.budget, "per_cost": self.per_cost, "demand": self.demand}

    @property
    def scale(self) -> float:
        """Documents of mean cost in a unit of value: 1 / ONE where each asks once."""
        total = int(self.demand.weight.astype(np.int64).sum())
        return len(self.cost) / total / ONE if total else 1 / ONE


def certificate(
    selection: pl.DataFrame, budget: Budget, demand_by: Literal["budget", "docs"] = "budget"
) -> Certificate:
    """How good a selection is at least, from its columns `kept`, `gain`, `coverage` and the cost column.

    `selection` holds the rows of the selection's population alone. Value and bound are as the selection counted them
    (`demand_by: budget`), in documents of mean cost.
    """
    cost, paid = selections.costs(selection, budget)
    some = paid & selection["coverage"].is_not_null().to_numpy()
    asks = np.where(some, cost if demand_by == "budget" else 1, 0)
    scale = int(some.sum()) / int(asks.sum()) if asks.sum() else 0.0
    value = float((selection["coverage"].fill_null(0.0).to_numpy() * asks).sum() * scale)
    open_rows = (~selection["kept"] & selection["gain"].is_not_null()).to_numpy() & paid
    left = selection["gain"].fill_null(0.0).to_numpy()[open_rows]
    upper = lazy_greedy.upper_bound(value, left, cost[open_rows], budget.of(selection.height))
    return Certificate(value=value, upper=upper)


def _frame(height: int, place: Longs, picks: Picks, scale: float) -> pl.DataFrame:
    """The operator's columns."""
    gain = np.asarray(picks.left, dtype=np.float64)
    gain[picks.order] = picks.gains
    out = picking.ranked(height, place, picks.order, gain * scale)
    return out.with_columns(coverage=picking.placed(picks.coverage / ONE, place, height))


def _note(picks: Picks, dense: float, task: Task, ctx: Context) -> str:
    """What was reached and what no selection within the budget exceeds; the same as a line."""
    value = float(task.demand.total(picks.coverage))
    upper = lazy_greedy.upper_bound(value, picks.left.astype(np.float64), task.cost, task.budget)
    metrics: dict[str, Any] = picking.certificate_of(value * task.scale, upper * task.scale)
    if dense:
        metrics |= {"dense_upper": dense * task.scale, "dense_ratio": value / dense}
    ctx.note("certificate", metrics)
    ctx.note("evaluations", picks.evaluations)
    rows = len(picks.coverage)
    if not len(picks.order):
        return ""
    few = "; lists are short for so few: see `method: auto`" if _FEW * len(picks.order) <= rows else ""
    reached = f"cover {percent(value * task.scale / rows)}, at least {percent(metrics['ratio'])} of the best there is"
    return f"{len(picks.order):,} of {rows:,} {reached}{few}"
