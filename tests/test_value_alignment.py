"""`value_alignment` in runs: planted halves, uniform limits to the bit, ranks, kills, and what it is given wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from tests.support_policies import bits
from tests.test_policies_loop import KilledError, killed
from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.device import Machine
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.online import alignment, designer
from winnow.trainers.online.alignment import Memory, RunningMeans
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.policy import Seam
from winnow.trainers.online.policy_run import PolicyRun, told_of
from winnow.trainers.online.sample_features import MOST_GROUPS, features_of, standard
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told
from winnow.trainers.online.weights.value_alignment import ValueAlignment

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=48, width=16, layers=1, heads=2, context=32)
RECIPE = Recipe(precision="fp32", batch=8)
END = SHAPE.vocab - 1


def corpus(kinds: list[str], *, seed: int) -> tuple[pack.Documents, pl.Series]:
    """Documents that follow one rule nine times in ten ("clean"), or none ("noise"), and their kinds."""
    draw, rule = np.random.default_rng(seed), np.random.default_rng(99).permutation(END)
    ids = []
    for kind in kinds:
        drawn = draw.integers(0, END, int(draw.integers(8, 30))).tolist()
        for at in range(1, len(drawn) if kind == "clean" else 0):
            drawn[at] = int(rule[drawn[at - 1]]) if draw.random() < 0.9 else drawn[at]
        ids.append(drawn)
    names = [hashlib.blake2b(str((seed, i)).encode(), digest_size=16).digest() for i in range(len(kinds))]
    tokens = pl.Series(ids, dtype=pl.List(pl.UInt16))
    frame = pl.DataFrame({"doc_id": names, "tokens": tokens, "kind": kinds}).sort("doc_id")
    return pack.documents_of(frame.select("doc_id"), frame), frame["kind"]


def batches(documents: pack.Documents, *, steps: int, packing="best_fit") -> pack.PackedBatches:
    return pack.batches_of(documents, context=32, batch=8, tokens=steps * 8 * 32, end=END, seed=0, packing=packing)


POOL, KIND = corpus(["clean", "noise"] * 300, seed=1)
HELD = batches(corpus(["clean"] * 60, seed=2)[0], steps=4)
FEEDBACK = [HELD.batch(step) for step in range(HELD.num_steps)]
CLEAN = (KIND == "clean").to_numpy()


def run_of(data, *, texts=FEEDBACK, columns=None, **fields) -> PolicyRun:
    told = told_of(data, vocab=SHAPE.vocab, context=32, batch=8, columns=columns or {}, texts={"feedback": texts})
    return PolicyRun(policy=ValueAlignment(feedback="held", **fields), told=told)


def fit(data, run=None, **more):
    return loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, **more)


def clean_share(monkeypatch, run, data, *, last: int) -> float:
    """Share of the weight that clean documents have over the last steps."""
    from winnow.trainers.online.aligning import Aligning

    sums, noted = np.zeros(2), Aligning.noted

    def counting(self, seen, weights):
        noted(self, seen, weights)
        at = seen.sample >= 0
        if seen.step >= data.num_steps - last:
            sums[:] += np.bincount(CLEAN[seen.rows.documents[at]].astype(int), weights=weights[at], minlength=2)

    monkeypatch.setattr(Aligning, "noted", counting)
    fit(data, run)
    return float(sums[1] / sums.sum())


@pytest.mark.parametrize(
    "fields",
    [{"per": ("kind",)}, {"per": ("kind",), "by": "difference", "link": "sigmoid"}, {"per": ("kind",), "weigh_by": "group"},
     {"scores": ("looks_clean",), "hidden": 0, "preconditioned": True}],
    ids=["designer", "difference", "groups", "scores"],
)  # fmt: skip
def test_nine_tenths_of_the_weight_come_to_the_clean_half_within_a_hundred_steps(monkeypatch, fields):
    data, draw = batches(POOL, steps=100), np.random.default_rng(5)
    noisy = pl.Series(CLEAN + 0.2 * draw.normal(size=len(CLEAN)))
    run = run_of(data, every=10, columns={"group": KIND, "score_0": noisy}, **fields)
    assert clean_share(monkeypatch, run, data, last=40) >= 0.9
    told, found = run.record.figures, run.record.columns["alignment"]
    assert np.nanmean(found[CLEAN]) > np.nanmean(found[~CLEAN]) + 0.5
    assert 0 < np.isnan(found).mean() < 1, "of those that a look saw alone"
    assert told["looks"] == -(-data.num_steps // 10)
    assert told["samples"] > 10 * told["looks"]
    assert -1 <= told["rank_correlation_preconditioned"] <= 1
    assert 0 < told["cosine_preconditioned"] <= 1
    assert 0 < told["phrases_shared"] < told["phrases_shared_weighed"], "what it favours resembles the feedback"
    assert run.record.facts()["last_ess_share"] < 0.9
    if "per" in fields:
        assert told["groups"]["clean"] >= 0.8
    if fields.get("by") == "difference":
        assert told["halving_disagreement"] < 1e-2
        assert told["difference_step"] in alignment.STEPS


def test_a_designer_that_collapses_is_seen_by_its_effective_sample_size():
    """Leaving uniform weights costs nothing: all of a step's weight comes to its one best sample."""
    data, draw = batches(POOL, steps=60), np.random.default_rng(5)
    scored = pl.Series(CLEAN + 0.2 * draw.normal(size=len(CLEAN)))
    how = {"scores": ("looks_clean",), "features": ("length",), "hidden": 0, "rate": 1.0, "every": 5}
    columns = {"score_0": scored}
    run, calm = (run_of(data, columns=columns, kl=kl, **how) for kl in (1e-6, 10.0))
    fit(data, run)
    fit(data, calm)
    assert run.record.last_ess() < 0.1 < calm.record.last_ess()
    assert any("the effective sample size is" in line for line in run.record.remarks())
    assert not any("the effective sample size is" in line for line in calm.record.remarks())


