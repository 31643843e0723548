"""Policies that read a column, in the training loop: uniform limits to the bit, kills, ranks, values, planted truths."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.support_policies import END, RECIPE, SHAPE, bits, documents, run_of, varied
from winnow.core.operators.contract import Context
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.device import Machine
from winnow.trainers.online.policy import Policy
from winnow.trainers.online.told import Spelt
from winnow.trainers.online.weights.awr import Awr
from winnow.trainers.online.weights.filtering import Filtering
from winnow.trainers.online.weights.group_dro import GroupDro
from winnow.trainers.online.weights.rho import Rho
from winnow.trainers.online.weights.rho_1 import Rho1
from winnow.trainers.online.weights.rwr import Rwr
from winnow.trainers.online.weights.unlikelihood import Unlikelihood

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

NAN = float("nan")


@dataclasses.dataclass
class ByTarget:
    """A reference whose loss of a token is a function of the token."""

    def nats(self, rows: Batch) -> np.ndarray:
        """The losses."""
        return (1 + rows.targets % 7 / 2).astype(np.float32)


def columns(data: pack.PackedBatches) -> dict[str, pl.Series]:
    """A score with gaps, a reference loss, a group and segments for each document."""
    generator = np.random.Generator(np.random.Philox(key=9))
    count = len(data.data.doc_id)
    score = generator.random(count)
    score[::7] = NAN
    lengths = np.diff(data.data.offsets)
    ends = [[max(1, n // 2), n] if n > 1 else [n] for n in lengths.tolist()]
    return {
        "score": pl.Series(score).fill_nan(None), "reference": pl.Series(generator.random(count) + 3),
        "group": pl.Series([f"g{i % 3}" for i in range(count)]), "segment_ends": pl.Series(ends, dtype=pl.List(pl.Float64)),
        "segment_scores": pl.Series([[0.0, 1.0][-len(e) :] for e in ends]),
    }  # fmt: skip


def run(policy: Policy, data: pack.PackedBatches, **more: Any) -> Any:
    """The policy for `fit`, with all that it may be told."""
    spelling = Spelt(ids=data.data.tokens, offsets=data.data.offsets, bytes=np.append(np.ones(END, dtype=np.int64), 0))
    told = {"columns": columns(data), "references": {"reference": ByTarget()}, "spelling": spelling, **more}
    return run_of(policy, data, **told)


ACTIVE = {
    "rwr": Rwr(score="s", beta=0.3), "awr": Awr(score="s", beta=0.3, value_lr=0.05),
    "awr linear": Awr(score="s", beta=0.3, value="linear", detach=True),
    "unlikelihood": Unlikelihood(score="s", tau=0.5), "rho": Rho(reference="r", keep=0.5),
    "unlikelihood of segments": Unlikelihood(segment_scores="a", segment_ends="b", tau=0.5, alpha=0.5),
    "rho soft": Rho(reference="r", temperature=0.3, per="sample"), "rho_1": Rho1(reference="m"),
    "rho_1 soft": Rho1(reference="m", temperature=0.5), "group_dro": GroupDro(per=("g",), step_size=0.5, adjustment=1.0),
}  # fmt: skip
LIMITS = {
    "rwr": Rwr(score="s", beta=math.inf), "rwr sum": Rwr(score="s", beta=math.inf, keep_sum=True),
    "awr": Awr(score="s", alpha=1.0, beta=math.inf), "filtering": Filtering(score="s", tau=math.inf),
    "unlikelihood": Unlikelihood(score="s", tau=math.inf), "rho": Rho(reference="r", keep=1.0),
    "rho soft": Rho(reference="r", temperature=math.inf), "rho_1": Rho1(reference="m", keep=1.0),
    "rho_1 soft": Rho1(reference="m", temperature=math.inf),
    "unlikelihood of segments": Unlikelihood(segment_scores="a", segment_ends="b", tau=1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """The plain run, in one pass and in passes of three rows."""
    data = varied(tokens=1000)
    return {m: bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, machine=Machine(micro_rows=m))) for m in (0, 3)}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("micro", [0, 3])
def test_uniform_limits_train_to_the_bits_of_the_plain_run(name, micro, plain):
    data, machine = varied(tokens=1000), Machine(micro_rows=micro)
    got = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run(LIMITS[name], data), machine=machine)
    assert bits(got) == plain[micro]


def test_one_group_trains_to_the_bits_of_the_plain_run(plain):
    data = varied(tokens=1000)
    alone = {"group": pl.Series(["one"] * len(data.data.doc_id))}
    assert (
        bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run(GroupDro(per=("g",)), data, columns=alone)))
        == plain[0]
    )


@pytest.mark.parametrize("name", ACTIVE)
def test_policies_change_the_run_alike_in_any_passes(name, plain):
    data = varied(tokens=1000)
    one, many = run(ACTIVE[name], data), run(ACTIVE[name], data)
    model, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    other, again = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=many, machine=Machine(micro_rows=1))
    assert bits((model, losses)) != plain[0]
    assert np.abs(losses - again).max() < 1e-4
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert one.record.ess == pytest.approx(many.record.ess, abs=1e-3)
    assert one.record.plain_losses == pytest.approx(many.record.plain_losses, abs=1e-4)


@pytest.mark.parametrize("name", ["awr", "unlikelihood of segments", "rho", "rho_1", "group_dro"])
def test_a_killed_run_goes_on_to_the_same_bits_and_record(name, tmp_path):
    data, whole = varied(tokens=1000), run(ACTIVE[name], varied(tokens=1000))
    wanted = bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=whole))
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=checkpoint.stops(data.num_steps, 2))

    class KilledError(Exception):
        pass

    def killed(step: int, model: object) -> None:
        raise KilledError

    for step in (1, 3, 4, 7, data.num_steps - 1):
        with pytest.raises(KilledError):
            loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run(ACTIVE[name], data), checkpoints=plan, watch=killed,
                     watch_at=(step,))  # fmt: skip
    again = run(ACTIVE[name], data)
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=again, checkpoints=plan)) == wanted
    assert again.record.figures == whole.record.figures
    assert again.record.own_remarks == whole.record.own_remarks


def test_two_processes_learn_one_value():
    data = varied(tokens=400)
    one, two = run(ACTIVE["awr"], data), run(ACTIVE["awr"], data)
    _, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    _, curve = parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=2, policy=two)
    assert np.abs(curve - losses).max() < 1e-4
    assert two.record.figures["value_error"] == pytest.approx(one.record.figures["value_error"], rel=1e-3)


def first_gradient(
    policy: Policy, score: list[float | None], monkeypatch: Any
) -> tuple[dict[str, Any], float, Any, Any]:
    """(gradients of the first step, its loss, the model, the rows) of a run with this policy."""
    data = varied(tokens=96, count=6)
    given = {"score": pl.Series((score * 6)[:6], dtype=pl.Float64)}
    caught: dict[str, Any] = {}

    def keep(self: Any, rate: float) -> None:
        if not caught:
            caught.update({n: w.grad.clone() for n, w in self._named.items()})

    from winnow.trainers.model.optimizers import Updates

    monkeypatch.setattr(Updates, "step", keep)
    recipe = dataclasses.replace(RECIPE, clip=1e9)
    model, losses = loop.fit(data, SHAPE, recipe, init_seed=1, policy=run(policy, data, columns=given))
    return caught, float(losses[0]), model, data


def literal_awr(model: Any, data: Any, score: list[float | None], policy: Awr) -> Any:
    """alpha x mean(w CE) + (1 - alpha) x MSE(R, V) as it is written, with V's vector at zero."""
    rows = data.batch(0)
    ids, segments = torch.from_numpy(rows.ids), torch.from_numpy(rows.segments)
    hidden = model.hidden(ids, segments).flatten(0, 1)
    vector = torch.zeros(hidden.shape[1], requires_grad=True)
    value = -torch.sigmoid(hidden.float() @ vector)
    ce = torch.nn.functional.cross_entropy(hidden @ model.head.weight.T, torch.from_numpy(rows.targets).flatten(),
                                           reduction="none")  # fmt: skip
    given = np.array([NAN if s is None else s for s in (score * 6)[:6]])
    reward = torch.from_numpy(-given[np.maximum(rows.documents, 0)]).float().flatten()
    known, used = ~torch.isnan(reward), torch.from_numpy(rows.weights).flatten() > 0
    weight = torch.where(known, torch.clamp(torch.exp((reward - value.detach()) / policy.beta), max=1000), 1.0)
    square = torch.where(known, (torch.nan_to_num(reward) - value) ** 2, 0.0)
    count = data.step_tokens(0)
    return (policy.alpha * (weight * ce)[used].sum() + (1 - policy.alpha) * square[used].sum()) / count


