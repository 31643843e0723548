"""Input files on S3 and web servers: every reader gives the documents that it gives of a folder."""

from __future__ import annotations

import gzip
import http.server
import io
import itertools
import json
import os
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import plan_of, run, texts
from support_s3 import SECRET

from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.store import remote_files
from winnow.core.store.remote_client import client_of

numbers = itertools.count()
WARC = ("WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.b/{n}\r\nWARC-Record-ID: <urn:uuid:0-{n}>\r\n"
        "WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n{text}\r\n\r\n")  # fmt: skip


def lines(some):
    return "".join(json.dumps({"text": t}) + "\n" for t in some).encode()


def parquet(some):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": some}), sink, row_group_size=5)
    return sink.getvalue().to_pybytes()


def arrow(some):
    sink = pa.BufferOutputStream()
    table = pa.table({"text": some})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return sink.getvalue().to_pybytes()


def warc(some):
    return gzip.compress(
        "".join(WARC.format(n=n, text=t, size=len(t.encode())) for n, t in enumerate(some)).encode(), mtime=0
    )


KINDS = {
    "jsonl": ("a.jsonl", lines),
    "jsonl packed": ("a.jsonl.gz", lambda some: gzip.compress(lines(some), mtime=0)),
    "parquet": ("a.parquet", parquet),
    "arrow": ("a.arrow", arrow),
    "csv": ("a.csv", lambda some: ("text\n" + "".join('"' + t.replace('"', '""') + '"\n' for t in some)).encode()),
    "json_array": ("a.json", lambda some: json.dumps([{"text": t} for t in some]).encode()),
    "warc": ("a.warc.gz", warc),
    "text_files": ("a.txt", lambda some: some[0].encode()),
    "html_files": ("a.html", lambda some: f"<html><body><p>{some[0]}</p></body></html>".encode()),
}


def put(key, data):
    import obstore

    obstore.put(client_of("s3://bucket"), key, data)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_gives_the_documents_that_it_gives_of_a_folder(s3, tmp_path, kind):
    name, write = KINDS[kind]
    place = f"in-{next(numbers)}"
    for number, folder in enumerate(("one", "two/deep")):
        data = write(texts(40, seed=number))
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / name).write_bytes(data)
        put(f"{place}/raw/{folder}/{name}", data)
    recipe = "stages:\n  docs: {{use: {use}, files: '{files}', base: '{base}'}}\n"
    use = kind.split()[0]
    here = run(
        recipe.format(use=use, files=f"{tmp_path}/raw/**/*", base=f"{tmp_path}/raw"),
        tmp_path,
        tmp_path / "root",
        part_bytes=1500,
    )
    url = f"s3://bucket/{place}/raw"
    s3.clear()
    there = run(recipe.format(use=use, files=f"{url}/**/*", base=url), tmp_path, tmp_path / "root-2", part_bytes=1500)
    assert there.counts("docs") == here.counts("docs")
    assert there.counts("docs")["rows"] > 0
    columns = ("doc_id", "text", "origin")
    assert there.table("docs", *columns).sort_by("doc_id") == here.table("docs", *columns).sort_by("doc_id")
    assert there.plan.node("docs").told == [
        "2 objects of s3:// known by ETag and not by content: an object with a new ETag counts as a new file"
    ]
    if kind in ("jsonl", "parquet", "arrow"):
        units = json.loads(there.store.get(f"{there.plan.node('docs').folder}/layout.json"))["units"]
        assert len(units) > 2  # they are cut, and read by ranges
        assert all(piece["digest"].startswith("etag:") for unit in units for piece in unit)
    assert s3.counts()["get"] == 0
    again = run(recipe.format(use=use, files=f"{url}/**/*", base=url), tmp_path, tmp_path / "root-2", part_bytes=1500)
    assert again.computed == {}


