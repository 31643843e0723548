"""Rows of a finished run by what their columns say: `--where SQL`, and `NAME=VALUE` of one column.

Any column of the rows may be named, of whichever stage, as a recipe would name it. Only the columns that are named are
read; a condition on `text` reads all texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, sql
from winnow.core.operators.sql_truth import check_truth
from winnow.core.store.no_value import frame_without_nan
from winnow.core.store.parts import frame_of, read_columns
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage
from winnow.dags.looking.row_index import Place

Mask = npt.NDArray[np.bool_]
MOST_NAMED = 30


class Condition:
    """A condition over the rows of a row space: SQL with the names of any columns that its stages have."""

    def __init__(self, run: FinishedRun, space: FinishedStage, rule: str, *, where: str = "--where") -> None:
        names = sql.column_names(rule, where=where)
        self.space, self.rule, self.where = space, rule, where
        self.columns = {name: needed_column(run, space, name, where=where) for name in names}
        check_truth(rule, {name: column.type for name, column in self.columns.items()}, where=where)
        short = {name: f"w{number}" for number, name in enumerate(names)}
        self._names, self._expression = short, sql.expression(sql.rename_columns(rule, short), where=where)

    def mask(self, unit: str) -> Mask:
        """Rows of a part for which the condition is true. Raises ConfigError where a value cannot be worked out."""
        places = {self._names[n]: (c.stage.parts[unit], c.name) for n, c in self.columns.items()}
        rows = frame_without_nan(frame_of(read_columns(self.space.store, places)))
        try:
            truth = rows.select(self._expression.alias("truth"))["truth"]
        except pl.exceptions.PolarsError as error:
            what = f"`{self.rule}` cannot be worked out: {str(error).strip().splitlines()[0][:200]}"
            raise ConfigError(what, where=self.where, hint="TRY_CAST gives null where a value does not fit") from error
        found: Mask = truth.cast(pl.Boolean).fill_null(value=False).to_numpy()
        return found

    def places(self, *, most: int) -> Iterator[Place]:
        """The first rows for which the condition is true."""
        left = most
        for unit in self.space.parts:
            rows = np.flatnonzero(self.mask(unit))[:left]
            if len(rows):
                ids = self.space.array("doc_id", unit)
                yield from (Place(unit=unit, row=int(row), doc_id=ids[int(row)].as_py()) for row in rows)
                left -= len(rows)
            if left <= 0:
                return


def column_of(run: FinishedRun, space: FinishedStage, name: str, *, where: str) -> Column | None:
    """The column that a name means among those of a row space and its stages; None where there is none.

    Raises: ConfigError where several stages have it.
    """
    if name in ROW_COLUMNS:
        return Column(stage=space, name=name)
    found = space.find_here(name) or space.find(name, where=where)
    here = found is not None and space.folder in (found.stage.folder, found.stage.space)
    return found if here else None  # what a `write` has read lies beside other rows


def needed_column(run: FinishedRun, space: FinishedStage, name: str, *, where: str) -> Column:
    """The column that a name means. Raises: ConfigError that names the columns there are."""
    found = column_of(run, space, name, where=where)
    if found is None:
        raise no_column(run, [space], name, where=where)
    return found


def no_column(run: FinishedRun, spaces: Sequence[FinishedStage], name: str, *, where: str) -> ConfigError:
    """The error for a name that no stage of these rows has."""
    known = list(dict.fromkeys(n for space in spaces for n in names_of(run, space)))
    near = did_you_mean(name, known)
    near = f"{near}; " if near.startswith("did you mean") else ""
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    hint = f"{near}the rows of {spaces[0].shown} have {', '.join(known[:MOST_NAMED])}{more}"
    return ConfigError(f"no column {name!r}", where=where, hint=hint)


def names_of(run: FinishedRun, space: FinishedStage) -> list[str]:
    """Names of the columns of a row space: those that every row has, then each stage's own, short lists first."""
    beside = [s for s in run.beside(space) if not s.hidden and s.folder != space.folder]
    stages = [space, *sorted(beside, key=lambda s: len(s.outputs))]
    own = [name for stage in stages for name in stage.outputs]
    named = [f"{s.shown}.{n}" if own.count(n) > 1 else n for s in stages for n in s.outputs]
    return [*ROW_COLUMNS, *dict.fromkeys(named)]


def equals(column: Column, name: str, value: str) -> str:
    """SQL for `name` having this value, written as its column's type wants it. Raises ConfigError where it cannot."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        try:
            written = repr(float(value)) if pa.types.is_floating(kind) else str(int(value))
        except ValueError:
            raise ConfigError(f"{name!r} is {kind}, and {value!r} is no such number", where=name) from None
        return f"{sql.quoted(name)} = ({written})" if written.startswith("-") else f"{sql.quoted(name)} = {written}"
    if pa.types.is_boolean(kind):
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"{name!r} is true or false, not {value!r}", where=name)
        return sql.quoted(name) if value.lower() == "true" else f"NOT {sql.quoted(name)}"
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ConfigError(
            f"{name!r} is {kind}: no value can be looked up in it", where=name, hint="name another column"
        )
    text = value.replace("'", "''")
    return f"{sql.quoted(name)} = '{text}'"
