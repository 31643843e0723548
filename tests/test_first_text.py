"""`first_text`: which of several texts a document gets, what reads it, what people see of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import plan_of, put_file, run
from test_extract import answer

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.words.hashing import text_hash
from winnow.dags.looking.why import explain
from winnow.dags.looking.why_text import why_lines
from winnow.dags.recipe.records import latest_record
from winnow.pipeline.extract.first_text import FirstText, chosen
from winnow.pipeline.extract.resiliparse_ import Resiliparse
from winnow.pipeline.extract.trafilatura_ import Trafilatura

READS = """seed: 1
stages:
  pages: {use: html_files, files: "crawled/*.html", url: "{stem}"}
  one:   {use: resiliparse, inputs: pages}
  two:   {use: trafilatura, inputs: pages, text: pages}
  ok_one: {use: filter, inputs: pages, text: one, keep: {long: "text_bytes >= 10"}}
  ok_two: {use: filter, inputs: pages, text: two, keep: {long: "text_bytes >= 10"}, ignore: [ok_one]}
"""
CHOICE = "  main:  {use: first_text, inputs: pages, texts: [one.text, two.text], passes: [kept_ok_one, kept_ok_two]}\n"
RECIPE = (
    READS
    + CHOICE
    + """  tok:   {use: count_tokens, inputs: pages}
  any:   {use: filter, inputs: [pages, main], keep: {chosen: "text_choice > 0"}, ignore: all}
  out:   {use: write, inputs: [pages, any], format: jsonl, carry: [url, text_choice]}