def test_only_the_ranges_that_are_needed_are_fetched(s3):
    put("in-ranges/big", bytes(range(256)) * 100_000)
    s3.clear()
    with remote_files.open_input("s3://bucket/in-ranges/big") as file:
        file.seek(-10, 2)
        assert file.read() == bytes(range(246, 256))
        file.seek(256 * 50_000)
        assert file.read(4) == bytes(range(4))
        assert file.tell() == 256 * 50_000 + 4
    fetched = [r.headers["range"] for r in s3.seen if r.kind == "range"]
    assert len(fetched) == 2
    assert all(int(b) - int(a) < 70_000 for a, b in (f.removeprefix("bytes=").split("-") for f in fetched))
    with remote_files.open_input("s3://bucket/in-ranges/big") as file:
        assert file.read() == bytes(range(256)) * 100_000
    assert s3.counts()["range"] < 12


@pytest.mark.parametrize(("pattern", "found"), [
    ("*.jsonl", ["a.jsonl"]), ("**/*.jsonl", ["a.jsonl", "deep/b.jsonl", "deep/er/c.jsonl"]), ("deep/*", ["b.jsonl"]),
    ("d*/*/c.jsonl", ["deep/er/c.jsonl"]), ("a.jsonl", ["a.jsonl"]), ("", ["a.jsonl", "deep/b.jsonl", "deep/er/c.jsonl"]),
    ("[ab].jsonl", ["a.jsonl"]), ("deep/?.jsonl", ["b.jsonl"]),
])  # fmt: skip
def test_globs_mean_what_they_mean_on_a_folder(s3, tmp_path, pattern, found):
    from winnow.dags.recipe.file_patterns import FileKind
    from winnow.dags.recipe.found_files import look_for

    for name in ("a.jsonl", "deep/b.jsonl", "deep/er/c.jsonl", "_SUCCESS", ".hidden.jsonl", "deep/_temporary/x.jsonl"):
        put(f"in-globs/{name}", b'{"text": "a"}\n')
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'{"text": "a"}\n')
    kind = FileKind(suffixes=(".jsonl",), no_data=(".", "_"), remote=True)
    there = look_for([f"s3://bucket/in-globs/{pattern}"], base="", folder=tmp_path, where="files", kind=kind)
    here = look_for([str(tmp_path / pattern)], base="", folder=tmp_path, where="files", kind=kind)
    assert [f.rel.removeprefix("deep/") if pattern.startswith("deep/") else f.rel for f in there.files] == found
    assert [f.rel.removeprefix(f"{tmp_path.name}/") for f in here.files] == [
        f.rel.removeprefix("in-globs/") for f in there.files
    ]


RECIPE = "stages:\n  docs: {use: jsonl, files: '%s'}\n"


def test_an_object_that_changes_under_the_run_is_named(s3, tmp_path):
    put("in-changed/a.jsonl", lines(texts(200, seed=1)))
    recipe, changed = RECIPE % "s3://bucket/in-changed/*.jsonl", []

    def change(request):
        if request.kind == "range" and not changed:
            changed.append(request)
            threading.Thread(target=put, args=("in-changed/a.jsonl", lines(texts(200, seed=2)))).start()
            return ("wait", 0.5)
        return "pass"

    s3.act = change
    with pytest.raises(DataError, match="was changed after its") as told:
        run(recipe, tmp_path, tmp_path / "root")
    assert "s3://bucket/in-changed/a.jsonl" in str(told.value)
    assert changed
    s3.act = lambda r: "pass"
    assert run(recipe, tmp_path, tmp_path / "root").counts("docs")["rows"] == len(texts(200, seed=2))


def test_what_is_written_again_is_read_again_and_nothing_else(s3, tmp_path):
    put("in-again/a.jsonl", lines(["one", "two"]))
    recipe = RECIPE % "s3://bucket/in-again/*.jsonl"
    first = run(recipe, tmp_path, tmp_path / "root")
    put("in-again/a.jsonl", lines(["one", "two"]))  # equal bytes have the same ETag here
    assert run(recipe, tmp_path, tmp_path / "root").computed == {}
    put("in-again/a.jsonl", lines(["one", "three"]))
    assert run(recipe, tmp_path, tmp_path / "root").digests != first.digests


