"""Nobody asked, nothing kept, no answers, one clause for all, a join that matches nothing: told by every operator."""

import contextlib
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import test_contract as contract
from support import own_operators, put_corpus, run
from test_remarks import OWN, remarks

from winnow.core.errors import WinnowError
from winnow.core.operators import Composite, Context, Kind
from winnow.core.operators.usual_remarks import usual_remarks
from winnow.core.store.schema import STATE, to_table
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.shapes.columns import _states
from winnow.dags.shapes.tally import tally
from winnow.testing import nasty_corpus
from winnow.testing.by_shape import answer_of, why_no_rows

ALWAYS = {  # what answers where all of its columns are null, and why that is an answer
    "exact": "reads the hash of a text, which every document has",
    "holdout": "a document without a size is not held out, and kept",
}


def answering(name, tmp_path):
    """(the example, rows that it can read); None where it is not columns, or rows alone do not feed it."""
    op = contract.EXAMPLES[name](operator_class(name))
    blocked = (
        isinstance(op, Composite) or op.kind is not Kind.COLUMNS or why_no_rows(op) or name in contract.WITHOUT_ROWS
    )
    if blocked:
        return None
    rows = nasty_corpus().with_columns(contract.MORE)
    for earlier in contract.BEFORE.get(name, []):
        answer = contract.run(contract.EXAMPLES[earlier](operator_class(earlier)), rows, Context(seed=7, work=tmp_path))
        rows = pl.concat([rows, answer], how="horizontal")
    return op, rows


def told(op, rows, tmp_path, name, *, masked=0):
    """The remarks of an operator that has answered these rows and `masked` more that it was not asked about."""
    ctx = Context(seed=7, work=tmp_path, refs=contract.refs_of(name), notes={}, counts={})
    table = to_table(pl.concat(answer_of(op, [rows], ctx)))
    state = pa.concat_arrays([pa.array(_states(table, None), pa.uint8()), pa.array([1] * masked, pa.uint8())])
    held = pa.table({c: pa.concat_arrays([table.column(c).combine_chunks(), pa.nulls(masked, table.column(c).type)])
                     for c in table.column_names})  # fmt: skip
    counts = tally(held.append_column(STATE, state), to_table(rows.select("doc_id").clear())) | ctx.counts
    return [*usual_remarks(op, counts, ctx.notes), *op.remarks(counts, ctx.notes), *ctx.notes.get("remarks", ())]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operator_says_where_it_cannot_answer_or_nobody_is_asked(name, tmp_path):
    found = answering(name, tmp_path)
    if found is None:
        pytest.skip("adds no columns by itself")
    op, rows = found
    given = {*op.needs(), *op.looks_up()} - {"doc_id"}
    silent = rows.with_columns(pl.lit(None, rows.schema[c]).alias(c) for c in given if c in rows.columns)
    if given and name not in ALWAYS:
        with contextlib.suppress(WinnowError):  # an error that says what is wrong is no silence
            said = told(op, silent, tmp_path, name)
            assert any(word in line for line in said for word in ("none of", "no answer", "refuses all")), said
    with contextlib.suppress(WinnowError):
        said = told(op, rows.head(0), tmp_path, name, masked=9)
        assert any("none of 9 rows is asked about" in line for line in said), said


RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*", columns: {url: string, score: float64, lone: float64}}
  good:   {use: filter, inputs: docs, keep: {long: "text_bytes > 10", some: "score >= 0"}}
  unit:   {use: filter, inputs: docs, keep: {percent: "score > 50"}, ignore: all}
  one:    {use: filter, inputs: docs, keep: {few: "score > 0.97", long: "text_bytes > 10"}, ignore: all}
  void:   {use: filter, inputs: docs, keep: {gone: "lone > 0", long: "text_bytes > 10"}, ignore: all}
  each:   {use: filter, inputs: docs, keep: {low: "score < 0.5", high: "score >= 0.5"}, ignore: all}
  after:  {use: exact, inputs: docs, where: kept_unit}
  mean:   {use: typical, inputs: docs, where: kept_unit}
  small:  {use: top_k, inputs: docs, by: score, budget: 1B, ignore: all}
  lonely: {use: top_k, inputs: docs, by: lone, budget: 5 docs, ignore: all}
  notes:  {use: join, inputs: docs, files: notes.jsonl, key: id, on: url, columns: {grade: int64}}
  fine:   {use: join, inputs: docs, files: fine.jsonl, key: id, on: url, columns: {grade: int64}}
  held:   {use: holdout, inputs: docs, share: 0.5, min_bytes: 100000, ignore: all}
  both:   {use: overlap, inputs: docs, of: [kept_good, kept_unit]}
  out:    {use: write, inputs: [docs, unit]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    rng = random.Random(1)
    rows = [{"text": f"text {n} " * 9, "url": f"u{n}", "score": rng.random() * 0.9 + (n < 2)} for n in range(100)]
    rows[0]["lone"] = -1.0
    folder = put_corpus(tmp_path_factory.mktemp("usual") / "raw", rows, 3).parent
    (folder / "notes.jsonl").write_text("".join(f'{{"id": "x{n}", "grade": 1}}\n' for n in range(9)))
    (folder / "fine.jsonl").write_text("".join(f'{{"id": "u{n}", "grade": 1}}\n' for n in range(50)))
    with own_operators(**OWN, typical="support_ops:Typical"):
        return run(RECIPE, Path(folder), folder / "out", part_bytes=3000)


def test_a_whole_recipe_is_remarked_with_figures_and_what_is_well_is_not(ran):
    found = remarks(ran)
    found.pop("docs", None)  # a reader speaks of its columns

    def look(name):
        return f"look at its values with `winnow sample --dropped --by {name}`, and at its unit and direction"

    assert set(found) == {"unit", "one", "void", "each", "after", "mean", "small", "lonely", "notes.lookup", "held", "both",
                          "out"}  # fmt: skip
    assert found["unit"] == [
        f"clause 'percent' refuses all 100 rows; {look('percent')}",
        "keeps none of 100 rows: refused by percent 100.0%",
    ]
    assert found["one"] == [f"clause 'few' alone refuses 98 of 100 rows (98.0%); {look('few')}"]
    assert found["void"][0].startswith(f"clause 'gone' refuses all 100 rows; {look('gone')}")
    assert found["each"][0].startswith("keeps none of 100 rows: refused by ")
    assert found["after"][0].startswith("none of 100 rows is asked about: no row passes its `where` and the decisions")
    assert found["mean"] == ["is fitted on no rows: none passes its `where` and the decisions before it"]
    assert found["small"][0].startswith("keeps none of 100 rows: ")
    assert found["lonely"][0].startswith("99 of 100 rows (99.0%) are no candidates")
    assert found["notes.lookup"][0].startswith(
        "matches 0 of 100 documents (0.0%): are `key` and `on: url` written alike?"
    )
    assert found["held"] == ["holds out none of 100 rows: a larger `share`, or sizes that documents have"]
    assert found["both"] == ["selection 'kept_unit' keeps none of 100 rows: is it the one meant?"]
    assert found["out"][0].startswith("writes no document")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"rows": 100, "ok": 100}, ""), ({"rows": 100, "null": 49, "ok": 51}, ""),
        ({"rows": 100, "null": 50, "ok": 50}, "no answer for 50 of 100 rows (50.0%)"),
        ({"rows": 100, "null": 10, "masked": 90}, "no answer for all 10 rows"),
        ({"rows": 100, "masked": 100}, "none of 100 rows is asked about"), ({}, "there are no rows to ask about"),
        ({"rows": 9, "kept": 0, "null": 9}, "keeps none of 9 rows: 9 of them have no verdict"),
        ({"rows": 9, "kept": 1}, ""),
        ({"rows": 100, "kept": 5, "clause:a:fail": 95, "clause:a:only": 95, "clause:b:fail": 0}, ""),
        ({"rows": 100, "kept": 4, "clause:a:fail": 96, "clause:a:only": 96}, ""),
        ({"rows": 100, "kept": 4, "clause:a:fail": 96, "clause:a:only": 96, "clause:b:fail": 0}, "clause 'a' alone refuses 96 of 100 rows"),
        ({"rows": 19, "kept": 0, "clause:a:fail": 19, "clause:a:null": 19}, "has a value in none of 19 rows"),
        ({"rows": 19, "kept": 1, "clause:a:fail": 18, "clause:a:only": 18}, ""),
    ],
)  # fmt: skip
def test_the_bounds_are_where_they_are_said_to_be(counts, said):
    op = operator_class("signals")()
    found = list(usual_remarks(op, counts, {}))
    assert bool(found) == bool(said), found
    assert not said or said in found[0], found
