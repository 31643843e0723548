"""`filter` and its SQL: the dialect as pinned, what is refused, clauses, presets and their published cases."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, sql
from winnow.core.operators.config import build
from winnow.core.store.no_value import frame_without_nan
from winnow.pipeline.filter.filter import PRESETS, Filter, load_preset, preset_names

ROWS = pl.DataFrame(
    {
        "a": [1, 3, None, -7],
        "b": ["x", "it's", None, "a\\n"],
        "f": [0.15, 0.3, None, float("nan")],
        "g": pl.Series([0.15, 0.3, 0.1, 0.0], dtype=pl.Float32),
        "sig.words": [1, 2, 3, 4],
        "my col": [4, 3, 2, 1],
    }
)


def value(text: str) -> list:
    return frame_without_nan(ROWS).select(sql.expression(text).alias("value"))["value"].to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1", [False, True, None, False]),
        ("NOT (a > 1)", [True, False, None, True]),
        ("a > 1 AND b = 'x'", [False, False, None, False]),
        ("a > 1 OR b = 'x'", [True, True, None, False]),
        ("a IS NULL OR a > 1", [False, True, True, False]),
        ("a = NULL", [None, None, None, None]),
        ("a <=> NULL", [False, False, True, False]),
        ("COALESCE(a, 0) < 1", [False, False, True, True]),
        ("a IN (1, -7)", [True, False, None, True]),
        ("a BETWEEN 1 AND 3", [True, True, None, False]),
        ("a / 2", [0.5, 1.5, None, -3.5]),
        ("a / 2.0", [0.5, 1.5, None, -3.5]),
        ("a / 3.0", [1 / 3, 1.0, None, -2.333333333333333]),
        ("a // 2", [0, 1, None, -3]),
        ("a % 2", [1, 1, None, -1]),
        ("a // 0", [None, None, None, None]),
        ("a * 0.1 = 0.1", [True, False, None, False]),
        ("f <= 0.15", [True, False, None, None]),
        ("f > 0.3", [False, False, None, None]),
        ("g = 0.15", [True, False, False, False]),
        ("f = f", [True, True, None, None]),
        ("f IS NULL", [False, False, True, True]),
        ("SQRT(a) > 0", [True, True, None, None]),
        ("SQRT(a) IS NULL", [False, False, True, True]),
        ("(a - 1) / (a - 1) > 0", [None, True, None, True]),
        ("1 / (a - 1) > 0", [True, True, None, False]),
        ("1 / (a - 1) - 1 / (a - 1) = 0", [None, True, None, True]),
        ("MOD(f, 0.0) > 1", [None, None, None, None]),
        ("CAST(b AS VARCHAR) = 'x'", [True, False, None, False]),
        ("COALESCE((a - 1) / (a - 1), 7) = 7", [True, False, True, False]),
        ("GREATEST(SQRT(a), 0) >= 0", [True, True, True, True]),
        ("b = 'it''s'", [False, True, None, False]),
        (r"b = 'a\n'", [False, False, None, True]),
        ("b LIKE '%s'", [False, True, None, False]),
        ("b ~ '^i'", [False, True, None, False]),
        ("sig.words > 2", [False, False, True, True]),
        ('"sig.words" > 2', [False, False, True, True]),
        ('sig."words" > 2', [False, False, True, True]),
        ('"my col" = 4', [True, False, False, False]),
        ("CASE WHEN a > 0 THEN b = 'x' ELSE false END", [True, False, False, False]),
        ("CAST(a AS DOUBLE) / 2 > 1", [False, True, None, False]),
        ("a::VARCHAR = '1'", [True, False, None, False]),
    ],
)
def test_the_dialect_is_pinned(text, expected):
    assert value(text) == expected


def test_a_threshold_is_exact_to_its_last_bit_also_beside_what_can_make_nan():
    """Numbers with seventeen digits, which a careless reader gets wrong by one last place."""
    draw = random.Random(7)
    for _ in range(300):
        number = draw.random() * 10.0 ** draw.randint(-12, 12)
        rows = pl.DataFrame({"a": [number, math.nextafter(number, 0), math.nextafter(number, math.inf)]})
        for rule in (f"a = {number!r}", f"a / 1e0 = {number!r}", f"(a + 0e0) = {number!r} OR SQRT(a) < -{number!r}"):
            assert rows.select(sql.expression(rule).alias("v"))["v"].to_list() == [True, False, False], rule


@pytest.mark.parametrize(
    "text",
    [
        "SUM(a) > 1", "a > AVG(a)", "COUNT(*) > 1", "MIN(a) = 1", "MEDIAN(a) > 1", "QUANTILE_CONT(a, 0.5) > 1",
        "FIRST(a) > 1", "ARRAY_AGG(a) IS NULL", "UNNEST(l) > 1", "COLUMNS('a.*') > 1", "a > ALL(1)",
        "ROW_NUMBER() OVER (ORDER BY a) > 1", "MAX(a) OVER (PARTITION BY b) > 1", "RANK() OVER () > 1",
        "LAG(a) OVER (ORDER BY a) > 1", "a IN (SELECT a FROM t)", "EXISTS (SELECT 1)", "a > (SELECT 1)",
        "random() > 0.5", "a > RANDOM()", "now() > d", "a > current_date", "CURRENT_TIMESTAMP > d", "localtime > d",
        "a > 1 ORDER BY a", "a AS b", "*", "a > 1; b", "a > 1 -- c", "a /* c */ > 1", "a >", "(a > 1", "'open",
        "1 = 1", "true", '"*" > 1', '"^a.*$" > 1', "exp(a) > 1", "no_such_function(a)", "", "a b",
    ],
)  # fmt: skip
def test_what_is_not_per_row_or_no_sql_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        sql.expression(text, where="keep.x")
    assert caught.value.where == "keep.x"
    assert caught.value.hint


def test_the_tree_is_checked_even_where_a_name_would_pass(monkeypatch):
    monkeypatch.setattr(sql, "FUNCTIONS", sql.FUNCTIONS | {"sum", "row_number"})
    monkeypatch.setattr(sql, "REFUSED", {})
    monkeypatch.setattr(sql, "KEYWORDS", sql.KEYWORDS | {"over", "order", "by", "partition"})
    for text in ("SUM(a) > 1", "SUM(a) OVER (PARTITION BY b) > 1", "a + SUM(a) > 1", "ABS(SUM(a)) > 1"):
        with pytest.raises(ConfigError, match="more than its row"):
            sql.expression(text)


def test_a_name_that_only_one_reading_takes_for_a_column_is_refused(monkeypatch):
    monkeypatch.setattr(sql, "KEYWORDS", sql.KEYWORDS | {"a"})
    with pytest.raises(ConfigError, match="'a'"):
        sql.expression("a > 1 AND b = 'x'")


def test_every_allowed_function_can_be_used_on_a_row():
    arguments = {
        "greatest": "a, 1", "least": "a, 1", "coalesce": "a, 1", "ifnull": "a, 1", "nullif": "a, 1", "mod": "a, 2",
        "div": "a, 2", "if": "a > 1, 1, 2", "cast": "a AS DOUBLE", "try_cast": "b AS INT", "date_part": "'year', d",
        "array_contains": "l, 1", "array_length": "l", "bit_and": "a, 1", "bit_or": "a, 1", "bit_xor": "a, 1",
        "starts_with": "b, 'x'", "ends_with": "b, 'x'", "strpos": "b, 'x'", "left": "b, 1", "right": "b, 1",
        "substr": "b, 1", "substring": "b, 1, 2", "replace": "b, 'x', 'y'", "concat": "b, 'x'",
        "concat_ws": "' ', b, b", "regexp_like": "b, 'x'",
    }  # fmt: skip
    text_functions = (
        "length char_length character_length octet_length bit_length lower upper initcap reverse ltrim rtrim"
    )
    for function in sorted(sql.FUNCTIONS):
        default = "b" if function in text_functions.split() else "a"
        sql.expression(f"{function}({arguments.get(function, default)}) IS NOT NULL")


def test_names_are_found_once_in_order_and_texts_are_left_alone():
    text = "sig.words > 1e3 AND \"my col\" IN ('a', 'b.c') AND NOT lang = 'it''s lang' "
    text += 'AND CAST(sig.words AS INT) > x."y z"'
    assert sql.column_names(text) == ["sig.words", "my col", "lang", "x.y z"]


def test_renaming_touches_names_alone():
    text = "words > 1 AND b = 'words' AND LENGTH(words) > 1 AND sig.words > \"words\""
    renamed = sql.rename_columns(text, {"words": 'sig."q', "sig.words": "other", "LENGTH": "no"})
    assert renamed == ('"sig.""q" > 1 AND b = \'words\' AND LENGTH("sig.""q") > 1 AND "other" > "sig.""q"')
    assert sql.column_names(renamed) == ['sig."q', "b", "other"]
    assert sql.rename_columns(text, {}) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1), min_size=1))
def test_any_name_survives_quoting(names):
    text = " = ".join(map(sql.quoted, names))
    assert sql.column_names(text) == list(dict.fromkeys(names))
    swapped = sql.rename_columns(text, {name: name + "!" for name in names})
    assert sql.column_names(swapped) == list(dict.fromkeys(name + "!" for name in names))


def decide(operator: Filter, rows: pl.DataFrame) -> pl.DataFrame:
    operator.validate()
    return operator.open(Context(seed=0, work=Path()))(rows)


def test_all_clauses_are_evaluated_and_null_does_not_keep():
    operator = Filter(keep={"low": "a < 2", "sure": "a IS NOT NULL", "word": "b <> 'x'"})
    out = decide(operator, ROWS)
    assert out.to_dict(as_series=False) == {
        "kept": [False, False, False, True],
        "pass_low": [True, False, None, True],
        "pass_sure": [True, True, False, True],
        "pass_word": [False, True, None, True],
    }
    assert set(out.schema.values()) == {pl.Boolean}
    assert list(operator.outputs()) == out.columns
    assert operator.needs() == ("a", "b")


def test_rows_are_decided_alone_and_empty_batches_pass_through():
    operator = Filter(keep={"low": "a < 2 OR f > 0.2"})
    whole = decide(operator, ROWS)
    for rows in (1, 3):
        pieces = [decide(operator, ROWS[at : at + rows]) for at in range(0, ROWS.height, rows)]
        assert pl.concat(pieces).equals(whole, null_equal=True)
    assert decide(operator, ROWS[:0]).height == 0


def test_a_clause_that_is_always_null_keeps_nothing():
    assert decide(Filter(keep={"never": "a = NULL"}), ROWS)["kept"].sum() == 0


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, "without clauses"),
        ({"keep": {"x": "1 = 1"}}, "names no column"),
        ({"keep": {"x y": "a > 1"}}, "cannot name a clause"),
        ({"keep": {"x": "SUM(a) > 1"}}, "SUM"),
        ({"preset": "gofer_quality"}, "no preset"),
    ],
)
def test_bad_recipes_are_refused_before_running(values, what):
    with pytest.raises(ConfigError, match=what):
        build(Filter, values, where="clean")


def test_an_unknown_preset_names_the_nearest_one():
    with pytest.raises(ConfigError) as caught:
        build(Filter, {"preset": "gofer_quality"}, where="clean")
    assert "gopher_quality" in caught.value.hint


def test_a_clause_without_truth_value_is_an_error():
    with pytest.raises(ConfigError, match="not true or false"):
        decide(Filter(keep={"x": "a + 1"}), ROWS)


def test_presets_combine_and_own_clauses_replace_theirs():
    both = build(
        Filter, {"preset": ["gopher_quality", "fineweb"], "keep": {"fineweb_list": "list_ratio < 9"}}, where="c"
    )
    clauses = both.clauses()
    assert clauses["fineweb_list"] == "list_ratio < 9"
    assert set(clauses) == {*load_preset("gopher_quality"), *load_preset("fineweb")}
    assert build(Filter, {"preset": "c4"}, where="c") == Filter(preset=("c4",)) == Filter(preset="c4")


def test_two_presets_that_disagree_on_a_name_are_refused(tmp_path, monkeypatch):
    for name, rule in (("one", "a > 1"), ("two", "a > 2")):
        (tmp_path / f"{name}.yaml").write_text(f"same: {rule}\n")
    monkeypatch.setattr("winnow.pipeline.filter.filter.PRESETS", tmp_path)
    with pytest.raises(ConfigError, match="different clauses 'same'"):
        build(Filter, {"preset": ["one", "two"]}, where="c")
    kept = build(Filter, {"preset": ["one", "two"], "keep": {"same": "a > 3"}}, where="c")
    assert kept.clauses() == {"same": "a > 3"}


def test_presets_ship_and_each_clause_says_where_it_is_from():
    names = (
        "c4 c4_bad_words dclm_baseline fineweb fineweb2 gopher_quality gopher_repetition madlad nemo_en no_named_persons no_opt_out "
        "no_persons openwebmath permissive_code prose_strict redpajama_v2 refinedweb starcoder url_blocked url_blocked_below"
    )
    assert preset_names() == names.split()
    for name in preset_names():
        lines = (PRESETS / f"{name}.yaml").read_text().splitlines()
        bare = [line for before, line in itertools.pairwise(lines) if line[:1].isalpha() and not before.startswith("#")]
        assert bare == []
        build(Filter, {"preset": name}, where="clean")


def test_presets_of_two_dialects_cannot_judge_one_column(tmp_path, monkeypatch):
    for name, said in (
        ("of_one", "dialect: dclm\na: x > 1\n"),
        ("of_two", "dialect: datatrove\nb: x > 2\n"),
        ("of_any", "c: x > 0\n"),
    ):
        (tmp_path / f"{name}.yaml").write_text(said)
    monkeypatch.setattr("winnow.pipeline.filter.filter.PRESETS", tmp_path)
    with pytest.raises(ConfigError, match="'x' in different dialects, dclm and datatrove"):
        build(Filter, {"preset": ["of_one", "of_any", "of_two"]}, where="c")
    own = build(Filter, {"preset": ["of_one", "of_any", "of_two"], "keep": {"b": "x > 3"}}, where="c")
    assert (own.dialects(), own.clauses()) == ({"x": "dclm"}, {"a": "x > 1", "c": "x > 0", "b": "x > 3"})


def judged(folder, recipe: str):
    from support import plan_of, put_file

    for name in ("docs", "more"):
        put_file(folder / f"{name}.jsonl", b'{"text": "a", "dup_line_share": 0.1}\n')
    return plan_of(recipe, folder)


MEASURED = """
stages:
  docs: {use: jsonl, files: docs.jsonl}
  sig: {use: signals, inputs: docs, dialect: DIALECT}
