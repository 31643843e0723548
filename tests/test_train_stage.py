"""`train` as a stage: one model on a selection, in files, with scores, a curve, a start, losses of documents."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import Ran, plan_of, put_corpus, run
from test_ablation_run import result_of, sentences
from test_continued import code
from test_trainers import Source

import winnow as w
from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.trainers.ablation.train import TrainModel
from winnow.trainers.evaluate.gpt_nats import GptNats
from winnow.trainers.model import loop
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
HERE = Path(__file__).resolve().parent
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02, tokens: 3000"
STAGES = """
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  held: {{use: jsonl, files: "held/*.jsonl"}}
  best: {{use: top_k, inputs: docs, by: good, budget: 9k tokens}}
  base: {{use: train, selection: best, eval: {{held: held}}, may_overlap: [held], curve: 3, {tiny}}}
"""
MORE = """
  more: {{use: train, selection: best, start: base, {tiny}}}
  loss: {{use: lm_nats, inputs: docs, where: "text_bytes > 600", model: more}}
  bits: {{use: lm_nats, inputs: docs, model: more, measures: bits_per_byte}}
  easy: {{use: top_k, inputs: docs, by: bits, budget: 10 docs, descending: false}}
  effect: {{use: ablation, arms: {{some: some}}, baseline: best, eval: {{held: held}}, eval_share: 1, may_overlap: [held], seeds: 1,
            aa: false, curve: 3, {tiny}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sentences and programs; the sentences are the good ones."""
    out, draw = tmp_path_factory.mktemp("texts"), random.Random(3)
    docs = [
        {"text": code(draw, 30) if i % 2 else sentences(draw, 12, shuffled=False), "good": 1.0 - i % 2}
        for i in range(80)
    ]
    put_corpus(out / "raw", docs, 1)
    put_corpus(out / "held", [{"text": sentences(draw, 12, shuffled=False)} for _ in range(8)], 1)
    return out


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory) -> Ran:
    """A model, one that continues it, the losses of all documents, and an ablation with an equal run."""
    recipe = STAGES + "  some: {{use: top_k, inputs: docs, by: good, budget: 5k tokens}}\n" + MORE
    return run(recipe.format(tiny=TINY), folder, tmp_path_factory.mktemp("root"))


def test_a_model_has_files_of_their_own_names_scores_and_a_curve(ran):
    metrics = result_of(ran, "base")
    assert metrics["tokens"] == metrics["tokens_behind"] == 3000
    assert {path.name for path in (ran.folder("base") / "model").iterdir()} == {
        "weights.npz", "tokenizer.json", "model.json"
    }  # fmt: skip
    curve = metrics["curve"]["held"]
    assert curve["tokens"][0] == 0
    assert curve["tokens"][-1] == 3000
    assert curve["values"][0] > curve["values"][-1] + 0.5
    assert curve["values"][-1] == pytest.approx(metrics["scores"]["held"]["bits_per_byte"], abs=1e-6)
    assert metrics["last_loss"] < metrics["first_loss"] - 1


def test_an_ablation_shares_the_run_that_is_equal(ran):
    nodes = {node.name: node for node in ran.plan.nodes}
    assert nodes["base.run"].fingerprint == nodes["effect.train_baseline_0"].fingerprint
    assert nodes["base.run"].fingerprint != nodes["effect.train_some_0"].fingerprint
    assert nodes["base.score_held"].fingerprint == nodes["effect.score_baseline_0_held"].fingerprint


def test_a_model_that_continues_knows_what_was_read_before(ran):
    metrics = result_of(ran, "more")
    assert metrics["start"]["tokens"] == 3000
    assert metrics["tokens_behind"] == 6000
    assert json.loads((ran.folder("more") / "model" / "model.json").read_bytes())["tokens"] == 6000
    assert metrics["last_loss"] < result_of(ran, "base")["last_loss"]
    nodes = {node.name: node for node in ran.plan.nodes}
    assert nodes["more.tokens"].refs["tokenizer"].name == "base.tokenizer"


def test_what_the_start_of_a_start_was_trained_on_is_checked_as_well(folder, tmp_path):
    more = """
  some: {{use: top_k, inputs: docs, by: good, budget: 5k tokens}}
  more: {{use: train, selection: some, start: base, {tiny}}}
  last: {{use: train, selection: some, start: more, eval: {{held: held}}, {tiny}}}
"""
    nodes = {node.name: node for node in plan_of((STAGES + more).format(tiny=TINY), folder, tmp_path).nodes}
    assert {node.name for node in nodes["last.overlap_old0"].refs["selections"].values()} == {"some", "best"}


def test_losses_of_documents_are_a_column_to_select_by(ran):
    nats = pl.from_arrow(ran.table("loss", "nats_per_token"))["nats_per_token"]
    table = pl.from_arrow(ran.table("docs", "text", "good", "text_bytes")).with_columns(nats=nats)
    asked = table["text_bytes"] > 600
    assert table.filter(~asked)["nats"].is_null().all()
    assert asked.any()
    assert table.filter(asked)["nats"].is_not_null().all()
    bits = table.with_columns(bits=pl.from_arrow(ran.table("bits", "bits_per_byte"))["bits_per_byte"])
    assert bits.filter(good=1.0)["bits"].max() < bits.filter(good=0.0)["bits"].min(), "it was trained on sentences"
    kept = table.filter(pl.from_arrow(ran.table("easy", "kept"))["kept"])
    assert len(kept) == 10
    assert set(kept["good"]) == {1.0}


def test_losses_are_per_token_and_per_byte_of_each_document(tmp_path):
    """An untrained model guesses evenly, so every token costs log(vocab)."""
    shape = Shape(vocab=60, width=16, layers=1, heads=2, context=16)
    loop.save(build(shape, init_seed=0), tmp_path / "weights.npz")
    model = Source(files={"weights.npz": tmp_path / "weights.npz"}, metrics={"shape": dataclasses.asdict(shape)})
    ids = [[1, 2, 3], [], [5] * 40, None, [7]]
    rows = pl.DataFrame({"tokens": pl.Series(ids, dtype=pl.List(pl.UInt16)), "text_bytes": [12, 0, 70, 4, 2]})
    found = {}
    for measure in ("nats_per_token", "bits_per_byte"):
        operator = GptNats(measures=(measure,), precision="fp32", device="cpu")
        columns = operator.open(Context(seed=0, work=tmp_path, refs={"run_of": model}))
        found[measure] = columns(rows)[measure].to_list()
    assert found["nats_per_token"] == [pytest.approx(math.log(60)) if row else None for row in ids]
    assert found["bits_per_byte"] == [
        pytest.approx(math.log2(60) * each) if each else None for each in (3 / 12, 0, 40 / 70, 0, 1 / 2)
    ]


def test_an_equal_recipe_in_python_is_the_same_stage(folder, ran, monkeypatch):
    monkeypatch.chdir(folder)
    docs = w.read("raw/*.jsonl", columns={"good": "float64"})
    best = docs.top_k(by="good", tokens="9k", name="best")
    fields = dict(part.split(": ") for part in TINY.split(", "))
    made = docs.train(selection=best, **{k: float(v) if "." in v else int(v) for k, v in fields.items()}, name="base")
    loss = docs.lm_nats(model=made, measures="bits_per_byte", name="loss")
    easy = loss.top_k(by="loss", docs=10, descending=False, name="easy")
    stages = easy.recipe("test").stages
    assert [s.use for s in stages][-3:] == ["train", "lm_nats", "top_k"]
    assert next(s for s in stages if s.use == "train").config["selection"] == "best"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 9}, "workers"),
        ({"launcher": "ray"}, "launcher"),
        ({"curve": 4}, "curve"),
        ({"stride": 4}, "stride"),
        ({"may_overlap": ("x",)}, "may_overlap"),
        ({"replay": "old"}, "replay_share"),
        ({"start": "base", "tokenizer": ("t.json",)}, "tokenizer"),
        ({"tokenizer": ("t.json",), "tokenizer_bytes": 9}, "tokenizer_bytes"),
        ({"save_every": -1}, "save_every"),
        ({"size": "3M"}, "size"),
        ({"tokens": 10}, "tokens"),
    ],
)
def test_fields_that_go_with_nothing_are_refused(fields, where):
    with pytest.raises(ConfigError) as refused:
        TrainModel(selection="best", **fields).validate()
    assert refused.value.where == where


def test_what_only_the_plan_can_see_is_refused_at_its_stage_and_field(folder, tmp_path):
    for wrong, where in (("start: docs", "stages.base.start"), ("start: base0, width: 48", "stages.base.start")):
        first = f"  base0: {{use: train, selection: best, {TINY}}}\n"
        tiny = TINY if "width" not in wrong else ", ".join(p for p in TINY.split(", ") if "width" not in p)
        stage = f"  base: {{use: train, selection: best, {tiny}, {wrong}}}\n"
        with pytest.raises(ConfigError) as refused:
            plan_of(STAGES.split("  base:", maxsplit=1)[0].format() + first + stage, folder, tmp_path)
        assert (refused.value.where, bool(refused.value.hint)) == (where, True)


KILLED = """
import os, signal, sys
from pathlib import Path
from support import run
from winnow.trainers.model import checkpoint
write, saved = checkpoint.write, []

def dying(folder, **parts):
    saved.append(folder)
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, **parts)

checkpoint.write = dying
run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(folder, ran, tmp_path):
    recipe = STAGES.format(tiny=TINY + ", save_every: 5")
    env = os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE}"}
    dead = subprocess.run([sys.executable, "-c", KILLED, recipe, str(folder), str(tmp_path)], env=env, check=False)
    assert dead.returncode == -signal.SIGKILL
    steps = sorted(path.name for path in tmp_path.glob("train_gpt-*/steps/*"))
    assert len(steps) == 2, "two checkpoints were committed before the third"
    again = run(recipe, folder, tmp_path)
    assert again.of("base.run").node.fingerprint == ran.of("base.run").node.fingerprint
    assert again.manifest("base.run").content_digest == ran.manifest("base.run").content_digest
    assert {p.name for p in tmp_path.glob("train_gpt-*/steps/*")} > set(steps), "the others were added, these were kept"


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(folder, ran, tmp_path):
    alone = {node.name: node for node in ran.plan.nodes}["base.run"]
    both = run(STAGES.format(tiny=TINY + ", workers: 2, precision: fp32").replace("curve: 3, ", ""), folder, tmp_path)
    one = run(STAGES.format(tiny=TINY + ", precision: fp32").replace("curve: 3, ", ""), folder, tmp_path / "one")
    assert both.of("base.run").node.fingerprint == one.of("base.run").node.fingerprint != alone.fingerprint
    assert both.of("base.run").node.operator.resources.cpus == 2
    losses = [np.load(losses_of(each)) for each in (both, one)]
    assert np.abs(losses[0] - losses[1]).max() < 1e-5
    assert (losses[0] != losses[1]).any(), "sums in another order: two processes did train"


@pytest.mark.slow
@pytest.mark.ray
def test_workers_of_ray_train_the_model_of_one_process(folder, tmp_path):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.train.torch", reason="needs ray[train]", exc_type=ImportError)
    tiny = TINY.replace("tokens: 3000", "tokens: 1500, precision: fp32")
    recipe = STAGES.replace("curve: 3, ", "")
    one = run(recipe.format(tiny=tiny), folder, tmp_path / "one")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        both = run(recipe.format(tiny=f"{tiny}, workers: 2, launcher: ray"), folder, tmp_path / "both")
    finally:
        ray.shutdown()
    losses = [np.load(losses_of(each)) for each in (both, one)]
    assert np.abs(losses[0] - losses[1]).max() < 1e-5
    assert (losses[0] != losses[1]).any(), "sums in another order: two workers did train"


def losses_of(ran: Ran) -> Path:
    """The loss curve of the model's run."""
    files = ran.manifest("base.run").named("artefact")["all"].files
    return Path(ran.store.local_copy(next(f.key for f in files if f.name == "losses.npy")))
