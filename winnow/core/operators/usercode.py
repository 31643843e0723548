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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import winnow
from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators.fingerprint import code_digest

_PACKAGE = Path(winnow.__file__).parent.resolve()


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


def find_module(target: str, folder: Path, *, where: str) -> UserModule:
    """The module of `module:name`, searched in the recipe's folder, then on sys.path."""
    module = target.partition(":")[0]
    if not module.isidentifier():
        raise ConfigError(f"{target!r} is not `module:name`", where=where)
    for base in [folder, *(Path(p or ".") for p in sys.path)]:
        path = (base / f"{module}.py").resolve()
        if path.is_file() and path.parent != _PACKAGE and _PACKAGE not in path.parents:
            digest, files = code_digest(path)
            return UserModule(path=path, files=tuple(files), digest=digest)
    raise ConfigError(
        f"no module {module!r} for {target!r}",
        where=where, hint=f"save the function in {folder / (module + '.py')}",
    )  # fmt: skip


def load(target: str, folder: Path) -> UserFunction:
    """The decorated function `module:name`, imported from `folder` (siblings importable meanwhile)."""
    module, _, name = target.partition(":")
    path = folder / f"{module}.py"
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"cannot import {path}")
    loaded = importlib.util.module_from_spec(spec)
    before, sys.path[:] = list(sys.path), [str(folder), *sys.path]
    previous = {name: sys.modules.pop(name) for name in _siblings(folder) if name in sys.modules}
    try:
        sys.modules[module] = loaded
        spec.loader.exec_module(loaded)
    except Exception as error:
        raise ConfigError(
            f"importing user code failed: {type(error).__name__}: {error}",
            where=f"{path}{_line_of(error, folder)}", hint=f"mend it; `python {path.name}` shows the same error",
        ) from error  # fmt: skip
    finally:
        sys.path[:] = before
        for sibling in _siblings(folder):
            sys.modules.pop(sibling, None)
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


def _siblings(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("*.py"))
