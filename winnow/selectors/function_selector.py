"""`@winnow.selector`: a function from rows and a budget to weights becomes a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ContractError
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.core.operators.usercode import UserFunction, load


def selector(name: str, *, needs: tuple[str, ...]) -> Callable[[Callable[..., Any]], UserFunction]:
    """A decorator: `fn(rows: pl.DataFrame, budget: int) -> pl.Series` of weights becomes a selection.

    `rows` holds the `needs` columns of the whole population in ascending doc_id order, in memory (up to about 1e7
    rows). A weight of 0 drops a row; budgets are in units of the stage's `budget:` (tokens, bytes or docs).
    """
    return lambda fn: UserFunction(kind="selector", name=name, needs=tuple(needs), fn=fn)


@dataclass(frozen=True, kw_only=True)
class FunctionSelector(Whole):
    """A user's selector function as a stage: `kept` and `weight` per row of the population.

    Source: the user's module
    """

    name: ClassVar[str] = "function_selector"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True

    target: str
    columns: tuple[str, ...]
    budget: Budget | None = None

    def needs(self) -> tuple[str, ...]:
        """The columns the function asked for."""
        return self.columns

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return {"kept": pa.bool_(), "weight": pa.float64()}

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Weights from the user's function. Raises ContractError where they are not one finite weight >= 0 per row."""
        assert ctx.code is not None
        function = load(self.target, ctx.code)
        table = rows.select(self.columns)
        answer = function.fn(table, self.budget.of(rows.height)) if self.budget else function.fn(table)
        weight = _numbers(answer, self.target)
        if len(weight) != rows.height:
            what = f"the selector returned {len(weight)} weights for {rows.height} rows"
            raise ContractError(what, where=self.target)
        values = weight.to_numpy()
        if weight.null_count() or not np.isfinite(values).all() or (values < 0).any():
            raise ContractError(
                "the selector returned a weight that is null, NaN, infinite or negative",
                where=self.target, hint="return 0 for rows that are not selected",
            )  # fmt: skip
        return pl.DataFrame({"kept": weight > 0, "weight": weight})


def _numbers(answer: Any, target: str) -> pl.Series:
    """The answer as f64. Raises ContractError where it is no series of numbers."""
    try:
        weight = pl.Series(answer)
        if not (weight.dtype.is_numeric() or weight.dtype in (pl.Boolean, pl.Null)):
            raise TypeError(f"{weight.dtype}")
        return weight.cast(pl.Float64)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        what = f"the selector returned {type(answer).__name__}, not numbers: {error}"
        raise ContractError(what, where=target, hint="return one weight per row, as a pl.Series") from error
