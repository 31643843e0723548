"""Names, not places, are identity: modules move, and every old run stays readable and cached."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import orjson
import pytest
from support import lines_of, put_file, run, texts

import winnow
from winnow.core.errors import ConfigError
from winnow.core.operators import Operator
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build, by_todays_names
from winnow.core.operators.fingerprint import encode
from winnow.dags.recipe.registry import REGISTRY, RENAMED, SUB_STAGES, class_at, class_named
from winnow.dags.shapes.stage_file import read_stage

PACKAGE = Path(winnow.__file__).parent
RECIPE = """
seed: 7
stages:
  docs: {use: jsonl, files: "docs.jsonl", id: content}
  sig: {use: signals, inputs: docs}
  clean: {use: filter, inputs: sig, keep: {some: "word_count >= 5"}}
  once: {use: exact, inputs: [docs, clean], where: kept_clean}
  best: {use: top_k, inputs: [docs, once], by: word_count, budget: 60%}
  corpus: {use: write, inputs: [docs, best]}
"""


def command(copy: Path, folder: Path, *words: str) -> str:
    """What `winnow WORDS` of the package below `copy` prints."""
    done = subprocess.run([sys.executable, "-m", "winnow", *words], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "120"}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def move_modules(copy: Path, modules: list[str]) -> None:
    """Every one of the modules to a folder of its own, and all that names it after it."""
    package = copy / "winnow"
    names = {module: f"winnow.elsewhere.moved_{n}_{module.rpartition('.')[2]}" for n, module in enumerate(modules)}
    (package / "elsewhere").mkdir()
    (package / "elsewhere" / "__init__.py").write_text("")
    for old, new in names.items():
        (copy / (old.replace(".", "/") + ".py")).rename(copy / (new.replace(".", "/") + ".py"))
    pattern = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, names)) + r")(?!\w)")
    for path in package.rglob("*.py"):
        text = path.read_text()
        moved = pattern.sub(lambda m: names[m[1]], text)
        if moved != text:
            path.write_text(moved)


def test_a_moved_module_leaves_every_run_cached_and_readable(tmp_path):
    rows = [{"text": f"word {n} " * (n % 9)} for n in range(1, 60)]
    (tmp_path / "docs.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "r.yaml").write_text(RECIPE)
    command(PACKAGE.parent, tmp_path, "run", "r.yaml", "--out", "root")
    records = {p: p.read_bytes() for p in tmp_path.glob("root/*/stage.json")}
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "winnow")
    used = [REGISTRY[name].partition(":")[0] for name in ("jsonl", "filter", "exact", "top_k", "write")]
    move_modules(copy, [*dict.fromkeys(used), "winnow.core.operators.budget"])

    for path in records:  # as an earlier version left them: a path of a class that is gone, a field that was not there
        body = orjson.loads(path.read_bytes())
        body.pop("operator")
        path.write_bytes(orjson.dumps(body | {"class": "winnow.gone:Gone"}))
    assert "clean.some: word_count >= 5" in command(
        copy, tmp_path, "sample", "root", "--dropped", "-n", "1"
    )  # as they lie
    answer = json.loads(command(copy, tmp_path, "run", "r.yaml", "--out", "root", "--json").splitlines()[-1])
    assert {s["computed_units"] for s in answer["stages"].values()} == {0}
    assert {p: p.read_bytes() for p in tmp_path.glob("root/*/stage.json")} == records  # adopted: refreshed


def test_every_operator_class_is_found_by_the_name_that_records_hold():
    for path in (*REGISTRY.values(), *SUB_STAGES.values()):
        class_at(path)

    def below(cls: type) -> list[type]:
        return [c for s in cls.__subclasses__() for c in (s, *below(s))]

    ours = [c for c in below(Operator) if "name" in vars(c) and c.__module__.startswith("winnow.")]
    assert len(ours) > 80
    assert [c for c in ours if class_named(c.name) is not c] == []
    assert set(REGISTRY) & set(SUB_STAGES) == set()
    assert set(RENAMED) & (set(REGISTRY) | set(SUB_STAGES)) == set()
    with pytest.raises(ConfigError, match="no operator 'never_was'"):
        class_named("never_was")


def test_a_former_name_is_the_operator_of_today(monkeypatch):
    monkeypatch.setitem(RENAMED, "best_k", "top_k")
    assert class_named("best_k") is class_named("top_k")


FORMER = [
    (cls, old, new)
    for cls in (class_at(path) for path in (*REGISTRY.values(), *SUB_STAGES.values()))
    for old, new in cls.former.items()
]


@pytest.mark.parametrize(("cls", "old", "new"), FORMER, ids=[f"{c.name}.{old}" for c, old, _ in FORMER])
def test_a_former_field_is_refused_with_its_name_of_today_and_read_in_records(cls, old, new):
    fields = {f.name for f in dataclasses.fields(cls)}
    assert new in fields
    assert old not in fields
    with pytest.raises(ConfigError, match=f"'{old}' of '{cls.name}' is now called '{new}'") as error:
        build(cls, {old: "x"}, where="effect")
    assert error.value.where == f"effect.{old}"
    assert f"`{new}:`" in error.value.hint
    assert by_todays_names(cls, {old: 1, "other": 2}) == {new: 1, "other": 2}


def test_a_record_of_an_earlier_version_opens_under_the_names_of_today(tmp_path, monkeypatch):
    put_file(tmp_path / "docs.jsonl", lines_of(texts(9)))
    recipe = 'stages:\n  docs: {use: jsonl, files: "docs.jsonl"}\n  best: {use: top_k, inputs: docs, by: text_bytes, budget: 3 documents}\n'
    ran = run(recipe, tmp_path, tmp_path / "root")
    path = f"{ran.plan.node('best').folder}/stage.json"
    body = orjson.loads(ran.store.get(path))
    body["config"]["rank_by"] = body["config"].pop("by")
    ran.store.put(path, orjson.dumps(body))
    with pytest.raises(ConfigError, match="has no field 'rank_by'"):
        _ = read_stage(str(tmp_path / "root"), ran.plan.node("best").folder).operator
    monkeypatch.setattr(class_named("top_k"), "former", {"rank_by": "by"})
    assert read_stage(str(tmp_path / "root"), ran.plan.node("best").folder).operator.by == "text_bytes"
    with pytest.raises(ConfigError, match="'rank_by' of 'top_k' is now called 'by'"):
        run(recipe.replace("by:", "rank_by:"), tmp_path, tmp_path / "root")


def test_a_value_is_encoded_by_its_registered_name_not_by_its_module():
    assert encode(Budget.parse("5M tokens"))[:2] == ["data", "budget"]

    @dataclasses.dataclass(frozen=True)
    class Nameless:
        size: int = 1

    @dataclasses.dataclass(frozen=True)
    class Named(Nameless):
        name: ClassVar[str] = "pair"

    with pytest.raises(ConfigError, match="Nameless has no registered name"):
        encode(Nameless())
    before = encode(Named())
    Named.__module__, Named.__qualname__ = "elsewhere", "Other"
    assert encode(Named()) == before


def test_the_record_of_an_unfinished_stage_is_refreshed_too(tmp_path):
    put_file(tmp_path / "docs.jsonl", lines_of(texts(9)))
    recipe = 'stages:\n  docs: {use: jsonl, files: "docs.jsonl"}\n  tokens: {use: count_tokens, inputs: docs, timeout_s: %d}\n'
    ran = run(recipe % 100, tmp_path, tmp_path / "root")
    folder = ran.plan.node("tokens").folder
    ran.store.delete(f"{folder}/manifest.json")  # as if it had been killed before its end
    again = run(recipe % 200, tmp_path, tmp_path / "root")
    assert again.plan.node("tokens").folder == folder
    assert orjson.loads(ran.store.get(f"{folder}/stage.json"))["timeout_s"] == 200
