"""A run that is killed at any operation and started again ends as if nothing had happened, and redoes nothing."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import held, lines_of, put_corpus, texts
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
  again:   {use: count_tokens, inputs: corpus}
  sorted:  {use: write, inputs: [docs, halves], format: arrow, order: source}
  metrics: {use: summary, of: corpus}
"""
OWN = {f"{n}": f"support_ops:{n.title()}" for n in ("typical", "apart", "halves", "summary")}
DAGS = {
    "mini": {"recipe": MINI, "shards": ["corpus"], "operators": {},
             "options": {"part_bytes": 20_000, "buckets": 1}},
    "every": {"recipe": EVERY, "shards": ["corpus", "sorted"], "operators": OWN,
              "options": {"part_bytes": 6000, "buckets": 2}},
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
    for stage, phase, unit, _ in before:
        again = [key for key in second["written"] if key.startswith(f"{stage}/data/{phase}/{unit}.")]
        assert not again, f"{told}: {phase}/{unit} had a receipt and was written again"
    for file, then in stamps.items():
        assert stamp(root, file) in (then, None), told  # exchanges are gone when their stage is complete
    if at % 3:
        return
    third = attempt(killer, folder, dag, root)
    assert third["computed"] == {}, f"{told}: {third['computed']} computed by a run that had nothing to do"


def stamp(root, file):
    path = root / file.key
    return (path.stat().st_mtime_ns, path.stat().st_ino) if path.exists() else None


def points(dag, plain, count):
    """Operations spread over the run."""
    ticks = plain["ticks"]
    return sorted({1 + round(i * (ticks - 1) / (count - 1)) for i in range(count)})


def test_every_shape_is_in_the_dag_that_is_killed(undisturbed):
    names = " ".join(undisturbed["every"]["names"])
    for phase in ("unit", "raw", "part", "send", "resolve", "table", "sample", "artefact", "state-01", "result", "step"):
        assert f"/data/{phase}/" in names or f"/receipts/{phase}/" in names
    assert undisturbed["every"]["ticks"] > 500


def test_the_last_operations_are_counted_too(killer, folder, undisturbed, tmp_path):
    ticks = undisturbed["mini"]["ticks"]
    assert attempt(killer, folder, "mini", tmp_path / "one", kill_at=ticks) == {"killed": signal.SIGKILL}
    assert "digests" in attempt(killer, folder, "mini", tmp_path / "two", kill_at=ticks + 1)


def test_a_small_run_killed_at_every_operation_ends_the_same(killer, folder, undisturbed, tmp_path):
    plain = undisturbed["mini"]
    for at in range(1, plain["ticks"] + 1):
        killed_and_resumed(killer, folder, tmp_path / str(at), "mini", plain, at)


def test_a_run_of_every_shape_killed_at_a_sample_of_its_operations_ends_the_same(
    killer, folder, undisturbed, tmp_path
):
    plain = undisturbed["every"]
    for at in points("every", plain, 25):
        killed_and_resumed(killer, folder, tmp_path / str(at), "every", plain, at)


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_a_run_of_every_shape_killed_at_every_operation_ends_the_same(
    killer, folder, undisturbed, tmp_path, tenth
):
    plain = undisturbed["every"]
    for at in range(1 + tenth, plain["ticks"] + 1, 10):
        killed_and_resumed(killer, folder, tmp_path / str(at), "every", plain, at)
