"""The calibration's own arithmetic: worlds whose truth is known, replayed; noise that was planted, found again."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from winnow.trainers.compare import intervals

ROOT = Path(__file__).resolve().parents[1]
PACKS = Path(os.environ.get("PACKS", ROOT.parent / "shared/data/packs"))
sys.path.append(str(ROOT / "benchmarks"))

from calibration import known_outcomes, noise, replay, result_tables  # noqa: E402


def world(*, arms, targets, spread, sd, seed):
    """Scores of the same arms at a small and at a large scale: one truth, two draws of noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, spread, (arms, targets))
    return truth, truth + rng.normal(0, sd, truth.shape), truth + rng.normal(0, sd, truth.shape)


def replayed(small, large, *, sd):
    half = replay.half_widths(np.full(small.shape[1], sd), arms=len(small))
    called = replay.calls(replay.pairs(small), half)
    return replay.outcomes(small, large, called=called, large_half=half)


def test_calls_are_those_of_the_products_rule():
    differences = np.asarray([[-0.3, 0.3, 0.1], [-0.1, 0.2, -0.2]])
    half = np.full((2, 3), 0.2)
    words = {-1: "better", 0: "cannot tell", 1: "worse"}
    found = replay.calls(differences, half)
    for d, h, call in zip(differences.ravel(), half.ravel(), found.ravel(), strict=True):
        assert words[int(call)] == intervals.verdict_of(d - h, d + h)
    assert set(found.ravel().tolist()) == {-1, 0, 1}


def test_half_widths_are_those_of_two_independent_runs():
    sd = np.asarray([0.1, 0.2])
    assert replay.half_widths(sd, arms=3) == pytest.approx(np.tile(1.96 * np.sqrt(2) * sd, (3, 1)), rel=1e-3)
    each = np.asarray([[0.3], [0.4], [0.0]])
    assert replay.half_widths(each, arms=3)[:, 0] == pytest.approx(1.96 * np.asarray([0.5, 0.3, 0.4]), rel=1e-3)
    assert replay.half_widths(sd, arms=2, df=5)[0, 0] == pytest.approx(2.5706 * np.sqrt(2) * 0.1, rel=1e-3)


def test_a_reversal_is_counted_and_a_clear_one_apart():
    small = np.asarray([[0.0], [1.0], [2.0]])  # three arms in order
    large = np.asarray([[0.0], [-0.5], [2.0]])  # the first two changed places
    found = {h: replay.outcomes(small, large, called=np.asarray([[-1], [-1], [0]]), large_half=np.full((3, 1), h))
             for h in (0.1, 1.0)}  # fmt: skip
    assert found[0.1]["called"] == pytest.approx(2 / 3)
    assert found[0.1]["reversed"]["value"] == found[1.0]["reversed"]["value"] == 0.5
    assert found[0.1]["clearly_reversed"]["value"] == 0.5
    assert found[1.0]["clearly_reversed"]["value"] == 0.0  # at the large scale the two cannot be told apart
    assert found[0.1]["accuracy"] == pytest.approx(2 / 3)
    assert found[0.1]["found_of_clear"]["value"] == pytest.approx(1 / 3)
    assert found[1.0]["found_of_clear"]["value"] == 0.5  # of the two that are clear there one was called


def test_nothing_called_is_no_rate():
    zeros = np.zeros((4, 2))
    found = replay.outcomes(zeros, zeros, called=np.zeros((6, 2), dtype=np.int8), large_half=np.ones((6, 2)))
    assert found["called"] == 0.0
    assert found["reversed"] == {"value": None, "se": None}


def test_equal_arms_are_called_at_the_stated_level_and_reversed_by_a_coin():
    _, small, large = world(arms=120, targets=20, spread=0.0, sd=0.1, seed=1)
    found = replayed(small, large, sd=0.1)
    assert found["called"] == pytest.approx(0.05, abs=0.012)
    assert found["reversed"]["value"] == pytest.approx(0.5, abs=0.05)


def test_a_rule_with_too_little_noise_calls_more_and_is_reversed_more():
    _, small, large = world(arms=60, targets=10, spread=0.1, sd=0.1, seed=2)
    right, small_sd = replayed(small, large, sd=0.1), replayed(small, large, sd=0.02)
    assert small_sd["called"] > right["called"] + 0.2
    assert small_sd["reversed"]["value"] > 1.5 * right["reversed"]["value"]
    assert small_sd["accuracy"] == right["accuracy"]


