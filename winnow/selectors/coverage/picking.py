"""What all greedy selectors share: costs, the columns of a selection, and the graph's lists as arrays."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn, selections
from winnow.core.numerics.selections import costs
from winnow.core.operators import RowAccess, Schema
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import lazy_greedy
from winnow.selectors.coverage.lazy_greedy import Ints, Lists, Longs

Floats: TypeAlias = npt.NDArray[np.float64]

ONE = 1 << 22  # `similarities` are in units of 1 / ONE
DENSE = 1 << 22  # numbers of a graph beyond those of its rows that a table may cover
RANKED: Schema = {**selections.SELECTION, "rank_selected": pa.int32(), "gain": pa.float64()}


def check_names(*names: str) -> None:
    """Raise ConfigError where columns of a graph are not different."""
    if len(set(names)) < len(names) or "" in names:
        raise ConfigError(f"the graph's columns {list(names)} are not {len(names)}", where="neighbors")


def ranked(height: int, place: Longs, order: Longs, gain: Floats) -> pl.DataFrame:
    """`kept`, `weight`, `rank_selected` and `gain` of all rows; `order` and `gain` are of the rows at `place`.

    A NaN in `gain` is a null.
    """
    rank = np.full(height, -1, dtype=np.int32)
    rank[place[order]] = np.arange(len(order), dtype=np.int32)
    kept = rank >= 0
    return pl.DataFrame(
        {
            "kept": kept,
            "weight": kept.astype(np.float64),
            "rank_selected": pl.Series(rank).set(pl.Series(~kept), None),
            "gain": placed(gain, place, height),
        },
        schema_overrides={"gain": pl.Float64},
    )


def placed(values: Floats, place: Longs, height: int) -> pl.Series:
    """The values at their rows, f64; null elsewhere and for NaN."""
    out = np.full(height, np.nan)
    out[place] = values
    return pl.Series(out, nan_to_null=True, dtype=pl.Float64)


def vectors(
    rows: pl.DataFrame, access: RowAccess, column: str, budget: Budget, *, center: bool
) -> tuple[knn.Grid, Longs, Longs]:
    """(vectors, their costs, their rows) of the rows that have a direction and a cost."""
    from winnow.core.numerics import knn_kernels as kernels

    cost, paid = costs(rows, budget)
    grid, some = knn.matrix(rows, access, column)
    some &= paid
    grid, place = grid[: kernels.compact(grid, some)], np.flatnonzero(some)
    if center:
        left = knn.centred(grid, in_place=True).any(axis=1)
        grid, place = grid[: kernels.compact(grid, left)], place[left]
    return grid, cost[place], place


def lists(rows: pl.DataFrame, place: Longs, access: RowAccess, names: tuple[str, str, str]) -> Lists:
    """The lists of the rows at `place`, in their order, as numbers among them; others are -1.

    `names`: node, neighbours, similarities ('' leaves these 0). Lists are read part by part, so that they are in
    memory once.
    Raises: DataError where a list and its similarities differ in length, or a node names two rows.
    """
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    node, neighbors, similarities = names
    number, known = _numbers(rows[node].gather(place).to_numpy().astype(np.int64), node)
    part, row = rows["_part"].to_numpy()[place], rows["_row"].to_numpy()[place]
    parts = {int(p): np.flatnonzero(part == p) for p in np.unique(part)}
    sizes = np.zeros(len(place), dtype=np.int64)
    for p, at in parts.items():
        sizes[at] = np.diff(_part(access, neighbors, p, row[at])[0])
        if similarities and (np.diff(_part(access, similarities, p, row[at])[0]) != sizes[at]).any():
            raise DataError(f"{neighbors!r} and {similarities!r} differ in length", hint="use one graph")
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    to, by = np.empty(starts[-1], dtype=np.int32), np.zeros(starts[-1], dtype=np.int32)
    for p, at in parts.items():
        offsets, ids = _part(access, neighbors, p, row[at])
        values = _part(access, similarities, p, row[at])[1] if similarities else np.zeros(len(ids), dtype=np.int32)
        kernels.copy_lists(at, offsets, ids if known is None else _among(ids, known), values, number, starts, to, by)
    most = kernels.unlisted(starts, to, by, ONE)
    return Lists(starts=starts, neighbours=to, similarities=by, unlisted=most, one=ONE)


def _numbers(own: Longs, node: str) -> tuple[Ints, Longs | None]:
    """Number in the graph -> place among these rows, or -1; and the known numbers, where these are looked up first.

    Memory goes with the rows, not with the largest number: a few rows of a large graph are looked up among themselves.
    Raises: DataError where two rows have one number.
    """
    order = np.argsort(own, kind="stable")
    known = own[order]
    if (np.diff(known) == 0).any():
        raise DataError(f"{node!r} names two rows alike", hint="use the columns of one `knn_graph` stage")
    if not len(own) or known[-1] < 4 * len(own) + DENSE:
        number = np.full(int(own.max(initial=-1)) + 1, -1, dtype=np.int32)
        number[own] = np.arange(len(own), dtype=np.int32)
        return number, None
    return np.append(order, -1).astype(np.int32), known


def _among(ids: Ints, known: Longs) -> Ints:
    """Places of numbers in a graph among the known ones; one behind the last where a number is not known."""
    at = np.searchsorted(known, ids)
    found = known[np.minimum(at, len(known) - 1)] == ids
    return np.where(found, at, len(known)).astype(ids.dtype)


def _part(access: RowAccess, column: str, part: int, rows: npt.NDArray[np.generic]) -> tuple[Longs, Ints]:
    """(offsets, values) of a part's lists at `rows`; a null is an empty list."""
    array = access.column(column, part).take(pa.array(rows))
    kind = array.type
    if not ((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_integer(kind.value_type)):
        raise DataError(f"{column!r} is {kind}, not lists of whole numbers", hint="use the columns of `knn_graph`")
    values = array.flatten()
    if values.null_count:
        raise DataError(f"{column!r} holds lists with nulls", hint="use the columns of one `knn_graph` stage")
    sizes = np.asarray(array.value_lengths().fill_null(0), dtype=np.int64)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), np.asarray(values)


def certificate_of(value: float, upper: float) -> dict[str, float]:
    """A certificate as metrics."""
    certificate = lazy_greedy.Certificate(value=value, upper=upper)
    return {"value": certificate.value, "upper": certificate.upper, "ratio": certificate.ratio}
