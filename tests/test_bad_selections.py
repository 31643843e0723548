"""Selections on bad input, as a recipe runs them: nothing is kept silently, and the line of the stage says why."""

from __future__ import annotations

import json

import polars as pl
import pytest
from support import run

from winnow.core.errors import ConfigError, DataError

SELECTIONS = {
    "top_k": "{use: top_k, inputs: docs, by: score, budget: %s}",
    "sample": "{use: sample, inputs: docs, by: score, budget: %s}",
    "quota": "{use: quota, inputs: docs, by: score, per: site, budget: %s}",
    "random": "{use: random, inputs: docs, budget: %s}",
    "mixture": "{use: mixture, inputs: docs, per: site, budget: %s}",
    "cluster_balanced": "{use: cluster_balanced, inputs: docs, by: site, budget: %s}",
    "domain": "{use: domain, inputs: docs, by: site, include: [a, b], budget: %s}",
    "facility_location": "{use: facility_location, inputs: [docs, graph], budget: %s}",
    "graph_cut": "{use: graph_cut, inputs: [docs, graph], budget: %s}",
    "ingenious": "{use: ingenious, inputs: [docs, graph], budget: %s}",
    "log_det": "{use: log_det, inputs: [docs, v], budget: %s}",
    "k_center": "{use: k_center_greedy, inputs: [docs, v], budget: %s}",
    "herding": "{use: herding, inputs: [docs, v], budget: %s}",
    "sampled": "{use: facility_location, method: sampled, inputs: [docs, v], budget: %s}",
    "hierarchical": "{use: hierarchical, inputs: [docs, v], levels: [50, 5], budget: %s}",
    "simcore": "{use: simcore, inputs: [docs, v], target: tv, budget: %s}",
}
START = """
stages:
  docs: {use: jsonl, files: docs.jsonl, id: "field:id", columns: {score: float64, site: string}}
  v: {use: ngram_vectors, inputs: docs, dim: 32}
  graph: {use: knn_graph, inputs: v, k: 50}
  target: {use: jsonl, files: docs.jsonl, id: "field:id"}
  tv: {use: ngram_vectors, inputs: target, dim: 32}
"""


def put(folder, rows: list[dict[str, object]]) -> None:
    lines = (json.dumps({"id": f"d{i}", "score": 0.5, "site": "ab"[i % 2], **row}) for i, row in enumerate(rows))
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n")


def go(folder, budget: str, stages: dict[str, str] = SELECTIONS):
    recipe = START + "".join(f"  {name}: {text % budget}\n" for name, text in stages.items())
    return run(recipe, folder, folder / "out")


def verdicts(ran, name: str) -> list[bool]:
    return pl.from_arrow(ran.table(name, "kept"))["kept"].fill_null(value=False).to_list()


def line(ran, name: str) -> str:
    return ran.manifest(name).metrics.get("summary", "")


def remarks(ran, name: str) -> list[str]:
    return ran.manifest(name).metrics.get("remarks", [])


PLAIN = [{"text": f"word{i} and other{i % 4} words of a text"} for i in range(12)]


def test_a_budget_that_no_document_fits_is_told_and_never_exceeded(tmp_path):
    put(tmp_path, PLAIN)
    ran = go(tmp_path, "1 tokens")
    for name in SELECTIONS:
        assert not any(verdicts(ran, name)), name
        assert ran.manifest(name).metrics["filled"] == 0, name
        (said,) = [r for r in remarks(ran, name) if "of the budget of 1 token " in r]
        many = 6 if name in ("quota", "mixture") else 12  # its one token is that of one site
        assert f"{many} documents are each larger than the 1 token that is left" in said, name


def test_more_budget_than_documents_takes_what_there_is(tmp_path):
    put(tmp_path, PLAIN)
    ran = go(tmp_path, "5M tokens")
    for name in SELECTIONS:
        assert all(verdicts(ran, name)), name
        (said,) = [r for r in remarks(ran, name) if "of the budget of 5,000,000 tokens" in r]
        assert said.startswith("<0.1% of"), name
        assert "can be taken; lower `budget:`" in said, name


