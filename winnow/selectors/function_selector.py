"""`@winnow.selector`: a function from rows and a budget to weights becomes a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ContractError
from winnow.core.numerics import fills, selections
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.core.operators.useranswers import called, numbers, place_of
from winnow.core.operators.usercode import UserFunction, load
from winnow.core.terminal import counted


def selector(name: str, *, needs: tuple[str, ...]) -> Callable[[Callable[..., Any]], UserFunction]:
    """A decorator: `fn(rows: pl.DataFrame, budget: int) -> pl.Series` of weights becomes a selection.

    `rows` holds the `needs` columns of the whole population in ascending doc_id order, in memory (up to about 1e7
    rows). A weight of 0 drops a row; budgets are in units of the stage's `budget:` (tokens, bytes or docs), and the sum
    of weight x unit must stay within.
    """
    return lambda fn: UserFunction(kind="selector", name=name, needs=tuple(needs), fn=fn)


@dataclass(frozen=True, kw_only=True)
class FunctionSelector(Whole):
    """A user's selector function as a stage: `kept` and `weight` per row of the population.

    Source: the user's module
    """

    name: ClassVar[str] = "function_selector"
    version: ClassVar[int] = 2  # 2: reads what the budget counts
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True

    target: str
    columns: tuple[str, ...]
    budget: Budget | None = None

    def needs(self) -> tuple[str, ...]:
        """The columns the function asked for, and what the budget counts."""
        cost = selections.cost_columns(self.budget.unit) if self.budget else ()
        return tuple(dict.fromkeys((*(self.columns or ("doc_id",)), *cost)))

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return {"kept": pa.bool_(), "weight": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs."""
        if self.budget is not None:
            selections.check_budget(self.budget)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Weights from the user's function.

        Raises: ContractError where it fails, where the weights are not one finite number of 0 or more per row, or where
        they come to more than the budget.
        """
        assert ctx.code is not None
        function = load(self.target, ctx.code)
        table = rows.select(self.columns or ("doc_id",))  # a table without columns would have no rows
        budget = self.budget.of(rows.height) if self.budget else None
        arguments = (table,) if budget is None else (table, budget)
        answer = called(function, arguments, target=self.target, folder=ctx.code)
        weight = numbers(answer, function, rows.height, target=self.target)
        self._check(weight, function)
        if self.budget is not None and budget is not None:
            self._count(rows, weight, function, self.budget, budget, ctx)
        return pl.DataFrame({"kept": weight > 0, "weight": weight})

    def _check(self, weight: pl.Series, function: UserFunction) -> None:
        """Raise ContractError for weights that are no weights, with the first of them."""
        wrong = {
            "null": weight.is_null(), "NaN": weight.is_nan(), "infinite": weight.is_infinite(), "negative": weight < 0,
        }  # fmt: skip
        for what, where in wrong.items():
            rows = where.fill_null(value=False).arg_true()
            if len(rows):
                told = f"{counted(len(rows), 'weight')} that {'is' if len(rows) == 1 else 'are'} {what}"
                raise ContractError(
                    f"the selector returned {told} (the first in row {rows[0]:,}; {place_of(function)})",
                    where=self.target, hint="return 0 for rows that are not selected",
                )  # fmt: skip

    def _count(
        self, rows: pl.DataFrame, weight: pl.Series, function: UserFunction, budget: Budget, asked: int, ctx: Context
    ) -> None:
        """Note what the weights fill of the budget. Raises ContractError where it is more than there is."""
        cost, known = selections.costs(rows, budget)
        kept = weight.to_numpy() > 0
        place, unit = place_of(function), fills.unit_of(budget)
        if (kept & ~known).any():
            what = f"the selector keeps {int((kept & ~known).sum()):,} documents without a count of {unit} ({place})"
            raise ContractError(what, where=self.target, hint="return 0 where the count is null")
        spent = float((weight.to_numpy() * cost).sum())
        if spent > asked * (1 + 1e-9):
            what = f"the selector keeps {spent:,.0f} {unit} of a budget of {asked:,} ({place})"
            hint = f"the sum of weight x {unit} of the rows must stay within its argument `budget`"
            raise ContractError(what, where=self.target, hint=hint)
        rest = cost[~kept & known]
        fill = fills.Fill(budget=budget, asked=asked, spent=spent, passed=len(rest), largest=int(rest.max(initial=0)))
        if (rest <= asked - spent).any():
            fill = replace(fill, why=f"{place} took no more, though more would fit")
        ctx.note("budget", asked)
        ctx.note("kept_cost", int(spent))
        fills.note_fill(ctx, fill)
