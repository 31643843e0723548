"""What a column's name means: the one rule, for plans and for finished runs.

A column is `column`, `stage.column` or `stage_column`; a stage's verdict is `kept_stage` as well, and a bare stage name
means its only column. Names that say the stage come before those that do not. A name that could be any of
several columns is an error that lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.core.store.schema import STATE


class NamedStage(Protocol):
    """What the rule has to know of a stage."""

    @property
    def spoken(self) -> str:
        """The stage's name as a person writes it."""

    @property
    def kind(self) -> Kind:
        """What the stage leaves on disk."""

    @property
    def outputs(self) -> Mapping[str, pa.DataType]:
        """Columns that it adds."""


S = TypeVar("S", bound=NamedStage)


def spellings(stage: NamedStage) -> dict[str, str]:
    """Every name that says the stage and means a column of it -> column on disk."""
    if stage.kind not in (Kind.ROWS, Kind.COLUMNS):
        return {}
    columns = [*stage.outputs, STATE] if stage.kind is Kind.COLUMNS else [*ROW_COLUMNS, *stage.outputs]
    out = {}
    for column in columns:
        out[f"{stage.spoken}.{column}"] = column
        out[f"{stage.spoken}_{column}"] = column
    if "kept" in stage.outputs:
        out[f"kept_{stage.spoken}"] = "kept"
    if stage.kind is Kind.COLUMNS and len(stage.outputs) == 1:
        out[stage.spoken] = next(iter(stage.outputs))
    return out


def find_column(
    name: str, nearest_first: Iterable[Sequence[S]], *, where: str, same: Callable[[S], Hashable] = id
) -> tuple[S, str] | None:
    """(stage, column on disk) that a name means; None where no stage has it.

    Of several groups of stages the first that has the name decides. `same` tells stages apart.
    Raises: ConfigError where a group has several columns of that name.
    """
    for stages in nearest_first:
        outright = [(s, spelled[name]) for s in stages if name in (spelled := spellings(s))]
        bare = [(s, name) for s in stages if name in s.outputs and s.kind in (Kind.ROWS, Kind.COLUMNS)]
        for found in (outright, bare):
            distinct = {(same(s), column): (s, column) for s, column in reversed(found)}
            if len(distinct) > 1:
                options = ", ".join(f"{s.spoken}.{column}" for s, column in reversed(distinct.values()))
                raise ConfigError(f"column {name!r} could be any of {options}", where=where, hint="name one of them")
            if distinct:
                return next(iter(distinct.values()))
    return None