def test_the_uniform_limit_has_the_bits_of_the_plain_run_and_still_measures():
    data = batches(POOL, steps=24)
    plain, run = fit(data), run_of(data, every=8, kl=float("inf"))
    assert bits(fit(data, run)) == bits(plain)
    assert np.isfinite(run.record.columns["alignment"]).sum() > 20
    near, far = run_of(data, every=8, kl=1e6), run_of(data, every=8)
    fit(data, near)
    assert bits(fit(data, far)) != bits(plain)
    assert near.record.ess.min() > 0.99 > far.record.ess.min()


def test_all_ways_weigh_alike_and_passes_and_ranks_do_not_matter():
    data = batches(POOL, steps=17)
    found = {}
    for by in ("ghost", "jvp", "difference"):
        run = run_of(data, every=8, by=by)
        found[by] = (fit(data, run)[1], run.record)
    for by in ("jvp", "difference"):
        assert found[by][0] == pytest.approx(found["ghost"][0], abs=2e-3)
        known = np.isfinite(found["ghost"][1].columns["alignment"])
        one, other = (found[w][1].columns["alignment"][known] for w in ("ghost", by))
        assert np.corrcoef(one, other)[0, 1] > 0.999
    cut = run_of(data, every=8)
    _, losses = fit(data, cut, machine=Machine(micro_rows=3))
    assert losses == pytest.approx(found["ghost"][0], abs=1e-4)
    both = run_of(data, every=8)
    _, losses = parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=2, policy=both)
    assert losses == pytest.approx(found["ghost"][0], abs=1e-4)
    assert both.record.columns["alignment"] == pytest.approx(
        found["ghost"][1].columns["alignment"], abs=1e-3, nan_ok=True
    )


@pytest.mark.parametrize("fields", [{}, {"by": "difference", "weigh_by": "document"}], ids=["designer", "documents"])
def test_killed_at_five_points_it_goes_on_to_the_same_bits(tmp_path, fields):
    data = batches(POOL, steps=30)
    whole = run_of(data, every=4, **fields)
    wanted = bits(fit(data, whole))
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=checkpoint.stops(data.num_steps, 6))
    for step in (0, 6, 12, 20, 29):
        with pytest.raises(KilledError):
            fit(data, run_of(data, every=4, **fields), checkpoints=plan, watch=killed, watch_at=(step,))
    again = run_of(data, every=4, **fields)
    assert bits(fit(data, again, checkpoints=plan)) == wanted
    assert again.record.figures == whole.record.figures
    if fields:
        assert 0 < whole.record.figures["known_share"] < 0.5
        assert any("documents whose alignment was known" in line for line in whole.record.remarks())
        assert any("near-copies" in line for line in whole.record.remarks())
    np.testing.assert_array_equal(again.record.columns["alignment"], whole.record.columns["alignment"])
    with pytest.raises(DataError, match="its policy differs"):
        fit(data, run_of(data, every=5, **fields), checkpoints=plan)


