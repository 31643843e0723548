"""Input that is rewritten while or after it is read: what lies under a fingerprint is what the fingerprint says."""

import json
import os
import time
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import plan_of, run

from winnow.core.errors import DataError
from winnow.core.operators import port_fields
from winnow.core.operators.usercode import UserModule
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import StageDir
from winnow.dags.recipe import input_files, input_stamps
from winnow.dags.recipe.input_files import InputFile
from winnow.dags.recipe.input_stamps import Seen, Watch, seen_now, stamp_of
from winnow.dags.recipe.registry import REGISTRY, SUB_STAGES, class_at
from winnow.dags.shapes.stage_file import snapshot_code
from winnow.dags.shapes.stage_run import StageRun
from winnow.pipeline.join import join_files

OLD, NEW = "OLDOLDOLD", "NEWNEWNEW"
LONG_AGO = (10**18, 10**18)
TOPICS = "topics = {{'a': {!r}}}\n"


def parquet_bytes(text):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [text] * 40}), sink, use_dictionary=False, compression="none", row_group_size=10)
    return sink.getvalue().to_pybytes()


def arrow_bytes(text):
    sink = pa.BufferOutputStream()
    table = pa.table({"text": [text]})
    with pa.ipc.new_stream(sink, table.schema) as writer:  # short: the file is cut at every byte
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def warc_bytes(text):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + text.encode()
    head = "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {}\r\n\r\n"
    return head.format(len(page)).encode() + page + b"\r\n\r\n"


CONTENT = {  # reader -> (file name, text -> bytes)
    "jsonl": ("z.jsonl", lambda text: (json.dumps({"text": text}) + "\n").encode()),
    "parquet": ("z.parquet", parquet_bytes),
    "text_files": ("z.txt", str.encode),
    "warc": ("z.warc", warc_bytes),
    "html_files": ("z.html", str.encode),
    "arrow": ("z.arrow", arrow_bytes),
    "json_array": ("z.json", lambda text: json.dumps([{"text": text}]).encode()),
    "csv": ("z.csv", lambda text: f"text\n{text}\n".encode()),
    "python_topics": ("topics.py", lambda text: TOPICS.format(text * 30).encode()),
}
SHUT = {"in place": "w", "in place, time kept": "keep", "renamed over": "rename"}


def rewrite(path, data, how):
    if how == "rename":
        other = path.with_name("other.tmp")
        other.write_bytes(data)
        os.utime(other, ns=LONG_AGO)
        other.replace(path)
        return
    path.write_bytes(data)
    if how == "keep":
        os.utime(path, ns=LONG_AGO)


@pytest.fixture(params=CONTENT)
def reading(request, tmp_path):
    """A recipe of one reader over two files, the last of which is rewritten."""
    name, made = CONTENT[request.param]
    path = tmp_path / "raw" / name
    path.parent.mkdir()
    path.write_bytes(made(OLD))
    os.utime(path, ns=LONG_AGO)
    recipe = f"stages:\n  docs: {{use: {request.param}, files: 'raw/{name}', id: content}}\n"
    return SimpleNamespace(use=request.param, path=path, old=made(OLD), new=made(NEW), recipe=recipe)


def test_every_reader_is_among_these():
    assert set(CONTENT) == {name for name, path in REGISTRY.items() if class_at(path).shape_name == "Derive"}


def texts_of(ran):
    return "".join(ran.table("docs", "text").column("text").to_pylist())


@pytest.mark.parametrize("how", SHUT.values(), ids=SHUT)
@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
def test_a_file_rewritten_while_it_is_read_is_refused_and_leaves_nothing(reading, tmp_path, monkeypatch, how, when):
    cls = class_at(REGISTRY[reading.use])
    read = cls.read

    def swapped(self, unit, bad):
        if when == "before":
            rewrite(reading.path, reading.new, how)
        for table in read(self, unit, bad):
            if when == "meanwhile":
                rewrite(reading.path, reading.new, how)
            yield table
        if when == "after":
            rewrite(reading.path, reading.new, how)

    monkeypatch.setattr(cls, "read", swapped)
    with pytest.raises(DataError, match="was changed after its digest was taken") as refused:
        run(reading.recipe, tmp_path, tmp_path / "root", part_bytes=1)
    assert "come to rest" in refused.value.hint
    monkeypatch.setattr(cls, "read", read)
    for folder in open_store(tmp_path / "root").folders():
        held = StageDir(open_store(tmp_path / "root"), folder)
        kept = [r for phase in ("part", "raw", "unit") for r in held.receipts(phase)]
        assert when == "after" or not [r for r in kept if r.phase != "unit" or r.extra["parts"]]
    rewrite(reading.path, reading.old, how)
    ran = run(reading.recipe, tmp_path, tmp_path / "root")
    assert OLD in texts_of(ran)
    assert NEW not in texts_of(ran)


