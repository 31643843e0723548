"""Operators of other packages: found by entry points, identified by their code, refused where names clash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from support import plan_of, run

import winnow as w
from winnow.core.errors import ConfigError
from winnow.dags.before.catalogue import described, operators
from winnow.dags.before.checking import check_target
from winnow.dags.before.recipe_schema import recipe_schema
from winnow.dags.before.scaffold import scaffold
from winnow.dags.recipe import registry
from winnow.dags.recipe.plugins import plugins

SCORERS = '''
import polars as pl
import winnow as w
from PACKAGE.helpers import SIGN


@w.scorer("loud")
def loud(text: pl.Series) -> pl.Series:
    """How many signs."""
    return text.str.count_matches(SIGN, literal=True) * 1.0


@w.selector("first", needs=("text_bytes",))
def first(rows: pl.DataFrame, budget: int) -> list:
    """What fits."""
    return [float(i < budget) for i in range(rows.height)]


def plain(text):
    return text
'''
CLASS = '''
from dataclasses import dataclass
import polars as pl
import pyarrow as pa
from winnow.core.operators import Map
from .helpers import SIGN


@dataclass(frozen=True, kw_only=True)
class Signs(Map):
    """Signs of a text, times a factor.

    Source: own
    """

    name = "signs"
    role = "signal"
    factor: float = 1.0

    def needs(self):
        return ("text",)

    def outputs(self):
        return {"signs": pa.float64()}

    def open(self, ctx):
        return lambda rows: rows.select(signs=pl.col("text").str.count_matches(SIGN, literal=True) * self.factor)
'''
RECIPE = """
stages:
  docs: {use: jsonl, files: d.jsonl}
  a: {use: loud, inputs: docs}
  b: {use: signs, inputs: docs, factor: 2.0}
  c: {use: first, inputs: docs, budget: 2 docs}
  out: {use: write, inputs: [docs, c], format: jsonl, carry: [a, signs]}
"""


def package(folder: Path, name: str, entries: str, *, sign: str = "!") -> None:
    """An installed package `name` with entry points."""
    for path, text in {
        f"{name}/__init__.py": "",
        f"{name}/helpers.py": f"SIGN = {sign!r}\n",
        f"{name}/scorers.py": SCORERS.replace("PACKAGE", name),
        f"{name}/classes.py": CLASS,
        f"{name}-1.2.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n",
        f"{name}-1.2.dist-info/entry_points.txt": f"[winnow.operators]\n{entries}",
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path where packages are installed; what was found before and after is forgotten."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    (tmp_path / "d.jsonl").write_text('{"text": "Oh! No!"}\n{"text": "quiet"}\n')
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    plugins.cache_clear()
    yield folder
    plugins.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("shop"):
            del sys.modules[name]


ENTRIES = "loud = shop.scorers:loud\nfirst = shop.scorers:first\nsigns = shop.classes:Signs\n"


def test_functions_and_classes_are_stages_by_their_names(site, tmp_path):
    package(site, "shop", ENTRIES)
    ran = run(RECIPE, tmp_path, tmp_path / "root")
    lines = [orjson.loads(line) for path in (tmp_path / "root").glob("write-*/shards/*") for line in path.open()]
    assert sorted(((row["a"], row["signs"]) for row in lines), reverse=True) == [(2.0, 4.0), (0.0, 0.0)]
    assert ran.table("b", "signs")["signs"].to_pylist() == [4.0, 0.0]
    rows = {one["name"]: one for one in operators()}
    assert (rows["loud"]["role"], rows["signs"]["role"]) == ("scorer", "signal")
    assert rows["loud"]["source"] == rows["signs"]["source"] == "shop 1.2"
    assert described("loud")["columns"] == {"loud": "double"}
    assert "factor" in str(described("signs")["fields"])
    assert check_target("loud")["ok"]
    assert check_target("signs")["ok"]
    assert {"loud", "signs"} <= set(
        recipe_schema()["properties"]["stages"]["additionalProperties"]["properties"]["use"]["anyOf"][0]["enum"]
    )
    docs = w.read("d.jsonl")
    assert {"loud", "signs"} <= set(dir(docs))
    assert "signs" in repr(docs.loud().signs(factor=2.0).first(budget="1 docs"))


def test_editing_the_code_of_a_package_is_another_stage(site, tmp_path):
    """Also of a module that is imported, whether by its package's name or by a dot."""
    package(site, "shop", ENTRIES)
    before = {name: plan_of(RECIPE, tmp_path).node(name).fingerprint for name in "abc"}
    (site / "shop/scorers.py").write_text("# a comment\n" + SCORERS.replace("PACKAGE", "shop"))
    assert {name: plan_of(RECIPE, tmp_path).node(name).fingerprint for name in "abc"} == before
    (site / "shop/helpers.py").write_text("SIGN = '?'\n")
    after = {name: plan_of(RECIPE, tmp_path).node(name).fingerprint for name in "abc"}
    assert all(after[name] != before[name] for name in "abc")


