"""A run root on an object store: the bytes of one on a folder, whatever the store does meanwhile."""

from __future__ import annotations

import itertools

import pytest
from memory_store import memory_scheme
from support import own_operators, put_corpus, run, texts
from support_s3 import SECRET, SLOW_DOWN
from test_kills import EVERY, MINI, OWN

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.locations import open_store

DEDUP = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  exact:  {use: exact, inputs: docs}
  unique: {use: minhash, inputs: docs, threshold: 0.6}
  plain:  {use: random, inputs: docs, budget: 60%}
  corpus: {use: write, inputs: [docs, plain], shard_bytes: 6KB}
"""
OPTIONS = {"part_bytes": 6000, "buckets": 2}
numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("remote")
    same = texts(30, seed=1)
    put_corpus(base / "raw", [*same, *(t + " and more" for t in same[:12]), *same[:6]], 3)
    put_corpus(base / "more", texts(24, seed=2), 1)
    return base


@pytest.fixture(scope="module")
def plain(folder):
    """What the dedup recipe gives on a folder."""
    return run(DEDUP, folder, folder / "plain", **OPTIONS)


def new_root() -> str:
    return f"s3://bucket/root-{next(numbers)}"


def same(found, plain, *stages):
    assert found.digests == plain.digests
    for stage in stages or ("corpus",):
        assert found.shards(stage) == plain.shards(stage)


def test_a_recipe_that_deduplicates_has_the_same_bytes_on_a_folder_in_memory_and_on_s3(s3, folder, plain):
    root = new_root()
    same(run(DEDUP, folder, root, **OPTIONS), plain)
    again = run(DEDUP, folder, root, **OPTIONS)
    assert again.computed == {}
    same(again, plain)
    with memory_scheme():
        same(run(DEDUP, folder, "memory://one", **OPTIONS), plain)


@pytest.mark.slow
def test_every_shape_has_the_same_bytes_on_s3(s3, folder):
    with own_operators(**OWN):
        plain = run(EVERY, folder, folder / "every", **OPTIONS)
        same(run(EVERY, folder, new_root(), **OPTIONS), plain, "corpus", "sorted")


FAULTS = {
    "an error now and then": lambda r: ("answer", 500, "InternalError", "again") if r.number % 5 == 2 else "pass",
    "slow down": lambda r: ("answer", *SLOW_DOWN) if r.number % 4 == 1 else "pass",
    "lost connections": lambda r: "drop" if r.number % 7 == 3 else "pass",
    "lost answers": lambda r: "lost" if r.number % 5 == 3 else "pass",
    "lost answers to creations": lambda r: "lost" if r.kind == "create" and r.number % 2 else "pass",
    "answers that end early": lambda r: "half" if r.kind == "get" and r.number % 3 == 0 else "pass",
}


QUICK = ("lost answers", "slow down")


@pytest.mark.parametrize("fault", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FAULTS])
def test_faults_of_the_store_change_nothing(s3, folder, fault):
    plain = run(MINI, folder, folder / f"mini-{next(numbers)}", part_bytes=20_000, buckets=1)
    s3.act = FAULTS[fault]
    found = run(MINI, folder, new_root(), part_bytes=20_000, buckets=1)
    assert len(s3.acted) > 5
    same(found, plain)


def test_the_first_of_two_creations_whose_answers_were_lost_wins(s3):
    store = open_store(new_root())
    s3.act = lambda r: "lost" if r.kind == "create" and not any(a[0].key == r.key for a in s3.acted) else "pass"
    assert store.put_new("a", b"mine")
    assert s3.counts()["create"] == 2  # the second was told that it is there already, and it is its own
    assert not store.put_new("a", b"other")
    assert store.get("a") == b"mine"
    with store.writing("b") as sink:
        sink.write(b"data")
    assert [request.key.rpartition("/")[2] for request, _ in s3.acted] == ["a", "b"]
    assert store.get("b") == b"data"
    with pytest.raises(StoreError, match="File exists"), store.writing("b") as sink:
        sink.write(b"data")  # equal bytes of another attempt are another's all the same


def test_a_creation_that_meets_another_in_flight_is_tried_again(s3):
    store = open_store(new_root())
    s3.act = lambda r: ("answer", 409, "ConditionalRequestConflict", "x") if r.number in (1, 3) else "pass"
    assert store.put_new("a", b"1")
    assert store.get("a") == b"1"


def test_answers_that_end_early_are_asked_for_again(s3, tmp_path):
    store = open_store(new_root())
    for name in ("a", "b"):
        store.put(name, bytes(range(256)) * 10)
    acts = (
        lambda: store.get("a"), lambda: store.find("a"), lambda: store.open_buffer("a").read(),
        lambda: store.open_range("a", 0, 2560).to_pybytes(), lambda: store.local_copy("b").read_bytes()[:2560],
        lambda: (store.copy_out("a", tmp_path / "x"), (tmp_path / "x").read_bytes())[1],
    )  # fmt: skip
    for act in acts:
        s3.clear()
        s3.act = lambda r: "half" if len(s3.acted) < 2 and r.method == "GET" else "pass"
        assert act() == bytes(range(256)) * 10
        assert len(s3.acted) == 2
    for act, found in ((lambda: store.list(""), ["a", "b"]), (lambda: store.walk(""), ["a", "b"])):
        s3.clear()
        s3.act = lambda r: "half" if len(s3.acted) < 2 else "pass"
        assert act() == found


def test_large_files_go_in_pieces(s3, monkeypatch):
    from winnow.core.store import remote_store

    monkeypatch.setattr(remote_store, "WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr(remote_store, "PIECE_BYTES", 5 << 20)
    store = open_store(new_root())
    data = bytes(range(256)) * 50_000
    with store.writing("large") as sink:
        sink.write(data)
    assert s3.counts()["pieces"] == 5
    assert store.get("large") == data
    with pytest.raises(StoreError, match="File exists"), store.writing("large") as sink:
        sink.write(data)


# --- bad input


def test_a_store_without_conditional_put_is_refused_with_the_reason(s3, folder, monkeypatch):
    from winnow.dags.driver.session import run_recipe

    (folder / "r.yaml").write_text(MINI)
    monkeypatch.chdir(folder)
    from support_s3 import Handler

    ask = Handler._ask

    def forgetful(self, body):
        del self.headers["If-None-Match"]
        return ask(self, body)

    monkeypatch.setattr(Handler, "_ask", forgetful)
    root = new_root()
    with pytest.raises(ConfigError, match="ignores the condition of a put") as told:
        run_recipe("r.yaml", out=root)
    assert told.value.where == root
    assert "conditional puts" in told.value.hint
    monkeypatch.setattr(Handler, "_ask", ask)
    assert open_store(root).walk("") == []
    monkeypatch.setenv("WINNOW_STORE_RETRY_S", "1")
    s3.act = lambda r: ("answer", 501, "NotImplemented", "A header you provided") if r.kind == "create" else "pass"
    with pytest.raises(ConfigError, match="lacks an operation"):
        run_recipe("r.yaml", out=root)


ANSWERS = {
    "forbidden": ((403, "AccessDenied", "Access Denied"), "forbids it", "list, get, put and delete"),
    "credentials": ((403, "InvalidAccessKeyId", "The key does not exist"), "does not accept these credentials", "environment"),
    "expired": ((400, "ExpiredToken", "The token has expired"), "does not accept these credentials", "environment"),
    "region": ((301, "PermanentRedirect", "x"), "another region", "AWS_REGION"),
    "region in words": ((400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-central-1'"),
                        "another region", "AWS_REGION"),
    "clock": ((403, "RequestTimeTooSkewed", "The difference is too large"), "clock of this machine", "NTP"),
    "slow": (SLOW_DOWN, "slow down", "fewer workers"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_what_the_store_refuses_is_said_with_the_next_action(s3, case, monkeypatch):
    answer, what, hint = ANSWERS[case]
    monkeypatch.setenv("WINNOW_STORE_RETRY_S", "1")
    s3.act = lambda r: ("answer", *answer)
    store = open_store(new_root())
    acts = (store.create, lambda: store.get("a"), lambda: store.list(""), lambda: store.put("a", b""), lambda: store.exists("a"),
            lambda: store.delete("a"), lambda: store.publish("a", "b"), lambda: store.open_buffer("a"))  # fmt: skip
    for act in acts[: 2 if case == "slow" else None]:
        with pytest.raises(StoreError, match=what) as told:
            act()
        assert hint in told.value.hint
        assert told.value.where.startswith("s3://bucket/root-")
        assert SECRET not in str(told.value)
        assert len(told.value.what) < 400


def test_a_missing_bucket_is_named(s3):
    store = open_store("s3://nowhere/x")
    for act in (
        store.create,
        lambda: store.get("a"),
        lambda: store.list(""),
        lambda: store.find("a"),
        lambda: store.walk(""),
    ):
        with pytest.raises(StoreError, match="the bucket does not exist") as told:
            act()
        assert told.value.where.startswith("s3://nowhere/x")


def test_no_credentials_are_said_at_once(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="no credentials in the environment") as told:
        open_store(new_root()).create()
    assert "AWS_ACCESS_KEY_ID" in told.value.hint


def test_an_endpoint_that_is_down_is_said_and_a_rerun_goes_on(s3, folder, monkeypatch):
    monkeypatch.setenv("WINNOW_STORE_RETRY_S", "1")
    root = new_root()
    s3.act = lambda r: "drop" if r.number > 60 else "pass"
    with pytest.raises(StoreError, match=r"cannot be reached|failed again and again") as told:
        run(MINI, folder, root, part_bytes=20_000, buckets=1)
    assert "goes on" in told.value.hint
    s3.act = lambda r: "pass"
    plain = run(MINI, folder, folder / f"mini-{next(numbers)}", part_bytes=20_000, buckets=1)
    same(run(MINI, folder, root, part_bytes=20_000, buckets=1), plain)


@pytest.mark.parametrize("location", [
    "s3://key:secret@bucket/x", "s3://bucket/x?X-Amz-Signature=abc", "s3://bucket/a#b", "s3://", "s3:///x", "s3://bucket/a//b",
    "s3://bucket/../x", "gs://bucket:80/x",
])  # fmt: skip
def test_a_location_holds_a_bucket_and_a_prefix_and_nothing_else(location):
    with pytest.raises(ConfigError) as told:
        open_store(location)
    assert "secret" not in str(told.value)
    assert "abc" not in str(told.value)


def test_credentials_are_in_no_file_and_no_message(s3, folder, tmp_path, capfd, monkeypatch):
    root = new_root()
    found = run(MINI, folder, root, part_bytes=20_000, buckets=1)
    store = found.store
    for key in store.walk(""):
        assert SECRET.encode() not in store.get(key), key
    for path in (tmp_path / "store-cache").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in "".join(capfd.readouterr())
