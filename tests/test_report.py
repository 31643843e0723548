"""`winnow report`: true numbers, safe with any document, clear about what is missing, the same for every layout."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pytest
import support

from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.numerics import rng
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import Manifest, Receipt, StageDir, content_digest
from winnow.core.store.parts import save_file
from winnow.core.store.store import Store
from winnow.dags.looking import excerpts
from winnow.dags.looking.report import FOLDER, charts, effects, gather, render, write_report
from winnow.dags.looking.report.page import breakable, chance, coded
from winnow.dags.looking.report.rows_pass import SALT
from winnow.dags.looking.report.scores import Cut, Histogram, _edges, _mark_cut, cuts_of
from winnow.dags.looking.report.sources import _odds
from winnow.dags.recipe.records import latest_record

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
SCRIPT = "<script>alert(1);parent.document.title='run'</script>"
RTL = "مرحبا بالعالم \u202eevil"
HOSTILE = [
    f"{SCRIPT} is text",
    "</style></pre></details><img src=x onerror=alert(2)> & &amp; \"quoted\" 'single'",
    "x" * 1_000_000,
    RTL,
    "zero\x00byte \x1b[31m and \x85 \u2028 end",
    "{{ 7 * 7 }} {% raw %} $x^2$ \\frac",
]
RECIPE = """
seed: 7
tokenizer: bytes/4
stages:
  docs: {use: jsonl, files: "raw/**/*.jsonl", id: content}
  sig: {use: signals, inputs: docs}
  clean:
    use: filter
    inputs: sig
    keep: {words: word_count >= 8, lines: "line_count BETWEEN 1 AND 50", digits: digit_share < 0.3}
  exact: {use: exact, inputs: docs, where: kept_clean}
  unique: {use: minhash, inputs: docs, where: kept_exact, threshold: 0.7}
  best: {use: top_k, inputs: [docs, unique, sig], by: mean_word_length, budget: 40 docs}
  corpus: {use: write, inputs: [docs, best], format: parquet}
"""
VOID = {"meta", "br", "wbr", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every element is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, k, v or "") for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, k, v or "") for k, v in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def documents() -> list[str]:
    copies = ["The same words are here again and they are in many of the files that we have read today."] * 7
    return [*support.texts(150, 3), *copies]


def corpus(folder: Path, files: int = 3) -> Path:
    support.put_corpus(folder / "raw" / "prose", documents(), files)
    bad = [f"{i} {i * 7919} 0123456789 0123456789 1234" for i in range(60)]
    support.put_corpus(folder / "raw" / "<b>numbers", bad, 1)
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = corpus(tmp_path_factory.mktemp("report"))
    return support.run(RECIPE, folder, folder / "root")


@pytest.fixture(scope="module")
def report(ran):
    return gather(latest_record(ran.store))


@pytest.fixture(scope="module")
def page(report):
    return render(report)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a run whose documents, duplicates and kept samples are all hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    support.put_corpus(folder / "raw" / "<b>numbers", [*HOSTILE, *HOSTILE], 1)
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/**/*.jsonl"}
  sig: {use: signals, inputs: docs}
  exact: {use: exact, inputs: docs}
  clean: {use: filter, inputs: [docs, sig, exact], where: kept_exact, keep: {any: byte_count > 0}}
"""
    return render(gather(latest_record(support.run(recipe, folder, folder / "root").store)))


@pytest.fixture
def copy(ran, tmp_path):
    """A copy of the run's root that a test may break."""
    support.forget()
    return open_store(shutil.copytree(ran.store.location, tmp_path / "root"))


def space_of(report):
    return next(s for s in report.spaces if s.name == "docs")


def test_names_may_break_behind_underscores_and_backticks_mark_code_in_escaped_texts():
    assert str(breakable("a_b<i>")) == "a_<wbr>b&lt;i&gt;"
    assert str(coded("see `x < 1` and <b>")) == "see <code>x &lt; 1</code> and &lt;b&gt;"
    assert str(coded("one ` alone <")) == "one ` alone &lt;"


@pytest.mark.parametrize("of", ["page", "hostile"])
def test_the_page_is_well_formed_and_refers_to_nothing_outside(of, request):
    page = request.getfixturevalue(of)
    found = Page(page)
    assert found.wrong == []
    assert found.open == []
    assert found.tags["script"] == found.tags["img"] == found.tags["link"] == found.tags["iframe"] == 0
    assert [a for a in found.attributes if a[1].startswith("on") or a[1] in ("src", "srcdoc", "action")] == []
    assert {v[:1] for _, k, v in found.attributes if k.endswith("href")} == {"#"}
    assert re.findall(r"url\((?!#)|@import", page) == []


