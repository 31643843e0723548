"""Columns that some files or some inputs lack are null there, and counted."""

import json

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from support import plan_of, run

from winnow.core.errors import ConfigError, DataError

READ = "stages:\n  docs: {use: parquet, files: '*.parquet', columns: {lang: string, meta.n: int64}}\n"
UNITE = """
stages:
  one: {use: jsonl, files: a.jsonl, source: one, columns: {lang: string, n: int64}}
  two: {use: jsonl, files: b.jsonl, source: two, columns: {score: float64}}
  all: {use: concat, inputs: [one, two], MORE}
  some: {use: filter, inputs: all, keep: {k: "lang = 'en'"}}
"""


def put(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=1)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


ENDS = {"jsonl": ".jsonl", "json_array": ".json", "csv": ".csv", "arrow": ".arrow"}


def written(path, rows):
    """Rows as the suffix says; in a file of columns each is there where some row has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".arrow":
        feather.write_feather(table, path)
    elif path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("[" + ",".join(lines) + "]" if path.suffix == ".json" else "\n".join(lines))


@pytest.mark.parametrize("use", ENDS)
def test_every_reader_counts_what_a_file_lacks_and_refuses_what_all_lack(tmp_path, use):
    read = f"stages:\n  docs: {{use: {use}, files: '*{ENDS[use]}', columns: {{lang: string}}, MORE}}\n"
    written(tmp_path / f"a{ENDS[use]}", [{"text": "a", "lang": "en", "key": "1"}])
    written(tmp_path / f"b{ENDS[use]}", [{"text": "c", "long": "x"}, {"text": "d", "long": "y"}])
    for part_bytes in (None, 400):
        ran = run(read.replace(", MORE", ""), tmp_path, tmp_path / f"root{part_bytes}", part_bytes=part_bytes)
        rows = sorted(ran.table("docs", "text", "lang").to_pylist(), key=lambda r: r["text"])
        assert [row["lang"] for row in rows] == ["en", None, None]
        assert ran.manifest("docs").counts["absent:lang"] == 2
        assert "2 of 3 records have no 'lang'" in told(ran, "docs")
    with pytest.raises(DataError, match="none of 3 records has 'lung'") as refused:
        run(read.replace("lang", "lung").replace(", MORE", ""), tmp_path, tmp_path / "root")
    assert "lang" in refused.value.hint
    with pytest.raises(DataError, match=r"no column 'key'|2 of 3 rows of stage 'docs' failed \(missing_id 2\)"):
        run(read.replace("MORE", "id: 'field:key'"), tmp_path, tmp_path / "root")


def told(ran, stage):
    stages = {r.node.name: r for r in ran.runs}
    return " ".join(stages[stage].operator.remarks(stages[stage].manifest.counts, {}))


def test_a_declared_column_that_one_parquet_file_lacks_is_null_there_and_counted(tmp_path):
    put(tmp_path / "a.parquet", {"text": "a", "lang": "en", "meta": {"n": 1}})
    put(tmp_path / "b.parquet", {"text": "c", "meta": {"m": 1}}, {"text": "d", "meta": {"m": 1}})
    for part_bytes in (None, 1):
        ran = run(READ, tmp_path, tmp_path / f"root{part_bytes}", part_bytes=part_bytes)
        rows = sorted(ran.table("docs", "text", "lang", "meta_n").to_pylist(), key=lambda r: r["text"])
        assert [(r["text"], r["lang"], r["meta_n"]) for r in rows] == [
            ("a", "en", 1),
            ("c", None, None),
            ("d", None, None),
        ]
        counts = ran.manifest("docs").counts
        assert (counts["absent:lang"], counts["absent:meta.n"]) == (2, 2)
        assert "2 of 3 records have no 'lang'" in told(ran, "docs")


def test_a_declared_column_that_no_parquet_file_has_is_an_error(tmp_path):
    put(tmp_path / "a.parquet", {"text": "a", "long": "en", "meta": {"n": 1}})
    with pytest.raises(DataError, match="none of 1 records has 'lang'") as refused:
        run(READ, tmp_path, tmp_path / "root")
    assert "long" in refused.value.hint


def test_the_text_and_the_id_must_be_in_every_file(tmp_path):
    put(tmp_path / "a.parquet", {"text": "a", "key": "1"})
    put(tmp_path / "b.parquet", {"text": "b"})
    with pytest.raises(DataError, match="no column 'key'"):
        run("stages:\n  docs: {use: parquet, files: '*.parquet', id: 'field:key'}\n", tmp_path, tmp_path / "root")


def united(tmp_path, more, **options):
    put(tmp_path / "a.jsonl", *({"text": f"a{i}", "lang": "en", "n": i} for i in range(3)))
    put(tmp_path / "b.jsonl", *({"text": f"b{i}", "score": i / 2} for i in range(2)))
    return run(UNITE.replace("MORE", more), tmp_path, tmp_path / "root", **options)


def test_a_concat_keeps_the_columns_of_all_its_inputs_where_asked(tmp_path):
    ran = united(tmp_path, "columns: union")
    rows = sorted(ran.table("all", "text", "lang", "n", "score").to_pylist(), key=lambda r: r["text"])
    assert [(r["lang"], r["n"], r["score"]) for r in rows] == [
        ("en", 0, None), ("en", 1, None), ("en", 2, None), (None, None, 0.0), (None, None, 0.5),
    ]  # fmt: skip
    counts = ran.manifest("all").counts
    assert {k: v for k, v in counts.items() if k.startswith("absent:")} == {
        "absent:lang": 2, "absent:n": 2, "absent:score": 3,
    }  # fmt: skip
    assert "'lang' is null in 2 of 5 documents" in told(ran, "all")
    assert sum(ran.table("some", "kept").column("kept").to_pylist()) == 3


def test_a_union_has_the_digest_of_documents_that_were_read_with_nulls(tmp_path):
    ran = united(tmp_path, "columns: union")
    declared = UNITE.replace("{lang: string, n: int64}", "{lang: string, n: int64, score: float64}").replace(
        "columns: {score: float64}", "columns: {lang: string, n: int64, score: float64}"
    )
    put(tmp_path / "a.jsonl", *({"text": f"a{i}", "lang": "en", "n": i, "score": None} for i in range(3)))
    put(tmp_path / "b.jsonl", *({"text": f"b{i}", "score": i / 2, "lang": None, "n": None} for i in range(2)))
    whole = run(declared.replace(", MORE", "").replace("source: one", "source: one, id: content")
                .replace("source: two", "source: two, id: content"), tmp_path, tmp_path / "other")  # fmt: skip
    again = run(UNITE.replace("MORE", "columns: union").replace("source: one", "source: one, id: content")
                .replace("source: two", "source: two, id: content"), tmp_path, tmp_path / "third")  # fmt: skip
    assert again.manifest("all").content_digest == whole.manifest("all").content_digest
    assert ran.manifest("all").rows == 5


def test_what_a_concat_leaves_out_is_told_with_the_way_to_keep_it(tmp_path):
    put(tmp_path / "a.jsonl", {"text": "a", "lang": "en", "n": 1})
    put(tmp_path / "b.jsonl", {"text": "b", "score": 1.0})
    plan = plan_of(UNITE.partition("  some:")[0].replace(", MORE", ""), tmp_path)
    assert "leaves out 3 columns that not all inputs have: 'lang' (of one)" in plan.node("all").told[0]
    assert "`columns: union` keeps them" in plan.node("all").told[0]
    with pytest.raises(ConfigError, match="has a column 'lang'") as refused:
        plan_of(UNITE.replace(", MORE", ""), tmp_path)
    assert "columns: union" in refused.value.hint


def test_two_types_of_one_column_are_refused_either_way(tmp_path):
    put(tmp_path / "a.jsonl", {"text": "a"})
    put(tmp_path / "b.jsonl", {"text": "b"})
    for more in ("columns: union", "columns: shared"):
        with pytest.raises(ConfigError, match="column 'n' is int64 in one input and double in 'two'"):
            plan_of(UNITE.replace("{score: float64}", "{n: float64}").replace("MORE", more), tmp_path)


def test_folders_that_say_a_value_are_a_column_where_it_is_declared(tmp_path):
    for lang, year in (("en", "2024"), ("de%20at", "2025"), ("__HIVE_DEFAULT_PARTITION__", "2026")):
        put(tmp_path / f"data/lang={lang}/year={year}/p.parquet", {"text": f"{lang} {year}"})
    for files in ("data/", "data/**/*.parquet", "data/lang=*/year=*/*.parquet"):
        recipe = f"stages:\n  docs: {{use: parquet, files: '{files}', columns: {{lang: string, year: int64}}}}\n"
        ran = run(recipe, tmp_path, tmp_path / "root")
        rows = ran.table("docs", "lang", "year").to_pylist()
        assert sorted((r["lang"] or "", r["year"]) for r in rows) == [("", 2026), ("de at", 2025), ("en", 2024)]
        assert not [name for name in ran.manifest("docs").counts if name.startswith("absent:")]
    one = "stages:\n  docs: {use: parquet, files: 'data/lang=en/**/*.parquet', columns: {lang: string}}\n"
    assert run(one, tmp_path, tmp_path / "root").table("docs", "lang").to_pylist() == [{"lang": "en"}]
    with pytest.raises(DataError, match="the folder lang=en holds no int64"):
        run(one.replace("lang: string", "lang: int64"), tmp_path, tmp_path / "root")


def test_a_misspelt_column_of_an_operator_that_is_not_there_yet_and_a_stage_taken_for_a_column(tmp_path):
    put(tmp_path / "a.jsonl", {"text": "a b"})
    docs = "stages:\n  docs: {use: jsonl, files: a.jsonl}\n"
    with pytest.raises(ConfigError, match="'wrod_count'") as refused:
        run(f"{docs}  a: {{use: filter, inputs: docs, keep: {{a: wrod_count > 3}}}}\n", tmp_path, tmp_path / "root")
    assert refused.value.hint.startswith("did you mean 'word_count'?")
    clean = f"{docs}  clean: {{use: filter, inputs: docs, keep: {{a: word_count > 1}}}}\n"
    with pytest.raises(ConfigError, match="'clean'") as refused:
        run(f"{clean}  c: {{use: write, inputs: docs, where: clean}}\n", tmp_path, tmp_path / "root")
    assert refused.value.hint.startswith("'clean' is a stage: write `kept_clean`")
