"""Text columns that decisions read, `language` of a clause or the domain of a quota: top values, kept against all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from winnow.core.operators import ROW_COLUMNS
from winnow.core.store.schema import contiguous
from winnow.dags.looking.finished import Column, FinishedStage

SHOWN = 12  # values of a column
MOST_COLUMNS = 24  # of one row space
MOST_DIFFERENT = 50_000  # values of one column that are counted
MOST_CHARS = 120  # of a value
_TEXT = (pa.types.is_string, pa.types.is_large_string)
_NUMBERS = {"asked": pl.Int64, "kept": pl.Int64}


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value: rows asked about that have it, and those kept; `text` is None for rows without a value."""

    text: str | None
    asked: int
    kept: int


@dataclass(kw_only=True)
class TextColumn:
    """What a decision kept by the values of a text column that it read."""

    stage: FinishedStage
    name: str  # as the stage says it
    column: Column
    different: int = 0
    too_many: bool = False  # more different values than are counted
    top: list[Value] = field(default_factory=list)
    rest: Value | None = None  # all values that are not shown, together
    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"text": pl.String, **_NUMBERS}))

    @property
    def title(self) -> str:
        """`stage: column`."""
        return f"{self.stage.shown}: {self.name}"


def text_columns(units: Sequence[str], decisions: Sequence[FinishedStage]) -> list[TextColumn]:
    """One per decision and text column that it read. Memory: a part, and the counted values."""
    found = [one for view in decisions for one in _read_by(view)][:MOST_COLUMNS]
    for unit in units:
        for one in found:
            if not one.too_many and unit in one.stage.parts and unit in one.column.stage.parts:
                _add(one, unit)
    for one in found:
        _choose(one)
    return [one for one in found if one.different or one.too_many]


def is_text(kind: pa.DataType) -> bool:
    """True for the type of a text column."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(check(inner) for check in _TEXT)


def _read_by(view: FinishedStage) -> Iterator[TextColumn]:
    """The stored text columns that a decision read; not what every row has."""
    named = dict(view.file.columns) if view.file else {}
    for name in named:
        column = view.read_as(name)
        if column is None or not column.stage.complete or column.name in ROW_COLUMNS:
            continue
        kind = column.stage.columns.get(column.name)
        stored = any(r.file_of(column.name) for r in list(column.stage.parts.values())[:1])
        if kind is not None and is_text(kind) and stored:
            yield TextColumn(stage=view, name=name, column=column)


def _add(one: TextColumn, unit: str) -> None:
    """The counts of a part."""
    values = pl.Series("text", contiguous(one.column.part(unit)).cast(pa.large_string())).str.slice(0, MOST_CHARS)
    frame = pl.DataFrame({"text": values, "asked": one.stage.asked(unit), "kept": one.stage.kept(unit)})
    here = frame.filter("asked").select("text", pl.col("asked", "kept").cast(pl.Int64))
    one.frame = pl.concat([one.frame, here]).group_by("text").agg(pl.col("asked", "kept").sum())
    if one.frame.height > MOST_DIFFERENT:
        one.too_many, one.frame = True, one.frame.clear()


def _choose(one: TextColumn) -> None:
    """The values that are shown: the most frequent, equal ones by name; the others together."""
    ordered = one.frame.sort(["asked", "text"], descending=[True, False], nulls_last=True)
    one.different = ordered.height
    one.top = [Value(**row) for row in ordered.head(SHOWN).to_dicts()]
    left = ordered.slice(SHOWN)
    if left.height:
        one.rest = Value(
            text=f"{left.height:,} other values", asked=int(left["asked"].sum()), kept=int(left["kept"].sum())
        )
    one.frame = one.frame.clear()