def test_a_policy_forbids_scripts_and_network(page):
    policy = next(v for t, k, v in Page(page).attributes if t == "meta" and k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_hostile_documents_are_shown_as_text(hostile):
    text = "".join(Page(hostile).text)
    assert SCRIPT in text
    assert "</style></pre></details><img src=x onerror=alert(2)> & &amp;" in text
    assert "{{ 7 * 7 }}" in text
    assert "<script" not in hostile.lower()
    assert "<img" not in hostile.lower()


def test_a_hostile_folder_name_is_shown_as_text(hostile):
    assert "<b>numbers" in "".join(Page(hostile).text)
    assert "<b>numbers" not in hostile


def test_control_characters_are_seen_and_never_sent(hostile):
    assert "zero\u2400byte \u241b[31m" in "".join(Page(hostile).text)
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", hostile) == []


def test_a_megabyte_line_is_cut(hostile):
    assert len(hostile.encode()) < 1_000_000
    assert "x" * 500 in hostile
    assert "x" * 700 not in hostile


def test_right_to_left_text_is_isolated(hostile):
    start = hostile.index("مرحبا")
    assert re.search(r'<(pre|p|span) [^>]*dir="auto">[^<]*$', hostile[:start])


def test_the_funnel_counts_what_the_columns_say(ran, report):
    table = pl.from_arrow(ran.table("clean", "kept", "pass_words", "pass_lines", "pass_digits"))
    step = next(s for s in space_of(report).steps if s.name == "clean")
    assert (step.asked, step.kept, step.dropped) == (table.height, table["kept"].sum(), (~table["kept"]).sum())
    for clause in step.clauses:
        fails = ~table[f"pass_{clause.name}"]
        others = pl.Series([False] * table.height)
        for name in {"words", "lines", "digits"} - {clause.name}:
            others |= ~table[f"pass_{name}"]
        assert clause.refuses == fails.sum()
        assert clause.alone == (fails & ~others).sum()
        assert clause.jointly == (fails & others).sum()
    assert sum(c.refuses for c in step.clauses) > 0


def test_every_number_of_the_funnel_is_on_the_page(report, page):
    text = " ".join("".join(Page(page).text).split())
    for step in space_of(report).steps:
        assert f"{step.kept:,} of {step.asked:,}" in text


def test_histograms_count_every_row_and_the_cut_is_the_selectors(ran, report):
    space = space_of(report)
    selected = next(h for h in space.scores if h.by is not None)
    table = pl.from_arrow(ran.table("best", "kept", "state")).with_columns(
        pl.from_arrow(ran.table("sig", "mean_word_length"))["mean_word_length"]
    )
    kept = table.filter(pl.col("kept").fill_null(value=False))["mean_word_length"]
    assert selected.num_kept == selected.kept.sum() == len(kept) == 40
    assert [c.value for c in selected.cuts] == [kept.min()]
    for one in [*space.scores, *space.bounds]:
        assert one.counts.sum() + one.below + one.above == one.num_rows
    assert {h.column for h in space.bounds} == {"word_count", "line_count", "digit_share"}


@pytest.mark.parametrize(
    ("descending", "kept", "dropped", "cuts"),
    [
        (True, (0.5, 0.9), (0.1, 0.4), [(0.5, "above")]),
        (False, (0.1, 0.4), (0.5, 0.9), [(0.4, "below")]),
        (True, (0.3, 0.9), (0.1, 0.4), []),  # not by rank alone
    ],
)
def test_a_cut_is_the_last_value_that_was_selected(descending, kept, dropped, cuts):
    one = Histogram(title="t", column="c", view=None, asked_by=None, by=object(), descending=descending)
    one.num_rows, one.num_kept, one.kept_range, one.dropped_range = 9, 3, kept, dropped
    _mark_cut(one)
    assert [(c.value, c.keeps) for c in one.cuts] == cuts


def test_a_column_that_never_varies_is_drawn_with_its_cut():
    one = Histogram(title="t", column="c", view=None, asked_by=None, cuts=[Cut(value=0.3, keeps="below", label="")])
    one.num_rows, one.low, one.high = 5, 0.0, 0.0
    edges = _edges(np.zeros(5), one)
    assert edges[0] == 0.0
    assert 0.3 < edges[-1] < 0.4
    one.high = 1.0
    one.cuts.append(Cut(value=1e5, keeps="below", label=""))
    assert _edges(np.linspace(0, 1, 5), one)[-1] == 1.0
    one.cuts, one.whole, one.high = [], True, 0.0
    assert _edges(np.zeros(5), one).tolist() == [-0.5, 0.5]
    one.high = 3.0
    assert _edges(np.asarray([0.0, 3.0]), one).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("word_count >= 50", [("word_count", 50.0, "above")]),
        ("n BETWEEN 3 AND 1e4", [("n", 3.0, "above"), ("n", 1e4, "below")]),
        ("language = 'en' AND language_score > .65", [("language_score", 0.65, "above")]),
        ("sig.words < 5", [("sig.words", 5.0, "below")]),
        ("a > 1 OR b < 2", []),
        ("NOT (a > 1)", []),
        ("a * 2 > 1", []),
        ("ok", []),
    ],
)
def test_bounds_are_read_from_simple_clauses_only(rule, found):
    assert [cut[:3] for cut in cuts_of(rule)] == found