@pytest.mark.parametrize("score", [[0.2, 0.9, 0.0], [0.5, None, 0.1]])
def test_awr_is_the_literal_loss_and_its_gradient_reaches_the_trunk(score, monkeypatch):
    policy = Awr(score="s", alpha=0.5, beta=0.1)
    got, loss, model, data = first_gradient(policy, score, monkeypatch)
    model.zero_grad()
    want = literal_awr(model, data, score, policy)
    want.backward()
    assert loss == pytest.approx(float(want.detach()), rel=1e-5)
    for name, weight in model.named_parameters():
        assert torch.allclose(got[name], weight.grad, atol=1e-5, rtol=1e-4), name


@pytest.mark.parametrize("detach", [True, False])
def test_a_value_learns_what_the_score_is_and_the_trunk_helps_unless_detached(detach):
    generator = np.random.Generator(np.random.Philox(key=2))
    ids = [
        generator.integers(0, 20, 18) + 20 * (i % 2) for i in range(60)
    ]  # which half of the vocabulary tells the score
    names = documents([18] * 60).doc_id
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series([i.tolist() for i in ids], dtype=pl.List(pl.UInt16))})
    made = pack.documents_of(frame.select("doc_id"), frame)
    order = {bytes(name): i for i, name in enumerate(names)}
    score = pl.Series([0.9 * (order[bytes(name)] % 2) for name in made.doc_id])
    data = pack.batches_of(made, context=24, batch=4, tokens=6000, end=END, seed=0)
    policy = Awr(score="s", beta=1.0, value_lr=0.1, detach=detach)
    one = run(policy, data, columns={"score": score})
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    assert one.record.figures["value_error"] < 0.12  # 0.2025 is that of the best constant