"""
SHARDS = "  out: {use: write, inputs: docs, carry: [dup_line_share]}\n"
OTHERS = """
  more: {use: jsonl, files: more.jsonl, source: more, columns: {dup_line_share: float64}}
  all: {use: concat, inputs: [out, more]}
"""


def test_limits_of_one_dialect_never_meet_numbers_of_another(tmp_path, monkeypatch):
    """Through shards and unions too; what files hold is told, and own clauses are the person's own affair."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "small.yaml").write_text("dialect: datatrove\na: dup_line_share < 0.3\n")
    monkeypatch.setattr("winnow.pipeline.filter.filter.PRESETS", tmp_path / "presets")
    rules = "  clean: {use: filter, inputs: [docs, sig], preset: small}\n"
    right, wrong = (MEASURED.replace("DIALECT", said) for said in ("datatrove", "dclm"))
    assert judged(tmp_path, right + rules).remarks == []
    what = "mean `dialect: datatrove`, and 'sig' measures 'dup_line_share' in dclm"
    with pytest.raises(ConfigError, match=what) as error:
        judged(tmp_path, wrong + rules)
    assert "a second `signals` stage" in error.value.hint
    own = rules.replace("preset: small", "preset: small, keep: {a: dup_line_share < 0.2}")
    assert judged(tmp_path, wrong + own).remarks == []
    for behind in (SHARDS + rules.replace("[docs, sig]", "out"), SHARDS + OTHERS + rules.replace("[docs, sig]", "all")):
        with pytest.raises(ConfigError, match=what):
            judged(tmp_path, wrong + behind)
        told = [r.text for r in judged(tmp_path, right + behind).remarks]
        assert len(told) == ("more" in behind)
        assert all("from the files of 'more', which do not say how they were measured" in one for one in told)


