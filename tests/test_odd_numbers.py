"""NaN is no value and an infinity is one, from every reader through every decision to every format; nothing is silent."""

import json
import math

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from support import run

from winnow.cli import main
from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import costs, row_ranks
from winnow.core.operators import sql
from winnow.core.store.formats import format_named, format_names
from winnow.core.store.no_value import frame_without_nan, number_remarks, without_nan
from winnow.dags.looking.run import open as open_run
from winnow.pipeline.read.json_fields import loads

NAN, INF = float("nan"), float("inf")
SCORES = [NAN, 0.9, 0.1, None, INF, -INF, -0.0, 5.0]


def corpus(folder, form):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": f"the text of document number {i}", "s": s} for i, s in enumerate(SCORES)]
    values = pa.array(SCORES, pa.float64(), from_pandas=False)
    table = pa.table({"text": [row["text"] for row in rows], "s": values})
    path = folder / ("a.json" if form == "json_array" else f"a.{form}")
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "arrow":
        feather.write_feather(table, path)
    elif form == "csv":
        path.write_text("text,s\n" + "".join(f"{row['text']},{'' if row['s'] is None else row['s']}\n" for row in rows))
    elif form == "jsonl":  # bare NaN and Infinity, as Python writes them
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows, indent=1))
    return f"{{use: {form}, files: {path.name}, columns: {{s: float64}}}}"


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json_array", "csv", "arrow"])
def test_every_reader_and_every_decision_mean_the_same_by_nan(tmp_path, form):
    recipe = f"""
stages:
  docs: {corpus(tmp_path / "in", form)}
  clause: {{use: filter, inputs: docs, keep: {{a: "s > 0.5"}}}}
  other: {{use: filter, inputs: docs, keep: {{a: "NOT (s <= 0.5)"}}}}
  above: {{use: threshold, inputs: docs, by: s, at_least: 0.5000001}}
  best: {{use: top_k, inputs: docs, by: s, budget: 3 docs}}
  where: {{use: random, inputs: docs, where: s > 0.5, budget: 100 docs}}
  ratio: {{use: filter, inputs: docs, keep: {{a: "(s - s) / (s - s) > 0 OR s > 0.5"}}}}
"""
    found = run(recipe, tmp_path / "in", tmp_path / "runs")
    assert found.counts("docs")["nan:s"] == 1
    assert found.counts("docs")["infinite:s"] == 2
    opened = open_run(str(tmp_path / "runs"))
    stored = opened.frame("docs", "s").collect()["s"]
    assert (stored.null_count(), stored.is_nan().sum(), stored.is_infinite().sum()) == (2, 0, 2)
    for stage in ("clause", "other", "above", "best", "where", "ratio"):
        rows = opened.frame(stage, ["kept", "s"]).collect()
        assert sorted(rows.filter(pl.col("kept"))["s"].to_list()) == [0.9, 5.0, INF], stage
    assert found.counts("clause")["clause:a:null"] == 2
    assert [line for line in opened.remarks("docs") if "NaN" in line and "1 value" in line]
    assert [line for line in opened.remarks("docs") if "infinite" in line and "2 values" in line]


def test_a_function_that_answers_nan_has_no_score_there_and_says_so(tmp_path):
    body = 'import winnow\n@winnow.scorer(\'odd\')\ndef odd(text):\n    """Half of nothing."""\n'
    body += (
        "    import polars as pl\n    return pl.Series([float('nan') if i % 2 else 1.0 for i in range(len(text))])\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mine.py").write_text(body)
    recipe = f"""
stages:
  docs: {corpus(tmp_path / "in", "parquet")}
  odd: {{use: "mine:odd", inputs: docs}}
"""
    found = run(recipe, tmp_path / "in", tmp_path / "runs")
    assert (found.counts("odd")["nan:odd"], found.counts("odd")["null"]) == (4, 4)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_join_counts_the_documents_that_get_nan(tmp_path, form):
    (tmp_path / "in").mkdir()
    notes = [{"key": f"k{i}", "q": s} for i, s in enumerate(SCORES)]
    if form == "parquet":
        arrays = {"key": [n["key"] for n in notes], "q": pa.array(SCORES, pa.float64(), from_pandas=False)}
        pq.write_table(pa.table(arrays), tmp_path / "in" / "notes.parquet")
    else:
        (tmp_path / "in" / "notes.jsonl").write_text("".join(json.dumps(n) + "\n" for n in notes))
    docs = "".join(json.dumps({"text": f"text {i}", "key": f"k{i % 2}"}) + "\n" for i in range(6))
    (tmp_path / "in" / "a.jsonl").write_text(docs)
    recipe = f"""
stages:
  docs: {{use: jsonl, files: a.jsonl, columns: {{key: string}}}}
  notes: {{use: join, inputs: docs, files: notes.{form}, key: key, on: key, columns: {{q: float64}}}}
"""
    found = run(recipe, tmp_path / "in", tmp_path / "runs")
    assert found.counts("notes.lookup" if "notes.lookup" in found.digests else "notes")["nan:q"] == 3
    q = open_run(str(tmp_path / "runs")).frame("notes", ["q", "matched"]).collect()
    assert (q["q"].null_count(), q["q"].is_nan().sum(), q["matched"].sum()) == (3, 0, 6)


