"""What the intervals promise, by simulation and against hand-computed cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.trainers.compare import intervals

RUNS = 20_000


def normal(n: int, *, mean: float = 0.0, sd: float = 1.0, runs: int = RUNS, seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed * 1000 + n)).normal(mean, sd, size=(runs, n))


@pytest.mark.parametrize("n", range(3, 13))
def test_the_t_interval_covers_the_truth_95_percent_of_the_time(n):
    mean, _, half = intervals.t_intervals(normal(n, mean=0.3, sd=0.07))
    covered = (np.abs(mean - 0.3) <= half).mean()
    assert abs(covered - 0.95) < 0.015


@pytest.mark.parametrize("n", [3, 4, 6, 8, 12])
def test_a_true_effect_of_the_stated_size_is_found_80_percent_of_the_time(n):
    sd = 0.05
    mde = intervals.minimum_detectable_effect(sd, n)
    mean, _, half = intervals.t_intervals(normal(n, mean=-mde, sd=sd))
    assert abs(((mean + half < 0) | (mean - half > 0)).mean() - 0.8) < 0.03


@pytest.mark.parametrize("n", [3, 6, 12])
def test_an_arm_equal_to_the_baseline_is_called_different_5_percent_of_the_time(n):
    mean, _, half = intervals.t_intervals(normal(n, sd=0.05))
    assert abs((np.abs(mean) > half).mean() - 0.05) < 0.015


def test_a_percentile_bootstrap_over_six_seeds_covers_too_little_so_it_is_not_the_primary_interval():
    values = normal(6, runs=2000, seed=2)
    index = np.random.Generator(np.random.Philox(key=3)).integers(0, 6, size=(1000, 6))
    means = values[:, index].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert 0.83 < covered < 0.90


def test_a_hand_computed_case():
    effect = intervals.paired_effect([0.004, 0.006, 0.003, 0.005, 0.007])
    assert effect.mean == pytest.approx(0.005)
    assert effect.mean / (effect.sd / 5**0.5) == pytest.approx(7.0711, abs=1e-4)
    assert effect.p == pytest.approx(0.0021, abs=1e-4)
    assert effect.verdict == "worse"
    assert intervals.paired_effect([-0.004, -0.006, -0.003]).verdict == "better"


def test_one_pair_gives_no_interval_and_no_verdict():
    effect = intervals.paired_effect([-0.4])
    assert (effect.low, effect.high, effect.p, effect.verdict) == (None, None, None, "cannot tell")
    assert intervals.minimum_detectable_effect(0.1, 1) is None


def test_no_pair_is_an_error():
    with pytest.raises(ConfigError, match="no pair"):
        intervals.paired_effect([])


def test_equal_arms_cannot_be_told_apart():
    effect = intervals.paired_effect([0.0] * 6)
    assert effect.verdict == "cannot tell"
    assert effect.p == 1.0


def test_holm_against_a_hand_computed_case():
    adjusted = intervals.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None})
    assert adjusted == {
        "a": pytest.approx(0.03), "b": pytest.approx(0.06), "c": pytest.approx(0.06), "d": None,
    }  # fmt: skip


@given(st.dictionaries(st.text(max_size=4), st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values):
    adjusted = intervals.holm(p_values)
    assert set(adjusted) == set(p_values)
    ranked = sorted(p_values, key=lambda name: p_values[name])
    assert all(1 >= adjusted[name] >= p_values[name] for name in ranked)
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(ranked))


def test_holm_keeps_false_alarms_over_eight_equal_arms_below_5_percent():
    mean, sd, _ = intervals.t_intervals(normal(6 * 8, seed=4, runs=1000).reshape(8000, 6))
    p = [intervals._p_value(m, s, 6) for m, s in zip(mean, sd, strict=True)]
    alarms = [
        min(intervals.holm({str(i): v for i, v in enumerate(p[k : k + 8])}).values()) < 0.05 for k in range(0, 8000, 8)
    ]
    assert np.mean(alarms) < 0.07


def test_the_minimum_detectable_effect_agrees_with_the_noncentral_t():
    from scipy import stats

    for n in (3, 6, 12):
        shift = intervals.minimum_detectable_effect(1.0, n) * n**0.5
        critical = stats.t.ppf(0.975, n - 1)
        power = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
        assert power == pytest.approx(0.8, abs=1e-3)


def test_more_seeds_detect_smaller_effects():
    sizes = [intervals.minimum_detectable_effect(0.05, n) for n in range(2, 13)]
    assert all(a > b for a, b in itertools.pairwise(sizes))


def test_the_document_interval_holds_the_effect_and_is_reproducible():
    nats = normal(40, runs=1, seed=5)[0] * 20 - 100
    num_bytes = np.full(40, 1000.0)
    low, high = intervals.document_interval(nats, num_bytes)
    assert low < nats.sum() / np.log(2) / num_bytes.sum() < high < 0
    assert (low, high) == intervals.document_interval(nats, num_bytes)


def test_resampled_documents_give_the_t_interval_on_normal_data():
    for seed in range(5):
        values = normal(400, runs=1, mean=0.02, seed=seed)[0]
        low, high = intervals.document_interval(values * np.log(2), np.ones(400), draws=8000)
        effect = intervals.paired_effect(values)
        assert high - low == pytest.approx(effect.high - effect.low, rel=0.05)
        assert (high + low) / 2 == pytest.approx(effect.mean, abs=0.05 * (effect.high - effect.low))


FIVE = [0.004, 0.006, 0.003, 0.005, 0.007]


def test_the_sign_flips_of_five_equal_signs_give_one_in_thirty_two():
    effect = intervals.paired_effect(FIVE)
    assert intervals.sign_flip(np.array([FIVE]))[0] == 0.03125
    assert intervals.sign_flip(-np.array([FIVE]))[0] == 0.03125
    row = intervals.effect_row(effect, fixed_selection=False)
    assert row["p_sign_flip"] == 0.0625, "two-sided: five pairs cannot reach .05"
    assert effect.n - 1 == 4


@pytest.mark.parametrize("n", [2, 3, 5, 17, 400])
def test_intervals_and_p_values_are_those_of_scipys_distribution(n):
    from scipy import stats

    values = np.random.default_rng(n).normal(0.3, 1.0, (6, n))
    mean, sd, half = intervals.t_intervals(values, alpha=0.03)
    assert half == pytest.approx(stats.t.ppf(1 - 0.03 / 2, n - 1) * sd / np.sqrt(n), rel=1e-12)
    for row, at, spread in zip(values, mean, sd, strict=True):
        wanted = float(2 * stats.t.sf(abs(at) / (spread / np.sqrt(n)), n - 1))
        assert intervals.paired_effect(row).p == pytest.approx(wanted, rel=1e-12)


def test_sign_flips_agree_with_scipy_and_with_their_drawn_form():
    from scipy import stats

    values = normal(7, runs=6, mean=0.4, seed=9)
    for row in values:
        expected = stats.permutation_test(
            (row,), np.mean, permutation_type="samples", alternative="greater" if row.mean() > 0 else "less"
        ).pvalue
        assert intervals.sign_flip(row[None])[0] == pytest.approx(expected)
    many = np.concatenate([values, values, values], axis=1)[:, :18]
    drawn = intervals.sign_flip(many)
    exact = [np.mean((_all_signs(18) @ row) * np.sign(row.sum()) >= abs(row.sum()) - 1e-9) for row in many[:2]]
    assert np.allclose(drawn[:2], exact, atol=0.01)


def _all_signs(n: int) -> np.ndarray:
    return 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)


def test_two_thousand_comparisons_of_an_arm_with_itself_are_called_different_5_percent_of_the_time():
    """Six seeds, a random subset each: subset noise and a smaller training noise, equal for both arms."""
    draw = np.random.Generator(np.random.Philox(key=77))
    arms = draw.normal(2.6, 0.04, size=(2, 2000, 6)) + draw.normal(0, 0.006, size=(2, 2000, 6))
    differences = arms[0] - arms[1]
    mean, _, half = intervals.t_intervals(differences)
    assert abs((np.abs(mean) > half).mean() - 0.05) <= 0.01
    two_sided = 2 * intervals.sign_flip(differences)
    assert (two_sided <= 0.05).mean() <= 0.06


def test_all_equal_differences_of_zero_are_no_evidence():
    assert intervals.sign_flip(np.zeros((1, 6)))[0] == 1.0