def test_the_largest_cluster_is_shown_with_its_keeper_and_members(ran, report):
    exact = next(d for d in space_of(report).duplicates if d.stage == "exact")
    largest = exact.largest[0]
    table = pl.from_arrow(ran.table("exact", "doc_id", "kept", "exact_cluster_size", "duplicate_of"))
    assert largest.size == table["exact_cluster_size"].max() >= 7
    assert table.filter(pl.col("doc_id") == bytes.fromhex(largest.keeper.doc_id))["kept"].to_list() == [True]
    copies = table.filter(pl.col("duplicate_of") == bytes.fromhex(largest.keeper.doc_id), ~pl.col("kept"))
    drawn = copies.with_columns(key=rng.keys(copies["doc_id"], seed=0, salt=SALT)).sort("key")["doc_id"]
    assert len(copies) > 5
    assert [m.doc_id for m in largest.members] == [d.hex() for d in drawn[:5]]
    assert (
        sum(n for _, n in exact.sizes)
        == exact.clusters
        == table.filter(pl.col("kept") & (pl.col("exact_cluster_size") > 1)).height
    )


def test_members_of_near_duplicates_carry_their_similarity(ran, report):
    near = next(d for d in space_of(report).duplicates if d.stage == "unique")
    stored = {
        r["doc_id"].hex(): r["keeper_jaccard"] for r in ran.table("unique", "doc_id", "keeper_jaccard").to_pylist()
    }
    members = [m for c in near.largest for m in c.members]
    assert members
    assert all(m.jaccard == stored[m.doc_id] for m in members)
    assert near.jaccard.sum() == near.removed


def test_samples_are_those_that_the_reason_dropped(ran, report):
    table = pl.from_arrow(ran.table("clean", "doc_id", "pass_words", "pass_lines", "pass_digits", "text"))
    rows = {r["doc_id"].hex(): r for r in table.to_dicts()}
    group = next(g for g in space_of(report).groups if g.stage == "clean" and not g.kept)
    assert {r.name for r in group.reasons} == {"words", "lines", "digits"}
    for reason in group.reasons:
        assert reason.num_rows == sum(not r[f"pass_{reason.name}"] for r in rows.values())
        for sample in reason.samples:
            row = rows[sample.excerpt.doc_id]
            assert row[f"pass_{reason.name}"] is False
            assert excerpts.visible(row["text"].strip("\n"))[:50].startswith(sample.excerpt.text[:50])
            assert any(against for _, _, against in sample.facts)


def test_samples_and_counts_are_the_same_for_another_layout(report, tmp_path):
    corpus(tmp_path, files=7)
    ran = support.run(RECIPE, tmp_path, tmp_path / "root", part_bytes=6000)
    assert len(ran.manifest("docs").named("part")) > 5
    other = gather(latest_record(ran.store))

    def shown(one):
        space = space_of(one)
        picked = [
            (g.stage, g.kept, r.name, r.num_rows, [s.excerpt.doc_id for s in r.samples])
            for g in space.groups
            for r in g.reasons
        ]
        clusters = [
            (c.size, c.keeper.doc_id, [m.doc_id for m in c.members]) for d in space.duplicates for c in d.largest
        ]
        counts = [(h.title, h.counts.tolist(), h.cuts) for h in [*space.scores, *space.bounds]]
        return picked, clusters, counts

    assert shown(other)[0] == shown(report)[0]
    assert shown(other)[1] == shown(report)[1]
    assert shown(other)[2] == shown(report)[2]


def test_one_run_gives_the_same_page_twice(ran, page):
    assert render(gather(latest_record(ran.store))) == page


