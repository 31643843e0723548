"""Runs that are unfinished, failed or of another version, and selectors that answer nonsense: a clear word each."""

import contextlib
import json
import re
import shutil

import polars as pl
import pytest
from cli_runs import RECIPE, make_input, winnow, write_recipe

import winnow as w
from winnow.cli import main
from winnow.core.errors import ContractError, StoreError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.store.locations import open_store
from winnow.dags.recipe.records import latest_record
from winnow.selectors.function_selector import FunctionSelector

LOOKS = {
    "why": ["why", "runs/web", "doc-0-3"],
    "sample": ["sample", "runs/web"],
    "sweep": ["sweep", "runs/web", "--vary", "clean.long=word_count >= 50"],
    "diff": ["diff", "runs/web", "other/web"],
    "report": ["report", "runs/web"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    make_input(folder)
    write_recipe(folder)
    with contextlib.chdir(folder):
        assert main(["run", "web.yaml", "--out", "runs/web", "--workers", "0", "--json"]) == 0
        shutil.copytree("runs/web", "other/web")
    return folder


@pytest.fixture
def root(ran, tmp_path, monkeypatch):
    """A copy of the run, in the working folder."""
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return open_store(tmp_path / "runs/web")


def folder_of(root, stage):
    record = latest_record(root)
    return next(s["dir"] for n, s in record.stages.items() if record.shown_names()[n] == stage)


def without(root, *stages):
    for stage in stages:
        root.delete(f"{folder_of(root, stage)}/manifest.json")


@pytest.mark.parametrize("verb", LOOKS)
def test_a_run_that_has_just_begun_is_refused_with_what_to_do(root, capsys, verb):
    for entry in latest_record(root).stages.values():
        root.delete(f"{entry['dir']}/manifest.json")
    told = winnow(capsys, *LOOKS[verb])
    assert told.code in (2, 4)
    assert "complete" in told.err or "no manifest" in told.err
    assert "run it" in told.err
    assert "Traceback" not in told.err


def test_why_in_an_unfinished_run_tells_what_was_decided_and_what_was_not_run(root, capsys):
    without(root, "exact", "unique", "best", "plain", "corpus")
    told = winnow(capsys, *LOOKS["why"], "--json").json()
    states = {s["stage"]: s["state"] for s in told["stages"]}
    assert states["clean"] == "ok"
    assert states["exact"] == states["best"] == "not run"
    assert [e["stage"] for e in told["ended"]] == ["clean"]
    assert "not run" in winnow(capsys, *LOOKS["why"]).out
    opened = w.open("runs/web")
    assert opened.stages["clean"]["complete"]
    assert not opened.stages["best"]["complete"]
    with pytest.raises(StoreError, match="'best' of run 'web' is not complete"):
        opened.frame("best")


def test_a_failed_run_is_looked_at_as_far_as_it_came(root, capsys, tmp_path):
    with (tmp_path / "raw" / "1.jsonl").open("a") as sink:
        sink.write("no json\n" * 40)
    recipe = RECIPE.replace("stages:", "stages:\n  more: {use: jsonl, files: 'raw/1.jsonl', source: more}", 1)
    write_recipe(tmp_path, recipe.replace("raw/*", "raw/[02]*"))
    failed = winnow(capsys, "run", "web.yaml", "--out", "runs/web", "--workers", "0")
    assert failed.code == 3
    assert winnow(capsys, *LOOKS["why"], "--json").json()["ended"]
    told = winnow(capsys, "sample", "runs/web", "--json").json()
    assert [m["stage"] for m in told["incomplete"]] == ["more"]
    assert winnow(capsys, *LOOKS["report"]).code == 0
    assert w.open("runs/web").stages["more"]["complete"] is False
    with pytest.raises(StoreError, match="'more' of run 'web' is not complete"):
        w.open("runs/web").frame("more")


def later(text):
    """The JSON with a field that this version does not know."""
    return json.dumps({**json.loads(text), "of_tomorrow": 1}).encode()


@pytest.mark.parametrize("damage", [later, lambda text: b"{}", lambda text: b"{"], ids=["later", "empty", "torn"])
@pytest.mark.parametrize("verb", LOOKS)
def test_a_manifest_of_another_version_is_named_by_every_verb(root, capsys, verb, damage):
    key = f"{folder_of(root, 'clean')}/manifest.json"
    root.put(key, damage(root.get(key)))
    told = winnow(capsys, *LOOKS[verb])
    assert told.code == 4
    assert "another version of winnow" in told.err
    assert "hint" in told.err
    assert "this is a bug" not in told.err


def test_a_run_over_a_manifest_of_another_version_says_so_and_harms_nothing(root, capsys):
    key = f"{folder_of(root, 'clean')}/manifest.json"
    root.put(key, later(root.get(key)))
    told = winnow(capsys, "run", "web.yaml", "--out", "runs/web", "--workers", "0")
    assert told.code == 4
    assert "another version of winnow" in told.err
    assert b"of_tomorrow" in root.get(key)


@pytest.mark.parametrize("verb", LOOKS)
def test_a_record_of_another_version_is_named_by_every_verb(root, capsys, verb):
    root.put("runs/web.json", json.dumps({**json.loads(root.get("runs/web.json")), "format": 99}).encode())
    told = winnow(capsys, *LOOKS[verb])
    assert told.code == 4
    assert "does not read" in told.err


@pytest.mark.parametrize("doc", ["doc-99-99", "deadbeef01", "2.jsonl#999999"])
def test_a_document_that_is_not_there_exits_2_with_names_to_try(root, capsys, doc):
    told = winnow(capsys, "why", "runs/web", doc)
    assert told.code == 2
    assert f"no document '{doc}'" in told.err
    assert any(word in told.err for word in ("nearest ids:", "origins like it:", "origins look like", "did you mean"))


def test_why_means_the_latest_run_where_none_is_named(root, capsys):
    named = winnow(capsys, "why", "runs/web", "doc-0-3", "--json").json()
    assert winnow(capsys, "why", "doc-0-3", "--json").json() == named
    assert winnow(capsys, "why", "runs/web:web", "doc-0-3", "--json").json() == named
    told = winnow(capsys, "why", "runs/web")
    assert told.code == 2
    assert "no document is named" in told.err
    assert "winnow sample runs/web" in told.err
    told = winnow(capsys, "why", "wbe", "doc-0-3")
    assert told.code == 2
    assert "did you mean 'web'?" in told.err


def test_a_report_tells_its_alarms_in_words(root, capsys, tmp_path):
    with (tmp_path / "raw" / "2.jsonl").open("a") as sink:
        sink.write("no json\n")
    assert winnow(capsys, "run", "web.yaml", "--out", "runs/web", "--workers", "0").code == 0
    told = winnow(capsys, "report", "runs/web")
    assert "! docs: 1 record or row in quarantine, without an answer; first: 2.jsonl#" in told.out
    assert "{" not in told.out


SELECTOR = """
import polars as pl
import winnow as w

@w.selector("mine", needs=("text_bytes",))
def mine(rows, budget):
    n = len(rows)
    {do}
"""


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("return pl.Series([1.0] * (n - 1) + [float('nan')])", "1 weight that is NaN"),
        ("return pl.Series([1.0] * (n - 1) + [-0.5])", "1 weight that is negative"),
        ("return pl.Series([1.0] * (n - 1) + [None])", "1 weight that is null"),
        ("return pl.Series([1.0] * (n - 1) + [float('inf')])", "1 weight that is infinite"),
        ("return pl.Series([1.0] * (n - 1))", "weights for"),
        ("return []", "0 weights for"),
        ("return pl.Series(['much'] * n)", "not numbers"),
        ("return None", "NoneType, not a series of weights"),
    ],
)
def test_a_selector_that_answers_nonsense_is_refused_by_name(tmp_path, do, told):
    (tmp_path / "choice.py").write_text(SELECTOR.replace("{do}", do))
    chosen = FunctionSelector(target="choice:mine", columns=("text_bytes",), budget=Budget(5, "docs"))
    with pytest.raises(ContractError, match=told) as refused:
        chosen.solve(pl.DataFrame({"text_bytes": range(60)}), Context(seed=0, work=tmp_path, code=tmp_path))
    assert refused.value.where == "choice:mine"