def test_one_document_a_step_or_equal_losses_weigh_nothing():
    alone, _ = corpus(["clean"] * 3, seed=4)
    one = pack.batches_of(alone, context=32, batch=1, tokens=300, end=END, seed=0)
    run = run_of(one, every=2)
    plain = loop.fit(one, SHAPE, Recipe(precision="fp32", batch=1), init_seed=1)
    assert bits(loop.fit(one, SHAPE, Recipe(precision="fp32", batch=1), init_seed=1, policy=run)) == bits(plain)
    memory = Memory(features=1, capacity=8)
    assert memory.add(np.zeros((3, 1)), np.array([4, 4, 4]), np.full(3, 0.25)) == 0
    assert (memory.learned()[1] == 0).all()
    told = Told(steps=1, seed=0, vocab=5, context=4, batch=2)
    seen = Seen(step=0, rows=one.batch(0), nats=np.full((1, 32), 3.87, dtype=np.float32), told=told)
    features = features_of(told, documents=3, scores=(), group=None, measured=("loss", "length"))
    assert (features.of(seen) == 0).all()


def test_the_feedback_may_be_shorter_than_a_row_and_must_not_be_empty():
    data = batches(POOL, steps=6)
    short = pack.batches_of(corpus(["clean"], seed=8)[0], context=32, batch=1, tokens=9, end=END, seed=0).batch(0)
    run = run_of(data, texts=[short], every=3)
    fit(data, run)
    assert run.record.figures["feedback_rows"] == 1
    assert run.record.figures["feedback_examples"] == run.record.figures["looks"]
    nothing = Batch(**{**vars(short), "weights": np.zeros_like(short.weights)})
    for texts in ([], [nothing]):
        with pytest.raises(DataError, match="the feedback holds no token"):
            fit(data, run_of(data, texts=texts))


def test_documents_that_see_one_another_need_another_way():
    data = batches(POOL, steps=4, packing="concat")
    with pytest.raises(DataError, match=r"rows hold documents that see one another.*concat"):
        fit(data, run_of(data))
    fit(data, run := run_of(data, by="difference"))
    assert run.record.figures["looks"] == 1


def test_what_a_run_could_not_use_is_remarked_with_its_figures():
    scores = pl.Series([None if i % 4 == 0 else float(i) for i in range(len(CLEAN))])
    groups = pl.Series([None if i % 3 == 0 else "a" for i in range(len(CLEAN))])
    data = batches(POOL, steps=2)
    run = run_of(data, every=2, scores=("s",), per=("kind",), columns={"score_0": scores, "group": groups})
    acting = run.begin()
    acting.told_of |= {"no_numbers": 3, "samples": 70}
    told = acting.remarks()
    assert any(line.startswith("150 values of `scores` are no numbers") for line in told)
    assert any(line.startswith("200 documents have no value of `per`") for line in told)
    assert any(line.startswith("3 of 70 alignments were no numbers") for line in told)
    assert run_of(data, every=2).begin().remarks() == ()


def test_a_gradient_of_the_feedback_that_is_no_number_ends_the_run():
    acting = run_of(batches(POOL, steps=2), every=1).begin()
    with pytest.raises(DataError, match="gradient of the feedback is nan at look 0"):
        acting._remember({"a": torch.tensor([1.0, float("nan")])})


def test_the_direction_is_the_running_mean_of_unit_gradients():
    acting, found = run_of(batches(POOL, steps=2), momentum=0.75).begin(), np.zeros(2)
    for number, (x, y) in enumerate([(3.0, 4.0), (0.0, 2.0), (-5.0, 0.0)]):
        acting._remember({"a": torch.tensor([x]), "b": torch.tensor([y])})
        own = np.array([x, y]) / np.hypot(x, y)
        found = own if number == 0 else 0.75 * found + 0.25 * own
    assert [float(acting.direction[name]) for name in "ab"] == pytest.approx(found.tolist(), rel=1e-6)


