"""A value as a recipe writes it: YAML's flow style.

Not ruamel.yaml, which reads recipes: its flow style writes texts that it cannot read back (a glob that begins with `?`,
control characters).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*\Z")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def written(value: Any, *, instead: Callable[[str], str | None] | None = None) -> str:
    """`{a: 1.0, b: [x, "1"]}`; `instead` may give something else for a text."""
    if isinstance(value, Mapping):
        pairs = (f"{_text(str(k))}: {written(v, instead=instead)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(v, instead=instead) for v in value) + "]"
    if isinstance(value, str):
        return (instead(value) if instead else None) or _text(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def said(name: str, fields: Mapping[str, Any]) -> str:
    """`name (field value, field value)`, as a recipe writes the values: a list of one without brackets."""
    told = ", ".join(f"{field} {_short(value)}" for field, value in fields.items())
    return f"{name} ({told})" if told else name


def _short(value: Any) -> str:
    one = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return one if isinstance(one, str) and one.isprintable() and one else written(one)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


def _text(value: str) -> str:
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_escaped(value)) + '"'


def _escaped(value: str) -> Iterator[str]:
    for char in value:
        if char in '"\\':
            yield "\\" + char
        elif char.isprintable():
            yield char
        else:
            yield f"\\U{ord(char):08x}"
