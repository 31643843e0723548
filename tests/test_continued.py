"""Training that continues a model: start, replay, what is refused, and what a checkpoint knows of both."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from support import Ran, put_corpus, run
from test_ablation_grid import DECLARED, Best, expanded
from test_ablation_run import result_of, sentences
from test_trainers import Source

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Sub
from winnow.trainers.ablation.ablation import Ablation
from winnow.trainers.ablation.check_starts import CheckStarts
from winnow.trainers.compare.comparison_text import render
from winnow.trainers.data.encoder import FILE
from winnow.trainers.data.sequences import PlainRows
from winnow.trainers.model import loop
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.model_file import ModelFile
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import Start, read_weights, weights_digest

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=60, width=16, layers=1, heads=2, context=16)
RECIPE = loop.Recipe(batch=4, precision="fp32")
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02, tokens: 3000, aa: false"
STAGES = """
seed: 1
stages:
  web: {{use: jsonl, files: "web/*.jsonl", source: web}}
  code: {{use: jsonl, files: "code/*.jsonl", source: code}}
  held_web: {{use: jsonl, files: "held_web/*.jsonl"}}
  held_code: {{use: jsonl, files: "held_code/*.jsonl"}}
  old: {{use: random, inputs: web, budget: 4k tokens}}
  other: {{use: random, inputs: web, budget: 4k tokens, salt: x}}
  first: {{use: ablation, arms: {{other: other}}, baseline: old, eval: {{web: held_web}}, seeds: 1, {tiny}}}
  new: {{use: random, inputs: code, budget: 4k tokens}}
  newer: {{use: random, inputs: code, budget: 4k tokens, salt: x}}
  effect: {{use: ablation, arms: {{newer: newer}}, baseline: new, eval: {{code: held_code, web: held_web}}, seeds: 1,
            {tiny}, {more}}}
