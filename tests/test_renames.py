"""A new name of a stage, a run or a file is no change: `plan` and `diff` tell what differs besides."""

import json
import re
import shutil

import pytest

from winnow.__main__ import main

RECIPE = """
name: one
stages:
  docs: {use: jsonl, files: "in/*.jsonl", id: content}
  sig: {use: signals, inputs: docs}
  clean: {use: filter, inputs: sig, keep: {long: "word_count >= 10"}}
  dup: {use: exact, inputs: docs, where: kept_clean}
  both: {use: filter, inputs: [docs, clean, dup], keep: {fresh: "kept_dup AND kept_clean"}}
  pick: {use: random, inputs: [docs, dup], budget: 40%}
  corpus: {use: write, inputs: pick, where: kept_pick}
"""
NEW = {"sig": "measures", "clean": "tidy", "dup": "apart", "both": "all_of_it", "pick": "choice", "corpus": "end"}


def renamed(text):
    for old, new in NEW.items():
        text = re.sub(rf"\b{old}\b|(?<=kept_){old}\b", new, text)
    return text


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in "ab":
        rows = [{"text": " ".join(f"{name}{i}w{k}" for k in range(5 + i))} for i in range(20)]
        (tmp_path / "in" / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    run(tmp_path, RECIPE, capsys)
    return tmp_path


def run(folder, text, capsys):
    (folder / "r.yaml").write_text(text)
    assert main(["run", "r.yaml", "--out", "root"]) == 0
    capsys.readouterr()


def plan(folder, text, capsys, *more):
    (folder / "r.yaml").write_text(text)
    assert main(["plan", "r.yaml", "--out", "root", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def told(view):
    return {s["name"]: [c["field"] for c in s["changed"]] for s in view["stages"] if s["state"] != "cached"}


def diff(capsys):
    assert main(["diff", "root:one@prev", "root:one", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_stages_and_runs_under_new_names_are_cached(ran, capsys):
    assert told(plan(ran, renamed(RECIPE).replace("name: one", "name: two"), capsys)) == {}


def test_a_change_under_new_names_is_told_alone(ran, capsys):
    changed = told(plan(ran, renamed(RECIPE).replace(">= 10", ">= 12"), capsys))
    own = {s: [f for f in fields if not f.startswith("input ")] for s, fields in changed.items()}
    assert own == {"tidy": ["keep.long"], "apart": [], "all_of_it": [], "choice": [], "end": []}
    assert all(not f.endswith(tuple(NEW)) for fields in changed.values() for f in fields)


def test_a_run_under_a_new_name_tells_its_changes_against_the_last_run_of_the_root(ran, capsys):
    text = RECIPE.replace("name: one", "name: two").replace(">= 10", ">= 12")
    assert told(plan(ran, text, capsys))["clean"] == ["keep.long"]


def test_a_diff_of_runs_whose_stages_have_other_names_tells_no_change(ran, capsys):
    run(ran, renamed(RECIPE), capsys)
    answer = diff(capsys)
    assert (answer["fields"], answer["moved"]) == ({}, [])


@pytest.mark.parametrize(("was", "now"), [(">= 10", ">= 12"), (">= 12", ">= 10")])
def test_a_diff_tells_the_change_of_a_stage_with_another_name_as_the_reason(ran, capsys, was, now):
    run(ran, RECIPE.replace(">= 10", was), capsys)
    run(ran, renamed(RECIPE).replace(">= 10", now), capsys)
    answer = diff(capsys)
    assert {s: [c["field"] for c in f] for s, f in answer["fields"].items()} == {"tidy": ["keep.long"]}
    reasons = [r for r in answer["reasons"] if r["stage"] in ("clean", "tidy")]
    assert reasons
    assert all([f["field"] for f in r["fields"]] == ["keep.long"] for r in reasons)
    assert all(e["a"] and e["b"] for r in reasons for e in r["examples"])


def test_a_renamed_file_is_told_as_that(ran, capsys):
    shutil.move(ran / "in/a.jsonl", ran / "in/c.jsonl")
    (ran / "in/d.jsonl").write_text('{"text": "another one"}\n')
    (docs,) = (s for s in plan(ran, RECIPE, capsys)["stages"] if s["name"] == "docs")
    (change,) = docs["changed"]
    assert change["now"] == "3 files: 1 renamed (a.jsonl -> c.jsonl), 1 added (d.jsonl)"


@pytest.mark.parametrize(("share", "shown"), [("0.02", "max_bad_share: 0.02"), ("0.001", "")])
def test_what_a_recipe_or_a_stage_bears_of_bad_records_is_shown_where_it_is_not_the_usual(ran, capsys, share, shown):
    (ran / "r.yaml").write_text(RECIPE)
    assert main(["plan", "r.yaml", "--out", "root", "--set", f"max_bad_share={share}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "max_bad_share" in line] == ([f"every stage: {shown}"] if shown else [])


def test_the_rules_of_one_stage_are_shown_with_it(ran, capsys):
    text = RECIPE.replace("id: content}", "id: content, max_bad_share: 0, strict: true}")
    (ran / "r.yaml").write_text(text)
    assert main(["plan", "r.yaml", "--out", "root"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "strict" in line] == ["max_bad_share: 0, strict: true"]
    stages = {s["name"]: s for s in plan(ran, text, capsys)["stages"]}
    assert stages["docs"]["strict"]
    assert stages["docs"]["max_bad_share"] == 0
    assert not stages["sig"]["strict"]
