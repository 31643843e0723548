"""Delimited text: what libraries read is read alike, and what is no record is put aside by its place."""

import bz2
import csv
import gzip
import io
import random

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from support import run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, FileSlice, Lacks
from winnow.core.operators.config import build
from winnow.pipeline.read import csv_records
from winnow.pipeline.read.csv_ import Csv


def told(folder, raw, name="a.csv", **fields):
    """(rows, what was told)."""
    path = folder / name
    path.write_bytes(raw)
    out = []
    reader = build(Csv, {"files": ["x"], **fields}, where="docs")
    piece = FileSlice(path=str(path), rel=name, digest="", size=len(raw))
    return [row for table in reader.read([piece], out.append) for row in table.to_pylist()], out


def read(folder, raw, name="a.csv", **fields):
    """(texts, (offset, error) of what is bad)."""
    rows, out = told(folder, raw, name, **fields)
    bad = [(int(b.origin.split("#")[1]), b.error) for b in out if isinstance(b, Bad)]
    return [row["text"] for row in rows], bad


def test_quotes_line_ends_empty_fields_and_what_is_bad(tmp_path):
    raw = b'text,n\r\nhello,1\n"a ""b"" ,\nc",2\r\n,3\n"",\nbad,x\n\n5" pipe,9\nx,1,2\n"open,3\nok,4\n"j"k,5\nend,6'
    rows, out = told(tmp_path, raw, columns={"n": "int64"})
    assert [(r["text"], r["n"]) for r in rows] == [
        ("hello", 1), ('a "b" ,\nc', 2), ("", None), ('5" pipe', 9), ("ok", 4), ("end", 6),
    ]  # fmt: skip
    for row in rows:
        assert row["origin"] == f"a.csv#{row['locator']}"
        assert raw[int(row["locator"]) :].lstrip(b'"').startswith(row["text"][:1].encode())
    bad = {raw[int(b.origin.split("#")[1]) :].split(b"\n")[0]: (b.error, b.message) for b in out if isinstance(b, Bad)}
    assert {line: error for line, (error, _) in bad.items()} == {
        b",3": "null_text", b"bad,x": "column_type", b"x,1,2": "field_count", b'"open,3': "bad_quotes",
        b'"j"k,5': "bad_quotes",
    }  # fmt: skip
    assert bad[b"x,1,2"][1] == "line 10: the record has 3 fields, the first 2"
    assert bad[b'"open,3'][1].startswith("line 11: ")


def test_random_tables_are_read_as_libraries_read_them(tmp_path):
    r = random.Random(1)
    for _ in range(150):
        rows = [["".join(r.choice('ab",\n é;\\') for _ in range(r.randrange(6))) or "-" for _ in range(3)]
                for _ in range(r.randrange(1, 6))]  # fmt: skip
        text, delimiter = io.StringIO(), r.choice(",;\t")
        quoting = r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        ends = r.choice(["\n", "\r\n"])
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ends).writerows(
            [["text", "b", "c"], *rows]
        )
        raw = text.getvalue().encode()
        found, out = told(tmp_path, raw, delimiter=delimiter, columns={"c": "string", "b": "string"})
        assert not out
        assert [[row[n] for n in ("text", "b", "c")] for row in found] == rows
        arrow = pacsv.read_csv(
            pa.BufferReader(raw), parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(("text", "b", "c"), pa.string())),
        )  # fmt: skip
        assert [list(row.values()) for row in arrow.to_pylist()] == rows


def test_blocks_change_nothing(tmp_path, monkeypatch):
    """Where a block ends within a quote, a line end, a character or a bad record."""
    parts = [b'"a\n""b"""', b"caf\xc3\xa9", b"x,1", b'"open', b'"j"k', b"\xff", b"", b'""', b"plain", b'q"q']
    r = random.Random(3)
    for _ in range(12):
        raw = b"text\r\n" + b"".join(r.choice(parts) + r.choice([b"\n", b"\r\n"]) for _ in range(12)) + b"end"
        monkeypatch.setattr(csv_records, "TABLE_BYTES", 4 << 20)
        whole = told(tmp_path, raw)  # with the lines that messages name
        monkeypatch.setattr(csv_records, "TABLE_BYTES", 1)
        for step in (1, 3, 8):
            cut = [raw[i : i + step] for i in range(0, len(raw), step)]
            monkeypatch.setattr("winnow.pipeline.read.csv_.ByteStream.pieces", lambda self, cut=cut: iter(cut))
            assert told(tmp_path, raw) == whole
        monkeypatch.undo()


def test_a_quote_that_is_never_closed_costs_a_line_and_not_the_file(tmp_path):
    lines = [b'"never closed,%d' % i if i == 3 else b"text %d,%d" % (i, i) for i in range(2000)]
    texts, bad = read(tmp_path, b"text,n\n" + b"\n".join(lines), max_record_mb=1)
    assert texts == [f"text {i}" for i in range(2000) if i != 3]
    assert [error for _, error in bad] == ["bad_quotes"]


