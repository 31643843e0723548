"""JSON documents that hold one array: the documents that JSON Lines of the same records give, and what is bad by its byte."""

import bz2
import gzip
import json
import lzma
import random
import tracemalloc

import numpy as np
import pytest
import zstandard
from support import plan_of, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, FileSlice, Lacks
from winnow.core.operators.config import build
from winnow.dags.before.estimate import estimate
from winnow.pipeline.read import json_array_blocks
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.json_array import JsonArray
from winnow.pipeline.read.json_array_kernels import split
from winnow.pipeline.read.jsonl import Jsonl

PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
COLUMNS = {"n": "int64", "meta": "string"}
NESTED = {"columns": {"meta.lang": "string"}}


def told(folder, raw, name="a.json", reader=JsonArray, **fields):
    """(rows, what was told)."""
    path = folder / name
    path.write_bytes(raw)
    out = []
    made = build(reader, {"files": ["x"], **fields}, where="docs")
    piece = FileSlice(path=str(path), rel=name, digest="", size=len(raw))
    return [row for table in made.read([piece], out.append) for row in table.to_pylist()], out


def read(folder, raw, **fields):
    """(texts, (offset, error) of what is bad)."""
    rows, out = told(folder, raw, **fields)
    return [row["text"] for row in rows], [(int(b.origin.split("#")[1]), b.error) for b in out if isinstance(b, Bad)]


def in_pieces(monkeypatch, size):
    """Files come in pieces of so many bytes."""
    whole = ByteStream.pieces

    def pieces(self):
        for piece in whole(self):
            yield from (piece[at : at + size] for at in range(0, len(piece), size))

    monkeypatch.setattr(ByteStream, "pieces", pieces)


# -------------------- cutting


def cut_slowly(data):
    """(bytes as `split` leaves them, where it ends, the last comma between elements) one byte after the other."""
    out, depth, inside, escaped, after = bytearray(data), 0, False, False, -1
    for at, byte in enumerate(data):
        if byte == 10:
            out[at] = 11 if inside else 32
        quoted, escaped = escaped, byte == 92 and not escaped
        if byte == 34:
            inside = inside if quoted else not inside
        elif not inside and byte in b"[{":
            depth += 1
        elif not inside and byte in b"]}":
            if not depth:
                return bytes(out), at, after
            depth -= 1
        elif not inside and byte == 44 and not depth:
            out[at], after = 10, at + 1
    return bytes(out), len(data), after


def test_elements_end_where_a_slow_reading_says_whatever_pieces_they_come_in():
    r = random.Random(1)
    for number in range(400):
        marks = b'\\\\\\"x' if number % 4 == 0 else b'"\\[]{},, \nxy\xc3\xa9'
        data = bytes(r.choices(marks, k=r.choice([3, 63, 64, 65, 127, 128, 129, 300])))
        if number % 3:
            data = data.replace(b"]", b"[").replace(b"}", b"{")  # else the array ends early
        want, end, last = cut_slowly(data)
        for step in (1, 7, 64, 65, len(data)):
            raw = np.frombuffer(bytearray(data + bytes(64)), dtype=np.uint8)
            state, at, after = np.zeros(3, dtype=np.int64), 0, -1
            while at < len(data):
                stop = min(at + step, len(data))
                at, found = split(raw, at, stop, state)
                after = max(after, found)
                if at < stop:
                    break
            assert (at, after) == (end, last), (data, step)
            assert bytes(raw[:end]) == want[:end], (data, step)


# -------------------- the same documents as JSON Lines


RECORDS = [
    {"text": "plain", "n": 1, "meta": {"lang": "en"}}, {"text": 'quotes " \\ \\" , ] } [ {', "n": None},
    {"text": "line\nends\r\n\u2028", "meta": [1, {"a": "]"}]}, {"text": ""}, {"text": "\u0000 é 😀", "n": -3},
    {"n": 1}, {"text": 5}, {"text": None}, [1, [2]], "text, text", 7.5, None, True, {"text": "x", "n": "no number"},
    {"text": "NaN", "n": float("nan")}, {"text": "deep", "meta": json.loads("[" * 300 + "]" * 300)}, {},
    {"text": "long " * 3000, "n": 2}, {"text": "\\" * 200}, {"text": '"' * 131},
]  # fmt: skip
FORMS = {
    "compact": lambda records: json.dumps(records, separators=(",", ":")),
    "usual": lambda records: json.dumps(records, ensure_ascii=False),
    "indented": lambda records: json.dumps(records, indent=3),
    "a line each": lambda records: "[\n" + ",\r\n".join(map(json.dumps, records)) + "\n]\n",
    "inside": lambda records: json.dumps({"n": [1, "]"], "data": {"of": {"a": 1}, "items": records}, "end": "x"}),
}


