"""What the text of an operator's field names: values of the data, columns, stages, files, or nothing.

What a recipe declares must exist, and who checks that depends on what it names. Ports, `columns_from` and literals say
it by themselves; an operator says the rest in `meaning`. A test over all operators declares a name that does not exist
in every field, by this table.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from winnow.core.operators.contract import Meaning, Operator
from winnow.core.operators.field_types import field_types


def meaning(cls: type[Operator], field: str) -> Meaning | None:
    """What the text in `field` names; None where the operator does not say, and '' has no text to name anything."""
    f = next(f for f in dataclasses.fields(cls) if f.name == field)
    if "port" in f.metadata:
        return {"files": "files", "secret": "free"}.get(f.metadata["port"], "stages")  # type: ignore[return-value]
    if field in cls.columns_from:
        return "columns"
    for base in cls.__mro__:
        if field in base.__dict__.get("meaning", {}):
            return base.__dict__["meaning"][field]  # type: ignore[no-any-return]
    return "closed" if _is_closed(field_types(cls)[field]) else None


def text_fields(cls: type[Operator]) -> tuple[str, ...]:
    """The fields whose values hold text: texts, lists of them, mappings with text as keys, anything."""
    hints = field_types(cls)
    return tuple(f.name for f in dataclasses.fields(cls) if _holds_text(hints[f.name]))


def value_fields(operator: Operator) -> dict[str, list[str]]:
    """Field -> the values of the data that it declares; of shares those above 0."""
    declared = {}
    for field in text_fields(type(operator)):
        if meaning(type(operator), field) == "values":
            declared[field] = names_in(getattr(operator, field))
    return {field: names for field, names in declared.items() if names}


def names_in(value: Any) -> list[str]:
    """The names that a field's value declares: keys (but for shares of 0), or the texts of a list; none of a word."""
    if isinstance(value, Mapping):
        return [str(name) for name, share in value.items() if share != 0]
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _holds_text(hint: Any) -> bool:
    if hint in (str, Any):
        return True
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return any(isinstance(arg, str) for arg in args)
    if origin in (typing.Union, types.UnionType, tuple, list):
        return any(_holds_text(arg) for arg in args if arg is not Ellipsis)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_closed(hint: Any) -> bool:
    """Whether all that is text is a literal, or a type of winnow's own that reads it (a budget)."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType, tuple, list):
        return all(_is_closed(arg) or not _holds_text(arg) for arg in args if arg is not Ellipsis)
    return origin is typing.Literal
