"""Folds of a pool that are trained on: what is planted is found, what is not is not, and the price is told."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from support import Ran, put_corpus, run
from test_ablation_run import TINY, result_of, sentences

from winnow.trainers.compare.comparison_text import render

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.slow]
RECIPE = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {luck: float64, other: float64}}
  held: {use: jsonl, files: "target/*.jsonl"}
  quality: {use: fasttext, inputs: docs, positive: held, epoch: 20, dim: 8, bucket: 2000}
  best: {use: top_k, inputs: docs, by: quality, budget: 20k tokens}
  lucky: {use: top_k, inputs: docs, by: luck, budget: 20k tokens}
  others: {use: top_k, inputs: docs, by: other, budget: 20k tokens}
  plain: {use: random, inputs: docs, budget: 20k tokens}
  effect: {use: ablation, arms: {best: best, lucky: lucky, others: others}, baseline: plain, eval: {target: held},
           seeds: 4, may_overlap: [target], tokens: 7000, MORE, TINY}
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Path:
    """Half of the documents have shuffled words, the target none; `luck` and `other` are random numbers."""
    folder, draw = tmp_path_factory.mktemp("folds"), random.Random(3)
    rows = [
        {"text": sentences(draw, 12, shuffled=bool(i % 2)), "luck": draw.random(), "other": draw.random()}
        for i in range(400)
    ]
    put_corpus(folder / "raw", rows, 1)
    put_corpus(folder / "target", [{"text": sentences(draw, 12, shuffled=False)} for _ in range(20)], 1)
    return folder


def compared(pool: Path, root: Path, more: str) -> tuple[Ran, dict]:
    ran = run(RECIPE.replace("MORE", more).replace("TINY", TINY), pool, root)
    return ran, result_of(ran, "effect")


def test_folds_find_what_is_planted_and_nothing_in_random_numbers_and_tell_their_price(pool, tmp_path):
    ran, metrics = compared(pool, tmp_path, "folds: true")
    rows = {label: arm["effects"]["target"] for label, arm in metrics["arms"].items()}
    assert rows["best"]["verdict"] == "better"
    assert [rows[label]["verdict"] for label in ("lucky", "others")] == ["cannot tell"] * 2
    assert {row["interval"] for row in rows.values()} == {"folds"}
    assert rows["best"]["selection"]["why"] == "every seed selects from another fold"
    assert not any(row["fixed_selection"] for row in rows.values()), "a rule without lots is another selection per fold"
    home = ran.table("effect.folds", "doc_id", "ablation_fold").to_pydict()
    fold_of = dict(zip(home["doc_id"], home["ablation_fold"], strict=True))
    for label in ("baseline", "aa", *metrics["arms"]):
        for seed in range(4):
            read = ran.plan.node(f"effect.train_{label}_{seed}").refs["selection"]
            table = ran.table(read.name, "doc_id", "kept").to_pydict()
            chosen = {i for i, k in zip(table["doc_id"], table["kept"], strict=True) if k}
            assert {fold_of[i] for i in chosen} == {seed}, (label, seed)
    text = "\n".join(render(metrics))
    assert re.search(r"4 parts of \d+ to \d+ documents, about 15,\d00 tokens each", text)
    for words in (
        "folds: every seed selects from its own part of the pool, 4 parts of ",
        "folds: budgets are divided by 4: 5k tokens of 20k tokens; at most 1.44 epochs in 7,000 training tokens",
        "folds: the whole pool was looked at by quality, and a fold did not fit anew",
        "`refit: true` does",
    ):
        assert words in text
    assert "text that two seeds' selections have in common" not in text
    again, refitted = compared(pool, tmp_path, "folds: true, refit: true")
    assert refitted["arms"]["best"]["effects"]["target"]["verdict"] == "better"
    assert "looked at" not in "\n".join(render(refitted))
    trained = {n for n in again.computed if ".train_" in n}
    assert {n.split("_")[1] for n in trained} == {"best"}, "no other arm reads what was fitted"
    assert refitted["arms"]["lucky"]["scores"] == metrics["arms"]["lucky"]["scores"]
