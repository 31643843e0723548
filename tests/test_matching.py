"""Documents of a run by what any of its columns says, whole, in the terminal and in Python."""

import json

import pyarrow as pa
import pytest
from cli_runs import winnow

import winnow as w
from winnow.cli import main
from winnow.core.errors import ConfigError
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.matching import column_of, names_of

LONG = "\n".join(f"  line {i} says :smile: and \x1b[31m{i * 'x'}" for i in range(90))
RECIPE = """
name: web
stages:
  docs:  {use: jsonl, files: "docs.jsonl", columns: {url: string, n: int64, s: float64, good: bool}}
  sig:   {use: signals, inputs: docs}
  clean: {use: filter, inputs: [docs, sig], keep: {few: "n < 9", words: "word_count >= 4"}}
  best:  {use: top_k, inputs: [docs, clean], by: s, budget: 5 docs}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matching")
    rows = [
        {"text": LONG if i == 3 else f"the text of document number {i} has {'words ' * i}", "good": i % 2 == 0, "n": i,
         "url": f"https://x.example/a?b={i % 10}&c=it's", "s": float("nan") if i == 5 else i / 4 - 1}
        for i in range(12)
    ]  # fmt: skip
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.yaml").write_text(RECIPE)
    assert main(["run", str(folder / "r.yaml"), "--out", str(folder / "out"), "--workers", "0"]) == 0
    return str(folder / "out")


def looked(capsys, *args, code=0):
    said = winnow(capsys, *args)
    assert said.code == code, said.err
    return said


def test_sample_where_names_columns_of_any_stage(ran, capsys):
    told = looked(capsys, "sample", ran, "--where", "url LIKE '%b=2%' AND best.kept IS NOT NULL", "--json").json()
    assert told["of"] == 0  # best kept 4..8 and has no nulls
    for rule, want in (
        ("n = 7", {7}), ("n > 6 AND sig.word_count > 0", {7, 8}), ("pass_few", {4, 6, 7, 8, 3}),
        ("clean.kept AND s > 0", {6, 7, 8}), ("text LIKE '%number 8%'", {8}), ("good", {4, 6, 8}), ("s IS NULL", set()),
    ):  # fmt: skip
        told = looked(capsys, "sample", ran, "--where", rule, "-n", 20, "--json").json()
        assert {int(d["origin"] != "") and _n(ran, d["doc_id"]) for d in told["documents"]} == want, rule
        assert (told["of"], told["where"]) == (len(want), rule)
    dropped = looked(capsys, "sample", ran, "--dropped", "--where", "n >= 9", "-n", 20, "--json").json()
    assert {_n(ran, d["doc_id"]) for d in dropped["documents"]} == {9, 10, 11}
    by = looked(capsys, "sample", ran, "--by", "few", "--where", "n != 10", "--json").json()
    assert {_n(ran, d["doc_id"]) for d in by["documents"]} == {9, 11}
    assert "of those where n = 7" in looked(capsys, "sample", ran, "--where", "n = 7").out


def _n(ran, doc_id):
    frame = w.open(ran).frame("docs", ["n"], doc_id="hex").collect()
    return dict(frame.select("doc_id", "n").iter_rows())[doc_id]


def test_full_shows_the_document_as_it_is(ran, capsys):
    short = looked(capsys, "sample", ran, "--where", "n = 3").out
    assert "line 80" not in short
    for args in (["sample", ran, "--where", "n = 3", "--full"], ["why", ran, "n=3", "--full"]):
        said = looked(capsys, *args).out
        for i in range(90):
            assert f"      line {i} says :smile: and \\x1b[31m{i * 'x'}\n" in said
        assert "\x1b" not in said
    told = looked(capsys, "why", ran, "n=3", "--full", "--json").json()
    assert told["text"] == LONG
    assert looked(capsys, "sample", ran, "--where", "n = 3", "--full", "--json").json()["documents"][0]["text"] == LONG


def meant(opened, asked):
    """What a text means: a document, or the list of several (all 12 are more than are listed)."""
    try:
        return opened.why(asked)["doc_id"]
    except ConfigError as several:
        return (
            several.what
            if "more than" not in several.what
            else "".join(opened.frame("docs", doc_id="hex").collect()["doc_id"])
        )


def test_a_document_is_found_by_every_column_that_its_rows_have(ran):
    """Generated over all columns of the run: the value of one row finds that row, alone or in the list."""
    opened = w.open(ran)
    run = FinishedRun(opened.record)
    (space,) = run.spaces()
    unit = next(iter(space.parts))
    tried = 0
    for name in names_of(run, space):
        column = column_of(run, space, name, where="")
        if not any(check(column.type) for check in (pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean,
                                                    pa.types.is_floating)):  # fmt: skip
            continue
        holder, own = (space, name) if name in ("text", "origin") else (column.stage, column.name)
        value = holder.cell(own, unit, 7)
        if value is None:
            continue
        asked = f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        assert space.cell("doc_id", unit, 7).hex() in meant(opened, asked), asked
        tried += 1
    assert tried > 25


def test_a_url_with_signs_in_it_is_found(ran, capsys):
    told = looked(capsys, "why", ran, "url=https://x.example/a?b=7&c=it's", "--json").json()
    assert told["stages"][0]["columns"]["n"] == 7
    assert looked(capsys, "why", ran, "--where", "n = 7 AND good = false", "--json").json()["doc_id"] == told["doc_id"]
    assert w.open(ran).why("n=7") == w.open(ran).why(where="n = 7")


def test_several_are_listed_and_none_is_said(ran, capsys):
    said = looked(capsys, "why", ran, "url=https://x.example/a?b=1&c=it's", code=2).err
    assert "means 2 documents" in said
    assert said.count("docs.jsonl#") == 2
    many = looked(capsys, "why", ran, "--where", "n >= 0", code=2).err
    assert "means more than 10 documents" in many
    assert many.count("docs.jsonl#") == 10
    assert "no document where n > 99" in looked(capsys, "why", ran, "--where", "n > 99", code=2).err
    assert "no document 'n=99'" in looked(capsys, "why", ran, "n=99", code=2).err


@pytest.mark.parametrize(
    "args", [["why", "urls=x"], ["why", "--where", "urls = 'x'"], ["sample", "--where", "urls = 'x'"]]
)
def test_a_name_that_is_none_says_which_columns_there_are(ran, capsys, args):
    verb, *more = args
    said = looked(capsys, verb, ran, *more, code=2).err
    assert "no column 'urls'" in said
    assert "did you mean 'url'?" in said
    assert "word_count" in said
    assert "clean.kept" in said


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["why", "n=many"], "no such number"), (["why", "good=perhaps"], "true or false"),
        (["why", "--where", "n"], "not true or false"), (["sample", "--where", "COUNT(n) > 1"], "COUNT"),
        (["why", "n=1", "--where", "n = 1"], "which document"), (["sample", "--cluster", "--where", "n = 1"], "clusters"),
        (["sample", "--bad", "--full"], "--bad"), (["sample", "--where", "CAST(url AS INT) = 1"], "worked out"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_why(ran, capsys, args, what):
    verb, *more = args
    assert what in looked(capsys, verb, ran, *more, code=2).err


def test_the_same_in_python(ran):
    opened = w.open(ran)
    assert [d["text"] for d in opened.sample(where="n = 3", full=True)["documents"]] == [LONG]
    assert opened.sample(where="n > 6", n=9)["of"] == 2
    with pytest.raises(ConfigError, match="no column"):
        opened.sample(where="nothing > 6")