def test_signals_that_a_preset_implies_are_measured_in_its_dialect(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "of_dclm.yaml").write_text("dialect: dclm\na: dup_line_share < 0.3\n")
    (tmp_path / "presets" / "plain.yaml").write_text("b: dup_line_share < 0.2\n")
    monkeypatch.setattr("winnow.pipeline.filter.filter.PRESETS", tmp_path / "presets")
    recipe = "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n"
    recipe += "".join(f"  {name}: {{use: filter, inputs: docs, preset: {preset}}}\n"
                      for name, preset in (("one", "of_dclm"), ("two", "plain"), ("three", "of_dclm")))  # fmt: skip
    nodes = {n.name: n for n in judged(tmp_path, recipe).nodes}
    read = {
        name: {n.operator.dialect for n in nodes[name].inputs if n.operator.name == "signals"}
        for name in ("one", "two", "three")
    }
    assert read == {"one": {"dclm"}, "two": {"datatrove"}, "three": {"dclm"}}
    assert sum(n.operator.name == "signals" for n in nodes.values()) == 2


def passed(text: str, preset: str, **keep: str) -> pl.DataFrame:
    """The preset's verdicts on one text, measured by signals."""
    from winnow.pipeline.measure.signals import COLUMNS, Signals

    operator = Filter(preset=preset, keep=keep)
    assert set(operator.needs()) <= set(COLUMNS)
    batch = pa.record_batch({"text": pa.array([text], pa.large_string())})
    measured = pl.from_arrow(pa.Table.from_batches([Signals().open(Context(seed=0, work=Path()))(batch)]))
    return decide(operator, measured)


