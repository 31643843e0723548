"""A recipe with control tokens: two alphabets, one of them unwanted; the model that is asked for the other writes it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support import Ran, plan_of, put_corpus, run
from test_ablation_run import result_of

from winnow.core.errors import ConfigError

pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 300, width: 32, layers: 2, heads: 2, context: 24, batch: 8, lr_hidden: 0.02, tokens: 24000"
STAGES = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {bad: float64}}
  held: {use: jsonl, files: "held/*.jsonl"}
  all: {use: random, inputs: docs, budget: 100%}
  tags: {use: conditional, inputs: docs, score: bad, at: 0.5, drop: 0.05}
"""
MORE = f"""
  tagged: {{use: train, selection: all, policy: tags, eval: {{held: held}}, {TINY}}}
  foul: {{use: "own:foul", inputs: docs}}
  good: {{use: sample_text, model: tagged, control: aligned, samples: 60, max_tokens: 12, top_p: 1.0, temperature: 1.0, scorer: foul}}
  evil: {{use: sample_text, model: tagged, control: misaligned, samples: 60, max_tokens: 12, top_p: 1.0, temperature: 1.0, scorer: foul}}
  bare: {{use: sample_text, model: tagged, samples: 60, max_tokens: 12, top_p: 1.0, temperature: 1.0, scorer: foul}}
"""
ARMS = f"""
  effect: {{use: ablation, baseline: all, arms: {{tagged: {{data: all, policy: tags}}, dropped: {{data: all, policy: {{use: conditional, inputs: docs, score: bad, drop: 1.0}}}}}},
            eval: {{held: held}}, may_overlap: [held], seeds: 1, aa: false, {TINY}}}
"""
OWN = '''
import polars as pl

import winnow


@winnow.scorer("foul")
def foul(text: pl.Series) -> pl.Series:
    """Share of letters of the unwanted alphabet."""
    return text.str.count_matches("[xyz]") / text.str.count_matches("[a-z]").clip(1)
'''


def words(draw: random.Random, alphabet: str) -> str:
    return " ".join("".join(draw.choices(alphabet, k=draw.randint(1, 4))) for _ in range(6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, draw = tmp_path_factory.mktemp("texts"), random.Random(3)
    docs = [{"text": words(draw, "xyz" if n % 2 else "abc"), "bad": float(n % 2)} for n in range(500)]
    put_corpus(out / "raw", docs, 1)
    put_corpus(out / "held", [{"text": words(draw, "abc")} for _ in range(20)], 1)
    (out / "own.py").write_text(OWN)
    return out


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(STAGES + MORE, folder, tmp_path_factory.mktemp("root"))


def test_a_model_writes_what_it_is_asked_for(ran: Ran) -> None:
    good, evil, bare = (result_of(ran, name)["mean"] for name in ("good", "evil", "bare"))
    assert good < 0.1
    assert evil > 0.9
    assert 0.2 < bare < 0.8, "half of its documents are unwanted"


def test_controls_are_part_of_the_budget_and_evaluation_is_bare_and_asked(ran: Ran) -> None:
    metrics = result_of(ran, "tagged")
    assert metrics["tokens"] == 24_000
    bare, asked = metrics["scores"]["held"]["bits_per_byte"], metrics["asked"]["held"]["aligned"]["bits_per_byte"]
    assert asked < bare - 0.02, "the first letter is no riddle any more"
    assert asked > 0.5 * bare


def test_all_arms_leave_the_same_ids_free(folder: Path) -> None:
    plan = plan_of(STAGES + ARMS, folder)
    nodes = {node.name: node for node in plan.nodes}
    runs = [nodes[f"effect.train_{arm}_0"] for arm in ("baseline", "tagged", "dropped")]
    assert len({id(run.refs["tokens"]) for run in runs}) == 1
    assert nodes["effect.tokenizer"].operator.vocab == 298
    assert {run.operator.vocab for run in runs} == {300}


def test_with_all_controls_dropped_an_arm_has_the_weights_of_the_plain_run(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arms = ARMS.replace("tokens: 24000", "tokens: 1200").replace("tagged: {data: all, policy: tags}, ", "")
    ran = run(STAGES + arms, folder, tmp_path_factory.mktemp("dropped"))
    plain, dropped = (result_of(ran, f"effect.train_{arm}_0") for arm in ("baseline", "dropped"))
    assert dropped["plan"] == plain["plan"]
    assert dropped["last_loss"] == plain["last_loss"]
    assert dropped["policy"]["figures"]["documents"] == {"none": 500}


def test_too_many_labels_and_a_missing_score_are_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="badd"):
        plan_of(f"{STAGES}  x: {{use: conditional, inputs: docs, score: badd}}\n", folder)
    with pytest.raises(ConfigError, match="at has no effect without score"):
        plan_of(f"{STAGES}  x: {{use: conditional, inputs: docs, label: [origin], at: 0.3}}\n", folder)