@pytest.mark.parametrize("form", format_names())
def test_every_format_keeps_infinities_or_says_that_it_cannot(tmp_path, form, capsys):
    recipe = f"""
stages:
  docs: {corpus(tmp_path / "in", "parquet")}
  corpus: {{use: write, inputs: docs, format: {form}, carry: [s]}}
"""
    found = run(recipe, tmp_path / "in", tmp_path / "runs")
    opened = open_run(str(tmp_path / "runs"))
    assert main(["export", str(tmp_path / "runs"), "docs", "--to", str(tmp_path / "out"), "--format", form]) == 0
    said = capsys.readouterr().out
    loses = "jsonl" in form
    assert any("2 values" in line and "'s'" in line for line in opened.remarks("corpus")) == loses
    assert ("! 2 values of 's'" in said) == loses
    for folder in (found.folder("corpus") / "shards", tmp_path / "out"):
        shards = sorted(path for path in folder.iterdir() if path.name.startswith("shard-"))
        with pa.OSFile(str(shards[0])) as source:
            values = format_named(form).read(source, ["s"]).column("s").to_pylist()
        want = [0.9, 0.1, -0.0, 5.0] + ([] if loses else [INF, -INF])
        assert sorted(v for v in values if v is not None) == sorted(want)
        assert len(values) == len(SCORES)


def test_numbers_that_json_does_not_know_are_read_as_what_they_say():
    assert math.isnan(loads(b'{"a": NaN}')["a"])
    assert loads(b'{"a": [Infinity, -Infinity, 1], "b": "NaN \\" Infinity"}') == {
        "a": [INF, -INF, 1], "b": 'NaN " Infinity',
    }  # fmt: skip
    assert loads(b'{"a": NaN, "n": 12345678901234567890123}')["n"] == 12345678901234567890123.0  # as without NaN
    for line in (b'{"a": NaN, "b": }', b'{"a": nan}', b'{"NaN": Infinite}', b'{"a": NaN, "b": "\\ud800"}',
                 b'{"a": NaN' + b"[" * 5000, b'{"a": Infinityx}'):  # fmt: skip
        with pytest.raises(ValueError):
            loads(line)


OF_INTEGERS = {  # name of a file that holds a NaN among whole numbers -> (its bytes, what is said of it)
    "a.jsonl": (b'{"text": "one", "n": 3}\n{"text": "two", "n": NaN}\n', "'n' is nan (declare float64)"),
    "a.json": (b'[{"text": "one", "n": 3}, {"text": "two", "n": NaN}]', "'n' is nan (declare float64)"),
    "a.csv": (b"text,n\none,3\ntwo,nan\n", "'n' is 'nan', not int64 as it is declared"),
    "b.csv": (b"text,n\none,3\ntwo,1e400\n", "'n' is '1e400', not int64 as it is declared"),
}


@pytest.mark.parametrize("name", OF_INTEGERS)
def test_nan_in_a_column_of_whole_numbers_is_refused_by_name(tmp_path, name):
    (tmp_path / "in").mkdir()
    raw, said = OF_INTEGERS[name]
    (tmp_path / "in" / name).write_bytes(raw)
    use = {"jsonl": "jsonl", "json": "json_array", "csv": "csv"}[name.partition(".")[2]]
    recipe = f"stages:\n  docs: {{use: {use}, files: {name}, columns: {{n: int64}}}}\nmax_bad_share: 1.0\n"
    found = run(recipe, tmp_path / "in", tmp_path / "runs")
    (bad,) = found.quarantine("docs")
    assert bad["error"] == "column_type"
    assert said in bad["message"]


@pytest.mark.parametrize("most", [2**63 - 1, 2**41])
def test_a_document_that_costs_more_than_any_can_is_named(tmp_path, most):
    (tmp_path / "in").mkdir()
    rows = [{"text": f"text {i}", "token_count": n} for i, n in enumerate([5, most, 7])]
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = """
stages:
  docs: {use: jsonl, files: a.jsonl, columns: {token_count: int64}}
  best: {use: random, inputs: docs, budget: 8 tokens}
"""
    with pytest.raises(DataError, match=rf"'token_count' is {most:,} for document [0-9a-f]{{32}}"):
        run(recipe, tmp_path / "in", tmp_path / "runs")


def test_a_cost_is_looked_at_wherever_rows_are_ranked():
    ids = pl.Series([bytes([i]) * 16 for i in range(3)], dtype=pl.Binary)
    cost = pl.Series("token_count", [1, 2**41, None])
    with pytest.raises(DataError, match="'token_count' is 2,199,023,255,552 for document 0101"):
        row_ranks.ranks(np.zeros(3, dtype=np.uint64), ids, cost, np.ones(3, dtype=np.bool_))


def test_sums_of_costs_never_wrap():
    many = np.full(17, costs.MOST // 4, dtype=np.int64)
    assert 0 < int(many.sum()) < costs.MOST  # what wraps looks fine
    assert costs.total(many[:4]) == costs.MOST
    with pytest.raises(DataError, match="adds up to"):
        costs.total(many)
    assert costs.total(np.array([-5, 3, 2**62 - 1, 2], dtype=np.int64)) == 2**62 - 1


def test_a_rule_over_what_is_no_number_is_refused_where_it_names_none():
    with pytest.raises(ConfigError, match="no number"):
        sql.expression("s < CAST('nan' AS DOUBLE)")
    assert sql.expression("s < CAST('inf' AS DOUBLE)") is not None


def test_what_is_finite_costs_no_copy():
    table = pa.table({"s": [1.0, None, 2.0], "n": [1, 2, 3], "t": ["a", "b", None]})
    found, counts = without_nan(table)
    assert found is table
    assert counts == {}
    assert number_remarks({"rows": 3, "kept": 2}) == ()
    frame = frame_without_nan(
        pl.DataFrame({"s": [NAN, 1.0], "f": pl.Series([NAN, INF], dtype=pl.Float32), "n": [1, 2]})
    )
    assert frame.rows() == [(None, None, 1), (1.0, INF, 2)]
