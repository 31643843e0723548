"""What a comparison can find before it runs: the noise of earlier ones, and effects that are found as often as stated."""

from __future__ import annotations

import numpy as np
import pytest

from winnow.trainers.compare import dunnett, intervals, power
from winnow.trainers.compare import variance_components as parts

TWO = power.Labels(drawn=2, fixed=0)


def noise_of(sd: float, *, training: float = 0.2) -> power.Noise:
    """Of differences of two drawn runs with this standard deviation."""
    drawn = sd**2 / 2
    return power.Noise(drawn=drawn, fixed=training * drawn, drawn_df=5, fixed_df=5, origin="somewhere")


def comparison(drawn: float, *, df: float = 10, tokens: int = 100, target: str = "ref", fixed=None, **more) -> dict:
    none = {"variance": None, "df": 0, "labels": 0}
    shown = {"drawn": {"variance": drawn, "df": df, "labels": 2} if drawn else none,
             "fixed": {"variance": fixed, "df": df, "labels": 2} if fixed else none}  # fmt: skip
    scores = {"scores": {target: [drawn or 0.0, df, tokens, fixed or 0.0]}}
    return {"components": {target: shown}, "baseline": scores, "tokens": tokens, **more}


@pytest.mark.parametrize(("seeds", "drawn", "fixed", "one_selection"), [
    (6, 2, 0, False), (4, 12, 0, False), (3, 3, 2, False), (6, 2, 1, True), (6, 4, 12, True), (12, 2, 4, True),
])  # fmt: skip
def test_a_true_effect_of_the_stated_size_is_found_80_percent_of_the_time(seeds, drawn, fixed, one_selection):
    """Scores with a noise of training and one of the draw; the last label is one selection where that is asked."""
    noise, labels = noise_of(0.06), power.Labels(drawn=drawn, fixed=fixed)
    mde = power.detectable(noise, labels, seeds, one_selection=one_selection)
    draw = np.random.Generator(np.random.Philox(key=seeds * 100 + drawn))
    runs = 3000
    scores = draw.normal(0, noise.fixed**0.5, (runs, drawn + fixed, seeds))
    draws = draw.normal(0, (noise.drawn - noise.fixed) ** 0.5, (runs, drawn + fixed, seeds))
    draws[:, drawn:] = draws[:, drawn:, :1]
    scores += draws
    within = np.array([1.0] * drawn + [0.0] * fixed)
    spread = parts.Spread(
        variances=scores.var(axis=2, ddof=1), df=np.full((runs, drawn + fixed), seeds - 1.0), within=within
    )
    arm = -1 if one_selection else 1
    found = parts.uncertainty(spread, 2 / seeds, 1 / seeds + (1.0 if one_selection else 1 / seeds))
    p = found.p_values(scores[:, arm].mean(axis=1) - scores[:, 0].mean(axis=1) - mde)
    assert (p < intervals.ALPHA).mean() == pytest.approx(0.8, abs=0.04)


def test_four_seeds_pooled_over_ten_arms_find_what_six_paired_ones_find():
    paired = intervals.minimum_detectable_effect(0.06, 6)
    pooled = power.detectable(noise_of(0.06), power.Labels(drawn=12, fixed=0, arms=10), 4, one_selection=False)
    assert pooled <= 1.01 * paired
    assert power.detectable(noise_of(0.06), TWO, 4, one_selection=False) > 1.1 * paired


def test_more_seeds_do_not_average_the_draw_of_one_selection():
    noise, labels = noise_of(0.06), power.Labels(drawn=2, fixed=2, arms=2)
    at = [power.detectable(noise, labels, n, one_selection=True) for n in (6, 24, 600)]
    draw = (noise.drawn - noise.fixed) ** 0.5
    assert at[0] > at[1] > at[2] > 2.8 * draw
    told = power.forecast(noise, seeds=6, wanted=draw, labels=labels)
    assert told["one_selection"]["seeds_needed"] is None
    assert "no number of seeds helps" in power.forecast_lines(told)[-1]
    assert power.forecast(noise, seeds=6, wanted=None, labels=TWO)["one_selection"] is None


def test_among_several_arms_one_draw_has_its_far_tail_in_the_forecast_as_well(monkeypatch):
    labels = power.Labels(drawn=2, fixed=6, arms=6)

    def among(one_selection):
        return power.detectable(noise_of(0.06), labels, 6, one_selection=one_selection, among=True)

    told = [among(True), among(False)]
    monkeypatch.setattr(dunnett, "one_draw_level", lambda level: level)
    assert told[0] > 1.1 * among(True)
    assert told[1] == among(False)


@pytest.mark.parametrize("wanted", [0.02, 0.05, 0.1])
def test_one_seed_less_than_stated_would_not_do(wanted):
    n = power.seeds_needed(noise_of(0.05), TWO, wanted, one_selection=False)
    assert power.detectable(noise_of(0.05), TWO, n, one_selection=False, among=True) <= wanted
    fewer = power.detectable(noise_of(0.05), TWO, n - 1, one_selection=False, among=True)
    assert fewer is None or fewer > wanted


def test_large_numbers_of_seeds_follow_the_normal_rule():
    """n = (1.96 + .84)^2 (sd / delta)^2."""
    found = power.seeds_needed(noise_of(0.06), TWO, 0.01, one_selection=False)
    assert found == pytest.approx((1.96 + 0.8416) ** 2 * 36, rel=0.02)
    assert power.seeds_needed(noise_of(0.06), TWO, 0.0001, one_selection=False) is None
    assert power.seeds_needed(noise_of(0.0), TWO, 0.01, one_selection=False) == 2


