"""A reduced census with real training: arms that are the same are told apart as rarely as stated, rules that know nothing
likewise, and a selection that is read as its method far more often.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import winnow as w
from winnow.trainers.compare.arms import BASELINE

ROOT = Path(__file__).resolve().parents[1]
PACKS = Path(os.environ.get("PACKS", ROOT.parent / "shared/data/packs"))
sys.path.append(str(ROOT / "benchmarks"))

from calibration import census, census_parts, census_recipes, simulated, stored_runs  # noqa: E402

LABELS, SEEDS, RULES = 8, 3, 12
KEYS = ("low", "high", "p", "p_adjusted", "verdict")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if not (PACKS / "text_peps.tar.xz").exists():
        pytest.skip(f"no data packs in {PACKS}")
    pytest.importorskip("torch")
    place = census_parts.Place(packs=PACKS, folder=tmp_path_factory.mktemp("census"))
    place.trained(census_recipes.same(labels=LABELS, seeds=SEEDS))
    place.trained(census_recipes.null_rules(worlds=1, seeds=SEEDS))
    return place


def labels_of(place):
    arms = {BASELINE: "r0", **{f"r{i}": f"r{i}" for i in range(1, LABELS)}}
    return place.runs("same", "same", arms, SEEDS)


@pytest.mark.packs
@pytest.mark.slow
@pytest.mark.train
def test_equal_arms_are_told_apart_as_rarely_as_stated(place):
    labels = labels_of(place)
    pool = stored_runs.open_pool(place.root, "same")
    rows = census.regrouped([run for own in labels.values() for run in own], pool, seeds=SEEDS, times=12, key=1)
    assert len(rows) == 2 * 12 * (LABELS - 1)
    assert 0.0 < census.counted(rows)["off_zero"] < 0.1
    assert census.counted(rows)["families_false"] <= 2 / 12


@pytest.mark.packs
@pytest.mark.slow
@pytest.mark.train
def test_the_census_compares_as_the_recipe_does(place):
    """The same runs in the same places give what the recipe's own comparison gave."""
    labels = labels_of(place)
    own = w.open(place.root, name="same").result("same").metrics["arms"]
    arranged = {BASELINE: labels["r0"], **{name: labels[name] for name in own}}
    found = stored_runs.compared(arranged, stored_runs.open_pool(place.root, "same"), targets=census.TARGETS)["arms"]
    for name, row in own.items():
        for target in census.TARGETS:
            assert {k: found[name]["effects"][target][k] for k in KEYS} == {k: row["effects"][target][k] for k in KEYS}


@pytest.mark.packs
@pytest.mark.slow
@pytest.mark.train
def test_a_selection_by_random_numbers_is_no_better_method_and_often_a_better_selection(place):
    drawn, pool = list(labels_of(place).values()), stored_runs.open_pool(place.root, "null_rules")
    rules = place.runs("null_rules", "null0", {f"f{i}": f"f{i}" for i in range(RULES)}, SEEDS)
    rows = []
    for first in range(LABELS):  # every label is the baseline once: no rate hangs on a single one
        rows += census.null_world(rules, drawn[first:] + drawn[:first], pool, family=str(first))
    off = {q: census.counted([row for row in rows if row["question"] == q])["off_zero"] for q in census.QUESTIONS}
    assert 0.0 < off["method"] < 0.08
    assert off["selection"] > max(0.15, 3 * off["method"])
    assert not any(row["verdict"] for row in rows if row["question"] == "method")


def test_simulated_rules_that_do_nothing():
    found = simulated.rates(seeds=4, drawn=6, draw=4.0, worlds=1500)
    assert found["method"] == pytest.approx(0.05, abs=0.02)
    assert found["drawn"] == pytest.approx(0.05, abs=0.02)
    assert found["selection"] > 0.2
    assert simulated.rates(seeds=4, drawn=1, draw=0.0, worlds=2500)["selection"] == pytest.approx(0.05, abs=0.015)


def test_what_the_noise_predicts_of_selections_read_as_methods():
    assert census.misread(training=1.0, draw=0.0, seeds=4, df=50) == pytest.approx(0.05)
    simulated_rate = simulated.rates(seeds=6, drawn=6, draw=4.0, worlds=1500)["selection"]
    assert census.misread(training=1.0, draw=2.0, seeds=6, df=60) == pytest.approx(simulated_rate, abs=0.04)


def test_the_stated_power_is_that_at_which_the_product_would_find_the_difference():
    from winnow.trainers.compare.intervals import minimum_detectable_effect

    mde = minimum_detectable_effect(0.1, 5, power=0.63, df=8)
    assert census.stated_power(mde, sd=0.1, seeds=5, df=8) == pytest.approx(0.63, abs=1e-3)
