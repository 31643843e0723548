"""Stages that need not be written, and lines that a missing column asks for."""

import dataclasses
import json
import re

import pytest
from ruamel.yaml import YAML

import winnow as w
from winnow.core.errors import ConfigError
from winnow.core.operators import Derive
from winnow.dags.recipe.adds import is_required, lines_that_add
from winnow.dags.recipe.implied import IMPLIED, makers
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.pipeline.filter.filter import Filter, preset_dialect, preset_groups, preset_names
from winnow.pipeline.measure.signals import DIALECTS, Signals
from winnow.pipeline.measure.signals_columns import GROUPS

yaml = YAML(typ="safe", pure=True)

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
    "dedup_index", "datasketch_index", "ablation", "train", "write_tokens", "lm_nats", "teacher_top_k", "token_losses", "training_feedback", "causal_lm", "disagreement", "sample_text", "concat",
    "neural", "neural_file", "neural_fit", "classifier", "model_file", "target_file", "fasttext_model", "rho_1", "salt", "value_alignment", "skill_it", "ppl_change",
    "skill_graph", "mixture_runs", "runs_table", "climb", "meta_rater", "regmix", "regmix_d", "swarm", "mixing_law",
    "repetition_law", "eval_tasks", "drop_spans", "limits", "first_text", "pair_score",
    "named_entities", "llm_annotate", "llm_compare", "agreement", "rewrite", "faithful", "rewritten",
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
        cls = operator_class(name)
        assert set(cls.implied_for) <= set(cls(**cls.implied_fields(cls.implied_for)).outputs())


@pytest.mark.parametrize("column", [c for group in GROUPS.values() for c in group])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_column_of_each_group_implies_signals_with_one_group_that_has_it(column, dialect):
    made = Signals(**Signals.implied_fields([column], dialect))
    assert column in made.outputs()
    assert made.dialect == dialect
    assert len(made.groups) <= 1
    line = yaml.load("{" + lines_that_add(column, "docs", ())[0] + "}")["signals"]
    assert column in Signals(groups=line["groups"]).outputs()


def test_columns_of_several_groups_have_the_fewest_groups_in_one_order():
    asked = ["max_line_length", "nemo_url_share", "mean_raw_word_length", "html_visible_share"]
    for columns in (asked, asked[::-1]):
        assert Signals.implied_fields(columns) == {"groups": ["nemo", "code"]}
    assert Signals.implied_fields([*asked, "word_count"], "nemo") == {"dialect": "nemo", "groups": ["code"]}
    every = [c for group in GROUPS.values() for c in group]
    assert Signals.implied_fields(every) == {"groups": list(GROUPS)}
    assert Signals.implied_fields(["word_count"], "datatrove") == Signals.implied_fields([]) == {}


@pytest.mark.parametrize("group", GROUPS)
def test_clauses_on_a_group_imply_the_stage_that_one_would_write(group, folder):
    clauses = "".join(f"      {c}: {c} is not null\n" for c in ["word_count", *GROUPS[group]])
    body = f"  kept:\n    use: filter\n    inputs: docs\n    keep:\n{clauses}"
    found = plan(READER + body, folder)
    line = f"  signals: {{use: signals, inputs: docs, groups: [{group}]}}\n"
    assert prints(found) == prints(plan(READER + line + body, folder))
    column = next(reversed(GROUPS[group]))
    with pytest.raises(ConfigError) as error:
        plan(READER + f"  far: {{use: filter, inputs: docs, keep: {{a: {column}x > 1}}}}\n", folder)
    assert column in error.value.hint


@pytest.mark.parametrize("preset", [p for p in preset_names() if preset_dialect(p) or preset_groups(p)])
def test_a_preset_implies_signals_with_its_dialect_and_groups(preset, folder):
    beside = [c for c in Filter(preset=preset).needs() if c not in makers()]
    declared = ", ".join(f"{c}: float64" for c in beside if c != "origin")
    reader = f"  docs: {{use: jsonl, files: docs.jsonl, columns: {{{declared}}}}}\n"
    found = plan(f"{reader}  kept: {{use: filter, inputs: docs, preset: {preset}}}\n", folder)
    (made,) = [n.operator for n in found.nodes if n.operator.name == "signals"]
    assert made == Signals(dialect=preset_dialect(preset) or "datatrove", groups=preset_groups(preset))
    docs = w.read("docs.jsonl", columns={c: "float64" for c in beside if c != "origin"}, name="docs")
    python = docs.filter(preset=preset, name="kept").plan(seed=3).fingerprints
    assert set(python.values()) == set(prints(found).values())


