"""Figures of `winnow report`: the funnel in tokens and bytes, and what changed since the run before."""

from __future__ import annotations

import dataclasses
import re

import polars as pl
import pytest
import support

from winnow.dags.looking.report import gather, render
from winnow.dags.looking.report.data import Missing
from winnow.dags.recipe.history import numbered
from winnow.dags.recipe.records import latest_record

EVIL = "<script>alert(1)</script>"
RECIPE = """
tokenizer: bytes/4
stages:
  docs: {use: jsonl, files: raw.jsonl, columns: {lang: string}}
  clean: {use: filter, inputs: docs, keep: {long: "text_bytes > 20"}}
  some: {use: random, inputs: docs, budget: BUDGET}
  corpus: {use: write, inputs: [docs, some]}
"""


def put(folder):
    lines = (b'{"text": "%s %d", "lang": "en"}\n' % (b"word " * (n % 9 + 1), n) for n in range(60))
    support.put_file(folder / "raw.jsonl", b"".join(lines))
    return folder


def shown(page, section):
    """The words of a section, without tags."""
    start = page.index(f'id="{section}"')
    return " ".join(re.sub(r"<[^>]*>", " ", page[start : page.index("</section>", start)]).split())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = put(tmp_path_factory.mktemp("figures"))
    return support.run(RECIPE.replace("BUDGET", "200 tokens"), folder, folder / "root")


def test_the_funnel_has_tokens_and_bytes_beside_documents(ran):
    report = gather(latest_record(ran.store))
    (space,) = report.spaces
    sizes = pl.from_arrow(ran.table("docs", "text_bytes"))["text_bytes"]
    for name in ("clean", "some"):
        line = next(a for a in space.amounts.lines if a.stage == name)
        kept = pl.from_arrow(ran.table(name, "kept"))["kept"].fill_null(value=False)
        assert line.kept == kept.sum()
        assert line.kept_bytes == sizes.filter(kept).sum()
        assert line.kept_tokens == (-(-sizes.filter(kept) // 4)).sum()
    clean, some = space.amounts.lines[:2]
    assert (clean.asked, clean.asked_bytes) == (60, sizes.sum())
    assert (some.asked, some.asked_bytes, some.asked_tokens) == (clean.kept, clean.kept_bytes, clean.kept_tokens)
    assert some.kept_tokens <= 200 < clean.kept_tokens
    text = shown(render(report), "funnel")
    assert "tokens kept (about, bytes/4)" in text, "an estimate is called one"
    assert f"clean 60 {clean.kept} {clean.kept / 60:.1%} {clean.kept_tokens}" in text


def test_without_a_stage_that_counts_tokens_there_is_no_column_of_them(tmp_path):
    folder = put(tmp_path)
    report = gather(latest_record(support.run(RECIPE.replace("BUDGET", "9 docs"), folder, folder / "root").store))
    assert {a.kept_tokens for a in report.spaces[0].amounts.lines} == {None}
    text = shown(render(report), "funnel")
    assert "tokens kept" not in text
    assert "text kept" in text


def test_the_first_run_of_a_name_says_nothing_of_a_run_before(ran):
    report = gather(latest_record(ran.store))
    assert report.since is None
    assert 'id="since"' not in render(report)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    folder = put(tmp_path_factory.mktemp("twice a"))
    support.run(RECIPE.replace("BUDGET", "20 docs"), folder, folder / "root")
    changed = RECIPE.replace("BUDGET", "9 docs").replace("> 20", "> 30 OR lang = '<script>'")
    return support.run(changed, folder, folder / "root")


def test_since_the_run_before_says_fields_and_rows_then_and_now(twice):
    report = gather(latest_record(twice.store))
    assert report.since is not None
    before = numbered(twice.store, "test", 1)
    assert (report.since.run, report.since.date) == ("test@1", before.began)
    changed = {c.stage: c.fields for c in report.since.changed}
    assert any("text_bytes > 20 -> text_bytes > 30" in f for f in changed["clean"])
    assert any("20 docs" in f and "9 docs" in f for f in changed["some"])
    kept = {k.stage: (k.then, k.now, k.difference) for k in report.since.kept}
    assert kept["some"] == kept["corpus"] == (20, 9, -11)
    assert kept["clean"][2] < 0
    page = render(report)
    assert before.began.replace("T", " ") in shown(page, "since")
    assert f"winnow diff '{twice.store.location}:test'" in page.replace("&#39;", "'")
    assert "some 20 9 -11" in shown(page, "since")
    assert "<script" not in page


def test_a_run_without_a_change_says_so_and_an_earlier_run_looks_further_back(twice, tmp_path):
    folder = put(tmp_path)
    for _ in range(3):
        support.run(RECIPE.replace("BUDGET", "9 docs"), folder, folder / "root")
    last = gather(latest_record(support.open_store(folder / "root")))
    assert (last.since.run, last.since.changed, last.since.kept, last.since.same) == ("test@2", [], [], 3)
    assert "every decision keeps as much" in render(last)
    middle = gather(numbered(support.open_store(folder / "root"), "test", 2))
    assert middle.since.run == "test@1"
    root = support.open_store(folder / "root").location
    assert middle.since.command == f"winnow diff {root}:test@1 {root}:test@2"


def test_effects_stand_before_scores_and_scores_before_samples(ran):
    from winnow.dags.looking.report.effects import Effect

    report = gather(latest_record(ran.store))
    page = render(dataclasses.replace(report, effects=[Effect(stage=EVIL)]))
    places = [page.index(f'<section id="{s}"') for s in ("dag", "funnel", "effects", "scores", "samples", "sources")]
    assert places == sorted(places)
    assert "<script" not in page


@pytest.mark.parametrize(("many", "is_open"), [(3, True), (40, False)])
def test_many_stages_without_a_result_are_folded(ran, many, is_open):
    report = gather(latest_record(ran.store))
    gone = [Missing(name=f"{EVIL}{n}", operator="filter", units_done=n, quarantine="") for n in range(many)]
    page = render(dataclasses.replace(report, missing=gone))
    fold = re.search(r"<details( open)?><summary>Stages without a result</summary>", page)
    assert bool(fold[1]) == is_open
    assert f"{many} of 5 stages have no result yet" in page
    assert "<script" not in page
