"""What an editor or a notebook shows of an operator's method: its fields with types and defaults, and its docstring."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from winnow.core.operators import Operator

_UNITS = ("tokens", "docs", "bytes", "share")


def dressed(function: Callable[..., Any], cls: type[Operator], keys: Sequence[str]) -> Callable[..., Any]:
    """The function with the operator's name, docstring and signature; budgets may be given by their unit."""
    fields = {f.name: f for f in dataclasses.fields(cls) if not f.name.startswith("_")}
    units = [u for u in _UNITS if "budget" in fields and u not in fields]
    shown = [_parameter(f.name, f.type, _default(f, optional=bool(units))) for f in fields.values()]
    extra = [_parameter(name, Any, None) for name in (*units, "name", "where", *keys) if name not in fields]
    function.__name__, function.__qualname__, function.__doc__ = cls.name, cls.name, inspect.getdoc(cls)
    function.__signature__ = inspect.Signature([*shown, *extra])  # type: ignore[attr-defined]
    return function


def _default(field: dataclasses.Field[Any], *, optional: bool) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.name == "budget" and optional else inspect.Parameter.empty


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