"""


def code(draw: random.Random, count: int) -> str:
    """Lines that look like a program."""
    names = [a + b for a in "abcdef" for b in "xyz"]
    return "\n".join(f"{draw.choice(names)} = {draw.choice(names)}({draw.randrange(100)})" for _ in range(count))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """Two kinds of text, and held-out documents of each."""
    folder, draw = tmp_path_factory.mktemp("corpora"), random.Random(3)
    for name, count in (("web", 120), ("held_web", 8)):
        put_corpus(folder / name, [{"text": sentences(draw, 12, shuffled=False)} for _ in range(count)], 1)
    for name, count in (("code", 120), ("held_code", 8)):
        put_corpus(folder / name, [{"text": code(draw, 20)} for _ in range(count)], 1)
    return folder


def continued(folder: Path, root: Path, more: str, *, tiny: str = TINY) -> Ran:
    recipe = STAGES.format(tiny=tiny, more=f"may_overlap: [code, web], {more}")
    return run(recipe.replace("eval: {web: held_web}", "eval: {web: held_web}, may_overlap: [web]"), folder, root)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One run root for all comparisons of this module: their common stages are made once."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def mixed(corpora, root) -> Ran:
    """All arms continue one model, and one of them replays what that was trained on."""
    more = "start: first.train_baseline_0, replay: old, replay_share: {newer: 0.25}, curve: 4, save_every: 7"
    more += ", roles: {code: new, web: old}, loss_at: [5]}\n"
    back = "  {0}_back: {{use: training_feedback, inputs: {0}, run: effect.train_newer_0"
    return continued(corpora, root, more + back.format("web") + "}\n" + back.format("code"))


def test_a_run_begins_with_the_weights_of_its_start_and_says_how_much_was_read_before(mixed):
    before, after = result_of(mixed, "first.train_baseline_0"), result_of(mixed, "effect.train_baseline_0")
    assert after["start"]["tokens"] == before["tokens"] == 3000
    assert abs(before["first_loss"] - np.log(320)) < 1e-3 < abs(after["first_loss"] - np.log(320)), (
        "heads begin at zero"
    )
    assert "start" not in before
    checked = result_of(mixed, "effect.check_starts")
    assert checked["starts"]["baseline"] == after["start"]
    metrics = result_of(mixed, "effect")
    assert metrics["arms"]["newer"]["start"] == [after["start"]]
    assert any("3,000 tokens before" in line and "25 %" in line for line in metrics["notes"]), metrics["notes"]


def test_replay_is_exact_to_the_token(mixed):
    plain, replayed = result_of(mixed, "effect.train_baseline_0"), result_of(mixed, "effect.train_newer_0")
    assert plain["tokens"] == replayed["tokens"] == 3000
    assert "replay" not in plain
    assert (replayed["replay"]["tokens"], replayed["replay"]["own_tokens"]) == (750, 2250)


def test_feedback_counts_own_and_replayed_documents_each_over_its_own_rows(mixed):
    tokens = {}
    for rows, source in (("web", "tokens_replay"), ("code", "tokens")):
        back = pl.from_arrow(mixed.table(f"{rows}_back", "loss_at_5", "times_seen", "weight_used"))
        length = pl.from_arrow(mixed.table(f"effect.{source}", "token_ids_count"))["token_ids_count"] + 1
        tokens[rows] = (back["times_seen"] * length).sum()
        seen = back["times_seen"] > 0
        assert seen.any()
        assert not seen.all()
        assert (back["weight_used"].is_null() == ~seen).all()
        assert back["loss_at_5"].null_count() == 0
        assert mixed.manifest(f"{rows}_back").counts["unseen"] == (~seen).sum()
    assert tokens == pytest.approx({"web": 750, "code": 2250})


def test_the_tokenizer_is_that_of_the_start_and_what_was_learned_before_is_checked_as_well(mixed):
    nodes = {node.name: node for node in mixed.plan.nodes}
    assert "effect.tokenizer" not in nodes
    assert nodes["effect.tokens"].refs["tokenizer"].name == "first.tokenizer"
    assert nodes["effect.overlap_old0"].refs["selections"].keys() == {"start/0", "replay"}
    assert nodes["effect.train_newer_0"].after == [
        nodes[f"effect.{name}"] for name in ("overlap", "check_starts", "overlap_old0")
    ]


def test_the_curve_begins_at_the_start_and_ends_at_the_run_and_says_what_was_forgotten(mixed):
    metrics = result_of(mixed, "effect")
    before = result_of(mixed, "first.score_baseline_0_web")["targets"]["web"]["measures"]["bits_per_byte"]
    for label in ("baseline", "newer"):
        old, new = (metrics["curve"][label][target] for target in ("web", "code"))
        assert (old["role"], new["role"]) == ("old", "new")
        assert old["tokens"][0] == 0
        assert old["tokens"][-1] == 3000
        assert len(old["tokens"]) == len(old["mean"]) == 5
        assert old["mean"][0] == pytest.approx(before, abs=1e-6), "the start itself"
        arm = metrics["baseline"] if label == "baseline" else metrics["arms"]["newer"]
        assert [old["mean"][-1], new["mean"][-1]] == pytest.approx(
            [arm["scores"][t][0] for t in ("web", "code")], abs=1e-6
        )
        assert old["rise"] == pytest.approx(max(old["mean"]) - before)
        assert new["end"] < -1
    plain, replayed = (metrics["curve"][label]["web"]["end"] for label in ("baseline", "newer"))
    assert replayed < 0.7 * plain, "a quarter of replay keeps a part"
    assert plain > 0.1, "code drives out words"
    lines = [line for line in render(metrics) if "web (old)" in line]
    assert len(lines) == 2
    assert "up to +" in lines[0]
    assert "not back by the end" in lines[0]


def test_another_start_or_share_is_another_run(corpora, mixed, root):
    other = continued(corpora, root, "start: first.train_other_0, replay: old, replay_share: {newer: 0.5}")
    for name in ("effect.train_baseline_0", "effect.train_newer_0"):
        assert mixed.of(name).node.fingerprint != other.of(name).node.fingerprint
    digests = [result_of(ran, "effect.train_baseline_0")["start"]["digest"] for ran in (mixed, other)]
    assert digests[0] != digests[1]


def test_one_arm_may_continue_where_the_others_begin_from_scratch(corpora, root):
    ran = continued(corpora, root, "starts: {newer: first.train_baseline_0}")
    assert "start" not in result_of(ran, "effect.train_baseline_0")
    assert result_of(ran, "effect.train_newer_0")["start"]["tokens"] == 3000
    assert any("from scratch" in line for line in result_of(ran, "effect")["notes"])


def test_a_start_of_another_shape_is_refused_with_both(monkeypatch):
    declare(monkeypatch)
    with pytest.raises(
        ConfigError, match=r"the start has width 96, heads 3, and this stage's model width 48, heads 2"
    ) as refused:
        expanded(start="run", width=48, heads=2)
    assert refused.value.where == "start"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"start": "run", "starts": {"best": "run"}}, "starts"),
        ({"starts": {"bets": "run"}}, "starts"),
        ({"replay": "plain"}, "replay_share"),
        ({"replay_share": 0.5}, "replay"),
        ({"replay": "plain", "replay_share": 1.5}, "replay_share"),
        ({"replay": "plain", "replay_share": {"best": 0.0}}, "replay_share"),
        ({"replay": "plain", "replay_share": {"bets": 0.5}}, "replay_share"),
        ({"curve": -1}, "curve"),
        ({"roles": {"ref": "old"}}, "roles"),
        ({"curve": 4, "roles": {"fer": "old"}}, "roles"),
        ({"start": "run", "scales": ("1M", "2M")}, "scales"),
        ({"start": "run", "distil": True, "ensemble": True}, "distil"),
    ],
)
def test_what_no_run_can_do_is_refused(fields, where):
    with pytest.raises(ConfigError) as refused:
        Ablation(arms={"best": "best"}, baseline="plain", eval={"ref": "held"}, **fields).validate()
    assert refused.value.where == where


def test_a_stage_without_a_model_is_no_start():
    with pytest.raises(ConfigError, match="holds no trained model"):
        expanded(start="docs")


def declare(monkeypatch) -> None:
    """A stage `run` that holds a trained model."""
    trained = expanded(seeds=1)["train_baseline_0"]
    tokens = Sub(name="first.tokens", operator=Best(), refs={"tokenizer": "first.tokenizer"})
    refs = {"selection": "plain", "tokens": "first.tokens"}
    monkeypatch.setitem(DECLARED, "first.tokens", tokens)
    monkeypatch.setitem(DECLARED, "run", dataclasses.replace(trained, name="run", refs=refs))


def test_runs_that_continue_have_no_seed_of_their_own_weights(monkeypatch):
    declare(monkeypatch)
    subs = expanded(start="run", seeds=2)
    runs = [subs[f"train_best_{s}"] for s in range(2)]
    assert {r.operator.init_seed for r in runs} == {0}
    assert len({r.operator.order_seed for r in runs}) == 2
    assert subs["train_aa_0"].refs["start"] == subs["train_baseline_0"].refs["start"] == "run"


def files_of(folder: Path, ran: Ran, name: str) -> dict[str, Path]:
    """The committed files of a run's stage under their own names, in a folder."""
    folder.mkdir()
    for receipt in ran.manifest(name).named("artefact").values():
        for file in receipt.files:
            shutil.copyfile(ran.store.local_copy(file.key), folder / file.name)
    return {path.name: path for path in folder.iterdir()}