def test_workers_read_a_function_from_the_snapshot(site, tmp_path):
    """What a run computes does not hang on the package being there afterwards: the code lies in the root."""
    package(site, "shop", ENTRIES)
    recipe = RECIPE.replace("  b: {use: signs, inputs: docs, factor: 2.0}\n", "").replace(", signs]", "]")
    run(recipe, tmp_path, tmp_path / "root")
    held = {p.name for p in (tmp_path / "root/code").rglob("*.py")}
    assert held == {"scorers.py", "helpers.py"}


@pytest.mark.parametrize(
    ("entries", "use", "told"),
    [
        ("signals = shop.scorers:loud", "signals", "winnow has an operator of this name"),
        ("minhash_pairs = shop.scorers:loud", "minhash_pairs", "winnow has an operator of this name"),
        ("lo-ud = shop.scorers:loud", "lo-ud", "letters, digits and _"),
        ("loud = shop.nowhere:loud", "loud", "cannot be imported: ModuleNotFoundError"),
        ("loud = shop.scorers:quiet", "loud", "cannot be imported: AttributeError"),
        ("loud = shop.scorers:plain", "loud", "neither a decorated function nor an operator"),
        ("loud = shop.classes:Signs", "loud", "is called 'signs' and its entry point 'loud'"),
        ("loud = shop.scorers:loud", "lout", "did you mean 'loud'"),
    ],
)
def test_what_cannot_be_used_says_why(site, tmp_path, entries, use, told):
    package(site, "shop", entries + "\n")
    with pytest.raises(ConfigError) as found:
        plan_of(f"stages:\n  docs: {{use: jsonl, files: d.jsonl}}\n  a: {{use: {use}, inputs: docs}}\n", tmp_path)
    assert told in str(found.value)
    if use != "lout":
        assert any(told in row["summary"] for row in operators())


def test_a_name_of_two_packages_is_an_error_and_no_other_recipe_minds(site, tmp_path):
    package(site, "shop", ENTRIES)
    package(site, "shop_two", "loud = shop_two.scorers:loud\nsignals = shop_two.scorers:loud\n")
    with pytest.raises(ConfigError, match=r"shop_two 1.2 has one of this name too"):
        plan_of(RECIPE, tmp_path)
    fine = "stages:\n  docs: {use: jsonl, files: d.jsonl}\n  clean: {use: filter, inputs: docs, keep: {w: word_count > 1}}\n"
    assert plan_of(fine, tmp_path).node("clean")
    assert registry.operator_class("signals").name == "signals"


def test_a_run_of_a_class_whose_package_is_gone_says_so(site, tmp_path):
    package(site, "shop", ENTRIES)
    ran = run(RECIPE, tmp_path, tmp_path / "root")
    shutil.rmtree(site / "shop-1.2.dist-info")
    plugins.cache_clear()
    assert ran.table("b", "signs")["signs"].to_pylist() == [4.0, 0.0]
    with pytest.raises(ConfigError, match="no operator 'signs'") as found:
        registry.class_named("signs")
    assert "installed here too" in str(found.value)


def test_a_new_plugin_installs_is_found_and_its_tests_pass(tmp_path):
    """By pip and another process, as a newcomer does it; without a network."""
    made = scaffold("plugin", "calm", tmp_path)
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(installed), str(tmp_path / "winnow_calm")], check=True, capture_output=True)
    path = os.pathsep.join([str(installed), str(Path(w.__file__).parents[1])])
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(made.test)]
    done = subprocess.run(
        test, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    with pytest.raises(ConfigError, match="already there"):
        scaffold("plugin", "calm", tmp_path)
    with pytest.raises(ConfigError, match="already"):
        scaffold("plugin", "signals", tmp_path)
