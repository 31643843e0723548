"""What random recipes found, each by itself: small recipes that once broke a promise."""

import json

import pytest
from support import lines_of, plan_of, put_file, run, texts

from winnow import cli
from winnow.core.errors import ConfigError, DataError

DOCS = '  docs: {use: jsonl, files: "raw/a.jsonl", id: content}\n'
TWO = """stages:
  july:   {use: jsonl, files: "raw/a.jsonl", id: RULE, source: july, columns: {score: float64, date: string}}
  august: {use: jsonl, files: "raw/b.jsonl", id: RULE, source: august, columns: {score: float64}}
  docs:   {use: concat, inputs: [july, august]}
"""


@pytest.fixture
def folder(tmp_path):
    rows = [{"text": t, "score": i / 7, "date": "2020"} for i, t in enumerate(texts(40, seed=1))]
    put_file(tmp_path / "raw" / "a.jsonl", lines_of(rows[:30]))
    put_file(tmp_path / "raw" / "b.jsonl", lines_of(rows[20:]))
    return tmp_path


def planned(folder, stages, head="stages:\n" + DOCS):
    return plan_of(head + stages, folder)


# --- concat


@pytest.mark.parametrize("rule", ["content", "position"])
def test_equal_texts_of_two_sources_are_two_documents_in_their_union(folder, rule):
    recipe = TWO.replace("RULE", rule) + (
        "  exact: {use: exact, inputs: docs}\n  near: {use: minhash, inputs: docs}\n"
        "  out: {use: write, inputs: [docs, exact]}\n"
    )
    found = run(recipe, folder, folder / "out")
    ids = found.table("docs", "doc_id")["doc_id"].to_pylist()
    assert len(set(ids)) == len(ids) == 50
    distinct = len(set(texts(40, seed=1)))
    assert found.counts("exact")["kept"] == found.manifest("out").rows == distinct < 50


def test_a_source_is_part_of_content_ids_and_no_source_leaves_them_as_they_were(folder):
    plain, one, two = (
        run(
            f"stages:\n  docs: {{use: jsonl, files: raw/a.jsonl, id: content, source: '{s}'}}\n",
            folder,
            folder / f"o{s}",
        )
        for s in ("", "x", "y")
    )
    ids = [set(f.table("docs", "doc_id")["doc_id"].to_pylist()) for f in (plain, one, two)]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2]
    assert len(ids[0] | ids[1] | ids[2]) == 90


@pytest.mark.parametrize("inputs", ["[docs, docs]", "[july, docs]", "[docs, out]", "[out, other]"])
def test_documents_of_one_reader_are_not_united_twice(folder, inputs):
    recipe = TWO.replace("RULE", "content") + "  out: {use: write, inputs: docs}\n  other: {use: write, inputs: docs}\n"
    with pytest.raises(ConfigError, match="could share ids"):
        plan_of(recipe + f"  all: {{use: concat, inputs: {inputs}}}\n", folder)


def test_a_union_has_the_columns_that_all_its_inputs_have(folder):
    recipe = TWO.replace("RULE", "content")
    found = run(recipe + "  best: {use: top_k, inputs: docs, by: score, budget: 5 docs}\n", folder, folder / "out")
    assert found.counts("best")["kept"] == 5
    with pytest.raises(ConfigError, match="no stage of these rows has a column 'date'") as refused:
        plan_of(recipe + "  best: {use: quota, inputs: docs, per: date, budget: 5 docs}\n", folder)
    assert "july" in refused.value.hint


# --- references


@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        ("{use: betr, inputs: vec, target: raw/b.jsonl}", "vector"),
        ("{use: got_d, inputs: vec, target: docs}", "vector"),
        ("{use: simcore, inputs: vec, target: exact, budget: 3 docs}", "vector"),
        ("{use: dsir, inputs: docs, target: fit}", "text"),
        ("{use: decontaminate, inputs: docs, against: fit}", "text"),
        ("{use: length_matched, inputs: docs, like: fit}", "doc_id"),
    ],
)
def test_a_reference_without_the_columns_that_are_read_of_it_is_refused_while_planning(folder, stage, missing):
    before = (
        "  exact: {use: exact, inputs: docs}\n  vec: {use: ngram_vectors, inputs: docs, dim: 16}\n"
        "  fit: {use: doremi, inputs: docs, per: origin, proxy: text_bytes, reference: text_bytes}\n"
    )
    with pytest.raises(ConfigError, match=f"no column '{missing}'"):
        planned(folder, f"{before}  s: {stage}\n")


def test_vectors_may_be_named_with_their_stage(folder):
    stages = (
        "  goal: {use: jsonl, files: raw/b.jsonl}\n  vec: {use: ngram_vectors, inputs: docs, dim: 16}\n"
        "  like: {use: ngram_vectors, inputs: goal, dim: 16}\n"
        "  one: {use: betr, inputs: docs, target: like, vectors: vec.vector}\n"
        "  two: {use: betr, inputs: docs, target: like, vectors: vector}\n"
    )
    found = run("stages:\n" + DOCS + stages, folder, folder / "out")
    assert found.table("one", "betr_score").equals(found.table("two", "betr_score"))


# --- shapes of data


def test_a_stage_over_an_empty_jsonl_shard_has_no_rows(folder):
    stages = (
        '  none: {use: filter, inputs: docs, keep: {none: "text_bytes < 0"}}\n'
        "  out: {use: write, inputs: [docs, none], format: jsonl.zst}\n  sig: {use: signals, inputs: out}\n"
    )
    assert run("stages:\n" + DOCS + stages, folder, folder / "out").counts("sig")["rows"] == 0


