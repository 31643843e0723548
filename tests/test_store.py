"""The store: first writer wins, nothing half-written is visible, what was committed is verified."""

import threading
import time

import pyarrow as pa
import pytest
from memory_store import memory_scheme

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store import parts
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import FileRef, Manifest, Receipt, StageDir, content_digest


@pytest.fixture(params=["posix", "memory", "s3"])
def store(request, tmp_path):
    """Every store there is: what follows holds for each of them."""
    if request.param == "posix":
        yield open_store(tmp_path / "root")
        return
    if request.param == "s3":
        request.getfixturevalue("s3")
        yield open_store(f"s3://bucket/store/{tmp_path.name}")
        return
    with memory_scheme():
        yield open_store("memory://one/below")


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "root")


def test_the_first_writer_wins_and_the_others_are_told(store):
    won = []
    gate = threading.Barrier(8)

    def write(i):
        gate.wait()
        if store.put_new("a/b", bytes([i]) * 1000):
            won.append(i)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(won) == 1
    assert store.get("a/b") == bytes(won) * 1000
    assert store.walk("a") == ["a/b"]


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(ValueError, match="no"), store.writing("a/x") as sink:  # noqa: PT012
        sink.write(b"half")
        raise ValueError("no")
    assert store.walk("a") == []


def test_keys_cannot_leave_the_root(store):
    store.put_new("ok", b"")
    acts = (
        lambda key: store.put_new(key, b""), lambda key: store.put(key, b""), store.get, store.exists, store.list,
        store.delete, store.stat, store.open_buffer, store.local_copy, lambda key: store.publish("ok", key),
        lambda key: store.publish(key, "other"), lambda key: store.open_range(key, 0, 1), store.walk, store.hidden,
        lambda key: store.writing(key).__enter__(), store.folders, store.drop_empty, store.size,
    )  # fmt: skip
    for key in ("../x", "/etc/x", "a/../../x"):
        for number, act in enumerate(acts):
            with pytest.raises(StoreError, match="leaves the store"):
                pytest.fail(f"{number}: {act(key)}")


def test_temporary_and_hidden_files_are_listed_apart(store):
    store.put_new("a/x", b"1")
    store.put_new("a/.y.tmp", b"2")
    store.put_new(".hidden/z", b"3")
    store.put_new(".probe", b"4")
    store.put_new("top", b"5")
    assert store.list("a") == ["a/x"]
    assert store.hidden("a") == ["a/.y.tmp"]
    assert store.folders() == ["a"]
    assert (store.list(""), store.hidden()) == (["top"], [".probe"])
    assert store.walk("a") == ["a/.y.tmp", "a/x"]
    assert store.walk("") == [".hidden/z", ".probe", "a/.y.tmp", "a/x", "top"]
    assert store.walk("a/x") == ["a/x"]
    assert store.walk("none") == []


def test_lists_are_sorted_and_know_files_from_folders(store):
    for name in ("b", "a", "c/d", "B", "c/e/f", "10", "9"):
        store.put_new(f"x/{name}", b"")
    assert store.list("x") == ["x/10", "x/9", "x/B", "x/a", "x/b"]
    assert store.folders("x") == ["c"]
    assert store.folders("x/c") == ["e"]
    assert store.list("none") == store.folders("none") == store.hidden("none") == []
    assert store.exists("x")
    assert store.exists("x/c/e")
    assert store.exists("x/c/e/f")
    assert not store.exists("x/c/e/g")


def test_what_is_put_replaces_the_whole_and_changes_the_stamp(store):
    store.put("a/p", b"one")
    before = store.stamp("a/p")
    store.put("a/p", b"two words")
    assert store.get("a/p") == b"two words"
    assert store.stamp("a/p") != before
    assert store.walk("a") == ["a/p"]
    assert not store.put_new("a/p", b"three")
    assert store.get("a/p") == b"two words"


def test_a_new_data_file_is_there_when_it_is_whole(store):
    with store.writing("a/data.bin") as sink:
        sink.write(b"half")
        sink.write(memoryview(b" and half"))
    assert store.get("a/data.bin") == b"half and half"
    with pytest.raises(StoreError), store.writing("a/data.bin") as sink:
        sink.write(b"other")
    assert store.get("a/data.bin") == b"half and half"


def test_ranges_and_buffers_show_the_bytes_that_are_there(store):
    store.put_new("a", bytes(range(200)))
    store.put_new("none", b"")
    assert store.open_buffer("a").read() == bytes(range(200))
    assert store.open_buffer("none").read() == b""
    for start, length in ((0, 200), (0, 10), (190, 10), (150, 100), (200, 5), (400, 5), (7, 0)):
        assert store.open_range("a", start, length).to_pybytes() == bytes(range(200))[start : start + length]
    for act in (store.get, store.open_buffer, lambda key: store.open_range(key, 0, 1)):
        with pytest.raises(StoreError) as refused:
            act("gone")
        assert refused.value.where == store.where("gone")


