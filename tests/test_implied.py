"""Stages that need not be written, and lines that a missing column asks for."""

import dataclasses
import json
import re

import pytest

import winnow as w
from winnow.core.errors import ConfigError
from winnow.core.operators import Derive
from winnow.dags.recipe.adds import is_required, lines_that_add
from winnow.dags.recipe.implied import IMPLIED, makers
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import parse_recipe

READER = "  docs: {use: jsonl, files: docs.jsonl, columns: {url: string, group: string}}\n"
GIVEN = {  # what a person gives beside a reader: values for fields that must be given, and for names of columns
    "budget": "20%", "by": "word_count", "scores": "[word_count, byte_count]", "per": "[group]", "share": "0.5",
    "of": "[kept_one, kept_two]", "among": "kept_one", "passed": "kept_two", "positive": "other", "target": "other",
    "against": "other", "like": "kept", "selection": "one", "arms": "{one: one, two: two}", "baseline": "two",
    "eval": "{other: other}", "model": "base", "key": "url", "column": "url", "dim": "8", "t": "4", "proxy": "word_count",
    "reference": "byte_count", "columns": "{url: string}", "keep": '{long: "word_count > 5"}',
    "phases": "[{name: a, select: kept_one, tokens: 1k tokens}]", "since": '"2020"', "distance": "0.3",
    "include": "[a]", "max_bytes": "500k", "label": "__label__hq",
}  # fmt: skip
OTHERS = (
    "  other: {use: jsonl, files: docs.jsonl, source: other}\n"
    "  one: {use: random, inputs: docs, budget: 50%}\n  two: {use: random, inputs: docs, budget: 50%, salt: b}\n"
)
FILES = {"bad_words": "en", "join": "notes.jsonl", "concepts": "words.txt", "fasttext_model": "model.bin", "model_file": "model.bin",
         "target_file": "docs.jsonl"}  # fmt: skip
MORE = {
    "rehydrate": {"size": "word_count"}, "quantile": {"share": "0.5"}, "semdedup": {"eps": "0.1"},
    **{key: {"score": "word_count"} for key in ("rwr", "awr", "conditional")},
    **{key: {"score": "word_count", "tau": "9"} for key in ("filtering", "unlikelihood")},
    **{key: {"html": "url"} for key in ("resiliparse", "trafilatura", "main_text")},
    "segment_scores": {"hits": '["[A-Z]"]'}, "url_score": {"positive": "word_count > 3"}, "ngram_lm": {"fit_on": "other"},
    "url_lists": {"lists": "words.txt"}, "per_group": {"share": "0.5"}, "hierarchical": {"levels": "[2]"}, "metaclip": {"t": "4"},
}  # fmt: skip
APART = {  # operators whose needs are other stages or files that no line adds, tested where they live
    "ablation", "train", "write_tokens", "lm_nats", "teacher_top_k", "token_losses", "training_feedback", "causal_lm", "disagreement", "sample_text", "concat",
    "classifier", "model_file", "target_file", "fasttext_model", "rho_1", "salt", "value_alignment", "skill_it", "ppl_change",
    "skill_graph", "mixture_runs", "runs_table", "climb", "meta_rater", "regmix", "regmix_d", "swarm", "mixing_law",
    "repetition_law", "eval_tasks", "drop_spans", "limits", "first_text",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"document {i} " + "word " * i, "url": f"u{i}", "group": "ab"[i % 2]} for i in range(12)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "notes.jsonl").write_text('{"url": "u1", "quality": 1.0}\n')
    (tmp_path / "words.txt").write_text("word\ndocument\n")
    (tmp_path / "en").write_text("word\n")
    (tmp_path / "model.bin").write_bytes(b"none")
    return tmp_path


def plan(stages, folder):
    return make_plan(parse_recipe(f"seed: 3\nstages:\n{stages}", name="r", folder=folder), None)


def prints(found):
    return {n.name: n.fingerprint for n in found.nodes}


def test_coverage_of_documents_needs_no_vectors_and_no_graph_to_be_written(folder):
    short = plan(READER + "  spread: {use: facility_location, inputs: docs, budget: 3 docs}\n", folder)
    long = plan(
        READER + "  vectors: {use: ngram_vectors, inputs: docs}\n  graph: {use: knn_graph, inputs: vectors}\n"
        "  spread: {use: facility_location, inputs: [docs, graph], budget: 3 docs}\n", folder)  # fmt: skip
    assert prints(short) == prints(long)
    assert {n.name for n in short.nodes if n.implicit} == {"vectors", "graph"}
    assert not any(n.implicit for n in long.nodes)


def test_an_implied_graph_is_over_the_rows_that_the_selection_considers(folder):
    clean = READER + "  unique: {use: exact, inputs: docs}\n"
    short = plan(
        clean + "  spread: {use: graph_cut, inputs: [docs, unique], where: word_count > 3, budget: 3 docs}\n", folder
    )
    long = plan(
        clean + "  signals: {use: signals, inputs: docs}\n  vectors: {use: ngram_vectors, inputs: docs}\n"
        "  graph: {use: knn_graph, inputs: vectors, where: kept_unique and (word_count > 3)}\n"
        "  spread: {use: graph_cut, inputs: [docs, unique, graph], where: word_count > 3, budget: 3 docs}\n",
        folder)  # fmt: skip
    assert prints(short)["spread"] == prints(long)["spread"]
    assert prints(short)["graph"] == prints(long)["graph"]