"""
)
SITE = {"both": "one long enough|two long enough", "second": "short|two long enough", "neither": "x|y", "empty": "|"}
TEXTS = {"both": "one long enough", "second": "two long enough", "neither": "", "empty": ""}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    for name, page in SITE.items():
        put_file(folder / "crawled" / f"{name}.html", page.encode())
    return folder


@pytest.fixture(scope="module")
def ran(site, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resiliparse, "extractor", lambda self: lambda page: page.split("|")[0])
        patch.setattr(Trafilatura, "extractor", lambda self: lambda page: page.split("|")[1])
        return run(RECIPE, site, tmp_path_factory.mktemp("root"))


def by_address(found, stage, column="text"):
    rows = found.table(stage, "url", column)
    return dict(zip(rows["url"].to_pylist(), rows[column].to_pylist(), strict=True))


def test_the_first_text_that_passes_is_taken_and_read_below(ran):
    assert by_address(ran, "main") == TEXTS
    assert by_address(ran, "main", "text_choice") == {"both": 1, "second": 2, "neither": None, "empty": None}
    assert by_address(ran, "tok", "token_count") == {name: -(-len(text) // 4) for name, text in TEXTS.items()}
    assert by_address(ran, "out") == {"both": TEXTS["both"], "second": TEXTS["second"]}
    hashes = by_address(ran, "main", "text_hash")
    assert list(hashes.values()) == text_hash(pa.array([TEXTS[n] for n in hashes], pa.large_string())).to_pylist()
    assert by_address(ran, "main", "text_bytes") == {name: len(text) for name, text in TEXTS.items()}


def test_why_and_the_remarks_say_which_was_chosen(ran):
    rows = ran.table("main", "url", "doc_id")
    ids = dict(zip(rows["url"].to_pylist(), rows["doc_id"].to_pylist(), strict=True))
    for name, wanted in (
        ("second", "two.text (number 2 of 2), 15 bytes"),
        ("neither", "none of one.text, two.text: none passes"),
    ):
        answered = explain(latest_record(ran.store), ids[name].hex())
        assert any(f"the text is {wanted}" in line for _, line in why_lines(answered, width=100, hidden=False))
    counts = ran.of("main").manifest.counts
    assert {k: v for k, v in counts.items() if k.startswith("taken:")} == {"taken:1": 1, "taken:2": 1, "taken:3": 2}
    assert ran.of("main").operator.remarks(counts, {}) == (
        'left 2 of 4 documents (50.0%) empty, and they stay rows: a clause drops them, `keep: {text_left: "text_bytes > 0"}`',
    )
    idle = FirstText(texts=("one.text", "two.text")).remarks({"rows": 4, "taken:1": 4}, {})
    assert idle[0].startswith("takes text 2 (two.text) for none of 4 documents (one.text 100.0%, two.text 0.0%)")


def test_the_choice_stands_for_all_texts_and_needs_no_word_below(site):
    plan = plan_of(RECIPE, site)
    assert plan.node("tok").text.name == "main"
    assert [n.name for n in plan.node("main").chosen_from] == ["one", "two"]
    assert plan.remarks == []
    edited = RECIPE.replace("  tok:", "  safe:  {use: mask_pii, inputs: pages}\n  tok:")
    assert plan_of(edited, site).node("tok").text.name == "safe"


def test_what_a_filter_on_one_text_implies_measures_that_text(site):
    rule = 'keep: {words: "word_count > 2"}'
    recipe = RECIPE.replace('keep: {long: "text_bytes >= 10"}', rule)
    plan = plan_of(recipe, site)
    measured = [
        [m.text.name for m in plan.node(name).inputs if m.operator.name == "signals"] for name in ("ok_one", "ok_two")
    ]
    assert measured == [["one"], ["two"]]
    assert plan.remarks == []


def test_a_rule_of_one_text_that_narrows_what_stands_below_is_remarked(site):
    told = [
        r.text
        for r in plan_of(RECIPE.replace("inputs: [pages, any]", "inputs: pages"), site).remarks
        if r.stage == "out"
    ]
    assert len(told) == 2
    assert "rows that 'ok_one' kept, one of the rules of 'main'" in told[0]
    assert "ignore: [ok_one]" in told[0]
    told = plan_of(RECIPE.replace(", ignore: [ok_one]", ""), site).remarks
    assert [r.stage for r in told] == ["ok_two"]


def test_names_of_stages_are_no_part_of_the_fingerprint(site):
    renamed = RECIPE.replace("ok_one", "fine").replace("one:", "first:").replace("one.text", "first.text").replace(
        "text: one", "text: first"
    )  # fmt: skip
    assert plan_of(renamed, site).node("main").fingerprint == plan_of(RECIPE, site).node("main").fingerprint
    turned = RECIPE.replace("[one.text, two.text]", "[two.text, one.text]")
    assert plan_of(turned, site).node("main").fingerprint != plan_of(RECIPE, site).node("main").fingerprint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("texts: [one.text]", "nothing to choose among 1"),
        ("texts: [one.text, one.text]", "nothing to choose"),
        ("texts: [one.text, two.text], passes: [kept_ok_one]", "1 rules for 2 texts"),
        ("texts: [one.text, two.text], best: [one.text_bytes]", "1 rules for 2 texts"),
        ('texts: [one.text, two.text], best: [one.text_bytes, ""]', "best"),
        ("texts: [one.text, two.title]", "'two.title' is no text"),
        ("texts: [one.text, two.text], passes: [one.text_bytes, kept_ok_two]", "true or false"),
        ("texts: [one.text, two.text], text: one", "`text` has no effect"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(site, fields, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(READS + f"  main: {{use: first_text, inputs: pages, {fields}}}\n", site)


def of(operator, **columns):
    batch = pa.record_batch({k: pa.array(v) if not isinstance(v, pa.Array) else v for k, v in columns.items()})
    made = operator.open(Context(seed=0, work=Path(), counts={}))(batch)
    return made.column("text").to_pylist(), made.column("text_choice").to_pylist()


def test_rules_that_have_no_value_do_not_pass_and_the_best_is_the_highest():
    texts = {
        "a": pa.array(["a1", "a2", "a3", None], pa.large_string()),
        "b": pa.array(["b1", "b2", "", "b4"], pa.large_string()),
    }
    score = {"x": [1.0, float("nan"), 0.0, 9.0], "y": [1.0, 0.0, 5.0, None]}
    assert of(FirstText(texts=("a", "b")), **texts) == (["a1", "a2", "a3", "b4"], [1, 1, 1, 2])
    assert of(FirstText(texts=("a", "b"), passes=("x > 0", "")), **texts, **score) == (
        ["a1", "b2", "", "b4"],
        [1, 2, None, 2],
    )
    assert of(FirstText(texts=("a", "b"), best=("x", "y")), **texts, **score) == (
        ["a1", "b2", "a3", "b4"],
        [1, 2, 1, 2],
    )


def test_the_choice_is_that_of_a_loop():
    rng = np.random.default_rng(4)
    may, worth = rng.random((3, 300)) < 0.5, rng.choice([-np.inf, -1.0, 0.0, 2.0], (3, 300))
    wanted = [
        min((i for i in range(3) if may[i, r]), key=lambda i, r=r: (-worth[i, r], i), default=3) for r in range(300)
    ]
    assert chosen(may, worth).tolist() == wanted


def test_pages_of_which_one_extractor_finds_nothing_are_saved_by_the_other():
    """`answer` of the two extractors, as they are: a page that is too short for one."""
    page = "<html><body><p>Brief.</p></body></html>"
    found = [answer(op, [page])[0]["text"][0] for op in (Resiliparse(), Trafilatura(fast=True))]
    texts = {name: pa.array([text], pa.large_string()) for name, text in zip("ab", found, strict=True)}
    assert of(FirstText(texts=("b", "a")), **texts)[0] == [next(text for text in reversed(found) if text)]