def test_text_that_looks_like_something_else_comes_back_from_a_jsonl_shard_as_text(tmp_path):
    put_file(tmp_path / "raw" / "a.jsonl", lines_of(["2020-01-01", "2021-01-01"]))
    stages = "  out: {use: write, inputs: docs, format: jsonl.zst}\n  sig: {use: count_tokens, inputs: out}\n"
    found = run("stages:\n" + DOCS + stages, tmp_path, tmp_path / "out")
    assert sorted(found.table("out", "text")["text"].to_pylist()) == ["2020-01-01", "2021-01-01"]


def test_runs_over_no_documents_are_compared(folder, capsys):
    recipe = DOCS + (
        '  none: {use: filter, inputs: docs, keep: {none: "text_bytes < 0"}}\n'
        "  empty: {use: write, inputs: [docs, none]}\n  far: {use: random, inputs: empty, budget: 3 docs, salt: SALT}\n"
        "  out: {use: write, inputs: [empty, far]}\n"
    )
    for name in ("a", "b"):
        run("stages:\n" + recipe.replace("SALT", name), folder, folder / "out", name=name)
    assert cli.main(["diff", f"{folder}/out:a", f"{folder}/out:b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["both"] == 0


def test_a_report_on_a_selector_that_ranks_by_a_text_has_no_histogram_of_it(folder, capsys):
    stages = "  some: {use: domain, inputs: docs, by: origin, exclude: [x], absent: remark}\n  out: {use: write, inputs: [docs, some]}\n"
    run("stages:\n" + DOCS + stages, folder, folder / "out")
    assert cli.main(["report", str(folder / "out")]) == 0, capsys.readouterr().err


# --- rules


def test_exact_by_a_column_of_lists_is_refused_while_planning(folder):
    planned(folder, "  exact: {use: exact, inputs: docs, by: origin}\n")
    marks = '  marks: {use: segment_scores, inputs: docs, hits: ["[0-9]+"]}\n'
    with pytest.raises(ConfigError, match="'segment_ends' is large_list"):
        planned(folder, marks + "  exact: {use: exact, inputs: [docs, marks], by: segment_ends}\n")


def test_a_cast_that_fails_in_where_is_told_with_the_rule_and_a_way_out(folder):
    recipe = "stages:\n" + DOCS + "  sig: {use: signals, inputs: docs, where: CAST_IT > 0}\n"
    with pytest.raises(DataError, match="cannot be worked out") as refused:
        run(recipe.replace("CAST_IT", "CAST(origin AS double)"), folder, folder / "out")
    assert "TRY_CAST" in refused.value.hint
    found = run(recipe.replace("CAST_IT", "TRY_CAST(origin AS double)"), folder, folder / "out")
    assert found.counts("sig")["masked"] == 30


def test_a_rule_that_comes_out_the_same_for_every_row_is_refused_while_planning(folder):
    rule = "'x' IS DISTINCT FROM NOT CASE pass_flag WHEN 'y' THEN '5' END"
    flag = '  kind: {use: filter, inputs: docs, keep: {flag: "text_bytes > 0"}}\n'
    for stage in ("{use: filter, inputs: kind, keep: {one: RULE}}", "{use: signals, inputs: kind, where: RULE}"):
        with pytest.raises(ConfigError, match="the same of every row"):
            planned(folder, f"{flag}  s: {stage.replace('RULE', json.dumps(rule))}\n")


@pytest.mark.parametrize("rule", ["greatest() > text_bytes", "div(1e3, ('%' < CASE NOT origin WHEN '%' THEN '1' END))"])
def test_sql_that_makes_polars_panic_is_refused_while_planning(folder, rule):
    with pytest.raises(ConfigError):
        planned(folder, f'  clean: {{use: filter, inputs: docs, keep: {{odd: "{rule}"}}}}\n')


def test_a_sweep_over_a_rule_that_cannot_be_worked_out_is_a_configuration_error(folder, capsys):
    stages = '  clean: {use: filter, inputs: docs, keep: {long: "text_bytes > 40"}}\n'
    run("stages:\n" + DOCS + stages, folder, folder / "out")
    for rule in ("CAST(origin AS double) > 0", "text_bytes > origin || 'x'"):
        assert cli.main(["sweep", str(folder / "out"), "--vary", f"clean.long={rule}"]) == 2
        assert "bug" not in capsys.readouterr().err


def test_a_column_to_repeat_by_is_a_number(folder):
    with pytest.raises(ConfigError, match="not a number"):
        planned(folder, "  out: {use: write, inputs: docs, repeat: text_hash}\n")


@pytest.mark.parametrize("weight", [1e300, -0.5, 2e6])
def test_weights_that_are_no_numbers_of_copies_are_refused(tmp_path, weight):
    put_file(tmp_path / "raw" / "a.jsonl", lines_of([{"text": "a", "w": weight}]))
    recipe = "stages:\n  docs: {use: jsonl, files: raw/*, columns: {w: float64}}\n  out: {use: write, inputs: docs, repeat: w}\n"
    with pytest.raises(DataError, match="not one from 0 to 1,000,000"):
        run(recipe, tmp_path, tmp_path / "out")


def test_losses_beyond_any_model_are_refused_and_integers_do_not_wrap(tmp_path):
    recipe = "stages:\n  docs: {use: jsonl, files: raw/*, columns: {p: int64, r: int64}}\n  mix: {use: doremi, inputs: docs, per: origin, proxy: p, reference: r, length: text_bytes}\n"
    put_file(
        tmp_path / "raw" / "a.jsonl",
        lines_of([{"text": "a", "p": 2**62, "r": -(2**62)}, {"text": "b", "p": 3, "r": 1}]),
    )
    with pytest.raises(DataError, match="too large to be a loss"):
        run(recipe, tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match="not a number"):
        plan_of(recipe.replace("proxy: p", "proxy: text_hash"), tmp_path)