def found_in(rows_and_told):
    """What does not hang on where a record lies."""
    rows, out = rows_and_told
    texts = [{k: v for k, v in row.items() if k not in ("origin", "locator", "rel")} for row in rows]
    said = [(b.error, b.message.replace("the element", "the line")) if isinstance(b, Bad) else b for b in out]
    return texts, said


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("columns", [COLUMNS, NESTED["columns"]], ids=["flat", "nested"])
def test_an_array_gives_what_the_lines_of_its_records_give(tmp_path, monkeypatch, form, columns):
    many = RECORDS + RECORDS[:5] * 40 + RECORDS
    lines = "".join(json.dumps(record) + "\n" for record in many).encode()
    want = found_in(told(tmp_path, lines, "a.jsonl", Jsonl, columns=columns))
    assert len(want[0]) > 200
    assert len(want[1]) > 15
    raw = FORMS[form](many).encode()
    more = {"items": "data.items"} if form == "inside" else {}
    whole = told(tmp_path, raw, columns=columns, **more)
    if form != "indented":  # where messages count the bytes of a record
        assert found_in(whole) == want
    assert found_in(whole)[0] == want[0]
    for row in whole[0]:
        assert raw[int(row["locator"]) :].startswith(b"{")
        assert row["origin"] == f"a.json#{row['locator']}"
    monkeypatch.setattr(json_array_blocks, "_LEAST", 1)
    for size in (977, 64):
        in_pieces(monkeypatch, size)
        assert told(tmp_path, raw, columns=columns, **more) == whole
        monkeypatch.undo()


def test_every_byte_may_be_where_a_piece_ends(tmp_path, monkeypatch):
    raw = b'\xef\xbb\xbf {"a\\"": [{"b": "]\\\\"}, 1], "d" : "\\\\\\"", "data.x": {"items": [{"text": "\xc3\xa9, [" } ,\n5, {"text":"c"}\t]}, "z": -1e5}\n '
    whole = told(tmp_path, raw, items="data.x.items")
    assert [row["text"] for row in whole[0]] == ["\u00e9, [", "c"]
    for size in (1, 2, 3, 5):
        in_pieces(monkeypatch, size)
        assert told(tmp_path, raw, items="data.x.items") == whole
        monkeypatch.undo()


