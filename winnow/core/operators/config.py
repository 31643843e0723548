"""Operator fields from plain values and back: what YAML, stage files and Python share."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators.contract import Operator
from winnow.core.operators.effect import check_effect
from winnow.core.operators.field_types import field_types

T = TypeVar("T", bound=Operator)


IN_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
EXAMPLES = {str: "'some text'", bool: "true", int: "3", float: "0.5"}


def build(cls: type[T], values: Mapping[str, Any], *, where: str, also: Iterable[str] = ()) -> T:
    """An operator of class `cls` from plain values, coerced to the fields' annotations.

    A value that stands for other fields (`presets`) fills in those that are not given beside it. Raises ConfigError on
    unknown, renamed, missing or unusable fields, naming `where.field`. `also` are keys that may stand beside the
    fields, for hints.
    """
    hints = field_types(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key in cls.former:
            raise ConfigError(f"{key!r} of {cls.name!r} is now called {cls.former[key]!r}", where=f"{where}.{key}",
                              hint=f"write `{cls.former[key]}:`, with the same value")  # fmt: skip
        if key not in fields:
            hint = did_you_mean(key, [*fields, *also])
            if key[:1].isdigit():  # `budget: 1,000 tokens` inside braces
                hint = "a comma ends a value inside { }: put quotes round `1,000 tokens`, or write `1_000 tokens`"
            raise ConfigError(f"{cls.name!r} has no field {key!r}", where=f"{where}.{key}", hint=hint)
    for name, f in fields.items():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise ConfigError(f"{cls.name!r} needs {name!r}", where=where, hint=f"add `{name}:`")
    for name, known in cls.presets.items():
        values = {**known.get(str(values.get(name, "")), {}), **values}
    coerced = {key: coerce(hints[key], value, where=f"{where}.{key}") for key, value in values.items()}
    try:
        operator = cls(**coerced)
        operator.validate()
        check_effect(operator, cls.read_at)
    except WinnowError as error:
        raise type(error)(error.what, where=_below(where, error.where), hint=error.hint) from error
    return operator


def by_todays_names(cls: type[Operator], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a record, whose keys may be field names of an earlier version, under the names of today."""
    return {cls.former.get(key, key): value for key, value in values.items()}


def part_of(whole: Any, part: type) -> dict[str, Any]:
    """The fields of the dataclass `part`, with the values that `whole` has for them."""
    return {f.name: getattr(whole, f.name) for f in dataclasses.fields(part)}


def dump(operator: Operator) -> dict[str, Any]:
    """Plain JSON values from which `build` makes an equal operator."""
    return {f.name: _plain(getattr(operator, f.name)) for f in dataclasses.fields(operator)}


def coerce(annotation: Any, value: Any, *, where: str) -> Any:
    """`value` as `annotation`: 1 -> 1.0 for float, a text -> (text,) for tuples, '5M tokens' -> Budget."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(args, value, where)
    if origin is typing.Literal:
        if value not in args:
            hint = did_you_mean(str(value), [str(a) for a in args])
            raise ConfigError(f"{value!r} is not one of {list(args)}", where=where, hint=hint)
        return value
    if origin in (tuple, list):
        items = [value] if isinstance(value, str | int | float | bool) else value
        if not isinstance(items, list | tuple):
            raise ConfigError(f"expected a list, found {value!r}", where=where)
        return tuple(coerce(args[0], v, where=f"{where}[{i}]") for i, v in enumerate(items))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise ConfigError(f"expected a mapping, found {value!r}", where=where, hint=_as_mapping(value, where))
        return {str(k): coerce(args[1], v, where=f"{where}.{k}") for k, v in value.items()}
    return _coerce_scalar(annotation, value, where)


def _as_mapping(value: Any, where: str) -> str:
    """How a mapping is written, with the value that was given."""
    name, shown = where.rpartition(".")[2], f'"{value}"' if isinstance(value, str) else "VALUE"
    return f"give it a name: `{name}: {{NAME: {shown}}}`"


def _coerce_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    last: ConfigError | None = None
    for option in (a for a in args if a is not type(None)):
        try:
            return coerce(option, value, where=where)
        except ConfigError as error:
            last = error
    raise last or ConfigError(f"{value!r} fits none of the types", where=where)


def _coerce_scalar(annotation: Any, value: Any, where: str) -> Any:
    if hasattr(annotation, "parse") and isinstance(value, str):
        try:
            return annotation.parse(value)
        except ConfigError as error:
            raise ConfigError(error.what, where=where, hint=error.hint) from error
    if annotation in (int, float) and isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError("expected a number of 64 bits, found a larger one", where=where)
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation is float and isinstance(value, float) and math.isnan(value):
        raise ConfigError("expected a number, found NaN", where=where)
    if annotation is int and isinstance(value, str):
        return _int_of(value, where)
    if isinstance(annotation, type) and isinstance(value, annotation):
        if annotation is int and isinstance(value, bool):
            raise ConfigError(f"expected a number, found {value!r}", where=where)
        return value
    if hasattr(annotation, "wrong"):
        wrong = annotation.wrong(value)
        raise ConfigError(wrong.what, where=where, hint=wrong.hint)
    expected = IN_WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation))
    found = "nothing" if value is None else repr(value)
    raise ConfigError(
        f"expected {expected}, found {found}",
        where=where,
        hint=f"write `{where.rpartition('.')[2]}: {EXAMPLES.get(annotation, 'VALUE')}`",
    )


def _int_of(value: str, where: str) -> int:
    """'250k' -> 250000; plain digits too (values given by --set are text)."""
    scale = {"k": 10**3, "m": 10**6, "b": 10**9}.get(value[-1:].lower(), 1)
    digits = value[:-1] if scale > 1 else value
    try:
        number = float(digits) * scale
        if number.is_integer() and abs(number) < 2**63:
            return int(number)
    except ValueError:
        pass
    raise ConfigError(f"expected a whole number, found {value!r}", where=where)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _below(where: str, inner: str) -> str:
    return f"{where}.{inner}" if inner else where
