"""Operators and functions of other installed packages, by their entry points.

A package names them in its `pyproject.toml`, and `use: NAME` finds them:

    [project.entry-points."winnow.operators"]
    caps_share = "winnow_caps.scorers:caps_share"

What stands behind a name is a decorated function or a class of an operator. A function is a stage as one beside the
recipe is: its identity is the syntax tree of its module and of those beside it, and workers read it from the snapshot.
A class is known by its name, its fields and the same syntax trees; workers import it from the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator
from winnow.core.operators.fingerprint import code_digest
from winnow.core.operators.usercode import UserFunction

GROUP = "winnow.operators"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An entry point: the name of a `use:`, `module:thing`, the package that says so, and why it cannot be used."""

    name: str
    target: str
    package: str
    version: str
    wrong: str = ""

    @property
    def told(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}"

    def thing(self) -> UserFunction | type[Operator]:
        """The function or class behind it.

        Raises: ConfigError where it cannot be used, imported, or is neither.
        """
        if self.wrong:
            raise ConfigError(f"{self.name!r} cannot be used: {self.wrong}", where=self.told,
                              hint="ask its makers for another name, or remove one of the packages")  # fmt: skip
        module, _, attribute = self.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise ConfigError(f"{self.target} of the plug-in {self.name!r} cannot be imported: "
                              f"{type(error).__name__}: {error}", where=self.told,
                              hint="install it again, or another version of it") from error  # fmt: skip
        if isinstance(found, UserFunction):
            return found
        if not isinstance(found, type) or not issubclass(found, Operator):
            raise ConfigError(f"{self.target} is neither a decorated function nor an operator", where=self.told,
                              hint="decorate it, for example `@winnow.scorer('name')`")  # fmt: skip
        if found.name != self.name:
            raise ConfigError(f"the operator {self.target} is called {found.name!r} and its entry point {self.name!r}",
                              where=self.told, hint="give both one name")  # fmt: skip
        return found

    def code(self) -> str:
        """The digest of a class's module and of the modules beside it that it imports."""
        module = importlib.import_module(self.target.partition(":")[0])
        return code_digest(Path(str(module.__file__)), package=module.__name__.rpartition(".")[0])[0]


@cache
def plugins(taken: Callable[[str], bool]) -> Mapping[str, Plugin]:
    """Name -> plug-in, by name. `taken` tells names of winnow itself. Cost: a look at every installed package, once."""
    found: dict[str, list[Plugin]] = {}
    for point in metadata.entry_points(group=GROUP):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("a package", "")
        wrong = ""
        if not point.name.isidentifier():
            wrong = "a name of letters, digits and _ is needed"
        elif taken(point.name):
            wrong = "winnow has an operator of this name"
        one = Plugin(name=point.name, target=point.value.strip(), package=package, version=version, wrong=wrong)
        found.setdefault(point.name, []).append(one)
    return {name: _only(found[name]) for name in sorted(found)}


def _only(same: list[Plugin]) -> Plugin:
    one, *others = sorted(dict.fromkeys(same), key=lambda p: (p.package, p.target))
    if not others or one.wrong:
        return one
    return Plugin(name=one.name, target=one.target, package=one.package, version=one.version,
                  wrong=f"{others[0].told} has one of this name too")  # fmt: skip
