"""Web archives: every record becomes a document, is counted as left out, or is put aside by its offset; none is swallowed."""

import gzip
import io
import itertools
import os
import random
import tarfile
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path

import brotli
import fastwarc.warc as fast
import pytest
import zstandard
from archives import (
    ARC_HEAD,
    CONTAINERS,
    arc,
    blocks,
    frames,
    http,
    members,
    page,
    plain,
    stream,
    warc,
    with_dictionary,
)
from fastwarc.stream_io import GzipWriter
from support import run
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, Choice, FileSlice, FoundFile
from winnow.core.operators.config import build
from winnow.core.operators.reading import LEFT_OUT, TAKEN
from winnow.pipeline.read.archive_members import gzip_members
from winnow.pipeline.read.archive_records import is_record
from winnow.pipeline.read.warc import Warc

PACKS = Path(os.environ.get("PACKS", Path(__file__).parents[2] / "shared/data/packs"))
TEXTS = [f"<p>page {i} " + "lorem ipsum " * (i * 7) + "</p>" for i in range(6)]
RECORDS = [page(t, url=f"http://a.org/{i}") for i, t in enumerate(TEXTS)]


def put(path, data):
    path.write_bytes(data)
    return path


def slices(path, points=()):
    size = path.stat().st_size
    if not points:
        return [FileSlice(path=str(path), rel=path.name, digest="", size=size)]
    edges = [0, *sorted({p for p in points if 0 < p < size}), size]
    return [
        FileSlice(path=str(path), rel=path.name, digest="", size=size, start=a, stop=b)
        for a, b in itertools.pairwise(edges)
    ]


def read(path, points=(), **fields):
    """(rows, bad, what was left out)"""
    told = []
    reader = build(Warc, {"files": ["x"], **fields}, where="docs")
    rows = [row for table in reader.read(slices(path, points), told.append) for row in table.to_pylist()]
    (choice,) = [one for one in told if isinstance(one, Choice)]
    return rows, [one for one in told if isinstance(one, Bad)], dict(choice.left_out)


def texts(rows):
    return [row["text"] for row in rows]


# -------------------- containers


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_documents(tmp_path, name):
    suffix, packed = CONTAINERS[name]
    rows, bad, left = read(put(tmp_path / f"a{suffix}", packed(RECORDS)))
    assert texts(rows) == TEXTS
    assert [r["url"] for r in rows] == [f"http://a.org/{i}" for i in range(6)]
    assert len({r["locator"] for r in rows}) == 6
    assert not bad
    assert not left


@pytest.mark.parametrize("name", ["plain", "members", "frames"])
def test_a_locator_is_the_offset_that_an_index_has(tmp_path, name):
    suffix, packed = CONTAINERS[name]
    rows, _, _ = read(put(tmp_path / f"a{suffix}", packed(RECORDS)))
    ends = itertools.accumulate(len(packed([r])) for r in RECORDS)
    assert [int(r["locator"]) for r in rows] == [0, *list(ends)[:-1]]


def test_columns_say_what_the_headers_said(tmp_path):
    odd = warc(
        http(b"<p>x", "Server: x", mime="Text/HTML; charset=UTF-8"),
        url="<http://b.org/>",
        more="WARC-Truncated: length\r\n",
    )
    (row,), _, _ = read(put(tmp_path / "a.warc", odd))
    del row["origin"], row["rel"], row["text"], row["locator"]
    assert row == {
        "url": "http://b.org/", "date": "2024-01-02T03:04:05Z", "record_type": "response", "status": 200,
        "mime": "text/html", "mime_found": "text/plain", "charset": "utf-8", "charset_from": "http", "replaced": 0,
        "codings": None, "content_length": 74, "truncated": "length", "record_id": "<urn:<http://b.org/>>", "ip": "1.2.3.4", "x_robots_tag": None, "tdm_reservation": None,
    }  # fmt: skip