def test_a_run_whose_selector_answers_nonsense_exits_3_and_commits_no_selection(tmp_path, monkeypatch, capsys):
    make_input(tmp_path, files=1)
    (tmp_path / "choice.py").write_text(SELECTOR.replace("{do}", "return pl.Series([float('nan')] * n)"))
    recipe = (
        'stages:\n  docs: {use: jsonl, files: "raw/*"}\n  best: {use: "choice:mine", inputs: docs, budget: 5 docs}\n'
    )
    write_recipe(tmp_path, recipe)
    monkeypatch.chdir(tmp_path)
    done = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", "0")
    assert done.code == 3, done.err
    assert re.search(
        r"the selector returned [1-9]\d* weights that are NaN \(the first in row 0; choice\.py:\d+\)", done.err
    )
    assert "choice:mine" in done.err
    assert not list((tmp_path / "out").glob("function_selector-*/manifest.json"))


FRAGILE = """
import polars as pl
import winnow

@winnow.scorer("fragile")
def fragile(text: pl.Series) -> pl.Series:
    if text.str.contains("bad").any():
        raise ValueError("a bad one")
    return text.str.len_chars().cast(pl.Float64)
"""


@pytest.mark.parametrize(("early", "late", "code"), [(5, 0, 0), (6, 0, 3), (5, 4, 0), (0, 7, 0)])
def test_more_than_five_failing_rows_of_the_first_thousand_are_a_bug_of_the_operator(
    tmp_path, monkeypatch, capsys, early, late, code
):
    rows = ["bad" if n % 150 == 0 and n < 150 * early else f"good {n}" for n in range(1000)]
    rows += ["bad" if n % 40 == 0 and n < 40 * late else f"more {n}" for n in range(400)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in rows))
    (tmp_path / "mine.py").write_text(FRAGILE)
    (tmp_path / "r.yaml").write_text("""
max_bad_share: 0.5
stages:
  docs: {use: jsonl, files: docs.jsonl}
  mine: {use: "mine:fragile", inputs: docs}
""")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "r.yaml", "--out", "root", "--workers", "1"]) == code
    said = capsys.readouterr()
    assert ("more than 5 of the first 1000 rows failed" in said.err + said.out) == bool(code)
