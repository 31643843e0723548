"""Weights of samples from their losses: the numbers of the paper's formulas, and what holds for any losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support_policies import RECIPE, SHAPE, bits, run_of, varied
from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.loss_tilt import favour, normalised, temperature, tilted
from winnow.trainers.online.policies import POLICIES, policy_named
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told
from winnow.trainers.online.weights.lin_upper import LinUpper

LOSSES = np.array([1.0, 2.0, 3.0, 5.0])
CHECK = {  # strategy -> f, weights at r = 1, weighted loss at r = 1, weights at r = 0.4
    "lin_upper": ((0, 0.5, 1, 1), (0.123681, 0.203916, 0.336201, 0.336201), 3.221123,
                  (0.034656, 0.120960, 0.422192, 0.422192)),
    "quadratic": ((0, 0.75, 1, 0), (0.146300, 0.309717, 0.397684, 0.146300), 2.690283,
                  (0.048301, 0.314965, 0.588432, 0.048301)),
    "extremes": ((1, 0.5, 0, 1), (0.336201, 0.203916, 0.123681, 0.336201), 2.796084,
                 (0.422192, 0.120960, 0.034656, 0.422192)),
    "upper": ((0, 0.25, 0.5, 1), (0.150353, 0.193057, 0.247890, 0.408701), 3.323640,
              (0.053934, 0.100763, 0.188249, 0.657054)),
}  # fmt: skip
SAMPLES = st.lists(st.floats(0.01, 20), min_size=2, max_size=12)


def seen_of(loss: Any, *, tokens: Any = None, step: int = 5, steps: int = 100, nats: Any = None) -> Seen:
    """A step of one row per sample; sample i has `tokens[i]` tokens of loss `loss[i]`."""
    loss = np.asarray(loss, dtype=np.float64)
    tokens = np.full(len(loss), 4) if tokens is None else np.asarray(tokens)
    used = np.arange(max(4, tokens.max(initial=0))) < tokens[:, None]
    ids = np.zeros(used.shape, dtype=np.int64)
    rows = Batch(
        ids=ids, targets=ids, segments=np.where(used, 0, -1).astype(np.int32),
        documents=np.where(used, np.arange(len(loss))[:, None], -1), weights=used.astype(np.float32),
    )  # fmt: skip
    given = np.where(used, loss[:, None], 9.0).astype(np.float32) if nats is None else nats
    return Seen(step=step, rows=rows, nats=given, told=Told(steps=steps, seed=0, vocab=9, context=4, batch=len(loss)))


def shares(policy: Any, seen: Seen) -> np.ndarray:
    """Weight of every sample in the step, adding up to 1."""
    weights = policy.begin(seen.told).weigh(seen)
    each = np.bincount(seen.sample[seen.sample >= 0], weights=weights[seen.sample >= 0])
    return np.asarray(each / each.sum())


@pytest.mark.parametrize("name", CHECK)
def test_the_formulas_give_the_numbers_that_were_worked_out(name):
    f, at_one, loss, colder = CHECK[name]
    h = normalised(LOSSES, low=1, high=5)
    assert h.tolist() == [-1, -0.5, 0, 1]
    assert favour(h, name).tolist() == list(f)
    assert tilted(favour(h, name), 1.0) == pytest.approx(at_one, abs=5e-7)
    assert tilted(favour(h, name), 1.0) @ LOSSES == pytest.approx(loss, abs=5e-7)
    assert tilted(favour(h, name), 0.4) == pytest.approx(colder, abs=5e-7)
    for r, wanted in ((1.0, at_one), (0.4, colder)):
        assert shares(policy_named(name, {"r": r}), seen_of(LOSSES)) == pytest.approx(wanted, abs=5e-7)


def test_a_high_temperature_is_nearly_uniform():
    wanted = (0.248440, 0.249686, 0.250937, 0.250937)
    assert shares(LinUpper(r=100), seen_of(LOSSES)) == pytest.approx(wanted, abs=5e-7)


@settings(max_examples=40, deadline=None)
@given(losses=SAMPLES, scale=st.floats(0.1, 10), shift=st.floats(0, 10), name=st.sampled_from(sorted(CHECK)))
def test_weights_do_not_change_with_unit_and_zero_of_the_losses_and_follow_their_order(losses, scale, shift, name):
    loss = np.array(losses)
    spread = np.ptp(loss)
    if 0 < spread < 1e-3:
        return  # the floor of the spread is no unit
    policy = policy_named(name, {"r": 0.7})
    weights = shares(policy, seen_of(loss))
    assert shares(policy, seen_of(loss * scale + shift)) == pytest.approx(weights, abs=2e-3)  # losses are f32
    order = np.argsort(loss)
    assert shares(policy, seen_of(loss[order])) == pytest.approx(weights[order], abs=1e-6)
    assert weights.max() <= weights.min() * np.exp(1 / 0.7) * (1 + 1e-5)


@pytest.mark.parametrize("name", CHECK)
@pytest.mark.parametrize("bounds", ["step", "ema", "quantiles"])
def test_equal_losses_one_document_and_a_single_sample_are_exactly_uniform(name, bounds):
    policy = policy_named(name, {"r": 0.1, "bounds": bounds})
    for losses in ([2.0, 2.0, 2.0], [3.5]):
        seen = seen_of(losses)
        assert policy.begin(seen.told).weigh(seen) is seen.rows.weights


@pytest.mark.parametrize("name", CHECK)
def test_a_huge_loss_squeezes_the_others_and_bounds_help(name):
    losses = np.array([*np.linspace(1, 3, 199), 1e6])
    squeezed = shares(policy_named(name, {"r": 0.4}), seen_of(losses))
    assert np.isfinite(squeezed).all()
    assert np.ptp(squeezed[:-1]) < 1e-4 / 199, "all others look alike"
    bounded = shares(policy_named(name, {"r": 0.4, "bounds": "quantiles"}), seen_of(losses))
    assert np.ptp(bounded[:-1]) > 1e-3
    acting = policy_named(name, {"r": 0.4, "bounds": "ema"}).begin(seen_of(losses).told)
    for _ in range(20):
        acting.weigh(seen_of(losses[:-1]))
    seen = seen_of(losses[:-1])
    first = acting.weigh(seen)
    assert np.ptp(first[first > 0]) > 0.1
    again = policy_named(name, {"r": 0.4, "bounds": "ema"}).begin(seen.told)
    again.restore(acting.state())
    assert np.array_equal(again.weigh(seen), acting.weigh(seen))


def test_running_bounds_move_a_tenth_of_the_way_at_each_step():
    acting = LinUpper(r=0.4, bounds="ema").begin(seen_of([1.0, 3.0]).told)
    acting.weigh(seen_of([1.0, 3.0]))
    assert acting.ema == [1.0, 3.0], "the first step's own"
    acting.weigh(seen_of([1.0, 2.0]))
    assert acting.ema == pytest.approx([1.0, 2.9])
    h = normalised(np.array([1.0, 2.0]), low=1.0, high=2.9)
    again = LinUpper(r=0.4, bounds="ema").begin(seen_of([1.0, 3.0]).told)
    again.restore({"ema": [1.0, 3.0], "least": 1.0, "most": 0.0})
    weights = again.weigh(seen_of([1.0, 2.0]))[:, 0]
    assert weights / weights.sum() == pytest.approx(tilted(favour(h, "lin_upper"), 0.4), rel=1e-6)


def test_two_ranks_of_two_samples_have_the_averaged_gradient_of_one_rank_of_four():
    """Losses of both are gathered, weights are of the whole step, and each rank's local loss is times the ranks."""
    torch = pytest.importorskip("torch")
    draw = np.random.Generator(np.random.Philox(key=7))
    x = torch.from_numpy(draw.normal(size=(4, 4, 5)))  # samples, tokens, features; f64
    y = torch.from_numpy(draw.integers(0, 6, (4, 4)))
    start = torch.from_numpy(draw.normal(size=(5, 6)))
    own = torch.tensor([1.0, 0.9, 0.7, 1.2], dtype=torch.float64)  # of documents, before the policy

    def nats(head, rows):
        return torch.nn.functional.cross_entropy((x[rows] @ head).flatten(0, 1), y[rows].flatten(), reduction="none")

    def gradient(rank: int, world: int, weights) -> Any:
        rows, head = slice(rank, None, world), start.clone().requires_grad_()
        mine = torch.from_numpy(weights[rows].astype(np.float64)).flatten()
        (world * (mine * nats(head, rows)).sum() / y.numel()).backward()
        return head.grad

    with torch.no_grad():
        parts = [nats(start, slice(rank, None, 2)).view(2, 4).numpy() for rank in (0, 1)]
        alone = nats(start, slice(None)).view(4, 4).numpy()
    gathered = np.zeros((4, 4))
    gathered[0::2], gathered[1::2] = parts
    used = seen_of([1.0] * 4).rows
    used = dataclasses.replace(used, weights=np.broadcast_to(own[:, None].numpy(), (4, 4)).astype(np.float32))
    told, policy = seen_of([1.0] * 4).told, LinUpper(r=0.4)
    one, both = (policy.begin(told).weigh(Seen(step=0, rows=used, nats=n, told=told)) for n in (alone, gathered))
    assert np.ptp(one[:, 0] / own.numpy()) > 0.5, "the policy does weigh"
    whole = gradient(0, 1, one)
    averaged = (gradient(0, 2, both) + gradient(1, 2, both)) / 2
    assert (averaged - whole).abs().max() < 1e-6
    assert whole.abs().max() > 1e-2
    apart = [policy.begin(told).weigh(Seen(step=0, rows=rows_at(used, slice(r, None, 2)), nats=gathered[r::2], told=told))
             for r in (0, 1)]  # fmt: skip
    local = np.zeros_like(both)
    local[0::2], local[1::2] = apart
    other = (gradient(0, 2, local) + gradient(1, 2, local)) / 2
    assert (other - whole).abs().max() > 1e-3, "weights of each rank's own samples are another step"


