"""The looking verbs: samples that stay the same, sweeps that a run confirms, diffs that name the cause, estimates."""

import contextlib
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import support
import zstandard
from cli_runs import RECIPE, make_input, winnow, write_recipe
from support_looking import grow

from winnow.cli import main
from winnow.core.errors import ConfigError, StoreError
from winnow.core.numerics.binomial import wilson
from winnow.core.operators.sql import numbers, replace_number
from winnow.core.store.locations import open_store
from winnow.core.terminal import escaped
from winnow.dags.before.estimate import estimate
from winnow.dags.before.estimate_sample import choose
from winnow.dags.before.estimate_totals import estimate_lines, kept_share, t_quantile, totals
from winnow.dags.driver.session import prepare
from winnow.dags.looking.address import find_record
from winnow.dags.looking.changes import Means, as_text, own_changes
from winnow.dags.looking.diff import diff_json
from winnow.dags.looking.diff_fields import diff_lines
from winnow.dags.looking.run import OpenedRun
from winnow.dags.looking.samples import sample_json, sample_lines
from winnow.dags.looking.sweep import sweep_json, sweep_lines
from winnow.dags.recipe.input_files import InputFile
from winnow.dags.recipe.records import latest_record
from winnow.pipeline.read.jsonl import Jsonl

TOKENS = "  tokens: {use: count_tokens, inputs: docs}\n  best:"
HOSTILE = "red\x1b[31m alert \u202egnp.exe\x07 " + "plain words that go on " * 6


