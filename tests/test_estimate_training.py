"""`plan --estimate` of what trains: how many runs, at the pace of this machine, and evaluation beside training."""

import json

import pytest
from support import put_corpus, texts

from winnow.cli import main
from winnow.dags.before import estimate_training as training
from winnow.trainers.evaluate import calibration
from winnow.trainers.model.device import Machine
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape

pytest.importorskip("torch")
pytestmark = pytest.mark.train
RECIPE = """
tokenizer: words
stages:
  docs:  {use: jsonl, files: "raw/*"}
  held:  {use: jsonl, files: "held/*", source: held}
  best:  {use: top_k, inputs: docs, by: text_bytes, budget: 30 docs}
  plain: {use: random, inputs: docs, budget: 30 docs}
  effect: {use: ablation, arms: {best: best}, baseline: plain, eval: {held: held}, seeds: 2, tokens: TOKENS,
           vocab: 300, width: 16, layers: 1, heads: 2, context: 32, batch: 4, device: cpu, may_overlap: [held] MORE}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    put_corpus(tmp_path / "raw", texts(80, seed=1), 2)
    put_corpus(tmp_path / "held", texts(9, seed=2), 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def estimated(folder, capsys, tokens=4096, more="", out="out"):
    (folder / "r.yaml").write_text(RECIPE.replace("TOKENS", str(tokens)).replace("MORE", more))
    args = ["plan", str(folder / "r.yaml"), "--out", str(folder / out), "--estimate"]
    assert main([*args, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out.splitlines()[-1])["estimate"]["training"]
    assert main(args) == 0
    return one, " ".join(capsys.readouterr().out.split())


def test_runs_are_counted_and_timed_at_the_pace_of_this_machine(folder, capsys, monkeypatch):
    one, said = estimated(folder, capsys)
    assert (one["stage"], one["runs"], one["runs_left"], one["tokens"], one["why"]) == ("effect", 6, 6, 4096, "")
    assert one["targets"] == [{"target": "held", "tokens": 50_000 // 3, "most": True}]
    run = one["training_seconds"] + one["evaluation_seconds"]
    assert one["seconds_left"] == pytest.approx(6 * run)
    assert one["evaluation_share"] == pytest.approx(one["evaluation_seconds"] / run)
    assert "effect: 6 runs of 0.0M weights and 4,096 tokens" in said
    assert "evaluation: at most " in said
    assert "`eval_share` and `eval_bytes` say how much of each target is read" in said, "50 kB beside 4,096 tokens"

    def never(*_):
        raise AssertionError("the pace of this size is known")

    monkeypatch.setattr(calibration, "measure", never)
    twice, _ = estimated(folder, capsys, tokens=8192, out="other")
    assert twice["training_seconds"] == pytest.approx(2 * one["training_seconds"])
    assert twice["evaluation_seconds"] == pytest.approx(one["evaluation_seconds"])
    along, _ = estimated(folder, capsys, more=", curve: 3", out="along")
    assert along["evaluation_seconds"] == pytest.approx(4 * one["evaluation_seconds"]), "and at three points on the way"


def test_what_is_made_is_not_counted_and_what_was_read_is_known(folder, capsys):
    estimated(folder, capsys)
    assert main(["run", str(folder / "r.yaml"), "--out", str(folder / "out"), "--workers", "0"]) == 0
    capsys.readouterr()
    one, said = estimated(folder, capsys)
    assert (one["runs"], one["runs_left"], one["seconds_left"]) == (6, 0, 0)
    assert "6 of them are there" in said
    (target,) = one["targets"]
    assert not target["most"]
    assert 0 < target["tokens"] < 50_000


def test_a_target_that_is_read_whole_and_was_never_read_is_said_to_be_left_out(folder, capsys):
    one, said = estimated(folder, capsys, more=", eval_share: 1")
    assert one["targets"] == [{"target": "held", "tokens": 0, "most": True}]
    assert "held: read whole, and how long it is nobody has looked yet; not in the time" in said


def test_without_torch_it_says_why_nothing_is_timed(folder, capsys, monkeypatch):
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    one, said = estimated(folder, capsys)
    assert "torch is not installed" in one["why"]
    assert "effect: 6 runs of 0.0M weights and 4,096 tokens; not timed: torch is not installed" in said


def test_the_pace_is_that_of_the_real_loop():
    small = calibration.measure(
        Shape(vocab=300, width=32, layers=2, heads=2, context=64), Recipe(), Machine(device="cpu")
    )
    large = calibration.measure(
        Shape(vocab=300, width=128, layers=6, heads=2, context=64), Recipe(), Machine(device="cpu")
    )
    assert 0 < small.training < large.training < 0.1
    assert 0 < small.evaluation < small.training
    assert large.evaluation < large.training