def test_the_curve_rises_with_the_size_of_the_difference():
    _, small, large = world(arms=80, targets=10, spread=0.2, sd=0.05, seed=3)
    rows = replay.curve(small, large, edges=(0.0, 0.05, 0.1, 0.3, np.inf))
    agree = [row["agree"]["value"] for row in rows]
    assert agree == sorted(agree)
    assert agree[0] < 0.75 < 0.98 < agree[-1]
    assert sum(row["pairs"] for row in rows) == 80 * 79 // 2 * 10
    assert rows[-1]["high"] is None


def test_the_stated_error_of_a_rate_is_the_spread_over_worlds():
    found = []
    for seed in range(60):
        _, small, large = world(arms=20, targets=4, spread=0.1, sd=0.08, seed=100 + seed)
        found.append(replayed(small, large, sd=0.04)["reversed"])
    spread = np.std([f["value"] for f in found], ddof=1)
    assert np.median([f["se"] for f in found]) == pytest.approx(spread, rel=0.35)


def test_refits_bound_a_planted_noise_from_above():
    rng = np.random.default_rng(4)
    shares = rng.dirichlet(np.full(5, 1.0), size=120)
    clean = np.log(shares + 0.05) @ rng.normal(0, 0.3, (5, 3))
    with_noise = noise.refit_sd(shares, clean + rng.normal(0, 0.05, clean.shape))
    assert (with_noise > 0.045).all()
    assert (with_noise < 0.08).all()
    assert (noise.refit_sd(shares, clean) < 0.02).all()


def test_jitter_is_found_and_noise_that_lasts_through_a_run_is_not():
    rng = np.random.default_rng(5)
    steps = [10, 12, 15, 20, 22, 30, 40, 55]
    bend = 5 / np.asarray(steps)[:, None, None] + rng.normal(
        0, 0.2, (1, 40, 2)
    )  # a curve, and a lasting offset per run
    curves = bend + rng.normal(0, [0.01, 0.03], (len(steps), 40, 2))
    assert noise.jitter_sd(curves, steps) == pytest.approx([0.01, 0.03], rel=0.15)


def test_checkpoints_taken_for_seeds_call_what_lasts_through_a_run():
    """Equal arms whose runs differ by lasting noise: the paired t over checkpoints calls nearly all of them."""
    rng = np.random.default_rng(6)
    lasting = rng.normal(0, 0.05, (1, 30, 5))
    curves = lasting + rng.normal(0, 0.005, (4, 30, 5))
    assert (replay.paired_calls(curves) != 0).mean() > 0.7
    fresh = rng.normal(0, 0.05, (4, 30, 5))
    assert (replay.paired_calls(fresh) != 0).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.packs
def test_reading_the_published_tables():
    if not (PACKS / "m_mixinglaws.tar.xz").exists():
        pytest.skip(f"no data packs in {PACKS}")
    tables = result_tables.mixing_laws(PACKS)
    assert {size: len(steps) for size, steps in tables.items()} == {"70M": 14, "160M": 10, "305M": 14}
    last = tables["305M"][30000]
    assert last.losses.shape == (26, 22)
    assert last.shares.sum(axis=1) == pytest.approx(np.ones(26))
    mixtures = result_tables.regmix(PACKS)
    assert [mixtures[k].losses.shape for k in ("train", "1m", "60m")] == [(512, 13), (256, 13), (256, 13)]
    assert (mixtures["1m"].shares == mixtures["60m"].shares).all()
    assert set(result_tables.pythia(PACKS)) == {"70m", "160m", "410m", "1b"}
    assert len({weights for weights, _ in result_tables.scaling(PACKS)}) == 6


@pytest.mark.packs
@pytest.mark.slow
def test_the_pages_figures_of_known_outcomes_are_those_of_the_tables():
    if not (PACKS / "m_regmix.tar.xz").exists():
        pytest.skip(f"no data packs in {PACKS}")
    stored = json.loads((ROOT / "docs/figures/calibration.json").read_text())["known"]
    found = json.loads(json.dumps(known_outcomes.measured(PACKS)))
    for key in ("called", "accuracy"):
        assert found["regmix"]["refit"][key] == pytest.approx(stored["regmix"]["refit"][key], abs=1e-3)
    for now, then in zip(found["mixing_laws"]["rows"], stored["mixing_laws"]["rows"], strict=True):
        assert now["reversed"]["value"] == pytest.approx(then["reversed"]["value"], abs=1e-3)
    assert found["scaling"] == stored["scaling"]