CARRIED = "  docs: {use: jsonl, files: docs.jsonl, columns: {char_count: int64}}\n"


def test_a_column_that_files_carry_is_read_of_them_and_others_are_implied(folder):
    found = plan(
        CARRIED + "  kept: {use: filter, inputs: docs, keep: {a: char_count > 3, b: word_count > 3}}\n", folder
    )
    node = found.node("kept")
    read = {c: node.inputs[i].name for c, (i, _) in node.columns.items() if c != "doc_id"}
    assert read == {"char_count": "docs", "word_count": "signals"}
    short = (
        CARRIED
        + "  kept: {use: filter, inputs: docs, keep: {b: word_count > 3}}\n  best: {use: top_k, inputs: docs, by: char_count, budget: 3 docs}\n"
    )
    best = plan(short, folder).node("best")
    assert best.inputs[next(n.columns["char_count"][0] for n in [best])].name == "docs"


def test_shards_that_carry_some_signals_are_filtered_by_those_and_by_implied_ones(folder):
    rows = READER + "  out: {use: write, inputs: docs, format: jsonl, carry: [char_count]}\n"
    found = plan(
        rows + "  kept: {use: filter, inputs: out, keep: {a: char_count > 3, b: nemo_url_share < 1}}\n", folder
    )
    node = found.node("kept")
    read = {c: node.inputs[i] for c, (i, _) in node.columns.items() if c != "doc_id"}
    assert read["char_count"].name == "out"
    assert read["nemo_url_share"].operator == Signals(groups=("nemo",))


def test_a_written_stage_is_read_and_only_what_it_lacks_is_implied_beside_it(folder):
    rows = READER + "  sig: {use: signals, inputs: docs}\n"
    for inputs in ("docs", "[docs, sig]"):
        found = plan(
            f"{rows}  kept: {{use: filter, inputs: {inputs}, keep: {{a: char_count > 3, b: nemo_url_share < 1}}}}\n",
            folder,
        )
        node = found.node("kept")
        read = {c: node.inputs[i].name for c, (i, _) in node.columns.items() if c != "doc_id"}
        assert read == {"char_count": "sig", "nemo_url_share": "signals"}
        assert "`groups: [nemo]` at 'sig' measures all in one pass" in found.node("signals").told[0]


def test_stages_after_one_with_a_group_imply_none_again(folder):
    first = READER + "  a: {use: filter, inputs: docs, keep: {a: nemo_url_share < 1, b: word_count > 2}}\n"
    found = plan(first + "  b: {use: filter, inputs: docs, keep: {a: char_count > 3}}\n", folder)
    assert sum(n.operator.name == "signals" for n in found.nodes) == 1
    docs = w.read("docs.jsonl", columns={"url": "string", "group": "string"}, name="docs")
    many = docs.filter(keep={"keep": "word_count > 2"}, name="a").filter(preset="nemo_en", name="b")
    many = many.filter(keep={"c": "nemo_url_share < 1 and word_count > 3"}, name="c")
    many = many.filter(keep={"keep": "char_count > 3"}, name="d")
    python = many.plan(seed=3).fingerprints
    yaml_form = """
  a: {use: filter, inputs: docs, keep: {keep: word_count > 2}}
  b: {use: filter, inputs: docs, preset: nemo_en}
  d: {use: filter, inputs: docs, keep: {keep: char_count > 3}}
"""
    found = plan(READER + yaml_form, folder)
    read = {n.name: [m.operator for m in n.inputs if m.operator.name == "signals"] for n in found.nodes}
    assert read["a"] == read["d"] == [Signals()]
    assert read["b"] == [Signals(dialect="nemo")]
    assert {"a", "b", "c", "d"} <= set(python)


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
