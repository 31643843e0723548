"""What a model must answer, as a JSON Schema of flat properties, and the columns that follow from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.installing import how_to_install

TYPES: Mapping[str, pa.DataType] = {
    "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.large_string(),
}  # fmt: skip
KEYWORDS = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
            "maxLength", "description", "title")  # fmt: skip
FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?\s*```\Z", re.DOTALL)
TAKEN = ("annotation", "annotation_cut", "state", "text", "doc_id", "text_hash", "text_bytes", "origin")


class Unusable(ValueError):  # noqa: N818 - an answer, not an error of anybody
    """The answer is not what was asked for; the message says why, and is said to the model."""


@dataclass(frozen=True)
class AnswerSchema:
    """Properties by name, each a JSON Schema of one scalar."""

    properties: Mapping[str, Mapping[str, Any]]

    def check(self, where: str) -> None:
        """Raises: ConfigError where a property is no scalar, has a keyword that is not known, or no column's name."""
        if not self.properties:
            raise ConfigError("no property is asked for", where=where, hint="`answer: {score: {type: integer}}`")
        for name, schema in self.properties.items():
            here = f"{where}.{name}"
            if not name.isidentifier() or name in TAKEN:
                raise ConfigError(f"a column cannot be called {name!r}", where=here, hint="another plain name")
            if not isinstance(schema, Mapping):
                raise ConfigError(f"expected a mapping, found {schema!r}", where=here, hint="`{type: integer}`")
            for key in schema:
                if key not in KEYWORDS:
                    raise ConfigError(f"the keyword {key!r} is not known here", where=here,
                                      hint=did_you_mean(key, KEYWORDS))  # fmt: skip
            self._kind(name, here)

    def _kind(self, name: str, where: str = "") -> str:
        schema = self.properties[name]
        listed = schema.get("type", _type_of_enum(schema.get("enum")))
        kinds = [k for k in (listed if isinstance(listed, list | tuple) else [listed]) if k != "null"]
        if len(kinds) != 1 or kinds[0] not in TYPES:
            raise ConfigError(f"its type is {listed!r}", where=where, hint=f"one of {', '.join(TYPES)}, or an `enum`")
        return str(kinds[0])

    def columns(self) -> dict[str, pa.DataType]:
        """Property -> type of its column."""
        return {name: TYPES[self._kind(name)] for name in self.properties}

    def as_json(self) -> dict[str, Any]:
        """The schema of the whole answer."""
        properties = {}
        for name, given in self.properties.items():
            one = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
            properties[name] = one if "type" in one else {"type": self._kind(name), **one}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    @cached_property
    def _validator(self) -> Any:
        try:
            import jsonschema
        except ImportError as error:
            hint = how_to_install("jsonschema")
            raise ConfigError("checking answers needs `jsonschema`, which is not installed", hint=hint) from error
        try:
            jsonschema.Draft202012Validator.check_schema(self.as_json())
        except jsonschema.SchemaError as error:
            raise ConfigError(f"no JSON Schema: {error.message[:200]}", where="answer") from error
        return jsonschema.Draft202012Validator(self.as_json())

    def checked(self) -> AnswerSchema:
        """The same, after a look whether it is a JSON Schema. Raises ConfigError where it is none."""
        assert self._validator is not None
        return self

    def values(self, text: str) -> dict[str, Any]:
        """The properties in an answer, with the types of their columns. Raises Unusable where it is none."""
        fenced = FENCE.match(text.strip())
        try:
            held = json.loads(fenced[1] if fenced else text, parse_constant=_no_number, object_pairs_hook=_each_once)
        except Unusable:
            raise
        except (ValueError, RecursionError) as error:
            raise Unusable(f"it is no JSON ({str(error)[:80]})") from None
        wrong = next(iter(self._validator.iter_errors(held)), None)
        if wrong is not None:
            place = "".join(f"{part}: " for part in wrong.absolute_path)
            raise Unusable(f"{place}{wrong.message[:160]}")
        return {name: _as(kind, held[name], name) for name, kind in self.columns().items()}


def _type_of_enum(values: Any) -> Any:
    if not isinstance(values, list | tuple) or not values:
        return None
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    found = {kinds.get(type(value)) for value in values}
    return found.pop() if len(found) == 1 else None


def _as(kind: pa.DataType, value: Any, name: str) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if kind == pa.int64():
        if not -(2**63) <= value < 2**63:
            raise Unusable(f"{name}: the number is too large")
        return int(value)
    try:
        return float(value)
    except OverflowError:
        raise Unusable(f"{name}: the number is too large") from None


def _no_number(name: str) -> None:
    raise Unusable(f"it is no JSON ({name} is no number)")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Unusable("a property stands in it twice")
    return dict(pairs)
