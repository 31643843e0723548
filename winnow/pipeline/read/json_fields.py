"""Fields of JSON records: where a dotted name leads, and values as their declared types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

MISSING = object()
_INT64 = 1 << 63


def getter(name: str) -> Callable[[dict[str, Any]], Any]:
    """Row -> its value under `name` (the literal key first, then the dotted path), or MISSING."""
    if "." not in name:
        return lambda row: row.get(name, MISSING)
    steps = name.split(".")

    def get(row: dict[str, Any]) -> Any:
        if name in row:
            return row[name]
        value: Any = row
        for step in steps:
            value = value.get(step, MISSING) if type(value) is dict else MISSING
        return value

    return get


def nullable(take: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same for values that may be null."""
    return lambda value: None if value is None else take(value)


def _as_string(value: Any) -> str:
    return value if type(value) is str else orjson.dumps(value).decode()


def _as_int(value: Any) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise ValueError("an int64")
    return value


def _as_float(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("a float64")
    return float(value)


def _as_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("a boolean")
    return value


TAKERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _as_string,
    "int64": _as_int,
    "float64": _as_float,
    "bool": _as_bool,
}