def opened(*paths: Path, folder: Path, **fields) -> dict:
    """Metrics of a `model_file` over these files."""
    folder.mkdir()
    operator = ModelFile(files=tuple(map(str, paths)), **fields)
    operator.validate()
    return operator.run(Context(seed=0, work=folder))


def test_a_model_from_files_is_a_start_known_by_its_weights(mixed, tmp_path):
    held = files_of(tmp_path / "model", mixed, "first.train_baseline_0") | files_of(
        tmp_path / "t", mixed, "first.tokenizer"
    )
    trained = result_of(mixed, "effect.train_baseline_0")["start"]["digest"]
    files = (held["weights.npz"], held["tokenizer.json"])
    made = opened(*files, folder=tmp_path / "a", heads=2, context=32, tokens=3000)
    assert (made["digest"], made["tokens"]) == (trained, 3000)
    assert made["shape"] == {"vocab": 320, "width": 24, "layers": 1, "heads": 2, "context": 32}
    assert weights_digest(read_weights(tmp_path / "a" / "weights.npz")) == trained
    other = tmp_path / "weights.safetensors"
    save_file({name: torch.from_numpy(array) for name, array in read_weights(files[0]).items()}, other)
    state = tmp_path / "state.json"
    state.write_bytes(orjson.dumps({"shape": made["shape"]}))
    assert opened(other, state, files[1], folder=tmp_path / "b")["digest"] == trained
    with pytest.raises(ConfigError, match="heads and context"):
        opened(*files, folder=tmp_path / "c")
    with pytest.raises(ConfigError, match="2 files of weights"):
        opened(*files, other, folder=tmp_path / "d")
    with pytest.raises(DataError, match=r"the start has vocab 320.*this run vocab 4096"):
        opened(other, state, files[1], folder=tmp_path / "e", size="1M")
    with pytest.raises(DataError, match=r"\(320, 24, 1\), the shape says \(4096, 96, 2\)"):
        opened(*files, folder=tmp_path / "f", size="1M")
    other.write_bytes(b"no weights at all")
    with pytest.raises(DataError, match="no weights"):
        opened(other, state, files[1], folder=tmp_path / "g")