def run(*args):
    assert main(["run", "web.yaml", "--workers", "0", "--json", *map(str, args)]) == 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Root `web` with the runs `web` and `strict` (a changed clause); root `more` with one file more and more words."""
    folder = tmp_path_factory.mktemp("looking")
    planted = make_input(folder)
    with (folder / "raw/0.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": HOSTILE, "uid": "hostile"}) + "\n")
    write_recipe(folder, RECIPE.replace("  best:", TOKENS))
    with contextlib.chdir(folder):
        run("--out", "runs/web")
        run("--out", "runs/web", "--name", "strict", "--set", "min_words=80")
        make_input(folder, files=1, rows=20, start=3)
        run("--out", "runs/more", "--set", "clean.keep.long=word_count >= 70", "--name", "more")
    return folder, planted


@pytest.fixture
def web(ran, monkeypatch):
    monkeypatch.chdir(ran[0])
    return latest_record(open_store(ran[0] / "runs/web"), "web")


def values(record, stage, *columns):
    """Columns of a stage, as the Python form reads them."""
    return OpenedRun(record=record).frame(stage, list(columns), doc_id="hex").collect()


def lines_of(lines):
    return "\n".join(line for _, line in lines)


# -- which run ---------------------------------------------------------------------------------------------


def test_a_run_is_found_by_root_by_name_and_as_the_latest_of_all(web, ran):
    assert find_record("runs/web", "web").name == "web"
    assert find_record("web:strict").name == "strict"
    assert find_record("strict").name == "strict"
    assert find_record(str(ran[0] / "runs/more")).name == "more"
    assert find_record(None).name == "more"
    with pytest.raises(ConfigError, match="no run at 'wob'"):
        find_record("wob")
    with pytest.raises(ConfigError, match="no run 'strct'") as error:
        find_record("web:strct")
    assert "strict" in error.value.hint


def test_a_name_that_two_roots_have_is_refused_with_the_choices(web, ran):
    shutil.copytree(ran[0] / "runs/web", ran[0] / "runs/copy")
    try:
        with pytest.raises(ConfigError, match="2 roots have a run 'strict'") as error:
            find_record("strict")
        assert "copy:strict" in error.value.hint
    finally:
        shutil.rmtree(ran[0] / "runs/copy")


# -- sample ------------------------------------------------------------------------------------------------


def test_a_sample_is_of_the_kept_documents_and_a_longer_one_begins_with_the_shorter(web):
    three, ten = (sample_json(web, n=n) for n in (3, 10))
    kept = set(values(web, "best", "kept").filter(pl.col("kept"))["doc_id"])
    assert three["of"] == ten["of"] == len(kept) == 40
    assert [d["doc_id"] for d in three["documents"]] == [d["doc_id"] for d in ten["documents"]][:3]
    assert {d["doc_id"] for d in ten["documents"]} <= kept
    assert three["stage"] == "best"
    assert all(d["values"]["word_count"] > 0 for d in three["documents"])


def test_documents_dropped_by_a_clause_show_its_rule_and_the_value_that_decided(web, ran):
    told = sample_json(web, by="long", n=20)
    counts = values(web, "clean", "pass_long")
    assert told["of"] == (~counts["pass_long"]).sum() == told["only"]
    assert (told["rule"], told["null"]) == ("word_count >= 40", 0)
    for document in told["documents"]:
        (refusing,) = [c for c in document["clauses"] if c["passed"] is not True]
        assert refusing["clause"] == "long"
        assert refusing["values"]["word_count"] < 40
    assert sample_json(web, by="clean.long", n=20) == {**told, "by": "clean.long"}
    assert [d["text"] for d in told["documents"] if d["text"] == "too short by far"]


def test_dropped_documents_are_each_told_once_with_the_first_stage_that_dropped_them(web):
    told = sample_json(web, dropped=True, n=1000)
    ids = [d["doc_id"] for d in told["documents"]]
    assert len(ids) == len(set(ids)) == told["of"] == 181 - 40
    stages = {s: sum(d["stage"] == s for d in told["documents"]) for s in ("clean", "exact", "unique", "best")}
    assert stages == {"clean": 4, "exact": 2, "unique": 2, "best": 133}
    assert sample_json(web, by="exact", n=9)["of"] == 2


def test_duplicate_clusters_show_the_keeper_first_and_every_member(web, ran):
    told = sample_json(web, cluster=True, stage="exact")
    ((cluster,), of) = told["clusters"], told["of"]
    assert (of, cluster["size"]) == (1, 3)
    assert [m["kept"] for m in cluster["members"]] == [True, False, False]
    assert {m["text"][:18] for m in cluster["members"]} == {"the very same text"}
    near = sample_json(web, cluster=True, largest=True)
    assert near["stage"] == "unique"
    assert all(0.7 <= m["jaccard"] <= 1 for m in near["clusters"][0]["members"][1:])


def test_control_and_direction_characters_never_reach_the_terminal(web):
    told = sample_json(web, dropped=True, stage="clean", n=50)
    hostile = next(d for d in told["documents"] if "alert" in d["text"])
    assert hostile["text"].startswith("red␛[31m alert")
    text = lines_of(sample_lines(told, width=120))
    assert not {"\x1b", "\u202e", "\x07"} & set(text)
    assert "red␛[31m alert \\u202egnp.exe␇" in text
    assert escaped("a\x1b[1m\tb\nשלום\x9b\u2066") == "a\\x1b[1m\tb\nשלום\\x9b\\u2066"


@pytest.mark.parametrize(
    ("asked", "what", "hint"),
    [
        ({"by": "lnog"}, "no clause or deciding stage 'lnog'", "did you mean 'long'?"),
        ({"stage": "cleen"}, "no stage 'cleen'", "did you mean 'clean'?"),
        ({"stage": "sig"}, "'sig' keeps and drops nothing", "clean, exact, unique"),
        ({"cluster": True, "stage": "clean"}, "'clean' finds no duplicates", "exact, unique"),
        ({"kept": True, "by": "long"}, "exclude each other", "name one"),
        ({"n": 0}, "cannot show 0", "1 or more"),
    ],
)
def test_a_sample_that_cannot_be_says_what_could(web, asked, what, hint):
    with pytest.raises(ConfigError, match=what) as error:
        sample_json(web, **asked)
    assert hint in error.value.hint


# -- sweep -------------------------------------------------------------------------------------------------


def test_a_sweep_says_what_a_run_with_that_clause_keeps(web):
    (told,) = sweep_json(web, ["clean.long:NUMBER=40,80"])["sweeps"]
    own, same, strict = told["values"]
    real = latest_record(web.store, "strict")
    kept = values(real, "clean", "kept", "pass_short", "pass_long")
    tokens = values(real, "tokens", "token_count")["token_count"]
    assert own["own"]
    assert {**own, "own": False} == {**same, "own": False}
    assert strict["kept"] == kept["kept"].sum() < own["kept"]
    assert strict["tokens"] == tokens.filter(kept["kept"]).sum()
    assert (strict["added"], strict["removed"]) == (0, own["kept"] - strict["kept"])
    assert strict["only"] == (~kept["pass_long"] & kept["pass_short"]).sum()
    assert strict["removed_tokens"] == own["tokens"] - strict["tokens"]


def test_a_sweep_counts_the_end_that_would_be_refused_and_names_what_it_does_not_recompute(web):
    (told,) = sweep_json(web, ["clean.short=word_count < 100", "clean.short=word_count < 90"])["sweeps"]
    best = values(web, "best", "kept").join(values(web, "sig", "word_count"), on="doc_id")
    expected = [best.filter(pl.col("kept") & (pl.col("word_count") >= cut)).height for cut in (140, 100, 90)]
    assert [v["end_refused"] for v in told["values"]] == expected
    assert told["end"] == "best"
    assert told["not_recomputed"] == ["exact", "unique", "best", "plain", "corpus"]
    assert "not recomputed: exact, unique" in lines_of(sweep_lines({**HEAD, "sweeps": [told]}, width=120))


HEAD = {"run": "web", "root": "/web"}


def test_a_budget_is_decided_again_like_a_run_would(web):
    (told,) = sweep_json(web, ["best.budget=40 docs,10 docs,50%"])["sweeps"]
    counts = (
        values(web, "best", "state").filter(pl.col("state") == 0).join(values(web, "sig", "word_count"), on="doc_id")
    )
    assert [v["kept"] for v in told["values"]] == [40, 40, 10, counts.height // 2]
    assert told["values"][1]["added"] == told["values"][1]["removed"] == 0
    longest = counts["word_count"].sort(descending=True)[:10].sum()
    chosen = values(web, "best", "kept").join(counts, on="doc_id")
    assert longest <= chosen.filter(pl.col("kept"))["word_count"].sum()
    (seeded,) = sweep_json(web, ["plain.budget:NUMBER=40"])["sweeps"]
    assert (seeded["values"][1]["kept"], seeded["values"][1]["added"]) == (40, 0)


def test_a_sweep_may_name_columns_that_the_clause_did_not(web):
    (told,) = sweep_json(web, ["clean.long=token_count >= 100", "clean.long=sig.word_count > 0"])["sweeps"]
    tokens = values(web, "tokens", "token_count").join(values(web, "clean", "pass_short"), on="doc_id")
    assert told["values"][1]["kept"] == tokens.filter((pl.col("token_count") >= 100) & pl.col("pass_short")).height


def test_a_sweep_reads_no_text(web, monkeypatch):
    read = []
    from winnow.dags.looking import finished

    known = finished.light_column
    monkeypatch.setattr(finished, "light_column", lambda s, r, c: read.append(c) or known(s, r, c))
    sweep_json(web, ["clean.long:40=50", "best.budget=1k tokens"])
    assert "text" not in read
    assert {"word_count", "token_count", "kept", "state"} <= set(read)


@pytest.mark.parametrize(
    ("vary", "what", "hint"),
    [
        ("clean.lnog=word_count > 1", "no clause 'lnog'", "did you mean 'long'?"),
        ("cleen.long=word_count > 1", "no stage 'cleen'", "did you mean 'clean'?"),
        ("clean.long=wrd_count > 1", "no complete stage of these rows has a column 'wrd_count'", "word_count"),
        ("clean.long=text = 'a'", "reads no text", "measure it first"),
        ("clean.long:41=3", "has 0 such numbers", "numbers in it: 40"),
        ("clean.long:NUMBER=many", "'many' is not a number", "0.5"),
        ("clean.long=word_count + 1", "not true or false", "compare it"),
        ("clean.long=word_count OVER ()", "cannot|not|needs", ""),
        ("unique.threshold=0.5", "cannot decide again", "--set"),
        ("best.by=token_count", "no field 'by' that can vary", "budget"),
        ("best.budget=lots", "cannot read 'lots'", "5M tokens"),
        ("clean", "says nothing that varies", "STAGE.CLAUSE=SQL"),
    ],
)
def test_a_variation_that_cannot_be_says_what_could(web, vary, what, hint):
    with pytest.raises(ConfigError, match=what) as error:
        sweep_json(web, [vary])
    assert hint in error.value.hint


def test_only_the_number_that_is_meant_is_replaced():
    rule = "language = 'en 0.65' AND language_score >= 0.65 AND \"a 1\" > -2"
    assert numbers(rule) == ["0.65", "2"]
    assert replace_number(rule, 0, "0.5") == "language = 'en 0.65' AND language_score >= 0.5 AND \"a 1\" > -2"
    assert replace_number(rule, 1, "-3").endswith("> -(-3)")


@pytest.mark.slow
def test_ten_values_over_a_million_documents_take_less_than_five_seconds(tmp_path):
    import time

    make_input(tmp_path)
    write_recipe(tmp_path, RECIPE.replace("  best:", TOKENS))
    with contextlib.chdir(tmp_path):
        run("--out", "big")
    grow(open_store(tmp_path / "big"), 1_000_000, 8)
    record = latest_record(open_store(tmp_path / "big"))
    begun = time.perf_counter()
    (told,) = sweep_json(record, ["clean.long:NUMBER=40,50,60,70,80,90,100,110,120,130"])["sweeps"]
    assert time.perf_counter() - begun < 5
    assert (told["asked"], len(told["values"])) == (1_000_000, 11)
    kept = values(record, "best", "kept")["kept"].sum()
    assert diff_json(record, record, stage="best")["kept_in_both"] == kept > 100_000


# -- diff --------------------------------------------------------------------------------------------------


def test_a_changed_clause_is_named_with_the_documents_it_moved(web):
    told = diff_json(web, find_record("strict"), stage="clean")
    word_count = values(web, "sig", "word_count")["word_count"]
    moved = int(((word_count >= 40) & (word_count < 80)).sum())
    assert (told["kept_to_dropped"], told["dropped_to_kept"], told["both"]) == (moved, 0, 181)
    assert told["only_a"] == told["only_b"] == 0
    (reason,) = told["reasons"]
    assert (reason["stage"], reason["documents"]) == ("clean", moved)
    assert reason["clauses"] == [{"clause": "long", "rule": "word_count >= 80", "documents": moved, "only": moved}]
    change = {"stage": "clean", "field": "keep.long", "was": "word_count >= 40", "now": "word_count >= 80"}
    assert reason["fields"] == [change]
    for example in reason["examples"]:
        assert 40 <= example["a"]["values"]["word_count"] == example["b"]["values"]["word_count"] < 80
        assert [c["clause"] for c in example["b"]["clauses"] if not c["passed"]] == ["long"]


def test_a_change_that_moved_nothing_is_told_too(web):
    told = diff_json(web, find_record("strict"))
    assert "moved no document" not in lines_of(diff_lines(told, width=100))
    idle = lines_of(diff_lines({**told, "reasons": [], "moved": []}, width=100))
    assert "changed, and moved no document here: clean.keep.long: word_count >= 40 -> word_count >= 80" in idle


def test_a_diff_the_other_way_round_is_its_mirror(web):
    other = find_record("strict")
    there, back = diff_json(web, other, stage="unique"), diff_json(other, web, stage="unique")
    assert there["kept_to_dropped"] == back["dropped_to_kept"] > 0
    assert [r["documents"] for r in there["reasons"]] == [r["documents"] for r in back["reasons"]]
    assert [e["a"] for e in there["reasons"][0]["examples"]] == [e["b"] for e in back["reasons"][0]["examples"]]


def test_runs_of_two_roots_are_matched_by_document_and_the_cause_behind_a_stage_is_named(web):
    told = diff_json(web, find_record("more"), stage="plain")
    assert (told["both"], told["only_a"], told["only_b"]) == (181, 0, 20)
    side_a, side_b = (values(r, "plain", "kept").filter(pl.col("kept")) for r in (web, find_record("more")))
    lost = side_a.join(side_b, on="doc_id", how="anti")
    shared = values(web, "docs", "origin").join(side_b, on="doc_id", how="semi").join(side_a, on="doc_id", how="anti")
    assert (told["kept_to_dropped"], told["dropped_to_kept"]) == (lost.height, shared.height)
    assert sum(r["documents"] for r in told["reasons"]) == lost.height + shared.height
    selected = [r for r in told["reasons"] if r["stage"] == "plain"]
    behind = {(c["stage"], c["field"]) for r in selected for c in r["behind"]}
    assert behind == {("docs", "files"), ("clean", "keep.long")}
    assert sum(m["documents"] for m in told["moved"]) <= told["dropped_in_both"]
    text = lines_of(diff_lines(told, width=120))
    assert "20 only in B" in text
    assert "changed before it: clean.keep.long: word_count >= 40 -> word_count >= 70" in text


def test_a_run_does_not_differ_from_itself(web):
    told = diff_json(web, web)
    assert (told["a"]["at"], told["kept_in_both"], told["dropped_in_both"]) == ("corpus", 40, 141)
    assert (told["reasons"], told["moved"], told["fields"]) == ([], [], {})


# -- decisions side by side --------------------------------------------------------------------------------

PAIR = """
name: pair
stages:
  docs: {use: jsonl, files: "pair/*.jsonl", id: "field:uid"}
  sig:  {use: signals, inputs: docs}
  a:    {use: filter, inputs: sig, keep: {long: "word_count >= ${low}", big: "word_count >= 100"}}
  b:    {use: filter, inputs: sig, keep: {short: "word_count < ${high}"}, ignore: a}
  same: {use: exact, inputs: docs, ignore: all}
  best: {use: random, inputs: [docs, a, b, same], budget: 100%}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two filters that both see every document, of 60 to 119 words; copies of three documents: 2, 3 and 4 in all."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "pair").mkdir()
    rows = [{"uid": str(n), "text": " ".join(f"w{n}x{i}" for i in range(n))} for n in range(60, 120)]
    copies = [{**rows[60 - 2 - i], "uid": f"copy{i}{k}"} for i in range(3) for k in range(i + 1)]
    (folder / "pair/x.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*rows, *copies]), "utf-8")
    (folder / "web.yaml").write_text(PAIR.replace("${low}", "80").replace("${high}", "110"), "utf-8")
    with contextlib.chdir(folder):
        run("--out", "one")
        run("--out", "two", "--set", "a.keep.long=word_count >= 90", "--set", "a.keep.big=word_count >= 70",
            "--set", "b.keep.short=word_count < 105")  # fmt: skip
    return tuple(latest_record(open_store(folder / root)) for root in ("one", "two"))


def words(record):
    """word_count of every document."""
    return values(record, "sig", "word_count")["word_count"]


def test_what_two_filters_refuse_is_told_once_and_of_the_first_one(pair):
    told = sample_json(pair[0], dropped=True, n=1000)
    stages = [d["stage"] for d in told["documents"]]
    kept = values(pair[0], "best", "kept")["kept"].sum()
    assert told["of"] == len(stages) == 66 - kept
    assert stages.count("a") == (words(pair[0]) < 100).sum()


def test_what_only_one_of_two_clauses_refuses_is_counted_apart(pair):
    told = sample_json(pair[0], by="big")
    assert (told["of"], told["only"]) == (40, 20)
    (swept,) = sweep_json(pair[0], ["a.big:100=70,90"])["sweeps"]
    assert [v["kept"] for v in swept["values"]] == [(words(pair[0]) >= cut).sum() for cut in (100, 80, 90)]
    assert [(v["refuses"], v["only"]) for v in swept["values"]] == [(40, 20), (10, 0), (30, 10)]


def test_a_clause_without_a_value_is_counted_where_the_stage_was_asked_alone(tmp_path):
    rows = [{"text": f"document {n}", "n": n, "a": None if n % 4 == 0 else n % 7} for n in range(24)]
    support.put_file(tmp_path / "raw.jsonl", support.lines_of(rows))
    recipe = """
stages:
  docs: {use: jsonl, files: raw.jsonl, columns: {n: int64, a: int64}}
  some: {use: filter, inputs: docs, keep: {high: "a >= 3"}, where: "n >= 10"}
"""
    ran = support.run(recipe, tmp_path, tmp_path / "root")
    counted = sample_json(latest_record(ran.store), by="high")
    asked = [row["a"] for row in rows if row["n"] >= 10]
    assert counted["null"] == asked.count(None) == 3
    assert counted["of"] == counted["only"] == sum(a is None or a < 3 for a in asked)


def test_each_direction_of_a_diff_names_the_run_that_dropped_the_document(pair):
    told = diff_json(*pair)
    lost, won = (
        {r["stage"]: r for r in told["reasons"] if r["change"] == c} for c in ("kept to dropped", "dropped to kept")
    )
    assert {s: r["documents"] for s, r in lost.items()} == {"b": 5}
    assert {s: r["documents"] for s, r in won.items()} == {"a": 10}
    assert lost["b"]["clauses"] == [{"clause": "short", "rule": "word_count < 105", "documents": 5, "only": 5}]
    assert won["a"]["clauses"] == [{"clause": "big", "rule": "word_count >= 100", "documents": 10, "only": 10}]
    assert {c["field"] for c in won["a"]["fields"]} == {"keep.long", "keep.big"}
    assert told["moved"] == []
    assert told["kept_in_both"] == 5


def test_the_largest_clusters_come_first(pair):
    told = sample_json(pair[0], cluster=True, largest=True, n=2)
    assert (told["of"], [c["size"] for c in told["clusters"]]) == (3, [4, 3])
    assert [len(c["members"]) for c in told["clusters"]] == [4, 3]
    assert {c["size"] for c in sample_json(pair[0], cluster=True, n=9)["clusters"]} == {2, 3, 4}


# -- runs that are not what they should be -----------------------------------------------------------------


@pytest.fixture
def partial(ran, tmp_path):
    """A copy of root `web` whose stages after `clean` were never committed."""
    shutil.copytree(ran[0] / "runs/web", tmp_path / "partial")
    record = latest_record(open_store(tmp_path / "partial"), "web")
    for name in ("exact", "unique", "best", "plain", "corpus"):
        found = next(s for n, s in record.stages.items() if record.shown_names()[n] == name)
        record.store.delete(f"{found['dir']}/manifest.json")
    return record


def test_an_unfinished_run_is_looked_at_as_far_as_it_came_and_says_so(partial):
    told = sample_json(partial, n=2)
    assert told["stage"] == "clean"
    assert [m["stage"] for m in told["incomplete"]] == ["exact", "unique", "best", "plain", "corpus"]
    assert "not complete: exact" in lines_of(sample_lines(told, width=120))
    assert sweep_json(partial, ["clean.long:40=80"])["sweeps"][0]["values"][1]["kept"] > 0


def test_what_an_unfinished_run_has_not_decided_names_the_missing_stages(partial, web):
    for look in (
        lambda: sample_json(partial, stage="best"),
        lambda: sweep_json(partial, ["best.budget=10 docs"]),
        lambda: diff_json(web, partial),
    ):
        with pytest.raises(StoreError, match=r"5 of .* stages of run 'web' have no manifest: exact, unique") as error:
            look()
        assert "run it again" in error.value.hint
        assert "clean" in error.value.hint
    assert diff_json(web, partial, stage="clean")["kept_to_dropped"] == 0


def test_a_run_of_another_version_is_refused_with_what_to_do(partial, web):
    folder = next(s["dir"] for n, s in partial.stages.items() if n == "clean")
    path = partial.store.local_copy(f"{folder}/stage.json")
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "config": {"keep_these": body["config"]["keep"]}}))
    for look in (lambda: sample_json(partial, by="long"), lambda: sweep_json(partial, ["clean.long:40=80"])):
        with pytest.raises(StoreError, match=r"'clean' was recorded in a form .* does not read"):
            look()
    path = partial.store.local_copy("runs/web.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StoreError, match="does not read"):
        find_record(partial.store.location, "web")


# -- estimate ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A plan over 2.6 MB in four files, of which a third is too short, and what a run of it really keeps."""
    folder = tmp_path_factory.mktemp("estimate")
    make_input(folder, files=4, rows=900)
    write_recipe(folder, RECIPE.replace("  best:", TOKENS).replace("min_words: 40", "min_words: 80"))
    with contextlib.chdir(folder):
        session = prepare("web.yaml", out="out")
        run("--out", "out", "--until", "clean")
        run("--out", "out", "--until", "tokens")
    record = latest_record(open_store(folder / "out"))
    truth = values(record, "clean", "kept").join(values(record, "tokens", "token_count"), on="doc_id")
    return session, truth


def test_an_estimate_covers_the_truth_and_says_what_it_cannot_know(planned):
    session, truth = planned
    told = estimate(session.plan, share=0.001)
    kept = truth.filter(pl.col("kept"))
    assert 0.3 < told["sample"]["share"] < 0.5, "at least 1 MB is read"
    for found, name, real in (
        (told["totals"]["documents"], "documents", truth.height),
        (told["passed"]["documents"], "documents before selection", kept.height),
        (told["passed"]["tokens"], "tokens before selection", kept["token_count"].sum()),
    ):
        spread = found["high"] - found["low"]
        assert found["low"] - spread / 2 <= real <= found["high"] + spread / 2, name
        assert 0 < spread < 0.3 * real
    clean = next(s for s in told["stages"] if s["stage"] == "clean")
    share = kept.height / truth.height
    assert clean["kept_share"]["low"] - 0.02 <= share <= clean["kept_share"]["high"] + 0.02
    binomial = wilson(clean["kept"], clean["asked"])
    assert clean["kept_share"]["low"] <= binomial[0] < binomial[1] <= clean["kept_share"]["high"]
    assert [b["stage"] for b in told["bounds"]] == ["exact", "unique", "best"]
    assert "no sample can tell" in told["bounds"][0]["bound"]
    assert {s["stage"] for s in told["stages"] if not s["covered"]} >= {"exact", "unique", "best"}
    assert told["totals"]["core_seconds"]["value"] > 0
    assert told["tokens_from"] == "tokens (an estimate: bytes/4)"
    assert told["totals"]["documents_out"]["high"] == 40  # what the selection may take, and no more
    assert json.loads(json.dumps(told)) == told
    assert "at most" in lines_of(estimate_lines(told))


def test_the_whole_input_as_the_sample_gives_the_truth_without_error(planned):
    session, truth = planned
    told = estimate(session.plan, nodes=session.plan.until("clean"), share=1.0)
    kept = truth.filter(pl.col("kept"))
    assert told["totals"]["documents"] == {"value": truth.height, "low": truth.height, "high": truth.height}
    assert told["totals"]["documents_out"]["value"] == pytest.approx(kept.height, rel=1e-9)
    assert told["bounds"] == []
    assert "bytes/4" in told["tokens_from"]


def test_an_estimate_leaves_no_trace_in_the_run_root(planned):
    session, _ = planned
    before = sorted(str(p) for p in Path(session.store.location).rglob("*"))
    estimate(session.plan, nodes=session.plan.until("clean"))
    assert sorted(str(p) for p in Path(session.store.location).rglob("*")) == before
    assert all(
        f.path.startswith(str(Path(session.store.location).parent))
        for n in session.plan.nodes
        for f in n.files.get("files", ())
    )


def test_the_interval_of_a_total_covers_it_about_as_often_as_it_says():
    draw = np.random.default_rng(1)
    whole_b = draw.integers(50, 150, 400).astype(float)
    whole_y = whole_b * draw.gamma(4, 0.25, 400)
    inside = 0
    for _ in range(400):
        rows = draw.choice(400, 20, replace=False)
        found = totals([whole_y[rows]], [whole_b[rows]], [int(whole_b.sum())])
        inside += found["low"] <= whole_y.sum() <= found["high"]
    assert 0.88 <= inside / 400 <= 0.99


def test_one_unit_gives_a_total_without_an_error_and_clusters_widen_a_share():
    assert totals([np.array([5.0])], [np.array([10.0])], [100]) == {"value": 50.0, "low": None, "high": None}
    alike = kept_share([np.full(10, 50.0)], [np.full(10, 100.0)], [np.full(10, 1.0)], [1000])
    apart = kept_share([np.array([100.0, 0.0] * 5)], [np.full(10, 100.0)], [np.full(10, 1.0)], [1000])
    assert alike["value"] == apart["value"] == 0.5
    assert (alike["low"], alike["high"]) == pytest.approx(wilson(500, 1000))
    assert apart["high"] - apart["low"] > 5 * (alike["high"] - alike["low"])


@pytest.mark.parametrize("free", [1, 2, 3, 5, 10, 30, 1000])
def test_the_quantile_of_student_t_is_that_of_the_tables(free):
    table = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 1000: 1.962}
    assert t_quantile(free) == pytest.approx(table[free], rel=0.006)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_a_large_file_is_sampled_in_pieces_or_from_its_beginning(tmp_path, suffix):
    draw = np.random.default_rng(2)
    lines = b"".join(json.dumps({"text": draw.bytes(600).hex()}).encode() + b"\n" for _ in range(5000))
    data = {".gz": gzip.compress, ".zst": zstandard.compress}.get(suffix[6:], bytes)(lines)
    (tmp_path / f"big{suffix}").write_bytes(data)
    file = InputFile(path=str(tmp_path / f"big{suffix}"), rel=f"big{suffix}", size=len(data), digest="x")
    (tmp_path / "s").mkdir()
    found = choose([file], Jsonl(files=()), share=0.1, most_bytes=1 << 30, seed=0, scratch=tmp_path / "s")
    assert found.bytes <= 0.5 * len(data)
    again = choose([file], Jsonl(files=()), share=0.1, most_bytes=1 << 30, seed=0, scratch=tmp_path / "s")
    assert again.units == found.units
    if suffix == ".jsonl":
        assert len(found.units) > 8
        assert found.heads == []
        return
    assert found.heads == [f"big{suffix}"]
    copy = found.files[0].path
    read = {".gz": gzip.decompress, ".zst": zstandard.decompress}[suffix[6:]](Path(copy).read_bytes())
    assert lines.startswith(read)
    assert read.endswith(b"\n")


