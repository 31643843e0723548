"""Which cell of a tuning grid an arm is trained at: the best one on seeds that the verdict never sees."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.operators import Context, Exactness, Job, port
from winnow.trainers.compare.arms import Arm, open_arm
from winnow.trainers.compare.repetition import exposure

TUNING = ", tuning"  # stands behind a label where it means the runs that choose
STEP = 4.0  # how far beyond the grid the next value lies at most
SPENT = 1.5  # so many times the passes asked for: no tokenizer differs so much from bytes / 4


@dataclass(frozen=True, kw_only=True)
class TuningChoice(Job):
    """The cell with the lowest mean on one target, of those whose runs all went well; ties: the earlier one.

    References: `runs` {cell/seed} and `scores` {cell/seed/target}, at seeds of their own. The verdict's runs read the
    choice and were not looked at for it, so it does not bias their differences; these runs are what it costs.

    Source: own; a hold-out for the choice of hyperparameters, over seeds
    """

    name: ClassVar[str] = "tuning_choice"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)

    cells: tuple[str, ...]  # in the order in which ties are decided
    values: dict[str, dict[str, float]]  # cell -> axis -> value
    seeds: int
    target: str
    declared: str = ""  # the cell that is the run as the recipe declares it, where the grid has it
    runs: dict[str, str] | None = port("refs", default=None)
    scores: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `chosen` (null where no cell went well, and `why`); `cells` {cell: values, mean, scores per seed,
        exposure, or `failed`} and their `order`; `edges` [{axis, value, next}]; `spent` (epochs that the pool cannot
        give); `declared`, `target`, `seeds`.
        """
        rows: dict[str, dict[str, Any]] = {}
        for cell in self.cells:
            runs = open_arm(cell, self.seeds, ctx.refs["runs"], ctx.refs["scores"], (self.target,))
            rows[cell] = {"values": self.values[cell], **_row(runs, self.target)}
        means = {cell: row["mean"] for cell, row in rows.items() if row["mean"] is not None}
        chosen = best_of(means)
        spent = spent_at(epochs_got(rows))
        found = {"chosen": chosen, "cells": rows, "declared": self.declared or None, "target": self.target,
                 "seeds": self.seeds, "spent": spent, "order": list(self.cells)}  # fmt: skip
        if chosen is None:
            first = next(iter(rows.values()))["failed"]
            return {**found, "edges": [], "why": f"every cell of the grid failed: {first['why']}"}
        return {**found, "edges": edges([self.values[cell] for cell in self.cells], self.values[chosen], spent)}


def at_epochs(epochs: float | None) -> str:
    """What stands behind a label where it means its selection at so many epochs."""
    return "" if epochs is None else f" at {epochs:g} epochs"


def best_of(means: Mapping[str, float]) -> str | None:
    """The cell with the lowest mean, the earlier of equal ones; None where there is none."""
    return min(means, key=lambda cell: means[cell]) if means else None


def epochs_got(cells: Mapping[str, Mapping[str, Any]]) -> dict[float, float]:
    """Epochs that cells ask for -> those that their runs had, the mean over seeds; ascending."""
    rows = {
        row["values"]["epochs"]: row for row in cells.values() if "epochs" in row["values"] and row["mean"] is not None
    }
    return {asked: float(np.mean(rows[asked]["epochs"])) for asked in sorted(rows)}


def spent_at(got: Mapping[float, float]) -> list[float]:
    """Epochs that the pool is too small for: far more passes than asked for, or than the next cell would say."""
    ratios = {asked: value / asked for asked, value in got.items()}
    usual = {few: ratios[more] for few, more in itertools.pairwise(ratios)}
    return [asked for asked, ratio in ratios.items() if ratio > SPENT * min(1.0, usual.get(asked, 1.0))]


def edges(
    cells: Sequence[Mapping[str, float]], chosen: Mapping[str, float], spent: Sequence[float]
) -> list[dict[str, Any]]:
    """Axes at whose end the chosen cell lies, and the next value beyond it.

    Nothing lies below a decay of 0, nor below epochs for which the pool is `spent`.
    """
    found = []
    for axis, value in chosen.items():
        values = sorted({cell[axis] for cell in cells})
        top = value == values[-1]
        if len(values) < 2 or value not in (values[0], values[-1]) or (not top and (value == 0 or value in spent)):
            continue
        inner = values[-2] if top else values[1]
        ratio = min(STEP, max(value / inner, inner / value)) if inner else STEP
        found.append({"axis": axis, "value": value, "next": float(f"{value * ratio if top else value / ratio:.3g}")})
    return found


def _row(runs: Arm, target: str) -> dict[str, Any]:
    """One cell: a cell of which a run failed has no mean."""
    if runs.failed:
        return {"mean": None, "scores": [], "failed": runs.failed}
    scores = runs.measure(target)
    return {"mean": float(np.mean(scores)), "scores": scores, **exposure(runs.runs)}
