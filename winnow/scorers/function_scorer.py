"""`@winnow.scorer`: a function from text to numbers becomes a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, ContractError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.useranswers import numbers, one_by_one, place_of, takes_one_document
from winnow.core.operators.usercode import UserFunction, load


def scorer(
    name: str, *, needs: tuple[str, ...] = ("text",), per_document: bool = False
) -> Callable[[Callable[..., Any]], UserFunction]:
    """A decorator: `fn(series, ...) -> pl.Series` of the same length becomes the score column `name`.

    `needs` names the columns handed over, one pl.Series each, in order. Numbers come out as float64; null means "no
    score". With `per_document=True` the function is called once per document, `fn(text: str, ...)`, and returns one
    number, or None; a null among its values is no score. Its identity is the syntax tree of its module and of the
    modules beside it that it imports.
    """
    if not name.isidentifier():
        raise ConfigError(f"a score column needs a plain name, not {name!r}")
    return lambda fn: UserFunction(kind="scorer", name=name, needs=tuple(needs), fn=fn, per_document=per_document)


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
            columns = [rows[name] for name in self.columns]
            if function.per_document:
                values = pl.Series(one_by_one(function, columns), dtype=pl.Float64)
            else:
                values = self._of_series(function, columns, rows.height)
            return pl.DataFrame({self.column: values})

        return score

    def _of_series(self, function: UserFunction, columns: list[pl.Series], rows: int) -> pl.Series:
        """The answer to series. Raises ContractError where the function was written for one document."""
        try:
            return numbers(function.fn(*columns), function, rows, target=self.target)
        except Exception as error:
            if not takes_one_document(function, columns):
                raise
            what = (
                f"scorer {self.column!r} takes the values of one document, and is given a Series ({place_of(function)})"
            )
            hint = f"@winnow.scorer({function.name!r}, per_document=True) calls it once per document"
            raise ContractError(what, where=self.target, hint=hint) from error
