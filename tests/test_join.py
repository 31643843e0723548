"""`join`: annotations become columns by any key, exactly, counted on both sides, whatever the layout."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import plan_of, put_corpus, put_file, run, texts

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Kind
from winnow.pipeline.join import join_files, key_index
from winnow.pipeline.join.join import Join
from winnow.pipeline.join.join_index import JoinIndex
from winnow.pipeline.join.join_lookup import JoinLookup
from winnow.pipeline.join.join_used import JoinUsed
from winnow.testing import check_operator, nasty_corpus
from winnow.testing.in_memory import MemorySource

DOCS = [{"text": t, "url": f"http://x/{i}", "number": i, "name": f"d{i}"} for i, t in enumerate(texts(60))]
NOTES = [{"u": f"http://x/{2 * i}", "n": 2 * i, "name": f"d{2 * i}", "q": i / 4, "t": "é" * i, "ok": i % 3 == 0,
          "meta": {"k": i}} for i in range(40)]  # fmt: skip
COLUMNS = {"q": "float64", "t": "string", "ok": "bool", "meta.k": "int64"}
RECIPE = """
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{url: string, number: int64}}, id: {id}}}
  notes: {{use: join, inputs: docs, files: "{files}", columns: {columns}, {more}}}
"""


def joined(folder, files, more, *, columns=COLUMNS, identity="position", root="root", **options):
    if not (folder / "raw").exists():
        put_corpus(folder / "raw", DOCS, 3)
    recipe = RECIPE.format(files=files, more=more, columns=json.dumps(columns), id=identity)
    return run(recipe, folder, folder / root, **options)


def lines(notes):
    return b"".join(json.dumps(n, ensure_ascii=False).encode() + b"\n" for n in notes)


def counts(ran, name="notes"):
    (receipt,) = ran.manifest(f"{name}.counts").named("result").values()
    return receipt.extra["metrics"]


def index_of(folder, notes, *, key="u", columns=None, **fields):
    """A built index and its metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    path = put_file(folder.parent / f"{folder.name}.jsonl", lines(notes))
    operator = JoinIndex(files=(str(path),), key=key, columns=columns or {}, **fields)
    metrics = operator.run(Context(seed=0, work=folder, refs={"files": [str(path)]}))
    return key_index.opened({p.name: p for p in folder.iterdir()}), metrics


