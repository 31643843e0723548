"""Schedules, the stability-gap plan and mixtures of data: numbers that need no torch."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.trainers.data import pack
from winnow.trainers.data.sequences import Branch, Interleaved, PlainRows
from winnow.trainers.data.stability import evaluation_steps, gap_depth, recovery, stability_plan
from winnow.trainers.model.schedule import Phases, Schedule, cosine, decayed, factor, infinite, phases_of


def id_of(name: object) -> bytes:
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


def curve(schedule: Schedule, steps: int, **branch: int) -> list[float]:
    found = phases_of(schedule, steps=steps, **branch)
    return [factor(schedule, found, step) for step in range(steps)]


def test_linear_warms_up_and_ends_one_step_short_of_zero():
    factors = curve(Schedule(), 200)
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1 - 9 / 200)
    assert factors[-1] == pytest.approx(1 / 200)


def test_cosine_has_its_textbook_values():
    phases = Phases(warmup=10, cooldown=0, stable=0, steps=110)
    assert cosine(10, phases, final=0.1) == 1.0
    assert cosine(60, phases, final=0.1) == pytest.approx(0.55)
    assert cosine(35, phases, final=0.0) == pytest.approx(0.5 + math.sqrt(2) / 4)
    assert cosine(110, phases, final=0.1) == pytest.approx(0.1)
    factors = curve(Schedule(kind="cosine", warmup_share=0.1, final=0.1), 100)
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert all(a >= b for a, b in itertools.pairwise(factors[9:]))


@pytest.mark.parametrize("constant", [0.5, 0.25])
@pytest.mark.parametrize("final", [0.01, 0.1])
def test_infinite_is_continuous_and_has_the_stated_rates_at_its_boundaries(constant, final):
    phases = Phases(warmup=50, cooldown=300, stable=800, steps=1000)

    def at(n):
        return infinite(n, phases, constant=constant, final=final)

    assert at(50) == 1.0
    assert at(300) == constant
    assert at(800) == constant
    assert at(1000) == pytest.approx(final, rel=1e-12)
    for n in (50, 300, 800):
        for side in (-1e-6, 1e-6):
            assert abs(at(n + side) / at(n) - 1) < 1e-6
    assert at(25) == pytest.approx(0.5)
    assert at(175) == pytest.approx(constant + (1 - constant) / 2)
    assert at(900) == pytest.approx(constant * math.sqrt(final / constant))


def test_the_first_step_of_an_infinite_run_moves_and_its_last_has_the_final_rate():
    factors = curve(Schedule(kind="infinite", warmup_share=0.1, final=0.01), 100)
    assert factors[0] == pytest.approx(0.1)
    assert factors[-1] == pytest.approx(0.01)
    assert max(factors) == factors[9] == 1.0


@pytest.mark.parametrize("shape", ["linear", "sqrt", "exponential"])
def test_wsd_is_flat_and_then_decays_in_exactly_the_stated_steps(shape):
    factors = curve(Schedule(kind="wsd", warmup_share=0.1, decay_share=0.2, decay_shape=shape), 100)
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert factors[9:81] == [1.0] * 72  # the first step of the decay still has the full rate: it is continuous
    assert all(a > b for a, b in itertools.pairwise(factors[80:]))
    assert len([f for f in factors[10:] if f < 1]) == 19


def test_decays_have_their_stated_ends_and_half_lives():
    assert [decayed(1.0, s) for s in ("linear", "sqrt", "exponential")] == [0.0, 0.0, 2**-6]
    assert decayed(0.25, "sqrt") == 0.5
    assert decayed(1 / 6, "exponential") == pytest.approx(0.5)


@given(st.integers(20, 4000), st.integers(1, 500), st.floats(0, 0.5), st.data())
def test_a_branch_has_the_rates_of_its_trunk_until_it_leaves_and_decays_in_its_own_steps(trunk, own, share, data):
    at = data.draw(st.integers(math.ceil(share * trunk), trunk))
    decay = data.draw(st.integers(0, own))
    before = curve(Schedule(kind="constant", warmup_share=share), trunk)
    after = curve(Schedule(kind="wsd", warmup_share=share), at + own, trunk=trunk, decay=decay)
    assert after[:at] == before[:at]
    assert after[at : at + own - decay] == [1.0] * (own - decay) or own == decay
    assert after[at + own - decay :] == pytest.approx([1 - k / decay for k in range(decay)])


def test_a_schedule_that_cannot_be_is_refused():
    for wrong in (
        Schedule(warmup_share=1.0),
        Schedule(decay_share=1.5),
        Schedule(kind="wsd", warmup_share=0.5, decay_share=0.6),
        Schedule(kind="infinite", final=0.0),
        Schedule(kind="infinite", cooldown_share=0.7, decay_share=0.3, final=0.1),
    ):
        with pytest.raises(ConfigError):
            wrong.check()
    Schedule(kind="infinite", final=0.01).check()


@given(
    st.integers(1000, 10**9),
    st.integers(1, 8),
    st.dictionaries(st.sampled_from(["web", "code", "books"]), st.floats(0.01, 0.3), min_size=1),
)
def test_a_stability_plan_spends_its_budget_to_the_token(budget, epochs, replay):
    plan = stability_plan(budget, epochs=epochs, replay=replay)
    assert plan.subset * plan.epochs + sum(plan.replay.values()) == budget == plan.budget
    for domain, share in replay.items():
        assert abs(plan.replay[domain] - share * budget) <= epochs


def test_a_stability_plan_says_what_does_not_fit():
    assert stability_plan(50_000_000_000 * 4 // 10, epochs=4, replay={}).subset == 5_000_000_000
    with pytest.raises(ConfigError, match="12") as told:
        stability_plan(10, epochs=4, replay={})
    assert told.value.hint == "give 8 or 12"
    for wrong in ({"web": 1.0}, {"web": -0.1}):
        with pytest.raises(ConfigError):
            stability_plan(1000, epochs=2, replay=wrong)


def test_the_gap_is_measured_closely_at_the_start():
    steps = evaluation_steps(5000)
    assert len(steps) >= 20
    assert (steps[0], steps[-1]) == (0, 5000)
    assert sum(step <= 100 for step in steps) >= 10
    assert (evaluation_steps(9, points=1), evaluation_steps(9, points=2)) == ((0, 9), (0, 1, 9))
    falls = [0.5, 0.4, 0.3, 0.45, 0.5, 0.6]
    assert gap_depth(falls) == pytest.approx(0.2)
    assert recovery(falls, [0, 10, 20, 50, 100, 200]) == 100
    assert recovery([0.5, 0.4], [0, 10]) is None
    twice = [0.5, 0.45, 0.5, 0.3, 0.4, 0.55]
    assert recovery(twice, [0, 10, 20, 50, 100, 200]) == 200, "back before the deepest fall is not back"
    assert recovery(twice[:5], [0, 10, 20, 50, 100]) is None
    assert (gap_depth([0.5, 0.6]), recovery([0.5, 0.6], [0, 10])) == (0.0, 0)


def rows(count: int, *, first: int = 0, context: int = 4) -> PlainRows:
    ids = first + np.arange(count)[:, None] + np.zeros((1, context + 1), dtype=np.int64)
    return PlainRows(rows=ids.astype(np.uint16), batch_rows=1)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_mixture_reads_every_row_of_every_source_once_and_spreads_them(world):
    mixture = Interleaved(sources=(rows(60), rows(20, first=1000)), batch_rows=8)
    seen, tokens = [], 0
    for step in range(mixture.num_steps):
        parts = [mixture.batch(step, rank=rank, world=world) for rank in range(world)]
        found = [int(row[0]) for part in parts for row, w in zip(part.ids, part.weights, strict=True) if w.any()]
        tokens += sum(int((part.weights > 0).sum()) for part in parts)
        assert sum(int((part.weights > 0).sum()) for part in parts) == mixture.step_tokens(step)
        assert sum(row >= 1000 for row in found) == 2
        seen += found
    assert Counter(seen) == Counter([*range(60), *range(1000, 1020)])
    assert tokens == mixture.num_tokens == 80 * 4


def test_a_replay_plan_reshuffles_the_subset_every_epoch_and_reads_it_once_in_each():
    def packed(count, tokens, seed):
        frame = pl.DataFrame({"doc_id": [id_of((seed, i)) for i in range(count)]}).sort("doc_id")
        ids = [[i + 2] * 3 for i in range(count)]
        have = frame.with_columns(tokens=pl.Series(ids, dtype=pl.List(pl.UInt16)))
        documents = pack.documents_of(frame, have)
        return pack.batches_of(documents, context=8, batch=1, tokens=tokens, end=1, seed=3)

    plan = stability_plan(1000, epochs=3, replay={"old": 0.28})
    assert (plan.subset, plan.replay) == (240, {"old": 280})
    mixture = Interleaved(sources=(packed(60, 240 * 3, 1), packed(100, 280, 2)), batch_rows=5)
    assert sum(mixture.step_tokens(step) for step in range(mixture.num_steps)) == 1000
    source = mixture.sources[0]
    per_epoch = source.num_steps // 3
    orders = []
    for epoch in range(3):
        order = [source.batch(epoch * per_epoch + k).documents[0].tolist() for k in range(per_epoch)]
        counted = Counter(d for row in order for d in row if d >= 0)
        assert counted == dict.fromkeys(range(60), 4)
        orders.append(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_a_branch_reads_the_trunk_first_and_its_own_data_then():
    branch = Branch(trunk=rows(10), at=4, own=rows(6, first=100), decay=3)
    assert [int(branch.batch(step).ids[0, 0]) for step in range(branch.num_steps)] == [0, 1, 2, 3, *range(100, 106)]
    assert branch.num_tokens == 10 * 4
    assert (branch.trunk_steps, branch.decay_steps) == (10, 3)
    further = Branch(trunk=branch, at=8, own=rows(2), decay=-1)
    assert (further.trunk_steps, further.decay_steps, further.num_steps) == (10, 2, 10)
    assert len({branch.digest, further.digest, rows(10).digest}) == 3
    for wrong in (Branch(trunk=rows(10), at=11, own=rows(1)), Branch(trunk=rows(10), at=1, own=rows(1), decay=2)):
        with pytest.raises(ConfigError):
            _ = wrong.decay_steps


@pytest.mark.parametrize(
    ("share", "steps", "last"),
    [(0.2, 7, 1), (0.2, 8, 2), (0.25, 10, 2), (0.35, 10, 4), (0.2, 2, 0), (0.2, 3, 1), (1.0, 9, 9), (0.0, 9, 0)],
)
def test_a_share_of_decay_is_rounded_to_the_nearest_step(share, steps, last):
    schedule = Schedule(kind="wsd", warmup_share=0.0, decay_share=share)
    found = phases_of(schedule, steps=steps)
    assert found.stable == steps - last  # ties go to the even step: 2.5 is 2, 3.5 is 4
    rates = [factor(schedule, found, step) for step in range(steps)]
    assert sum(rate < 1 for rate in rates) == max(0, last - 1)  # the first step of a decay has the full rate
