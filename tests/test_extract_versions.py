"""The main text of a page as the text of its document: what reads it, what is on disk, what people see."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from support import plan_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.core.words.hashing import text_hash
from winnow.dags.looking.why import explain
from winnow.dags.looking.why_text import why_lines
from winnow.dags.recipe.records import latest_record
from winnow.dags.recipe.yaml_recipe import load_recipe
from winnow.dags.shapes.map import MapTask
from winnow.pipeline.extract.resiliparse_ import Resiliparse

READS = 'seed: 1\nstages:\n  pages: {use: html_files, files: "crawled/*.html", url: "{stem}", max_bad_share: 0.5}\n'
RECIPE = (
    READS
    + """
  main:  {use: resiliparse, inputs: pages, where: "url <> 'left'", max_bad_share: 0.5}
  tok:   {use: count_tokens, inputs: pages}
  clean: {use: filter, inputs: pages, keep: {text_left: "text_bytes > 0"}}
  out:   {use: write, inputs: pages, format: jsonl, carry: [url]}
  raw:   {use: write, inputs: pages, format: jsonl, carry: [url], text: pages}
"""
)
SITE = {"a": "<p>Alpha é", "b": "<p>Beta", "none": "NOTHING", "breaks": "BREAKS", "left": "<p>Left out"}


def careless(self):
    """An extractor that breaks at one page."""
    return lambda page: 1 / 0 if page == "BREAKS" else page[3:] if page.startswith("<p>") else None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    for name, page in SITE.items():
        put_file(folder / "crawled" / f"{name}.html", page.encode())
    return folder


@pytest.fixture(scope="module")
def ran(site, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resiliparse, "extractor", careless)
        return run(RECIPE, site, tmp_path_factory.mktemp("root"))


def by_address(found, stage, column="text"):
    rows = found.table(stage, "url", column)
    return dict(zip(rows["url"].to_pylist(), rows[column].to_pylist(), strict=True))


def test_what_stands_below_reads_the_main_text_and_failures_leave_no_page(ran):
    texts = {"a": "Alpha é", "b": "Beta", "none": "", "breaks": "", "left": SITE["left"]}
    assert by_address(ran, "main") == texts
    assert by_address(ran, "main", "text_bytes") == {name: len(text.encode()) for name, text in texts.items()}
    hashes = by_address(ran, "main", "text_hash")
    assert list(hashes.values()) == text_hash(pa.array([texts[n] for n in hashes], pa.large_string())).to_pylist()
    assert by_address(ran, "tok", "token_count") == {n: -(-len(t.encode()) // 4) for n, t in texts.items()}
    assert by_address(ran, "out") == {n: t for n, t in texts.items() if t}
    assert by_address(ran, "raw") == {n: SITE[n] for n, t in texts.items() if t}


def test_empty_documents_are_counted_and_the_clause_is_named(ran):
    counts = ran.of("main").manifest.counts
    assert (counts["emptied"], counts["nothing_found"]) == (2, 1)
    told = ran.of("main").operator.remarks(counts, {})
    assert any("left 2 of 4 documents (50.0%) empty" in one and "text_bytes > 0" in one for one in told)


def test_why_says_where_the_text_comes_from_and_does_not_show_the_page(ran):
    rows = ran.table("main", "url", "doc_id")
    ids = dict(zip(rows["url"].to_pylist(), rows["doc_id"].to_pylist(), strict=True))
    answer = explain(latest_record(ran.store), ids["a"].hex())
    lines = [line for _, line in why_lines(answer, width=100, hidden=False)]
    assert any("text taken from the page by resiliparse, 11 -> 8 bytes" in line for line in lines)
    failed = explain(latest_record(ran.store), ids["breaks"].hex())
    assert next(s for s in failed["stages"] if s["stage"] == "main")["edits"] is None


def test_pages_lie_under_the_text_only_where_rows_were_left_out(ran, site, tmp_path):
    def layers(found):
        return [len(list(part.file_of("text").layers())) for part in found.of("main").parts.values()]

    assert max(layers(ran)) == 2
    whole = READS.replace("*.html", "[ab].html") + "  main: {use: resiliparse, inputs: pages}\n"
    assert layers(run(whole, site, tmp_path / "root")) == [1]


def test_which_column_holds_the_pages_is_decided_while_planning(site):
    put_file(site / "rows.jsonl", (json.dumps({"text": "-", "html": "<p>x"}) + "\n").encode())
    jsonl = "stages:\n  docs: {use: jsonl, files: rows.jsonl, columns: {html: string}}\n  main: {use: resiliparse, inputs: docs"
    settled = [plan_of(text, site).nodes[-1] for text in (jsonl + "}\n", jsonl + ", html: html}\n")]
    assert settled[0].operator.html == "html"
    assert settled[0].fingerprint == settled[1].fingerprint
    assert plan_of(READS + "  main: {use: resiliparse, inputs: pages}\n", site).nodes[-1].operator.html == "text"
    bare = jsonl.replace(", columns: {html: string}", "")
    with pytest.raises(ConfigError, match="not of pages") as error:
        plan_of(bare + "}\n", site)
    assert "html: text" in error.value.hint
    assert plan_of(bare + ", html: text}\n", site)


TWO = READS + "  one: {use: resiliparse, inputs: pages}\n  two: {use: trafilatura, inputs: pagesMORE}\n"


def test_two_extractors_have_to_say_whose_text_is_meant(site):
    with pytest.raises(ConfigError, match="would read the text that 'one' took"):
        plan_of(TWO.replace("MORE", ""), site)
    beside = TWO.replace("MORE", ", text: pages")
    with pytest.raises(ConfigError, match="neither reads what the other wrote"):
        plan_of(beside + "  sig: {use: signals, inputs: pages}\n", site)
    plan = plan_of(beside + "  sig: {use: signals, inputs: pages, text: two}\n", site)
    assert plan.nodes[-1].text.name == "two"


def test_stages_that_read_pages_as_text_are_told_once(site):
    def said(stages):
        return [r.line for r in plan_of(READS + stages, site).remarks if "HTML" in r.text]

    sig, main = "  sig: {use: signals, inputs: pages}\n", "  main: {use: resiliparse, inputs: pages}\n"
    long = '  long: {use: filter, inputs: [pages, sig], keep: {a: "word_count > 1"}}\n'
    near = "  near: {use: minhash, inputs: pages}\n"
    (one,) = said(sig + long + near)
    assert one.startswith("! sig: and near read HTML, no extractor above: `main: {use: main_text, inputs: pages}`")
    assert said(main + sig + long + near) == []
    assert said(sig + main)[0].startswith("! sig: reads HTML")
    assert said(main + "  sig: {use: signals, inputs: pages, text: pages}\n") == []
    assert said("  out: {use: write, inputs: pages}\n") == []
    assert said("  signs: {use: math_signals, inputs: pages}\n  asks: {use: opt_out, inputs: pages}\n") == []


def test_records_of_plain_text_are_no_pages(tmp_path):
    put_file(tmp_path / "a.warc", b"WARC/1.0\r\n")
    warc = "stages:\n  pages: {use: warc, files: a.warc, types: [TYPES]}\n  sig: {use: signals, inputs: pages}\n"
    assert plan_of(warc.replace("TYPES", "conversion"), tmp_path).remarks == []
    assert len(plan_of(warc.replace("TYPES", "response, conversion"), tmp_path).remarks) == 1
    with pytest.raises(ConfigError, match="not of pages"):
        plan_of(warc.replace("TYPES", "conversion").replace("signals", "resiliparse"), tmp_path)


def test_an_edit_that_an_extractor_would_lose_is_refused(site):
    put_file(site / "rows.jsonl", (json.dumps({"text": "-", "html": "<p>x"}) + "\n").encode())
    recipe = """stages:
  docs: {use: jsonl, files: rows.jsonl, columns: {html: string}}
  safe: {use: mask_pii, inputs: docs}
  main: {use: resiliparse, inputs: docs}