def test_what_is_no_number_is_left_out_and_counted():
    memory = Memory(features=2, capacity=4)
    lengths = np.array([10, 20, 30])
    assert memory.add(np.array([[0.0, 1.0], [np.nan, 1.0], [2.0, 3.0]]), lengths, np.array([1.0, 2.0, np.nan])) == 2
    assert memory.kept.shape == (1, 4)
    for _ in range(3):
        assert memory.add(np.zeros((2, 2)), lengths[:2], np.array([1.0, -1.0])) == 0
    assert memory.kept.shape == (4, 4), "the latest"
    means = RunningMeans.of(3, keep=1)
    means.add(np.array([0, 0, 2, -1, 7]), np.array([1.0, 3.0, np.nan, 5.0, 5.0]))
    means.add(np.array([0]), np.array([4.0]))
    np.testing.assert_array_equal(means.values(), [3.0, np.nan, np.nan])
    assert means.of_units(np.array([0, 1])).tolist() == [3.0, 0.0]


@dataclass(frozen=True, kw_only=True)
class Unasked(ColumnPolicy):
    """A policy whose fields may name columns, and name none."""

    name: ClassVar[str] = "unasked"
    seam: ClassVar[Seam] = "weights"


def test_a_stage_without_columns_still_has_a_row_for_every_document(tmp_path):
    from winnow.core.operators import Context
    from winnow.testing.in_memory import run_map

    rows = pl.DataFrame(
        {"doc_id": [bytes([i] * 16) for i in range(5)], "text_bytes": [9, 9, 0, 9, 9], "x": [1.0, None, 3.0, 4.0, 5.0]}
    )
    ctx = Context(seed=1, work=tmp_path)
    for batch_rows in (None, 2):
        for policy in (ValueAlignment(feedback="held"), Unasked()):
            assert run_map(policy, rows, ctx, batch_rows).height == 5
            assert policy.columns_read() == policy.needs() == ()
    assert ValueAlignment(feedback="held", scores=("x",), per=("x",)).columns_read() == ("score_0", "group")
    assert run_map(ValueAlignment(feedback="held", scores=("x * 2",)), rows, ctx)["score_0"].to_list()[:3] == [
        2,
        None,
        6,
    ]


def test_length_and_level_are_taken_off():
    draw, memory = np.random.default_rng(0), Memory(features=1, capacity=1000)
    for look in range(8):
        tokens, truth = draw.integers(5, 500, 100), draw.normal(size=100)
        scale = 0.5**look  # gradients shrink
        assert memory.add(truth[:, None], tokens, scale * (truth - 3 * np.log(tokens) + 50)) == 0
    x, found = memory.learned()
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert found.std() == pytest.approx(1)
    assert np.corrcoef(found, x[:, 0])[0, 1] > 0.8
    assert abs(np.corrcoef(found, memory.kept[:, 1])[0, 1]) < 1e-9


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_designer_s_slope_is_that_of_its_objective_and_its_optimum_is_known(link):
    draw = np.random.default_rng(1)
    logits, a = draw.normal(size=6), draw.normal(size=6)
    value, slope = designer.objective(logits, a, kl=0.3, link=link)
    for at in range(6):
        up = logits + 1e-6 * (np.arange(6) == at)
        assert (designer.objective(up, a, kl=0.3, link=link)[0] - value) / 1e-6 == pytest.approx(slope[at], abs=1e-5)
    made = designer.Designer(features=6, hidden=0, seed=0, rate=0.05, link=link)
    one_hot = np.eye(6)
    assert (designer.shares_of(made.logits(one_hot), link) == 1 / 6).all(), "uniform to the bit before it learns"
    before = made.learn(one_hot, a, kl=1.0, updates=1)
    after = made.learn(one_hot, a, kl=1.0, updates=800)
    wanted = np.exp(a) / np.exp(a).sum()
    assert after < before
    np.testing.assert_allclose(designer.shares_of(made.logits(one_hot), link), wanted, atol=2e-3)
    assert designer.effective_share(wanted) == pytest.approx(1 / (6 * (wanted**2).sum()))


