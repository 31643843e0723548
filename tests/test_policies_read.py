"""Policies that read models and held-out texts, in recipes, to the end; and what they made of documents, read back."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support import Ran, put_corpus, run
from test_ablation_run import result_of, sentences

from winnow.core.errors import DataError
from winnow.dags.looking.why import explain
from winnow.dags.recipe.records import latest_record

pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 320, width: 16, layers: 1, heads: 2, context: 128, batch: 4, tokens: 5000, precision: fp32"
RECIPE = f"""
seed: 1
stages:
  docs:  {{use: jsonl, files: "raw/*.jsonl", columns: {{kind: string}}}}
  held:  {{use: jsonl, files: "held/*.jsonl", source: held}}
  feed:  {{use: jsonl, files: "feed/*.jsonl", source: feed}}
  pool:  {{use: random, inputs: docs, budget: 4k tokens}}
  early: {{use: random, inputs: docs, budget: 2k tokens, salt: x}}
  base:  {{use: train, selection: pool, {TINY}}}
  spread: {{use: phases, inputs: docs, phases: [{{name: a, select: kept_early, tokens: 2500 tokens}},
    {{name: b, select: kept_pool, tokens: 2500 tokens}}]}}
  salted: {{use: train, selection: pool, policy: {{use: salt, teacher: base, share: 0.5, until: 0.5}}, {TINY}}}
  doged: {{use: train, selection: pool, policy: {{use: doge, inputs: docs, per: kind, every: 3, feedback: {{feed: feed}}}},
    {TINY}}}
  toward: {{use: train, selection: pool, loss_at: [0], {TINY},
    policy: {{use: value_alignment, inputs: docs, feedback: feed, every: 2, hidden: 0, kl: 1.0e-9, rate: 5, updates: 200}}}}
  parted: {{use: train, selection: spread, loss_at: [0], {TINY},
    policy: {{use: value_alignment, inputs: docs, feedback: feed, every: 2}}}}
  back:  {{use: training_feedback, inputs: docs, run: toward, columns: [alignment], precision: fp32}}
  best:  {{use: top_k, inputs: [docs, back], by: alignment, budget: 20 docs}}
  phased: {{use: training_feedback, inputs: docs, run: parted}}
  mixed: {{use: mixture, inputs: docs, per: kind, shares: {{a: 0.8, b: 0.2}}, budget: 4k tokens}}
  of_mix: {{use: train, selection: mixed, weighting: repeat, loss_at: [0], {TINY}}}
  blended: {{use: training_feedback, inputs: docs, run: of_mix}}
  length: {{use: lm_nats, inputs: docs, models: {{phased: parted, blended: of_mix}}}}
