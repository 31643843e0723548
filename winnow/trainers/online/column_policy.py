"""Policies that need a value per document: a score, a loss under another model, a group.

    class Rwr(ColumnPolicy):
        columns_from: ClassVar[tuple[str, ...]] = ("score",)
        score: str  # SQL

        def numbers(self) -> Mapping[str, str]:
            return {"score": self.score}

The stage makes the columns once, row-aligned; a run reads them by these names: `told.column("score")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import row_ranks
from winnow.core.operators import Columns, Context, Map, Schema, sql
from winnow.trainers.online.policy import Policy

_ROWS = "winnow_row"  # keeps the height where an expression is the same for all rows
NOTHING = "reads_nothing"  # the column of a stage whose fields name none: a frame without columns has no rows


@dataclass(frozen=True, kw_only=True)
class ColumnPolicy(Policy, Map):
    """A policy with columns. Names of output columns are those of the fields that they come from."""

    role: ClassVar[str] = "policy"

    def numbers(self) -> Mapping[str, str]:
        """Output column f64 -> SQL over columns, as in `where:`; null where it has no value."""
        return {}

    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Output column of text -> the columns whose values name a document's group, joined by " | "."""
        return {}

    def lists(self) -> Mapping[str, str]:
        """Output column of f64 lists -> a column of lists of numbers."""
        return {}

    def needs(self) -> tuple[str, ...]:
        """The columns that the fields name."""
        named = [name for text in self.numbers().values() for name in sql.column_names(text)]
        grouped = [name for names in self.labels().values() for name in names]
        return tuple(dict.fromkeys([*named, *grouped, *self.lists().values()]))

    def outputs(self) -> Schema:
        """One column for each of `numbers`, `labels` and `lists`; without any `reads_nothing`, which is true."""
        named = {
            **dict.fromkeys(self.numbers(), pa.float64()),
            **dict.fromkeys(self.labels(), pa.large_string()),
            **dict.fromkeys(self.lists(), pa.large_list(pa.float64())),
        }
        return named or {NOTHING: pa.bool_()}

    def columns_read(self) -> tuple[str, ...]:
        """The columns that the fields name, by the names of the stage's own."""
        return tuple(name for name in self.outputs() if name != NOTHING)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where SQL gives no number, or a list has none."""
        known = pa.schema([(name, types[name]) for name in self.needs() if name in types])
        if len(known) < len(self.needs()):
            return  # a type is known when its file is read
        empty = pl.from_arrow(known.empty_table())
        assert isinstance(empty, pl.DataFrame)
        for field, text in self.numbers().items():
            kind = _kind_of(empty, text, where=field)
            if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
                raise ConfigError(f"`{text}` gives {kind}, not a number", where=field, hint="name a column of numbers")
        for field, name in self.lists().items():
            kind = empty.schema[name]
            if not (isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()):  # type: ignore[union-attr]
                raise ConfigError(f"{name!r} is {kind}, not lists of numbers", where=field)

    def open(self, ctx: Context) -> Columns:
        """Batch -> the columns; SQL by the rules of `where:`, NaN as null."""
        numbers = [sql.expression(text, where=name).cast(pl.Float64).alias(name)
                   for name, text in self.numbers().items()]  # fmt: skip
        lists = [pl.col(name).cast(pl.List(pl.Float64)).alias(field) for field, name in self.lists().items()]

        def answer(rows: pl.DataFrame) -> pl.DataFrame:
            whole = rows.with_row_index(_ROWS).with_columns(pl.lit(value=True).alias(NOTHING))
            out = whole.select(_ROWS, *numbers, *lists, NOTHING).drop(_ROWS)
            for field, names in self.labels().items():
                found = row_ranks.labels(rows, names)
                assert found is not None, "a label is of one column or more"
                out = out.with_columns(found.alias(field))
            return out.select(list(self.outputs())).with_columns(pl.col(pl.Float64).fill_nan(None))

        return answer


def _kind_of(empty: pl.DataFrame, text: str, *, where: str) -> pl.DataType:
    try:
        return empty.select(sql.expression(text, where=where)).dtypes[0]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        problem = str(error).strip().splitlines()[0]
        raise ConfigError(f"`{text}` cannot be worked out: {problem}", where=where) from error
