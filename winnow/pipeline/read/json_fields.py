"""Fields of JSON records: where a dotted name leads, and values as their declared types.

JSON has no NaN and no infinities, but Python's `json.dumps` and pandas write them, bare. They are read as what they
say: NaN is no value, an infinity is one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

MISSING = object()
_INT64 = 1 << 63
_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


def loads(line: bytes) -> Any:
    """The value of a line; bare `NaN`, `Infinity` and `-Infinity` are floats.

    Raises: orjson.JSONDecodeError for what is no JSON apart from these.
    Cost: for a line that holds them three passes instead of one.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in line and b"Infinity" not in line:
            raise
        orjson.loads(_NO_JSON.sub(lambda found: b"0".ljust(len(found[0])) if found[1] else found[0], line))
        try:
            return json.loads(line, parse_int=orjson.loads)
        except (RecursionError, ValueError):
            raise error from None


def _finite(value: Any) -> bool:
    return type(value) is not float or math.isfinite(value)


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


def as_string(value: Any) -> str:
    """A text as it is, any other value as JSON. Raises: ValueError for what JSON cannot say."""
    if not _finite(value):
        raise ValueError("a text")
    try:
        return value if type(value) is str else orjson.dumps(value).decode()
    except TypeError:  # orjson reads 1,024 levels and writes 254
        raise ValueError("a text or a value of fewer than 255 levels") from None


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
    "string": as_string,
    "int64": _as_int,
    "float64": _as_float,
    "bool": _as_bool,
}
