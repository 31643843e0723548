"""What the intervals of a comparison promise: coverage, false verdicts of a family, planted effects, by simulation.

Fast: some cases of `benchmarks/bench_intervals.py`. Slow: all that docs/decisions.md states.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from winnow.trainers.compare import dunnett, intervals
from winnow.trainers.compare import variance_components as parts
from winnow.trainers.compare.item_noise import sampled_variance

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from bench_intervals import MOST_NOISES, NOISES, Case, simulate


def spread_of(variances, within, *, seeds=6) -> parts.Spread:
    values = np.atleast_2d(np.asarray(variances, dtype=float))
    return parts.Spread(variances=values, df=np.full(values.shape, seeds - 1.0), within=np.asarray(within, dtype=float))


# Dunnett


@pytest.mark.parametrize(("df", "arms", "critical"), [
    (20, 2, 2.38), (20, 3, 2.54), (20, 4, 2.65), (10, 2, 2.57), (10, 4, 2.89), (5, 3, 3.29),
])  # fmt: skip
def test_dunnett_gives_the_published_critical_values(df, arms, critical):
    """Dunnett 1964, two-sided .05, equal sizes: two decimals are printed."""
    from scipy import stats

    near = [dunnett.adjusted(2 * stats.t.sf(critical + e, df), df, [0.5**0.5] * arms) for e in (-0.005, 0.005)]
    assert near[0] > 0.05 - 1e-4
    assert near[1] < 0.05 + 1e-4


def test_dunnett_agrees_with_scipy():
    from scipy import stats

    draw = np.random.Generator(np.random.Philox(key=4))
    arms = [draw.normal(mean, 1, 6) for mean in (0, 0.5, 1.2, 0.1)]
    baseline = draw.normal(0, 1, 6)
    expected = stats.dunnett(*arms, control=baseline, rng=np.random.default_rng(1)).pvalue
    variance = np.mean([values.var(ddof=1) for values in (*arms, baseline)])
    t = np.array([values.mean() - baseline.mean() for values in arms]) / np.sqrt(variance / 3)
    found = [dunnett.adjusted(2 * stats.t.sf(abs(one), 25), 25, [0.5**0.5] * 4) for one in t]
    assert found == pytest.approx(expected, abs=1e-3)


def test_dunnett_without_anything_in_common_is_sidak_and_one_arm_is_itself():
    assert dunnett.adjusted(0.01, 1e6, [0.0] * 12) == pytest.approx(1 - 0.99**12, rel=1e-4)
    assert dunnett.adjusted(0.01, 4, [], apart=12) == pytest.approx(1 - 0.99**12)
    assert dunnett.adjusted(0.03, 7, [0.7]) == 0.03
    assert dunnett.adjusted(0.01, 30, [0.7] * 3, apart=2) > dunnett.adjusted(0.01, 30, [0.7] * 3)
    assert dunnett.level(0.05, 30, [0.7] * 5) == pytest.approx(0.05 / 4.2, rel=0.1)


def test_the_far_tail_of_one_draw_is_not_the_normal_one():
    assert dunnett.one_draw(0.05) == pytest.approx(0.052, abs=1e-3)
    assert dunnett.one_draw(0.001) == pytest.approx(0.008, abs=1e-3)
    assert dunnett.one_draw(1.0) == 1.0
    assert dunnett.one_draw(0.0) == 0.0
    assert dunnett.one_draw(dunnett.one_draw_level(0.004)) == pytest.approx(0.004)


def test_steps_go_down_and_no_p_falls_below_its_own():
    p = [0.02, None, 0.001, 0.4, 0.021]
    found = dunnett.step_down(p, [30.0] * 5, [0.7, None, 0.7, None, 0.7])
    assert found[1] is None
    assert found[2] == dunnett.adjusted(0.001, 30.0, [0.7, 0.7, 0.7], apart=1)
    assert found[0] == dunnett.adjusted(0.02, 30.0, [0.7, 0.7], apart=1)
    assert found[3] == pytest.approx(0.4)
    assert found[2] < found[0] <= found[4] <= found[3]
    assert dunnett.step_down(p, [30.0] * 5, [0.7] * 5, others=3)[2] > found[2]
    mixed = dunnett.step_down([0.01, 0.02, 0.03], [3.0, 40.0, 30.0], [None, 0.7, 0.7])
    assert mixed[0] == dunnett.adjusted(0.01, 30.0, [0.7, 0.7], apart=1), "those with a common noise have its df"


# Variances


def test_drawn_arms_of_equal_noise_get_the_pooled_t_exactly():
    from scipy import stats

    spread = spread_of([1.0, 2.0, 3.0, 2.0], [0.9, 0.9, 0.9, 0.9])
    one = np.full((6, 6), 0.1) + 0.9 * np.eye(6)
    found = parts.uncertainty(spread, *parts.weights_of(one, one, np.full((6, 6), 0.1)))
    assert found.variance[0] == pytest.approx(2.0 * 2 / 6)
    assert found.p_values(np.array([1.5]))[0] == pytest.approx(2 * stats.t.sf(1.5 / (2 / 3) ** 0.5, 20))
    half = found.half_widths(alpha=0.05)
    assert half[0] == pytest.approx(stats.t.ppf(0.975, 20) * (2 / 3) ** 0.5)
    assert found.effective_df(half, alpha=0.05)[0] == pytest.approx(20, rel=1e-3)


def test_this_selection_is_welch_and_the_method_counts_one_draw():
    """Noise of training 1, of the draw 4, known from very many labels: the formulas of the design."""
    spread = spread_of([5.0] * 300 + [1.0] * 300, [1.0] * 300 + [0.0] * 300)
    drawn, fixed, apart = np.eye(6), np.ones((6, 6)), np.zeros((6, 6))
    selection = [a + b for a, b in zip(parts.own_weights(fixed), parts.own_weights(drawn), strict=True)]
    assert parts.uncertainty(spread, *selection).variance[0] == pytest.approx(1 / 6 + 5 / 6)
    method = parts.uncertainty(spread, *parts.weights_of(fixed, drawn, apart)).variance[0]
    assert method == pytest.approx(2 / 6 + 4 * (1 + 1 / 6), rel=0.02)
    half = np.full((6, 6), 0.5)
    common = parts.weights_of(fixed, half + 0.5 * np.eye(6), half)
    assert common == (pytest.approx(2 / 6), pytest.approx(1 + (1 + 5 * 0.5) / 6 - 1)), "what both share cancels"
    t, d = parts.components(spread)
    assert (t[0], d[0]) == (pytest.approx(1.0), pytest.approx(4.0))


def test_a_fixed_label_that_hardly_varies_leaves_the_noise_of_the_draw_to_be_seen():
    """Where a round of reweighting puts the noise of training at 0, that label weighs 1e12 times as much as the others."""
    within, draw = np.array([0.0, 0.23, 0.47, 0.51, 0.497]), np.random.default_rng(4)
    told = np.array([[8.0, 46, 88, 185, 1300]]) * 1e-6  # of a comparison of 29 arms on real text
    spread = parts.Spread(variances=told, df=np.array([[3.0, 3, 3, 3, 3]]), within=within)
    t, d = parts.components(spread)
    assert 0 <= t[0] < 2e-5
    assert d[0] == pytest.approx(1e-3, rel=0.5)
    for small in (1e-2, 1e-4, 1e-8):
        drawn = (small + within) * draw.chisquare(3, (500, 5)) / 3
        t, d = parts.components(parts.Spread(variances=drawn, df=np.full(drawn.shape, 3.0), within=within))
        assert (t + d * within.max() > 0.02 * drawn.mean(axis=1)).all(), "no noise is no outcome"


def test_draws_that_are_nearly_one_selection_count_as_hardly_more_than_one():
    near = np.full((6, 6), 0.98) + 0.02 * np.eye(6)
    drawn, apart = np.eye(6), np.zeros((6, 6))
    _, almost = parts.weights_of(near, drawn, apart)
    assert almost == pytest.approx(0.983 + 1 / 6, abs=1e-3)
    assert parts.weights_of(drawn, drawn, apart)[1] == pytest.approx(2 / 6)


def test_a_label_out_of_line_is_found_and_keeps_its_own_variance():
    spread = spread_of([1.0, 1.1, 0.9, 1.0, 1.2, 30.0, 1.0], [1.0] * 7)
    lines = parts.out_of_line(spread)
    assert lines.tolist() == [[0, 0, 0, 0, 0, 2, 0]]
    assert parts.out_of_line(spread_of([1.0] * 6 + [1e-4], [1.0] * 7)).tolist() == [[0] * 6 + [-1]]
    assert parts.out_of_line(spread_of([1.0] * 6 + [6.0], [1.0] * 7)).tolist() == [[0] * 6 + [1]], (
        "and stays in the pool"
    )
    lone = spread_of([1.0, 1.1, 0.9, 1.0, 30.0], [1.0] * 4 + [0.0])
    assert not parts.out_of_line(lone).any(), "nothing like it is there to compare with"
    kept = parts.Spread(variances=spread.variances, df=np.where(lines == 0, spread.df, 0.0), within=spread.within)
    own = parts.Own(label=5, seeds=6, less=(1 / 6, 1 / 6), rows=np.array([True]))
    found = parts.keeping_own(kept, 2 / 6, 2 / 6, [own])
    assert found.variance[0] == pytest.approx(30 / 6 + 1.0333 / 6, rel=1e-3)
    assert 5 < found.df[0, 0] < 6, "little is known of it"


@pytest.mark.parametrize("fixed", [True, False])
def test_a_noise_of_nothing_is_no_error(fixed):
    spread = spread_of([0.0, 0.0, 0.0], [1.0, 1.0, 0.0 if fixed else 1.0])
    for gd in (0.0, 1 / 6, 1 + 1 / 6):
        found = parts.uncertainty(spread, 2 / 6, gd)
        assert np.isfinite(found.variance).all()
        assert found.p_values(np.array([0.0]))[0] == 1.0


# Items


def test_the_noise_of_a_sample_of_items_is_that_of_drawing_it_again():
    """500 samples of 40 from 160 items of unequal size: the estimated variance is that of the ratio over samples."""
    draw = np.random.Generator(np.random.Philox(key=6))
    sizes = draw.lognormal(0, 0.7, 160)
    own = sizes * draw.normal(0.1, 1.0, 160)
    ratios, variances = [], []
    for _ in range(500):
        chosen = draw.permutation(160)[:40]
        seeds = own[chosen] + sizes[chosen] * draw.normal(0, 0.5, (6, 40))
        ratios.append(own[chosen].sum() / sizes[chosen].sum())
        variances.append(sampled_variance(seeds, sizes[chosen], 160)[0])
    assert np.mean(variances) == pytest.approx(np.var(ratios), rel=0.15)
    assert sampled_variance(own[None, :], sizes, 160) == (0.0, 159.0), "read whole"
    assert sampled_variance(own[None, :1], sizes[:1], 160)[0] == 0.0
    noise = sizes[:40] * draw.normal(0, 1, (6, 40))
    assert sampled_variance(noise, sizes[:40], 10**9)[0] < 0.5 * sampled_variance(noise[:1], sizes[:40], 10**9)[0] / 6


# Comparisons


FAST = [
    (Case(seeds=3, arms=4, fixed=False), "method"),
    (Case(seeds=6, arms=12, fixed=False, common=0.5, noise="heavy"), "method"),
    (Case(seeds=6, arms=4, fixed=True), "method"),
    (Case(seeds=12, arms=1, fixed=True, noise="skewed"), "method"),
    (Case(seeds=6, arms=4, fixed=True, noise="heavy"), "selection"),
    (Case(seeds=6, arms=4, fixed=False, items=(40, 160)), "method"),
]


@pytest.mark.parametrize(("case", "question"), FAST, ids=lambda x: x if isinstance(x, str) else repr(x))
def test_intervals_cover_and_null_families_have_no_verdict(case, question):
    found = simulate(case, question, runs=300 if case.items[0] else 800, seed=1)
    assert found.covered > 0.92
    assert found.covered < 0.985
    assert found.family < 0.09


def test_one_selection_taken_for_its_method_would_be_called_different_far_too_often():
    """Paired over seeds, its one draw is no noise: what a rule was judged by before it counted."""
    draw = np.random.Generator(np.random.Philox(key=3))
    draws, training = draw.normal(0, 0.8**0.5, (2000, 2, 6)), draw.normal(0, 0.2**0.5, (2000, 2, 6))
    draws[:, 1] = draws[:, 1, :1]
    scores = draws + training
    mean, _, half = intervals.t_intervals(scores[:, 1] - scores[:, 0])
    assert (np.abs(mean) > half).mean() > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("seeds", "arms", "common"), list(itertools.product((3, 6, 12), (1, 4, 12), (0.0, 0.5))))
def test_drawn_arms_cover_95_percent_and_families_keep_5_percent(seeds, arms, common, noise):
    found = simulate(Case(seeds=seeds, arms=arms, fixed=False, common=common, noise=noise), "method", runs=3000)
    assert found.covered == pytest.approx(0.95, abs=0.015)
    assert found.family < 0.05 + 0.015


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("seeds", "arms", "draw"), list(itertools.product((3, 6, 12), (1, 4, 12), (0.2, 0.5, 0.8, 0.95)))
)
def test_one_selection_as_a_method_covers_at_least_95_percent(seeds, arms, draw, noise):
    """Above it where the draw is little of the noise; at most a point and the simulation's own noise below."""
    found = simulate(Case(seeds=seeds, arms=arms, fixed=True, draw=draw, noise=noise), "method", runs=3000)
    assert found.covered > 0.95 - 0.025
    assert found.family < 0.05 + 0.025


@pytest.mark.slow
@pytest.mark.parametrize("noise", MOST_NOISES)
@pytest.mark.parametrize(("seeds", "arms", "draw"), list(itertools.product((3, 6, 12), (1, 4, 12), (0.2, 0.8))))
def test_this_selection_covers_95_percent(seeds, arms, draw, noise):
    found = simulate(Case(seeds=seeds, arms=arms, fixed=True, draw=draw, noise=noise), "selection", runs=3000)
    assert found.covered == pytest.approx(0.95, abs=0.03 if noise == "exponential" else 0.02)
    assert found.family < 0.05 + (0.04 if noise == "exponential" else 0.02)