def test_a_published_file_has_two_names_and_outlives_the_first(store, tmp_path):
    store.put_new("data/x.1", b"bytes")
    assert store.stat("data/x.1").names == 1
    assert store.publish("data/x.1", "shards/x")
    assert not store.publish("data/x.1", "shards/x")
    one, two = store.stat("data/x.1"), store.stat("shards/x")
    assert one.names == two.names
    assert (one.bytes_id == two.bytes_id) == (one.names == 2)  # a copy has bytes of its own, and frees them alone
    store.put_new("data/other", b"bytes")
    assert store.stat("data/other").bytes_id != one.bytes_id
    assert not store.publish("data/other", "shards/x")
    store.delete("data/x.1")
    assert store.get("shards/x") == b"bytes"
    assert store.stat("shards/x").names == 1
    with pytest.raises(StoreError):
        store.publish("data/x.1", "shards/y")
    assert not store.exists("shards/y")
    assert store.copy_out("shards/x", tmp_path / "out") == (tmp_path / "out").samefile(store.local_copy("shards/x"))
    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_stat_says_the_size_and_the_time_and_nothing_of_what_is_missing(store):
    before = time.time_ns() - 10**9
    store.put_new("a/x", b"12345")
    stat = store.stat("a/x")
    assert (stat.size, store.size("a/x")) == (5, 5)
    assert before < stat.modified_ns < time.time_ns() + 10**9
    assert (store.stat("a/y"), store.size("a/y"), store.stamp("a/y")) == (None, -1, None)


def test_a_folder_is_deleted_with_all_in_it_and_only_it(store):
    for key in ("a/x", "a/b/y", "a/.z.tmp", "ab/x", "a.json"):
        store.put_new(key, b"1")
    store.delete("a")
    assert store.walk("") == ["a.json", "ab/x"]
    assert not store.exists("a")
    store.delete("a")
    store.delete("ab/x")
    store.drop_empty("ab")
    assert not store.exists("ab")
    store.put_new("full/x", b"1")
    store.drop_empty("full")
    assert store.get("full/x") == b"1"


def test_a_local_copy_is_the_file_or_all_of_a_folder_and_follows_what_is_replaced(store):
    store.put_new("code/a.py", b"one")
    store.put_new("code/deep/b.py", b"two")
    assert store.local_copy("code/a.py").read_bytes() == b"one"
    folder = store.local_copy("code")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.py")} == {"a.py", "deep/b.py"}
    store.put("code/a.py", b"one more")
    assert store.local_copy("code/a.py").read_bytes() == b"one more"


def test_a_location_opens_the_same_store_again(store):
    store.create()
    assert store.writable()
    store.put_new("a/x", b"1")
    again = open_store(store.location)
    assert type(again) is type(store)
    assert again.get("a/x") == b"1"
    assert store.where("a/x") == f"{store.where()}/a/x"


def test_a_scratch_folder_is_empty_and_goes_away(store):
    with store.temporary() as scratch:
        assert list(scratch.iterdir()) == []
        (scratch / "x").write_text("1")
    assert not scratch.exists()


def test_an_unknown_scheme_is_refused_by_name(tmp_path):
    with memory_scheme(), pytest.raises(ConfigError, match="memroy:// is not supported yet") as refused:
        open_store("memroy://x")
    assert "memory://" in refused.value.hint
    with pytest.raises(ConfigError, match="memory:// is not supported yet"):
        open_store("memory://x")
    assert not (tmp_path / "new").exists()
    assert not open_store(tmp_path / "new").writable()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"File exists|Not a directory"):
        open_store(tmp_path / "file").create()


def test_folders_made_and_removed_at_the_same_time_are_no_error(store):
    """Two runners: one writes receipts where the other removes them."""
    stop = threading.Event()
    errors = []

    def write(i):
        n = 0
        while not stop.is_set():
            n += 1
            try:
                store.put_new(f"a/r/{i}-{n}", b"x")
                with store.writing(f"a/r/d{i}-{n}") as sink:
                    sink.write(b"y")
            except BaseException as error:
                errors.append(error)
                return

    def remove():
        while not stop.is_set():
            try:
                store.delete("a/r")
                time.sleep(0.002)  # hundreds of removals a second, but no starving of the writers
            except BaseException as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=write, args=(i,)) for i in range(2)] + [
        threading.Thread(target=remove) for _ in range(2)
    ]
    [t.start() for t in threads]
    stop.wait(1.5)
    stop.set()
    [t.join() for t in threads]
    assert not errors, errors[0]


def receipt(unit="u", key="k" * 32, **more):
    return Receipt(phase="part", unit=unit, key=key, rows=1, content={"a": "0" * 32}, **more)


def test_the_loser_of_a_race_removes_its_files_and_takes_the_winners(store):
    stage = StageDir(store, "op-1")
    made = []
    for _ in range(2):
        ref = parts.save_file(stage, "part", "u", ".bin", lambda sink: sink.write(b"data"))
        made.append(stage.commit(receipt(files=(ref,))))
    assert made[0] == made[1]
    assert [f.key for f in made[0].files] == store.list("op-1/_data/part")


