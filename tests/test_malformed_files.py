"""Files that are not what their name says, at every reader: a word that names the file and what is wrong, no traceback."""

import bz2
import gzip
import json
import lzma
import re

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard
from support import run

from winnow.core.errors import ConfigError, DataError

LINE = json.dumps({"text": "a document of some words", "n": 1}).encode() + b"\n"


def parquet(table, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def arrow(table):
    sink = pa.BufferOutputStream()
    feather.write_feather(table, sink)
    return sink.getvalue().to_pybytes()


def arrow_stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def twice(name):
    return pa.table([pa.array(["a"]), pa.array(["b"])], names=[name, name])


TEXT = pa.table({"text": ["a"]})
NESTED = pa.table({"text": pa.array([{"a": "b"}])})
GOOD = parquet(TEXT)
JSONL = {  # what lies in a file that ends in .jsonl (or as said) -> what is told
    "utf-16": ("a.jsonl", LINE.decode().encode("utf-16"), "invalid_utf8|no documents"),
    "csv": ("a.jsonl", b"text,n\nhello,1\n", "invalid_json"),
    "one array": ("a.jsonl", json.dumps([{"text": "a"}]).encode(), "not_an_object|invalid_json"),
    "pretty object": ("a.jsonl", json.dumps({"text": "a"}, indent=1).encode(), "invalid_json"),
    "empty": ("a.jsonl", b"", "read no documents from 1 file"),
    "blank lines": ("a.jsonl", b"\n\n \n", "read no documents from 1 file"),
    "gzip without its name": ("a.jsonl", gzip.compress(LINE), "let its name end in .gz"),
    "zstd without its name": ("a.jsonl", zstandard.compress(LINE), "let its name end in .zst"),
    "truncated gzip": ("a.jsonl.gz", gzip.compress(LINE * 50)[:-20], "ends inside its compressed stream"),
    "truncated zstd": ("a.jsonl.zst", zstandard.compress(LINE * 50)[:-9], "ends inside|is corrupt near"),
    "plain called gz": ("a.jsonl.gz", LINE, "is corrupt near .*a wrong suffix looks like this too"),
    "plain called zst": ("a.jsonl.zst", LINE, "is corrupt near .*a wrong suffix looks like this too"),
    "parquet called jsonl": ("a.jsonl", GOOD, "invalid_utf8|invalid_json"),
    "zeros": ("a.jsonl", bytes(100), "invalid_json"),
    "text is a number": ("a.jsonl", b'{"text": 5}\n', "text_type"),
    "truncated bz2": ("a.jsonl.bz2", bz2.compress(LINE * 50)[:-9], "ends inside its compressed stream"),
    "truncated xz": ("a.jsonl.xz", lzma.compress(LINE * 50)[:-9], "ends inside its compressed stream"),
    "plain called bz2": ("a.jsonl.bz2", LINE, "is corrupt near .*a wrong suffix looks like this too"),
    "plain called xz": ("a.jsonl.xz", LINE, "is corrupt near .*a wrong suffix looks like this too"),
    "zip": ("a.jsonl.zip", b"PK\x03\x04", "cannot read the compression"),
}
PARQUET = {
    "two columns of one name": ("a.parquet", parquet(twice("text")), "has 2 columns called 'text'"),
    "encrypted": ("a.parquet", b"PARE" + bytes(60) + b"PARE", "is encrypted"),
    "gzip": ("a.parquet", gzip.compress(GOOD), "no Parquet file but a .gz file"),
    "json lines": ("a.parquet", LINE, "no Parquet file but JSON"),
    "arrow": ("a.parquet", arrow(TEXT), "no Parquet file but an Arrow file"),
    "zip": ("a.parquet", b"PK\x03\x04" + bytes(60), "no Parquet file but a .zip file"),
    "truncated": ("a.parquet", GOOD[:-30], "is corrupt or no Parquet file"),
    "empty": ("a.parquet", b"", "is corrupt or no Parquet file"),
    "csv": ("a.parquet", b"text,n\nhello,1\n", "is corrupt or no Parquet file"),
    "no rows": ("a.parquet", parquet(TEXT.slice(0, 0)), "read no documents from 1 file"),
    "text is a struct": ("a.parquet", parquet(NESTED), "column 'text' is struct<a: string>, declared string"),
    "text is a list": ("a.parquet", parquet(pa.table({"text": [["a"]]})), "column 'text' is list<.*, declared string"),
    "text is a number": ("a.parquet", parquet(pa.table({"text": [1]})), "column 'text' is int64, declared string"),
    "no text": ("a.parquet", parquet(pa.table({"body": ["a"]})), "no column 'text'"),
    "all null": ("a.parquet", parquet(pa.table({"text": pa.array([None], pa.string())})), "null_text"),
}
TEXTS = {
    "utf-16": ("a.txt", "héllo".encode("utf-16"), "invalid_text.*set `encoding: utf-16`"),
    "latin-1": ("a.txt", "héllo".encode("latin-1"), "invalid_text"),
    "binary": ("a.txt", GOOD, "invalid_text"),
    "truncated bz2": ("a.txt.bz2", bz2.compress(LINE * 50)[:-9], "corrupt"),
    "no xz": ("a.txt.xz", LINE, "corrupt"),
}
CSV = {
    "utf-16": ("a.csv", "text,n\na,1\n".encode("utf-16"), "is UTF-16 by its first two bytes.*`encoding: utf-16`"),
    "binary": ("a.csv", GOOD, "no column 'text'|the first record .* is none"),
    "json lines": ("a.csv", LINE, "no column 'text'"),
    "another delimiter": ("a.csv", b"text;n\na;1\n", "no column 'text'"),
    "no first record": ("a.csv", b"a text,1\nanother,2\n", "no column 'text'"),
    "a quote never closed in the first record": ("a.csv", b'"text,n\na,1\n', "the first record of .* is none"),
    "only a first record": ("a.csv", b"text,n\n", "read no documents from 1 file"),
    "empty": ("a.csv", b"", "read no documents from 1 file"),
    "all lines short": ("a.csv", b"text,n\na\nb\n", "field_count"),
    "gzip without its name": (
        "a.csv",
        gzip.compress(b"text,n\na,1\n"),
        "its name does not say so.*let its name end in .gz",
    ),
    "truncated gzip": (
        "a.csv.gz",
        gzip.compress(b"text,n\n" + b"a,1\n" * 50)[:-9],
        "ends inside its compressed stream",
    ),
    "truncated xz": ("a.csv.xz", lzma.compress(b"text,n\n" + b"a,1\n" * 50)[:-9], "ends inside its compressed stream"),
    "plain called zst": ("a.csv.zst", b"text,n\na,1\n", "is corrupt near .*a wrong suffix looks like this too"),
    "latin-1": ("a.csv", "text,n\né,1\n".encode("latin-1"), "invalid_utf8"),
}
ARROW = {
    "two columns of one name": ("a.arrow", arrow_stream(twice("text")), "has 2 columns called 'text'"),
    "parquet": ("a.arrow", GOOD, "is corrupt or no Arrow file|no Arrow file but"),
    "json lines": ("a.arrow", LINE, "no Arrow file but JSON"),
    "gzip": ("a.arrow", gzip.compress(arrow(TEXT)), "no Arrow file but a .gz file"),
    "truncated": ("a.arrow", arrow(TEXT)[:-30], "is corrupt or no Arrow file"),
    "a stream without its last batch": ("a.arrow", arrow_stream(TEXT)[:-60], "is corrupt or no Arrow file|truncated"),
    "empty": ("a.arrow", b"", "is corrupt or no Arrow file"),
    "zeros": ("a.arrow", bytes(400), "is corrupt or no Arrow file"),
    "no rows": ("a.arrow", arrow(TEXT.slice(0, 0)), "read no documents from 1 file"),
    "text is a struct": ("a.arrow", arrow(NESTED), "column 'text' is struct<a: string>, declared string"),
    "text is a number": ("a.arrow", arrow(pa.table({"text": [1]})), "column 'text' is int64, declared string"),
    "no text": ("a.arrow", arrow(pa.table({"body": ["a"]})), "no column 'text'"),
    "all null": ("a.arrow", arrow(pa.table({"text": pa.array([None], pa.string())})), "null_text"),
}
ARRAY = {
    "lines": ("a.json", LINE * 2, "is an object and no array"),
    "no array there": ("a.json", b'{"rows": [{"text": "a"}]}', "`items: rows` reads the array there"),
    "utf-16": ("a.json", json.dumps([{"text": "a"}]).encode("utf-16"), "holds no JSON array"),
    "csv": ("a.json", b"text,n\nhello,1\n", "holds no JSON array"),
    "parquet": ("a.json", GOOD, "holds no JSON array"),
    "cut": ("a.json", json.dumps([{"text": "a"}] * 9)[:-7].encode(), "ends within its document"),
    "two arrays": ("a.json", b"[1][2]", "goes on after its document"),
    "empty": ("a.json", b"", "read no documents from 1 file"),
    "an empty array": ("a.json", b"[]", "read no documents from 1 file"),
    "numbers": ("a.json", b"[1, 2]", "not_an_object"),
    "gzip without its name": ("a.json", gzip.compress(b"[]"), "let its name end in .gz"),
    "truncated gzip": ("a.json.gz", gzip.compress(b"[" + LINE * 50)[:-20], "ends inside its compressed stream"),
    "plain called bz2": ("a.json.bz2", b"[1]", "is corrupt near .*a wrong suffix looks like this too"),
}
CASES = [pytest.param(use, *case, id=f"{use}: {name}") for use, cases in
         (("jsonl", JSONL), ("parquet", PARQUET), ("text_files", TEXTS), ("csv", CSV), ("arrow", ARROW), ("json_array", ARRAY)) for name, case in cases.items()]  # fmt: skip


@pytest.mark.parametrize(("use", "name", "body", "told"), CASES)
def test_a_file_that_is_something_else_is_told_as_such(tmp_path, use, name, body, told):
    (tmp_path / name).write_bytes(body)
    with pytest.raises((DataError, ConfigError)) as refused:
        run(f"stages:\n  docs: {{use: {use}, files: '{name}'}}\n", tmp_path, tmp_path / "root")
    assert re.search(told, str(refused.value), re.DOTALL), str(refused.value)
    assert refused.value.hint, "an error says what to do"


@pytest.mark.parametrize(("use", "name", "body", "told"), CASES)
def test_beside_a_good_file_a_bad_one_is_told_by_name(tmp_path, use, name, body, told):
    suffix, good = {"jsonl": (".jsonl", LINE), "parquet": (".parquet", GOOD), "text_files": (".txt", b"a text"),
                    "csv": (".csv", b"text,n\na,1\n"), "arrow": (".arrow", arrow(TEXT)),
                    "json_array": (".json", b'[{"text": "a"}]')}[use]  # fmt: skip
    (tmp_path / f"good{suffix}").write_bytes(good)
    (tmp_path / name).write_bytes(body)
    recipe = f"stages:\n  docs: {{use: {use}, files: ['{name}', 'good{suffix}'], strict: true, max_bad_share: 0}}\n"
    if told.startswith("read no documents"):  # an empty file is no error beside others
        assert run(recipe, tmp_path, tmp_path / "root").manifest("docs").rows == 1
        return
    with pytest.raises((DataError, ConfigError)) as refused:
        run(recipe, tmp_path, tmp_path / "root")
    assert name in str(refused.value) or name in str(refused.value.where), str(refused.value)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.large_binary(), pa.dictionary(pa.int8(), pa.string())],
                         ids=str)  # fmt: skip