def test_wet_records_and_resources_are_documents_without_a_status(tmp_path):
    held = [warc(b"plain text", kind="conversion"), warc(b"<p>r", kind="resource"), warc(b"a: b", kind="request")]
    rows, bad, left = read(put(tmp_path / "a.wet.gz", members(held)))
    assert texts(rows) == ["plain text", "<p>r"]
    assert [(r["record_type"], r["status"]) for r in rows] == [("conversion", None), ("resource", None)]
    assert (bad, left) == ([], {"type request": 1})


@pytest.mark.parametrize(("suffix", "packed"), [(".arc", plain), (".arc.gz", members), (".arc.gz", stream)])
def test_arc_files_are_read(tmp_path, suffix, packed):
    held = [
        ARC_HEAD,
        arc(http(b"<p>one")),
        arc(http(b"<p>two"), url="http://b.org/with a space"),
        arc(b"x", url="dns:b.org"),
    ]
    rows, bad, left = read(put(tmp_path / f"a{suffix}", packed(held)))
    assert texts(rows) == ["<p>one", "<p>two", "x"]
    assert rows[1]["url"] == "http://b.org/with a space"
    assert {r["date"] for r in rows} == {"2024-01-02T03:04:05Z"}
    assert (bad, left) == ([], {"type warcinfo": 1})


def test_version_2_of_arc_and_its_short_dates(tmp_path):
    block = http(b"<p>x")
    line = f"http://a.org/ 1.2.3.4 20240102 text/html 200 abc - 17 test.arc {len(block)}\n".encode()
    (row,), bad, _ = read(put(tmp_path / "a.arc", ARC_HEAD + line + block + b"\n"))
    assert (row["text"], row["date"], bad) == ("<p>x", "2024-01-02", [])


def test_archives_of_warcio_and_fastwarc_read_alike(tmp_path):
    with (tmp_path / "a.warc.gz").open("wb") as sink:
        writer = WARCWriter(sink, gzip=True)
        writer.write_record(writer.create_warcinfo_record("a", {"software": "x"}))
        for i, text in enumerate(TEXTS):
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            writer.write_record(
                writer.create_warc_record(
                    f"http://a.org/{i}", "response", payload=io.BytesIO(text.encode()), http_headers=headers
                )
            )
    with (tmp_path / "b.warc.gz").open("wb") as sink:
        for i, text in enumerate(TEXTS):
            record = fast.WarcRecord()
            record.init_headers(fast.WarcRecordType.response)
            record.headers["WARC-Target-URI"] = f"http://a.org/{i}"
            record.is_http = True
            record.set_bytes_content(http(text.encode()))
            packer = GzipWriter(sink)
            record.write(packer)
            packer.finish()
    for name, left in (("a.warc.gz", {"type warcinfo": 1}), ("b.warc.gz", {})):
        rows, bad, seen = read(tmp_path / name)
        assert texts(rows) == TEXTS
        assert [r["url"] for r in rows] == [f"http://a.org/{i}" for i in range(6)]
        assert (bad, seen) == ([], left)


# -------------------- broken records


