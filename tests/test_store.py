"""The store: first writer wins, nothing half-written is visible, what was committed is verified."""

import threading
import time

import pyarrow as pa
import pytest

from winnow.core.errors import StoreError
from winnow.core.store import parts
from winnow.core.store.manifest import FileRef, Manifest, Receipt, StageDir, content_digest
from winnow.core.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "root")


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
    assert [p.name for p in (store.root / "a").iterdir()] == ["b"]


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(ValueError, match="no"), store.writing("a/x") as sink:  # noqa: PT012
        sink.write(b"half")
        raise ValueError("no")
    assert store.list("a") == []
    assert not list((store.root / "a").iterdir())


def test_keys_cannot_leave_the_root(store):
    for key in ("../x", "/etc/x", "a/../../x"):
        with pytest.raises(StoreError, match="leaves the store"):
            store.put_new(key, b"")


def test_temporary_and_hidden_files_are_not_listed(store):
    store.put_new("a/x", b"1")
    (store.root / "a" / ".y.tmp").write_bytes(b"2")
    (store.root / ".hidden").mkdir()
    assert store.list("a") == ["a/x"]
    assert store.folders() == ["a"]


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
    assert [f.key for f in made[0].files] == store.list("op-1/data/part")


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
        assert store.list("op-1/data/part") == [winner.files[0].key]
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
    assert len(list(store.path("op-1").glob("manifest.*.arrow"))) == 1


def test_content_digests_do_not_depend_on_the_cut():
    a = [receipt(unit="1"), receipt(unit="2")]
    both = Receipt(phase="part", unit="x", key="", rows=2, content={"a": "0" * 32})
    assert content_digest(a) == content_digest([both]) == content_digest(a[::-1])
    other = Receipt(phase="part", unit="x", key="", rows=2, content={"a": "0" * 31 + "1"})
    assert content_digest([other]) != content_digest([both])


@pytest.mark.parametrize("harm", ["flip", "shorten", "remove", "lengthen"])
def test_a_file_that_is_not_what_its_receipt_says_is_refused(store, harm):
    stage = StageDir(store, "op-1")
    table = pa.table({"a": pa.array([1, 2, 3])})
    (ref,) = parts.save_table(stage, "part", "u", table)
    assert parts.read_file(store, ref).equals(table)
    parts._checked.clear()
    path = store.path(ref.key)
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