def test_faults_while_reading_change_nothing(s3, tmp_path):
    put("in-faults/a.jsonl", lines(texts(300, seed=3)))
    recipe = RECIPE % "s3://bucket/in-faults/*.jsonl"
    plain = run(recipe, tmp_path, tmp_path / "plain", part_bytes=4000)
    s3.act = lambda r: {0: "drop", 2: ("answer", 503, "SlowDown", "slow"), 4: "half"}.get(r.number % 6, "pass")
    assert run(recipe, tmp_path, tmp_path / "root", part_bytes=4000).digests == plain.digests
    assert len(s3.acted) > 5


@pytest.mark.parametrize(("files", "what"), [
    ("s3://bucket/none/*.jsonl", "no file matches"), ("s3://bucket/none/a.jsonl", "no file matches"),
    ("https://user:pass@host/a.jsonl", "more than a place"), ("https://host/a.jsonl?X-Amz-Signature=abc", "more than a place"),
    ("https://host/*.jsonl", "has no listing"), ("hf://datasets/x/*.jsonl", "not supported"),
])  # fmt: skip
def test_what_cannot_be_found_is_refused_before_anything_runs(s3, tmp_path, files, what):
    with pytest.raises(ConfigError, match=what) as told:
        plan_of(RECIPE % files, tmp_path)
    assert "pass@" not in str(told.value)
    assert "Signature=" not in str(told.value)


def test_a_missing_bucket_and_a_refusal_are_said(s3, tmp_path):
    with pytest.raises(StoreError, match="the bucket does not exist"):
        plan_of(RECIPE % "s3://nowhere/*.jsonl", tmp_path)
    s3.act = lambda r: ("answer", 403, "AccessDenied", "no")
    with pytest.raises(StoreError, match="forbids it") as told:
        plan_of(RECIPE % "s3://bucket/in/*.jsonl", tmp_path)
    assert SECRET not in str(told.value)


def test_a_run_does_not_read_what_it_wrote(s3, tmp_path):
    put("in-own/raw/a.jsonl", lines(texts(20, seed=4)))
    recipe = "stages:\n  docs: {use: jsonl, files: 's3://bucket/in-own/%s'}\n  out: {use: write, inputs: docs, format: jsonl.zst}\n"
    first = run(recipe % "raw/*", tmp_path, "s3://bucket/in-own/run")
    assert first.shards("out")
    with pytest.raises(ConfigError, match="does not read what it wrote"):
        run(recipe % "run/**/*", tmp_path, "s3://bucket/in-own/run")
    both = run(recipe % "**/*.jsonl*", tmp_path, "s3://bucket/in-own/run")
    assert both.counts("docs")["rows"] == first.counts("docs")["rows"]
    assert any("that winnow wrote in the run root" in told for told in both.plan.node("docs").told)


class Web(http.server.SimpleHTTPRequestHandler):
    """A server of files that answers ranges where `ranges` says so."""

    ranges = True

    def log_message(self, *args):
        """Silent."""

    def send_head(self):
        """A range, or the whole."""
        wanted = self.headers.get("Range")
        if not (self.ranges and wanted):
            return super().send_head()
        start, stop = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        with open(self.translate_path(self.path), "rb") as file:
            data = file.read()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop}/{len(data)}")
        self.send_header("Content-Length", str(stop + 1 - start))
        self.send_header("Last-Modified", self.date_time_string(os.stat(self.translate_path(self.path)).st_mtime))
        self.end_headers()
        return io.BytesIO(data[start : stop + 1])


@pytest.mark.parametrize("ranges", [True, False])
def test_files_of_a_web_server_are_read_where_it_answers_ranges(tmp_path, monkeypatch, ranges):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Web, "ranges", ranges)
    (tmp_path / "a b.jsonl").write_bytes(lines(texts(30, seed=5)))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a%20b.jsonl"
        try:
            if ranges:
                found = run(RECIPE % url, tmp_path, tmp_path / "root")
                plain = run(RECIPE % (tmp_path / "*.jsonl"), tmp_path, tmp_path / "plain")
                assert found.counts("docs") == plain.counts("docs")
            else:
                with pytest.raises(StoreError, match="does not answer byte ranges"):
                    run(RECIPE % url, tmp_path, tmp_path / "root")
        finally:
            server.shutdown()
