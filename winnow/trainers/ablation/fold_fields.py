"""What the checks and the comparison of an ablation are told of its folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.errors import ConfigError
from winnow.trainers.ablation.design import labelled
from winnow.trainers.ablation.grid import Grid
from winnow.trainers.ablation.restated import Restated
from winnow.trainers.ablation.scaling import budgets_of, of_fold
from winnow.trainers.compare.arms import BASELINE


def check_fields(grid: Grid, selections: Mapping[str, str]) -> dict[str, Any]:
    """Fields of the overlap job where there are folds; `selections` is {stage: its first label/seed}.

    Raises:
        ConfigError: documents of the pool are replayed, which lie in all folds.
    """
    ablation = grid.ablation
    if grid.restated is None:
        return {}
    if ablation.replay and grid.scope.space(ablation.replay) == grid.pool:
        raise ConfigError(f"{ablation.replay!r} replays documents of all folds at every seed",
                          where=f"stages.{grid.scope.stage}.replay",
                          hint="replay documents of another reader, or compare without folds")  # fmt: skip
    told = {key: _budget(grid, key.rpartition("/")[0])[0] for key in selections.values()}
    return {"seeds": ablation.seeds, "budgets": {key: budget for key, budget in told.items() if budget}}


def comparison_fields(grid: Grid) -> dict[str, Any]:
    """Fields of the comparison where there are folds."""
    if grid.restated is None:
        return {}
    labels = {BASELINE: grid.ablation.baseline, **labelled(grid.ablation.arms)}
    told = {label: _budget(grid, label) for label in labels}
    return {
        "folds": True,
        "refitted": grid.ablation.refit,
        "fold_budgets": {label: f"{part} of {whole}" for label, (part, whole) in told.items() if part},
        "saw_the_pool": {label: _saw(grid, grid.restated, label, stage) for label, stage in labels.items()},
    }


def _saw(grid: Grid, restated: Restated, label: str, stage: str) -> tuple[str, ...]:
    """Stages behind a label that looked at all of the pool: before its selection, and the model that it continues."""
    start = grid.ablation.begins(label)[0]
    seen = restated.saw_the_pool(stage)
    return (*seen, start) if start and restated.comes_from_the_pool(start) else tuple(seen)


def _budget(grid: Grid, label: str) -> tuple[str, str]:
    """The budget of a label's selection in one fold and as declared; twice '' where a fold does not divide it."""
    operator = grid.scope.lookup(grid.ablation.stage_of(label)).operator
    whole, part = budgets_of(operator), budgets_of(of_fold(operator, grid.ablation.seeds))
    return " + ".join(map(str, part)), " + ".join(map(str, whole))