def test_a_source_that_loses_far_more_than_the_others_is_an_alarm(report):
    told = [sentence for stage, sentence in report.alarms if stage == "clean"]
    assert any("<b>numbers" in sentence and "keeps 0.0% of 60" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("asked", "kept", "everyone", "all_kept", "alarm"),
    [
        (100, 5, 10_000, 8000, True),
        (100, 99, 10_000, 3000, True),
        (20, 0, 10_000, 8000, False),  # too few
        (5000, 3900, 10_000, 8000, False),  # certain but small
        (1000, 1000, 10_000, 9600, False),  # large odds, four points
        (50, 38, 100, 80, False),
        (0, 0, 10_000, 8000, False),
    ],
)
def test_an_alarm_is_both_large_and_beyond_chance(asked, kept, everyone, all_kept, alarm):
    assert bool(_odds(asked, kept, everyone, all_kept)) is alarm


def test_a_clause_without_a_value_is_loud(tmp_path):
    rows = [{"text": t, "score": None if i % 3 == 0 else float(i)} for i, t in enumerate(support.texts(40))]
    support.put_corpus(tmp_path / "raw", rows, 1)
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {score: float64}}
  clean: {use: filter, inputs: docs, keep: {high: score > 3}}
"""
    report = gather(latest_record(support.run(recipe, tmp_path, tmp_path / "root").store))
    assert ("clean", "clause high has no value for 14 rows: they are not kept") in report.alarms
    reasons = {r.name: r.num_rows for g in space_of(report).groups if not g.kept for r in g.reasons}
    assert reasons == {"high": 2, "high: no value": 14}
    assert re.search(r'<b class="tag alarm">14</b>', render(report))


def test_only_sampled_documents_are_read(ran, monkeypatch):
    read = []
    real = excerpts._texts
    monkeypatch.setattr(excerpts, "_texts", lambda *a: [read.append(r[0]) or r for r in real(*a)])
    checked = []
    monkeypatch.setattr("winnow.core.store.parts.check_file", lambda store, ref: checked.append(ref.columns))
    report = gather(latest_record(ran.store))
    shown = sum(len(r.samples) for g in space_of(report).groups for r in g.reasons)
    members = sum(12 for d in space_of(report).duplicates for c in [*d.largest, *d.chains])
    assert len(read) <= shown + members
    assert not any("text" in columns for columns in checked)


def test_an_unfinished_run_says_what_is_missing(copy):
    record = latest_record(copy)
    gone = record.stages["best"]["dir"]
    copy.delete(f"{gone}/manifest.json")
    report = gather(record)
    assert [m.name for m in report.missing] == ["best"]
    page = render(report)
    assert "This run is not complete" in page
    assert Page(page).wrong == []
    assert [s.name for s in space_of(report).steps] == ["clean", "exact", "unique"]


def test_a_run_without_a_complete_stage_is_refused(copy):
    record = latest_record(copy)
    for stage in record.stages.values():
        copy.delete(f"{stage['dir']}/manifest.json")
    with pytest.raises(ConfigError, match="no stage of run 'test' is complete"):
        write_report(record)


def test_a_failed_run_shows_its_quarantine(tmp_path):
    folder = corpus(tmp_path)
    (folder / "raw" / "broken.jsonl").write_bytes(b'{"text": "good words"}\n{"text": <i>\n' * 20)
    with pytest.raises(DataError):
        support.run(RECIPE, folder, folder / "root")
    with pytest.raises(ConfigError, match="no stage of run"):
        gather(latest_record(open_store(folder / "root")))
    allowed = RECIPE.replace("id: content}", "id: content, max_bad_share: 0.5}")
    ran = support.run(allowed, folder, folder / "root")
    report = gather(latest_record(ran.store))
    docs = next(s for s in report.provenance.stages if s.name == "docs")
    assert docs.num_bad == 20
    assert len(docs.bad) == 5
    assert any(
        s == "docs" and a.startswith("20 records or rows in quarantine, without an answer; first: ")
        for s, a in report.alarms
    )
    assert "raw/broken.jsonl" not in render(report) or "broken.jsonl" in "".join(b.where for b in docs.bad)


@pytest.mark.parametrize("drop", ["rows", "counts"])
def test_a_stage_of_another_version_is_named(copy, drop):
    record = latest_record(copy)
    key = f"{record.stages['clean']['dir']}/manifest.json"
    head = orjson.loads(copy.get(key))
    del head[drop]
    copy.put(key, orjson.dumps(head))
    with pytest.raises(StoreError, match="'clean' was made by another version"):
        gather(record)


def test_a_stage_file_of_another_version_is_named(copy):
    record = latest_record(copy)
    copy.put(f"{record.stages['unique.clusters']['dir']}/stage.json", b'{"operator": "gone"}')
    with pytest.raises(StoreError, match="'unique' was made by another version"):
        gather(record)


def test_a_committed_file_that_is_gone_is_named(copy):
    manifest = StageDir(copy, latest_record(copy).stages["clean"]["dir"]).manifest()
    copy.delete(manifest.receipts[0].files[0].key)
    with pytest.raises(StoreError, match="gone"):
        gather(latest_record(copy))


def test_the_page_lies_in_the_root_or_where_asked(ran, copy, tmp_path):
    told = write_report(latest_record(copy))
    assert told["path"] == copy.where(f"{FOLDER}/test.html")
    assert Path(told["path"]).stat().st_size == told["bytes"]
    assert told["tables"] == [], "no comparison"
    assert write_report(latest_record(copy), tmp_path / "own" / "r.html")["bytes"] == told["bytes"]
    assert (tmp_path / "own" / "r.html").is_file()
    with pytest.raises(ConfigError, match="a folder"):
        write_report(latest_record(copy), tmp_path)


def test_without_matplotlib_the_page_has_words_in_place_of_charts_and_says_so(report, monkeypatch):
    whole = render(report)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = render(report)
    assert page.count("<svg") == page.count('<svg class="dag"') == 1  # the stages are drawn without it
    assert "no charts: Matplotlib is not installed (" in page
    assert "[report]" in page
    labels = re.findall(r'<div class="chart" role="img" aria-label="([^"]*)"', whole)
    assert labels
    assert all(f'<p class="dim">{label}</p>' in page for label in labels)


def test_drawings_have_no_fixed_colours_and_escape_names(report):
    row = effects.Row(
        arm="<script>$x",
        control=False,
        mean=-0.1,
        low=-0.2,
        high=-0.05,
        verdict="better",
        mde=0.1,
        p_adjusted=0.01,
        fixed=True,
    )
    rows = [row, dataclasses.replace(row, arm="aa", control=True, low=None, high=None, verdict="cannot tell", mde=None)]
    drawn = charts.forest(
        effects.Target(name="t", primary=True, documents=3, baseline=2.0, unit="bits per byte", rows=rows)
    )
    for svg in (drawn.wide, drawn.narrow):
        assert Page(svg).wrong == []
        assert "<script" not in svg
        assert "&lt;script&gt;$x" in svg
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {f"var(--{n})" for n in charts.COLOUR} | {"none"}


def put_training(
    store: Store, record_name: str, *, complete: bool = True, answered: dict | None = None, more: dict | None = None,
    common: dict | None = None, former: bool = False,
) -> None:  # fmt: skip
    """Two arms and an A/A arm of two seeds, and their comparison, as stages of a recorded run."""
    entries = {}
    arms = ("baseline", "<top>", "aa")
    for number, (arm, seed) in enumerate((a, s) for a in arms for s in (0, 1)):
        folder = f"train_gpt-{number:020x}"
        stage = StageDir(store, folder)
        losses = (8 - np.arange(100) / 50 + number / 10).astype(np.float32)
        ref = save_file(stage, "artefact", "all", ".npy", lambda sink, x=losses: np.save(sink, x), name="losses.npy")
        put_stage(
            stage,
            "artefact",
            Receipt(phase="artefact", unit="all", key="k", files=(ref,), extra={"metrics": {"tokens": 1000}}),
        )
        entries[f"effect.train_{arm}_{seed}"] = {
            "dir": folder,
            "kind": "artefact",
            "operator": "train_gpt",
            "hidden": True,
        }
    row = {
        "mean_diff": -0.1,
        "low": -0.2,
        "high": -0.01,
        "verdict": "better",
        "mde": 0.1,
        "p_adjusted": 0.02,
        "fixed_selection": True,
    }
    row |= answered or {}
    body = {"scores": {"t": [2.0, 2.1]}, "effects": {"t": row, "u": row}}
    if former:
        del row["p_adjusted"]
        body["measures"] = {"t accuracy": dict(row)}
    metrics = {
        "primary": "t", "targets": {n: {"documents": d, "unit": "bits per byte"} for n, d in (("u", 3), ("t", 4))}, "arms": {"<top>": body},
        "aa": {"aa": body}, "baseline": {"scores": {"t": [2.0], "u": [2.0]}, "effects": {}},
        "parameters": 1e6, "tokens": 1000, "steps": 100,
        "seeds": 2, "precision": ["fp32"], "screening_only": True, "notes": ["screening only: <small>"],
    }  # fmt: skip
    metrics |= more or {}
    if common:
        overlap = StageDir(store, f"arms_overlap-{0:020x}")
        put_stage(
            overlap, "result", Receipt(phase="result", unit="all", key="k", extra={"metrics": {"common": common}})
        )
        entries["effect.overlap"] = {
            "dir": overlap.folder,
            "kind": "result",
            "operator": "arms_overlap",
            "hidden": True,
        }
    stage = StageDir(store, f"compare_arms-{0:020x}")
    if complete:
        put_stage(stage, "result", Receipt(phase="result", unit="all", key="k", extra={"metrics": metrics}))
    entries["effect.compare"] = {"dir": stage.folder, "kind": "result", "operator": "compare_arms", "face_of": "effect"}
    raw = orjson.loads(store.get(f"runs/{record_name}.json"))
    raw["stages"] |= entries
    store.put(f"runs/{record_name}.json", orjson.dumps(raw))


def put_stage(stage: StageDir, kind: str, receipt: Receipt) -> None:
    body = {"operator": "concat", "config": {}, "seed": 0, "family": "", "inputs": [],
            "columns": {}, "where": None, "where_columns": {}, "population": [], "refs": {}, "code": "",
            "timeout_s": 1.0, "identity": {}, "outputs": pa.schema([]).serialize().to_pybytes().hex()}  # fmt: skip
    stage.store.put(f"{stage.folder}/stage.json", orjson.dumps(body))
    digest = content_digest([receipt])
    stage.finish(
        Manifest(
            kind=kind,
            fingerprint="f",
            content_digest=digest,
            consumed={},
            rows=0,
            counts={},
            seconds=1.5,
            receipts=(receipt,),
        )
    )


def test_curves_and_effects_come_from_the_stored_runs(copy):
    put_training(copy, "test")
    report = gather(latest_record(copy))
    (effect,) = report.effects
    assert [(c.arm, c.control, c.seeds) for c in effect.curves] == [
        ("baseline", False, 2),
        ("<top>", False, 2),
        ("aa", True, 2),
    ]
    assert effect.window == 4
    first = effect.curves[0]
    expected = 8 - np.arange(97) / 50 - 3 / 100
    np.testing.assert_allclose(first.low, expected, atol=1e-5)
    np.testing.assert_allclose(first.high - first.low, 0.1, atol=1e-5)
    assert first.tokens[-1] == 1000
    assert [(t.name, t.primary) for t in effect.targets] == [("t", True), ("u", False)]
    assert [(r.arm, r.control, r.verdict) for r in effect.targets[0].rows] == [
        ("<top>", False, "better"),
        ("aa", True, "better"),
    ]
    page = render(report)
    assert Page(page).wrong == []
    assert "<top>" not in page
    assert ("effect", "screening only: <small>") in report.alarms


ANSWERED = {
    "question": "method",
    "interval": "pooled",
    "method": {"low": -0.2, "high": -0.01, "p_adjusted": 0.02, "verdict": "better", "interval": "pooled"},
    "selection": {"low": None, "high": None, "p_adjusted": None, "verdict": "cannot tell", "interval": None,
                  "why": "it draws another <selection>"},
    "ngram": {"order": 2, "mean_diff": -0.07, "explained": 0.7},
}  # fmt: skip
KEYS = ["baseline/0", "baseline/1", "<top>/0", "<top>/1", "other/0"]


def test_both_answers_stand_side_by_side_with_what_they_rest_on(copy, tmp_path):
    """Numbers of the stored metrics, on the page, in the drawing and in the table of files."""
    cells = {"d0": {"mean": 2.1}, "d<1": {"mean": None}}
    more = {
        "verdicts": {"<top>": "<top> is better on t: trained on `1,000` tokens"},
        "components": {"t": {"training": 0.011, "draw": 0.022, "drawn": {"df": 4, "labels": 2},
                             "fixed": {"df": 2, "labels": 1}}},
        "curve": {
            "baseline": {"t": {"role": "old", "tokens": [0, 500, 1000], "mean": [2.0, 2.2, 1.9], "seeds": [[2.0, 2.1, 1.9], [2.0, 2.3, 1.9]],
                               "rise": 0.2, "rise_at": 500, "rises": [0.1, 0.3], "end": -0.1, "back_at": 1000}},
            "<top>": {"t": {"role": "old", "tokens": [0, 500, 1000], "mean": [9.0, 5.0, 4.0], "seeds": [[9.0, 5.0, 4.0]],
                            "rise": None, "rise_at": None, "rises": None, "end": -5.0, "back_at": None}},
        },
        "draws": {"<top>": {"selections": 1, "seeds": 2, "common": 1.0, "redrawn": True}},
        "tuning": {"labels": {"<top>": {"cells": cells, "chosen": "d0"}}, "cells": ["d0", "d<1"], "target": "t",
                   "seeds": 3, "runs": 12},
    }  # fmt: skip
    shares = np.full((5, 5), 0.5)
    shares[:2, :2], shares[2:4, 2:4] = 0.25, 1.0
    np.fill_diagonal(shares, 1.0)
    put_training(copy, "test", answered=ANSWERED, more=more, common={"keys": KEYS, "shares": shares.tolist()})
    report = gather(latest_record(copy))
    (effect,) = report.effects
    row = effect.targets[0].rows[0]
    assert (row.asked, row.ngram, row.explained) == ("method", -0.07, 0.7)
    method, selection = row.answers["method"], row.answers["selection"]
    assert (method.low, method.high, method.verdict, method.how) == (
        -0.2,
        -0.01,
        "better",
        "pooled noise",
    )
    assert (selection.low, selection.why) == (None, "it draws another <selection>")
    assert effect.beside.shared.labels == ["baseline", "<top>"]  # `other` is no label of the comparison
    assert effect.beside.shared.shares == [[0.25, 0.5], [0.5, 1.0]]
    (along,) = effect.beside.along
    assert (along.role, [t.label for t in along.tracks]) == ("old", ["baseline", "<top>"])
    assert (along.tracks[0].low, along.tracks[0].high) == ([2.0, 2.1, 1.9], [2.0, 2.3, 1.9])
    assert (effect.beside.tuned.means, effect.beside.tuned.chosen) == ([[2.1], [None]], ["d0"])
    page = render(report)
    assert Page(page).wrong == []
    assert "<top>" not in page
    assert "<selection>" not in page
    text = " ".join(" ".join(Page(page).text).split())
    for words in (
        "this method this selection detectable p (adjusted) its bigram",
        "better -0.200 to -0.010 pooled noise no answer: it draws another <selection>",
        "-0.070 70.0%",
        "<top> is better on t: trained on 1,000 tokens",
        "noise of one run on t, sd: training 0.011, the draw 0.022 (3 labels together, df 6)",
        "<top> – – – 1 of 2 100.0%",
        "2.100 chosen d<1 failed",
        "baseline 25.0% 50.0%",
        "t while the runs train old bits per byte, mean over seeds",
        "baseline 2.000 1.900 +0.200 at 500 tokens 1,000 tokens <top> 9.000 4.000 from scratch –",
    ):
        assert words in text, words
    told = write_report(latest_record(copy), tmp_path / "mine.html")
    first = next(csv.DictReader(Path(told["tables"][0]).read_text().splitlines()))
    assert (first["question"], first["method_low"], first["method_verdict"]) == ("method", "-0.2", "better")
    assert (first["selection_low"], first["selection_verdict"]) == ("", "")
    assert (first["ngram"], first["ngram_explained"]) == ("-0.07", "0.7")


def test_a_comparison_of_an_earlier_version_is_shown_and_says_what_it_lacks(copy, tmp_path):
    put_training(copy, "test", answered={"p_holm": 0.034}, former=True)
    (effect,) = gather(latest_record(copy)).effects
    assert effect.targets[0].rows[0].p_adjusted == 0.034
    assert effect.targets[0].rows[0].answers == {}
    assert "compared by an earlier version, without 'p_adjusted'" in effect.details[0]
    page = render(gather(latest_record(copy)))
    assert "0.034" in page
    assert "95% interval" in page
    told = write_report(latest_record(copy), tmp_path / "mine.html")
    assert next(csv.DictReader(Path(told["tables"][0]).read_text().splitlines()))["p_adjusted"] == "0.034"


def test_a_p_is_never_a_round_zero():
    assert [chance(p) for p in (None, 0.0, 0.0004, 0.0123, 1.0)] == ["–", "<0.001", "<0.001", "0.012", "1.000"]


def test_the_comparison_stands_beside_the_page_as_csv_and_json(copy, tmp_path):
    put_training(copy, "test")
    told = write_report(latest_record(copy), tmp_path / "mine.html")
    assert told["tables"] == [str(tmp_path / "mine.effects.csv"), str(tmp_path / "mine.effects.json")]
    rows = list(csv.DictReader((tmp_path / "mine.effects.csv").open()))
    assert [(r["arm"], r["role"], r["target"]) for r in rows] == [
        ("<top>", "arm", "t"), ("<top>", "arm", "u"), ("aa", "control", "t"), ("aa", "control", "u"),
    ]  # fmt: skip
    assert (rows[0]["mean_diff"], rows[0]["low"], rows[0]["high"]) == ("-0.1", "-0.2", "-0.01")
    assert (rows[0]["baseline"], rows[0]["unit"], rows[0]["verdict"]) == ("2.0", "bits per byte", "better")
    body = json.loads((tmp_path / "mine.effects.json").read_bytes())
    assert body["effect"]["metrics"]["notes"] == ["screening only: <small>"]


def test_an_unfinished_ablation_shows_the_curves_it_has(copy):
    put_training(copy, "test", complete=False)
    copy.delete(f"train_gpt-{3:020x}/manifest.json")
    report = gather(latest_record(copy))
    (effect,) = report.effects
    assert {c.arm: c.seeds for c in effect.curves} == {"baseline": 2, "<top>": 1, "aa": 2}
    assert effect.missing == 1
    assert effect.targets == []
    assert {m.name for m in report.missing} == {"effect", "effect.train_<top>_1"}
    assert "The comparison is not complete." in render(report)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("of", ["page", "hostile"])
def test_a_browser_runs_no_script_and_needs_no_sideways_scrolling(of, request, tmp_path, width):
    page = request.getfixturevalue(of)
    opened = page.replace("<details", "<details open") if width == 400 else page
    style = f"width: {width}px; height: 3000px; border: 0"
    frame = f'<iframe style="{style}" srcdoc="{html.escape(opened, quote=True)}"></iframe>'
    script = (
        "<script>onload = () => { const d = document.querySelector('iframe').contentDocument;"
        " const e = d.documentElement;"
        " document.body.dataset.told = [e.scrollWidth, e.clientWidth, d.scripts.length, d.images.length,"
        " d.querySelectorAll('svg').length, document.title].join('|'); }</script>"
    )
    (tmp_path / "frame.html").write_text(
        f"<!doctype html><title>quiet</title><body>{frame}{script}</body>", encoding="utf-8"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
               "--window-size=1400,3200", "--dump-dom", (tmp_path / "frame.html").as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    told = re.search(r'data-told="([^"]*)"', done.stdout)
    assert told, done.stderr[-2000:]
    scrolled, client, scripts, images, drawings, title = told[1].split("|")
    assert (int(scripts), int(images), title) == (0, 0, "quiet")
    assert int(drawings) >= (4 if of == "page" else 0)
    assert int(scrolled) <= int(client) <= width


def test_a_card_speaks_for_all_targets():
    """`better on A, worse on B`: a gain on the primary target never hides a loss elsewhere."""
    from winnow.dags.looking.report.effects import Effect, Row, Target

    def target(name, **verdicts):
        rows = [
            Row(arm=arm, control=False, mean=0.1, low=0.0, high=0.2, verdict=verdict, mde=None, p_adjusted=None, fixed=False)
            for arm, verdict in verdicts.items()
        ]  # fmt: skip
        rows.append(Row(arm="aa", control=True, mean=0, low=0, high=0, verdict="worse", mde=None, p_adjusted=None, fixed=False))  # fmt: skip
        return Target(name=name, primary=name == "a", documents=3, baseline=1.0, unit="bits per byte", rows=rows)

    effect = Effect(stage="e", targets=[target("a", top="better", far="worse", flat="cannot tell"),
                                        target("b", top="worse", far="worse", flat="cannot tell"),
                                        target("c", top="cannot tell", far="cannot tell", flat="cannot tell")])  # fmt: skip
    told = {card.arm: (card.verdict, card.tone) for card in effect.cards()}
    assert told == {
        "top": ("better on a, worse on b, cannot tell on c", ""),
        "far": ("worse on a and b, cannot tell on c", "bad"),
        "flat": ("cannot tell on a and b and c", ""),
    }
    assert [c.verdict for c in Effect(stage="e", targets=[target("a", top="better")]).cards()] == ["better"]


def test_the_page_says_populations_remarks_of_the_plan_and_the_date(tmp_path):

    support.put_file(tmp_path / "raw.jsonl", b"".join(b'{"text": "some words %d"}\n' % n for n in range(20)))
    recipe = """
stages:
  docs: {use: jsonl, files: raw.jsonl}
  long: {use: filter, inputs: docs, keep: {c: "text_bytes > 12"}}
  some: {use: random, inputs: docs, budget: 5 docs}
  corpus: {use: write, inputs: docs, ignore: all}
"""
    report = gather(latest_record(support.run(recipe, tmp_path, tmp_path / "root").store))
    assert [stage for stage, _ in report.remarks][:1] == ["some"]
    page = render(report)
    for words in ("rows that long kept", "ALL rows of docs", "not respected: long (ignored)", "no stage takes them",
                  f"finished {report.provenance.date}"):  # fmt: skip
        assert words in page, words
