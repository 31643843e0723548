"""What a document is called, from its file through two passes to a shard: one id, one face, and the user's own names."""

import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import plan_of, run

import winnow as w
from winnow.core.errors import ConfigError, DataError
from winnow.pipeline.read.document import RESERVED

DOCS = [{"id": f"u{i}", "text": f"document number {i}", "state": i, "meta": {"id": i}} for i in range(10)]
HEX = r"^[0-9a-f]{32}$"


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(d) + "\n" for d in DOCS))
    pq.write_table(pa.Table.from_pylist(DOCS), tmp_path / "a.parquet")
    return tmp_path


def shards(ran, stage="corpus"):
    (path,) = [p for p in (ran.folder(stage) / "shards").iterdir() if p.is_file()]
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_ipc(path) if path.suffix == ".arrow" else pl.read_ndjson(unpacked(path))


def unpacked(path):
    import zstandard

    data = path.read_bytes()
    return data if path.suffix == ".jsonl" else zstandard.ZstdDecompressor().stream_reader(data).read()


@pytest.mark.parametrize("use", ["jsonl", "parquet"])
def test_a_field_called_id_becomes_a_column_under_its_own_or_another_name(raw, use):
    columns = "{id: string, own: {from: id}, kind: {from: state, type: int64}, inner: {from: meta.id, type: int64}}"
    ran = run(f"""
stages:
  docs: {{use: {use}, files: a.{use}, id: field:id, columns: {columns}}}
  corpus: {{use: write, inputs: docs, format: jsonl.zst, carry: [id, own, kind, inner]}}
""", raw, raw / "root")  # fmt: skip
    rows = shards(ran).sort("kind")
    assert rows["id"].to_list() == rows["own"].to_list() == [d["id"] for d in DOCS]
    assert rows["kind"].to_list() == rows["inner"].to_list() == list(range(10))
    assert rows["doc_id"].str.contains(HEX).all()


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_name_says_how_to_call_it(raw, name):
    recipe = "stages:\n  docs: {use: jsonl, files: a.jsonl, columns: COLUMNS}\n"
    with pytest.raises(ConfigError, match=f"a column cannot be called '{name}'") as refused:
        plan_of(recipe.replace("COLUMNS", f"{{{name}: string}}"), raw)
    hint = refused.value.hint
    assert f"my_{name}: {{from: {name}, type: string}}" in hint
    plan_of(recipe.replace("COLUMNS", hint.split("`columns: ")[1].rstrip("`")), raw)  # what it says works


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("{a: {form: id}}", "a column has no 'form'"), ("{a: {from: id, type: text}}", "unknown type 'text'"),
        ("{a: {from: ''}}", "cannot be called"), ("{a: string, b: {from: x}, a_b: string, a.b: string}", "give one"),
    ],
)  # fmt: skip
def test_a_column_that_is_declared_wrongly_is_refused(raw, columns, told):
    with pytest.raises(ConfigError, match=told):
        plan_of(f"stages:\n  docs: {{use: jsonl, files: a.jsonl, columns: {columns}}}\n", raw)


TWO_PASSES = """
stages:
  docs: {{use: jsonl, files: a.jsonl, id: field:id, columns: {{id: string}}}}
  corpus: {{use: write, inputs: docs, format: {form}, carry: {{id: id, first: origin, raw_id: doc_id}}}}
"""
SECOND = """
stages:
  docs: {{use: {use}, files: "runs/write-*/shards/*", id: "{rule}", columns: {{id: string, first: string}}}}
  corpus: {{use: write, inputs: docs, format: {form}, carry: [id, first]}}
"""


@pytest.mark.parametrize("rule", ["doc_id", "field:doc_id"])
@pytest.mark.parametrize("form", ["parquet", "jsonl.zst", "jsonl"])
def test_a_second_pass_keeps_the_ids_and_the_way_back(raw, monkeypatch, form, rule):
    monkeypatch.chdir(raw)
    first = run(TWO_PASSES.format(form=form), raw, raw / "runs")
    use = "parquet" if form == "parquet" else "jsonl"
    again = run(SECOND.format(use=use, form=form, rule=rule), raw, raw / "other")
    one, two = shards(first).sort("id"), shards(again).sort("id")
    assert one["doc_id"].to_list() == two["doc_id"].to_list() == one["raw_id"].to_list()
    assert one["doc_id"].str.contains(HEX).all()
    assert two["first"].to_list() == one["origin"].to_list()
    assert all(origin.startswith("a.jsonl#") for origin in two["first"])
    assert first.table("docs", "doc_id").column("doc_id").type == pa.binary(16)  # inside


