"""What somebody meets in the first hour: fields that can be looked up, errors that say what to write, narrow screens."""

import gzip
import io
import json

import pytest
from cli_runs import make_input, winnow, write_recipe
from rich.console import Console

from winnow.dags.before.catalogue import described, described_lines, presets
from winnow.dags.looking.summary import Clause, StageSummary, _funnel
from winnow.dags.recipe.found_files import labels_of
from winnow.dags.recipe.registry import REGISTRY

OTHER = """
name: other
stages:
  docs: {{use: jsonl, files: "other.jsonl", {fields}}}
  long: {{use: filter, inputs: docs, keep: {{long: "length(text) > 1"}}}}
"""
OWN = """
name: own
max_bad_share: 0.9
stages:
  docs: {{use: jsonl, files: "other.jsonl", text_field: content}}
  mine: {{use: "mine:mine", inputs: docs, {keys}}}
"""
MINE = '''
import polars as pl

import winnow


def one(text):
    return 1 / (len(text) - {bad})


@winnow.scorer("mine")
def mine(text: pl.Series) -> pl.Series:
    """A number that some rows do not have."""
    return {body}
'''
ROW_BY_ROW = "text.map_elements(one, return_dtype=pl.Float64)"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Forty records whose text is in `content` and whose id is in `uid`; the first has eleven characters."""
    rows = [{"uid": f"u{i}", "content": "x" * (11 + i)} for i in range(40)]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(folder, *, bad=11, body=ROW_BY_ROW, keys="timeout_s: 60"):
    (folder / "mine.py").write_text(MINE.format(bad=bad, body=body))
    return write_recipe(folder, OWN.format(keys=keys), "own.yaml")


def run(capsys, path, *more):
    return winnow(capsys, "run", path, "--out", "out", "--workers", 0, *more)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operator_has_a_card_that_fits_and_names_its_fields(name):
    told = described(name)
    lines = [line for _, line in described_lines(told, width=80)]
    assert all(len(line) <= 80 for line in lines[:-1] if "/" not in line)
    assert [f["name"] for f in told["fields"] if not any(line.startswith(f"  {f['name']} ") for line in lines)] == []
    assert f"use: {name}" in lines[-1]
    required = [f["name"] for f in told["fields"] if f["default"] is None]
    assert [r for r in required if f"{r}: " not in lines[-1]] == []


def test_list_shows_what_a_reader_calls_the_text_and_the_clauses_of_a_preset(here, capsys):
    reader = winnow(capsys, "list", "jsonl")
    assert "text_field" in reader.out
    assert "position, content, or field:NAME" in reader.out
    assert "gopher_words: plain_word_count BETWEEN 50 AND 100000" in winnow(capsys, "list", "gopher_quality").out
    assert {p["name"] for p in presets()} >= {"gopher_quality", "c4", "fineweb"}
    assert winnow(capsys, "list", "minhash", "--json").json()["fields"][0]["default"] == "0.75"
    wrong = winnow(capsys, "list", "minhsh")
    assert (wrong.code, "did you mean 'minhash'" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("fields", "code", "hint"),
    [
        ("id: uid, text_field: content", 2, "`id: field:uid`"),
        ("id: content", 3, "`text_field:` names the field with the text (here 'text')"),
    ],
)
def test_an_id_and_a_text_field_by_another_name_are_said_as_they_must_be_written(here, capsys, fields, code, hint):
    said = run(capsys, write_recipe(here, OTHER.format(fields=fields)))
    assert (said.code, hint in said.err) == (code, True), said.err


def test_a_compressed_file_without_its_suffix_is_recognised(here, capsys):
    (here / "other.jsonl").write_bytes(gzip.compress((here / "other.jsonl").read_bytes()))
    said = run(capsys, write_recipe(here, OTHER.format(fields="text_field: content")))
    assert "let its name end in .gz" in said.err


def test_a_failed_row_names_the_line_of_the_users_function(here, capsys):
    said = run(capsys, own(here))
    assert said.code == 0, said.err
    assert "ZeroDivisionError: division by zero (mine.py:8)" in said.out


def test_many_failed_rows_name_their_true_number_a_document_and_the_line(here, capsys):
    said = run(capsys, own(here, body="text.map_elements(lambda t: one('x' * 11), return_dtype=pl.Float64)"))
    assert said.code == 3
    assert "more than 5 of the first 40 rows failed" in said.err
    assert "(mine.py:8)" in said.err
    doc_id = said.err.split("document ")[1][:32]
    assert winnow(capsys, "why", "out", doc_id).code == 0


def test_a_stage_made_strict_is_judged_anew_though_it_is_cached(here, capsys):
    assert run(capsys, own(here)).code == 0
    strict = run(capsys, own(here, keys="strict: true, max_bad_share: 0"))
    assert strict.code == 3
    assert "1 of 40 rows of stage 'mine' failed" in strict.err
    assert run(capsys, own(here)).code == 0


def test_rows_without_a_score_are_told(here, capsys):
    said = run(capsys, own(here, body="pl.Series([None, *range(1, len(text))], dtype=pl.Float64)"))
    assert "1 of 40 without a score" in said.out


def test_two_words_for_one_run_are_told_apart_from_two_runs(tmp_path, monkeypatch, capsys):
    make_input(tmp_path, files=1, rows=8)
    monkeypatch.chdir(tmp_path)
    text = 'stages:\n  docs: {use: jsonl, files: "raw/*.jsonl"}\n  long: {use: filter, inputs: docs, keep: {a: "length(text) > 20"}}\n'
    path = write_recipe(tmp_path, text)
    for name in ("one", "two"):
        assert winnow(capsys, "run", path, "--out", "out", "--name", name, "--workers", 0).code == 0
    assert "A and B are one run" in winnow(capsys, "diff", "out", "out:two").out
    assert "A and B are one run" not in winnow(capsys, "diff", "out:one", "out:two").out


def summaries():
    clauses = [Clause(name="gopher_words", refuses=12, alone=3, null=0), Clause(name="a", refuses=0, alone=0, null=0)]
    return [
        StageSummary(name="docs", operator="jsonl", facts=["1,201 documents, 2.6 MB of text from 3 files"]),
        StageSummary(name="clean", operator="filter", asked=1201, kept=1190, clauses=[*clauses, clauses[1]]),
    ]


@pytest.mark.parametrize("width", [46, 60, 120])
def test_the_funnel_fits_its_terminal_and_says_everything(width):
    out = io.StringIO()
    console = Console(file=out, width=width)
    for line in _funnel(summaries(), width):
        console.print(line, soft_wrap=True)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    told = " ".join(out.getvalue().split())
    assert "1,201 documents, 2.6 MB of text from 3 files" in told
    assert "gopher_words refuses 12, alone 3 2 clauses refuse nothing" in told


def test_columns_says_how_wide_piped_output_is(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    narrow = winnow(capsys, "list", "jsonl").out.splitlines()
    assert max(len(line) for line in narrow[1:-1]) <= 50


def test_the_version_is_told(capsys):
    from winnow import __version__

    said = winnow(capsys, "--version")
    assert (said.code, said.out) == (0, f"winnow {__version__}\n")


def test_files_of_a_target_go_by_their_own_name_or_their_folders():
    names = ["evals/target.jsonl", "evals/*.jsonl", "stars", "a/x.jsonl", "b/x.jsonl", "/d/1.jsonl", "fit.model"]
    assert labels_of(names, {"stars", "fit.model"}) == {
        "target": "evals/target.jsonl", "evals": "evals/*.jsonl", "stars": "stars", "a/x.jsonl": "a/x.jsonl",
        "b/x.jsonl": "b/x.jsonl", "/d/1.jsonl": "/d/1.jsonl", "fit.model": "fit.model",
    }  # fmt: skip
