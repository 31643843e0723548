"""A run that is killed at any operation and started again ends as if nothing had happened, and redoes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from support import held, put_corpus, run, texts
from support_kill import Killer

MINI = """
stages:
  docs:  {use: jsonl, files: "raw/*", id: content}
  exact: {use: exact, inputs: docs}
  corpus: {use: write, inputs: [docs, exact], shard_bytes: 8KB}
"""
EVERY = """
seed: 5
stages:
  left:    {use: jsonl, files: "raw/*", id: content, source: a}
  right:   {use: jsonl, files: "more/*", source: b}
  docs:    {use: concat, inputs: [left, right]}
  tok:     {use: count_tokens, inputs: docs}
  clean:   {use: filter, inputs: [docs, tok], keep: {long: "token_count > 3"}}
  exact:   {use: exact, inputs: docs, where: kept_clean}
  unique:  {use: minhash, inputs: docs, where: kept_exact}
  halves:  {use: halves, inputs: [docs, unique]}
  mean:    {use: typical, inputs: docs, where: kept_exact}
  far:     {use: apart, inputs: docs, model: mean}
  best:    {use: top_k, inputs: [docs, exact], by: far, budget: 60%}
  corpus:  {use: write, inputs: [docs, best], carry: [far], shard_bytes: 3KB}
  order:   {use: ranked, inputs: docs, where: kept_exact}
  again:   {use: count_tokens, inputs: corpus}
  sorted:  {use: write, inputs: [docs, halves], format: arrow, order: source}
  metrics: {use: summary, of: corpus}
"""
DEALT = """
seed: 5
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  exact:  {use: exact, inputs: docs}
  unique: {use: minhash, inputs: docs, where: kept_exact}
  corpus: {use: write, inputs: [docs, unique], shard_bytes: 2KB}
"""
OWN = {f"{n}": f"support_ops:{n.title()}" for n in ("typical", "apart", "halves", "ranked", "summary")}
DAGS = {
    "mini": {"recipe": MINI, "shards": ["corpus"], "operators": {},
             "options": {"part_bytes": 20_000, "buckets": 1}},
    "every": {"recipe": EVERY, "shards": ["corpus", "sorted"], "operators": OWN,
              "options": {"part_bytes": 6000, "buckets": 2}},
    "dealt": {"recipe": DEALT, "shards": ["corpus"], "operators": {},
              "options": {"part_bytes": 2500, "buckets": 5, "pieces": 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def killer():
    found = Killer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("kills")
    put_corpus(base / "raw", texts(36, seed=1), 2)
    put_corpus(base / "more", texts(24, seed=2), 1)
    return base


@pytest.fixture
def roots(tmp_path):
    """A folder for run roots, in memory where there is one: what is tested is the order of operations, not a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 200_000_000:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="winnow-kills-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def undisturbed(killer, folder):
    """DAG -> what a run that nobody kills gives."""
    out = {}
    for dag in DAGS:
        out[dag] = attempt(killer, folder, dag, folder / f"plain-{dag}", names=True)
        assert "digests" in out[dag], out[dag]
    return out


def attempt(killer, folder, dag, root, **more):
    return killer(folder=str(folder), root=str(root), out=str(root) + ".json", **DAGS[dag], **more)


def killed_and_resumed(killer, folder, root, dag, plain, at):
    """Kill at operation `at`, run again, and compare with a run that nobody killed."""
    first = attempt(killer, folder, dag, root, kill_at=at)
    assert first == {"killed": signal.SIGKILL}, first
    before = held(root)
    stamps = {f: stamp(root, f) for r in before.values() for f in r.files}
    second = attempt(killer, folder, dag, root)
    told = f"killed before operation {at}: {plain['names'][at - 1]}"
    assert "digests" in second, f"{told}\n{second}"
    assert second["digests"] == plain["digests"], told
    assert second["shards"] == plain["shards"], told
    assert second["metrics"] == plain["metrics"], told
    for stage, phase, unit, _ in before:
        again = [key for key in second["written"] if key.startswith(f"{stage}/_data/{phase}/{unit}.")]
        assert not again, f"{told}: {phase}/{unit} had a receipt and was written again"
    for file, then in stamps.items():
        assert stamp(root, file) in (then, None), told  # exchanges are gone when their stage is complete
    if at % 6 == 0:
        third = attempt(killer, folder, dag, root)
        assert third["computed"] == {}, f"{told}: {third['computed']} computed by a run that had nothing to do"
    shutil.rmtree(root)