def rows_at(rows: Batch, at: slice) -> Batch:
    """Some rows of a batch."""
    given = {f.name: getattr(rows, f.name) for f in dataclasses.fields(rows)}
    return Batch(**{name: values[at] for name, values in given.items() if isinstance(values, np.ndarray)})


def test_per_token_weighs_long_samples_more_and_per_sample_does_not():
    seen = seen_of([1.0, 3.0], tokens=[2, 6])
    token, sample = (LinUpper(r=1.0, per=per).begin(seen.told).weigh(seen) for per in ("token", "sample"))
    ratio = np.exp(1.0)
    assert token[1, 0] / token[0, 0] == pytest.approx(ratio, rel=1e-5)
    assert sample[1].sum() / sample[0].sum() == pytest.approx(ratio, rel=1e-5)
    assert token.sum() == pytest.approx(8)
    assert sample.sum() == pytest.approx(8)
    assert token[0, 2:].tolist() == [0, 0, 0, 0]


def test_the_temperature_has_steps_of_its_own_first():
    plain = {"r": 0.5, "warm": 3, "fade": 3}
    assert [temperature(k, r_start=0.0, **plain) for k in range(3)] == [np.inf] * 3
    falling = [1 / temperature(k, r_start=0.0, **plain) for k in range(3, 7)]
    assert falling == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert [temperature(k, r=0.5, warm=2, r_start=100.0, fade=0) for k in range(3)] == [100.0, 100.0, 0.5]
    seen = seen_of(LOSSES, step=19)
    assert LinUpper(warm_share=0.2).begin(seen.told).weigh(seen) is seen.rows.weights
    later = seen_of(LOSSES, step=20)
    assert LinUpper(warm_share=0.2).begin(seen.told).weigh(later) is not later.rows.weights
    assert LinUpper(warm_steps=20).begin(seen.told).weigh(seen) is seen.rows.weights


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"r": 0.0}, "r"), ({"r": -1.0}, "r"), ({"delta": 0.0}, "delta"), ({"warm_share": 1.5}, "warm_share"),
     ({"warm_share": 0.1, "warm_steps": 3}, "warm_share"), ({"r_start": 5.0}, "r_start"), ({"warm_steps": -1}, "warm_steps")],
)  # fmt: skip
def test_fields_that_cannot_be_are_refused(fields, where):
    with pytest.raises(ConfigError) as caught:
        policy_named("lin_upper", fields)
    assert caught.value.where == f"policy.{where}"


def test_every_policy_of_the_table_is_registered_under_its_name():
    from winnow.dags.recipe.registry import REGISTRY, operator_class

    assert POLICIES.items() <= REGISTRY.items()
    for name in POLICIES:
        assert operator_class(name).role == "policy", name
    found = {name for name in REGISTRY if operator_class(name).role == "policy"}
    assert found == set(POLICIES), "a worker makes a policy by `trainers.online.policies`"


@pytest.mark.train
@pytest.mark.parametrize("name", CHECK)
def test_the_uniform_limit_trains_as_no_policy_does(name):
    pytest.importorskip("torch")
    from winnow.trainers.model import loop

    data = varied(tokens=900)
    wanted = loop.fit(data, SHAPE, RECIPE, init_seed=1)
    warm = run_of(policy_named(name, {"warm_share": 1.0}), data)
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=warm)) == bits(wanted)
    hot = run_of(policy_named(name, {"r": 1e6}), data)
    assert np.abs(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=hot)[1] - wanted[1]).max() < 1e-5
