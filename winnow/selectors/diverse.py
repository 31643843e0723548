"""Selection for coverage: documents that stand for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core import lazy_greedy, threshold_fold
from winnow.core.budget import Budget
from winnow.core.errors import ConfigError, DataError
from winnow.core.lazy_greedy import Certificate, Longs
from winnow.core.operators import Context, Schema, Whole

ONE = 1 << 22  # `similarities` are in units of 1 / ONE


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Whole):
    """Documents that cover the others best within a budget: `kept`, `weight` 1 or 0, and why.

    The value of a selection is the sum over all candidates of the similarity to the nearest kept document:
    `coverage`, in [0, 1], 1 for kept ones. Documents are taken greedily by the value they add per token (or
    byte, as the budget counts; `cost_aware: false` ignores the cost, and then a few giant documents fill the
    budget, because they resemble much and each counts once). `gain` is the value a kept document added when it
    was taken and the value another one would still add; `rank_selected` counts the kept ones from 0. The
    first document that would overflow the budget ends the selection, so that a smaller budget is a prefix of a
    larger one; documents that add nothing (copies of kept ones) are not taken.

    The graph comes from `knn_graph` (`node`, `neighbors`, `similarities`) over these rows or more of them:
    neighbours that are no candidates are left out. Two documents are joined where either lists the other.
    Documents without a graph row or without a cost are never kept. `certificate` bounds the best possible
    value from these columns.

    Cost: seconds per million rows; `memory_gb`.
    Source: facility location by lazy greedy (Minoux 1978), gain per cost after Leskovec et al. 2007.
    """

    name: ClassVar[str] = "facility_location"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities")

    budget: Budget
    cost_aware: bool = True
    node: str = "node"
    neighbors: str = "neighbors"
    similarities: str = "similarities"

    def needs(self) -> tuple[str, ...]:
        """The graph and, for tokens and bytes, the cost."""
        graph = (self.node, self.neighbors, self.similarities)
        return tuple(dict.fromkeys(("doc_id", *graph, *threshold_fold.cost_columns(self.budget))))

    def outputs(self) -> Schema:
        """Rows that are no candidates: not kept, `gain` and `coverage` null."""
        return {
            **threshold_fold.SELECTION,
            "rank_selected": pa.int32(),
            "gain": pa.float64(),
            "coverage": pa.float64(),
        }

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs or two columns of one name."""
        threshold_fold.check_budget(self.budget)
        names = (self.node, self.neighbors, self.similarities)
        if len(set(names)) < len(names) or "" in names:
            raise ConfigError(f"the graph's columns {list(names)} are not three", where="neighbors")

    def memory_gb(self, rows: int) -> float:
        """Lists of 32: as they come and in both directions."""
        return 0.5 + rows * (32 * (8 + 8 + 16 + 32) + 100) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order.

        Raises: DataError where a list and its similarities differ in length or costs are not whole numbers.
        """
        cost, place = _costs(rows, self.budget, self.node)
        starts, neighbours, similarities = self._lists(rows, place)
        graph = lazy_greedy.symmetric(starts, neighbours, similarities, one=ONE)
        budget = self.budget.of(rows.height)
        picks = lazy_greedy.greedy(graph, cost=cost[place], budget=budget, per_cost=self.cost_aware)
        gain = picks.left
        gain[picks.order] = picks.gains
        rank = np.full(rows.height, -1, dtype=np.int32)
        rank[place[picks.order]] = np.arange(len(picks.order), dtype=np.int32)
        kept = rank >= 0
        return pl.DataFrame(
            {
                "kept": kept,
                "weight": kept.astype(np.float64),
                "rank_selected": pl.Series(rank).set(pl.Series(~kept), None),
                "gain": _placed(gain, place, rows.height),
                "coverage": _placed(picks.coverage, place, rows.height),
            }
        )

    def _lists(self, rows: pl.DataFrame, place: Longs) -> tuple[Longs, Longs, npt.NDArray[np.int32]]:
        """(starts, neighbours as numbers among the candidates or -1, similarities) of the candidates."""
        chosen = rows.select(self.node, self.neighbors, self.similarities)[place]
        sizes = chosen[self.neighbors].list.len().fill_null(0).to_numpy().astype(np.int64)
        other = chosen[self.similarities].list.len().fill_null(0).to_numpy()
        if (sizes != other).any():
            raise DataError(f"{self.neighbors!r} and {self.similarities!r} differ in length", hint="use one graph")
        names = chosen[self.node].to_numpy().astype(np.int64)
        flat = _flat(chosen[self.neighbors]).to_numpy().astype(np.int64)
        number = np.full(max(int(names.max(initial=-1)), int(flat.max(initial=-1))) + 1, -1, dtype=np.int64)
        number[names] = np.arange(len(names))
        if len(names) and int((number >= 0).sum()) != len(names):
            raise DataError(f"{self.node!r} names two rows alike", hint="use the columns of one `knn_graph` stage")
        values = _flat(chosen[self.similarities]).to_numpy().astype(np.int32)
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), number[flat], values


def certificate(selection: pl.DataFrame, budget: Budget) -> Certificate:
    """How good a selection is at least, from its columns `kept`, `gain`, `coverage` and the cost column.

    `selection` holds the rows of the selection's population alone. Value and bound are of the graph, in
    documents: similarities that the graph does not list count as 0 in both.
    """
    cost, _ = _costs(selection, budget, "coverage")
    value = float(selection["coverage"].fill_null(0.0).sum())
    open_rows = (~selection["kept"] & selection["gain"].is_not_null()).to_numpy()
    left = selection["gain"].fill_null(0.0).to_numpy()[open_rows]
    upper = lazy_greedy.upper_bound(value, left, cost[open_rows], budget.of(selection.height))
    return Certificate(value=value, upper=upper)


def _costs(rows: pl.DataFrame, budget: Budget, present: str) -> tuple[Longs, Longs]:
    """(cost of every row, numbers of the rows that have one and a `present`)."""
    values = threshold_fold.cost_of(rows, budget)
    some = rows[present].is_not_null()
    if values is None:
        return np.ones(rows.height, dtype=np.int64), np.flatnonzero(some.to_numpy())
    if not values.dtype.is_integer() or (values.min() or 0) < 0:  # type: ignore[operator]
        raise DataError(f"{values.name!r} is not a whole number of 0 or more everywhere")
    place = np.flatnonzero((some & values.is_not_null()).to_numpy())
    return values.fill_null(0).cast(pl.Int64).to_numpy(), place


def _flat(lists: pl.Series) -> pl.Series:
    """The values of all lists, in order; empty and null lists add nothing."""
    return lists.drop_nulls().explode(empty_as_null=False)


def _placed(values: npt.NDArray[np.generic], place: Longs, height: int) -> pl.Series:
    """The values in units of 1 / ONE at their rows, f64; null elsewhere."""
    out = np.full(height, np.nan)
    out[place] = values.astype(np.float64) / ONE
    return pl.Series(out, nan_to_null=True)