def test_a_receipt_of_other_inputs_is_another_receipt(store):
    stage = StageDir(store, "op-1")
    stage.commit(receipt(key="a" * 32))
    assert stage.receipt("part", "u", "b" * 32) is None
    assert stage.receipt("part", "u", "a" * 32) == receipt(key="a" * 32)


def manifest_of(receipts):
    return Manifest(kind="columns", fingerprint="f", content_digest=content_digest(receipts), consumed={}, rows=len(receipts),
                    counts={}, seconds=0.0, receipts=tuple(receipts))  # fmt: skip


def test_a_loser_whose_winner_was_just_absorbed_takes_it_from_the_manifest_and_shared_files_stay(store):
    stage = StageDir(store, "op-1")
    raw = parts.save_file(stage, "raw", "u", ".text.arrow", lambda sink: sink.write(b"text"))

    def numbered():
        own = parts.save_file(stage, "part", "u", ".arrow", lambda sink: sink.write(b"ids"))
        return receipt(files=(own, raw))

    winner = stage.commit(numbered())
    stage.finish(manifest_of([winner]))
    put_new = store.put_new
    try:
        store.put_new = lambda key, data: False  # the receipt was there, and is in the manifest a moment later
        assert stage.commit(numbered()) == winner
        for ref in winner.files:
            parts.check_file(store, ref)
        assert store.list("op-1/_data/part") == [winner.files[0].key]
        empty = StageDir(store, "op-2")
        lost = receipt(files=(parts.save_file(empty, "part", "u", ".arrow", lambda sink: sink.write(b"ids")),))
        assert empty.commit(lost) == lost  # no winner to be seen anywhere: nothing is removed
        for ref in lost.files:
            parts.check_file(store, ref)
    finally:
        store.put_new = put_new


def test_a_manifest_absorbs_receipts_and_the_first_one_counts(store):
    stage = StageDir(store, "op-1")
    many = [stage.commit(receipt(unit=f"u{i}")) for i in range(5)]
    first = stage.finish(manifest_of(many))
    assert stage.receipts("part") == []
    assert stage.manifest().receipts == tuple(many)
    second = stage.finish(manifest_of(many[:3]))
    assert second.receipts == first.receipts
    assert len([k for k in store.list("op-1") if k.endswith("-arrow.unit")]) == 1


def test_content_digests_do_not_depend_on_the_cut():
    a = [receipt(unit="1"), receipt(unit="2")]
    both = Receipt(phase="part", unit="x", key="", rows=2, content={"a": "0" * 32})
    assert content_digest(a) == content_digest([both]) == content_digest(a[::-1])
    other = Receipt(phase="part", unit="x", key="", rows=2, content={"a": "0" * 31 + "1"})
    assert content_digest([other]) != content_digest([both])


@pytest.mark.parametrize("harm", ["flip", "shorten", "remove", "lengthen"])
def test_a_file_that_is_not_what_its_receipt_says_is_refused(folder, harm):
    store = folder
    stage = StageDir(store, "op-1")
    table = pa.table({"a": pa.array([1, 2, 3])})
    (ref,) = parts.save_table(stage, "part", "u", table)
    assert parts.read_file(store, ref).equals(table)
    parts._checked.clear()
    path = store.local_copy(ref.key)
    data = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"flip": flipped, "shorten": data[:-1], "lengthen": data + b"x"}[harm])
    with pytest.raises(StoreError) as refused:
        parts.read_file(store, ref)
    assert str(path) == refused.value.where
    assert refused.value.hint


def test_what_is_kept_warm_of_a_file_counts_until_the_file_is_another(store, monkeypatch):
    table = pa.table({"text": pa.array(["one", None, "three"], pa.large_string())})
    stage = StageDir(store, "reader-0")
    (ref,) = parts.save_table(stage, "part", "00000", table)
    wanted = {"text": (Receipt(phase="part", unit="00000", key="k", files=(ref,)), "text")}
    parts.keep_warm(store, [ref], table)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "read_file", None)  # it is not read
        assert parts.read_columns(store, wanted).equals(table)
    body = store.get(ref.key)
    store.delete(ref.key)
    store.put_new(ref.key, body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(StoreError, match="was changed"):
        parts.read_columns(store, wanted)


def test_a_manifest_that_was_replaced_is_read_again(store):
    stage = StageDir(store, "op-1")
    stage.finish(manifest_of([receipt(unit="a")]))
    assert list(parts.committed(store, "op-1").named("part")) == ["a"]
    store.delete("op-1")
    with pytest.raises(StoreError, match="not complete"):
        parts.committed(store, "op-1")
    stage.finish(manifest_of([receipt(unit="b")]))
    assert list(parts.committed(store, "op-1").named("part")) == ["b"]


def test_receipts_say_what_they_hold_not_when_or_where():
    one = receipt(files=(FileRef(key="x", size=1, digest="d"),), run={"seconds": 1.0})
    two = receipt(unit="other", key="z" * 32, files=(FileRef(key="y", size=1, digest="d"),), run={"seconds": 2.0})
    assert one.digest == two.digest
    assert Receipt.from_json(one.as_json()) == one
