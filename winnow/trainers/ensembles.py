"""Ensembles of an arm's seeds: one prediction from the mean of all members' probabilities.

With data limited and compute not, an ensemble shows what an arm's documents hold beyond what one model takes from
them (infinite-compute setting). It is one number per arm, so its interval comes from leaving one seed out in arm and
baseline alike: n x whole - (n - 1) x without seed s are n pseudo-differences, whose spread gives a t interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow.core.operators import Source
from winnow.trainers import intervals
from winnow.trainers.arms import MAIN

BASELINE = "baseline"
WHOLE, STUDENT = "whole", "student"


def members(seeds: int) -> dict[str, list[int]]:
    """Name of an ensemble -> its seeds: all of them, and all but each."""
    out = {WHOLE: list(range(seeds))}
    if seeds > 2:
        out |= {f"without-{s}": [k for k in range(seeds) if k != s] for s in range(seeds)}
    return out


def pseudo_values(whole: float, without: Sequence[float]) -> list[float]:
    """Jackknife pseudo-values: their mean is the bias-corrected ensemble, their spread its error."""
    n = len(without)
    return [n * whole - (n - 1) * one for one in without]


def rows(scores: Mapping[str, Source], labels: Sequence[str], targets: Sequence[str], seeds: int) -> dict[str, Any]:
    """Label -> target -> score of the ensemble, and for arms the effect against the baseline's ensemble.

    `scores` are those of the ensembles {label/name} of `members`, each on all targets, and of students where there are.
    A student is one run: its score has no interval.
    """
    score: dict[tuple[str, str, str], float] = {}
    for key, source in scores.items():
        label, _, name = key.partition("/")
        for target, row in source.result()["targets"].items():
            score[label, name, target] = float(row["measures"][MAIN[row["kind"]]])
    out: dict[str, Any] = {}
    for label in (BASELINE, *labels):
        out[label] = {t: _row(score, label, t, seeds) for t in targets if (label, WHOLE, t) in score}
    return out


def _row(score: Mapping[tuple[str, str, str], float], label: str, target: str, seeds: int) -> dict[str, Any]:
    whole = score[label, WHOLE, target]
    row: dict[str, Any] = {"score": whole, "members": seeds, "student": score.get((label, STUDENT, target))}
    base = score.get((BASELINE, WHOLE, target))
    if label == BASELINE or base is None:
        return row
    names = [n for n in members(seeds) if n != WHOLE and (label, n, target) in score]
    without = [score[label, n, target] - score[BASELINE, n, target] for n in names]
    if len(without) < 2:
        return {**row, "mean_diff": whole - base, "low": None, "high": None, "verdict": "cannot tell"}
    _, _, half = intervals.t_intervals(np.asarray([pseudo_values(whole - base, without)]))
    low, high = whole - base - float(half[0]), whole - base + float(half[0])
    return {**row, "mean_diff": whole - base, "low": low, "high": high, "verdict": intervals.verdict_of(low, high)}