def test_hidden_units_learn_what_is_not_straight():
    x = np.linspace(-2, 2, 41)[:, None]
    a = standard(-(x[:, 0] ** 2))  # the middle is worth most
    made = designer.Designer(features=1, hidden=16, seed=3, rate=0.02)
    made.learn(x, a, kl=0.3, updates=600)
    shares = designer.shares_of(made.logits(x), "softmax")
    assert shares[20] > 5 * max(shares[0], shares[-1])
    again = designer.Designer(features=1, hidden=16, seed=3, rate=0.02)
    again.learn(x, a, kl=0.3, updates=400)
    other = designer.Designer(features=1, hidden=16, seed=4, rate=0.02)
    other.restore(again.tensors(), again.updates)
    again.learn(x, a, kl=0.3, updates=9), other.learn(x, a, kl=0.3, updates=9)
    assert (again.logits(x) == other.logits(x)).all()


def test_the_slopes_of_hidden_units_are_those_of_the_objective():
    draw = np.random.default_rng(2)
    x, a = draw.normal(size=(9, 2)), draw.normal(size=9)
    made = designer.Designer(features=2, hidden=3, seed=1, rate=0.05)
    made.learn(x, a, kl=0.3, updates=5)  # outer weights are no longer 0
    before = {name: moment.copy() for name, moment in made.moments.items()}
    kept = {name: weight.copy() for name, weight in made.weights.items()}
    made.learn(x, a, kl=0.3, updates=1)
    for name, weight in kept.items():
        slope = (made.moments[f"m.{name}"] - 0.9 * before[f"m.{name}"]) / 0.1
        for at in np.ndindex(weight.shape):
            moved = {n: w.copy() for n, w in kept.items()}
            moved[name][at] += 1e-6
            other = designer.Designer(features=2, hidden=3, seed=1, rate=0.05)
            value = []
            for weights in (kept, moved):
                other.weights = weights
                value.append(designer.objective(other.logits(x), a, kl=0.3, link="softmax")[0])
            assert (value[1] - value[0]) / 1e-6 == pytest.approx(slope[at], abs=1e-5), name


def test_features_are_standard_and_rare_groups_share_one():
    ids = pl.Series([bytes([i % 256, i // 256] * 8) for i in range(300)])
    names = pl.Series([f"g{i % 70:02d}" if i < 280 else None for i in range(300)])
    score = pl.Series([float(i) for i in range(299)] + [1e9])
    told = Told(steps=1, seed=0, vocab=9, context=4, batch=1, doc_id=ids, columns={"group": names, "s": score})
    found = features_of(told, documents=300, scores=("s",), group="group", measured=())
    assert len(found.groups) == MOST_GROUPS
    assert found.groups[0] == "", "the most frequent first"
    assert (found.group == MOST_GROUPS).sum() == sum(1 for name in names if (name or "") not in found.groups)
    assert np.abs(found.scores[0]).max() == 4
    assert standard(np.array([1.0, np.nan, 3.0])).tolist() == [-1, 0, 1]
    assert len(found.names) == 1 + MOST_GROUPS


def test_phrases_are_those_of_eight_tokens_of_one_document():
    known = alignment.known_phrases(FEEDBACK)
    same, any_ = alignment.repeated(FEEDBACK[0], known)
    assert any_.any()
    assert (same == any_).all()
    long = FEEDBACK[0].segments[:, 7:] == FEEDBACK[0].segments[:, :-7]
    assert any_.sum() == (long & (FEEDBACK[0].weights[:, 7:] > 0)).sum()
    changed = Batch(**{**vars(FEEDBACK[0]), "targets": (FEEDBACK[0].targets + 1) % END})
    assert not alignment.repeated(changed, known)[0].any()


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"every": 0}, "every"), ({"memory": 0}, "memory"), ({"hidden": -1}, "hidden"), ({"momentum": 1.0}, "momentum"),
     ({"kl": 0.0}, "kl"), ({"kl": float("nan")}, "kl"), ({"rate": 0.0}, "rate"), ({"weigh_by": "group"}, "per"),
     ({"weigh_by": "document", "per": ("a",)}, "per"), ({"features": ()}, "features"), ({"features": ("losses",)}, "features")],
)  # fmt: skip
def test_fields_out_of_range_are_refused(fields, where):
    with pytest.raises(ConfigError) as caught:
        ValueAlignment(feedback="held", **fields).validate()
    assert caught.value.where == where
    data = batches(POOL, steps=2)
    told = Told(steps=2, seed=0, vocab=SHAPE.vocab, context=32, batch=8, texts={"feedback": FEEDBACK})
    with pytest.raises(ConfigError, match="several sources"):
        ValueAlignment(feedback="held", weigh_by="document").begin(told)
    assert data.num_steps >= 2