def test_documents_without_words_are_counted_where_vectors_are_asked_for(tmp_path):
    put(tmp_path, [*PLAIN, {"text": "?!"}, {"text": "..."}])
    ran = go(tmp_path, "5M tokens")
    for name in SELECTIONS:
        kept = verdicts(ran, name)
        if name in ("top_k", "sample", "quota", "random", "mixture", "cluster_balanced", "domain"):
            assert all(kept), name
        else:
            assert sum(kept) == 12, name
            assert "2 of 14 documents without a" in line(ran, name), name


def test_one_giant_cluster_of_copies_is_one_document_where_variety_is_asked_for(tmp_path):
    put(tmp_path, [{"text": "the same words in all of these texts"}] * 12)
    ran = go(tmp_path, "6 docs")
    for name in SELECTIONS:
        assert sum(verdicts(ran, name)) == (1 if name == "k_center" else 6), name
    gains = sorted(pl.from_arrow(ran.table("facility_location", "gain"))["gain"].to_list(), reverse=True)
    assert gains[0] > 11.9
    assert gains[1] < 0.01  # what rounding leaves of a copy


def test_the_largest_document_is_passed_over_with_a_word_where_much_is_left(tmp_path):
    put(tmp_path, [*PLAIN, {"text": "giant " * 5000, "score": 9.0}])
    ran = go(tmp_path, "100 tokens", {n: SELECTIONS[n] for n in ("top_k", "sample", "quota")})
    for name in ("top_k", "sample"):
        assert ran.manifest(name).metrics["filled"] > 0.9, name
        assert remarks(ran, name) == [] or "that are left, the largest has 7,500" in remarks(ran, name)[0], name
    assert any(verdicts(ran, "quota"))  # the other half of the budget is another site's


def test_scores_that_are_none_are_set_aside_by_reason_and_what_a_rule_leaves_out_is_not(tmp_path):
    put(tmp_path, [row | {"score": None if i < 3 else i / 10} for i, row in enumerate(PLAIN)])
    ran = go(tmp_path, "5M tokens", {
        "top_k": SELECTIONS["top_k"], "domain": "{use: domain, inputs: docs, by: site, exclude: a, budget: %s}",
        "cut": "{use: threshold, inputs: docs, by: score, at_least: 0.8}%.0s",
        "best": "{use: quantile, inputs: docs, by: score, share: 1.0}%.0s",
        "phased": "{use: phases, inputs: docs, phases: [{name: one, select: kept_cut, tokens: %s, by: score}]}",
    })  # fmt: skip
    assert line(ran, "top_k") == line(ran, "best") == line(ran, "cut") == "3 documents set aside (no score: 3)"
    assert line(ran, "domain") == ""
    assert sum(verdicts(ran, "cut")) == 4
    assert "set aside" not in line(ran, "phased")  # what `cut` left out was never asked for


@pytest.mark.parametrize("budget", ["0 docs", "0 tokens", "0%"])
def test_a_budget_of_nothing_is_refused_while_planning(tmp_path, budget):
    put(tmp_path, PLAIN)
    for name, text in SELECTIONS.items():
        with pytest.raises(ConfigError, match="above 0") as refused:
            go(tmp_path, budget, {name: text})
        assert refused.value.where == f"stages.{name}.budget"


def test_a_target_without_documents_or_without_words_is_refused_by_name(tmp_path):
    put(tmp_path, PLAIN)
    stages = {
        "betr": "{use: betr, inputs: [docs, v], target: %s}", "got_d": "{use: got_d, inputs: [docs, v], target: %s}",
        "simcore": "{use: simcore, inputs: [docs, v], target: %s, budget: 3 docs}",
        "dsir": "{use: dsir, inputs: docs, target: %s}",
    }  # fmt: skip
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "dots.jsonl").write_text('{"text": "..."}\n' * 3)
    for name, text in stages.items():
        for file, said in (("none", "no documents"), ("dots", "target")):
            more = f"  goal: {{use: jsonl, files: {file}.jsonl}}\n  gv: {{use: ngram_vectors, inputs: goal, dim: 32}}\n"
            goal = "goal" if name == "dsir" else "gv"
            with pytest.raises(DataError, match=said):
                run(START + more + f"  sel: {text % goal}\n", tmp_path, tmp_path / "out", until="sel")