# -- the command line --------------------------------------------------------------------------------------


def test_every_verb_speaks_json_and_text(web, capsys):
    for args in (
        ("sample", "web:web", "--by", "long", "-n", 1),
        ("sample", "web:web", "--cluster", "--largest"),
        ("sweep", "web:web", "--vary", "clean.long:40=50,60"),
        ("diff", "web:web", "web:strict", "--stage", "clean"),
    ):
        told = winnow(capsys, *args, "--json")
        assert told.code == 0, told.err
        assert len(told.out.strip().splitlines()) == 1
        assert isinstance(told.json(), dict)
        said = winnow(capsys, *args)
        assert (said.code, said.err) == (0, "")
        assert "web" in said.out
    wrong = winnow(capsys, "sweep", "web:web", "--vary", "clean.lnog=word_count > 1", "--json")
    assert (wrong.code, wrong.json()["error"]["hint"]) == (2, "did you mean 'long'?")


def test_a_plan_tells_its_estimate(web, capsys):
    told = winnow(capsys, "plan", "web.yaml", "--out", "runs/web", "--until", "clean", "--estimate", "--json").json()
    assert told["estimate"]["totals"]["documents"]["value"] > 0
    assert [s["name"] for s in told["stages"]] == ["docs", "sig", "clean"]
    said = winnow(capsys, "plan", "web.yaml", "--out", "runs/web", "--until", "clean", "--estimate")
    assert "documents out:" in said.out


def test_a_value_that_only_its_record_writes_otherwise_is_shown_as_it_reads():
    """Records of another version may hold the same value in another form: the recipe says the same, the key differs."""

    def recorded(form):
        identity = {"config": {"budget": ["data", form, {"amount": 0.3}]}, "uses": {}, "files": {}}
        return {"identity": identity, "config": {"budget": "30%"}}

    (only,) = own_changes(recorded("old.module:Budget"), recorded("budget"), (), Means(was={}, now={}))
    assert as_text(only) == "budget: 30% -> 30% (recorded in another form)"
