"""Laws, token multipliers and shares of the reference's gain, on planted truth."""

from __future__ import annotations

import itertools
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import DataError
from winnow.trainers.compare import decision, law, multiplier, shares

BUDGETS = (62_500, 125_000, 250_000, 500_000, 1_000_000)
TOKENS = 250_000


def loss(tokens, *, floor: float = 1.6, scale: float = 120.0, alpha: float = 0.38):
    return floor + scale * np.asarray(tokens, dtype=float) ** -alpha


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def world(draw, *, seeds: int, truth: float, noise: float = 0.04) -> tuple[np.ndarray, np.ndarray]:
    """Baseline f64[seeds, budgets] and an arm worth `truth` times its tokens; seeds share a part of their noise."""
    shared = draw.normal(0, noise / 2, (seeds, 1))
    baseline = loss(BUDGETS) + shared + draw.normal(0, noise, (seeds, len(BUDGETS)))
    return baseline, loss(TOKENS * truth) + shared[:, 0] / 2 + draw.normal(0, noise / 4, seeds)


def test_a_law_without_noise_is_found_again():
    found = law.fit_law(np.log(BUDGETS), np.tile(loss(BUDGETS), (3, 1))).constants()
    assert found["E"] == pytest.approx(1.6, rel=1e-2)
    assert found["alpha"] == pytest.approx(0.38, rel=1e-2)
    assert found["A"] == pytest.approx(120, rel=5e-2)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_as_good_as_that_of_scipy(seed):
    from scipy import optimize

    losses, x = world(generator(seed), seeds=5, truth=2)[0], np.log(BUDGETS)
    found = law.fit_law(x, losses)
    delta, goal = law.huber_scale(losses), np.log(losses).ravel()

    def residuals(theta):
        return np.logaddexp(theta[0], theta[1] - np.exp(theta[2]) * np.tile(x - found.centre, 5)) - goal

    best = min(
        (optimize.least_squares(residuals, (e, a, k), loss="huber", f_scale=delta)
         for e, a, k in itertools.product((-1.0, 0.5, 0.8), (-1.0, 0.0), (-1.0, 0.0))),
        key=lambda r: r.cost,
    )  # fmt: skip
    ours = optimize.least_squares(residuals, found.theta[0], loss="huber", f_scale=delta, max_nfev=1)
    assert ours.cost <= best.cost * (1 + 1e-4)


def test_one_failed_run_does_not_bend_the_law():
    losses = world(generator(5), seeds=6, truth=2, noise=0.01)[0]
    broken = losses.copy()
    broken[2, 3] = 9.0
    before, after = (law.fit_law(np.log(BUDGETS), x).log_loss(np.log(BUDGETS))[0] for x in (losses, broken))
    assert np.abs(after - before).max() < 0.02
    assert np.abs(np.log(broken.mean(axis=0)) - np.log(losses.mean(axis=0))).max() > 0.3


def test_the_inverse_of_a_law_is_its_inverse_and_nothing_reaches_below_its_floor():
    found = law.fit_law(np.log(BUDGETS), np.tile(loss(BUDGETS), (2, 1)))
    x = np.log([1e5, 3e5, 9e5])
    assert found.log_tokens(found.log_loss(x)[0]) == pytest.approx(x, rel=1e-9)
    assert found.log_tokens(np.array([np.log(1.0)]))[0] == np.inf


def test_a_law_needs_three_budgets_and_numbers():
    with pytest.raises(DataError, match="2 budgets"):
        law.fit_law(np.log(BUDGETS[:2]), np.ones((3, 2)))
    with pytest.raises(DataError, match="not a positive number"):
        law.fit_law(np.log(BUDGETS), np.full((3, 5), np.nan))


@pytest.mark.parametrize(("seeds", "truth"), [(4, 1.4), (6, 1.9)])
def test_the_interval_holds_the_planted_multiplier_95_percent_of_the_time(seeds, truth):
    draw, hits, runs = generator(seeds), 0, 100
    for _ in range(runs):
        baseline, arm = world(draw, seeds=seeds, truth=truth)
        found, _ = multiplier.multiplier(BUDGETS, baseline, arm, tokens=TOKENS, draws=60)
        low = 0.0 if found.low is None else found.low
        high = np.inf if found.high is None else found.high
        hits += low <= truth <= high
    assert 0.91 <= hits / runs <= 0.99


