"""Mixture policies in recipes: a graph of skills from short runs, a run that draws by it, and its shares in a mixture."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support import plan_of, put_corpus, run
from test_ablation_run import result_of, sentences

from winnow.core.errors import ConfigError
from winnow.trainers.ablation.skill_runs import graph_from, runs_of

pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 320, width: 16, layers: 1, heads: 2, context: 32, batch: 4"
RECIPE = f"""
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{kind: string}}}}
  held_prose: {{use: jsonl, files: "prose/*.jsonl", source: held prose}}
  held_code: {{use: jsonl, files: "code/*.jsonl", source: held code}}
  plain: {{use: random, inputs: docs, budget: 6k tokens}}
  graph: {{use: skill_graph, selection: plain, per: kind, method: pairs, feedback: {{prose: held_prose, code: held_code}},
           tokens: 600, {TINY}}}
  skilled: {{use: train, selection: plain, tokens: 2000, {TINY},
             policy: {{use: skill_it, per: kind, graph: graph, feedback: {{prose: held_prose, code: held_code}}, every: 4}}}}
  mixed: {{use: mixture, inputs: docs, per: kind, weights_from: skilled, budget: 2k tokens}}
"""  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out, draw = tmp_path_factory.mktemp("kinds"), random.Random(3)

    def code() -> str:
        return "\n".join(f"x{draw.randrange(9)} = f({draw.randrange(99)})" for _ in range(20))

    def prose() -> str:
        return sentences(draw, 9, shuffled=False)

    docs = [{"text": code(), "kind": "code"} if i % 2 else {"text": prose(), "kind": "prose"} for i in range(80)]
    put_corpus(out / "raw", [*docs, {"text": prose()}, {"text": prose(), "kind": None}], 1)
    put_corpus(out / "prose", [{"text": prose()} for _ in range(6)], 1)
    put_corpus(out / "code", [{"text": code()} for _ in range(6)], 1)
    return out


def test_a_graph_is_trained_a_run_draws_by_it_and_a_mixture_takes_its_shares(folder, tmp_path):
    ran = run(RECIPE, folder, tmp_path / "root")
    graph = result_of(ran, "graph")
    assert set(graph["losses"]) == {"skill-0000", "skill-0001", "pair-0000-0001"}
    assert graph["graph"]["prose"]["prose"] == graph["graph"]["code"]["code"] == 1.0
    own = graph["losses"]["skill-0000"], graph["losses"]["skill-0001"]
    assert own[0]["code"] < own[1]["code"], "a model that read code knows code better"
    trained = result_of(ran, "skilled.run")
    told = trained["policy"]["figures"]
    assert told["graph"] == graph["graph"]
    assert trained["weights"] == told["weights"] == result_of(ran, "skilled")["weights"]
    assert sum(trained["weights"].values()) == pytest.approx(1.0)
    assert sum(one["tokens"] for one in told["domains"].values()) == 2000
    assert [point["step"] for point in told["losses"]] == [4, 8, 12, 16]
    domains = ran.manifest("mixed").metrics["domains"]
    assert {name: one["share"] for name, one in domains.items()} == pytest.approx(trained["weights"], abs=1e-6)


def test_a_graph_of_other_texts_or_columns_is_refused_before_anything_is_trained(folder):
    with pytest.raises(ConfigError, match="nothing"):
        plan_of(RECIPE.replace("per: kind, graph: graph", "per: nothing, graph: graph"), folder)
    for old, new, where in (
        ("method: pairs", "least: 1.5", "least"), ("method: pairs", "method: triples", "method"),
        ("tokens: 600", "tokens: 6", "tokens"), ("per: kind, method", "per: [], method", "per"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            plan_of(RECIPE.replace(old, new, 1), folder)
        assert error.value.where.endswith(where)


def test_edges_are_relative_falls_of_losses():
    losses = {
        "untrained": {"a": 4.0, "b": 5.0}, "skill-0000": {"a": 1.0, "b": 4.0}, "skill-0001": {"a": 4.4, "b": 2.0},
        "pair-0000-0001": {"a": 0.5, "b": 2.5},
    }  # fmt: skip
    alone = graph_from("alone", losses, ["a", "b"], ["a", "b"], least=0.0)
    assert alone == {"a": {"a": 0.75, "b": pytest.approx(0.2)}, "b": {"a": 0.0, "b": 0.6}}
    assert graph_from("alone", losses, ["a", "b"], ["a", "b"], least=0.3)["a"]["b"] == 0.0
    pairs = graph_from("pairs", losses, ["a", "b"], ["a", "b"], least=0.0)
    assert pairs == {"a": {"a": 1.0, "b": 0.0}, "b": {"a": 0.5, "b": 1.0}}
    assert list(runs_of("alone", 2)) == ["untrained", "skill-0000", "skill-0001"]
    assert len(runs_of("pairs", 5)) == 15