def test_weights_are_known_by_names_shapes_and_values():
    one = np.arange(6, dtype=np.float32)
    others = [{"a": one.reshape(2, 3)}, {"a": one.reshape(3, 2)}, {"b": one.reshape(2, 3)}, {"a": one}, {"a": one + 1}]
    assert len({weights_digest(weights) for weights in others}) == 5
    assert weights_digest({"b": one, "a": one + 1}) == weights_digest({"a": one + 1, "b": one})


def test_the_same_selection_with_another_start_is_an_arm_and_no_control(monkeypatch):
    declare(monkeypatch)
    subs = expanded(arms={"best": "best", "more": "plain"}, starts={"more": "run"}, seeds=1)
    compare = subs["compare"].operator
    assert (compare.arms, compare.controls) == (("best", "more", "aa"), ("aa",))
    assert subs["train_more_0"].refs["selection"] == subs["train_baseline_0"].refs["selection"], "paired by documents"
    assert subs["train_more_0"].refs["start"] == "run"
    assert "start" not in subs["train_aa_0"].refs


def rows(seed: int = 0, steps: int = 6) -> PlainRows:
    made = np.random.Generator(np.random.Philox(key=seed)).integers(0, 50, size=(4 * steps, 17))
    return PlainRows(rows=made.astype(np.uint16), batch_rows=4)


def saved_start(folder: Path, seed: int) -> Start:
    """Weights of a short run on disk."""
    folder.mkdir(exist_ok=True)
    model, _ = loop.fit(rows(), SHAPE, RECIPE, init_seed=seed)
    path = folder / f"weights{seed}.npz"
    loop.save(model, path)
    return Start(path=path, digest=weights_digest(read_weights(path)))


def test_a_killed_run_goes_on_to_the_same_bits_and_under_another_start_it_is_refused(tmp_path):
    one, two = saved_start(tmp_path, 1), saved_start(tmp_path, 2)
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=(3,))
    whole, losses = loop.fit(rows(9), SHAPE, RECIPE, init_seed=0, start=one)
    loop.fit(rows(9), SHAPE, RECIPE, init_seed=0, start=one, checkpoints=plan)
    again, same = loop.fit(rows(9), SHAPE, RECIPE, init_seed=0, start=one, checkpoints=plan)
    assert (same == losses).all()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    with pytest.raises(DataError, match=f"start differs: '{one.digest}', not '{two.digest}'"):
        loop.fit(rows(9), SHAPE, RECIPE, init_seed=0, start=two, checkpoints=plan)
    with pytest.raises(DataError, match=f"start differs: '{one.digest}', not None"):
        loop.fit(rows(9), SHAPE, RECIPE, init_seed=0, checkpoints=plan)


def test_starts_with_two_tokenizers_are_refused_with_both(tmp_path):
    start = saved_start(tmp_path, 1)
    model = Source(files={"weights.npz": start.path}, metrics={"shape": dataclasses.asdict(SHAPE), "tokens": 5})
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    one, two = (Source(files={FILE: tmp_path / name}) for name in ("one", "two"))

    def checked(**tokenizers):
        refs = {"models": {"x": model, "y": model}, "tokenizers": tokenizers}
        return CheckStarts(**dataclasses.asdict(SHAPE)).run(Context(seed=0, work=tmp_path, refs=refs))

    assert checked(x=one, y=one)["starts"]["y"] == {"digest": start.digest, "tokens": 5}
    with pytest.raises(DataError, match=r"2 tokenizers: x .* and y "):
        checked(x=one, y=two)


def test_weights_of_another_shape_are_no_start(tmp_path):
    with pytest.raises(DataError, match=r"is \(16, 64\), the model's \(32, 128\)"):
        loop.fit(rows(), dataclasses.replace(SHAPE, width=32), RECIPE, init_seed=1, start=saved_start(tmp_path, 1))