def test_the_multiplier_of_the_baseline_itself_is_one():
    baseline, _ = world(generator(1), seeds=6, truth=1, noise=0.005)
    found, _ = multiplier.multiplier(BUDGETS, baseline, baseline[:, 2], tokens=TOKENS)
    assert found.value == pytest.approx(1, rel=0.03)
    assert found.low < 1 < found.high
    assert found.pchip == pytest.approx(1, rel=0.01)


def test_the_published_example_is_worth_two_and_a_half():
    """E = 2, A = 10, alpha = .3, tokens in units of 1e8: its losses, and a run at 2e8 that reaches 8.170339."""
    units = np.array([0.5, 1.0, 2.0, 4.0, 8.0])

    def exact(d):
        return 2 + 10 * np.asarray(d, dtype=float) ** -0.3

    assert exact([1, 2, 4]) == pytest.approx([12, 10.122524, 8.597540], abs=1e-6)
    budgets = tuple(int(d) for d in units * 1e8)
    curve, arm = np.tile(exact(units), (4, 1)), np.full(4, 8.170339)
    found, fitted = multiplier.multiplier(budgets, curve, arm, tokens=int(2e8))
    assert found.value == pytest.approx(2.5, rel=1e-4)
    assert found.pchip == pytest.approx(2.5, rel=1e-2)
    assert fitted.constants()["alpha"] == pytest.approx(0.3, rel=1e-2)
    draw = generator(6)
    noisy, _ = multiplier.multiplier(
        budgets, curve + draw.normal(0, 0.02, curve.shape), arm + draw.normal(0, 0.02, 4), tokens=int(2e8)
    )
    assert noisy.low < 2.5 < noisy.high, "noise in the law widens the interval around it"
    assert noisy.value != pytest.approx(2.5, rel=1e-4)


def test_the_order_of_the_budgets_does_not_matter():
    baseline, arm = world(generator(2), seeds=4, truth=1.7)
    one, _ = multiplier.multiplier(BUDGETS, baseline, arm, tokens=TOKENS)
    two, _ = multiplier.multiplier(BUDGETS[::-1], baseline[:, ::-1], arm, tokens=TOKENS)
    assert one == two


@pytest.mark.parametrize(("factor", "told"), [(30.0, ">= 4.00x"), (0.02, "<= 0.25x")])
def test_outside_the_measured_budgets_only_a_side_is_claimed(factor, told):
    baseline, _ = world(generator(3), seeds=6, truth=1, noise=0.01)
    arm = loss(TOKENS * factor) + generator(4).normal(0, 0.01, 6)
    found, _ = multiplier.multiplier(BUDGETS, baseline, arm, tokens=TOKENS)
    assert found.value is None
    assert found.sentence() == told


def test_an_arm_below_the_floor_of_the_law_claims_no_number():
    baseline, _ = world(generator(3), seeds=6, truth=1, noise=0.01)
    found, _ = multiplier.multiplier(BUDGETS, baseline, np.full(6, 0.5), tokens=TOKENS)
    assert (found.value, found.low, found.high, found.at_least) == (None, None, None, pytest.approx(4.0))


def test_one_over_the_share_that_looks_like_the_target_is_told_with_what_it_assumes():
    lines = multiplier.base_rate_lines({"share": 0.125, "how": "by token frequencies"})
    assert "12.5% of the pool's tokens look like the target (by token frequencies)" in lines[0]
    assert "if these alone taught the target, and all alike, no arm would be worth more than 8.0x" in lines[1]
    assert "no bound" in lines[1]
    assert len(multiplier.base_rate_lines({"share": 0.0, "how": "by token frequencies"})) == 1


def test_what_selection_cost_is_folded_into_the_compute_multiplier():
    assert multiplier.efficiency(2.0, 100.0, 0.0) == 2.0
    assert multiplier.efficiency(2.0, 100.0, 100.0) == 1.0
    assert multiplier.efficiency(None, 100.0, 1.0) is None
    assert multiplier.training_flops(1_000_000, 250_000) == 1.5e12