@pytest.mark.parametrize("suffix", PACKED)
def test_packed_files_and_those_cut_off(tmp_path, suffix):
    records = [{"text": f"record {n * n}"} for n in range(2000)]
    raw = json.dumps(records).encode()
    packed = PACKED[suffix](raw)
    assert read(tmp_path, packed, name=f"a.json{suffix}") == ([r["text"] for r in records], [])
    cut = packed[: len(packed) * 2 // 3]
    with pytest.raises(DataError, match=r"ends (within its document|inside its compressed stream)") as refused:
        read(tmp_path, cut, name=f"a.json{suffix}")
    assert "on_truncated: keep" in refused.value.hint
    texts, bad = read(tmp_path, cut, name=f"a.json{suffix}", on_truncated="keep")
    assert texts == [r["text"] for r in records[: len(texts)]]
    assert suffix in (".bz2", ".zst", ".xz") or len(texts) > 500  # of these the last block is lost
    assert [error for _, error in bad] == ["truncated"]


def test_a_document_cut_at_any_byte_is_an_error_or_what_was_there(tmp_path):
    raw = b'{"a": {"b": "c\\""}, "items": [{"text": "one"}, {"text": "two"}, 3], "z": [{}]}'
    for at in range(1, len(raw)):
        with pytest.raises(DataError, match="ends within its document"):
            told(tmp_path, raw[:at], items="items")
        texts, bad = read(tmp_path, raw[:at], items="items", on_truncated="keep")
        assert texts == ["one"] * (at > raw.index(b'"}, {"t') + 1) + ["two"] * (at > raw.index(b'"}, 3') + 1)
        assert bad[-1] == (at, "truncated")
        assert len(bad) == 1 + (at > raw.index(b"3]") + 1)


# -------------------- bad elements


def test_bad_elements_are_put_aside_by_their_byte_and_reason(tmp_path):
    raw = b'[,{"text": "a"},, {"text": "x\ny"}, {"text": "\xff"},{"text": "\\ud800"}, [{"text": "b"}], {"text": 1} {"text": "c"},x, {"text": "d"},\n]'
    texts, bad = read(tmp_path, raw)
    assert texts == ["a", "d"]
    assert [(raw[at : at + 11], error) for at, error in bad] == [
        (b',{"text": "', "invalid_json"), (b', {"text": ', "invalid_json"), (b'{"text": "x', "invalid_json"),
        (b'{"text": "\xff', "invalid_utf8"), (b'{"text": "\\', "lone_surrogate"), (b'[{"text": "', "not_an_object"),
        (b'{"text": 1}', "invalid_json"), (b'x, {"text":', "invalid_json"), (b"]", "invalid_json"),
    ]  # fmt: skip


def test_white_space_around_an_element_is_none_of_it(tmp_path):
    for fields in ({}, NESTED):
        rows, out = told(tmp_path, b'[ \t\r\n{"text": "a"}\t\r ,\t{"text": 1 2}\r\n\t]', **fields)
        assert [row["locator"] for row in rows] == ["5"]
        assert (out[0].origin, out[0].message[-12:]) == ("a.json#23", " of 13 bytes")


def test_elements_above_the_limit_are_never_held(tmp_path, monkeypatch):
    long = b'{"text": "' + b"x, " * 1_100_000 + b'"}'
    raw = b'[{"text": "a"},\n ' + long + b' , {"text": "b"}, ' + long + b"]"
    for size in (1 << 20, 100_000):
        in_pieces(monkeypatch, size)
        assert read(tmp_path, raw, max_record_mb=1) == (
            ["a", "b"],
            [(17, "too_large"), (raw.rindex(b'{"text": "x'), "too_large")],
        )
        monkeypatch.undo()
    for columns in (COLUMNS, NESTED["columns"]):
        whole = read(
            tmp_path, gzip.compress(raw, mtime=0), name="a.json.gz", max_record_mb=1, columns=columns
        )  # in one piece
        assert whole == (["a", "b"], [(17, "too_large"), (raw.rindex(long), "too_large")])
    assert read(tmp_path, raw[:-1], max_record_mb=1, on_truncated="keep")[0] == ["a", "b"]
    with pytest.raises(DataError, match=f"what begins at byte {raw.rindex(long):,} does not end"):
        read(tmp_path, raw[:-1], max_record_mb=1)


@pytest.mark.parametrize("suffix", PACKED)
def test_memory_is_bounded_whatever_a_file_holds(tmp_path, suffix):
    """One element that never ends, behind a value that is passed by."""
    path = tmp_path / f"a.json{suffix}"
    chunk = b"x" * (1 << 20)
    head, body = b'{"a": "' + b"y" * (8 << 20) + b'", "items": [{"text": "', chunk * 8
    if suffix in (".gz", ".zst", ""):
        path.write_bytes(PACKED[suffix](head + chunk * 120))
    else:  # slow to write
        path.write_bytes(PACKED[suffix](head) + PACKED[suffix](body) * 12)
    made = build(JsonArray, {"files": ["x"], "items": "items", "max_record_mb": 1}, where="docs")
    piece = FileSlice(path=str(path), rel="a", digest="", size=path.stat().st_size)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="does not end"):
            list(made.read([piece], print))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 110e6


def test_nesting_without_end_is_a_bad_element_and_no_end(tmp_path):
    deep = b"[" * 200_000 + b"]" * 200_000
    raw = b'{"a": ' + deep + b', "items": [{"text": "a"}, {"text": "b", "n": ' + deep + b'}, {"text": "c"}]}'
    assert read(tmp_path, raw, items="items") == (["a", "c"], [(raw.index(b'{"text": "b"'), "invalid_json")])


# -------------------- what is no such document


@pytest.mark.parametrize(("raw", "items", "message", "hint"), [
    (b'{"a": 1, "b": [1], "c": {"d": []}}', "", "it has 'a' (a number), 'b' (an array), 'c' (an object)", "`items: b`"),
    (b'{"text": "a"}\n{"text": "b"}\n', "", "it has 'text' (a string)", "by `jsonl`"),
    (b'{"c": {"d": []}}', "c.e", "no array at 'c.e', which is not there; it has 'c' (an object), 'c.d' (an array)", "c.d"),
    (b'{"c": {"d": []}}', "c", "which is an object", "`items: c.KEY`"), (b'{"c": null}', "c", "which is null", "look at the file"),
    (b"{}", "c", "it has nothing", "look at the file"), (b"[1]", "c", "it is an array itself", "leave `items` out"),
    (b"hello", "", "begins with 'hello'", "winnow list"), (gzip.compress(b"[]", mtime=0), "", "does not say so", ".gz"),
    (b'[{"text": "a"}} ]', "", "closes with '}' at byte 14 what '[' opens at byte 0", "bracket too many"),
    (b'{"a": {"b": 1], "c": []}', "c", "closes with ']' at byte 13 what '{' opens at byte 6", "bracket too many"),
    (b'[{"text": "a"}][1]', "", "goes on after its document, at byte 15, with '[1]'", "jsonl"),
    (b'{"a": [{"text": "x"}], "a": []}', "a", "has two arrays at 'a'", "leave one"),
    (b'{"a": [], "a": {"b": []}, "a.b": []}', "a.b", "has two arrays at 'a.b'", "leave one"),
    (b'{"a" 1}', "a", "is no JSON at byte 5: ':' should stand there, not '1}'", "look there"),
    (b'{"a": 1 "b": []}', "b", "at byte 8: a comma or a closing bracket should", "look there"),
    (b'{"a": , "b": []}', "b", "at byte 6: a value should stand there", "look there"),
    (b"{a: []}", "a", "at byte 1: a key should stand there", "look there"),
    (b'[{"text": "a"}, {"text": "b]', "", "what begins at byte 16 does not end", "never closed"),
])  # fmt: skip
def test_a_file_without_the_array_says_what_is_there(tmp_path, raw, items, message, hint):
    with pytest.raises(DataError) as refused:
        told(tmp_path, raw, items=items)
    assert message in str(refused.value)
    assert str(tmp_path / "a.json") in str(refused.value)
    assert hint in refused.value.hint