"""
ABLATION = f"""
  effect: {{use: ablation, arms: {{x: {{data: pool, policy: {{use: value_alignment, inputs: docs, feedback: feed}}}}}},
    baseline: pool, eval: {{target: held}}, may_overlap: [], seeds: 1, {TINY}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Short documents, so that a step has many samples."""
    out, draw = tmp_path_factory.mktemp("reading"), random.Random(3)
    docs = [{"text": sentences(draw, 1, shuffled=bool(i % 2)), "kind": "ab"[i % 2]} for i in range(160)]
    put_corpus(out / "raw", docs, 1)
    held = [{"text": "held out " + " ".join(f"n{draw.randrange(10**6)}" for _ in range(20))} for _ in range(7)]
    feed = [{"text": f"{sentences(draw, 2, shuffled=False)} {i} {i * i}"} for i in range(30)]
    put_corpus(out / "held", held, 1)
    put_corpus(out / "feed", [*feed, *held[:3]], 1)
    return out


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory) -> Ran:
    """One run of all of them; of the feedback a sample of 600 bytes is read."""
    from winnow.trainers.ablation import arm_policies

    before, arm_policies.MOST_TEXT_BYTES = arm_policies.MOST_TEXT_BYTES, 600
    try:
        return run(RECIPE, folder, tmp_path_factory.mktemp("root"))
    finally:
        arm_policies.MOST_TEXT_BYTES = before


def told(ran: Ran, stage: str) -> dict[str, Any]:
    """What a run's policy told."""
    return result_of(ran, f"{stage}.run")["policy"]


def test_policies_read_models_and_texts_and_train_to_the_end(ran):
    plain = result_of(ran, "base.run")
    for stage in ("salted", "doged", "toward", "parted"):
        found = result_of(ran, f"{stage}.run")
        assert found["tokens"] == plain["tokens"] == 5000, stage
        assert found["last_loss"] != plain["last_loss"], stage
    steps = told(ran, "salted")["figures"]["taught_steps"]
    assert 0 < steps < 10
    shares = told(ran, "doged")["figures"]["weights"]
    assert set(shares) == {"a", "b"}
    assert sum(shares.values()) == pytest.approx(1)
    assert told(ran, "toward")["figures"]["feedback_examples"] > 0
    assert told(ran, "parted")["figures"]["looks"] == 6, "each phase ends with a step of its own"


def test_a_sample_of_the_texts_and_weights_on_few_samples_are_remarked(ran):
    said = ran.metrics["toward.run"]["remarks"]
    (line,) = (line for line in said if "keyed sample" in line)
    facts = result_of(ran, "toward.feedback_feed")
    assert 0 < facts["items"] < 33 == facts["items_found"]
    assert line.startswith(f"{facts['items']} of 33 texts (")
    assert f"of 'feedback' are read, a keyed sample of {facts['scored_bytes'] / 1e6:.3g} MB" in line
    assert "name a smaller selection of them" in line
    share = told(ran, "toward")["last_ess_share"]
    assert share < 0.1, "a step has more than ten samples, and one or two of them have it all"
    assert any(f"the effective sample size is {share:.1%} of a step's samples" in line for line in said)
    assert not any("effective sample size" in line for line in ran.metrics["parted.run"].get("remarks", ()))


def test_what_a_policy_measured_of_documents_selects_in_a_later_stage_and_is_shown_by_why(ran):
    back = pl.from_arrow(ran.table("back", "doc_id", "alignment", "times_seen", "loss_at_0"))
    best = pl.from_arrow(ran.table("best", "doc_id", "kept"))
    assert isinstance(back, pl.DataFrame)
    assert isinstance(best, pl.DataFrame)
    both = back.join(best, on="doc_id")
    known = both.filter(pl.col("alignment").is_not_null())
    assert 20 < len(known) < len(both)
    assert (known["times_seen"] > 0).all()
    top = known.sort("alignment", descending=True)
    kept = both.filter("kept").sort("alignment", descending=True)
    assert kept["alignment"].to_list() == top["alignment"][:20].to_list()  # of equal ones either may be kept
    assert top["alignment"][0] > top["alignment"][-1]
    record = latest_record(ran.store, "test")
    for row in (top.row(0, named=True), both.filter(pl.col("alignment").is_null()).row(0, named=True)):
        stages = {stage["stage"]: stage for stage in explain(record, row["doc_id"].hex())["stages"]}
        for name in ("alignment", "times_seen", "loss_at_0"):
            assert stages["back"]["columns"][name] == row[name], name


def seen(ran: Ran, stage: str, *selections: str) -> pl.DataFrame:
    """`times_seen` and the tokens seen per document, beside the kind and what selections say of it."""
    tables = [
        pl.from_arrow(ran.table(stage, "doc_id", "times_seen")),
        pl.from_arrow(ran.table("docs", "doc_id", "kind")),
    ]
    tables += [pl.from_arrow(ran.table(s, "doc_id", "weight")).rename({"weight": s}) for s in selections]
    tables.append(pl.from_arrow(ran.table("length", "doc_id", f"scored_tokens_{stage}")))
    both = functools.reduce(lambda left, right: left.join(right, on="doc_id"), tables)
    return both.with_columns(used=pl.col("times_seen") * (pl.col(f"scored_tokens_{stage}") + 1))  # and the end of each


def test_feedback_of_phases_and_of_mixtures_counts_what_each_of_them_trained_on(ran):
    phased = seen(ran, "phased", "early", "pool")
    assert phased["used"].sum() == pytest.approx(5000)
    assert (phased.filter((pl.col("early") == 0) & (pl.col("pool") == 0))["times_seen"] == 0).all()
    twice, once = phased.filter((pl.col("early") > 0) & (pl.col("pool") > 0)), phased.filter(pl.col("pool") > 0)
    assert float(twice["times_seen"].sum()) / len(twice) > float(once["times_seen"].sum()) / len(once) > 0
    mixed = seen(ran, "blended", "mixed")
    assert mixed["used"].sum() == pytest.approx(5000)
    assert (mixed.filter(pl.col("mixed") == 0)["times_seen"] == 0).all()
    assert mixed.filter(pl.col("kind") == "a")["used"].sum() / 5000 == pytest.approx(0.8, abs=0.01)


def test_feedback_that_holds_what_is_evaluated_is_refused_with_its_items(folder, tmp_path):
    with pytest.raises(DataError, match=r"that the policy learns from repeat 3 items of target 'target'") as caught:
        run(RECIPE.partition("  base:")[0] + ABLATION, folder, tmp_path, until="effect.train_x_0")
    assert "may_overlap: [target]" in caught.value.hint
    assert "x/feedback" in caught.value.where
