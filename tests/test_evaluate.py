"""Evaluation: windows that score every token once, bits per byte that no tokenizer changes, accuracies, the job."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from test_suites import bytes_of, lines

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.testing.in_memory import MemorySource
from winnow.trainers.evaluate import evaluate, suites, target_windows
from winnow.trainers.evaluate.evaluate_gpt import DOCUMENTS, WEIGHTS, Evaluate
from winnow.trainers.evaluate.target_formats import parse_files
from winnow.trainers.evaluate.target_windows import batches, plan_windows
from winnow.trainers.model import loop
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=257, width=24, layers=2, heads=2, context=16)


def target_of(requests: list[tuple[int, int]], *, kind: str = "continuation", vocab: int = 200) -> suites.Tokenised:
    """A target of requests with (context tokens, scored tokens); ids count up over all requests."""
    lengths = [c + s for c, s in requests]
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    size = len(requests)
    return suites.Tokenised(
        kind=kind,
        names=pl.Series([f"t:{i}" for i in range(size)]),
        first=np.arange(size + 1),
        gold=np.zeros(size, dtype=np.int64),
        chance=np.zeros(size),
        ids=(np.arange(offsets[-1]) % vocab).astype(np.uint16),
        offsets=offsets,
        context_tokens=np.array([c for c, _ in requests], dtype=np.int64),
        num_bytes=np.array([3 * s for _, s in requests], dtype=np.int64),
        num_chars=np.array([s for _, s in requests], dtype=np.int64),
        digest="0" * 32,
    )


class Told:
    """A model that says the same at every place: `log_shares` f32[V], or f32[V, T] by the number of tokens seen."""

    def __init__(self, log_shares: np.ndarray) -> None:
        table = np.asarray(log_shares, dtype=np.float32)
        self.table = table[:, None] if table.ndim == 1 else table
        self.head = torch.nn.Linear(self.table.shape[1], len(self.table), bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(self.table))

    def hidden(self, ids, segments=None):
        place = torch.arange(ids.shape[1]).clamp(max=self.table.shape[1] - 1)
        return torch.nn.functional.one_hot(place, self.table.shape[1]).float().expand(len(ids), -1, -1)


def trained(seed: int = 2):
    model = build(SHAPE, init_seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3, generator=generator)
    return model


def scored(model, target, *, shape=SHAPE, stride=0) -> evaluate.Scores:
    models = model if isinstance(model, list) else [model]
    return evaluate.evaluate(models, shape, target, precision="fp32", stride=stride)


requests_of = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=80)
@given(requests_of, st.integers(1, 20), st.integers(0, 20), st.integers(20, 200))
def test_every_scored_token_is_scored_once_and_answers_that_fit_are_not_cut(requests, context, stride, room):
    target, stride = target_of(requests), min(stride, context)
    plan = plan_windows(target, context=context, stride=stride)
    assert (plan.stop - plan.start <= context).all()
    assert (plan.stop > plan.score).all()
    seen = np.zeros(len(target.ids), dtype=int)
    for inputs, place, counts, request in batches(target, plan, end=256, batch_tokens=room):
        assert inputs.size <= max(room, context)
        seen[place[counts]] += 1
        answers = target.ids[place[counts]]
        before = np.where(place == target.offsets[request][:, None], 256, target.ids[place - 1])
        assert (inputs[counts] == before[counts]).all()
        assert (answers == place[counts] % 200).all()
    owner = np.repeat(np.arange(len(requests)), np.diff(target.offsets))
    is_answer = np.arange(len(owner)) - target.offsets[owner] >= target.context_tokens[owner]
    assert (seen == is_answer).all()
    for r, (before_tokens, answer_tokens) in enumerate(requests):
        mine = np.flatnonzero(plan.request == r)
        if answer_tokens <= context and before_tokens:
            assert len(mine) == 1, "an answer that fits lies in one window"
            assert plan.start[mine[0]] == max(0, before_tokens + answer_tokens - context)
        if answer_tokens > context and before_tokens:
            seen_before = plan.score[mine] - plan.start[mine]
            assert (seen_before >= min(before_tokens, context // 2)).all(), "a long answer keeps its question in view"
    longer = [(c, s) for c, s in requests if c + s > context and c]
    assert plan.cut_contexts == sum(s <= context for _, s in longer)
    assert plan.long_answers == sum(s > context for _, s in requests)


def test_a_stride_gives_every_token_at_least_the_tokens_it_promises():
    target = target_of([(0, 100)], kind="documents")
    for stride, least in ((0, 1), (16, 1), (4, 13), (1, 16)):
        plan = plan_windows(target, context=16, stride=stride)
        seen = np.concatenate([np.arange(a, b) - s for s, a, b in zip(plan.start, plan.score, plan.stop, strict=True)])
        assert len(seen) == 100
        assert seen[16:].min() + 1 == least
    with pytest.raises(ConfigError, match="stride"):
        plan_windows(target, context=16, stride=17)


def test_a_longer_view_lowers_the_loss_of_a_model_that_uses_it():
    table = np.zeros((257, 16))
    table[:200] = np.linspace(0, 3, 16)  # the more tokens are seen, the less goes to ids that never come
    target = target_of([(0, 90)], kind="documents")
    plain, sliding = (float(scored(Told(table), target, stride=s).nats.sum()) for s in (0, 4))
    assert sliding < plain


def test_bits_per_byte_is_nats_over_log_two_over_bytes():
    tokens = 1000
    nats, num_bytes = np.full(tokens, 3.28), np.full(tokens, 24)
    assert evaluate.bits_per_byte(nats * 5, num_bytes) == pytest.approx(0.985842, abs=5e-7)


def test_a_model_that_knows_nothing_costs_log2_of_the_vocabulary_per_token():
    target = target_of([(0, 1), (0, 15), (0, 16), (0, 17), (0, 100)], kind="documents")
    made = evaluate.summary(target, scored(build(SHAPE, init_seed=0), target))
    assert made["measures"]["bits_per_byte"] == pytest.approx(math.log2(257) / 3, rel=1e-6)
    assert made["facts"]["tokens"] == 149
    assert made["facts"]["bytes"] == 3 * 149


def test_two_tokenizers_with_the_same_byte_model_give_the_same_bits_per_byte():
    share = np.array([0.5, 0.25, 0.15, 0.1])
    pairs = np.outer(share, share).ravel()
    impossible = [1e-30]  # the end mark
    rows = pl.DataFrame(
        {"doc_id": [bytes([i] * 16) for i in range(5)], "text": ["abcd", "aa", "ddcbabca", "cd", "abacadab"]}
    )
    suite = suites.documents(rows)

    def by_byte(texts):
        ids, offsets = bytes_of(texts)
        return ids - ord("a"), offsets

    def by_pair(texts):
        ids, offsets = by_byte(texts)
        return ids[::2] * 4 + ids[1::2], offsets // 2

    found = []
    for encode, shares in ((by_byte, share), (by_pair, pairs)):
        model, shape = Told(np.log(np.concatenate((shares, impossible)))), Shape(vocab=len(shares) + 1, context=3)
        found.append(scored(model, suites.tokenise(suite, encode), shape=shape))
    assert found[0].nats == pytest.approx(found[1].nats, rel=1e-6)
    assert found[0].num_bytes.tolist() == found[1].num_bytes.tolist() == [4, 2, 8, 2, 8]
    by_hand = -np.log(share[[ord(c) - ord("a") for c in "".join(rows["text"])]]).sum()
    assert evaluate.bits_per_byte(found[0].nats, found[0].num_bytes) == pytest.approx(by_hand / math.log(2) / 24)


def test_the_cut_into_batches_and_the_neighbours_do_not_matter(monkeypatch):
    requests = [(0, 40), (5, 17), (30, 3), (0, 1), (9, 9)]
    model, target = trained(), target_of(requests)
    whole = scored(model, target)
    monkeypatch.setitem(target_windows.BATCH_TOKENS, "cpu", 16)
    assert scored(model, target).nats == pytest.approx(whole.nats, rel=1e-5)
    alone = dataclasses.replace(target_of(requests[:1]), digest="x")
    assert scored(model, alone).nats[0] == pytest.approx(whole.nats[0], rel=1e-5)


def test_a_context_longer_than_the_window_keeps_its_last_tokens_and_is_counted():
    model, long = trained(), target_of([(30, 4)])
    short = dataclasses.replace(
        long, ids=long.ids[18 - 1 :], offsets=np.array([0, 17]), context_tokens=np.array([13])
    )  # its 16 last tokens, and the one before them
    plan = plan_windows(long, context=16)
    assert (plan.cut_contexts, plan.long_answers) == (1, 0)
    assert scored(model, long).nats == pytest.approx(scored(model, short).nats, rel=1e-5)
    assert evaluate.summary(long, scored(model, long))["facts"]["cut_contexts"] == 1


def test_an_answer_longer_than_the_window_is_scored_whole_and_counted():
    made = scored(trained(), target_of([(30, 50), (0, 50)]))
    assert made.num_tokens == 100
    assert made.long_answers == 2
    table = np.zeros(257)
    assert scored(Told(table), target_of([(30, 50)])).nats[0] == pytest.approx(50 * math.log(257), rel=1e-6)


def quiz(folder: Path, *records) -> suites.Tokenised:
    return suites.tokenise(parse_files([lines(folder, *records)])[0], bytes_of)


def letters(**shares: float) -> Told:
    """A model of independent bytes: these letters, and little of everything else."""
    table = np.full(257, 1e-6)
    for letter, share in shares.items():
        table[ord(letter)] = share
    return Told(np.log(table / table.sum()))


def test_choices_are_won_by_the_fewest_nats_and_per_byte_by_the_fewest_nats_a_byte(tmp_path):
    shape = Shape(vocab=257, context=64)
    target = quiz(
        tmp_path,
        {"query": "x", "choices": ["aaaaaa", "b"], "gold": 0},
        {"query": "x", "choices": ["b", "a"], "gold": 1},
    )
    made = scored(letters(a=0.5, b=0.4), target, shape=shape)
    assert made.correct.tolist() == [0.0, 1.0]  # six likely letters cost more than one unlikely one
    assert made.correct_per_byte.tolist() == [1.0, 1.0]
    total = 0.9 + 255e-6
    assert made.nats[1] == pytest.approx(-math.log(1e-6 / total) - math.log(0.5 / total), rel=1e-5)
    assert made.num_bytes.tolist() == [7, 2]
    summary = evaluate.summary(target, made)
    assert summary["measures"]["accuracy"] == 0.5
    assert summary["measures"]["centred"] == 0.0
    assert summary["measures"]["accuracy_per_byte"] == 1.0
    assert made.arrays("q").keys() == {"q.nats", "q.bytes", "q.correct", "q.correct_per_char", "q.correct_per_byte"}


def test_per_character_divides_by_the_answer_alone_and_per_byte_by_all_that_is_scored(tmp_path):
    target = quiz(
        tmp_path,
        {"query": "x", "choices": ["aaa", "éé"], "gold": 0},  # scored: 4 and 5 bytes, answers of 3 and 2 characters
        {"query": "x", "choices": ["a", "bbb"], "gold": 1},
        {"query": "x", "choices": ["日本", "abcdef"], "gold": 0},  # as many bytes
    )
    assert target.num_chars.tolist() == [3, 2, 1, 3, 2, 6]
    assert target.num_bytes.tolist() == [4, 5, 2, 4, 7, 7]
    made = scored(Told(np.zeros(257)), target, shape=Shape(vocab=257, context=64))
    assert made.correct.tolist() == [1.0, 0.0, 0.5]
    assert made.correct_per_char.tolist() == [1.0, 1.0, 0.0]  # by hand: nats 4/3 and 5/2, 2/1 and 4/3, 7/2 and 7/6
    assert made.correct_per_byte.tolist() == [0.5, 0.5, 0.5]
    measures = evaluate.summary(target, made)["measures"]
    assert measures["accuracy_per_char"] == pytest.approx(2 / 3)
    assert measures["accuracy_per_byte"] == 0.5


def test_a_model_that_knows_nothing_scores_at_chance_wherever_the_right_answer_stands(tmp_path):
    records = [{"query": "x", "choices": ["aa", "bb", "cc", "dd"], "gold": i % 3} for i in range(6)]
    summary = evaluate.summary(*[t := quiz(tmp_path, *records), scored(build(SHAPE, init_seed=0), t)])
    assert summary["measures"]["accuracy"] == summary["facts"]["chance"] == 0.25
    assert summary["measures"]["centred"] == 0.0


def test_a_minimal_pair_is_won_by_the_likelier_sentence_and_a_schema_by_the_context(tmp_path):
    shape = Shape(vocab=257, context=64)
    pairs = quiz(tmp_path, {"sentence_good": "ab", "sentence_bad": "bb"}, {"sentence_good": "bb", "sentence_bad": "ab"})
    assert scored(letters(a=0.5, b=0.1), pairs, shape=shape).correct.tolist() == [1.0, 0.0]
    table = np.zeros((257, 64))
    table[ord("y"), 3:] = 3.0  # likelier after a longer context
    schema = quiz(tmp_path, {"context_options": ["a", "abc"], "continuation": "y", "gold": 1})
    assert scored(Told(table), schema, shape=shape).correct.tolist() == [1.0]


def test_a_continuation_is_right_where_every_token_is_the_likeliest(tmp_path):
    target = quiz(tmp_path, *[{"context": "x", "continuation": c} for c in ("\taa", "\tab", "b")])
    made = scored(letters(a=0.5, b=0.1, **{"\t": 0.5}), target, shape=Shape(vocab=257, context=64))
    assert made.correct.tolist() == [0.0, 0.0, 0.0]
    made = scored(letters(a=0.6), quiz(tmp_path, {"context": "", "continuation": "aaa"}, {"context": "", "continuation": "aab"}), shape=Shape(vocab=257, context=64))  # fmt: skip
    assert made.correct.tolist() == [1.0, 0.0]


def test_an_ensemble_of_equal_members_is_the_member_and_no_worse_than_the_mean_of_others():
    target = target_of([(3, 20), (0, 33)])
    one, two = trained(2), trained(3)
    assert scored([one, one, one], target).nats == pytest.approx(scored(one, target).nats, rel=1e-6)
    mean = (scored(one, target).nats + scored(two, target).nats) / 2
    both = scored([one, two], target).nats
    assert (both < mean).all()
    assert evaluate.mean_of_probabilities(np.array([[1.0, 2000.0], [2.0, 2001.0]])) == pytest.approx(
        [-math.log((math.exp(-1) + math.exp(-2)) / 2), 2000 - math.log((1 + math.exp(-1)) / 2)]
    )


def test_a_loss_that_is_no_number_is_an_error_that_names_the_item():
    model = trained()
    with torch.no_grad():
        model.head.weight[5] = math.nan
    with pytest.raises(DataError, match="no number") as error:
        scored(model, target_of([(0, 3), (0, 9)]))
    assert error.value.where == "t:0"


def model_source(folder: Path, seed: int, shape: Shape = SHAPE) -> MemorySource:
    folder.mkdir(exist_ok=True)
    model = build(shape, init_seed=seed) if shape != SHAPE else trained(seed)
    loop.save(model, folder / WEIGHTS)
    return MemorySource(paths={WEIGHTS: folder / WEIGHTS}, metrics={"shape": dataclasses.asdict(shape)})


def target_source(folder: Path, target: suites.Tokenised) -> MemorySource:
    folder.mkdir(exist_ok=True)
    suites.save_tokens(target, folder / suites.TOKENS)
    return MemorySource(paths={suites.TOKENS: folder / suites.TOKENS})


def run_job(folder: Path, models: dict, targets: dict, **fields):
    folder.mkdir()
    job = Evaluate(precision="fp32", device="cpu", **fields)
    job.validate()
    metrics = job.run(Context(seed=0, work=folder, refs={"models": models, "targets": targets}))
    with np.load(folder / DOCUMENTS, allow_pickle=False) as arrays:
        return metrics, {name: arrays[name] for name in arrays.files}


def test_the_job_scores_every_target_and_a_new_target_changes_no_other(tmp_path):
    model = model_source(tmp_path / "m", 1)
    pages = target_source(tmp_path / "pages", target_of([(0, 40), (0, 9)], kind="documents"))
    asked = target_source(tmp_path / "quiz", quiz(tmp_path, {"query": "x", "choices": ["ab", "b"], "gold": 0}))
    few, few_arrays = run_job(tmp_path / "a", {"m": model}, {"pages": pages})
    both, arrays = run_job(tmp_path / "b", {"m": model}, {"pages": pages, "quiz": asked}, flatness_probes=2)
    assert both["targets"]["pages"]["measures"] == few["targets"]["pages"]["measures"]
    assert all(np.array_equal(arrays[name], array) for name, array in few_arrays.items())
    assert few_arrays["pages.nats"].shape == (2,)
    assert few["suite"] == {"bits_per_byte": few["targets"]["pages"]["measures"]["bits_per_byte"], "core": None}
    bits = [t["measures"]["bits_per_byte"] for t in both["targets"].values()]
    assert both["suite"]["bits_per_byte"] == pytest.approx(sum(bits) / 2)
    assert both["suite"]["core"] == both["targets"]["quiz"]["measures"]["centred"]
    assert both["targets"]["pages"]["flatness"]["probes"] == 2
    assert "flatness" not in both["targets"]["quiz"]


def test_an_ensemble_has_one_shape_and_a_stage_without_a_model_is_refused(tmp_path):
    small = dataclasses.replace(SHAPE, layers=1)
    pages = {"pages": target_source(tmp_path / "pages", target_of([(0, 40)], kind="documents"))}
    models = {"a": model_source(tmp_path / "a", 1), "b": model_source(tmp_path / "b", 2)}
    metrics, _ = run_job(tmp_path / "1", models, pages)
    assert metrics["members"] == 2
    with pytest.raises(DataError, match="one shape"):
        run_job(tmp_path / "2", {**models, "c": model_source(tmp_path / "c", 1, small)}, pages)
    with pytest.raises(DataError, match="no trained model") as error:
        run_job(tmp_path / "3", {"x": pages["pages"]}, pages)
    assert error.value.where == "models.x"


@pytest.mark.parametrize("why", ["failed", "stopped"])
def test_a_model_that_was_not_trained_is_not_scored_and_stops_nothing(tmp_path, why):
    models = {"a": model_source(tmp_path / "a", 1), "b": MemorySource(metrics={"shape": {}, why: "the loss is nan"})}
    job = Evaluate(precision="fp32", device="cpu")
    metrics = job.run(Context(seed=0, work=tmp_path, refs={"models": models, "targets": {}}))
    assert metrics == {"targets": {}, "untrained": {"b": why}}


@pytest.mark.parametrize(("field", "value"), [("stride", -1), ("flatness_probes", -1), ("flatness_tokens", 1)])
def test_numbers_that_cannot_be_used_are_refused(field, value):
    with pytest.raises(ConfigError) as error:
        Evaluate(**{field: value}).validate()
    assert error.value.where == field


RECIPE = """
seed: 3
stages:
  docs: {use: jsonl, files: docs.jsonl}
  held: {use: jsonl, files: held.jsonl, source: held}
  quiz: {use: target_file, files: quiz.jsonl}
  plain: {use: random, inputs: docs, budget: 40%}
  other: {use: random, inputs: docs, budget: 40%, seed: 9}
  effect: {use: ablation, arms: {other: other}, baseline: plain, eval: EVAL, seeds: 1, tokens: 1500, aa: false,
    vocab: 300, width: 16, layers: 1, heads: 1, context: 32, batch: 4, precision: fp32}
"""


@pytest.mark.slow
def test_a_new_target_is_tokenised_once_and_scored_and_nothing_else_is_done_again(tmp_path):
    (tmp_path / "docs.jsonl").write_bytes(support.lines_of(support.texts(60, 1)))
    (tmp_path / "held.jsonl").write_bytes(support.lines_of(support.texts(8, 2)))
    words = support.WORDS
    records = [
        {"query": " ".join(words[i : i + 9]), "choices": [words[-i - 1], words[-i - 2]], "gold": i % 2}
        for i in range(9)
    ]
    lines(tmp_path, *records, name="quiz.jsonl")
    runs = [
        support.run(RECIPE.replace("EVAL", targets), tmp_path, tmp_path / "root")
        for targets in ("{held: held}", "{held: held, quiz: quiz}", "{held: held, quiz: quiz}")
    ]
    again = {name.removeprefix("effect.") for name in runs[1].computed}
    assert {n for n in again if n.startswith(("target_", "score_", "overlap_"))} == {
        "target_quiz", "overlap_quiz", "score_baseline_0_quiz", "score_other_0_quiz",
    }  # fmt: skip
    assert not {n for n in again if n.startswith(("train_", "token", "draw", "plain", "docs"))}
    assert runs[2].computed == {}