def test_rwr_online_has_the_gradients_of_its_static_weights():
    """`weight` in an arm is scaled to a mean of 1 per token; with that factor the two runs are one."""
    lengths = np.random.Generator(np.random.Philox(key=5)).integers(1, 30, size=80).tolist()
    made = documents(lengths)
    score = np.random.Generator(np.random.Philox(key=6)).random(80)
    policy = Rwr(score="s", beta=0.3)
    told = {"score": pl.Series(score)}
    static = policy.open(Context(seed=7, work=Path(), refs={}))(pl.DataFrame({"s": score}))["weight"].to_numpy()
    weighted = dataclasses.replace(made, weights=static)
    more = {"context": SHAPE.context, "batch": 4, "tokens": 1000, "end": END, "seed": 0}
    data, other = pack.batches_of(made, **more), pack.batches_of(weighted, **more)
    factor = float(other.loss[0] / static[0])
    recipe = dataclasses.replace(RECIPE, optimizer="adamw", clip=1e9)
    online = run(policy, data, columns=told)
    _, losses = loop.fit(data, SHAPE, recipe, init_seed=1, policy=online)
    _, arm = loop.fit(other, SHAPE, recipe, init_seed=1)
    assert losses * factor == pytest.approx(arm, rel=2e-3)
    assert losses[0] * factor == pytest.approx(arm[0], rel=1e-6)


# --- planted truths


def markov(count: int, length: int, *, key: int, spread: int = 3, vocab: int = 40) -> list[list[int]]:
    """Texts of a first-order source where every token has `spread` successors."""
    generator = np.random.Generator(np.random.Philox(key=7))
    follow = generator.integers(0, vocab, size=(vocab, spread))
    drawn = np.random.Generator(np.random.Philox(key=key))
    out = []
    for _ in range(count):
        text = [int(drawn.integers(vocab))]
        while len(text) < length:
            text.append(int(follow[text[-1], drawn.integers(spread)]))
        out.append(text)
    return out


