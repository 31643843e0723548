"""Who is a candidate: the rows that every `kept` among the inputs lets through, and that `where` is true of."""

from __future__ import annotations

import itertools

import pytest
from support import lines_of, put_file, run

DOCUMENTS = [{"text": f"{'a' * a} {'b' * b} {n}", "n": n, "a": a, "b": b} for n, (a, b) in
             enumerate(itertools.product(range(1, 7), repeat=2))]  # fmt: skip
READS = """
stages:
  docs:  {use: jsonl, files: "raw.jsonl", columns: {n: int64, a: int64, b: int64}, id: "field:n"}
  left:  {use: filter, inputs: docs, keep: {some: "a >= 3"}}
  right: {use: filter, inputs: docs, keep: {some: "b >= 4"}}
  odd:   {use: filter, inputs: docs, keep: {some: "n % 2 = 1"}}
"""
TAKES = {
    "random": "{use: random, budget: 100%, inputs: [%s]}",
    "top_k": "{use: top_k, by: a, budget: 100%, inputs: [%s]}",
    "threshold": "{use: threshold, by: a, at_least: 0, inputs: [%s]}",
}
DECIDES = {
    "docs": lambda d: True,
    "left": lambda d: d["a"] >= 3,
    "right": lambda d: d["b"] >= 4,
    "odd": lambda d: d["n"] % 2 == 1,
}


def kept_numbers(ran, stage):
    rows = ran.table(stage, "kept", "n").to_pylist()
    return {r["n"] for r in rows if r["kept"]}


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize(
    "inputs", [("docs",), ("docs", "left"), ("docs", "left", "right"), ("docs", "right", "odd", "left")], ids="+".join
)
def test_a_candidate_is_kept_by_every_input(tmp_path, take, inputs):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    ran = run(READS + f"  taken: {TAKES[take].replace('%s', ', '.join(inputs))}\n", tmp_path, tmp_path / "root")
    wanted = {d["n"] for d in DOCUMENTS if all(DECIDES[i](d) for i in inputs)}
    assert 0 < len(wanted) <= len(DOCUMENTS)
    assert kept_numbers(ran, "taken") == wanted


def test_a_condition_narrows_the_population_and_does_not_replace_it(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    last = '  taken: {use: random, budget: 100%, inputs: [docs, left, right], where: "n > 20"}\n'
    ran = run(READS + last, tmp_path, tmp_path / "root")
    assert kept_numbers(ran, "taken") == {d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["b"] >= 4 and d["n"] > 20}


def test_rows_that_an_input_was_not_asked_about_are_no_candidates(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    asked = '  some: {use: filter, inputs: docs, keep: {big: "a >= 3"}, where: "n > 20"}\n'
    ran = run(READS + asked + f"  taken: {TAKES['random'].replace('%s', 'docs, some')}\n", tmp_path, tmp_path / "root")
    assert kept_numbers(ran, "taken") == {d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["n"] > 20}


def test_a_written_corpus_holds_what_every_input_kept(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    ran = run(
        READS + "  corpus: {use: write, inputs: [docs, left, right, odd], carry: [n]}\n", tmp_path, tmp_path / "root"
    )
    wanted = sorted(d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["b"] >= 4 and d["n"] % 2 == 1)
    assert sorted(ran.table("corpus", "n").column("n").to_pylist()) == wanted