SPEECH = (
    "It was late when they met at the mill, and none of them had brought a lamp. 'We have to wait,' said the miller, "
    "'and so does the rest of the town.' But that was not for him to say, and with the river up they had to go."
)
SHORT_ONES = "One.\n\nTwo here.\n\nThree of them.\n\n"
LONG_LINE = "x" * 30 + ".\n"
GOOD = "\n".join(
    ["This is a line of plain prose that ends the way a line of prose should end." + "!" * k for k in range(6)]
)


# datatrove tests/pipeline/filters/test_filters.py, the reasons each of its cases is dropped for (own texts).
@pytest.mark.parametrize(
    ("preset", "text", "clause"),
    [
        ("gopher_repetition", "The same line again.\n" * 4, "gopher_dup_lines"),
        ("gopher_repetition", "The same line again.\n\n" * 4, "gopher_dup_paragraphs"),
        ("gopher_repetition", SHORT_ONES + LONG_LINE + "\n" + LONG_LINE, "gopher_dup_paragraph_chars"),
        ("gopher_repetition", f"One.\nTwo here.\nThree of them.\n{'x' * 40}.\n{'x' * 40}.\n", "gopher_dup_line_chars"),
        ("gopher_repetition", "he was Paul, he was Paul, he was Paul", "gopher_top_2gram"),
        ("gopher_repetition", "one more lone word here " * 4 + SPEECH, "gopher_dup_5gram"),
        ("gopher_quality", "Too short...", "gopher_words"),
        ("gopher_quality", "I am " * 30, "gopher_mean_word"),
        ("gopher_quality", "intercontinental " * 60, "gopher_mean_word"),
        ("gopher_quality", "# comment " * 60, "gopher_hashes"),
        ("gopher_quality", "... comment " * 60, "gopher_ellipses"),
        ("gopher_quality", "the ./!*?<><> apple <?////> ++ oranges !<>??? have " * 20, "gopher_alpha"),
        ("gopher_quality", "- line of a list\n" * 60, "gopher_bullets"),
        ("gopher_quality", "lines that trail off…\n" * 60, "gopher_ellipsis_lines"),
        ("gopher_quality", "completely ordinary words " * 60, "gopher_stop_words"),
        ("fineweb", "", "fineweb_not_empty"),
        ("fineweb", "No mark at all\nAnother line without any\nStill nothing", "fineweb_line_punct"),
        ("fineweb", "hi.\nbye.\nok.\nno.\nyes.", "fineweb_short_lines"),
        ("fineweb", "\n".join(["a"] * 50), "fineweb_list"),
        ("fineweb", GOOD + "\n" + GOOD, "fineweb_char_dup"),
        ("c4", GOOD + "\nHere is lorem ipsum for you.", "c4_no_lorem_ipsum"),
        ("c4", GOOD + "\nHere is a { for you.", "c4_no_curly"),
        ("c4", "Just one sentence.", "c4_sentences"),
        ("prose_strict", "the of and to a " * 40, "prose_not_a_stop_list"),
        ("prose_strict", "1234567 890 12 " * 40, "prose_digits"),
        ("prose_strict", "word\n" * 60, "prose_words_per_line"),
    ],
)  # fmt: skip
def test_published_cases_fail_the_clause_they_were_made_for(preset, text, clause):
    out = passed(text, preset)
    assert out[f"pass_{clause}"].to_list() == [False]
    assert out["kept"].to_list() == [False]


def test_good_text_is_kept_by_every_preset():
    for preset in ("c4", "fineweb"):
        assert passed(GOOD, preset)["kept"].to_list() == [True]
    for preset in ("gopher_quality", "gopher_repetition", "prose_strict"):
        out = passed(SPEECH + "\n" + SPEECH.upper()[:5], preset)
        assert out["kept"].to_list() == [True], out.to_dict(as_series=False)
