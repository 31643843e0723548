"""A selector with another budget, decided again over the rows that a run offered it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Context, Fold, port_fields
from winnow.core.operators.config import build, dump
from winnow.dags.looking.finished import FinishedStage, Mask
from winnow.testing.in_memory import fold_state

_NUMBER = re.compile(r"\d[\d_]*(?:\.\d+)?")


def variants(
    view: FinishedStage, field: str, texts: Sequence[tuple[str | None, str]]
) -> tuple[str, list[tuple[str, Fold]]]:
    """The field as the run has it, and (value, operator) for every (number, values) of a variation.

    Raises: ConfigError for a field that the operator has not, that names columns or stages, or a value it refuses.
    """
    operator = view.operator
    assert isinstance(operator, Fold)
    config = {k: v for k, v in dump(operator).items() if v is not None}
    fixed = {*port_fields(operator), *operator.columns_from}
    if field not in config or field in fixed:
        hint = did_you_mean(field, set(config) - fixed)
        raise ConfigError(f"{view.shown!r} has no field {field!r} that can vary", where="--vary", hint=hint)
    own = str(config[field])
    values = [_value(own, number, v.strip()) for number, text in texts for v in text.split(",")]
    cls: Any = type(operator)
    made = [(v, build(cls, {**config, field: _typed(config[field], v)}, where=f"--vary {view.shown}")) for v in values]
    return own, made


def verdicts_of(
    view: FinishedStage, operator: Fold, offered: Mapping[str, tuple[Mask, pl.DataFrame]]
) -> dict[str, Mask]:
    """Unit -> rows that the operator keeps, of (rows the run asked about, their columns) per unit."""
    assert view.file is not None
    context = Context(seed=view.file.seed, work=Path())  # a Fold that selects writes no files and reads no references
    state = fold_state(operator, [rows for _, rows in offered.values()], context)
    out = {}
    for unit, (asked, rows) in offered.items():
        kept = operator.decide(rows.select(operator.needs()), state, context)["kept"].fill_null(value=False)
        out[unit] = asked.copy()
        out[unit][asked] = kept.to_numpy()
    return out


def _value(own: str, number: str | None, text: str) -> str:
    """The new text of a field; with `number`, the run's own with that number (or its only one) replaced."""
    if number is None:
        return text
    found = [m for m in _NUMBER.finditer(own) if number.lower() in ("", "number") or m[0] == number]
    if len(found) != 1:
        raise ConfigError(f"{own!r} has {len(found)} such numbers", where=f"--vary ...:{number}", hint="write it whole")
    return own[: found[0].start()] + text + own[found[0].end() :]


def _typed(own: Any, text: str) -> Any:
    """A text as the type that the run's value has."""
    try:
        if isinstance(own, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(own)(text) if isinstance(own, int | float) else text
    except (KeyError, ValueError):
        raise ConfigError(f"{text!r} is no {type(own).__name__}", where="--vary", hint=f"the run has {own!r}") from None
