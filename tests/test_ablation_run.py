"""Ablations that are trained: planted truth, what does not stop the others, and data that look wrong."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import Ran, plan_of, put_corpus, put_file, run
from test_trainers import Source, id_of

from winnow.core.errors import DataError
from winnow.core.operators import Context
from winnow.core.store.locations import open_store
from winnow.dags.before.foresight import forecasts
from winnow.dags.looking.selection_cost import machine_time
from winnow.trainers.model import loop
from winnow.trainers.model.checkpoint import WEIGHTS, Folder
from winnow.trainers.model.optimizers import Updates
from winnow.trainers.model.schedule import Schedule, factor, phases_of
from winnow.trainers.model.train_gpt import Train

pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02"
RECIPE = """
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  held: {{use: jsonl, files: "target/*.jsonl"}}
  best: {{use: top_k, inputs: docs, by: good, budget: 9k tokens}}
  plain: {{use: random, inputs: docs, budget: 9k tokens}}
  effect: {{use: ablation, arms: {{{arms}}}, baseline: plain, eval: {{target: held}}, seeds: {seeds}, {tiny}, {more}}}
"""


def sentences(draw: random.Random, count: int, *, shuffled: bool) -> str:
    """Words that follow one another in a fixed order, or the same words shuffled."""
    words = [a + b + c for a in ("k", "wh", "s") for b in "aeiou" for c in "nr"]
    out = []
    for _ in range(count):
        at = draw.randrange(len(words))
        run_of = [words[(at + i) % len(words)] for i in range(12)]
        if shuffled:
            draw.shuffle(run_of)
        out.append(" ".join(run_of) + ".")
    return " ".join(out)


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """A pool of which half has shuffled words, and a target of which nothing is shuffled."""
    folder, draw = tmp_path_factory.mktemp("planted"), random.Random(3)
    pool = [{"text": sentences(draw, 12, shuffled=bool(i % 2)), "good": 1.0 - i % 2} for i in range(160)]
    put_corpus(folder / "raw", pool, 1)
    put_corpus(folder / "target", [{"text": sentences(draw, 12, shuffled=False)} for _ in range(20)], 1)
    return folder


def ablated(folder: Path, root: Path, *, arms: str, more: str, extra: str = "", seeds: int = 3) -> Ran:
    recipe = RECIPE.replace("  effect:", f"  {extra}\n  effect:") if extra else RECIPE
    return run(recipe.format(arms=arms, tiny=TINY, more=more, seeds=seeds), folder, root)


def result_of(ran, name: str) -> dict:
    manifest = ran.manifest(name)
    for phase in ("result", "artefact"):
        for receipt in manifest.named(phase).values():
            return dict(receipt.extra["metrics"])
    raise AssertionError(name)


def test_a_planted_better_arm_is_found_and_an_arm_whose_loss_is_no_number_fails_alone(planted, tmp_path, monkeypatch):
    fit = loop.fit

    def broken(data, *args, **kwargs):
        if len(data.data.doc_id) <= 5:
            raise loop.DivergedError("the loss is nan at step 3 of 63")
        return fit(data, *args, **kwargs)

    monkeypatch.setattr(loop, "fit", broken)
    few = "few: {{use: top_k, inputs: docs, by: good, budget: 5 docs}}"
    more = "tokens: 7000, may_overlap: [target], reference: reference"
    ran = ablated(planted, tmp_path, arms="reference: best, few: few", more=more, extra=few)
    metrics = result_of(ran, "effect")
    row = metrics["arms"]["reference"]["effects"]["target"]
    assert row["verdict"] == "better"
    assert row["high"] < 0
    assert metrics["aa"]["aa"]["effects"]["target"]["verdict"] == "cannot tell"
    assert metrics["failed"] == {"few": {"seed": 0, "why": "the loss is nan at step 3 of 63"}}
    assert list(metrics["arms"]) == ["reference"]
    runs = [result_of(ran, n.name) for n in ran.plan.nodes if n.operator.name == "train_gpt"]
    assert len(runs) == 12
    assert {told["tokens"] for told in runs} == {7000}
    assert len({told["plan"] for told in runs}) == 12
    assert metrics["different_baselines"] == metrics["seeds"], "every seed has a random subset of its own"
    digests = result_of(ran, "effect.overlap")["digests"]
    drawn = [digests[f"{label}/{s}"] for label in ("baseline", "aa") for s in range(metrics["seeds"])]
    assert len(set(drawn)) == len(drawn), "and the control yet another one"
    assert row["ngram"]["mean_diff"] < -0.1, "word order is what was planted, and a bigram sees it"
    assert row["ngram"]["explained"] == pytest.approx(row["ngram"]["mean_diff"] / row["mean_diff"])
    learned = metrics["lexical"]["targets"]["target"]
    assert learned["ngrams"][0] > learned["ngrams"][1] > 0
    assert learned["below"] == pytest.approx(1 - learned["proxy"] / learned["ngrams"][1])
    compared = next(n.folder for n in ran.plan.nodes if n.operator.name == "compare_arms")
    counted = sum(ran.manifest(n.name).seconds for n in ran.plan.nodes if n.operator.name == "ngram_scores")
    spent = machine_time(open_store(tmp_path), compared)
    looking = spent["evaluation_seconds"] + spent["comparison_seconds"]
    assert spent["looking_share"] == pytest.approx(looking / (looking + spent["training_seconds"]))
    assert min(spent.values()) > 0
    assert spent["comparison_seconds"] > counted > 0, "what counting costs is told"


RATES = {
    "schedule: constant, warmup_share: 0": lambda n: [1.0] * n,
    "schedule: wsd, warmup_share: 0, decay_share: 0.5": lambda n: [1.0] * (n // 2) + list(np.linspace(1, 0, n - n // 2, endpoint=False)),
    "schedule: infinite": lambda n: curve_of(n, cooldown_share=0.25, constant=0.5, final=0.05),
    "schedule: infinite, cooldown_share: 0.5": lambda n: curve_of(n, cooldown_share=0.5, constant=0.5, final=0.05),
    "schedule: infinite, constant_lr: 0.2": lambda n: curve_of(n, cooldown_share=0.25, constant=0.2, final=0.02),
    "schedule: infinite, final_lr: 0.3": lambda n: curve_of(n, cooldown_share=0.25, constant=0.5, final=0.3),
}  # fmt: skip


def curve_of(steps: int, **fields: float) -> list[float]:
    """Factors of an infinite schedule by its formulas."""
    schedule = Schedule(kind="infinite", **fields)
    return [factor(schedule, phases_of(schedule, steps=steps), step) for step in range(steps)]


@pytest.mark.parametrize("fields", list(RATES))
def test_the_schedule_that_a_recipe_names_is_the_one_that_the_loop_uses(planted, tmp_path, monkeypatch, fields):
    used: list[float] = []
    step = Updates.step

    def noted(self, rate):
        used.append(rate)
        step(self, rate)

    monkeypatch.setattr(Updates, "step", noted)
    once = f"tokens: 1280, aa: false, may_overlap: [target], {fields}"
    ran = ablated(planted, tmp_path, arms="reference: best", more=once, seeds=1)
    steps = result_of(ran, "effect.train_reference_0")["steps"]
    assert steps >= 8
    assert used == pytest.approx([*RATES[fields](steps)] * 2)  # the baseline's run, and the arm's


def test_the_clip_that_a_recipe_names_is_the_one_that_the_loop_uses(planted, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    norms: list[float] = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda weights, norm: norms.append(norm))
    once = "tokens: 500, aa: false, may_overlap: [target]"
    for clip in ("", ", clip: 0.25"):
        ablated(planted, tmp_path, arms="reference: best", more=once + clip, seeds=1)
    assert set(norms) == {1.0, 0.25}


def test_halving_trains_a_stopped_arm_no_further(planted, tmp_path):
    worst = "worst: {{use: top_k, inputs: docs, by: good, descending: false, budget: 9k tokens}}"
    more = "tokens: 3000, aa: false, may_overlap: [target], halving: {keep: 0.5, first: 2}"
    ran = ablated(planted, tmp_path, arms="reference: best, worst: worst", more=more, extra=worst)
    metrics = result_of(ran, "effect")
    assert list(metrics["stopped"]) == ["worst"]
    assert metrics["stopped"]["worst"]["effects"]["target"]["n"] == 2
    assert "stopped" in result_of(ran, "effect.train_worst_2")
    assert "last_loss" in result_of(ran, "effect.train_reference_2")


def test_a_selection_that_holds_a_target_s_item_is_refused_with_its_name(planted, tmp_path):
    copied = tmp_path / "copied"
    target = (planted / "target" / "f000.jsonl").read_text()
    put_file(copied / "target" / "a.jsonl", target.encode())
    put_file(copied / "raw" / "a.jsonl", (planted / "raw" / "f000.jsonl").read_bytes() + target.encode())
    with pytest.raises(DataError, match=r"repeats \d+ items of target 'target'") as error:
        ablated(copied, tmp_path / "root", arms="reference: best", more="tokens: 500, aa: false")
    assert "decontaminate" in error.value.hint
    assert list((tmp_path / "root").glob("arms_overlap-*"))
    assert not list((tmp_path / "root").glob("train_gpt-*")), "refused before any training is spent"


def train(**changed) -> Train:
    return Train(**{
        "init_seed": 1, "order_seed": 2, "tokens_per_run": 2000, "vocab": 300, "width": 24, "layers": 1, "heads": 2,
        "context": 16, "batch": 4, "lr_hidden": 0.02, "lr_embedding": 0.02, "lr_head": 0.008, "warmup_share": 0.05,
        "precision": "fp32", **changed,
    })  # fmt: skip


def sources(lengths, *, weights=None, top: int = 299, kind=pl.UInt16) -> dict[str, Source]:
    draw = np.random.Generator(np.random.Philox(key=5))
    ids = [id_of(i) for i in range(len(lengths))]
    tokens = pl.Series([draw.integers(0, top, n).tolist() for n in lengths], dtype=pl.List(kind))
    selection = pl.DataFrame({"doc_id": ids})
    if weights is not None:
        selection = selection.with_columns(weight=pl.Series(weights, dtype=pl.Float64))
    return {"selection": Source(selection), "tokens": Source(pl.DataFrame({"doc_id": ids}).with_columns(tokens=tokens))}


def trained(tmp_path: Path, operator: Train, refs, *, name: str = "work", step=None) -> dict:
    work = tmp_path / name
    work.mkdir(parents=True)
    return operator.run(Context(seed=0, work=work, refs=refs, step=step))


@pytest.mark.parametrize("lengths", [[40], [500], [16] * 3, [1] * 50])
def test_one_document_and_documents_of_any_length_are_trained_on(tmp_path, lengths):
    told = trained(tmp_path, train(), sources(lengths))
    assert told["tokens"] == 2000
    assert told["epochs"] == pytest.approx(2000 / (sum(lengths) + len(lengths)))
    assert (tmp_path / "work" / "weights.npz").exists()


def test_weights_of_zero_and_of_fifty_are_used(tmp_path):
    lengths = [30] * 10
    plain = trained(tmp_path, train(), sources(lengths), name="plain")
    weighted = train(weighted=True)
    heavy = trained(tmp_path, weighted, sources(lengths, weights=[50.0, 0.0] * 5), name="heavy")
    equal = trained(tmp_path, weighted, sources(lengths, weights=[1.0] * 10), name="equal")
    assert heavy["plan"] != plain["plan"]
    assert equal["last_loss"] == pytest.approx(plain["last_loss"])
    assert heavy["packing"]["documents"] == 5
    assert heavy["tokens"] == plain["tokens"] == 2000
    with pytest.raises(DataError, match="weights are 0"):
        trained(tmp_path, weighted, sources(lengths, weights=[0.0] * 10), name="none")


def test_a_vocabulary_beyond_sixteen_bits_is_trained_on(tmp_path):
    refs = sources([60] * 5, top=70_000, kind=pl.UInt32)
    told = trained(tmp_path, train(vocab=70_001, width=8, tokens_per_run=200), refs)
    assert told["first_loss"] == pytest.approx(np.log(70_001), rel=1e-3)


def test_a_loss_that_is_no_number_is_committed_as_failed(tmp_path):
    told = trained(tmp_path, train(optimizer="adamw", lr_adamw=1e38), sources([40] * 20))
    assert told["failed"].startswith("the loss is")
    assert not (tmp_path / "work" / "weights.npz").exists()


def test_data_that_changed_under_a_resumed_run_are_refused(tmp_path):
    operator, step = train(save_every=10), Folder(path=tmp_path / "steps", keep=0)
    trained(tmp_path, operator, sources([40] * 20), step=step)
    last = max((tmp_path / "steps").iterdir())
    last.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="its data are"):
        trained(tmp_path, operator, sources([41] * 20), name="again", step=step)


def test_a_missing_checkpoint_file_is_named(tmp_path):
    operator, step = train(save_every=10), Folder(path=tmp_path / "steps", keep=0)
    first = trained(tmp_path, operator, sources([40] * 20), step=step)
    for folder in sorted((tmp_path / "steps").iterdir())[-2:]:
        folder.rename(tmp_path / folder.name)
    again = trained(tmp_path, operator, sources([40] * 20), name="again", step=step)
    assert again["last_loss"] == first["last_loss"], "resumed from an earlier step"
    for folder in (tmp_path / "steps").iterdir():
        (folder / WEIGHTS).unlink()
    with pytest.raises(DataError, match=r"no file weights\.safetensors"):
        trained(tmp_path, dataclasses.replace(operator), sources([40] * 20), name="third", step=step)


def test_a_student_equal_to_its_only_teacher_has_no_gradient_and_learns_from_others(tmp_path):
    import torch

    from winnow.trainers.evaluate.distil_gpt import Distil, soft_loss
    from winnow.trainers.model.initialise import build

    refs, operator = sources([40] * 20, top=20), train(tokens_per_run=4000)
    teachers = {}
    for seed in (1, 2):
        told = trained(tmp_path, dataclasses.replace(operator, init_seed=seed), refs, name=f"teacher{seed}")
        teachers[str(seed)] = Source(files={p.name: p for p in (tmp_path / f"teacher{seed}").iterdir()}, metrics=told)
    models = [loop.load(t.files()["weights.npz"], operator.shape()) for t in teachers.values()]
    batch = operator.batches(Context(seed=0, work=tmp_path, refs=refs)).batch(0)
    twin = loop.load(teachers["1"].files()["weights.npz"], operator.shape())
    soft_loss(twin, models[:1], batch, num_tokens=64).backward()
    assert max(float(w.grad.abs().max()) for w in twin.parameters()) < 1e-6
    fresh = build(operator.shape(), init_seed=9)
    with torch.no_grad():
        count = operator.batches(Context(seed=0, work=tmp_path, refs=refs)).step_tokens(0)
        before = float(soft_loss(fresh, models, batch, num_tokens=count))
    assert before == pytest.approx(np.log(300), rel=1e-4), "of a uniform guess, whatever the teachers say"
    distil = Distil(**{f.name: getattr(operator, f.name) for f in dataclasses.fields(Train)} | {"init_seed": 9})
    told = trained(tmp_path, distil, {**refs, "teachers": teachers}, name="student")
    assert told["first_loss"] == pytest.approx(before, rel=1e-3)
    assert told["last_loss"] < before - 0.3
    assert (tmp_path / "student" / "weights.npz").exists()
    stopped = {"1": Source(files={}, metrics={"failed": "the loss is nan"})}
    assert "no model" in trained(tmp_path, distil, {**refs, "teachers": stopped}, name="none")["stopped"]["why"]


def test_the_plan_says_what_can_be_found_from_a_default_and_then_from_the_root_s_own_noise(planted, tmp_path):
    def said(seeds: int) -> dict:
        fields = "tokens: 600, may_overlap: [target], wanted: 0.05"
        recipe = RECIPE.format(arms="reference: best", tiny=TINY, more=fields, seeds=seeds)
        return forecasts(plan_of(recipe, planted, tmp_path).nodes, open_store(tmp_path))

    assert (said(2)["effect"]["df"], said(2)["effect"]["arms"]) == (0, 1), "a control is no arm to be told apart"
    assert "default" in said(2)["effect"]["origin"]
    ablated(planted, tmp_path, arms="reference: best", more="tokens: 600, may_overlap: [target], wanted: 0.05")
    assert said(3) == {}, "the comparison is there"
    told = said(4)["effect"]
    assert (told["df"], told["seeds"]) == (4, 4), "the baseline and its control, three seeds each"
    assert told["mde"] is not None
    assert told["seeds_needed"] >= 2
