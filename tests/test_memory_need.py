"""Declared memory: what stages over all rows ask for is near what they take, and is refused where it is not there."""

from __future__ import annotations

import json
import random

import pytest
from cli_runs import winnow
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError
from winnow.core.operators import Whole
from winnow.dags.driver.runner import Runner
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.pipeline.measure.knn_graph import KnnGraph

RECIPE = """
name: small
stages:
  docs: {use: jsonl, files: "raw/*"}
  some: {use: filter, inputs: docs, keep: {of_site: "text_bytes % 2 = 0"}}
  v: {use: ngram_vectors, inputs: docs, dim: 64}
  g: {use: knn_graph, inputs: [v, some], where: kept_some, k: 4}
  cover: {use: facility_location, inputs: [docs, g], budget: 5 docs}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    put_corpus(tmp_path / "raw", texts(40, seed=1), 2)
    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_stage_that_wants_more_memory_than_there_is_is_refused_before_it_starts(folder, capsys):
    told = winnow(capsys, "run", "small.yaml", "--out", "out", "--memory", "0.2", "--workers", "0", "--json")
    error = told.json()["error"]
    assert told.code == 2
    assert error["where"] == "stages.g"
    assert "knn_graph wants 0.4 GB of memory for" in error["what"]
    assert "rows of 128 bytes each, and 0.2 GB are free" in error["what"]
    assert "a smaller `k`" in error["hint"]
    assert "--memory" in error["hint"]
    assert not list((folder / "out").glob("knn_graph-*/_data/*"))
    again = winnow(capsys, "run", "small.yaml", "--out", "out", "--memory", "2", "--workers", "0", "--json")
    assert again.code == 0


def test_only_the_rows_that_a_stage_is_asked_about_count(folder, monkeypatch):
    monkeypatch.setattr(KnnGraph, "memory_gb", lambda self, rows, width: rows * 1.0)
    ran = run(RECIPE, folder, folder / "out", until="some")
    asked = ran.runs[-1].manifest.counts["kept"]
    assert 0 < asked < 40
    monkeypatch.setattr("winnow.dags.engines.machine.available_memory_gb", lambda: float(asked))
    run(RECIPE, folder, folder / "out", until="g")
    monkeypatch.setattr("winnow.dags.engines.machine.available_memory_gb", lambda: asked - 0.5)
    with pytest.raises(ConfigError, match=f"for {asked} rows"):
        run(RECIPE, folder, folder / "other", until="g")


def test_a_second_try_after_the_kernel_killed_the_first_is_not_refused(folder, monkeypatch):
    from test_runner import Losing

    engine = Losing("SolveTask", 1, "oom")
    monkeypatch.setattr("winnow.dags.driver.runner.choose_engine", lambda *a, **k: engine)
    monkeypatch.setattr(Losing, "memory_gb", lambda self: 0.4)
    run(RECIPE, folder, folder / "out", until="g")
    first, second = (t.resources.memory_gb for t in engine.tasks if t.payload["do"] == "SolveTask")
    assert second == 2 * first > 0.4


@pytest.mark.parametrize("memory", [0.0, -1.0, float("inf"), float("nan")])
def test_an_amount_of_memory_that_cannot_be_is_refused(folder, capsys, memory):
    told = winnow(capsys, "run", "small.yaml", "--out", "out", "--memory", str(memory))
    assert told.code == 2
    assert "--memory" in told.err
    assert not (folder / "out" / "runs").exists()


def test_what_is_chosen_does_not_depend_on_the_machine(folder, monkeypatch):
    found = []
    for number, free in enumerate((0.5, 1e6)):
        monkeypatch.setattr("winnow.dags.engines.machine.available_memory_gb", lambda free=free: free)
        ran = run(RECIPE, folder, folder / f"out{number}")
        found.append((ran.digests["cover"], ran.manifest("cover").metrics["method"]))
    assert found[0] == found[1]


def wholes():
    for name in sorted(REGISTRY):
        cls = operator_class(name)
        if issubclass(cls, Whole) and cls.memory_gb is not Whole.memory_gb:
            yield name


def test_need_grows_with_rows_and_with_what_is_looked_up():
    from test_contract import EXAMPLES

    for name in wholes():
        operator = EXAMPLES[name](operator_class(name))
        small, large = operator.memory_gb(1000, 100.0), operator.memory_gb(1_000_000, 100.0)
        assert 0 < small < 1, name
        assert large > 1.3 * small, name
        if operator.looks_up():
            assert operator.memory_gb(1_000_000, 1000.0) > large, name
            assert operator.less_memory, name


def test_the_estimate_of_a_plan_tells_the_memory_of_stages_over_all_rows(folder, capsys):
    told = winnow(capsys, "plan", "small.yaml", "--out", "out", "--estimate", "--json").json()
    found = {s["stage"]: s["memory_gb"] for s in told["estimate"]["stages"]}
    assert found["v"] is None
    assert 0.3 < found["g"] < 0.5
    assert 0.3 < found["cover"] < 0.5
    assert told["estimate"]["memory_free_gb"] > 0
    assert "0.4 GB" in winnow(capsys, "plan", "small.yaml", "--out", "out", "--estimate").out


SCALE = """
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl"}}
  v: {{use: ngram_vectors, inputs: docs, dim: {dim}}}
  far: {{use: k_center_greedy, inputs: [docs, v], budget: 20 docs}}
  topics: {{use: clusters, inputs: [docs, v], num: 50}}
  g: {{use: knn_graph, inputs: [docs, v], k: 16, num_lists: 2000, num_probes: 4, min_recall: 0.0}}
  cover: {{use: facility_location, inputs: [docs, g], budget: 10k docs}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("dim", [64, 256])
def test_declared_memory_is_near_what_a_worker_takes(tmp_path, dim):
    draw = random.Random(0)
    words = [f"w{i}" for i in range(5000)]
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "a.jsonl").open("w") as out:
        for _ in range(400_000):
            out.write(json.dumps({"text": " ".join(draw.choices(words, k=8))}) + "\n")
    ran = run(SCALE.format(dim=dim), tmp_path, tmp_path / "out", workers=1)
    for name in ("far", "topics", "g", "cover"):
        item = next(r for r in ran.runs if r.node.name == name)
        from winnow.dags.driver.memory import wanted_gb

        peak = max(r.run["peak_bytes"] for r in ran.manifest(name).receipts) / 1e9
        assert wanted_gb(item) / 1.5 < peak < wanted_gb(item) * 1.5, (name, peak)
    assert isinstance(ran.runner, Runner)
