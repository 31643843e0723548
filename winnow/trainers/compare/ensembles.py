"""Ensembles of an arm's seeds: one prediction from the mean of all members' probabilities.

With data limited and compute not, an ensemble shows what an arm's documents hold beyond what one model takes from
them (infinite-compute setting). It is one number per arm, so its interval comes from leaving one seed out in arm and
baseline alike: n x whole - (n - 1) x without seed s are n pseudo-differences, whose spread gives a t interval.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from winnow.core.operators import Source
from winnow.trainers.compare import intervals
from winnow.trainers.compare.arms import BASELINE, MAIN
from winnow.trainers.model.shape import Shape

WHOLE, STUDENT = "whole", "student"
STUDENTS = 3  # per arm; each has seeds of its own, equal ones in all arms


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
    """
    score: dict[tuple[str, str, str], float] = {}
    sizes: set[int] = set()
    for key, source in scores.items():
        label, _, name = key.partition("/")
        told = source.result()
        sizes |= {Shape(**told["shape"]).parameters()[0]} if name.startswith(STUDENT) and "shape" in told else set()
        for target, row in told["targets"].items():
            score[label, name, target] = float(row["measures"][MAIN[row["kind"]]])
    out: dict[str, Any] = {}
    for label in (BASELINE, *labels):
        out[label] = {t: _row(score, label, t, seeds) for t in targets if (label, WHOLE, t) in score}
    for row in (row for rows_of in out.values() for row in rows_of.values() if row["student"] and sizes):
        row["student"]["parameters"] = max(sizes)  # of every arm's students: one size per comparison
    return out


def name_selections(table: Mapping[str, Any], fixed: Collection[str]) -> None:
    """A verdict on an arm with one selection at all seeds says that it is about this selection."""
    for label in set(fixed) & set(table):
        for row in table[label].values():
            for answer in filter(None, (row, row.get("student"))):
                if answer.get("verdict") in ("better", "worse"):
                    answer["verdict"] = f"this selection {answer['verdict']}"


def _row(score: Mapping[tuple[str, str, str], float], label: str, target: str, seeds: int) -> dict[str, Any]:
    whole = score[label, WHOLE, target]
    students = _students(score, label, target)
    row: dict[str, Any] = {"score": whole, "members": seeds}
    row["student"] = {"score": float(np.mean(students)), "students": len(students)} if students else None
    base = score.get((BASELINE, WHOLE, target))
    if label == BASELINE or base is None:
        return row
    names = [n for n in members(seeds) if n != WHOLE and (label, n, target) in score]
    without = [score[label, n, target] - score[BASELINE, n, target] for n in names]
    if len(without) < 2:
        return {**row, "mean_diff": whole - base, "low": None, "high": None, "verdict": "cannot tell"}
    pseudo = pseudo_values(whole - base, without)
    _, _, half = intervals.t_intervals(np.asarray([pseudo]))
    low, high = whole - base - float(half[0]), whole - base + float(half[0])
    if students:
        gaps = [a - b for a, b in zip(students, _students(score, BASELINE, target), strict=True)]
        row["student"] |= student_effect(gaps, pseudo)
    return {**row, "mean_diff": whole - base, "low": low, "high": high, "verdict": intervals.verdict_of(low, high)}


def student_effect(gaps: Sequence[float], pseudo: Sequence[float]) -> dict[str, Any]:
    """Effect of an arm in its students, with the noise of both: the ensembles they learn from, and their own.

    `gaps`: arm minus baseline per student; `pseudo`: pseudo-values of the ensembles' difference. The students inherit
    the ensembles' error one to one (they see nothing else of the arm), so the variances of both means add up; degrees
    of freedom by Welch and Satterthwaite. No interval from one student.
    """
    from scipy import special

    mean = float(np.mean(gaps))
    if len(gaps) < 2:
        return {"mean_diff": mean, "low": None, "high": None, "verdict": "cannot tell"}
    parts = [(float(np.var(values, ddof=1)) / len(values), len(values) - 1) for values in (gaps, pseudo)]
    variance = sum(part for part, _ in parts)
    if variance == 0.0:
        return {"mean_diff": mean, "low": mean, "high": mean, "verdict": intervals.verdict_of(mean, mean)}
    free = variance**2 / sum(part**2 / df for part, df in parts)
    half = float(special.stdtrit(free, 1 - intervals.ALPHA / 2) * np.sqrt(variance))
    low, high = mean - half, mean + half
    return {"mean_diff": mean, "low": low, "high": high, "verdict": intervals.verdict_of(low, high)}


def _students(score: Mapping[tuple[str, str, str], float], label: str, target: str) -> list[float]:
    names = [f"{STUDENT}-{number}" for number in range(STUDENTS)]
    return [score[label, name, target] for name in names if (label, name, target) in score]