@pytest.mark.parametrize(("sigma", "delta", "normal"), [(0.002, 0.004, 4), (0.002, 0.002, 16), (0.001, 0.0005, 63)])
def test_seeds_by_the_normal_rule_are_a_lower_bound_that_few_more_reach(sigma, delta, normal):
    """n = 2 ((1.96 + .84) sigma / delta)^2 is for a known sigma; one that is estimated asks for a few seeds more."""
    assert round(2 * ((1.96 + 0.84) * sigma / delta) ** 2) == normal
    noise = noise_of(2**0.5 * sigma)  # of the difference of two runs
    found = power.seeds_needed(noise, TWO, delta, one_selection=False)
    assert normal <= found <= normal + 4


def test_the_noise_of_earlier_runs_is_pooled_and_runs_of_equal_size_come_first():
    found = power.pooled_noise(
        [comparison(0.03), comparison(0.05, df=30), comparison(9.0, tokens=7)], "ref", tokens=100
    )
    assert found.drawn_df == 40
    assert found.drawn == pytest.approx((0.03 * 10 + 0.05 * 30) / 40)
    assert found.fixed == pytest.approx(power.DECLARED_TRAINING * found.drawn), "no fixed label showed it"
    assert "2 earlier comparisons" in found.origin
    other = power.pooled_noise([comparison(0.2, tokens=7)], "ref", tokens=100)
    assert other.drawn == pytest.approx(0.2)
    assert "another number of tokens" in other.origin


def test_the_noise_of_other_models_baselines_and_units_is_not_mixed_in():
    small, large = comparison(0.03, parameters=10), comparison(0.01, parameters=99)
    fixed = comparison(0.0, fixed=0.002, parameters=10)
    texts = comparison(0.9, targets={"ref": {"unit": "nats per text (log loss)"}})
    everything = [small, large, fixed, texts]
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=10).drawn == pytest.approx(0.03)
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=99).drawn == pytest.approx(0.01)
    assert power.pooled_noise(everything, "ref", tokens=100, parameters=10, fixed=True).fixed == pytest.approx(0.002)
    assert power.pooled_noise([fixed], "ref", tokens=100, parameters=10).drawn_df == 0, "it shows no draw"
    told = power.pooled_noise([small, texts], "ref", tokens=100)
    assert (told.drawn, told.unit) == (pytest.approx(0.9), "nats per text (log loss)"), "the latest unit, and no other"


def test_the_same_runs_compared_twice_count_once_as_they_were_compared_last():
    once = comparison(0.03)
    again = {**once, "components": {"ref": comparison(0.04, df=15)["components"]["ref"]}}
    found = power.pooled_noise([once, again], "ref", tokens=100)
    assert (found.drawn, found.drawn_df) == (pytest.approx(0.04), 15)


def test_the_forecast_tells_the_noise_of_the_noise_and_the_cost_of_many_arms():
    noise = noise_of(0.05)
    one, many = (
        power.forecast(noise, seeds=6, wanted=0.05, labels=power.Labels(drawn=8, fixed=0, arms=arms)) for arms in (1, 6)
    )
    assert many["mde"] == one["mde"] == one["mde_among"] < many["mde_among"]
    level = dunnett.level(0.05, 40.0, [0.5**0.5] * 6)
    assert 0.05 / 6 < level < 0.05 / 4, "arms that share a baseline cost less than six independent ones"
    expected = intervals.minimum_detectable_effect(0.05, 6, alpha=level, df=40.0)
    assert many["mde_among"] == pytest.approx(expected, rel=1e-3)
    assert many["seeds_needed"] > one["seeds_needed"]
    low, high = noise.range(fixed=False)
    lines = power.forecast_lines(many)
    assert f"{many['mde_among']:.3f} at the first step of Dunnett over 6 arms" in lines[0]
    assert f"sd 0.050 ({low:.3f} to {high:.3f})" in lines[1]
    assert "Dunnett" not in power.forecast_lines(one)[0]


def test_without_an_earlier_run_the_noise_is_declared_and_says_so():
    for nothing in ([], [{"tokens": 100}], [comparison(0.1, target="other")], [comparison(0.1, df=0)]):
        found = power.pooled_noise(nothing, "ref", tokens=100)
        assert (found.sd(fixed=False), found.drawn_df) == (pytest.approx(power.DECLARED_SD), 0)
        assert "default" in found.origin
        assert found.range(fixed=False) is None


def test_the_interval_of_the_noise_covers_it_95_percent_of_the_time():
    draw = np.random.Generator(np.random.Philox(key=12))
    sd = draw.normal(size=(4000, 6)).std(axis=1, ddof=1)
    low, high = noise_of(1.0).range(fixed=False)
    assert ((sd * low <= 1.0) & (sd * high >= 1.0)).mean() == pytest.approx(0.95, abs=0.012)


def test_folds_are_paired_and_independent_arms():
    labels = power.Labels(drawn=5, fixed=0, arms=4, folds=True)
    assert power.detectable(noise_of(0.06), labels, 6, one_selection=False) == intervals.minimum_detectable_effect(
        0.06, 6
    )
    among = power.detectable(noise_of(0.06), labels, 6, one_selection=False, among=True)
    assert among == pytest.approx(intervals.minimum_detectable_effect(0.06, 6, alpha=1 - 0.95**0.25))


def test_the_forecast_says_what_can_be_found_and_what_the_wanted_effect_needs():
    told = power.forecast(noise_of(0.06), seeds=6, wanted=0.01, labels=TWO)
    text = " / ".join(power.forecast_lines(told))
    assert f"{told['mde']:.3f} bits per byte" in text
    assert "somewhere" in text
    assert f"the wanted 0.01 needs {told['seeds_needed']} seeds" in text
    assert "no interval" in power.forecast_lines(power.forecast(noise_of(1), seeds=1, wanted=None, labels=TWO))[0]
