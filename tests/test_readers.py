"""Readers: every record is read exactly once for any cut, and what is no document is named and counted."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, FileSlice, FoundFile, Lacks
from winnow.core.operators.config import build
from winnow.pipeline.read import Jsonl, Parquet, TextFiles
from winnow.pipeline.read.byte_stream import split_lines


def whole(path: Path, rel: str | None = None) -> FileSlice:
    return FileSlice(path=str(path), rel=rel or path.name, digest="", size=path.stat().st_size)


def cut(path: Path, points) -> list[FileSlice]:
    size = path.stat().st_size
    edges = [0, *sorted({p for p in points if 0 < p < size}), size]
    return [
        FileSlice(path=str(path), rel=path.name, digest="", size=size, start=a, stop=b)
        for a, b in itertools.pairwise(edges)
    ]


def read(reader, *pieces: FileSlice) -> tuple[list[dict], list[Bad]]:
    told: list[Bad | Lacks] = []
    rows = [row for table in reader.read(pieces, told.append) for row in table.to_pylist()]
    return rows, [one for one in told if isinstance(one, Bad)]


def jsonl(**fields) -> Jsonl:
    return build(Jsonl, {"files": ["x"], **fields}, where="docs")


def lines(path: Path, *raw: bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(b"".join(line + end for line in raw))
    return path


def doc(text: str, **more) -> bytes:
    return orjson.dumps({"text": text, **more})


def found(**sizes: int) -> list[FoundFile]:
    return [FoundFile(path=f"/in/{rel}", rel=rel, size=size) for rel, size in sizes.items()]


# -------------------- JSON Lines: bad input


BAD_LINES = {
    b'{"text": "cut of': "invalid_json",
    b"not json": "invalid_json",
    b'{"text": NaN}': "null_text",
    b'{"text": "a"} {"text": "b"}': "invalid_json",
    b'{"text": "a\x00b"}': "invalid_json",
    b"\x00\x00\x00": "invalid_json",
    b"\x0c": "invalid_json",
    b'["text"]': "not_an_object",
    b'"text"': "not_an_object",
    b"null": "not_an_object",
    b'{"body": "x"}': "missing_text",
    b"{}": "missing_text",
    b'{"text": null}': "null_text",
    b'{"text": 5}': "text_type",
    b'{"text": ["a"]}': "text_type",
    b'{"text": "caf\xe9"}': "invalid_utf8",
    b'{"text": "x\xed\xa0\x80"}': "invalid_utf8",
    b'{"text": "\\ud800"}': "lone_surrogate",
    b'{"text": "\\udc00 tail"}': "lone_surrogate",
    b'{"text": "ok", "other": "\\ud83d"}': "lone_surrogate",
}


@pytest.mark.parametrize(("line", "error"), BAD_LINES.items(), ids=lambda v: repr(v)[:30])
def test_a_bad_line_is_named_and_its_neighbours_are_unharmed(tmp_path, line, error):
    path = lines(tmp_path / "a.jsonl", doc("before"), line, doc("after"))
    rows, bad = read(jsonl(), whole(path))
    assert [r["text"] for r in rows] == ["before", "after"]
    assert [(b.origin, b.error) for b in bad] == [(f"a.jsonl#{len(doc('before')) + 1}", error)]
    assert bad[0].message


def test_all_bad_lines_at_once_are_counted_by_class(tmp_path):
    mixed = [part for line in BAD_LINES for part in (line, doc("good"))]
    rows, bad = read(jsonl(), whole(lines(tmp_path / "a.jsonl", *mixed)))
    assert len(rows) == len(BAD_LINES)
    assert Counter(b.error for b in bad) == Counter(BAD_LINES.values())


def test_a_missing_text_field_says_which_fields_there_are(tmp_path):
    _, bad = read(jsonl(), whole(lines(tmp_path / "a.jsonl", b'{"texts": "x"}')))
    assert "did you mean 'texts'?" in bad[0].message


def test_empty_text_and_escaped_nul_are_documents(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc(""), b'{"text": "a\\u0000b"}', b'{"text": "\\ud83d\\ude00"}')
    rows, bad = read(jsonl(), whole(path))
    assert [r["text"] for r in rows] == ["", "a\0b", "😀"]
    assert not bad


def test_blank_lines_a_byte_order_mark_and_a_missing_last_newline_are_no_errors(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + doc("a") + b"\n\n  \t\n\r\n" + doc("b"))
    rows, bad = read(jsonl(), whole(path))
    assert [r["text"] for r in rows] == ["a", "b"]
    assert [r["locator"] for r in rows] == ["0", str(path.stat().st_size - len(doc("b")))]
    assert not bad


def test_a_byte_order_mark_is_dropped_at_the_start_of_a_file_and_nowhere_else(tmp_path):
    mark = "\ufeff"
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        mark.encode() + doc(mark + "a") + b"\n" + mark.encode() + doc("b") + b"\n" + doc("c" + mark) + b"\n"
    )
    rows, bad = read(jsonl(), whole(path))
    assert [r["text"] for r in rows] == [mark + "a", "c" + mark]
    assert [(b.error, b.origin) for b in bad] == [
        ("invalid_json", f"a.jsonl#{len(mark.encode() + doc(mark + 'a')) + 1}")
    ]
    for text, kept in ((mark + "a" + mark + "b", "a" + mark + "b"), ("a" + mark, "a" + mark), (mark * 2, mark)):
        (tmp_path / "a.txt").write_text(text, encoding="utf-8")
        rows, bad = read(TextFiles(files=("x",)), whole(tmp_path / "a.txt"))
        assert ([r["text"] for r in rows], bad) == ([kept], [])


def test_an_empty_file_yields_nothing(tmp_path):
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst"):
        (tmp_path / name).write_bytes(b"")
        assert read(jsonl(), whole(tmp_path / name)) == ([], [])


def test_windows_line_ends_give_the_same_documents(tmp_path):
    rows, bad = read(jsonl(), whole(lines(tmp_path / "a.jsonl", doc("a"), doc("b"), end=b"\r\n")))
    assert [r["text"] for r in rows] == ["a", "b"]
    assert not bad


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e", "\r"])
def test_only_a_newline_byte_ends_a_record(tmp_path, separator):
    raw = json.dumps({"text": f"a{separator}b"}, ensure_ascii=ord(separator) < 32).encode()
    rows, bad = read(jsonl(), whole(lines(tmp_path / "a.jsonl", raw, doc("c"))))
    assert [r["text"] for r in rows] == [f"a{separator}b", "c"]
    assert not bad


def test_origin_and_locator_address_the_bytes_of_the_record(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc("first"), doc("zweite: ü"), doc("third"))
    rows, _ = read(jsonl(), whole(path, "sub/a.jsonl"))
    for row in rows:
        assert row["origin"] == f"sub/a.jsonl#{row['locator']}"
        assert row["rel"] == "sub/a.jsonl"
        line = path.read_bytes()[int(row["locator"]) :].split(b"\n")[0]
        assert orjson.loads(line)["text"] == row["text"]


# -------------------- JSON Lines: slices

RECORDS = st.lists(
    st.one_of(
        st.text(max_size=40).map(doc),
        st.sampled_from([b"", b" ", b"\r", b"garbage", b'{"text": null}', b"{"]),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, points=st.lists(st.integers(0, 400), max_size=8), final_newline=st.booleans())
def test_any_cut_reads_every_record_exactly_once(tmp_path, records, points, final_newline):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(records) + (b"\n" if final_newline else b""))
    expected = read(jsonl(), whole(path))
    pieces = [read(jsonl(), piece) for piece in cut(path, points)] if path.stat().st_size else [([], [])]
    assert [row for rows, _ in pieces for row in rows] == expected[0]
    assert [b for _, bads in pieces for b in bads] == expected[1]
    texts = [orjson.loads(r)["text"] for r in records if r.startswith(b'{"text":"')]
    assert [row["text"] for row in expected[0]] == texts


def test_every_single_cut_of_a_small_file_is_exact(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc("a"), b"", doc("b"), b"bad", doc("c"))
    expected = read(jsonl(), whole(path))
    for point in range(1, path.stat().st_size):
        left, right = (read(jsonl(), piece) for piece in cut(path, [point]))
        assert (left[0] + right[0], left[1] + right[1]) == expected


@settings(max_examples=200, deadline=None)
@given(records=RECORDS, sizes=st.lists(st.integers(1, 9), min_size=1), cap=st.integers(1, 30))
def test_lines_do_not_depend_on_the_pieces_they_come_in(records, sizes, cap):
    raw = b"\n".join(records)
    pieces, at = [], 0
    while at < len(raw):
        pieces.append(raw[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    got = list(split_lines(pieces, at=0, stop=sys.maxsize, cap=cap))
    assert got == list(split_lines([raw], at=0, stop=sys.maxsize, cap=cap))
    expected = raw.removesuffix(b"\n").split(b"\n") if raw else []
    assert [line for _, line in got] == [line if len(line) <= cap else None for line in expected]


def test_a_record_far_longer_than_the_slices_belongs_to_the_first_of_them(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc("x" * 5000), doc("b"))
    pieces = [read(jsonl(), piece)[0] for piece in cut(path, range(0, 5000, 100))]
    assert [len(rows) for rows in pieces if rows] == [1, 1]
    assert len(pieces[0]) == 1


# -------------------- JSON Lines: compression


def packed(path: Path, raw: bytes, how: str) -> Path:
    half = len(raw) // 2
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    ways = {
        "gz": lambda: gzip.compress(raw),
        "gz-members": lambda: gzip.compress(raw[:half]) + gzip.compress(b"") + gzip.compress(raw[half:]),
        "gz-padded": lambda: gzip.compress(raw[:half]) + b"\0" * 600 + gzip.compress(raw[half:]) + b"\0" * 512,
        "bz2": lambda: bz2.compress(raw, 1),
        "bz2-streams": lambda: bz2.compress(raw[:half]) + bz2.compress(b"") + bz2.compress(raw[half:]),
        "xz": lambda: lzma.compress(raw),
        "xz-streams": lambda: lzma.compress(raw[:half]) + bytes(8) + lzma.compress(raw[half:]) + bytes(4),
        "zst": lambda: zstandard.compress(raw),
        "zst-frames": lambda: zstandard.compress(raw[:half]) + skippable + zstandard.compress(raw[half:]),
        "zst-unsized": lambda: zstandard.ZstdCompressor(write_content_size=False).compress(raw),
    }
    path.write_bytes(ways[how]())
    return path


PACKINGS = [
    "gz",
    "gz-members",
    "gz-padded",
    "zst",
    "zst-frames",
    "zst-unsized",
    "bz2",
    "bz2-streams",
    "xz",
    "xz-streams",
]


@pytest.mark.parametrize("how", PACKINGS)
@pytest.mark.parametrize("count", [0, 3, 30_000])
def test_compressed_equals_plain(tmp_path, how, count):
    raw = b"".join(doc(f"text {i} {i * i}" * 3) + b"\n" for i in range(count)) + b"broken\n"
    (tmp_path / "a.jsonl").write_bytes(raw)
    path = packed(tmp_path / f"a.jsonl.{how.split('-')[0]}", raw, how)
    assert read(jsonl(), whole(path, "a.jsonl")) == read(jsonl(), whole(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("how", ["gz", "gz-members", "zst", "zst-frames", "bz2", "bz2-streams", "xz", "xz-streams"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.8, 0.999])
def test_a_truncated_stream_is_an_error_that_names_file_and_offset(tmp_path, how, share):
    path = packed(tmp_path / f"a.jsonl.{how.split('-')[0]}", _incompressible(), how)
    path.write_bytes(path.read_bytes()[: max(3, int(path.stat().st_size * share))])
    with pytest.raises(DataError, match=r"a\.jsonl\.\w+ ends inside its compressed stream, at decompressed byte \d+"):
        read(jsonl(), whole(path))


@pytest.mark.parametrize("how", ["gz", "zst", "bz2", "xz"])
def test_on_truncated_keep_gives_the_records_before_the_end_and_one_bad(tmp_path, how):
    raw = _incompressible()
    path = packed(tmp_path / f"a.jsonl.{how}", raw, how)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows, bad = read(jsonl(on_truncated="keep"), whole(path))
    expected = [orjson.loads(line)["text"] for line in raw.splitlines()]
    assert 0 < len(rows) < len(expected)
    assert [r["text"] for r in rows] == expected[: len(rows)]
    assert [b.error for b in bad] == ["truncated"]
    end = int(bad[0].origin.split("#")[1])
    whole_lines = raw[:end].count(b"\n")
    assert len(rows) in (whole_lines, whole_lines + 1)


def test_a_file_cut_exactly_between_members_is_whole(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(doc("a") + b"\n"))
    assert [r["text"] for r in read(jsonl(), whole(path))[0]] == ["a"]


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2", "xz"])
def test_corrupt_compressed_bytes_are_an_error(tmp_path, suffix):
    path = packed(tmp_path / f"a.jsonl.{suffix}", _incompressible(), suffix)
    raw = bytearray(path.read_bytes())
    raw[:4] = b"oops"
    path.write_bytes(raw)
    for reader in (jsonl(), jsonl(on_truncated="keep")):
        with pytest.raises(DataError, match="is corrupt near decompressed byte"):
            read(reader, whole(path))


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2", "xz"])
def test_a_decompression_bomb_does_not_fill_memory(tmp_path, suffix):
    path = tmp_path / f"a.jsonl.{suffix}"
    chunk = b"x" * (1 << 20)
    if suffix == "gz":
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(300):
                file.write(chunk)
    elif suffix == "zst":
        with path.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as file:
            for _ in range(300):
                file.write(chunk)
    else:  # slow to write: one line over many streams
        path.write_bytes((bz2 if suffix == "bz2" else lzma).compress(chunk * 8) * 20)
    tracemalloc.start()
    rows, bad = read(jsonl(max_record_mb=1), whole(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (rows, [b.error for b in bad]) == ([], ["too_large"])
    assert peak < 120e6


def _incompressible() -> bytes:
    import hashlib

    tokens = [hashlib.blake2b(str(i).encode(), digest_size=60).hexdigest() for i in range(4000)]
    return b"".join(doc(t) + b"\n" for t in tokens)


# -------------------- JSON Lines: sizes, fields


def test_a_single_line_of_50_mb_is_a_document(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc("a"), doc("y" * 50_000_000), doc("b"))
    rows, bad = read(jsonl(), whole(path))
    assert [len(r["text"]) for r in rows] == [1, 50_000_000, 1]
    assert not bad


def test_a_record_above_the_cap_is_quarantined_and_reading_goes_on(tmp_path):
    path = lines(tmp_path / "a.jsonl", doc("a"), doc("y" * 3_000_000), doc("b"))
    rows, bad = read(jsonl(max_record_mb=1), whole(path))
    assert [r["text"] for r in rows] == ["a", "b"]
    assert [(b.origin, b.error) for b in bad] == [(f"a.jsonl#{len(doc('a')) + 1}", "too_large")]


def test_tables_are_of_bounded_size(tmp_path):
    path = lines(tmp_path / "a.jsonl", *[doc("z" * 100_000)] * 200)
    tables = list(jsonl().read([whole(path)], print))
    assert sum(t.num_rows for t in tables) == 200
    assert max(t.nbytes for t in tables) < 5_000_000


def test_extra_columns_keep_their_declared_types(tmp_path):
    record = {"meta": {"lang": "de", "n": 3}, "score": 1, "ok": True, "tags": ["a", {"b": 1}], "a.b": "flat"}
    path = lines(tmp_path / "a.jsonl", doc("x", **record), doc("y"))
    columns = {"meta.lang": "string", "meta.n": "int64", "score": "float64", "ok": "bool", "tags": "string"}
    reader = jsonl(columns={**columns, "a.b": "string", "score.deep": "string"})
    (table,) = reader.read([whole(path)], print)
    assert {n: table.schema.field(n).type for n in reader.outputs()} == dict(reader.outputs())
    first, second = table.select(list(reader.outputs())).to_pylist()
    assert list(first.values()) == ["de", 3, 1.0, True, '["a",{"b":1}]', "flat", None]
    assert set(second.values()) == {None}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int64", 1.0), ("int64", "1"), ("int64", True), ("int64", 2**63), ("float64", "1"), ("float64", False),
     ("bool", 1), ("bool", "true")],
)  # fmt: skip
def test_a_value_of_another_type_makes_a_bad_record(tmp_path, kind, value):
    path = lines(tmp_path / "a.jsonl", doc("x", v=value), doc("y"))
    rows, bad = read(jsonl(columns={"v": kind}), whole(path))
    assert [r["text"] for r in rows] == ["y"]
    assert [b.error for b in bad] == ["column_type"]
    assert "'v' is a" in bad[0].message


def test_an_id_field_gives_ids_as_text_and_a_missing_one_is_bad(tmp_path):
    raw = [doc("a", meta={"id": "x1"}), doc("b", meta={"id": 7}), doc("c", meta={"id": None}), doc("d"),
           doc("e", meta={"id": ""})]  # fmt: skip
    rows, bad = read(jsonl(id="field:meta.id"), whole(lines(tmp_path / "a.jsonl", *raw)))
    assert [(r["text"], r["_id"]) for r in rows] == [("a", "x1"), ("b", "7")]
    assert [b.error for b in bad] == ["missing_id"] * 3


def test_the_text_may_lie_inside_an_object(tmp_path):
    rows, _ = read(jsonl(text_field="doc.body"), whole(lines(tmp_path / "a.jsonl", b'{"doc": {"body": "x"}}')))
    assert rows[0]["text"] == "x"


def test_several_files_of_a_unit_keep_their_own_paths(tmp_path):
    one, two = (lines(tmp_path / n, doc(n), doc(n)) for n in ("1.jsonl", "2.jsonl"))
    rows, _ = read(jsonl(), whole(one), whole(two))
    assert [r["rel"] for r in rows] == [r["text"] for r in rows] == ["1.jsonl"] * 2 + ["2.jsonl"] * 2


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"id": "postion"}, "docs.id"),
        ({"id": "field:"}, "docs.id"),
        ({"columns": {"a": "int"}}, "docs.columns.a"),
        ({"columns": {"text": "string"}}, "docs.columns.text"),
        ({"columns": {"_row": "string"}}, "docs.columns._row"),
        ({"columns": {"a.b": "string", "a_b": "string"}}, "docs.columns"),
        ({"max_record_mb": 0}, "docs.max_record_mb"),
        ({"text_field": ""}, "docs.text_field"),
        ({"on_truncated": "skip"}, "docs.on_truncated"),
    ],
)
@pytest.mark.parametrize("cls", [Jsonl, Parquet])
def test_fields_that_cannot_work_are_refused_before_running(cls, fields, where):
    with pytest.raises(ConfigError) as caught:
        build(cls, {"files": "x", **fields}, where="docs")
    assert caught.value.where == where
    assert caught.value.hint


def test_unreadable_files_are_errors_that_name_them(tmp_path):
    gone = FileSlice(path=str(tmp_path / "gone.jsonl"), rel="gone.jsonl", digest="", size=4)
    folder = FileSlice(path=str(tmp_path), rel="folder", digest="", size=4)
    for reader in (jsonl(), Parquet(files=("x",)), TextFiles(files=("x",))):
        for piece in (gone, folder):
            with pytest.raises(DataError, match="cannot read") as caught:
                read(reader, piece)
            assert caught.value.where == piece.rel


def test_a_file_that_changed_since_it_was_listed_is_an_error(tmp_path):
    piece = whole(lines(tmp_path / "a.jsonl", doc("a")))
    lines(tmp_path / "a.jsonl", doc("a"), doc("b"))
    with pytest.raises(DataError, match="when it was listed"):
        read(jsonl(), piece)


def test_compressions_that_cannot_be_read_are_refused_while_planning():
    with pytest.raises(ConfigError, match=r"b\.jsonl\.zip"):
        jsonl().choose(found(**{"a.jsonl": 1, "b.jsonl.zip": 1}))


@pytest.mark.parametrize("cls", [Jsonl, Parquet, TextFiles])
def test_two_files_with_one_relative_path_are_an_error_that_names_both(cls):
    twins = [FoundFile(path="/a/x", rel="x", size=1), FoundFile(path="/b/x", rel="x", size=1)]
    with pytest.raises(ConfigError, match="/a/x and /b/x"):
        cls(files=("x",)).choose(twins)


# -------------------- Parquet


def parquet_file(path: Path, table: pa.Table, **options) -> Path:
    pq.write_table(table, path, **options)
    return path


def sample(rows: int) -> pa.Table:
    return pa.table({
        "text": [f"document {i} " * (i % 40) for i in range(rows)],
        "n": pa.array(range(rows), pa.int32()),
        "meta": [{"lang": "en" if i % 2 else "de"} for i in range(rows)],
    })  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    group=st.integers(1, 60),
    points=st.lists(st.integers(0, 40_000), max_size=8),
    dictionary=st.booleans(),
)
def test_any_cut_of_a_parquet_file_reads_every_row_once(tmp_path, group, points, dictionary):
    table = sample(200)
    path = parquet_file(tmp_path / "a.parquet", table, row_group_size=group, use_dictionary=dictionary)
    reader = build(Parquet, {"files": "x", "columns": {"n": "int64", "meta.lang": "string"}}, where="docs")
    pieces = [read(reader, piece) for piece in cut(path, points)]
    rows = [row for rows, _ in pieces for row in rows]
    assert [r["text"] for r in rows] == table["text"].to_pylist()
    assert [r["n"] for r in rows] == list(range(200))
    assert [r["meta_lang"] for r in rows] == [m["lang"] for m in table["meta"].to_pylist()]
    assert [r["locator"] for r in rows] == [f"{i // group}:{i % group}" for i in range(200)]
    assert all(r["origin"] == f"a.parquet#{r['locator']}" for r in rows)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_every_kind_of_string_comes_out_as_large_string(tmp_path, kind):
    text = pa.array(["a", "ü", None, "a"], pa.string())
    text = text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind)
    path = parquet_file(tmp_path / "a.parquet", pa.table({"text": text}))
    bad: list[Bad] = []
    (table,) = Parquet(files=("x",)).read([whole(path)], bad.append)
    assert table.schema.field("text").type == pa.large_string()
    assert table["text"].to_pylist() == ["a", "ü", "a"]
    assert table["locator"].to_pylist() == ["0:0", "0:1", "0:3"]
    assert [(b.origin, b.error) for b in bad] == [("a.parquet#0:2", "null_text")]


def test_text_in_parquet_that_is_no_utf8_is_quarantined(tmp_path):
    offsets, data = pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0])), pa.py_buffer(b"ok\xff\xfe")
    sneaky = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    path = parquet_file(tmp_path / "a.parquet", pa.table({"text": sneaky}))
    rows, bad = read(Parquet(files=("x",)), whole(path))
    assert [r["text"] for r in rows] == ["ok"]
    assert [(b.origin, b.error) for b in bad] == [("a.parquet#0:1", "invalid_utf8")]


def test_ids_and_columns_of_parquet_are_checked_row_by_row(tmp_path):
    table = pa.table({
        "text": ["a", "b", "c", "d"],
        "key": pa.array([1, None, 3, 4]),
        "big": pa.array([1, 2, 2**63, None], pa.uint64()),
        "list": [[1], [], None, [2, 3]],
    })  # fmt: skip
    path = parquet_file(tmp_path / "a.parquet", table)
    fields = {"files": "x", "id": "field:key", "columns": {"big": "int64", "list": "string"}}
    rows, bad = read(build(Parquet, fields, where="docs"), whole(path))
    assert [(r["_id"], r["big"], r["list"]) for r in rows] == [("1", 1, "[1]"), ("4", None, "[2,3]")]
    assert [(b.origin, b.error) for b in bad] == [
        ("a.parquet#0:1", "missing_id"),
        ("a.parquet#0:2", "column_type"),
    ]


def test_a_missing_parquet_column_names_those_there_are(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", sample(2))
    with pytest.raises(DataError, match=r"no column 'txet' \(it has: text, n, meta\)") as caught:
        read(Parquet(files=("x",), text_field="txet"), whole(path))
    assert caught.value.hint == "did you mean 'text'?"
    with pytest.raises(DataError, match="no column 'body'") as caught:
        read(Parquet(files=("x",), text_field="body"), whole(path))
    assert caught.value.hint.startswith("`text_field:`")


def test_a_parquet_column_of_another_type_is_an_error(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", sample(2))
    for fields in ({"text_field": "n"}, {"columns": {"text": "int64"}}, {"columns": {"meta": "bool"}}):
        with pytest.raises(DataError, match=", declared"):
            read(Parquet(files=("x",), **fields), whole(path))


def test_a_corrupt_parquet_file_is_an_error(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", sample(500), write_page_checksum=True)
    good = path.read_bytes()
    for wrong in (b"PAR1 nothing", good[: len(good) // 2], good[:60] + b"\x55" * 40 + good[100:]):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="corrupt"):
            read(Parquet(files=("x",)), whole(path))


def test_one_large_row_group_comes_in_bounded_tables(tmp_path):
    plain = pa.table({"text": [f"{i:08d}" * 250 for i in range(15_000)]})
    folded = pa.table({"text": ["same" * 2500] * 15_000})  # one dictionary entry: a small page, large texts
    for table, most in ((plain, 10e6), (folded, 30e6)):
        path = parquet_file(tmp_path / "a.parquet", table, row_group_size=15_000)
        tables = list(Parquet(files=("x",)).read([whole(path)], print))
        locators = [x for t in tables for x in t["locator"].to_pylist()]
        assert locators == [f"0:{i}" for i in range(15_000)]
        assert pa.concat_tables(tables)["text"].to_pylist() == table["text"].to_pylist()
        assert max(t.nbytes for t in tables) < most


def test_a_cut_where_a_row_group_begins_gives_it_to_the_right_side_only(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", sample(90), row_group_size=30)
    groups = [pq.read_metadata(path).row_group(i).column(0) for i in range(3)]
    points = [g.dictionary_page_offset or g.data_page_offset for g in groups]
    pieces = [read(Parquet(files=("x",)), piece)[0] for piece in cut(path, points)]
    assert [len(rows) for rows in pieces] == [0, 30, 30, 30]


def test_a_flipped_bit_in_a_checksummed_page_is_an_error(tmp_path):
    options = {
        "write_page_checksum": True,
        "compression": "none",
        "use_dictionary": False,
        "write_statistics": False,
    }
    path = parquet_file(tmp_path / "a.parquet", pa.table({"text": ["needle" * 50]}), **options)
    path.write_bytes(path.read_bytes().replace(b"needle" * 50, b"needle" * 49 + b"nEedle", 1))
    with pytest.raises(DataError, match="corrupt"):
        read(Parquet(files=("x",)), whole(path))


# -------------------- text files


def test_each_text_file_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_bytes("eins\r\nzwei ü".encode())
    (tmp_path / "b.txt").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbfmark")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    pieces = [whole(p) for p in sorted(tmp_path.iterdir())]
    rows, bad = read(TextFiles(files=("x",)), *pieces)
    assert [(r["origin"], r["locator"], r["text"]) for r in rows] == [
        ("a.txt", "", "eins\r\nzwei ü"),
        ("b.txt", "", ""),
        ("c.txt", "", "mark"),
    ]
    assert [(b.origin, b.error) for b in bad] == [("d.txt", "invalid_text")]
    replaced, bad = read(TextFiles(files=("x",), errors="replace"), pieces[3])
    assert (replaced[0]["text"], bad) == ("caf\ufffd", [])
    assert read(TextFiles(files=("x",), encoding="latin-1"), pieces[3])[0][0]["text"] == "café"


def test_a_text_file_above_the_cap_is_quarantined(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * 1_000_001)
    rows, bad = read(TextFiles(files=("x",), max_record_mb=1), whole(tmp_path / "a.txt"))
    assert (rows, bad[0].error) == ([], "too_large")


def test_excluded_files_are_matched_by_path_or_by_any_part_of_it():
    files = found(**{"lib/tests/a.py": 9, "lib/a.py": 9, "lib/b.so": 9, "pydoc/x/c.py": 9, "tests.py": 9})
    reader = TextFiles(files=("x",), exclude=("tests", "*.so", "pydoc/*"))
    assert [f.rel for f in reader.choose(files)] == ["lib/a.py", "tests.py"]


def test_sizes_outside_the_range_are_left_out():
    files = found(a=1, b=2, c=3, d=4)
    assert [f.rel for f in TextFiles(files=("x",), min_bytes=2, max_bytes=3).choose(files)] == ["b", "c"]


FILES = st.dictionaries(st.text("abcdef/.", min_size=1, max_size=8), st.integers(0, 50), min_size=1, max_size=40)


@settings(deadline=None)
@given(files=FILES, new=st.text("ghi", min_size=1, max_size=8), size=st.integers(0, 50))
def test_a_limited_choice_is_stable_when_a_file_is_added(files, new, size):
    reader = TextFiles(files=("x",), limit="400B", first=("a*",))
    before = {f.rel for f in reader.choose(found(**files))}
    after = {f.rel for f in reader.choose(found(**files, **{new: size}))}
    assert sum(files[rel] for rel in before) <= 400
    assert after - before <= {new}
    if new not in after:
        assert after <= before
    lost = before - after
    assert sum(files[rel] for rel in lost) <= size + 50 or not lost


def test_a_limited_choice_ignores_the_order_of_the_listing_and_prefers_first():
    files = found(**{f"d/{i}.py": 10 for i in range(50)}, **{f"d/{i}.md": 10 for i in range(5)})
    reader = TextFiles(files=("x",), limit="0.2 kB", first=("*.md",))
    chosen = reader.choose(files)
    assert chosen == reader.choose(files[::-1])
    assert len(chosen) == 20
    assert sum(f.rel.endswith(".md") for f in chosen) == 5
    names = [f.rel for f in chosen if f.rel.endswith(".py")]
    assert names != sorted(f.rel for f in files if f.rel.endswith(".py"))[:15]


def test_a_choice_that_leaves_nothing_is_an_error():
    with pytest.raises(ConfigError, match="no file is left: 2 found, 1 excluded by name, 1 by size"):
        TextFiles(files=("x",), exclude=("a",), min_bytes=9).choose(found(a=1, b=2))


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"id": "field:x"}, "id"), ({"limit": "50 apples"}, "limit"), ({"encoding": "utf-9"}, "encoding"),
     ({"encoding": "hex"}, "encoding"), ({"min_bytes": 5, "max_bytes": 4}, "max_bytes")],
)  # fmt: skip
def test_text_file_fields_that_cannot_work_are_refused(fields, where):
    with pytest.raises(ConfigError) as caught:
        build(TextFiles, {"files": "x", **fields}, where="docs")
    assert caught.value.where == f"docs.{where}"


def test_importing_the_readers_loads_nothing_heavy():
    code = (
        "import sys, winnow.pipeline.read;"
        "print([m for m in ('torch', 'ray', 'numba', 'zstandard', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