def binary(values):
    return pa.array([v if v is None or isinstance(v, bytes) else v.encode() for v in values], pa.large_binary())


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_annotations_of_every_format_become_columns_of_their_documents(tmp_path, suffix):
    path = tmp_path / f"notes{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(NOTES), path, row_group_size=7)
    else:
        put_file(path, lines(NOTES))
    ran = joined(tmp_path, path.name, "key: u, on: url")
    rows = ran.table("notes.lookup", "matched", "q", "t", "ok", "meta_k").to_pylist()
    nothing = {"matched": False, "q": None, "t": None, "ok": None, "meta_k": None}
    want = [
        {"matched": True, **{c: NOTES[i // 2][c] for c in ("q", "t", "ok")}, "meta_k": i // 2}
        if i % 2 == 0
        else nothing
        for i in range(60)
    ]
    assert rows == want


def test_both_sides_are_counted(tmp_path):
    put_file(tmp_path / "notes.jsonl", lines([*NOTES, {"q": 1.0}, {"u": None, "t": ""}]))
    found = counts(joined(tmp_path, "notes.jsonl", "key: u, on: url"))
    examples = found.pop("unmatched_keys")
    assert found == {
        "annotations": 40, "files": 1, "without_key": 2, "repeated": 0,
        "matched_annotations": 30, "unmatched_annotations": 10,
        "documents": 60, "matched_documents": 30, "unmatched_documents": 30,
    }  # fmt: skip
    assert len(examples) == 5
    assert set(examples) < {f"http://x/{2 * i}" for i in range(30, 40)}


def test_one_annotation_may_belong_to_many_documents(tmp_path):
    put_corpus(tmp_path / "raw", [{**d, "url": f"h{i % 3}"} for i, d in enumerate(DOCS)], 3)
    put_file(tmp_path / "notes.jsonl", lines([{"u": f"h{i}", "q": i} for i in (0, 1, 7)]))
    ran = joined(tmp_path, "notes.jsonl", "key: u, on: url", columns={"q": "float64"})
    assert ran.table("notes.lookup", "q").column("q").to_pylist() == [0.0, 1.0, None] * 20
    told = counts(ran)
    assert (told["matched_annotations"], told["matched_documents"], told["documents"]) == (2, 40, 60)
    assert told["unmatched_keys"] == ["h7"]


def test_documents_are_found_by_doc_id_in_hex_or_as_bytes(tmp_path):
    put_corpus(tmp_path / "raw", DOCS, 3)
    ids = run('stages:\n  docs: {use: jsonl, files: "raw/*.jsonl"}\n', tmp_path, tmp_path / "root").table(
        "docs", "doc_id"
    )
    values = ids.column("doc_id").to_pylist()[::3]
    put_file(tmp_path / "hex.jsonl", lines([{"id": v.hex().upper(), "q": i} for i, v in enumerate(values)]))
    pq.write_table(pa.table({"id": pa.array(values, pa.binary(16)), "q": np.arange(20.0)}), tmp_path / "raw.parquet")
    for name in ("hex.jsonl", "raw.parquet"):
        ran = joined(tmp_path, name, "key: id", columns={"q": "float64"})
        want = [i / 3 if i % 3 == 0 else None for i in range(60)]
        assert ran.table("notes.lookup", "q").column("q").to_pylist() == want


def test_documents_are_found_by_the_users_own_id_and_by_a_number(tmp_path):
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    want = [NOTES[i // 2]["q"] if i % 2 == 0 else None for i in range(60)]
    by_id = joined(tmp_path, "notes.jsonl", "key: name, on: id", identity='"field:name"')
    assert sorted(by_id.table("notes.lookup", "q").column("q").to_pylist(), key=str) == sorted(want, key=str)
    number, q = (
        by_id.table("docs", "number").column(0).to_pylist(),
        by_id.table("notes.lookup", "q").column(0).to_pylist(),
    )
    assert dict(zip(number, q, strict=True)) == dict(enumerate(want))
    by_number = joined(tmp_path, "notes.jsonl", "key: n, on: number")
    assert by_number.table("notes.lookup", "q").column("q").to_pylist() == want


def test_ids_of_several_readers_need_their_source(tmp_path):
    put_corpus(tmp_path / "raw", DOCS, 1)
    put_corpus(tmp_path / "more", DOCS, 1)
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    recipe = """
stages:
  a: {use: jsonl, files: "raw/*.jsonl", id: "field:name", source: a}
  b: {use: jsonl, files: "more/*.jsonl", id: "field:name", source: b}
  docs: {use: concat, inputs: [a, b]}
  notes: {use: join, inputs: docs, files: notes.jsonl, key: name, on: id, columns: {q: float64}SOURCE}
"""
    with pytest.raises(ConfigError, match=r"come from a .*, b ") as caught:
        plan_of(recipe.replace("SOURCE", ""), tmp_path)
    assert "source:" in caught.value.hint
    told = counts(run(recipe.replace("SOURCE", ", source: b"), tmp_path, tmp_path / "root"))
    assert (told["matched_documents"], told["documents"]) == (30, 120)
    with pytest.raises(ConfigError, match="position"):
        plan_of(RECIPE.format(files="notes.jsonl", more="key: name, on: id", columns="{}", id="position"), tmp_path)


def test_layout_buckets_and_batches_do_not_change_the_answer(tmp_path):
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    one = joined(tmp_path, "notes.jsonl", "key: u, on: url")
    two = joined(tmp_path, "notes.jsonl", "key: u, on: url", root="again", batch_rows=7, buckets=5)
    assert one.digests == two.digests
    assert one.files()["notes.index"] == two.files()["notes.index"]


def test_one_more_file_of_documents_looks_up_its_own_parts_alone(tmp_path):
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    joined(tmp_path, "notes.jsonl", "key: u, on: url", part_bytes=4000)
    put_corpus(tmp_path / "raw" / "more", DOCS[:5], 1)
    recipe = RECIPE.replace("raw/*.jsonl", "raw/**/*.jsonl").format(
        files="notes.jsonl", more="key: u, on: url", columns=json.dumps(COLUMNS), id="position"
    )
    again = run(recipe, tmp_path, tmp_path / "root", part_bytes=4000)
    assert len(again.manifest("notes.lookup").named("part")) > again.computed["notes.lookup"] >= 1
    assert "notes.index" not in again.computed


def test_documents_outside_where_are_neither_looked_up_nor_counted(tmp_path):
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    ran = joined(tmp_path, "notes.jsonl", "key: u, on: url, where: number < 10")
    assert ran.table("notes.lookup", "matched").column(0).to_pylist() == [i % 2 == 0 for i in range(10)] + [None] * 50
    assert counts(ran)["documents"] == 10


def test_repeated_keys_are_an_error_that_names_them_and_where_they_are(tmp_path):
    notes = [*NOTES, {"u": "http://x/4", "q": 9.0}, {"u": "http://x/8"}, {"u": "http://x/4", "q": 7.0}]
    with pytest.raises(DataError, match="3 annotations repeat a key") as caught:
        index_of(tmp_path / "i", notes)
    assert "'http://x/4' (i.jsonl record 3, i.jsonl record 41)" in str(caught.value)
    assert "duplicates: first" in caught.value.hint
    put_file(tmp_path / "notes.jsonl", lines(notes))
    with pytest.raises(DataError, match="repeat a key"):
        joined(tmp_path, "notes.jsonl", "key: u, on: url")


def test_the_first_of_repeated_keys_wins_where_that_is_asked_for(tmp_path):
    put_file(tmp_path / "b.jsonl", lines([{"u": "http://x/0", "q": 5.0}, {"u": "http://x/2", "q": 6.0}]))
    put_file(tmp_path / "a.jsonl", lines([{"u": "http://x/0", "q": 1.0}, {"u": "http://x/0", "q": 2.0}]))
    ran = joined(tmp_path, "[ab].jsonl", "key: u, on: url, duplicates: first", columns={"q": "float64"})
    assert ran.table("notes.lookup", "q").column("q").to_pylist()[:3] == [1.0, None, 6.0]
    assert counts(ran)["repeated"] == 2


@pytest.mark.parametrize("bits", [64, 3, 0])
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_whole_keys_decide_however_few_hashes_there_are(tmp_path_factory, bits, data):
    keys = data.draw(st.lists(st.text("ab\x00é", max_size=4), max_size=40))
    asked = data.draw(st.lists(st.none() | st.text("ab\x00é", max_size=4), max_size=40))
    buckets = data.draw(st.sampled_from([1, 2, 16]))
    folder = tmp_path_factory.mktemp("i")
    with pytest.MonkeyPatch.context() as patch:
        hashes = key_index._hashes
        patch.setattr(key_index, "_hashes", lambda k: hashes(k) & np.uint64(2**bits - 1))
        half = len(keys) // 2
        tables = [
            ("f", pa.table({"key": binary(cut), "c0": pa.array(range(start, start + len(cut)), pa.int64())}))
            for start, cut in ((0, keys[:half]), (half, keys[half:]))
        ]
        made = key_index.build(iter(tables), folder, files=[], first_wins=True, columns={"c": "int64"}, buckets=buckets)
        index = key_index.opened({p.name: p for p in folder.iterdir()})
        found = index.column(0, index.find(binary(asked))).to_pylist()
    first = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    assert found == [first.get(key) for key in asked]
    assert (made["annotations"], made["repeated"]) == (len(first), len(keys) - len(first))


def test_the_files_of_an_index_do_not_depend_on_how_it_was_built(tmp_path, monkeypatch):
    path = str(put_file(tmp_path / "n.jsonl", lines(NOTES)))
    made = []
    for buckets, held, rows in ((1, 1 << 26, 16384), (64, 1 << 26, 16384), (256, 1, 3)):
        monkeypatch.setattr(key_index, "_HELD_BYTES", held)
        monkeypatch.setattr(join_files, "_TABLE_ROWS", rows)
        folder = tmp_path / f"i{buckets}"
        folder.mkdir()
        tables = join_files.shaped(join_files.read([path], "u", COLUMNS), "text", "")
        key_index.build(tables, folder, files=[path], first_wins=False, columns=COLUMNS, buckets=buckets)
        made.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert made[0] == made[1] == made[2]
    assert all(made[0].values())


def test_nulls_and_empty_texts_are_told_apart(tmp_path):
    notes = [{"u": "", "t": ""}, {"u": "a", "t": None}, {"u": "b", "t": "x"}]
    index, _ = index_of(tmp_path / "i", notes, columns={"t": "string"})
    found = index.find(binary(["", "a", "b", None, "c"]))
    assert (found >= 0).tolist() == [True, True, True, False, False]
    assert index.column(0, found).to_pylist() == ["", None, "x", None, None]


def test_no_annotation_at_all_matches_nothing(tmp_path):
    index, metrics = index_of(tmp_path / "i", [], columns={"t": "string", "ok": "bool"})
    found = index.find(binary(["", "a", None]))
    assert metrics["annotations"] == 0
    assert index.column(0, found).to_pylist() == index.column(1, found).to_pylist() == [None] * 3


def test_a_nan_is_null_so_that_no_threshold_lets_it_pass(tmp_path):
    pq.write_table(pa.table({"u": ["http://x/0", "http://x/1"], "q": [float("nan"), 3.0]}), tmp_path / "n.parquet")
    ran = joined(tmp_path, "n.parquet", "key: u, on: url", columns={"q": "float64"})
    assert ran.table("notes.lookup", "q").column("q").to_pylist()[:2] == [None, 3.0]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(("key", "columns"), [("url", {}), ("u", {"qq": "float64"})])
def test_a_column_that_no_annotation_has_is_named_with_the_nearest(tmp_path, suffix, key, columns):
    path = tmp_path / f"n{suffix}"
    notes = [{"u": "a", "qq_score": 1.0}]
    put_file(path, lines(notes)) if suffix == ".jsonl" else pq.write_table(pa.Table.from_pylist(notes), path)
    with pytest.raises(ConfigError) as caught:
        list(join_files.read([str(path)], key, columns))
    assert repr(next(iter(columns), "url")) in str(caught.value)
    assert "known:" in caught.value.hint or "did you mean" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "says"),
    [(b'{"u": "a"}\n{"u": \n', "no JSON"), (b"[1]\n", "no object"), (b'{"u": 1.5}\n', "text or an integer"),
     (b'{"u": "a", "q": "high"}\n', "'q' is 'high'")],
)  # fmt: skip
def test_an_annotation_that_cannot_be_read_is_an_error(tmp_path, body, says):
    path = put_file(tmp_path / "n.jsonl", body)
    with pytest.raises(DataError, match=says) as caught:
        list(join_files.read([str(path)], "u", {"q": "float64"}))
    assert "n.jsonl#" in caught.value.where


def test_a_key_that_is_no_doc_id_is_an_error(tmp_path):
    with pytest.raises(DataError, match="'http://x/0' is not a doc_id"):
        index_of(tmp_path / "i", NOTES, keys="doc_id")


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"columns": {"q": "float"}}, "columns.q"), ({"columns": {"matched": "bool"}}, "columns.matched"),
     ({"key": ""}, "key"), ({"columns": {"a.b": "bool", "a_b": "bool"}}, "columns")],
)  # fmt: skip
def test_fields_that_cannot_work_are_refused_while_planning(fields, where):
    with pytest.raises(ConfigError) as caught:
        Join(**{"files": ("n.jsonl",), "key": "u", **fields}).validate()
    assert caught.value.where == where


