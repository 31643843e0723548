"""Readers that are killed, archives that are made to break readers, and extractors that hang or end their process."""

import bz2
import gzip
import json
import lzma
import random
import tracemalloc

import pyarrow as pa
import pyarrow.feather as feather
import pytest
import zstandard
from archives import members, page, warc
from support import run
from support_kill import Killer

from winnow.core.errors import WinnowError
from winnow.core.operators import Derive, FileSlice
from winnow.core.operators.config import build
from winnow.dags.recipe.registry import REGISTRY, operator_class

# -------------------- killed while reading


@pytest.fixture(scope="module")
def killer():
    found = Killer()
    yield found
    found.close()


def arrow_bytes(texts):
    sink = pa.BufferOutputStream()
    feather.write_feather(pa.table({"text": texts, "n": list(range(len(texts)))}), sink, chunksize=7)
    return sink.getvalue().to_pybytes()


def csv_bytes(texts):
    return b'text,n\n"never closed,7\n' + "".join(f'"{t},\n""x""",{n}\n' for n, t in enumerate(texts)).encode()


def array_bytes(texts):
    rows = [{"text": text, "n": n} for n, text in enumerate(texts)]
    return b'{"a": [1], "of": {"items": [5, ' + json.dumps(rows, indent=1).encode()[1:] + b"}}"


READ = {  # reader -> (file, its bytes, further fields)
    "warc": ("a.warc.gz", lambda texts: members([*map(page, texts), b"no record"]), ""),
    "csv": ("a.csv.gz", lambda texts: gzip.compress(csv_bytes(texts)), ", columns: {n: int64}"),
    "arrow": ("a.arrow", arrow_bytes, ", columns: {n: int64}, id: 'field:n'"),
    "json_array": ("a.json", array_bytes, ", columns: {n: int64}, items: of.items"),
}