def test_two_populations_have_two_graphs_and_equal_ones_share_theirs(folder):
    stages = READER + (
        "  short: {use: filter, inputs: docs, keep: {short: word_count < 9}}\n"
        "  a: {use: graph_cut, inputs: [docs, short], budget: 3 docs}\n"
        "  b: {use: ingenious, inputs: [docs, short], budget: 3 docs}\n"
        "  c: {use: graph_cut, inputs: docs, where: word_count > 2, budget: 3 docs}\n"
    )
    found = plan(stages, folder)
    graphs = [n for n in found.nodes if n.operator.name == "knn_graph"]
    assert len(graphs) == 2
    read = {name: [g.name for g in graphs if g in found.node(name).inputs] for name in "abc"}
    assert read["a"] == read["b"] != read["c"]
    assert all(len(names) == 1 for names in read.values())
    assert sum(n.operator.name == "signals" for n in found.nodes) == 1


def test_what_a_recipe_writes_comes_before_what_is_implied(folder):
    stages = READER + (
        "  given: {use: vectors_from, inputs: docs, column: url, dim: 3}\n"
        "  near: {use: knn_graph, inputs: given, k: 3}\n"
        "  spread: {use: facility_location, inputs: docs, budget: 3 docs}\n"
    )
    found = plan(stages, folder)
    assert not any(n.implicit for n in found.nodes)
    declared = "  docs: {use: jsonl, files: docs.jsonl, columns: {word_count: int64}}\n"
    best = "  best: {use: top_k, inputs: docs, by: word_count, budget: 3 docs}\n"
    assert not any(n.implicit for n in plan(declared + best, folder).nodes)


def test_the_python_form_implies_the_same_and_it_runs(folder):
    docs = w.read("docs.jsonl", columns={"url": "string", "group": "string"}, name="docs")
    python = docs.exact(name="unique").facility_location(docs=3, name="spread", where="word_count > 2")
    short = plan(
        READER + "  unique: {use: exact, inputs: docs}\n"
        "  spread: {use: facility_location, inputs: [docs, unique], where: word_count > 2, budget: 3 docs}\n", folder)  # fmt: skip
    found = python.plan(seed=3).fingerprints
    assert {found[n] for n in found} == set(prints(short).values())
    run = python.run("a", progress=False)
    assert {"signals", "vectors", "graph", "spread"} <= set(run.stages)
    assert run.frame("spread", ["kept"]).collect()["kept"].sum() == 3


def test_operators_say_what_they_are_implied_for_and_nothing_is_implied_twice():
    saying = {n for n in REGISTRY if operator_class(n).implied_for}
    assert saying == set(IMPLIED)
    columns = [c for n in IMPLIED for c in operator_class(n).implied_for]
    assert len(columns) == len(set(columns)) == len(makers())
    for name in IMPLIED:
        assert set(operator_class(name).implied_for) <= set(operator_class(name)().outputs())


def test_a_missing_column_names_the_lines_that_add_it(folder):
    with pytest.raises(ConfigError) as error:
        plan(READER + "  best: {use: top_k, inputs: docs, by: simhash, budget: 3 docs}\n", folder)
    assert "`simhash: {use: simhash, inputs: docs}`" in error.value.hint
    with pytest.raises(ConfigError) as error:
        plan(READER + "  best: {use: top_k, inputs: docs, by: score, budget: 3 docs}\n", folder)
    assert "use: fasttext, inputs: docs, positive: STAGE" in error.value.hint
    with pytest.raises(ConfigError) as error:
        plan(READER + "  best: {use: top_k, inputs: docs, by: nonsense, budget: 3 docs}\n", folder)
    assert "`columns:`" in error.value.hint
    assert lines_that_add("cluster", "docs", {"clusters"})[0].startswith("clusters_2: {use: clusters, inputs: docs")


def example(name):
    """A stage of the operator with what must be given."""
    cls = operator_class(name)
    given = {f.name: GIVEN[f.name] for f in dataclasses.fields(cls) if is_required(f) and f.name in GIVEN}
    if name in FILES:
        given["files"] = FILES[name]
    if name == "filter":
        given["keep"] = GIVEN["keep"]
    if name in ("age", "domain"):
        given |= {"by": "url", "since": GIVEN["since"]} if name == "age" else {"by": "url", "include": "[u1, u2]"}
    if name == "join":
        given["on"] = "url"
        given["columns"] = "{quality: float64}"
    if name == "threshold":
        given["at_least"] = "3"
    if name == "length_matched":
        given["like"] = "one"
    given |= MORE.get(name, {})
    body = ", ".join([f"use: {name}", "inputs: docs", *(f"{k}: {v}" for k, v in given.items())])
    return f"  it: {{{body}}}\n"


@pytest.mark.parametrize("name", [n for n in REGISTRY if n not in APART and not issubclass(operator_class(n), Derive)])
def test_a_reader_and_an_operator_plan_or_say_the_line_that_is_missing(name, folder):
    added, stage = "", example(name)
    for _ in range(4):
        try:
            plan(READER + OTHERS + added + stage, folder)
            return
        except ConfigError as error:
            line = re.search(r"`(\w+: \{use: \w+, inputs: \w+[^`]*\})`", error.hint)
            if line is None:
                raise AssertionError(f"{name}: no line in the hint") from error
            added += f"  {line[1]}\n".replace('"FILES"', "words.txt").replace("STAGE", "other")
            port = re.search(r"and write `(\w+): (\w+)`", error.hint)
            stage = stage.replace(f"{port[1]}: other", f"{port[1]}: {port[2]}") if port else stage
    raise AssertionError(f"{name}: four lines were not enough:\n{added}")
