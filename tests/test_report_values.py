"""Text columns in `winnow report`: top values of what decisions read, and sources by the readers or by a column."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import support
from typer.testing import CliRunner

from winnow.cli import app
from winnow.core.errors import ConfigError
from winnow.dags.looking.report import gather, render, values
from winnow.dags.recipe.records import latest_record

EVIL = "<script>alert(1)</script>"
LANGS = ["en"] * 6 + ["de"] * 3 + [EVIL] * 2
RECIPE = """
stages:
  docs: {use: jsonl, files: raw.jsonl, columns: {lang: string, site: string}}
  clean: {use: filter, inputs: docs, keep: {english: "lang <> 'de'"}}
  late: {use: filter, inputs: docs, keep: {known: "lang <> 'xx'"}}
  some: {use: top_k, inputs: docs, by: text_bytes, per: site, budget: 60%}
  corpus: {use: write, inputs: [docs, some]}
"""


def record(n):
    lang = LANGS[n % len(LANGS)]
    text = f'"text": "some words of number {n}"'
    site = "" if n % 7 == 0 else f', "site": "s{n % 40:02}"'
    return f'{{{text}, "lang": "{lang}"{site}}}\n'.encode()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    support.put_file(folder / "raw.jsonl", b"".join(record(n) for n in range(220)))
    return support.run(RECIPE, folder, folder / "root")


def column(report, stage):
    return next(t for t in report.spaces[0].texts if t.stage.shown == stage)


def test_values_of_the_text_that_a_clause_reads_are_counted_kept_against_all(ran):
    report = gather(latest_record(ran.store))
    one = column(report, "clean")
    expected = Counter(LANGS[n % len(LANGS)] for n in range(220))
    assert {v.text: v.asked for v in one.top} == dict(expected)
    assert [v.text for v in one.top] == ["en", "de", EVIL]
    assert {v.text: v.kept for v in one.top} == {"en": expected["en"], "de": 0, EVIL: expected[EVIL]}
    assert one.rest is None
    assert {v.text for v in column(report, "late").top} == {"en", EVIL}, "nobody asked about those that clean dropped"
    page = render(report)
    assert "<script" not in page
    section = page[page.index('id="scores"') : page.index("</section>", page.index('id="scores"'))]
    words = " ".join(re.sub(r"<[^>]*>", " ", section).split())
    assert f"de {expected['de']} 0 0.0%" in words
    assert "&lt;script&gt;" in section


def test_of_many_values_the_most_frequent_are_shown_and_the_rest_is_summed(ran):
    one = column(gather(latest_record(ran.store)), "some")
    kept = sum(ran.table("clean", "kept").column("kept").to_pylist())
    assert one.different == 41  # 40 sites, and rows without one
    assert (one.top[0].text, len(one.top)) == (None, values.SHOWN)
    assert one.rest.text == "29 other values"
    assert sum(v.asked for v in one.top) + one.rest.asked == kept
    chosen = [bool(k) for k in ran.table("some", "kept").column("kept").to_pylist()]
    assert sum(v.kept for v in one.top) + one.rest.kept == sum(chosen)


def test_of_too_many_different_values_none_is_shown_and_it_says_so(ran, monkeypatch):
    monkeypatch.setattr(values, "MOST_DIFFERENT", 20)
    report = gather(latest_record(ran.store))
    assert column(report, "some").too_many
    assert column(report, "some").top == []
    assert len(column(report, "clean").top) == 3
    assert "more different values than are counted here" in render(report)


def test_sources_by_a_column_count_its_values(ran):
    report = gather(latest_record(ran.store), by="lang")
    sources = report.spaces[0].sources
    expected = Counter(LANGS[n % len(LANGS)] for n in range(220))
    assert {line.name: line.rows for line in sources.lines} == dict(expected)
    assert sources.by == "lang"
    german = next(line for line in sources.lines if line.name == "de")
    assert (german.cells[0].asked, german.cells[0].kept) == (expected["de"], 0)
    assert german.cells[0].odds > 0, "marked"
    assert sources.alarms == [], "and no alarm: the clause is about this column"
    assert "<script" not in render(report)


def test_rows_without_a_value_are_a_source_of_their_own(ran):
    sources = gather(latest_record(ran.store), by="site").spaces[0].sources
    assert sources.num_sources == 41
    assert next(line.rows for line in sources.lines if line.name == "(no value)") == 32


def test_a_column_that_nobody_has_or_that_is_no_text_is_an_error_with_those_there_are(ran):
    with pytest.raises(ConfigError, match="has a column 'langg'") as told:
        gather(latest_record(ran.store), by="langg")
    assert "lang" in told.value.hint
    with pytest.raises(ConfigError, match="'text_bytes' is int64") as told:
        gather(latest_record(ran.store), by="text_bytes")
    assert told.value.hint == "one of: lang, site"
    with pytest.raises(ConfigError, match="the text itself"):
        gather(latest_record(ran.store), by="text")


def test_the_command_takes_a_column(ran):
    done = CliRunner().invoke(app, ["report", ran.store.location, "--by", "lang", "--json"])
    assert done.exit_code == 0, done.output
    page = ran.store.get("reports/test.html").decode()
    assert "3 shown; by lang" in page
    done = CliRunner().invoke(app, ["report", ran.store.location, "--by", "nobody"])
    assert isinstance(done.exception, ConfigError)


def test_several_readers_with_a_source_are_told_apart_by_it(tmp_path):
    for name, many in (("web", 5), ("book", 3)):
        support.put_file(tmp_path / name / "raw.jsonl", b"".join(b'{"text": "%s %d"}\n' % (name.encode(), n) for n in range(many)))  # fmt: skip
    recipe = f"""
stages:
  a: {{use: jsonl, files: web/raw.jsonl, source: "{EVIL}"}}
  b: {{use: jsonl, files: book/raw.jsonl, source: books}}
  docs: {{use: concat, inputs: [a, b]}}
  clean: {{use: filter, inputs: docs, keep: {{any: text_bytes > 5}}}}
"""
    got = latest_record(support.run(recipe, tmp_path, tmp_path / "root").store)
    report = gather(got)
    sources = next(s for s in report.spaces if s.name == "docs").sources
    assert {line.name: line.rows for line in sources.lines} == {EVIL: 5, "books": 3}
    assert sources.by == "the readers' `source`"
    assert "<script" not in render(report)
    folders = next(s for s in gather(got, by="origin").spaces if s.name == "docs").sources
    assert {line.name for line in folders.lines} == {"a/raw.jsonl", "b/raw.jsonl"}


def test_one_reader_is_told_apart_by_its_folders_unless_asked_otherwise(ran):
    sources = gather(latest_record(ran.store)).spaces[0].sources
    assert (sources.by, [line.name for line in sources.lines]) == ("reader and folder", ["docs/raw.jsonl"])
    assert [line.name for line in gather(latest_record(ran.store), by="source").spaces[0].sources.lines] == ["docs"]
