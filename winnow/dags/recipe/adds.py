"""Which operators add a column: an index from columns to recipe lines, made of the registry when an error needs it.

Columns follow from fields with some operators; the index has what they add with the fields that must be given and the
defaults of the others. What a reader's files, a user's function or `join` add is nobody's to know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator, port_fields
from winnow.core.operators.config import coerce
from winnow.core.operators.field_types import field_types
from winnow.dags.recipe.registry import REGISTRY, operator_class

MOST_LINES = 3
_DECIDING = ("kept", "weight", "matched")  # what a name cannot tell operators apart by
_ROLES = ("signal", "editor", "scorer", "graph", "dedup", "filter", "selector")  # those that measure come first
_VALUES = {"budget": "10%", "by": "COLUMN", "files": '"FILES"', "model": "MODEL"}


@cache
def adding() -> dict[str, tuple[str, ...]]:
    """Column -> operators that add it, those that measure first. Cost: imports every operator, once."""
    out: dict[str, list[str]] = {}
    classes = {name: operator_class(name) for name in REGISTRY}
    for name in sorted(classes, key=lambda n: _ROLES.index(r) if (r := classes[n].role) in _ROLES else len(_ROLES)):
        for column in dict.fromkeys([*added_by(classes[name]), *classes[name].implied_for]):
            if column not in _DECIDING and classes[name].role in _ROLES:
                out.setdefault(column, []).append(name)
    return {column: tuple(names) for column, names in out.items()}


def added_by(cls: type[Operator]) -> dict[str, Any]:
    """Columns and their types, for a stand-in with the required fields filled; empty where there are none."""
    try:
        return dict(stand_in(cls).outputs())
    except Exception:  # noqa: BLE001 (some columns follow from fields that have no stand-in)
        return {}


def lines_that_add(column: str, rows: str, taken: Collection[str]) -> list[str]:
    """Recipe lines, each of which adds the column to the documents of stage `rows`; names in `taken` are not used."""
    return [line_of(name, rows, taken, column) for name in adding().get(column, ())[:MOST_LINES]]


def line_of(operator: str, rows: str, taken: Collection[str], column: str = "") -> str:
    """A recipe line of an operator over the documents of stage `rows`, with what must be given for a column."""
    cls, name = operator_class(operator), operator
    number = 2
    while name in taken:
        name, number = f"{operator}_{number}", number + 1
    ports = port_fields(cls)
    given = [f"use: {operator}", f"inputs: {rows}"]
    for field in dataclasses.fields(cls):
        if is_required(field):
            stand = "STAGE" if ports.get(field.name) == "ref" else _VALUES.get(field.name, field.name.upper())
            given.append(f"{field.name}: {stand}")
    for key, value in cls.implied_fields([column] if column in cls.implied_for else []).items():
        given.append(f"{key}: [{', '.join(value)}]" if isinstance(value, list) else f"{key}: {value}")
    return f"{name}: {{{', '.join(given)}}}"


def hint_of(column: str, lines: Iterable[str]) -> str:
    """The lines as a hint."""
    found = [f"`{line}`" for line in lines]
    if len(found) == 1:
        return f"add above this stage {found[0]}"
    return f"{column!r} is added by one of these lines above this stage: {', '.join(found)}"


def stand_in(cls: type[Operator]) -> Operator:
    """An operator with every required field given some value of its type. Raises where none is found."""
    hints = field_types(cls)
    return cls(**{f.name: _some(hints[f.name], f.name) for f in dataclasses.fields(cls) if is_required(f)})


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a recipe must give the field."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _some(hint: Any, name: str) -> Any:
    for value in ("1 docs", name, 1, 1.0, [name], {name: name}):
        try:
            return coerce(hint, value, where=name)
        except ConfigError:
            continue
    raise ConfigError(f"no value for {name}")