def stamp(root, file):
    path = root / file.key
    return (path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else None


def points(plain, spread):
    """Operations spread over the run, and of every phase the one after its last receipt."""
    ticks = plain["ticks"]
    found = {1 + round(i * (ticks - 1) / (spread - 1)) for i in range(spread)}
    last = {
        name.split("/")[2]: at
        for at, name in enumerate(plain["names"], 1)
        if name.startswith("os.link") and "/receipts/" in name
    }
    return sorted(found | {at + 1 for at in last.values()})


def test_every_shape_is_in_the_dag_that_is_killed(undisturbed):
    names = " ".join(undisturbed["every"]["names"])
    for phase in (
        "unit",
        "raw",
        "part",
        "send",
        "resolve",
        "table",
        "sample",
        "artefact",
        "state-01",
        "result",
        "step",
    ):
        assert f"/_data/{phase}/" in names or f"/receipts/{phase}/" in names
    assert undisturbed["every"]["ticks"] > 500


def test_the_last_operations_are_counted_too(killer, folder, undisturbed, tmp_path):
    ticks = undisturbed["mini"]["ticks"]
    assert attempt(killer, folder, "mini", tmp_path / "one", kill_at=ticks) == {"killed": signal.SIGKILL}
    assert "digests" in attempt(killer, folder, "mini", tmp_path / "two", kill_at=ticks + 1)


def test_another_cut_of_every_shape_gives_the_same_digests(killer, folder, undisturbed, tmp_path):
    dag = DAGS["every"] | {"options": {"part_bytes": 1500, "buckets": 5, "batch_rows": 7}}
    found = killer(folder=str(folder), root=str(tmp_path / "root"), out=str(tmp_path / "o.json"), **dag)
    assert found["digests"] == undisturbed["every"]["digests"]
    assert found["shards"]["corpus"] == undisturbed["every"]["shards"]["corpus"]


def test_a_small_run_killed_at_every_operation_ends_the_same(killer, folder, undisturbed, roots):
    plain = undisturbed["mini"]
    for at in range(1, plain["ticks"] + 1):
        killed_and_resumed(killer, folder, roots / str(at), "mini", plain, at)


def test_a_run_of_every_shape_killed_at_a_sample_of_its_operations_ends_the_same(killer, folder, undisturbed, roots):
    plain = undisturbed["every"]
    for at in points(plain, 12):
        killed_and_resumed(killer, folder, roots / str(at), "every", plain, at)


def test_an_exchange_of_two_levels_killed_at_a_sample_of_its_operations_ends_as_that_of_one(
    killer, folder, undisturbed, roots
):
    plain = undisturbed["dealt"]
    names = " ".join(plain["names"])
    assert all(f"/_data/{phase}/" in names for phase in ("send", "deal", "resolve", "return"))
    one = killer(folder=str(folder), root=str(roots / "one"), out=str(roots / "one.json"),
                 **DAGS["dealt"] | {"options": {"part_bytes": 2500, "buckets": 5}})  # fmt: skip
    assert (one["digests"], one["shards"]) == (plain["digests"], plain["shards"])
    dealing = [at for at, name in enumerate(plain["names"], 1) if "/deal/" in name or "/return/" in name]
    for at in sorted({*points(plain, 6), *dealing[:: len(dealing) // 6]}):
        killed_and_resumed(killer, folder, roots / str(at), "dealt", plain, at)


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_a_run_of_every_shape_killed_at_every_operation_ends_the_same(killer, folder, undisturbed, roots, tenth):
    plain = undisturbed["every"]
    for at in range(1 + tenth, plain["ticks"] + 1, 10):
        killed_and_resumed(killer, folder, roots / str(at), "every", plain, at)


# --- workers, nodes and runners that go away or get in each other's way

SLOW = """
import os, time
import polars as pl
from winnow.scorers.function_scorer import scorer

@scorer("mine")
def score(text):
    {do}
    return text.str.len_chars()
"""
WORKED = """
stages:
  docs: {use: jsonl, files: "raw/*", id: content}
  mine: {use: "mine:score", inputs: docs}
  exact: {use: exact, inputs: [docs]}
  best: {use: top_k, inputs: [docs, exact], by: mine, budget: 50%}
  corpus: {use: write, inputs: [docs, best], carry: [mine], shard_bytes: 3KB}
"""
ONCE = "try: os.close(os.open({flag!r}, os.O_CREAT | os.O_EXCL)); os.kill({pid}, 9); time.sleep(60)\n    except FileExistsError: pass"


def user_code(folder, do):
    (folder / "mine.py").write_text(SLOW.replace("{do}", do))


def test_a_killed_pool_worker_changes_nothing(folder, tmp_path):
    user_code(folder, "pass")
    plain = run(WORKED, folder, tmp_path / "plain", part_bytes=2500)
    user_code(folder, ONCE.format(flag=str(tmp_path / "flag"), pid="os.getpid()"))
    found = run(WORKED, folder, tmp_path / "out", workers=2, part_bytes=2500)
    assert (tmp_path / "flag").exists()
    assert found.counts("mine")["failed"] == 0
    assert found.digests == plain.digests
    assert found.shards("corpus") == plain.shards("corpus")
    assert found.runner.tasks > plain.runner.tasks  # it was tried again


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_ray_worker_changes_nothing(folder, tmp_path):
    user_code(folder, "pass")
    plain = run(WORKED, folder, tmp_path / "plain", part_bytes=2500)
    user_code(folder, ONCE.format(flag=str(tmp_path / "flag"), pid="os.getpid()"))
    found = run(WORKED, folder, tmp_path / "out", engine="ray", workers=2, part_bytes=2500)
    assert (tmp_path / "flag").exists()
    assert found.counts("mine")["failed"] == 0
    assert found.digests == plain.digests


@pytest.mark.ray
@pytest.mark.slow
def test_a_lost_node_changes_nothing(folder, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    user_code(folder, "time.sleep(0.3)")
    plain = run(WORKED, folder, tmp_path / "plain", part_bytes=2500)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    import threading

    def lose():
        while not list((tmp_path / "out").glob("function_scorer-*/receipts/part/*")):
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    try:
        found = run(WORKED, folder, tmp_path / "out", engine="ray", part_bytes=2500)
        thread.join(timeout=30)
        assert found.digests == plain.digests
        assert found.shards("corpus") == plain.shards("corpus")
    finally:
        ray.shutdown()
        cluster.shutdown()


RACE = """
import json, sys
sys.path[:0] = {paths!r}
import os
os.fsync = lambda fd: None
import support
from pathlib import Path
with support.own_operators(**{operators!r}):
    found = support.run({recipe!r}, Path({folder!r}), Path({root!r}), name=sys.argv[1], **{options!r})
print(json.dumps([found.digests, {{s: found.shards(s) for s in {shards!r}}}], sort_keys=True))
"""


@pytest.mark.parametrize("attempt_no", range(2))
def test_two_runners_racing_on_one_root_both_finish_with_the_same_result(folder, undisturbed, tmp_path, attempt_no):
    here = Path(__file__).parent
    dag = DAGS["every"]
    code = RACE.format(paths=[str(here), str(here.parent)], folder=str(folder), root=str(tmp_path / "out"), **dag)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"r{i}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    told = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    digests, shards = json.loads(told[0][0])
    assert digests == undisturbed["every"]["digests"]
    assert shards == undisturbed["every"]["shards"]


def test_a_runner_that_is_killed_leaves_no_worker_behind(folder, tmp_path):
    user_code(folder, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    here = Path(__file__).parent
    code = RACE.format(
        paths=[str(here), str(here.parent)], folder=str(folder), root=str(tmp_path / "out"), recipe=WORKED,
        operators={}, options={"workers": 2}, shards=[],
    )  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code, "r"], start_new_session=True) as process:
        until = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        worker = int((tmp_path / "pid").read_text())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < until, "the worker lives on"
        time.sleep(0.1)