LONG = warc(http(b"<p>long"), url="http://bad/", length=4000)
DAMAGE = {  # what takes the place of the third record -> its class
    "too long a length": (LONG, "content_length"),
    "endless length": (warc(http(b"<p>x"), length=10**14), "content_length"),
    "too short a length": (warc(http(b"<p>a page that goes on"), length=len(http(b"")) + 3), "content_length"),
    "no number for a length": (warc(http(b"<p>x"), length="12x"), "content_length"),
    "negative length": (warc(http(b"<p>x"), length=-5), "content_length"),
    "too large": (warc(http(b"x" * 1_200_000)), "too_large"),
    "a bomb within its member": (warc(http(b"\0" * 1_500_000)), "too_large"),
    "a length that ends in the HTTP header": (warc(http(b"<p>x"), length=len(http(b"")) - 4), "http_header, no_header"),
    "no HTTP": (warc(b"<p>no response"), "http_header"),
    "a header without an end": (warc(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000), "http_header"),
    "a coding that nobody knows": (warc(http(b"\x80\xff\0" * 40, "Content-Encoding: exi")), "coding"),
    "a bomb in its coding": (warc(http(gzip.compress(b"x" * 5_000_000), "Content-Encoding: gzip")), "too_large"),
    "a bomb in brotli": (warc(http(brotli.compress(b"x" * 5_000_000), "Content-Encoding: br")), "too_large"),
    "two bombs": (warc(http(gzip.compress(gzip.compress(b"x" * 9_000_000)), "Content-Encoding: gzip, gzip")), "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", DAMAGE)
def test_a_broken_record_is_put_aside_by_its_offset_and_the_rest_is_read(tmp_path, name, container):
    record, error = DAMAGE[name]
    suffix, packed = CONTAINERS[container]
    held = [*RECORDS[:2], record, *RECORDS[2:]]
    rows, bad, _ = read(put(tmp_path / f"a{suffix}", packed(held)), max_record_mb=1)
    assert texts(rows) == TEXTS
    assert ", ".join(b.error for b in bad) == error
    assert all(b.message for b in bad)
    if container == "plain":
        assert bad[0].origin == f"a.warc#{len(RECORDS[0]) + len(RECORDS[1])}"
    if container == "members":
        assert bad[0].origin == f"a.warc.gz#{len(members(RECORDS[:2]))}"


def test_a_first_record_that_lies_does_not_cost_the_others(tmp_path):
    for suffix, packed in CONTAINERS.values():
        rows, bad, _ = read(put(tmp_path / f"a{suffix}", packed([LONG, *RECORDS])))
        assert (texts(rows), [b.error for b in bad]) == (TEXTS, ["content_length"])


def test_a_long_length_that_ends_within_another_record_swallows_none(tmp_path):
    for length in range(60, 2200, 411):
        liar = warc(http(b"<p>long"), length=length)
        for suffix, packed in [CONTAINERS[name] for name in ("plain", "members", "stream", "frames")]:
            rows, bad, _ = read(put(tmp_path / f"a{suffix}", packed([RECORDS[0], liar, *RECORDS[1:]])))
            assert (texts(rows), [b.error for b in bad]) == (TEXTS, ["content_length"]), (length, suffix)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF, data[at + 1] ^ 0xFF, data[at + 2] ^ 0xFF]) + data[at + 3 :]


@pytest.mark.parametrize(("suffix", "packed"), [(".warc.gz", members), (".warc.zst", frames)])
def test_a_corrupt_member_costs_itself_alone(tmp_path, suffix, packed):
    units = [packed([r]) for r in RECORDS]
    start = len(units[0]) + len(units[1])
    checksum = len(units[2]) - 8 if suffix == ".warc.gz" else 0
    for inside in filter(None, (30, 90, len(units[2]) - 12, checksum)):
        data = flipped(b"".join(units), start + inside)
        rows, bad, _ = read(put(tmp_path / f"a{suffix}", data))
        assert texts(rows) == TEXTS[:2] + TEXTS[3:], inside
        assert [(b.origin, b.error) for b in bad] == [(f"a{suffix}#{start}", "corrupt")], inside