@pytest.mark.parametrize("n", [3, 6, 8])
def test_the_interval_of_the_reference_share_covers_the_truth_95_percent_of_the_time(n):
    """Both gains are against the same noisy baseline, so they are correlated."""
    draw = generator(n)
    base = draw.normal(0, 0.04, (20_000, n))
    arm = draw.normal(-0.1, 0.02, base.shape) - base
    reference = draw.normal(-0.25, 0.02, base.shape) - base
    ratio, low, high = shares.fieller(arm, reference)
    bounded = ~np.isnan(low)
    assert bounded.mean() > 0.98
    assert ((low <= 0.4) & (high >= 0.4))[bounded].mean() == pytest.approx(0.95, abs=0.015)
    assert ((low <= ratio) & (ratio <= high))[bounded].all()


def test_the_share_of_the_reference_of_itself_is_one_and_of_the_baseline_is_zero():
    gains = [-0.20, -0.26, -0.23, -0.22]
    assert shares.share_of_gain(gains, gains) == shares.Share(
        share=1.0, low=pytest.approx(1.0), high=pytest.approx(1.0), n=4
    )
    nothing = shares.share_of_gain([0.01, -0.02, 0.015, -0.004], gains)
    assert nothing.low < 0 < nothing.high
    half = shares.share_of_gain([g / 2 for g in gains], gains)
    assert half.share == pytest.approx(0.5)


def test_a_reference_that_may_be_worth_nothing_has_no_shares():
    row = shares.share_row([-0.1, -0.2, -0.15], [-0.1, 0.3, -0.15])
    assert (row["share"], row["low"], row["high"]) == (None, None, None)
    assert "cannot be told from zero" in row["note"]
    assert shares.share_row([-0.1], [-0.2])["share"] is None


def test_decision_accuracy_counts_pairs_that_are_ordered_alike():
    assert decision.decision_accuracy([1, 2, 3], [10, 20, 30]) == 1.0
    assert decision.decision_accuracy([1, 2, 3], [30, 20, 10]) == 0.0
    assert decision.decision_accuracy([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(5 / 6)
    assert np.isnan(decision.decision_accuracy([1], [2]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=7))
def test_decision_accuracy_is_the_strict_comparison_on_the_upper_triangle(pairs):
    a, b = zip(*pairs, strict=True)
    alike = [(a[i] > a[j]) == (b[i] > b[j]) for i, j in itertools.combinations(range(len(a)), 2)]
    assert decision.decision_accuracy(a, b) == pytest.approx(np.mean(alike))


def test_scales_are_compared_two_by_two_on_the_arms_that_both_have():
    scores = {
        "2M": {"a": [2.0, 2.2], "b": [2.1, 2.1], "c": [2.4, 2.4]},
        "15M": {"a": [1.5], "b": [1.6], "c": [1.7], "only here": [0.0]},
        "60M": {"a": [1.3], "b": [1.2], "c": [1.5]},
    }
    rows = decision.scale_agreement(scores)
    assert [(r["small"], r["large"]) for r in rows] == [("2M", "15M"), ("2M", "60M"), ("15M", "60M")]
    assert rows[0]["by_seed"] == [1.0, pytest.approx(2 / 3)]
    assert rows[2]["accuracy"] == pytest.approx(2 / 3)
    assert rows[0]["pairs"] == 3


@pytest.mark.packs
def test_runs_of_one_million_weights_order_mixtures_as_runs_of_sixty_million_do(tmp_path):
    """256 mixtures of 17 domains, trained at both sizes by the authors of RegMix; losses on 13 domains."""
    path = Path(__file__).resolve().parents[2] / "shared/data/packs/m_regmix.tar.xz"
    if not path.exists():
        pytest.skip(f"no data pack {path}")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    small, large = (pl.read_csv(next(tmp_path.rglob(f"test_pile_loss_{size}.csv"))) for size in ("1m", "60m"))
    found = [decision.decision_accuracy(small[c].to_list(), large[c].to_list()) for c in small.columns if c != "index"]
    assert len(found) == 13
    assert min(found) > 0.94