@pytest.mark.parametrize("how", SHUT.values(), ids=SHUT)
def test_a_file_rewritten_between_two_runs_is_read_again(reading, tmp_path, how):
    run(reading.recipe, tmp_path, tmp_path / "root")
    rewrite(reading.path, reading.new, how)
    ran = run(reading.recipe, tmp_path, tmp_path / "root")
    assert NEW in texts_of(ran)
    assert OLD not in texts_of(ran)


@pytest.mark.parametrize("how", SHUT.values(), ids=SHUT)
def test_a_file_rewritten_after_planning_is_refused_when_the_task_begins(reading, tmp_path, how):
    plan = plan_of(reading.recipe, tmp_path, tmp_path / "root")
    rewrite(reading.path, reading.new, how)
    (file,) = plan.node("docs").files["files"]
    with pytest.raises(DataError, match="was changed after its digest was taken"):
        Watch({file.path: file.seen})


def test_a_file_that_is_touched_or_linked_is_the_same_file(reading, tmp_path):
    plan = plan_of(reading.recipe, tmp_path, tmp_path / "root")
    (file,) = plan.node("docs").files["files"]
    os.link(reading.path, tmp_path / "link")
    reading.path.touch()
    Watch({file.path: file.seen}).check()  # other times: the digest decides
    elsewhere = Seen(digest=file.digest, stamp=(7, file.size, 8, 9, 10))  # as another mount may show it
    Watch({file.path: elsewhere}).check()


# -- every port ----------------------------------------------------------------------------------------------


def ports():
    for name, path in sorted({**REGISTRY, **SUB_STAGES}.items()):
        cls = class_at(path)
        for port, kind in port_fields(cls).items():
            if kind == "files" and cls.shape_name not in ("Composite", "Derive"):
                yield pytest.param(cls, port, id=f"{name}.{port}")


@pytest.mark.parametrize(("cls", "port"), list(ports()))
def test_a_task_knows_the_stamp_of_every_file_of_every_port(tmp_path, cls, port):
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_bytes(b"1")
    found = [InputFile(path=str(p), rel=p.name, size=1, digest=(s := seen_now(str(p))).digest, stamp=s.stamp)
             for p in files]  # fmt: skip
    node = SimpleNamespace(files={port: found}, kind=cls.kind, folder="f")
    stage = SimpleNamespace(node=node, operator=cls, options=SimpleNamespace(batch_rows=1),
                            store=SimpleNamespace(location="/root"))  # fmt: skip
    stage._seen_files = lambda names: StageRun._seen_files(stage, names)
    common = StageRun.common(stage, "part", "u", "k")
    assert common["files"] == {port: tuple(map(str, files))} | {p: () for p in common["files"] if p != port}
    assert set(common["seen"]) == set(map(str, files))
    files[0].write_bytes(b"2")
    with pytest.raises(DataError, match="was changed"):
        Watch(input_stamps.from_plain(common["seen"]))


JOIN = """
stages:
  docs:  {use: jsonl, files: raw.jsonl, columns: {k: string}}
  notes: {use: join, inputs: docs, files: notes.jsonl, key: k, columns: {q: string}}
"""


@pytest.mark.parametrize("how", SHUT.values(), ids=SHUT)
def test_annotations_rewritten_while_they_are_read_are_refused(tmp_path, monkeypatch, how):
    (tmp_path / "raw.jsonl").write_text('{"text": "a", "k": "1"}\n')
    notes = tmp_path / "notes.jsonl"
    bodies = {t: json.dumps({"k": "1", "q": t}).encode() + b"\n" for t in (OLD, NEW)}
    notes.write_bytes(bodies[OLD])
    os.utime(notes, ns=LONG_AGO)
    read = join_files.read

    def swapped(*arguments):
        rewrite(notes, bodies[NEW], how)
        yield from read(*arguments)

    monkeypatch.setattr(join_files, "read", swapped)
    recipe = JOIN.replace("key: k", "key: k, on: k")
    with pytest.raises(DataError, match=r"notes.jsonl was changed"):
        run(recipe, tmp_path, tmp_path / "root")
    monkeypatch.setattr(join_files, "read", read)
    rewrite(notes, bodies[OLD], how)
    ran = run(recipe, tmp_path, tmp_path / "root")
    assert ran.table("notes.lookup", "q").column("q").to_pylist() == [OLD]