@pytest.mark.parametrize("use", READ)
def test_a_run_killed_while_it_reads_goes_on_to_the_same_bytes(killer, tmp_path, use):
    """At the torn first bytes of a part, and after a part of a unit that is not whole yet: no part is written twice."""
    name, made, more = READ[use]
    r = random.Random(1)
    (tmp_path / name).write_bytes(made([f"document {n} of {'words ' * r.randrange(20)}" for n in range(60)]))
    recipe = f"""
max_bad_share: 0.5
stages:
  docs: {{use: {use}, files: {name}{more}}}
  corpus: {{use: write, inputs: docs, shard_bytes: 8KB}}
"""

    def attempt(root, **how):
        return killer(folder=str(tmp_path), root=str(tmp_path / root), out=str(tmp_path / f"{root}.json"), recipe=recipe,
                      shards=["corpus"], options={"part_bytes": 900, "buckets": 1}, **how)  # fmt: skip

    plain = attempt("plain", names=True)
    assert "digests" in plain, plain
    names = plain["names"]
    own = [at for at, name in enumerate(names, 1) if f"os.link {use}-" in name and "/receipts/" in name]
    assert len(own) > 3
    torn = [at for at, name in enumerate(names, 1) if name == "first bytes" and own[1] < at < own[-1]]
    for at in (torn[len(torn) // 2], own[len(own) // 2] + 1):
        assert attempt(f"r{at}", kill_at=at) == {"killed": 9}
        again = attempt(f"r{at}")
        assert (again["digests"], again["shards"]) == (plain["digests"], plain["shards"]), names[at - 1]
        first = {key for key in plain["written"] if f"{use}-" in key}
        written = {key for key in again["written"] if f"{use}-" in key}
        assert 0 < len(written) < len(first)


# -------------------- files that are made to break readers


def told(path, use, **fields):
    """(rows, what was told) of one file."""
    out = []
    made = build(operator_class(use), {"files": ["x"], **fields}, where="docs")
    piece = FileSlice(path=str(path), rel=path.name, digest="", size=path.stat().st_size)
    return [row for table in made.read([piece], out.append) for row in table.to_pylist()], out


HUGE = 200_000_000


def test_a_record_of_200_mb_in_an_archive_is_put_aside_and_costs_no_other(tmp_path):
    path = tmp_path / "a.warc"
    record = warc(b"", length=HUGE).removesuffix(b"\r\n\r\n")
    with path.open("wb") as file:  # a file with a hole
        file.write(page("before") + record)
        file.seek(HUGE, 1)
        file.write(b"\r\n\r\n" + page("after"))
    tracemalloc.start()
    try:
        rows, out = told(path, "warc")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row["text"] for row in rows] == ["before", "after"]
    assert [(bad.origin, bad.error) for bad in out[:-1]] == [(f"a.warc#{len(page('before'))}", "too_large")]
    assert peak < 30e6


@pytest.mark.slow
@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gz", "zst"])
def test_a_record_of_200_mb_is_read_where_it_may_be_as_long(tmp_path, packed):
    suffix = {bytes: "", gzip.compress: ".gz"}.get(packed, ".zst")
    path = tmp_path / f"a.warc{suffix}"
    body = b"<p>" + b"long text " * (HUGE // 10)
    path.write_bytes(b"".join(map(packed, (page("before"), page(body), page("after")))))
    rows, out = told(path, "warc", max_record_mb=300)
    assert [len(row["text"]) for row in rows] == [6, len(body), 5]
    assert len(out) == 1


def test_a_page_of_100_000_nested_elements_costs_itself(tmp_path):
    deep = "<div>" * 100_000 + "<p>Deep down.</p>" + "</div>" * 100_000
    body = "".join(f"<p>Sentence {n} of the page says a little more than the one before it did.</p>" for n in range(9))
    pages = [page(f"<html><body><article>{body}</article></body></html>", url=f"http://a.org/{n}") for n in range(4)]
    (tmp_path / "a.warc.gz").write_bytes(members([*pages, page(deep, url="http://a.org/deep")]))
    recipe = "stages:\n  pages: {use: warc, files: a.warc.gz}\n  main: {use: USE, inputs: pages}\n"
    for use in ("main_text", "resiliparse"):
        ran = run(recipe.replace("USE", use), tmp_path, tmp_path / "root")
        texts = sorted(len(text) for text in ran.table("main", "text")["text"].to_pylist())
        assert len(texts) == 5
        assert texts[0] == 0
        assert texts[1] > 400
        assert ran.counts("main")["too_deep"] == 1


PACKED = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("use", ["csv", "text_files", "html_files"])
def test_a_decompression_bomb_fills_no_memory(tmp_path, use, suffix):
    """160 MB in many streams; `jsonl`, `json_array` and `warc` have tests of their own."""
    path = tmp_path / {"csv": f"a.csv{suffix}", "text_files": f"a.txt{suffix}", "html_files": f"a.html{suffix}"}[use]
    path.write_bytes(PACKED[suffix](b"text\nbefore\n") + PACKED[suffix](b"x" * (8 << 20)) * 20)
    tracemalloc.start()
    try:
        rows, out = told(path, use, max_record_mb=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row["text"] for row in rows] == (["before"] if use == "csv" else [])
    assert [bad.error for bad in out] == ["too_large"]
    assert peak < 120e6


# -------------------- extractors that do not come back

FAKE = """
import os, time

def extract(page, **options):
    if "HANG" in page:
        time.sleep(600)
    if "EXIT" in page:
        os._exit(3)
    return "main text of " + page
"""
PAGES = """
max_bad_share: 0.5
stages:
  pages: {use: jsonl, files: pages.jsonl, columns: {html: string}}
  main: {use: trafilatura, inputs: pages, timeout_s: LIMIT}
  long: {use: filter, inputs: [pages, main], keep: {some: "text_bytes > 0"}}
"""


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(("word", "error", "limit"), [("EXIT", "lost", 600), ("HANG", "timeout", 15)])
def test_a_page_at_which_an_extractor_does_not_come_back_costs_its_row(tmp_path, monkeypatch, word, error, limit):
    (tmp_path / "lib" / "trafilatura").mkdir(parents=True)
    (tmp_path / "lib" / "trafilatura" / "__init__.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    pages = [f"<p>{said}</p>" for said in ("one", "two", word, "three")]
    lines = [json.dumps({"text": "-", "html": page}) + "\n" for page in pages]
    (tmp_path / "pages.jsonl").write_text("".join(lines))
    ran = run(PAGES.replace("LIMIT", str(limit)), tmp_path, tmp_path / "root", workers=1, batch_rows=2)
    (bad,) = ran.quarantine("main")
    assert bad["error"] == error
    assert "did not answer for this row alone" in bad["message"]
    texts = sorted(ran.table("main", "text")["text"].to_pylist())
    assert texts == ["", *sorted(f"main text of {page}" for page in pages if word not in page)]
    assert ran.counts("main")["failed"] == 1
    assert ran.counts("long")["kept"] == 3


# -------------------- files that are other than their names say

PACKING = {  # how -> its function
    "gzip": lambda data: gzip.compress(data, mtime=0), "zstd": zstandard.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zip": lambda data: b"PK\x03\x04" + data, "utf-16": lambda data: data.decode().encode("utf-16"),
}  # fmt: skip
PLAIN = {  # reader -> (name of a file of it, what it holds)
    "jsonl": ("a.jsonl", b'{"text": "one two"}\n'),
    "csv": ("a.csv", b"text,n\none two,3\n"),
    "json_array": ("a.json", b'[{"text": "one two"}]'),
    "text_files": ("a.txt", b"one two"),
    "html_files": ("a.html", b"<p>one two</p>"),
    "warc": ("a.warc", b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"),
    "parquet": ("a.parquet", b"PAR1 and more"),
    "arrow": ("a.arrow", b"ARROW1 and more"),
}
TOLD = {"gzip": ".gz", "zstd": ".zst", "bzip2": ".bz2", "xz": ".xz", "zip": "zip", "utf-16": "utf-16"}


def test_every_reader_of_files_is_asked():
    readers = {name for name in REGISTRY if issubclass(operator_class(name), Derive)} - {"python_topics"}
    assert set(PLAIN) == readers


@pytest.mark.parametrize("how", PACKING)
@pytest.mark.parametrize("use", PLAIN)
def test_a_file_that_is_other_than_its_name_says_is_named_as_what_it_is(tmp_path, use, how):
    name, data = PLAIN[use]
    (tmp_path / name).write_bytes(PACKING[how](data))
    if use in ("parquet", "arrow", "warc") and how == "utf-16":
        pytest.skip("no text file")
    recipe = f"stages:\n  docs: {{use: {use}, files: {name}}}\n"
    if (use, how) == ("html_files", "utf-16"):  # a page says so by the same two bytes, and is decoded
        assert run(recipe, tmp_path, tmp_path / "runs").table("docs", "text")["text"].to_pylist() == ["<p>one two</p>"]
        return
    with pytest.raises(WinnowError) as told:
        run(recipe, tmp_path, tmp_path / "runs")
    assert TOLD[how] in f"{told.value.what} {told.value.hint}".lower()
