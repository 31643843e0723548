"""What operators that keep documents share: columns, costs, verdicts of earlier ones, and a line on what came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import costs as costs_in
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget

SELECTION: dict[str, pa.DataType] = {"kept": pa.bool_(), "weight": pa.float64()}
Counted = Literal["tokens", "bytes", "docs"]
_COST = {"tokens": "token_count", "bytes": "text_bytes"}


def by_weight(weight: np.ndarray) -> pl.DataFrame:
    """`kept` (weight above 0) and `weight`."""
    return pl.DataFrame({"kept": weight > 0, "weight": weight.astype(np.float64)})


def check_budget(budget: Budget) -> None:
    """Raise ConfigError where a selection cannot count the budget's unit."""
    if budget.unit == "epochs":
        raise ConfigError(
            f"a selection cannot take {budget}", where="budget", hint="give tokens, bytes, docs or a share"
        )


def columns_of(*names: str) -> tuple[str, ...]:
    """The names, each once; doc_id first."""
    return tuple(dict.fromkeys(("doc_id", *names)))


def cost_columns(unit: str) -> tuple[str, ...]:
    """The column that holds a document's cost in tokens or bytes; none where every document costs 1."""
    return (_COST[unit],) if unit in _COST else ()


def cost_of(rows: pl.DataFrame, unit: str) -> pl.Series | None:
    """The cost column; None where every document costs 1.

    Raises: DataError where a document costs more than any can.
    """
    if unit not in _COST:
        return None
    return costs_in.checked(rows[_COST[unit]], rows["doc_id"] if "doc_id" in rows.columns else None)


def costs(rows: pl.DataFrame, budget: Budget) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(cost of every row, 1 where the budget counts documents; rows that have one).

    Raises: DataError where a cost is negative, not whole, or more than any document has.
    """
    values = cost_of(rows, budget.unit)
    if values is None:
        return np.ones(rows.height, dtype=np.int64), np.ones(rows.height, dtype=np.bool_)
    if not values.dtype.is_integer() or (values.min() or 0) < 0:  # type: ignore[operator]
        raise DataError(f"{values.name!r} is not a whole number of 0 or more everywhere")
    units = values.fill_null(0).cast(pl.Int64).to_numpy()
    costs_in.total(units, repr(values.name))
    return units, values.is_not_null().to_numpy()


def note_summary(ctx: Context, rows: int, candidates: int, missing: str, line: str = "") -> None:
    """Note `excluded`, and as `summary` the line and who is no candidate.

    `missing`: what a document lacks that is no candidate, as "a vector or a cost".
    """
    ctx.note("excluded", rows - candidates)
    gone = f"{rows - candidates:,} of {rows:,} documents without {missing}" if rows > candidates else ""
    text = "; ".join(filter(None, [line, gone]))
    if text:
        ctx.note("summary", text)


def check_selections(names: Sequence[str], *, least: int) -> None:
    """Raise ConfigError for fewer than `least` columns, or one named twice."""
    if len(names) < least or len(set(names)) < len(names) or "" in names:
        raise ConfigError(f"{list(names)} are not {least} or more different selections", where="of",
                          hint="name their verdicts: `kept_best`")  # fmt: skip


def verdicts(column: pl.Series) -> npt.NDArray[np.bool_]:
    """True for kept rows, bool[rows]; null is not kept. Raises DataError where the column is no truth value."""
    if column.dtype != pl.Boolean:
        raise DataError(f"{column.name!r} is {column.dtype}, expected true or false", hint="name a `kept` column")
    kept: npt.NDArray[np.bool_] = column.fill_null(value=False).to_numpy()
    return kept
