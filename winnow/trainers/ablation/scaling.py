"""Selectors with other budgets: more of a larger budget, or a fold's share of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator
from winnow.core.operators.budget import Budget

RELATIVE = ("share", "epochs")  # units that mean the same of a smaller pool


def scaled(operator: Operator, factor: float) -> Operator:
    """A selector with `factor` times its budget, at most everything, or that of its phases; unchanged without any."""
    replaced: dict[str, Any] = {}
    for field in dataclasses.fields(operator):
        value = getattr(operator, field.name)
        if isinstance(value, Budget) and field.name == "budget":
            replaced[field.name] = _times(value, factor)
        elif field.name in operator.amounts and isinstance(value, tuple):
            replaced[field.name] = tuple(_larger(one, factor) for one in value)
    return dataclasses.replace(operator, **replaced)


def _times(budget: Budget, factor: float) -> Budget:
    amount = budget.amount * factor
    return Budget(min(1.0, amount) if budget.unit == "share" else float(round(amount)), budget.unit)


def _larger(phase: Any, factor: float) -> Any:
    if not isinstance(phase, Mapping) or "tokens" not in phase:
        return phase
    return {**phase, "tokens": str(_times(Budget.parse(str(phase["tokens"])), factor))}


def of_fold(operator: Operator, folds: int) -> Operator:
    """A selector for one of `folds` folds of its pool: budgets in tokens, bytes and documents and what else counts the
    pool (`amounts`) divided by their number and rounded; shares stay as they are. A value that is in the pool may be
    missing in a fold: it is no error there.

    Raises:
        ConfigError: less than one token, byte or document is left.
    """
    replaced = {
        field.name: _divided(getattr(operator, field.name), folds, field.name)
        for field in dataclasses.fields(operator)
        if field.name in operator.amounts or isinstance(getattr(operator, field.name), Budget)
    }
    if any(field.name == "absent" for field in dataclasses.fields(operator)):
        replaced["absent"] = "remark"
    return dataclasses.replace(operator, **replaced)


def budgets_of(operator: Operator) -> list[Budget]:
    """The budgets of a selector that a fold scales."""
    found = [getattr(operator, field.name) for field in dataclasses.fields(operator)]
    return [value for value in found if isinstance(value, Budget) and value.unit not in RELATIVE]


def _divided(value: Any, folds: int, where: str) -> Any:
    if isinstance(value, Budget):
        if value.unit in RELATIVE:
            return value
        return Budget(float(_whole(value.amount, folds, where, str(value))), value.unit)
    if isinstance(value, int):
        return _whole(value, folds, where, str(value)) if value else value
    if isinstance(value, Mapping):  # a phase
        return {k: str(_divided(Budget.parse(str(v)), folds, where)) if k == "tokens" else v for k, v in value.items()}
    return tuple(_divided(one, folds, where) for one in value) if isinstance(value, tuple) else value


def _whole(amount: float, folds: int, where: str, told: str) -> int:
    if amount < folds:
        raise ConfigError(f"{told} over {folds} folds is less than one each", where=where,
                          hint="fewer seeds, or a larger budget")  # fmt: skip
    return round(amount / folds)