"""
    with pytest.raises(ConfigError, match="what 'safe' changed would be lost"):
        plan_of(recipe, site)


def test_the_built_in_recipe_reads_files_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("fineweb", sets={"files": "a.warc.gz", "lists": "b"}).folder == tmp_path


def test_a_stage_of_a_built_in_recipe_is_replaced_and_changed_from_the_command_line():
    sets = {"stages.main": "{use: main_text, inputs: pages}", "stages.lang.max_chars": "99", "lines.min_words": "4"}
    stages = {s.name: s for s in load_recipe("fineweb", sets=sets).stages}
    assert (stages["main"].use, dict(stages["main"].config)) == ("main_text", {})
    assert (stages["lang"].config["max_chars"], stages["lines"].config["min_words"]) == (99, 4)
    with pytest.raises(ConfigError, match="no stage 'mian'"):
        load_recipe("fineweb", sets={"stages.mian": "{use: main_text}"})


def test_what_was_counted_is_told_of_a_part_whose_rows_were_tried_apart_too(tmp_path, monkeypatch):
    """A part that lost its worker goes through a process of its own, and counts what any other part counts."""
    recipe = READS + "  main:  {use: main_text, inputs: pages}\n"
    for name, page in {"a": "<p>Alpha", "none": "<nav><a href='/'>Home</a></nav>", "bare": "<br>"}.items():
        put_file(tmp_path / "crawled" / f"{name}.html", page.encode())
    usual = run(recipe, tmp_path, tmp_path / "usual")
    apart = []

    def run_apart(self):
        for task in (self, *self.siblings):
            apart.append(task.row_by_row().run())
        return {}

    monkeypatch.setattr(MapTask, "run", run_apart)
    tried = run(recipe, tmp_path, tmp_path / "apart")
    assert apart
    assert tried.digests == usual.digests
    assert tried.counts("main") == usual.counts("main")
    assert tried.counts("main")["nothing_found"]
