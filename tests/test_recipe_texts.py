"""Whatever text is given for a recipe, a rule, a budget or `--set`: a plan or a ConfigError, never anything else."""

import contextlib
import json
import string
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import lines_of, plan_of, put_file

from winnow import cli
from winnow.core.errors import ConfigError
from winnow.core.operators import sql
from winnow.core.operators.budget import Budget, parse_bytes
from winnow.core.operators.sql_truth import check_truth
from winnow.dags.driver.session import parse_sets
from winnow.dags.recipe.yaml_recipe import MOST_BYTES, Recipe, StageSpec, load_recipe, parse_recipe
from winnow.dags.recipe.yaml_writer import yaml_of

BASE = "stages:\n  docs: {use: jsonl, files: raw/*}\n"
TYPES = {"a": pa.int64(), "f": pa.float64(), "s": pa.large_string(), "k": pa.bool_()}
ROWS = pl.DataFrame(
    {
        "a": [1, None, -5, 2**62],
        "f": [0.5, -0.0, None, float("inf")],
        "s": ["x", "", None, "5"],
        "k": [True, False, None, True],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("recipes")
    put_file(base / "raw" / "a.jsonl", lines_of(["a b c"]))
    return base


def parsed(text, **more):
    return parse_recipe(text, name="t", folder=Path(), **more)


# --- YAML


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + BASE, BASE.replace("\n", "\r\n"), "---\n" + BASE + "...\n", BASE.replace("{use", "&d {use") + "  more: {<<: *d, source: b}\n"],
    ids=["byte order mark", "CRLF", "document marks", "merge key"],
)  # fmt: skip
def test_unusual_yaml_is_read(folder, text):
    assert plan_of(text, folder).nodes[0].operator.files == ("raw/*",)


