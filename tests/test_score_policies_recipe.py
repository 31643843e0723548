"""Policies that read a column, named by arms of a recipe: from the column to the figures of the run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Ran, plan_of, put_corpus, run
from test_ablation_run import result_of, sentences
from test_continued import code

from winnow.core.errors import ConfigError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02, tokens: 2600"
RECIPE = """
seed: 1
stages:
  docs:  {{use: jsonl, files: "raw/*.jsonl", columns: {{tox: float64, kind: string}}}}
  held:  {{use: jsonl, files: "held/*.jsonl"}}
  marks: {{use: segment_scores, inputs: docs, by: lines, hits: ["f[xyz]"]}}
  pool:  {{use: random, inputs: docs, budget: 40 docs}}
  base:  {{use: train, selection: pool, eval: {{held: held}}, may_overlap: [held], {tiny}}}
  loss:  {{use: lm_nats, inputs: docs, model: base, measures: nats_per_token}}
  calm:  {{use: rwr, inputs: docs, score: tox, beta: 0.2}}
  effect:
    use: ablation
    baseline: pool
    arms:
      static:   calm
      filtered: {{data: pool, policy: {{use: filtering, score: tox, tau: 0.5}}}}
      rewarded: {{data: pool, policy: calm}}
      valued:   {{data: pool, policy: {{use: awr, score: "tox * 1", task: pii}}}}
      unlike:   {{data: pool, policy: {{use: unlikelihood, score: docs.tox, tau: 0.5}}}}
      lines:    {{data: pool, policy: {{use: unlikelihood, segment_scores: marks.segment_scores,
                                        segment_ends: marks.segment_ends, tau: 0.0, alpha: 0.5}}}}
      novel:    {{data: pool, policy: {{use: rho, reference: loss.nats_per_token, keep: 0.3}}}}
      tokens:   {{data: pool, policy: {{use: rho_1, reference: base}}}}
      robust:   {{data: pool, policy: {{use: group_dro, per: [kind], step_size: 0.5}}}}
    eval: {{held: held}}
    eval_share: 1
    may_overlap: [held]
    seeds: 1
    aa: false
    {fields}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Programs are bad, sentences are good, and some have no score."""
    out, draw = tmp_path_factory.mktemp("texts"), random.Random(3)
    docs: list[dict[str, Any]] = []
    for i in range(60):
        bad = i % 2
        text = code(draw, 20) if bad else sentences(draw, 8, shuffled=False)
        docs.append({"text": text, "tox": None if i % 10 == 0 else 0.1 + 0.8 * bad, "kind": "code" if bad else "prose"})
    put_corpus(out / "raw", docs, 1)
    put_corpus(out / "held", [{"text": sentences(draw, 10, shuffled=False)} for _ in range(6)], 1)
    return out


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory) -> Ran:
    """One run with an arm per policy."""
    fields = "\n    ".join(part.strip() for part in TINY.split(","))
    return run(RECIPE.format(tiny=TINY, fields=fields), folder, tmp_path_factory.mktemp("root"))


def told(ran: Ran, arm: str) -> dict[str, Any]:
    """What a run of an arm told."""
    return result_of(ran, f"effect.train_{arm}_0")


def test_every_policy_acts_and_tells_of_it(ran):
    plain = told(ran, "baseline")
    for arm in ("filtered", "rewarded", "valued", "unlike", "lines", "novel", "tokens", "robust"):
        found = told(ran, arm)
        assert found["tokens"] == plain["tokens"], arm
        assert found["last_loss"] != plain["last_loss"], arm
        assert found["policy"]["figures"], arm
    assert told(ran, "filtered")["policy"]["figures"]["left_out"] > 15
    assert told(ran, "rewarded")["policy"]["figures"]["without_value"] > 0
    assert 0 < told(ran, "lines")["policy"]["figures"]["misaligned_share"] < 0.5
    assert set(told(ran, "robust")["policy"]["figures"]["weights"]) == {"code", "prose"}
    assert told(ran, "tokens")["policy"]["figures"]["mean_reference_nats"] > 1
    assert told(ran, "valued")["policy"]["figures"]["value_error"] < 0.3
    assert told(ran, "rewarded")["policy"]["mean_ess_share"] < 1
    weights = ran.table("calm", "weight")["weight"].to_pylist()
    scores = ran.table("docs", "tox")["tox"].to_pylist()
    assert weights == pytest.approx([1.0 if s is None else np.exp(-s / 0.2) for s in scores])
    assert told(ran, "static")["last_loss"] != plain["last_loss"]  # the same weights without a policy
    said = ran.metrics["effect.train_filtered_0"]["remarks"]
    assert any("have no `score`: they are left out" in line for line in said)


def test_policies_that_cannot_work_are_refused_while_planning(folder, tmp_path):
    fields = "\n    ".join(part.strip() for part in TINY.split(","))
    recipe = RECIPE.format(tiny=TINY, fields=fields)
    for before, after, what in (
        ("score: tox, tau: 0.5", "score: kind, tau: 0.5", "gives String, not a number"),
        ("score: tox, tau: 0.5", "score: toxx, tau: 0.5", "toxx"),
        ("reference: base", "reference: pool", "pool"),
        ("segment_scores: marks.segment_scores", "segment_scores: docs.tox", "not lists of numbers"),
        ("per: [kind]", "per: []", "no groups"),
    ):
        assert before in recipe
        with pytest.raises(ConfigError, match=what):
            plan_of(recipe.replace(before, after), folder, tmp_path)