def noise(count: int, length: int, *, key: int, vocab: int = 40) -> list[list[int]]:
    """Texts of uniform tokens."""
    return np.random.Generator(np.random.Philox(key=key)).integers(0, vocab, size=(count, length)).tolist()


def packed(
    texts: list[list[int]], *, tokens: int, batch: int = 8, seed: int = 0
) -> tuple[pack.PackedBatches, np.ndarray]:
    """(batches of the texts, which text each document is)."""
    names = documents([1] * len(texts)).doc_id
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(texts, dtype=pl.List(pl.UInt16))})
    made = pack.documents_of(frame.select("doc_id"), frame)
    order = {bytes(name): i for i, name in enumerate(names)}
    which = np.array([order[bytes(name)] for name in made.doc_id])
    return pack.batches_of(made, context=SHAPE.context, batch=batch, tokens=tokens, end=END, seed=seed), which


def own_losses(model: Any, batches: pack.PackedBatches) -> np.ndarray:
    """Nats per token of each document under a model, f64[documents]."""
    count = len(batches.data.doc_id)
    sums, tokens = np.zeros(count), np.zeros(count)
    with torch.no_grad():
        for step in range(batches.num_steps):
            rows = batches.batch(step)
            logits = model(torch.from_numpy(rows.ids), torch.from_numpy(rows.segments))
            nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(rows.targets).flatten(),
                                                     reduction="none").view(rows.ids.shape).numpy()  # fmt: skip
            at = rows.documents >= 0
            sums += np.bincount(rows.documents[at], weights=nats[at], minlength=count)
            tokens += np.bincount(rows.documents[at], minlength=count)
    return sums / tokens


def test_rho_puts_nine_tenths_of_its_weight_on_the_clean_half_of_a_noisy_pool():
    recipe = dataclasses.replace(RECIPE, batch=8)
    held, _ = packed(markov(300, 22, key=11), tokens=180 * 8 * 23)
    reference, _ = loop.fit(held, SHAPE, recipe, init_seed=5)
    texts = markov(160, 22, key=1) + noise(160, 22, key=2)
    data, which = packed(texts, tokens=80 * 8 * 23)
    every, _ = packed(texts, tokens=320 * 23)
    one = run(Rho(reference="r"), data, columns={"reference": pl.Series(own_losses(reference, every))})
    acting, shares = one.begin(), []

    def noted(seen: Any, weights: np.ndarray) -> None:
        at = (which < 160)[np.maximum(seen.rows.documents, 0)]
        shares.append(float(weights[at].sum() / weights.sum()))

    acting.noted, one.begin = noted, lambda: acting
    loop.fit(data, SHAPE, recipe, init_seed=1, policy=one)
    assert len(shares) == data.num_steps <= 200
    assert np.mean(shares) >= 0.9
    assert min(np.mean(part) for part in np.array_split(shares, 4)) >= 0.9  # in the end as at the start


def worst(policy: Policy | None, seed: int) -> float:
    """Loss of the worse of two domains, nine tenths of the pool easy and one tenth hard, after training."""
    texts = markov(180, 22, key=3, spread=2) + markov(20, 22, key=4 + seed, spread=6)
    data, which = packed(texts, tokens=50 * 8 * 23, seed=seed)
    hard = which >= 180
    one = None if policy is None else run(policy, data, columns={"group": pl.Series(np.where(hard, "hard", "easy"))})
    model, _ = loop.fit(data, SHAPE, dataclasses.replace(RECIPE, batch=8), init_seed=seed, policy=one)
    check, order = packed(markov(40, 22, key=90, spread=2) + markov(40, 22, key=91, spread=6), tokens=80 * 23)
    loss = own_losses(model, check)
    return max(float(loss[order < 40].mean()), float(loss[order >= 40].mean()))


def test_group_dro_lowers_the_loss_of_the_worst_group_in_every_seed():
    differences = [worst(GroupDro(per=("g",), step_size=0.1), seed) - worst(None, seed) for seed in range(3)]
    assert all(d < 0 for d in differences), differences