def test_of_many_keys_some_are_told(tmp_path):
    with pytest.raises(DataError) as refused:
        told(tmp_path, json.dumps({f"k{n}": n for n in range(500)}).encode())
    assert str(refused.value).count("a number") == 50


def test_keys_are_what_they_say_and_empty_files_and_arrays_are_none(tmp_path):
    assert read(tmp_path, b'{"d\\u0061ta": {"it,ems": [{"text": "a"}]}}', items="data.it,ems") == (["a"], [])
    assert read(tmp_path, b'{"data": {"x": 1}, "data.items": [{"text": "a"}]}', items="data.items") == (["a"], [])
    assert read(tmp_path, b'{"data": [], "data": {"items": [{"text": "a"}]}}', items="data.items") == (["a"], [])
    for raw in (b"", b" \n", b"\xef\xbb\xbf", b"[]", b"[ \n ]", b"\xef\xbb\xbf[\t]\n"):
        assert told(tmp_path, raw) == ([], [])
    with pytest.raises(ConfigError, match="no path of keys"):
        build(JsonArray, {"files": ["x"], "items": "a..b"}, where="docs")
    rows, out = told(tmp_path, b'[{"text": "a", "lang": "en"}]', columns={"land": "string"}, id="field:lang")
    assert [row["_id"] for row in rows] == ["en"]
    assert out == [Lacks(column="land", records=1, names=("text", "lang"))]


# -------------------- whole runs


def test_the_same_documents_in_any_layout_as_from_lines(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(5):
        records = [{"body": f"doc {number}, {i}", "uid": f"{number}-{i}"} for i in range(60)]
        (tmp_path / f"in/{number}.json").write_text(json.dumps({"data": {"items": records}}, indent=number or None))
        (tmp_path / f"in/{number}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    recipe = "stages:\n  docs: {use: USE, text_field: body, id: 'field:uid'}\n"
    array = recipe.replace("USE", "json_array, files: 'in/*.json', items: data.items")
    one, many = run(array, tmp_path, tmp_path / "one"), run(array, tmp_path, tmp_path / "many", part_bytes=900)
    assert one.digests == many.digests
    assert one.counts("docs")["rows"] == 300
    lines = run(recipe.replace("USE", "jsonl, files: 'in/*.jsonl'"), tmp_path, tmp_path / "lines")
    ids = [sorted(ran.table("docs", "doc_id")["doc_id"].to_pylist()) for ran in (one, lines)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_large_file_is_estimated_from_its_beginning(tmp_path, suffix):
    r = np.random.default_rng(1)
    records = [{"text": r.bytes(700).hex()} for _ in range(3000)]
    (tmp_path / f"big.json{suffix}").write_bytes(PACKED[suffix](json.dumps(records).encode()))
    plan = plan_of("stages:\n  docs: {use: json_array, files: 'big.json*'}\n", tmp_path)
    found = estimate(plan, share=0.1)
    assert found["sample"]["heads"] == [f"big.json{suffix}"]
    assert 2000 < found["totals"]["documents"]["value"] < 4500
    assert plan.node("docs").operator.on_truncated == "error"


def test_lines_that_are_an_array_say_who_reads_it(tmp_path):
    for raw, hint in ((b'[{"text": "a"}]', "read by `json_array`"), (b'\xef\xbb\xbf[\n{"text": "a"}\n]', "by `json_array`"),
                      (b'{\n "items": [\n]}', "its `items` says where")):  # fmt: skip
        _, out = told(tmp_path, raw, "a.json", Jsonl)
        assert hint in out[0].message
        assert not [b for b in out[1:] if "json_array" in b.message]
    _, out = told(tmp_path, b'{"text": 5}\n[1]\n', "a.json", Jsonl)
    assert not [b for b in out if "json_array" in b.message]