@pytest.mark.parametrize("form", ["parquet", "arrow", "jsonl.zst", "jsonl"])
def test_a_doc_id_is_hex_digits_wherever_a_person_sees_it(raw, form):
    ran = run(f"""
stages:
  docs: {{use: jsonl, files: a.jsonl}}
  corpus: {{use: write, inputs: docs, format: {form}}}
""", raw, raw / "root")  # fmt: skip
    wanted = sorted(d.hex() for d in ran.table("docs", "doc_id").column("doc_id").to_pylist())
    assert sorted(shards(ran)["doc_id"]) == wanted
    for name in ("text_hash",) if form in ("parquet", "arrow") else ():
        assert shards(ran)[name].str.contains(HEX).all()
    opened = w.open(raw / "root")
    assert sorted(opened.frame("docs").collect()["doc_id"]) == wanted
    assert sorted(opened.text("docs").collect()["doc_id"]) == wanted
    assert sorted(opened.frame("corpus", doc_id="binary").collect()["doc_id"].bin.encode("hex")) == wanted


def test_ids_that_are_none_of_winnows_are_quarantined_where_they_must_be_and_hashed_where_they_may(raw):
    (raw / "b.jsonl").write_text('{"text": "a", "doc_id": "x"}\n{"text": "b", "doc_id": "%s"}\n' % ("0f" * 16))
    recipe = "stages:\n  docs: {use: jsonl, files: b.jsonl, id: 'RULE', max_bad_share: 0.6}\n"
    kept = run(recipe.replace("RULE", "doc_id"), raw, raw / "root")
    assert kept.table("docs", "doc_id").column("doc_id").to_pylist() == [b"\x0f" * 16]
    assert "32 hex digits" in kept.quarantine("docs")[0]["message"]
    both = run(recipe.replace("RULE", "field:doc_id"), raw, raw / "root")
    assert b"\x0f" * 16 in both.table("docs", "doc_id").column("doc_id").to_pylist()
    assert both.manifest("docs").rows == 2


def test_binary_ids_are_told_as_such(raw):
    path = raw / "b.parquet"
    pq.write_table(pa.table({"text": ["a"], "key": pa.array([b"\xff" * 16], pa.binary(16))}), path)
    with pytest.raises(DataError, match=r"column 'key' is fixed_size_binary\[16\], declared string"):
        run("stages:\n  docs: {use: parquet, files: b.parquet, id: 'field:key'}\n", raw, raw / "root")
    pq.write_table(pa.table({"text": ["a"], "doc_id": pa.array([b"\xff" * 16], pa.binary(16))}), path)  # of old shards
    ran = run("stages:\n  docs: {use: parquet, files: b.parquet, id: doc_id}\n", raw, raw / "root")
    assert ran.table("docs", "doc_id").column("doc_id").to_pylist() == [b"\xff" * 16]


def test_kept_ids_that_meet_again_are_refused(raw, monkeypatch):
    monkeypatch.chdir(raw)
    run(TWO_PASSES.format(form="jsonl"), raw, raw / "runs")
    with pytest.raises(DataError, match="10 documents have an id that another one has"):
        run("""
stages:
  one: {use: jsonl, files: a.jsonl, id: field:id}
  two: {use: jsonl, files: "runs/write-*/shards/*", id: doc_id, source: two}
  all: {use: concat, inputs: [one, two]}
""", raw, raw / "other")  # fmt: skip


@pytest.mark.parametrize("name", ["doc_id", "origin", "text_hash"])
def test_what_is_written_anyway_says_how_to_carry_it(raw, name):
    recipe = """
stages:
  docs: {use: jsonl, files: a.jsonl}
  corpus: {use: write, inputs: docs, format: jsonl.zst, carry: CARRY}
"""
    with pytest.raises(ConfigError, match=f"'{name}' is written anyway") as refused:
        plan_of(recipe.replace("CARRY", f"[{name}]"), raw)
    ran = run(recipe.replace("CARRY", refused.value.hint.split("`carry: ")[1].rstrip("`")), raw, raw / "root")
    assert shards(ran)[f"first_{name}"].null_count() == 0
    plan_of(recipe.replace("CARRY", "{x: origin, y: origin}"), raw)
    with pytest.raises(ConfigError, match="cannot be called '_x'"):
        plan_of(recipe.replace("CARRY", "{_x: origin}"), raw)
