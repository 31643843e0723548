"""Fingerprints: what a value *is*, in 32 hex digits, equal in every process and release.

Values are encoded with type tags (a nested dataclass carries its registered name; 1, 1.0, "1" and True differ),
keys are strings, NaN is refused. Fields marked port enter elsewhere; fields marked `identity: False` (where files lie)
never do, those marked `identity: "given"` (younger than their operator) where they are not their default, so that
recipes without them keep their results. User code enters by the digest of its syntax tree, so comments and formatting
do not matter.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.installing import how_to_install
from winnow.core.operators.contract import Operator


def encode(value: Any) -> Any:
    """A JSON value that only equal values share. Raises ConfigError on callables and unknown types."""
    if value is None:
        return ["none"]
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, Enum):
        return ["enum", type(value).__qualname__, encode(value.value)]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        if math.isnan(value):
            raise ConfigError("NaN cannot be part of a recipe")
        return ["float", (value + 0.0).hex()]
    if isinstance(value, str):
        return ["str", value]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, list | tuple):
        return ["list", [encode(v) for v in value]]
    if isinstance(value, set | frozenset):
        return ["set", sorted(json.dumps(encode(v), sort_keys=True) for v in value)]
    return _encode_compound(value)


def _encode_compound(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ConfigError("a recipe's mapping must have text keys", where=repr(value)[:80])
        return ["map", {key: encode(value[key]) for key in sorted(value)}]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ["data", registered_name(value), _fields(value)]
    raise ConfigError(
        f"a {type(value).__qualname__} cannot be part of a recipe",
        hint="use numbers, text, tuples, mappings or frozen dataclasses",
    )


def registered_name(value: Any) -> str:
    """The name that a value type declares for itself: modules move. Raises ConfigError without one."""
    name = getattr(type(value), "name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"a {type(value).__qualname__} has no registered name, so it cannot be part of a recipe",
            hint="declare `name: ClassVar[str]`: it is what fingerprints and records hold instead of the module",
        )
    return name


def _fields(value: Any) -> dict[str, Any]:
    out = {}
    for f in dataclasses.fields(value):
        if "port" in f.metadata or f.metadata.get("identity") is False:
            continue
        if f.metadata.get("identity") == "given" and getattr(value, f.name) == f.default:
            continue
        out[f.name] = encode(getattr(value, f.name))
    return out


def fingerprint(value: Any) -> str:
    """32 hex digits of `encode(value)`."""
    text = json.dumps(encode(value), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def operator_identity(operator: Operator, *, code: str = "") -> dict[str, Any]:
    """What an operator is: name, version, fields without ports, versions of `uses`, digest of user code."""
    return {
        "operator": operator.name,
        "version": operator.version,
        "config": {key: json.dumps(item, sort_keys=True) for key, item in _fields(operator).items()},
        "uses": {name: library_version(name) for name in operator.uses},
        "code": code,
        "data": json.dumps(encode(operator.data()), sort_keys=True),
    }


def library_version(distribution: str) -> str:
    """Installed version of a distribution. Raises ConfigError where it is missing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            f"this operator needs {distribution!r}, which is not installed", hint=how_to_install(distribution)
        ) from None


def code_digest(module: Path, *, package: str = "") -> tuple[str, list[Path]]:
    """(digest, files) of a user module and the modules beside it that it imports, by syntax tree.

    `package` is the dotted name that the folder is imported by, where it is one.
    """
    todo, seen = [module], {}
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        tree = _parsed(path)
        seen[path] = ast.dump(_without_docstrings(tree), include_attributes=False)
        todo += [p for name in _imported(tree, package) if (p := path.parent / f"{name}.py").is_file()]
    files = sorted(seen)
    text = json.dumps([[p.name, seen[p]] for p in files])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), files


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ConfigError(f"cannot parse user code: {error}", where=str(path)) from error


def _imported(tree: ast.Module, package: str) -> set[str]:
    """First names of the modules that are imported; behind the name of their own package the names below it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {_below(alias.name, package) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = not node.module or node.module == package
            names |= {a.name for a in node.names} if whole else {_below(str(node.module), package)}
    return names


def _below(module: str, package: str) -> str:
    return (module.removeprefix(f"{package}.") if package else module).split(".")[0]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first, "value", None), ast.Constant):
                node.body = body[1:] or [ast.Pass()]
    return tree