def test_user_code_that_is_edited_before_it_is_copied_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    from winnow.core.operators.fingerprint import code_digest

    digest, files = code_digest(path)
    node = SimpleNamespace(user=UserModule(path=path, files=tuple(files), digest=digest), name="mine")
    path.write_text("x = 2\n")
    store = open_store(tmp_path / "root")
    with pytest.raises(DataError, match="was edited while the run began"):
        snapshot_code(store, node)
    path.write_text("x = 1  # as it was\n")
    snapshot_code(store, node)
    assert store.get(f"code/{digest}/mine.py") == b"x = 1  # as it was\n"


# -- stamps --------------------------------------------------------------------------------------------------


def test_no_time_of_change_is_taken_for_the_one_before_it(tmp_path):
    """The clock of a file system stands still for some milliseconds: a digest is taken after that."""
    path = tmp_path / "a"
    for number in range(20):
        path.write_bytes(b"%04d" % number)
        os.utime(path, ns=LONG_AGO)
        seen = seen_now(str(path))
        path.write_bytes(b"%04d" % (number + 1))
        os.utime(path, ns=LONG_AGO)
        assert stamp_of(str(path)) != seen.stamp


def test_a_file_that_was_only_just_written_is_waited_for(tmp_path, monkeypatch):
    path, begun = tmp_path / "a", []
    monkeypatch.setattr(input_stamps, "digest_of", lambda p: begun.append(time.time_ns()) or "x")
    path.write_bytes(b"1")
    seen_now(str(path))
    assert begun[0] - path.stat().st_ctime_ns >= input_stamps.TICK_NS


def test_times_in_whole_seconds_or_ahead_of_our_clock_are_no_endless_wait(monkeypatch, tmp_path):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    now = time.time_ns() // 10**9 * 10**9
    for changed in (now, now + 10**12, now - 10**12):
        monkeypatch.setattr(input_stamps, "stamp_of", lambda path, c=changed: (1, 1, c, c, 1))
        input_stamps._settled("x")
    assert slept
    assert all(0 < s <= 2 for s in slept)


def test_a_file_that_is_written_to_while_its_digest_is_taken_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    monkeypatch.setattr(input_stamps, "digest_of", lambda p: path.write_bytes(b"2") and "x")
    with pytest.raises(DataError, match="is written to while it is read"):
        seen_now(str(path))


def test_stamps_hold_what_a_person_cannot_set(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    seen = path.stat()
    assert stamp_of(str(path)) == (seen.st_ino, 1, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_dev)
    plain = input_stamps.to_plain({"a": Seen(digest="d", stamp=stamp_of(str(path)))})
    assert input_stamps.from_plain(json.loads(json.dumps(plain)))["a"].stamp == stamp_of(str(path))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": [1, 2, 3, "d"]}', b'{"a": ["d", 1, 2]}'])
def test_a_cache_of_digests_of_another_form_is_made_anew(tmp_path, body):
    (tmp_path / "root/cache").mkdir(parents=True)
    (tmp_path / "root/cache/digests.json").write_bytes(body)
    assert input_files._load_cache(open_store(tmp_path / "root")) == {}


def test_identity_by_stat_is_size_and_time_of_writing(tmp_path):
    path = tmp_path / "a.jsonl"
    recipe = "stages:\n  docs: {use: jsonl, files: a.jsonl, identity: stat}\n"
    prints = []
    for text in (OLD, NEW):
        path.write_text(json.dumps({"text": text}) + "\n")
        os.utime(path, ns=LONG_AGO)
        prints.append(plan_of(recipe, tmp_path, tmp_path / "root").node("docs"))
    assert prints[0].fingerprint == prints[1].fingerprint  # what a person who writes it takes upon themselves
    Watch({str(path): prints[0].files["files"][0].seen}).check()
    path.touch()
    with pytest.raises(DataError, match="was changed"):
        Watch({str(path): prints[0].files["files"][0].seen})