def test_garbage_between_records_is_told_and_passed(tmp_path):
    for packed in (members, frames):
        suffix = ".warc.gz" if packed is members else ".warc.zst"
        junk = b"\x1f\x8b\x08 no member" * 9 if packed is members else b"junk" * 40
        rows, bad, _ = read(put(tmp_path / f"a{suffix}", packed(RECORDS[:3]) + junk + packed(RECORDS[3:])))
        assert texts(rows) == TEXTS
        assert [(b.origin, b.error) for b in bad] == [(f"a{suffix}#{len(packed(RECORDS[:3]))}", "corrupt")]
    rows, bad, _ = read(put(tmp_path / "a.warc.gz", members([RECORDS[0], b"<html>not a record", *RECORDS[1:]])))
    assert (texts(rows), [b.error for b in bad]) == (TEXTS, ["no_header"])
    rows, bad, _ = read(
        put(tmp_path / "b.warc.gz", members(RECORDS[:2]) + bytes(700) + members(RECORDS[2:]) + bytes(99))
    )
    assert (texts(rows), bad) == (TEXTS, [])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_cut_anywhere_gives_the_whole_records_and_one_that_is_truncated(tmp_path, name):
    suffix, packed = CONTAINERS[name]
    whole = packed(RECORDS)
    for cut in random.Random(3).sample(range(len(whole) // 3, len(whole) - 5), 12):
        rows, bad, _ = read(put(tmp_path / f"a{suffix}", whole[:cut]))
        assert texts(rows) == TEXTS[: len(rows)]
        assert len(bad) <= 1
        if bad:  # a cut between two members is none
            assert bad[0].error == "truncated", (cut, bad)
        else:
            assert name not in ("stream", "one frame")
        if name == "plain":
            assert len(rows) == sum(e - 4 <= cut for e in itertools.accumulate(map(len, RECORDS)))


def test_a_record_quoting_a_record_is_one_document(tmp_path):
    quoting = page(b"<pre>\r\n\r\n" + RECORDS[0] + b"</pre>")
    for suffix, packed in CONTAINERS.values():
        rows, bad, _ = read(put(tmp_path / f"a{suffix}", packed([quoting, *RECORDS])))
        assert (len(rows), bad) == (7, [])


def test_a_member_that_holds_a_gzip_file_is_one_record(tmp_path):
    inner = page(members(RECORDS), url="http://nested/")
    stored = b"".join(gzip.compress(r, compresslevel=0, mtime=0) for r in (RECORDS[0], inner, RECORDS[1]))
    rows, bad, left = read(put(tmp_path / "a.warc.gz", stored))
    assert (texts(rows), bad) == (TEXTS[:2], [])
    assert sum(left.values()) == 1


def test_the_quick_decoder_and_zlib_give_the_same_bytes(tmp_path, monkeypatch):
    from winnow.pipeline.read import archive_members

    data = (
        members([*RECORDS, page("x" * 3_000_000)]) + flipped(members(RECORDS), 40) + stream(RECORDS) + blocks(RECORDS)
    )
    quick = [(p.start, bool(p.broken), p.data) for p in gzip_members(io.BytesIO(data), 0, is_record)]
    monkeypatch.setattr(archive_members, "_small_member", lambda raw: None)
    slow = [(p.start, bool(p.broken), p.data) for p in gzip_members(io.BytesIO(data), 0, is_record)]
    assert [s for s, _, _ in quick if s >= 0] == [s for s, _, _ in slow if s >= 0]
    assert b"".join(d for _, _, d in quick) == b"".join(d for _, _, d in slow)
    assert [b for _, b, _ in quick].count(True) == [b for _, b, _ in slow].count(True) == 1


@pytest.mark.parametrize("suffix", [".warc", ".warc.gz", ".warc.zst"])
def test_memory_stays_bounded_whatever_a_file_says(tmp_path, suffix):
    zeros = warc(http(bytes(60_000_000)))
    made = {".warc": lambda r: r, ".warc.gz": lambda r: gzip.compress(r, 9), ".warc.zst": zstandard.compress}[suffix]
    path = put(tmp_path / f"a{suffix}", made(RECORDS[0]) + made(zeros) + made(RECORDS[1]))
    del zeros
    tracemalloc.start()
    rows, bad, _ = read(path, max_record_mb=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (texts(rows), [b.error for b in bad]) == (TEXTS[:2], ["too_large"])
    assert peak < 30_000_000


@pytest.mark.parametrize("pack", [plain, stream])
def test_short_texts_keep_no_long_records_in_memory(tmp_path, pack):
    image = warc(http(b"\x89PNG\r\n\x1a\n" + bytes(200_000), mime="image/png"))
    path = tmp_path / ("a.warc" if pack is plain else "a.warc.gz")
    path.write_bytes(pack([page("short"), image] * 120))
    piece = FileSlice(path=str(path), rel=path.name, digest="", size=path.stat().st_size)
    reader = Warc(files=("x",))
    assert list(reader.read([piece], lambda told: None))  # what is imported is no part of it
    tracemalloc.start()
    try:
        (table,) = reader.read([piece], lambda told: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table.num_rows == 120
    assert peak < 22e6


def test_a_file_that_is_no_archive_says_so(tmp_path):
    for name in ("a.warc", "a.warc.gz", "a.warc.zst"):
        rows, bad, _ = read(put(tmp_path / name, b"<html>a page</html>\n" * 99))
        assert (rows, len(bad)) == ([], 1)
        assert bad[0].error in ("no_header", "corrupt")
    assert read(put(tmp_path / "b.warc", b""))[:2] == ([], [])
    assert read(put(tmp_path / "b.warc.gz", b""))[:2] == ([], [])


# -------------------- payloads


def chunked(body, size=7):
    pieces = [
        b"%x;ext=1\r\n" % len(body[i : i + size]) + body[i : i + size] + b"\r\n" for i in range(0, len(body), size)
    ]
    return b"".join(pieces) + b"0\r\n\r\n"


BODY = "<p>grüße und mehr davon, hallo hallo hallo</p>".encode()
CODED = {  # name -> (payload, headers, what `codings` says, text where it is not BODY)
    "chunked": (chunked(BODY), ["Transfer-Encoding: chunked"], "chunked", None),
    "gzip": (gzip.compress(BODY), ["Content-Encoding: gzip"], "gzip", None),
    "x-gzip": (gzip.compress(BODY), ["Content-Encoding: x-gzip"], "gzip", None),
    "deflate": (zlib.compress(BODY), ["Content-Encoding: deflate"], "deflate", None),
    "raw deflate": (zlib.compress(BODY, wbits=-15), ["Content-Encoding: deflate"], "deflate", None),
    "br": (brotli.compress(BODY), ["Content-Encoding: br"], "br", None),
    "zstd": (zstandard.compress(BODY), ["Content-Encoding: zstd"], "zstd", None),
    "all": (
        chunked(brotli.compress(gzip.compress(BODY))),
        ["Transfer-Encoding: chunked", "Content-Encoding: gzip, br"],
        "chunked, br, gzip",
        None,
    ),
    "undone before": (BODY, ["Transfer-Encoding: chunked", "Content-Encoding: gzip"], "chunked?, gzip?", None),
    "br undone before": (BODY, ["Content-Encoding: br"], "br?", None),
    "identity": (BODY, ["Content-Encoding: identity"], None, None),
    "unknown, but text": (b"<p>ascii", ["Content-Encoding: windows-1252"], "windows-1252?", "<p>ascii"),
    "chunks that stop": (chunked(BODY)[:-19], ["Transfer-Encoding: chunked"], "chunked!", "start"),
    "gzip that stops": (gzip.compress(BODY * 30)[:-12], ["Content-Encoding: gzip"], "gzip!", "start"),
    "empty": (b"", ["Content-Encoding: gzip"], "gzip", ""),
}


@pytest.mark.parametrize("name", CODED)
def test_codings_are_undone_where_the_bytes_agree(tmp_path, name):
    payload, headers, codings, text = CODED[name]
    (row,), bad, _ = read(put(tmp_path / "a.warc", warc(http(payload, *headers))))
    assert not bad
    assert row["codings"] == codings
    if text == "start":
        assert len(row["text"]) > 20
        assert (BODY * 30).decode().startswith(row["text"].rstrip("\ufffd"))
    else:
        assert row["text"] == (BODY.decode() if text is None else text)


RUSSIAN = "Привет, мир: это страница на русском языке. " * 4
JAPANESE = "日本語のページです。文字コードはいろいろあります。" * 4
CHARSETS = {  # name -> (payload, charset of the header, text, charset, who said so, replaced)
    "true": (RUSSIAN.encode("cp1251"), "windows-1251", RUSSIAN, "cp1251", "http", 0),
    "no word": (RUSSIAN.encode("cp1251"), "", RUSSIAN, "cp1251", "detected", 0),
    "says utf-8": (RUSSIAN.encode("cp1251"), "utf-8", RUSSIAN, "cp1251", "detected", 0),
    "says latin-1": (RUSSIAN.encode(), "iso-8859-1", RUSSIAN, "utf-8", "bytes", 0),
    "meta": (b"<meta charset=cp1251>" + RUSSIAN.encode("cp1251"), "utf-8", "<meta charset=cp1251>" + RUSSIAN, "cp1251", "meta", 0),
    "xml": (b'<?xml version="1.0" encoding="euc-jp"?>' + JAPANESE.encode("euc-jp"), "", '<?xml version="1.0" encoding="euc-jp"?>' + JAPANESE, "euc_jp", "meta", 0),
    "meta says utf-16": (b"<meta charset=utf-16>" + RUSSIAN.encode(), "", "<meta charset=utf-16>" + RUSSIAN, "utf-8", "meta", 0),
    "header says utf-16": (RUSSIAN.encode(), "utf-16", RUSSIAN, "utf-8", "bytes", 0),
    "iso-2022-jp": (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE, "iso2022_jp", "http", 0),
    "shift_jis": (JAPANESE.encode("cp932"), "shift_jis", JAPANESE, "shift_jis", "http", 0),
    "bom over header": (b"\xef\xbb\xbf" + RUSSIAN.encode(), "windows-1251", RUSSIAN, "utf-8", "bom", 0),
    "utf-16 by bom": (RUSSIAN.encode("utf-16"), "utf-8", RUSSIAN, "utf-16-le", "bom", 0),
    "a bad byte": (RUSSIAN.encode() + b"\xff!", "utf-8", RUSSIAN + "\ufffd!", "utf-8", "http", 1),
    "lone surrogate": (b"\xff\xfea\0\x00\xd8b\0", "", "a\ufffdb", "utf-16-le", "bom", 1),
    "surrogates in utf-8": (b"x" * 200 + "é".encode() * 99 + b"\xed\xa0\x80", "utf-8", "x" * 200 + "é" * 99 + "\ufffd" * 3, "utf-8", "http", 3),
    "NULs": (b"a\0b\0\0c", "", "a\0b\0\0c", "utf-8", "bytes", 0),
    "nonsense": (BODY, "klingon", BODY.decode(), "utf-8", "bytes", 0),
    "nothing": (b"", "utf-8", "", "utf-8", "http", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CHARSETS)
def test_bytes_become_text_by_what_they_are_not_by_what_is_claimed(tmp_path, name):
    payload, header, text, charset, found_by, replaced = CHARSETS[name]
    mime = "text/html" + (f"; charset={header}" if header else "")
    (row,), bad, _ = read(put(tmp_path / "a.warc", warc(http(payload, mime=mime))))
    assert not bad
    assert (row["text"], row["charset"], row["charset_from"], row["replaced"]) == (text, charset, found_by, replaced)


# -------------------- choices


def test_what_is_left_out_is_counted_by_its_reason(tmp_path):
    held = [
        *RECORDS[:2], warc(b"x: y", kind="request"), warc(b"", kind="revisit"), warc(b"?", kind="own"),
        warc(http(b"gone", status="404 Not Found")), warc(http(b"moved", status="301 Moved")),
        warc(http(b"%PDF-1.7 \x80\xff", mime="application/pdf")), warc(http(b"%PDF-1.7 \x80\xff")),
        warc(http(b"\x89PNG\r\n\x1a\n", mime="")), warc(http(b"x", mime="image/x-made-up")), warc(http(b"x", mime="?")),
        warc(http(b"no type", mime="")),
    ]  # fmt: skip
    rows, bad, left = read(put(tmp_path / "a.warc.gz", members(held)))
    assert texts(rows) == [*TEXTS[:2], "no type"]
    assert not bad
    assert left == {
        "type request": 1, "type revisit": 1, "type other": 1, "status 404": 1, "status 301": 1, "MIME application/pdf": 1,
        "payload application/pdf": 1, "MIME image/png": 1, "MIME image/*": 1, "MIME of no known kind": 1,
    }  # fmt: skip
    assert len(rows) + len(bad) + sum(left.values()) == len(held)


def test_types_status_and_mime_choose(tmp_path):
    held = [
        RECORDS[0],
        warc(http(b"gone", status="404 Not Found")),
        warc(http(b"{}", mime="application/json")),
        warc(b"meta", kind="metadata"),
    ]
    path = put(tmp_path / "a.warc", plain(held))
    assert texts(read(path, status=["404"])[0]) == ["gone"]
    assert texts(read(path, status=["xxx"], mime=["*/*"])[0]) == [TEXTS[0], "gone", "{}"]
    assert texts(read(path, mime=["application/*"])[0]) == ["{}"]
    assert texts(read(path, types=["metadata"])[0]) == ["meta"]


@pytest.mark.parametrize("fields", [{"types": ["respons"]}, {"status": ["ok"]}, {"status": ["2x"]}, {"mime": ["html"]}, {"types": []},
                                    {"max_record_mb": 0}, {"id": "field:url"}])  # fmt: skip
def test_fields_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError) as refused:
        build(Warc, {"files": ["x"], **fields}, where="docs")
    assert refused.value.hint


def test_remarks_tell_choices_without_effect_and_what_was_mostly_left_out():
    reader = build(Warc, {"files": ["x"], "mime": ["text/html", "text/markdown"]}, where="docs")
    counts = {"rows": 5, f"{TAKEN}MIME text/html": 5, f"{LEFT_OUT}status 404": 3, f"{LEFT_OUT}type request": 99}
    (said,) = reader.remarks(counts, {})
    assert "text/markdown" in said
    (_, said) = reader.remarks(counts | {f"{LEFT_OUT}status 404": 6}, {})
    assert "6 records" in said
    assert "status 404 (6)" in said
    usual = build(
        Warc, {"files": ["x"], "types": ["response"], "mime": ["text/html", "application/xhtml+xml"]}, where="docs"
    )
    assert usual.remarks({"rows": 5, f"{TAKEN}MIME text/html": 5}, {}) == ()  # names of the default are not misspelt
    assert Warc(files=("x",)).remarks({"rows": 5}, {}) == ()


def test_archives_packed_otherwise_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"a\.warc\.lz4"):
        Warc(files=("x",)).choose([FoundFile(path="/a.warc.lz4", rel="a.warc.lz4", size=1)])
    for end, command in ((".xz", "xz -dk"), (".BZ2", "bzip2 -dk")):
        with pytest.raises(ConfigError, match="is packed as a whole") as refused:
            Warc(files=("x",)).choose([FoundFile(path=f"/in/a.warc{end}", rel=f"a.warc{end}", size=1)])
        assert f"`{command} /in/a.warc{end}`" in refused.value.hint


# -------------------- cuts and runs


def test_any_cut_of_a_plain_file_gives_the_same_documents_and_the_same_bad_records(tmp_path):
    quoting = page(b"<pre>\r\n\r\n" + RECORDS[0] + b"</pre>", url="http://q/")
    held = [
        RECORDS[0],
        LONG,
        quoting,
        b"garbage\r\n" * 9,
        RECORDS[1],
        b"cut off" + RECORDS[1][9:],
        warc(http(b"x" * 1_500_000)),
        *RECORDS[2:],
        RECORDS[0][:-40],
    ]
    path = put(tmp_path / "a.warc", plain(held))
    whole = read(path, max_record_mb=1)
    assert [r["url"] for r in whole[0]] == [
        f"http://{u}" for u in ("a.org/0", "q/", "a.org/1", *(f"a.org/{i}" for i in range(2, 6)))
    ]
    assert Counter(b.error for b in whole[1]) == {"content_length": 1, "no_header": 2, "too_large": 1, "truncated": 1}
    size, draw = path.stat().st_size, random.Random(5)
    for count in (1, 2, 3, 5, 9):
        assert read(path, draw.sample(range(size), count), max_record_mb=1) == whole
    starts = [int(r["locator"]) for r in whole[0]]
    assert read(path, [s + d for s in starts for d in (-1, 0, 1)], max_record_mb=1) == whole


def recipe(name, more=""):
    return f"stages:\n  docs: {{use: warc, files: '{name}', max_bad_share: 0.9{more}}}\n"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crawl")
    many = [page("lorem ipsum dolor " * 40 + str(i), url=f"http://a.org/{i}") for i in range(60)]
    put(folder / "a.warc", plain([*many[:30], LONG, *many[30:]]))
    put(folder / "b.warc.gz", members(many))
    put(folder / "c.warc.zst", with_dictionary(many))
    return folder


def test_parts_and_units_do_not_change_what_is_read(crawl, tmp_path):
    one = run(recipe("*.warc*"), crawl, tmp_path / "one")
    many = run(recipe("*.warc*"), crawl, tmp_path / "many", part_bytes=9_000)
    assert len(many.of("docs").parts) > 10 > len(one.of("docs").parts)
    assert one.digests == many.digests
    assert one.counts("docs") == many.counts("docs")
    assert one.counts("docs")["rows"] == 180
    assert one.counts("docs")["bad:content_length"] == 1
    ids = one.table("docs", "doc_id").column("doc_id").to_pylist()
    assert len(set(ids)) == 180


def test_worker_processes_read_the_same(crawl, tmp_path):
    one = run(recipe("*.warc*"), crawl, tmp_path / "one")
    two = run(recipe("*.warc*"), crawl, tmp_path / "two", workers=2, part_bytes=6_000)
    assert one.digests == two.digests


def test_a_run_of_broken_archives_ends_with_what_can_be_read_or_says_why(tmp_path):
    put(tmp_path / "a.warc.gz", members(RECORDS)[:-30])
    ran = run(recipe("a.warc.gz"), tmp_path, tmp_path / "root")
    assert ran.counts("docs")["bad:truncated"] == 1
    put(tmp_path / "b.warc", warc(b"", kind="request"))
    with pytest.raises(DataError, match="read no documents"):
        run(recipe("b.warc"), tmp_path, tmp_path / "root")


# -------------------- real archives


@pytest.fixture(scope="module")
def aut(tmp_path_factory):
    pack = PACKS / "warc_aut.tar.xz"
    if not pack.exists():
        pytest.skip(f"no data packs in {PACKS}")
    folder = tmp_path_factory.mktemp("aut")
    with tarfile.open(pack) as held:
        held.extractall(folder, filter="data")
    return {path.name: path for path in folder.rglob("*arc.gz")}


@pytest.mark.packs
@pytest.mark.parametrize("name", ["example.warc.gz", "example.arc.gz"])
def test_a_real_crawl_is_read_as_warcio_reads_it(aut, name):
    rows, bad, left = read(aut[name])
    expected, others = [], 0
    with aut[name].open("rb") as file:
        for record in ArchiveIterator(file, arc2warc=True):
            headers = record.http_headers
            mime = (headers.get_header("Content-Type") or "").partition(";")[0].lower() if headers else ""
            if record.rec_type == "response" and mime in Warc.mime and headers.get_statuscode()[0] == "2":
                expected.append((record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read()))
            else:
                others += 1
    assert not bad
    assert [r["url"] for r in rows] == [url for url, _ in expected]
    for row, (_, body) in zip(rows, expected, strict=True):
        assert row["text"] == body.decode(row["charset"], "replace").removeprefix("\ufeff")
    assert (len(rows), sum(left.values())) == (130, others)


@pytest.mark.packs
def test_warc_and_arc_of_one_crawl_hold_the_same_pages(aut):
    one, two = (read(aut[f"example.{kind}.gz"])[0] for kind in ("warc", "arc"))
    assert [(r["url"], r["text"], r["status"]) for r in one] == [(r["url"], r["text"], r["status"]) for r in two]
