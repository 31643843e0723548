"""What the intervals promise, by simulation and against hand-computed cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.trainers.compare import intervals, power

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


@pytest.mark.parametrize(("sigma", "delta", "rule"), [(0.002, 0.004, 4), (0.002, 0.002, 16), (0.002, 0.001, 63)])
def test_seeds_follow_the_normal_rule_plus_what_few_seeds_cost(sigma, delta, rule):
    assert round(2 * ((1.96 + 0.84) * sigma / delta) ** 2) == rule
    needed = power.seeds_needed(sigma * 2**0.5, delta)
    assert rule < needed <= rule + 3, "the t distribution asks for two or three more"


FIVE = [0.004, 0.006, 0.003, 0.005, 0.007]


def test_the_sign_flips_of_five_equal_signs_give_one_in_thirty_two():
    effect = intervals.paired_effect(FIVE)
    assert intervals.sign_flip(np.array([FIVE]))[0] == 0.03125
    assert intervals.sign_flip(-np.array([FIVE]))[0] == 0.03125
    row = intervals.effect_row(effect, fixed_selection=False)
    assert row["p_sign_flip"] == 0.0625, "two-sided: five pairs cannot reach .05"
    assert effect.n - 1 == 4


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


@pytest.mark.parametrize("wanted", [0.02, 0.05, 0.1])
def test_the_stated_number_of_seeds_finds_the_wanted_effect_80_percent_of_the_time(wanted):
    sd = 0.05
    n = power.seeds_needed(sd, wanted)
    mean, _, half = intervals.t_intervals(normal(n, mean=wanted, sd=sd, runs=8000, seed=8))
    found = (np.abs(mean) > half).mean()
    assert 0.78 < found < 0.93, "a whole number of seeds may find it somewhat more often"
    fewer = intervals.minimum_detectable_effect(sd, n - 1)
    assert fewer is None or fewer > wanted, "one seed less would not do"


def test_large_numbers_of_seeds_follow_the_normal_rule():
    """n = (1.96 + .84)^2 (sd / delta)^2 for paired differences."""
    assert power.seeds_needed(0.06, 0.01) == pytest.approx((1.96 + 0.8416) ** 2 * 36, rel=0.02)
    assert power.seeds_needed(0.06, 0.0001) is None
    assert power.seeds_needed(0.0, 0.01) == 2


def comparison(sd: float, *, n: int = 6, tokens: int = 100, target: str = "ref") -> dict:
    return {"aa": {"aa": {"effects": {target: {"sd": sd, "n": n}}}}, "tokens": tokens}


def test_the_noise_of_earlier_runs_is_pooled_and_runs_of_equal_size_come_first():
    found = power.pooled_noise([comparison(0.03), comparison(0.05, n=4), comparison(9.0, tokens=7)], "ref", tokens=100)
    assert found.df == 8
    assert found.sd == pytest.approx(((0.03**2 * 5 + 0.05**2 * 3) / 8) ** 0.5)
    assert "2 A/A rows of earlier comparisons" in found.origin
    other = power.pooled_noise([comparison(0.2, tokens=7)], "ref", tokens=100)
    assert other.sd == pytest.approx(0.2)
    assert "another number of tokens" in other.origin


def test_the_noise_of_other_models_baselines_and_units_is_not_mixed_in():
    small = comparison(0.03) | {"parameters": 10}
    large = comparison(0.01) | {"parameters": 99}
    fixed = comparison(0.002) | {"parameters": 10, "baseline": {"fixed_selection": True}}
    texts = comparison(0.9) | {"targets": {"ref": {"unit": "nats per text (log loss)"}}}
    everything = [small, large, fixed, texts]
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=10).sd == pytest.approx(0.03)
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=99).sd == pytest.approx(0.01)
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=10, fixed=True).sd == pytest.approx(0.002)
    unlike = power.pooled_noise([fixed], "ref", tokens=100, parameters=10)
    assert "kind of baseline" in unlike.origin
    told = power.pooled_noise([small, texts], "ref", tokens=100)
    assert (told.sd, told.unit) == (pytest.approx(0.9), "nats per text (log loss)"), "the latest unit, and no other"


def test_the_same_runs_compared_twice_are_one_row_of_noise():
    once = comparison(0.03)
    once["aa"]["aa"]["effects"]["ref"]["differences"] = [0.01, -0.03, 0.02, 0.0, 0.05, -0.02]
    again = once | {"arms": {"new": {}}}
    assert power.pooled_noise([once, again], "ref", tokens=100).df == 5


def test_the_forecast_tells_the_noise_of_the_noise_and_the_cost_of_many_arms():
    noise = power.Noise(sd=0.05, df=5, origin="somewhere")
    one, many = (power.forecast(noise, seeds=6, wanted=0.05, arms=arms) for arms in (1, 6))
    assert many["mde"] == one["mde"] == one["mde_among"] < many["mde_among"]
    assert many["mde_among"] == intervals.minimum_detectable_effect(0.05, 6, alpha=0.05 / 6)
    assert many["seeds_needed"] > one["seeds_needed"]
    low, high = noise.range()
    lines = power.forecast_lines(many)
    assert f"{many['mde_among']:.3f} at the first step of Holm over 6 arms" in lines[0]
    assert f"sd 0.050 ({low:.3f} to {high:.3f})" in lines[1]
    assert "Holm" not in power.forecast_lines(one)[0]


def test_without_an_earlier_run_the_noise_is_declared_and_says_so():
    for nothing in ([], [{"aa": {}, "tokens": 100}], [comparison(0.1, target="other")], [comparison(0.0, n=1)]):
        found = power.pooled_noise(nothing, "ref", tokens=100)
        assert (found.sd, found.df) == (power.DECLARED_SD, 0)
        assert "default" in found.origin
        assert found.range() is None


def test_the_interval_of_the_noise_covers_it_95_percent_of_the_time():
    sd = normal(6, runs=4000, seed=12).std(axis=1, ddof=1)
    low, high = power.Noise(sd=1.0, df=5, origin="").range()
    assert ((sd * low <= 1.0) & (sd * high >= 1.0)).mean() == pytest.approx(0.95, abs=0.012)


def test_the_forecast_says_what_can_be_found_and_what_the_wanted_effect_needs():
    told = power.forecast(power.Noise(sd=0.06, df=5, origin="somewhere"), seeds=6, wanted=0.01)
    text = " / ".join(power.forecast_lines(told))
    assert f"{intervals.minimum_detectable_effect(0.06, 6):.3f}" in text
    assert "somewhere" in text
    assert "the wanted 0.01 needs 28" in text
    assert (
        "no interval"
        in power.forecast_lines(power.forecast(power.Noise(sd=1, df=1, origin=""), seeds=1, wanted=None))[0]
    )
