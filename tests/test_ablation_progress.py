"""A grid of runs is one line with the time that is left."""

from __future__ import annotations

import time

from winnow.dags.driver.grid_progress import grids
from winnow.dags.driver.progress import StageProgress, line_of


def member(name: str, status: str = "waiting", *, since: float = 0.0, until: float = 0.0) -> StageProgress:
    at = StageProgress(name=name, hidden=True, status=status)
    at.since, at.until = since, until
    return at


def test_the_runs_of_an_ablation_are_one_line_with_an_eta_and_other_stages_stay():
    now = time.monotonic()
    stages = [
        StageProgress(name="docs", status="done"),
        member("effect.tokens", "done"),
        member("effect.train_baseline_0", "cached"),
        member("effect.train_baseline_1", "done", since=now - 20, until=now - 10),
        member("effect.rate1_train_best_0", "running", since=now - 10),
        member("effect.train_best_1"),
        member("effect.score_best_1_ref"),
    ]
    shown = grids(stages, StageProgress)
    assert [s.name for s in shown] == ["docs", "effect.tokens", "effect.train", "effect.score_best_1_ref"]
    grid = shown[2]
    assert (grid.units, grid.known, grid.status) == (2, 4, "running")
    assert 35 < grid.eta_s < 45, "one of this run's took 20 s, and two are left"
    assert "2/4 units" in line_of(grid)
    assert "left" in line_of(grid)


def test_a_finished_grid_is_done_and_one_from_an_earlier_run_is_cached():
    done = [member(f"e.train_a_{s}", "done", since=5.0 + s, until=9.0 + s) for s in range(3)]
    (one,) = grids(done, StageProgress)
    assert (one.status, one.seconds, one.eta_s) == ("done", 6.0, None)
    (one,) = grids([member(f"e.train_a_{s}", "cached") for s in range(3)], StageProgress)
    assert one.status == "cached"


def test_a_failed_run_keeps_a_line_of_its_own():
    stages = [member("e.train_a_0", "failed"), member("e.train_a_1", "done"), member("e.train_a_2", "done")]
    shown = grids(stages, StageProgress)
    assert [s.name for s in shown] == ["e.train_a_0", "e.train"]
    assert shown[1].status == "failed"


def test_few_runs_and_what_a_person_named_are_not_folded():
    stages = [member("e.train_a_0"), member("e.train_a_1"), *(StageProgress(name=f"x.train_{i}") for i in range(5))]
    assert grids(stages, StageProgress) == stages
