"""`@winnow.scorer`: a function from text to numbers becomes a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, ContractError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.usercode import UserFunction, load


def scorer(name: str, *, needs: tuple[str, ...] = ("text",)) -> Callable[[Callable[..., Any]], UserFunction]:
    """A decorator: `fn(series, ...) -> pl.Series` of the same length becomes the score column `name`.

    `needs` names the columns handed over, one pl.Series each, in order. Numbers come out as float64; null means
    "no score". Its identity is the syntax tree of its module and of the modules beside it that it imports.
    """
    if not name.isidentifier():
        raise ConfigError(f"a score column needs a plain name, not {name!r}")
    return lambda fn: UserFunction(kind="scorer", name=name, needs=tuple(needs), fn=fn)


@dataclass(frozen=True, kw_only=True)
class FunctionScorer(Map):
    """A user's scorer function as a stage: one float64 column.

    Source: the user's module
    """

    name: ClassVar[str] = "function_scorer"
    role: ClassVar[str] = "scorer"

    target: str
    column: str
    columns: tuple[str, ...] = ("text",)

    def needs(self) -> tuple[str, ...]:
        """The columns the function asked for."""
        return self.columns

    def outputs(self) -> Schema:
        """The score column."""
        return {self.column: pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> score column. Raises ContractError where the function does not answer row for row."""
        assert ctx.code is not None
        function = load(self.target, ctx.code)

        def score(rows: pl.DataFrame) -> pl.DataFrame:
            answer = function.fn(*(rows[name] for name in self.columns))
            if not isinstance(answer, pl.Series):
                answer = pl.Series(answer)
            if len(answer) != rows.height:
                raise ContractError(
                    f"scorer {self.column!r} returned {len(answer)} values for {rows.height} rows",
                    where=self.target, hint="return one value per row; null where there is none",
                )  # fmt: skip
            return pl.DataFrame({self.column: answer.cast(pl.Float64)})

        return score
