"""`sample_text` as a stage: text of a trained model in a file, and a scorer of documents over it."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from support import Ran, plan_of, put_corpus, run
from test_ablation_run import result_of, sentences

from winnow.core.errors import ConfigError
from winnow.trainers.evaluate.drawn_text import DrawnText
from winnow.trainers.evaluate.sampling import expected_max

pytest.importorskip("torch")
pytestmark = pytest.mark.train
STAGES = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  best: {use: random, inputs: docs, budget: 9k tokens}
  words: {use: signals, inputs: docs}
  shout: {use: "own:shout", inputs: docs}
  base: {use: train, selection: best, vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, tokens: 3000}
"""
MORE = """
  plain: {use: sample_text, model: base, samples: 12, max_tokens: 12, max_of: 5, scorer: words, score: mean_word_length}
  asked: {use: sample_text, model: base, samples: 12, max_tokens: 12, max_of: 5, scorer: shout, prompts: ["the ", "A"]}
  fewer: {use: sample_text, model: base, samples: 6, max_tokens: 12}
"""
OWN = '''
import polars as pl

import winnow


@winnow.scorer("shout")
def shout(text: pl.Series) -> pl.Series:
    """Share of letters a, in [0, 1]."""
    return text.str.count_matches("a") / text.str.len_chars().clip(1)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, draw = tmp_path_factory.mktemp("texts"), random.Random(3)
    put_corpus(out / "raw", [{"text": sentences(draw, 12, shuffled=False)} for _ in range(40)], 1)
    (out / "own.py").write_text(OWN)
    return out


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(STAGES + MORE, folder, tmp_path_factory.mktemp("root"))


def samples(ran: Ran, stage: str) -> pl.DataFrame:
    node = next(n for n in ran.plan.nodes if n.name in (f"{stage}.texts", stage) and n.operator.name == "drawn_text")
    return pl.read_parquet(ran.store.local_copy(f"{node.folder}/samples") / "samples.parquet")


def test_samples_are_text_of_the_model_and_their_scores_those_of_the_scorer(ran: Ran) -> None:
    table, scores = samples(ran, "plain"), result_of(ran, "plain")
    assert table.columns == ["number", "prompt", "text", "tokens", "ended"]
    assert table["number"].to_list() == list(range(12))
    assert table["tokens"].max() <= 12
    written = table.filter(pl.col("text").str.strip_chars() != "")
    expected = [sum(map(len, t.split())) / len(t.split()) for t in written["text"]]
    found = [s for s in scores["scores"] if s is not None]
    assert len(found) == len(written) == 12 - scores["without_score"]
    assert found == pytest.approx(expected, rel=0.35), "words by the scorer's own rules"
    assert scores["mean"] == pytest.approx(sum(found) / len(found), abs=1e-5)
    assert scores["expected_max"] == pytest.approx(expected_max(pl.Series(found).to_numpy(), 5), abs=1e-4)
    assert scores["mean"] < scores["expected_max"] <= max(found) + 1e-6


def test_a_sample_is_the_same_among_fewer(ran: Ran) -> None:
    assert samples(ran, "fewer")["text"].to_list() == samples(ran, "plain")["text"].to_list()[:6]


def test_prompts_come_in_turn_and_a_users_function_scores(ran: Ran) -> None:
    table, scores = samples(ran, "asked"), result_of(ran, "asked")
    assert table["prompt"].to_list() == ["the ", "A"] * 6
    text = table["text"].filter(table["text"].str.strip_chars() != "")
    expected = text.str.count_matches("a") / text.str.len_chars()
    assert [s for s in scores["scores"] if s is not None] == pytest.approx(expected.to_list(), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("scorer: words", "several columns"),
        ("scorer: words, score: nonsense", "has no column 'nonsense'"),
        ("scorer: best", "no scorer of single texts"),
        ("scorer: words, score: word_count, samples: 20", "20 samples are fewer than the 25"),
        ("score: word_count", "score has no effect without scorer"),
        ("top_p: 0", "top_p is 0"),
        ("samples: 0", "samples is 0"),
    ],
)
def test_bad_fields_are_refused_while_planning(folder: Path, fields: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        plan_of(f"{STAGES}  out: {{use: sample_text, model: base, {fields}}}\n", folder)


def test_a_stage_without_a_model_and_an_unknown_control_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="holds no trained model"):
        plan_of(f"{STAGES}  out: {{use: sample_text, model: best}}\n", folder)
    with pytest.raises(ConfigError, match="knows no control 'aligned'"):
        DrawnText(control="aligned").control_ids({})
    assert DrawnText(control="b").control_ids({"a": 7, "b": 8}) == [8]
