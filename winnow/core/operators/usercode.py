"""User functions as operators: found beside the recipe, identified by their syntax tree, run from a snapshot.

Workers import from the snapshot below the run root, so a function edited while a run is going on, or absent
on another machine, cannot change what the run computes.
"""

from __future__ import annotations

import html
import importlib.util
import inspect
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators.fingerprint import code_digest

_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class UserFunction:
    """A decorated function: what it is for, the column it names, the columns it needs, and how it is called.

    `per_document`: with the values of one document at a time, not with series of many.
    """

    kind: Literal["scorer", "selector", "policy"]
    name: str
    needs: tuple[str, ...]
    fn: Callable[..., Any]
    per_document: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The undecorated call, for tests and notebooks; a selector called with stage fields alone is a `Selection`.

        `calmest(rows, budget)` computes weights; `calmest(tokens="5M")` says what `pool.select` is to do.
        """
        if self.kind == "selector" and not args and _first_parameter(self.fn) not in kwargs:
            return Selection(use=self, fields=kwargs)
        return self.fn(*args, **kwargs)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A selection to be made: a selector (registered name or user function) and its fields, over no rows yet."""

    use: str | UserFunction
    fields: Mapping[str, Any]

    def _repr_html_(self) -> str:
        """For a notebook: the selector and its fields; nothing in it is markup."""
        name = self.use.name if isinstance(self.use, UserFunction) else self.use
        told = ", ".join(f"{field}={value!r}" for field, value in self.fields.items())
        return f"<pre>{html.escape(f'selection {name}({told})')}</pre>"


@dataclass(frozen=True, kw_only=True)
class UserModule:
    """A user module on disk with the digest of its code."""

    path: Path
    files: tuple[Path, ...]
    digest: str
    package: str = ""  # the dotted name of the package that it is part of


def find_module(target: str, folder: Path, *, where: str) -> UserModule:
    """The module of `module:name` or `package.module:name`, searched in the recipe's folder, then on sys.path."""
    dotted = target.partition(":")[0]
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise ConfigError(f"{target!r} is not `module:name`", where=where)
    package = dotted.rpartition(".")[0]
    bases = [folder, *(Path(p or ".") for p in sys.path)]
    for path in [*((base / f"{dotted.replace('.', '/')}.py").resolve() for base in bases), *_installed(dotted)]:
        if path.is_file() and path.parent != _PACKAGE and _PACKAGE not in path.parents:
            digest, files = code_digest(path, package=package)
            return UserModule(path=path, files=tuple(files), digest=digest, package=package)
    place = "install the package that has it" if package else f"save the function in {folder / (dotted + '.py')}"
    raise ConfigError(f"no module {dotted!r} for {target!r}", where=where, hint=place)


def _installed(dotted: str) -> list[Path]:
    """Where the import system finds a module of a package (an editable installation need not be on sys.path)."""
    try:
        spec = importlib.util.find_spec(dotted) if "." in dotted else None
    except (ImportError, ValueError):
        return []
    return [Path(spec.origin).resolve()] if spec is not None and spec.origin else []


def load(target: str, folder: Path) -> UserFunction:
    """The decorated function `module:name`, imported from `folder` (siblings importable meanwhile).

    Of `package.module:name` the folder is the package: what the module imports of it comes from there too.
    """
    module, _, name = target.partition(":")
    package, _, stem = module.rpartition(".")
    path = folder / f"{stem}.py"
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"cannot import {path}")
    loaded = importlib.util.module_from_spec(spec)
    before, sys.path[:] = list(sys.path), [str(folder), *sys.path] if not package else list(sys.path)
    previous = _put_by(_siblings(folder) if not package else [], package)
    try:
        sys.modules |= _packages(package, folder)
        sys.modules[module] = loaded
        spec.loader.exec_module(loaded)
    except Exception as error:
        raise ConfigError(
            f"importing user code failed: {type(error).__name__}: {error}",
            where=f"{path}{_line_of(error, folder)}", hint=f"mend it; `python {path.name}` shows the same error",
        ) from error  # fmt: skip
    finally:
        sys.path[:] = before
        _put_by(_siblings(folder) if not package else [], package)
        sys.modules |= previous
    found = getattr(loaded, name, None)
    if inspect.isfunction(found):
        raise ConfigError(
            f"{name!r} in {path.name} is a plain function", where=target,
            hint=f"decorate it: `@winnow.scorer({name!r})`, `@winnow.selector({name!r}, needs=(...))`, "
            f"or `@winnow.policy({name!r})`",
        )  # fmt: skip
    if not isinstance(found, UserFunction):
        known = [k for k, v in vars(loaded).items() if isinstance(v, UserFunction)]
        raise ConfigError(
            f"{name!r} in {path.name} is not a scorer, selector or policy",
            where=target, hint=did_you_mean(name, known) if known else "decorate it: `@winnow.scorer('name')`",
        )  # fmt: skip
    return found


def _line_of(error: Exception, folder: Path) -> str:
    """`:7`: the innermost line of a module in the folder that an import failed at; '' where none did."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if f.filename.startswith(str(folder))]
    return f":{lines[-1]}" if lines else ""


def _first_parameter(fn: Callable[..., Any]) -> str:
    return next(iter(inspect.signature(fn).parameters), "")


def _packages(package: str, folder: Path) -> dict[str, types.ModuleType]:
    """The package that `folder` is, and those above it, which hold nothing else; none without a name."""
    out: dict[str, types.ModuleType] = {}
    names = package.split(".") if package else []
    for depth in range(1, len(names) + 1):
        made = types.ModuleType(".".join(names[:depth]))
        made.__path__ = [str(folder)] if depth == len(names) else []
        out[made.__name__] = made
    return out


def _put_by(siblings: list[str], package: str) -> dict[str, types.ModuleType]:
    """Take modules of these names, and all of the package, out of `sys.modules`."""
    top = package.partition(".")[0]
    names = [n for n in sys.modules if n in siblings or (top and (n == top or n.startswith(f"{top}.")))]
    return {name: sys.modules.pop(name) for name in names}


def _siblings(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("*.py"))
