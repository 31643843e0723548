"""`winnow new scorer|selector|policy|plugin NAME`: a module that works as it stands, its test, the line for a recipe.

A plug-in is a package of its own: installed, `use: NAME` finds its scorer.
"""

from __future__ import annotations

import importlib.util
import keyword
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.installing import install_folder
from winnow.core.operators import ROW_COLUMNS

KINDS = ("scorer", "selector", "policy", "plugin")
Kind = Literal["scorer", "selector", "policy", "plugin"]
_TAKEN = (*ROW_COLUMNS, "kept", "weight", "state")

_SCORER = '''"""A score for `winnow`: one number per document."""

from __future__ import annotations

import polars as pl

import winnow as w


@w.scorer("NAME")
def NAME(text: pl.Series) -> pl.Series:
    """Share of characters that are A-Z, in [0, 1]; 0 for an empty text, null where there is none."""
    return text.str.count_matches(r"[A-Z]") / text.str.len_chars().clip(1)
'''

_SELECTOR = '''"""A selection for `winnow`: one weight per document."""

from __future__ import annotations

import polars as pl

import winnow as w


@w.selector("NAME", needs=("token_count",))
def NAME(rows: pl.DataFrame, budget: int) -> pl.Series:
    """Weight 1 for the shortest documents that fit the budget together, else 0 (also where no tokens were counted)."""
    ranked = rows.with_row_index("row").sort("token_count", nulls_last=True, maintain_order=True)
    fits = (ranked["token_count"].cum_sum() <= budget).fill_null(False)
    return ranked.select("row", weight=fits.cast(pl.Float64)).sort("row")["weight"]
'''

_POLICY = '''"""A policy for `winnow`: a weight for every sample of a step, while a model trains."""

from __future__ import annotations

import numpy as np

import winnow as w


@w.policy("NAME")
def NAME(seen, *, power: float = 1.0) -> np.ndarray:
    """More weight for samples of higher loss; `power: 0` weighs all alike, as no policy does."""
    return seen.loss**power
'''

_TEST = '''"""What `NAME` promises."""

from __future__ import annotations

import polars as pl
from NAME import NAME

import winnow


def test_a_known_input_has_a_known_answer():
    KNOWN


def test_it_keeps_the_contract_of_operators():
    findings = winnow.check_target("NAME:NAME")["findings"]
    assert [f for f in findings if f["status"] == "broken"] == []
'''

_PROJECT = """[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "winnow-DASHED"
version = "0.1.0"
description = "The scorer NAME for winnow"
requires-python = ">=3.11"
dependencies = ["winnow-data"]

[project.entry-points."winnow.operators"]
NAME = "winnow_NAME.scorers:NAME"

[tool.setuptools]
packages = ["winnow_NAME"]
"""

_KNOWN = {
    "scorer": 'assert NAME(pl.Series(["ABcd", "", None])).to_list() == [0.5, 0.0, None]',
    "selector": 'assert NAME(pl.DataFrame({"token_count": [3, 1, None, 2]}), 3).to_list() == [0.0, 1.0, 0.0, 1.0]',
    "policy": "assert NAME(SimpleNamespace(loss=np.array([1.0, 3.0])), power=2.0).tolist() == [1.0, 9.0]",
}
_LINE = {
    "scorer": '  NAME: {use: "NAME:NAME", inputs: docs}',
    "selector": '  NAME: {use: "NAME:NAME", inputs: docs, budget: 5M tokens}',
    "policy": '  effect: {use: ablation, arms: {NAME: {data: plain, policy: {use: "NAME:NAME", power: 2.0}}}, ...}',
}


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """What was written: the module, its test, the stage as a line of YAML, and the command that checks it."""

    module: Path
    test: Path
    line: str
    check: str


def scaffold(kind: str, name: str, folder: str | Path = ".") -> Scaffold:
    """A new module `NAME.py` with a decorated function and `test_NAME.py`, below `folder`; both run as they stand.

    Raises: ConfigError for a name that cannot be a module and a column, and where a file is already there.
    """
    known = _kind(kind)
    place = Path(folder)
    if known == "plugin":
        return _package(name, place)
    module, test = place / f"{name}.py", place / f"test_{name}.py"
    _check_name(name)
    for path in (module, test):
        if path.exists():
            raise ConfigError(f"{path.name} is already there", where=str(path.absolute()), hint="choose another name")
    if importlib.util.find_spec(name) is not None:
        raise ConfigError(
            f"{name!r} is the name of an installed module, which the new one would hide",
            where="NAME", hint=f"for example {name}_{kind}",
        )  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    source = {"scorer": _SCORER, "selector": _SELECTOR, "policy": _POLICY}[known]
    tested = _TEST.replace("KNOWN", _KNOWN[known])
    if known == "policy":
        tested = tested.replace("import polars as pl\n", "from types import SimpleNamespace\n\nimport numpy as np\n")
    for path, text in ((module, source), (test, tested)):
        with path.open("x", encoding="utf-8") as out:
            out.write(text.replace("NAME", name))
    line = _LINE[known].replace("NAME", name)
    return Scaffold(module=module, test=test, line=line, check=f"winnow check {name}:{name}")


def _package(name: str, folder: Path) -> Scaffold:
    """A package `winnow_NAME` with an entry point, in a folder of its own."""
    _check_name(name)
    _check_free(name)
    place = folder / f"winnow_{name}"
    if place.exists():
        raise ConfigError(f"{place.name} is already there", where=str(place.absolute()), hint="choose another name")
    module, test = place / f"winnow_{name}" / "scorers.py", place / "tests" / f"test_{name}.py"
    tested = _TEST.replace("KNOWN", _KNOWN["scorer"]).replace("from NAME import", "from winnow_NAME.scorers import")
    written = {
        place / "pyproject.toml": _PROJECT.replace("DASHED", name.replace("_", "-")),
        module.parent / "__init__.py": f'"""The scorer {name} for `winnow`."""\n',
        module: _SCORER, test: tested.replace('"NAME:NAME"', '"NAME"'),
    }  # fmt: skip
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as out:
            out.write(text.replace("NAME", name))
    line = f"  {name}: {{use: {name}, inputs: docs}}"
    return Scaffold(module=module, test=test, line=line, check=f"{install_folder(place)}; winnow check {name}")


def _check_free(name: str) -> None:
    from winnow.dags.recipe.registry import known_names

    if name in known_names():
        raise ConfigError(f"an operator is called {name!r} already", where="NAME", hint=f"for example my_{name}")


def _kind(kind: str) -> Kind:
    for known in KINDS:
        if kind == known:
            return known  # type: ignore[return-value]
    raise ConfigError(f"cannot make a {kind!r}", where="KIND", hint=did_you_mean(kind, KINDS))


def _check_name(name: str) -> None:
    good = name.isidentifier() and name.isascii() and not name.startswith("_") and not keyword.iskeyword(name)
    if not good:
        raise ConfigError(
            f"{name!r} cannot name a function and a column",
            where="NAME",
            hint="letters, digits and _, such as caps_share",
        )
    if name in _TAKEN:
        raise ConfigError(f"every row has a column {name!r}", where="NAME", hint=f"for example {name}_score")
    if name in sys.stdlib_module_names:
        raise ConfigError(
            f"{name!r} is a module of Python, which the new one would hide",
            where="NAME",
            hint=f"for example {name}_score",
        )
