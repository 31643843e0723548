"""User functions of the Python form: which `module:name` they are, on disk.

Workers import a function from a snapshot of its saved module and its identity is that module's syntax tree, so a
function that lives only in a notebook cell, in the running script or in another function cannot be a stage.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from winnow.core.errors import ConfigError
from winnow.core.operators.usercode import UserFunction, find_module


@dataclass(frozen=True, kw_only=True)
class FunctionHome:
    """Where a user's function lives: `module:name`, the file, and the column or selection it names."""

    target: str
    path: Path
    name: str


def module_of(function: UserFunction) -> FunctionHome:
    """Locate a decorated function on disk. Raises ConfigError where workers could not import it from a file."""
    module = function.fn.__module__
    attribute = _attribute(function, module)
    file = _file_of(module)
    if module == "__main__":
        raise _in_main(function, file)
    if function.fn.__name__ == "<lambda>" or "<locals>" in function.fn.__qualname__ or not attribute:
        raise ConfigError(
            f"{function.kind} {function.name!r} is {function.fn.__qualname__!r}, which no other process can import",
            where=module, hint=f"write it as a function of its own at the top level of {module}.py",
        )  # fmt: skip
    if file is None:
        raise ConfigError(
            f"{function.kind} {function.name!r} is in {module!r}, which is not one file beside the recipe",
            where=str(file or module), hint="put it into a module of its own, such as my_scorers.py, and import that",
        )  # fmt: skip
    target = f"{module}:{attribute}"
    taken = find_module(target, file.parent, where=target).path
    if taken != file:
        raise ConfigError(f"{target} is in {file}, and {taken} would be run", where=target, hint="rename one of them")
    return FunctionHome(target=target, path=file, name=function.name)


def scorers_beside(function: UserFunction) -> dict[str, UserFunction]:
    """Column -> scorer, of the scorers in the module of a function."""
    names = vars(sys.modules[function.fn.__module__]) if function.fn.__module__ in sys.modules else {}
    return {v.name: v for v in names.values() if isinstance(v, UserFunction) and v.kind == "scorer"}


def _attribute(function: UserFunction, module: str) -> str:
    names = vars(sys.modules[module]) if module in sys.modules else {}
    return next((k for k, v in names.items() if v is function), "")


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file else None


def _in_main(function: UserFunction, file: Path | None) -> ConfigError:
    name = function.fn.__name__
    if file is None:
        where, first = "a notebook or an interactive session", "begin the cell with `%%writefile my_scorers.py`"
    else:
        where, first = str(file), f"move it into {file.parent / 'my_scorers.py'}"
    return ConfigError(
        f"{function.kind} {function.name!r} is defined in the running program, which workers cannot import",
        where=where, hint=f"{first} and write `from my_scorers import {name}`",
    )  # fmt: skip