def test_the_rest_of_a_record_with_a_quote_out_of_place_is_no_record(tmp_path, monkeypatch):
    raw = b'text,n\n"two\nlines" junk,1\n5" pipe,2\n'
    assert read(tmp_path, raw) == (['5" pipe'], [(7, "bad_quotes"), (12, "bad_quotes")])
    raw = b'text,n\n"' + (b"word " * 200 + b"\n") * 1100 + b'end" junk,1\nok,2\n'
    texts, bad = read(tmp_path, raw, max_record_mb=1)
    assert (texts, bad[0]) == (["ok"], (7, "bad_quotes"))
    assert {error for _, error in bad[1:-1]} == {"field_count"}
    monkeypatch.setattr(csv_records, "TABLE_BYTES", 1 << 16)  # the limit is met before the file's end
    raw = b'text,n\n"\na ""word"" of it,1\n' + (b"word " * 200 + b"\n") * 1300 + b"ok,2\n"
    texts, bad = read(tmp_path, raw, max_record_mb=1)
    assert (texts, bad[:2]) == (["ok"], [(7, "bad_quotes"), (9, "bad_quotes")])


@pytest.mark.parametrize("head", [b'"', b""])
def test_records_above_the_limit_are_never_held(tmp_path, monkeypatch, head):
    monkeypatch.setattr(csv_records, "TABLE_BYTES", 1 << 16)
    raw = b"text\nbefore\n" + head + b"x" * 1_500_000 + head + b"\nafter\n"
    texts, bad = read(tmp_path, raw, max_record_mb=1)
    assert (texts, bad) == (["before", "after"], [(12, "too_large")])
    texts, bad = read(tmp_path, b"text\n" + b'"' + (b"line " * 200 + b"\n") * 1500 + b'"\nafter\n', max_record_mb=1)
    assert bad[0] == (5, "bad_quotes")  # of a field of 1.5 MB nobody knows whether it would have been closed
    assert texts[-1] == "after"


def test_encodings(tmp_path):
    raw = "text,n\nпривет,1\nмир,2\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1251", "utf-16"):
        named = "utf-8" if encoding == "utf-8-sig" else encoding
        assert read(tmp_path, raw.encode(encoding), encoding=named) == (["привет", "мир"], [])
    assert read(tmp_path, b"text\nok\ncaf\xe9\nend\n") == (["ok", "end"], [(8, "invalid_utf8")])
    texts, bad = read(tmp_path, b"text\nok\n\x98\nend\n", encoding="cp1251")  # no character of cp1251
    assert (texts, bad) == (["ok", "end"], [(8, "invalid_utf8")])
    assert read(tmp_path, b"text\na\0b\n") == (["a\0b"], [])


def test_packed_files_and_suffixes(tmp_path):
    raw = b"text\tn\na,b\t1\n"
    assert read(tmp_path, raw, "a.tsv") == (["a,b"], [])
    assert read(tmp_path, bz2.compress(raw), "a.tab.bz2") == (["a,b"], [])
    cut = gzip.compress(b"text\n" + b"".join(b"line %d\n" % (i * i) for i in range(5000)))[:-3000]
    with pytest.raises(DataError, match="ends inside its compressed stream"):
        read(tmp_path, cut, "a.csv.gz")
    texts, bad = read(tmp_path, cut, "a.csv.gz", on_truncated="keep")
    assert texts == [f"line {i * i}" for i in range(len(texts))]
    assert [error for _, error in bad] == ["truncated"]


def test_names_quotes_and_escapes_of_other_dialects(tmp_path):
    assert read(tmp_path, b"a|1\nb|2\n", names=["text", "n"], delimiter="|") == (["a", "b"], [])
    with pytest.raises(DataError, match="holds the names"):
        read(tmp_path, b"text,n\na,1\n", names=["text", "n"])
    assert read(tmp_path, b'text\tn\n"a\t1\n', "a.tsv", quote="") == (['"a'], [])
    assert read(tmp_path, b'text,n\na\\,b,1\n"c\\"d",2\n', escape="\\") == (["a,b", 'c"d'], [])
    with pytest.raises(DataError, match="has no column 'text'"):
        read(tmp_path, b"txt,n\na,1\n")
    with pytest.raises(DataError, match="has 2 columns called 'text'"):
        read(tmp_path, b"text,text\na,1\n")
    with pytest.raises(DataError, match=r"the first record of .* is none"):
        read(tmp_path, b'"text"x,n\na,1\n')
    assert read(tmp_path, b"") == ([], [])
    _, out = told(tmp_path, b"text,n\na,1\n", columns={"lang": "string"})
    assert out == [Lacks(column="lang", records=1, names=("text", "n"))]


@pytest.mark.parametrize("fields", [{"delimiter": ""}, {"delimiter": ",,"}, {"delimiter": '"'}, {"escape": "é"},
                                    {"quote": "\n"}, {"encoding": "base64"}, {"encoding": "no"}])  # fmt: skip
def test_fields_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError) as refused:
        build(Csv, {"files": ["x"], **fields}, where="docs")
    assert refused.value.hint


def test_the_same_documents_in_any_layout_with_ids_of_their_own(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(6):
        rows = "".join(f'"doc {number}, {i}",{number}-{i},{i / 2}\n' for i in range(40))
        (tmp_path / "in" / f"{number}.csv").write_text("text,uid,score\n" + rows)
    (tmp_path / "in" / "readme.txt").write_text("no data")
    recipe = "stages:\n  docs: {use: csv, files: in, id: 'field:uid', columns: {score: float64}}\n"
    one, many = run(recipe, tmp_path, tmp_path / "one"), run(recipe, tmp_path, tmp_path / "many", part_bytes=900)
    assert one.digests == many.digests
    assert one.counts("docs")["rows"] == 240
    assert max(one.table("docs", "score").column("score").to_pylist()) == 19.5
