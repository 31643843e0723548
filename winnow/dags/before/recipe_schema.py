"""A JSON Schema of recipes, made of the registry: editors complete and check with it, before `winnow check` does.

It knows the keys of recipes and stages, every operator's fields, their types, and which must be given; what depends on
other stages (names, columns, row spaces) is planned, not described.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from winnow.core.operators import Operator, port_fields, summary_of
from winnow.core.operators.budget import Budget
from winnow.core.operators.field_types import field_types
from winnow.dags.recipe.adds import is_required
from winnow.dags.recipe.registry import known_names, operator_class, plugin_named, target_of
from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, TOP_KEYS

Schema = dict[str, Any]
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{"}  # filled in before types are looked at
_NAMES: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_PORTS: dict[str, Schema] = {
    "ref": {"type": "string"},
    "refs": {"type": ["string", "array", "object"]},
    "files": _NAMES,
    "secret": {"type": "string"},
}
_KEYS: dict[str, Schema] = {
    "inputs": _NAMES, "where": {"type": "string"}, "ignore": _NAMES, "text": _NAMES,
    "seed": {"type": ["integer", "string"]},
    "max_bad_share": {"type": ["number", "string"]}, "strict": {"type": ["boolean", "string"]},
    "timeout_s": {"type": ["number", "string"]}, "expect": {"type": "object"},
}  # fmt: skip
_TOP: dict[str, Schema] = {
    "name": {"type": "string"}, "about": {"type": "string"}, "tokenizer": {"type": "string"},
    "seed": _KEYS["seed"], "vars": {"type": "object"}, "max_bad_share": _KEYS["max_bad_share"],
    "strict": _KEYS["strict"], "expect": _KEYS["expect"],
}  # fmt: skip


def recipe_schema() -> Schema:
    """The schema of a recipe (draft 2020-12). Cost: imports every operator."""
    names = [name for name in known_names() if not getattr(plugin_named(name), "wrong", "")]
    stage = {
        "type": "object",
        "required": ["use"],
        "properties": {"use": {"anyOf": [{"enum": names}, {"type": "string", "pattern": "[:$]"}]}},
        "allOf": [
            {"if": {"properties": {"use": {"const": name}}, "required": ["use"]}, "then": _stage(operator_class(name))}
            for name in names
            if target_of(name) == name
        ],
    }
    stages = {"type": "object", "minProperties": 1, "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"},
              "additionalProperties": stage}  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "winnow recipe",
        "type": "object",
        "required": ["stages"],
        "additionalProperties": False,
        "properties": {key: stages if key == "stages" else _TOP.get(key, {}) for key in TOP_KEYS},
    }


def _stage(cls: type[Operator]) -> Schema:
    """A stage of one operator: its fields and the keys of all stages."""
    hints, ports = field_types(cls), port_fields(cls)
    fields = [f for f in dataclasses.fields(cls) if not f.name.startswith("_")]
    own = {
        f.name: _port(f.name, ports[f.name]) if f.name in ports else _or_variable(_type(hints[f.name])) for f in fields
    }
    preset = {field for known in cls.presets.values() for values in known.values() for field in values}
    return {
        "description": summary_of(cls),
        "properties": {"use": {}, **{k: _KEYS.get(k, {}) for k in STAGE_KEYS if k != "use"}, **own, "identity": {}},
        "required": [f.name for f in fields if is_required(f) and f.name not in preset],
        "additionalProperties": False,
    }


def _port(name: str, kind: str) -> Schema:
    """What a port takes: names of stages; a policy also in place."""
    return {"type": ["string", "object"]} if name == "policy" and kind == "ref" else _PORTS[kind]


def _or_variable(schema: Schema) -> Schema:
    return schema if not schema else {"anyOf": [schema, _VARIABLE]}


def _type(hint: Any) -> Schema:
    """The values that a field of this type takes in YAML, as `core.operators.config.coerce` does; {} for anything."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (tuple, list):
        item = _type(args[0])
        return {"anyOf": [{"type": "array", "items": _or_variable(item)}, item]} if item else {}
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):  # type: ignore[arg-type]
        return {"type": "object", "additionalProperties": _or_variable(_type(args[1]))}
    if args:
        options = [{"type": "null"} if a is type(None) else _type(a) for a in args]
        return {"anyOf": options} if all(options) else {}
    if hint is int:
        return {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9.]+[kKmMbB]?$"}]}
    if hint is Budget:
        return {"type": "string", "pattern": "[0-9]"}
    plain = {float: "number", bool: "boolean", str: "string"}
    return {"type": plain[hint]} if hint in plain else {}
