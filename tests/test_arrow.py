"""Arrow IPC: every batch is read once in any cut, files and streams alike, and what is damaged never reaches a value."""

import itertools
import random

import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from support import run

from winnow.core.errors import DataError
from winnow.core.operators import Bad, FileSlice, Lacks
from winnow.core.operators.config import build
from winnow.pipeline.read.arrow import Arrow

TOPICS = pa.array(["news", "code", None, "news"] * 5).dictionary_encode()
TABLE = pa.table({
    "text": [f"the text of document {i}" for i in range(20)], "topic": TOPICS, "n": range(20),
    "meta": [{"lang": "en", "ü": i} for i in range(20)],
})  # fmt: skip


def stream(table, rows=3, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue().to_pybytes()


def file(table, rows=3, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue().to_pybytes()


def packed(table):
    sink = pa.BufferOutputStream()
    feather.write_feather(table, sink, compression="zstd", chunksize=3)
    return sink.getvalue().to_pybytes()


def legacy(table):
    return stream(table, options=pa.ipc.IpcWriteOptions(use_legacy_format=True))


def growing(table):
    """A stream whose dictionary is replaced and grows."""
    tables = [table.set_column(1, "topic", pa.array(names * 5).dictionary_encode())
              for names in (["a", "b", "a", None], ["a", "b", "c", "d"], ["x", "y", "x", "y"])]  # fmt: skip
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
        for one in tables:
            writer.write_table(one)
    return sink.getvalue().to_pybytes()


FORMS = {"stream": stream, "file": file, "packed": packed, "legacy": legacy, "growing": growing}


def told(path, cuts=(), **fields):
    """(rows, what was told) over the slices that the cuts make."""
    out, rows, size = [], [], path.stat().st_size
    reader = build(Arrow, {"files": ["x"], **fields}, where="docs")
    edges = [0, *sorted(cuts), size]
    for start, stop in itertools.pairwise(edges) if cuts else [(0, -1)]:
        piece = FileSlice(path=str(path), rel=path.name, digest="", size=size, start=start, stop=stop)
        rows += [row for table in reader.read([piece], out.append) for row in table.to_pylist()]
    return rows, out


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_as_a_library_reads_it_in_any_cut(tmp_path, form):
    raw = FORMS[form](TABLE)
    path = tmp_path / "a.arrow"
    path.write_bytes(raw)
    opened = pa.ipc.open_file(raw) if raw.startswith(b"ARROW1") else pa.ipc.open_stream(raw)
    want = opened.read_all().to_pylist()
    fields = {"columns": {"topic": "string", "n": "int64", "meta.lang": "string"}}
    rows, out = told(path, **fields)
    assert not out
    assert [(r["text"], r["topic"], r["n"], r["meta_lang"]) for r in rows] == [
        (w["text"], w["topic"], w["n"], "en") for w in want
    ]
    assert len({r["locator"] for r in rows}) == len(rows)
    r = random.Random(form)
    for _ in range(12):
        assert told(path, r.sample(range(1, len(raw)), 4), **fields) == (rows, [])


def test_rows_that_are_no_documents_are_put_aside_by_batch_and_row(tmp_path):
    broken = pa.array([b"a", b"\xff", None, b"d"]).view(pa.string())
    path = tmp_path / "a.arrows"
    path.write_bytes(stream(pa.table({"text": broken, "data": pa.array([{"t": "x"}] * 4)}), rows=2))
    rows, out = told(path, columns={"lang": "string"})
    assert [row["text"] for row in rows] == ["a", "d"]
    assert [(o.origin, o.error) for o in out if isinstance(o, Bad)] == [
        ("a.arrows#0:1", "invalid_utf8"), ("a.arrows#1:0", "null_text"),
    ]  # fmt: skip
    assert [o for o in out if isinstance(o, Lacks)] == [Lacks(column="lang", records=1, names=("text", "data"))] * 2
    assert [row["text"] for row in told(path, text_field="data.t")[0]] == ["x"] * 4


def test_a_stream_without_its_end_says_so_and_one_within_a_message_is_refused(tmp_path):
    raw, path = stream(TABLE), tmp_path / "a.arrow"
    path.write_bytes(raw[:-8])
    for cuts in ((), (300, 900)):
        rows, out = told(path, cuts)
        assert (len(rows), [(o.origin, o.error) for o in out]) == (20, [(f"a.arrow#{len(raw) - 8}", "truncated")])
    for data, what in ((raw[:-40], "ends within the message"), (file(TABLE)[:-3], "ends without a footer"),
                       (b"", "does not begin with a schema"), (b"text,n\n1,2\n" * 9, "no message can be read"),
                       (raw[:-8] + raw, "a second schema")):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"is corrupt or no Arrow file: .*{what}") as refused:
            told(path)
        assert refused.value.hint
    path.write_bytes(b"FEA1" + bytes(40))
    with pytest.raises(DataError, match="no Arrow file but a Feather file of version 1"):
        told(path)


@pytest.mark.parametrize("form", ["stream", "packed"])
def test_bytes_turned_over_give_rows_or_an_error_and_nothing_else(tmp_path, form):
    raw, path = FORMS[form](TABLE.slice(0, 8)), tmp_path / "a.arrow"
    r, refused = random.Random(1), 0
    for _ in range(150):
        data = bytearray(raw)
        for _ in range(r.randrange(1, 4)):
            data[r.randrange(len(data))] = r.choice([0, 1, 127, 128, 255, r.randrange(256)])
        path.write_bytes(data)
        try:
            told(path, columns={"topic": "string", "n": "int64", "meta.lang": "string"})
        except DataError:
            refused += 1
    assert refused > 20


def test_offsets_that_lead_out_of_a_column_are_refused(tmp_path):
    ends = b"".join(i.to_bytes(4, "little") for i in (0, 5, 6))
    words = pa.array(["hello", "x"])
    for column, field in ((words, "text"), (pa.StructArray.from_arrays([words], names=["t"]), "text.t")):
        for raw in (stream(pa.table({"text": column})), file(pa.table({"text": column}))):
            assert raw.count(ends) == 1
            (tmp_path / "a.arrow").write_bytes(raw.replace(ends, ends[:8] + (2_000_000).to_bytes(4, "little")))
            with pytest.raises(DataError, match="corrupt or no Arrow file"):
                told(tmp_path / "a.arrow", text_field=field)
    codes = pa.array(["a", "b"]).dictionary_encode()
    raw = stream(pa.table({"text": codes}))
    last = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    at = raw.rindex(last)
    (tmp_path / "a.arrow").write_bytes(raw[: at + 4] + b"\x63" + raw[at + 5 :])
    with pytest.raises(DataError, match="an index is outside of its dictionary"):
        told(tmp_path / "a.arrow")


def test_a_saved_folder_is_read_the_same_in_any_layout(tmp_path):
    saved = tmp_path / "saved" / "train"
    saved.mkdir(parents=True)
    (saved / "dataset_info.json").write_text("{}")
    for number in range(2):
        (saved / f"data-{number:05d}-of-00002.arrow").write_bytes(stream(TABLE.slice(10 * number, 10)))
    recipe = "stages:\n  docs: {use: arrow, files: saved/train, columns: {n: int64}}\n"
    one, many = run(recipe, tmp_path, tmp_path / "one"), run(recipe, tmp_path, tmp_path / "many", part_bytes=600)
    assert one.digests == many.digests
    assert sorted(one.table("docs", "n").column("n").to_pylist()) == list(range(20))
    assert any("dataset_info.json" in line for line in one.plan.node("docs").told)


def test_what_polars_writes_is_read(tmp_path):
    frame = pl.DataFrame({"text": ["a", "b"], "kind": pl.Series(["x", None], dtype=pl.Categorical), "s": [1.5, None]})
    frame.write_ipc(tmp_path / "a.ipc", compression="lz4")
    rows, out = told(tmp_path / "a.ipc", columns={"kind": "string", "s": "float64"})
    assert ([(r["text"], r["kind"], r["s"]) for r in rows], out) == ([("a", "x", 1.5), ("b", None, None)], [])