NINE = [f"  v{i}: &v{i} [{', '.join([f'*v{i - 1}' if i else 'x'] * 9)}]\n" for i in range(12)]
BROKEN = {
    "a tab": BASE.replace("  docs", "\tdocs"),
    "an alias of itself": "stages: &s\n  docs: *s\n",
    "a list in itself": "stages:\n  docs: {use: jsonl, files: &f [a, *f]}\n",
    "aliases that multiply": "vars:\n" + "".join(NINE) + BASE,
    "brackets without end": "about: " + "[" * 300 + "]" * 300 + "\n" + BASE,
    "a tag that does not fit": "seed: !!int abc\n" + BASE,
    "a truth that is none": "seed: !!bool abc\n" + BASE,
    "a number of 5,000 digits": "seed: " + "9" * 5000 + "\n" + BASE,
    "hexadecimal without end": "seed: 0x" + "f" * 5000 + "\n" + BASE,
    "a seed of 65 bits": f"seed: {2**64}\n" + BASE,
    "variables in a list": "vars: [1]\n" + BASE,
    "variables in a word": "vars: abc\n" + BASE,
    "keys of one text": "stages:\n  docs: {use: jsonl, files: a, columns: {1: string, '1': int64}}\n",
    "a key twice at depth": "stages:\n  docs: {use: jsonl, files: a, columns: {a: string, a: int64}}\n",
    "an unhashable key": "stages:\n  {a: 1}: {use: jsonl}\n",
    "a NUL": BASE + "\0",
    "two documents": BASE + "---\n" + BASE,
    "an empty rule": BASE + "  e: {use: exact, inputs: docs, where: ' '}\n",
    "a number too large for its field": BASE + f"  k: {{use: ngram_vectors, inputs: docs, dim: {10**40}}}\n",
    "a share too large for its field": BASE + f"  k: {{use: holdout, inputs: docs, share: {10**400}}}\n",
    "NaN": BASE + "  k: {use: holdout, inputs: docs, share: .nan}\n",
    "variables of other kinds of keys": "vars: {1: a, b: c}\nstages:\n  docs: {use: jsonl, files: '${d}'}\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_text_that_is_no_recipe_is_a_configuration_error_that_names_a_place(folder, case):
    with pytest.raises(ConfigError) as refused:
        plan_of(BROKEN[case], folder)
    assert refused.value.where
    assert len(refused.value.what) < 1000


@settings(max_examples=80, deadline=None)
@given(
    st.text(st.sampled_from(string.printable + "\u05e9\U0001f600\x85\u2028"), max_size=60), st.integers(0, len(BASE))
)
def test_any_text_within_a_recipe_is_planned_or_refused(folder, text, at):
    with contextlib.suppress(ConfigError):
        plan_of(BASE[:at] + text + BASE[at:], folder)


def test_a_file_of_data_given_as_a_recipe_is_refused_at_once(tmp_path):
    path = tmp_path / "data.jsonl"
    with path.open("wb") as sink:
        sink.truncate(MOST_BYTES + 1)
    with pytest.raises(ConfigError, match="are no recipe"):
        load_recipe(str(path))


# --- names


@pytest.mark.parametrize("name", ["../../x", "a/b", ".", "..", "", "a\0b", "a:b", "x" * 300, "\ud800", 3, None, ["a"]])
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_made(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(f"name: {json.dumps(name)}\n" + BASE.replace("raw", str(folder / "raw")), "utf-8")
    assert cli.main(["run", "r.yaml", "--workers", "0"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "a:b", "x" * 300])
def test_a_run_name_that_leads_elsewhere_is_refused_and_nothing_is_made(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(BASE.replace("raw", str(folder / "raw")), "utf-8")
    assert cli.main(["run", "r.yaml", "--workers", "0", "--name", name]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize("name", ["web 2", "m\u00fcll", "a.b", "-x", "\U0001f600"])
def test_other_names_are_names(name):
    assert parsed(f"name: {json.dumps(name, ensure_ascii=False)}\n" + BASE).name == name


def test_keys_that_are_truths_are_the_labels_of_documents():
    recipe = parsed(
        BASE + "  q: {use: quota, inputs: docs, per: kind, budget: 3 docs, shares: {true: 1, false: 2, null: 3}}\n"
    )
    assert recipe.stages[1].config["shares"] == {"true": 1, "false": 2, "null": 3}


# --- --set and ${}


def test_set_changes_the_stage_it_names_and_not_those_that_share_its_text():
    text = "stages:\n  a: &x {use: jsonl, files: raw/*, columns: &c {u: string}}\n  b: *x\n  d: {use: jsonl, files: x, columns: *c}\n"
    found = parsed(text, sets={"a.source": "s", "a.columns.u": "int64"})
    assert [s.config.get("source") for s in found.stages] == ["s", None, None]
    assert [s.config["columns"]["u"] for s in found.stages] == ["int64", "string", "string"]


KEYS = st.text(st.sampled_from("ab._docsfile ${}\u05e9=1"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(KEYS | st.sampled_from(["docs.files", "docs.use", "seed", "docs", "docs.x.y", "docs.files.x", "a.b", "v"]),
                       st.text(st.sampled_from(string.printable), max_size=12), max_size=3))  # fmt: skip
def test_any_set_is_applied_or_refused(pairs):
    for text in (BASE, "vars: {v: 1}\n" + BASE, "stages:\n  docs: jsonl\n", "stages: {docs: [use], 3: x}\n"):
        with contextlib.suppress(ConfigError):
            parsed(text, sets=parse_sets([f"{k}={v}" for k, v in pairs.items()]))


# --- budgets


@settings(max_examples=120, deadline=None)
@given(
    st.text(
        st.sampled_from("0123456789._eE+-%kKmMgGbBiItT \u0663\u00bd") | st.sampled_from("tokens docs epochs inf nan"),
        max_size=14,
    )
)
def test_any_text_is_a_budget_that_reads_back_or_is_refused(text):
    for unit in ("", " tokens", "%", "GB", " docs", " epochs"):
        try:
            found = Budget.parse(text + unit)
        except ConfigError:
            continue
        assert Budget.parse(str(found)) == found
        if found.unit != "epochs":
            assert found.of(1000) >= 0
    with contextlib.suppress(ConfigError):
        assert parse_bytes(text) > 0


# --- rules

COLUMN = st.sampled_from([*TYPES, "a", "s"])
VALUE = COLUMN | st.sampled_from(["0", "-3", "0.5", "1e400", "'x'", "'%'", "NULL", "TRUE", "99999999999999999999"])
SIGN = st.sampled_from(
    [
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "=",
        "<>",
        "<",
        ">=",
        "AND",
        "OR",
        "LIKE",
        "ILIKE",
        "~",
        "//",
        "&",
        "<=>",
        "RLIKE",
        "IS DISTINCT FROM",
    ]
)
FUNCTION = st.sampled_from([*sorted(sql.FUNCTIONS), "sum", "count", "now", "nothing"])


def larger(inner):
    some = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.tuples(inner, SIGN, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"), st.tuples(FUNCTION, some).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map("NOT {}".format), inner.map("{} IS NULL".format), st.tuples(inner, inner, inner).map(lambda t: "CASE WHEN {} THEN {} ELSE {} END".format(*t)),
        st.tuples(inner, st.sampled_from(["double", "int", "text", "boolean", "date", "moon"])).map(lambda t: "CAST({} AS {})".format(*t)),
        inner.map("{} OVER ()".format), inner.map("{} IN (SELECT 1)".format), inner.map("{} -- x".format), inner.map("{} AS z".format),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.recursive(VALUE, larger, max_leaves=6))
def test_any_rule_is_refused_or_says_of_a_row_what_it_says_of_it_among_others(rule):
    try:
        check_truth(rule, {name: TYPES[name] for name in sql.column_names(rule) if name in TYPES})
        said = ROWS.select(sql.expression(rule).alias("v"))["v"].to_list()
    except ConfigError:
        return
    except pl.exceptions.PolarsError:
        assert "CAST(" in rule or "::" in rule  # nothing else depends on more than types
        return
    assert said == [ROWS[i : i + 1].select(sql.expression(rule).alias("v"))["v"][0] for i in range(ROWS.height)]
    assert ROWS.clear().select(sql.expression(rule).alias("v")).height == 0


OF_EVERY_TYPE = {
    "text": pa.array(["x"]), "whole": pa.array([3]), "half": pa.array([0.5], pa.float32()), "truth": pa.array([True]),
    "bytes": pa.array([b"x"], pa.binary(1)), "day": pa.array([1], pa.date32()), "moment": pa.array([1], pa.timestamp("us")),
    "numbers": pa.array([[1]], pa.list_(pa.int64())), "vector": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_EVERY_TYPE)
@pytest.mark.parametrize(
    "rule", ["NOT {}", "{} AND true", "CASE WHEN {} THEN true ELSE false END", "{} > 0", "{} = 'x'"]
)
def test_a_rule_that_no_value_of_a_type_answers_is_refused_while_planning(name, rule):
    column = OF_EVERY_TYPE[name]
    asked = rule.format(name)
    try:
        values = pl.from_arrow(pa.table({name: pa.concat_arrays([column, column])}))
        works = values.select(sql.expression(asked)).dtypes == [pl.Boolean]
    except pl.exceptions.PolarsError:
        works = False
    said = ""
    try:
        check_truth(asked, {name: column.type})
    except ConfigError as error:
        said = str(error)
    assert not said if works else said


NASTY = st.text(
    st.sampled_from("ab'\"\\:#{}[],&*!|>%@?-~=<.019eyn $\t\n\r\x00\x7f\x85\u2028\ufeff\ud800\U0001f600"), max_size=8
)


@settings(max_examples=300, deadline=None)
@given(key=NASTY, value=NASTY | st.floats(allow_nan=False) | st.booleans() | st.none() | st.integers(-(2**62), 2**62))
def test_a_written_recipe_is_read_back_as_it_was(key, value):
    config = {"keep": {key: value}, "files": [key, f"${{{key}}}"]}
    stage = StageSpec(name="docs", use="jsonl", inputs=("a", "b"), where="text_bytes > 3 AND 'x' <> ':'", config=config)
    written = Recipe(name="again", folder=Path(), stages=(stage,), seed=3, tokenizer="words")
    read = parse_recipe(yaml_of(written), name="other", folder=Path())
    assert read == written
