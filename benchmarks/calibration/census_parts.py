"""The parts of the census: each trains what is missing by its recipe, then counts over the runs that are there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import winnow as w
from calibration import census, census_recipes, small_pool, stored_runs
from calibration.census import TARGETS
from calibration.census_recipes import ARMS, Census
from winnow.trainers.compare.arms import BASELINE

LABELS, SEEDS, WORLDS = 36, 4, 5  # of arms that are all the same; of runs of each; of twelve null rules each
RULES = 17  # null rules with folds
PLANTED, ODDS = 12, 8.0  # runs of the planted arm; odds of documents like the target
FOUND_BY, DECISIONS = (3, 4, 6), 200  # seeds of a decision on the planted arm, and how many are drawn
DEALT, TIMES = (3, 4, 6, 12), 10  # runs dealt anew: into labels of so many seeds, so many times
DRAWN = (1, 2, 6)  # labels that show the noise of a draw, beside rules that do nothing
TURNS = 4  # baselines of every world, one after the other: no rate hangs on a single one


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a census trains: packs, a root that is resumed, and whether it only counts what is there."""

    packs: Path
    folder: Path
    read: bool = False
    workers: int = 2

    @property
    def root(self) -> Path:
        """The run root."""
        return self.folder / "root"

    def trained(self, made: Census) -> str:
        """The name of a run whose recipe is up to date (or is taken as it is)."""
        if not self.read:
            if not (self.folder / "input/pool.jsonl").exists():
                small_pool.build(self.packs, self.folder / "input")
            recipe = self.folder / f"{made.name}.yaml"
            recipe.write_text(made.yaml((self.folder / "input").resolve()))
            w.run_recipe(str(recipe), out=str(self.root), name=made.name, workers=self.workers, engine="local")
        return made.name

    def runs(self, name: str, stage: str, arms: Mapping[str, str], seeds: int) -> dict[str, list[stored_runs.Run]]:
        """Runs by selection, the baseline's under its own name."""
        found = stored_runs.open_runs(self.root, name, stage, arms, seeds)
        return {arms[label]: own for label, own in found.items()}


def same(place: Place) -> dict[str, Any]:
    """A/A: every pair of 36 random draws; and the same runs dealt anew into labels of other numbers of seeds."""
    name = place.trained(census_recipes.same(labels=LABELS, seeds=SEEDS))
    pool, labels = stored_runs.open_pool(place.root, name), _same_runs(place)
    rows = census.every_pair(labels, pool)
    once = [row for row in rows if not row["twice"]]
    flat = [run for own in labels.values() for run in own]
    dealt = {n: census.regrouped(flat, pool, seeds=n, times=TIMES, key=n) for n in DEALT}
    return {
        "labels": LABELS, "seeds": SEEDS,
        "pairs": {t: {**census.counted(_of(once, t)), "se": census.pairs_error(_of(once, t), list(labels))} for t in TARGETS},
        "families": census.counted([row for row in rows if row["primary"]]),
        "dealt": {str(n): {t: census.counted(_of(found, t)) for t in TARGETS} for n, found in dealt.items()},
    }  # fmt: skip


def null(place: Place) -> dict[str, Any]:
    """Rules that know nothing, one selection each: read as methods and as selections."""
    name = place.trained(census_recipes.null_rules(worlds=WORLDS, seeds=SEEDS))
    pool, drawn = stored_runs.open_pool(place.root, name), list(_same_runs(place).values())
    rows: dict[int, census.Rows] = {count: [] for count in DRAWN}
    stages = w.open(place.root, name=name).stages
    worlds = [world for world in range(WORLDS) if stages.get(f"null{world}", {}).get("complete")]
    for world in worlds:
        arms = [f"f{ARMS * world + i}" for i in range(ARMS)]
        rules = place.runs(name, f"null{world}", {arm: arm for arm in arms}, SEEDS)
        for count, turn in itertools.product(DRAWN, range(TURNS)):
            first = TURNS * world + turn
            labels = [drawn[(first + i) % LABELS] for i in range(count)]
            rows[count] += census.null_world(rules, labels, pool, family=f"{world}/{first}")
    return {
        "rules": ARMS * len(worlds), "baselines": TURNS * len(worlds), "worlds": len(worlds), "seeds": SEEDS,
        "drawn": {str(count): {question: {t: _with_error(_of(found, t, question)) for t in TARGETS} for question in census.QUESTIONS}
                  for count, found in rows.items()},
        "misread": {t: _misread(_of(rows[max(DRAWN)], t, "selection")) for t in TARGETS},
    }  # fmt: skip


def folds(place: Place) -> dict[str, Any]:
    """Rules that know nothing, and a random baseline, every seed with a fold of the pool of its own: every pair."""
    name = place.trained(census_recipes.null_folds(rules=RULES, seeds=SEEDS))
    arms = {BASELINE: "plain", **{f"f{i}": f"f{i}" for i in range(RULES)}}
    labels = place.runs(name, "folds", arms, SEEDS)
    rows = census.every_pair(labels, stored_runs.open_pool(place.root, name), folds=True)
    once = [row for row in rows if not row["twice"]]
    return {
        "labels": RULES + 1, "seeds": SEEDS,
        "pairs": {t: {**census.counted(_of(once, t)), "se": census.pairs_error(_of(once, t), list(labels))} for t in TARGETS},
        "families": census.counted([row for row in rows if row["primary"]]),
    }  # fmt: skip


def planted(place: Place) -> list[dict[str, Any]]:
    """Documents like the first target made likelier: how often few seeds find it, beside the stated power."""
    name = place.trained(census_recipes.planted(seeds=PLANTED, odds=(ODDS,)))
    pool = stored_runs.open_pool(place.root, name)
    found = place.runs(name, "planted", {BASELINE: "r0", "p0": "p0"}, PLANTED)
    flat = [run for own in _same_runs(place).values() for run in own] + found["r0"][SEEDS:]
    runs = {BASELINE: flat, "p0": found["p0"]}
    return [row for n in FOUND_BY for row in census.planted(runs, pool, seeds=n, times=DECISIONS, key=n)]


PARTS: dict[str, Callable[[Place], Any]] = {"same": same, "null": null, "folds": folds, "planted": planted}


def _same_runs(place: Place) -> dict[str, list[stored_runs.Run]]:
    arms = {BASELINE: "r0", **{f"r{i}": f"r{i}" for i in range(1, LABELS)}}
    return place.runs("same", "same", arms, SEEDS)


def _of(rows: Sequence[Mapping[str, Any]], target: str, question: str = "method") -> list[Mapping[str, Any]]:
    return [row for row in rows if row["target"] == target and row["question"] == question]


def _with_error(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**census.counted(rows), "se": census.families_error(rows)}


def _misread(rows: Sequence[Mapping[str, Any]]) -> float:
    """What the measured noise predicts of selections that are read as methods."""
    counted = census.counted(rows)
    df = (ARMS + max(DRAWN)) * (SEEDS - 1)
    return census.misread(training=counted["training"], draw=counted["draw"], seeds=SEEDS, df=df)