def test_texts_of_every_type_of_text_are_read(tmp_path, kind):
    table = pa.table({"text": pa.array(["a", "b"]).cast(kind)})
    (tmp_path / "a.parquet").write_bytes(parquet(table))
    ran = run("stages:\n  docs: {use: parquet, files: a.parquet}\n", tmp_path, tmp_path / "root")
    assert sorted(ran.table("docs", "text").column("text").to_pylist()) == ["a", "b"]


@pytest.mark.parametrize("values", [
    pa.array(["1.10", "2.20"]).cast(pa.decimal128(9, 2)), pa.array([1, 2], pa.uint64()), pa.array([1, 2], pa.timestamp("us")),
    pa.array([1, 2], pa.date32()), pa.array([True, False]), pa.array([1.5, 2.5]),
], ids=lambda a: str(a.type))  # fmt: skip
def test_ids_of_other_types_are_ids(tmp_path, values):
    (tmp_path / "a.parquet").write_bytes(parquet(pa.table({"text": ["a", "b"], "key": values})))
    ran = run("stages:\n  docs: {use: parquet, files: a.parquet, id: 'field:key', columns: {key: string}}\n",
              tmp_path, tmp_path / "root")  # fmt: skip
    assert len(set(ran.table("docs", "key").column("key").to_pylist())) == 2