def test_a_document_column_that_does_not_exist_is_refused_while_planning(tmp_path):
    put_corpus(tmp_path / "raw", DOCS, 1)
    put_file(tmp_path / "notes.jsonl", lines(NOTES))
    with pytest.raises(ConfigError, match="'ulr'") as caught:
        plan_of(RECIPE.format(files="notes.jsonl", more="key: u, on: ulr", columns="{}", id="position"), tmp_path)
    assert "'url'" in caught.value.hint


def test_the_sub_stages_keep_the_contract(tmp_path):
    rows = nasty_corpus()
    notes = [{"u": case, "q": float(i), "t": case} for i, case in enumerate(rows["case"]) if i % 2]
    index_of(tmp_path / "i", notes, columns={"q": "float64", "t": "string"})
    source = MemorySource(paths={p.name: p for p in (tmp_path / "i").iterdir()}, kind=Kind.ARTEFACT)
    ctx = Context(seed=7, work=tmp_path, refs={"index": source})
    lookup = JoinLookup(index="index", on="case", columns={"q": "float64", "t": "string"})
    assert [str(f) for f in check_operator(lookup, rows, ctx=ctx)] == []
    assert [str(f) for f in check_operator(JoinUsed(index="index", on="case"), rows, ctx=ctx)] == []
    counted = JoinUsed(index="index", on="case").resolve(
        pl.DataFrame({"key": pl.Series([3, 3, 1 << 63], dtype=pl.UInt64)}), ctx
    )
    assert counted.rows() == [(3, 2), (-1, 1)]
