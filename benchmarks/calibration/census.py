"""Censuses of comparisons whose truth is known, on trained runs: false verdicts, coverage, and what is found of a plant.

The unit is a comparison: one arm against one baseline on one target. "Off zero" is an interval that leaves out zero, where
nothing differs 5 % of them do if they are right; a verdict has survived the adjustment for all arms of its family, and at
most 5 % of families have a false one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from calibration import stored_runs
from calibration.stored_runs import Run
from winnow.trainers.compare import intervals
from winnow.trainers.compare.arms import BASELINE

QUESTIONS = ("method", "selection")
TARGETS = ("peps", "bbc")  # the first is the primary one
FAMILY = 12  # arms of a family
Rows = list[dict[str, Any]]


def rows_of(metrics: Mapping[str, Any], *, family: str) -> Rows:
    """One row per comparison and question that has an answer: p, off zero, verdict after adjusting, noise."""
    out = []
    for arm, found in metrics["arms"].items():
        for target, effect in found["effects"].items():
            for question in QUESTIONS:
                answer = effect[question]
                if answer["low"] is not None:
                    out.append({
                        "family": family, "arm": arm, "target": target, "primary": effect["primary"], "question": question,
                        "n": effect["n"], "difference": effect["mean_diff"], "p": answer["p"], "interval": answer["interval"],
                        "off_zero": bool(answer["low"] > 0 or answer["high"] < 0), "half": (answer["high"] - answer["low"]) / 2,
                        "verdict": answer["verdict"] != "cannot tell", **{k: effect["noise"][k] for k in ("training", "draw")},
                    })  # fmt: skip
    return out


def counted(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Comparisons, shares off zero and with a verdict, families and the share with a verdict on the primary target."""
    families: dict[str, bool] = {}
    for row in rows:
        if row["primary"]:
            families[row["family"]] = families.get(row["family"], False) or row["verdict"]
    return {
        "comparisons": len(rows),
        "off_zero": float(np.mean([row["off_zero"] for row in rows])) if rows else None,
        "verdicts": float(np.mean([row["verdict"] for row in rows])) if rows else None,
        "families": len(families),
        "families_false": float(np.mean(list(families.values()))) if families else None,
        "half": float(np.median([row["half"] for row in rows])) if rows else None,
        "training": float(np.median([row["training"] for row in rows])) if rows else None,
        "draw": float(np.median([row["draw"] for row in rows])) if rows else None,
    }


def every_pair(labels: Mapping[str, Sequence[Run]], pool: pl.DataFrame, **asked: Any) -> Rows:
    """Every label is the baseline once: a row per ordered pair, `twice` where the pair was there the other way round."""
    names, rows = list(labels), []
    for place, name in enumerate(names):
        arranged = {BASELINE: labels[name], **{other: labels[other] for other in names if other != name}}
        found = rows_of(stored_runs.compared(arranged, pool, targets=TARGETS, **asked), family=name)
        rows += [{**row, "twice": names.index(row["arm"]) < place} for row in found]
    return rows


def regrouped(runs: Sequence[Run], pool: pl.DataFrame, *, seeds: int, times: int, key: int) -> Rows:
    """Runs that are all the same, dealt anew into labels of `seeds` each, families of a baseline and up to 12 arms."""
    rng = np.random.Generator(np.random.Philox(key=key))
    rows = []
    for time in range(times):
        order = rng.permutation(len(runs))
        labels = [[runs[i] for i in order[at : at + seeds]] for at in range(0, len(runs) - seeds + 1, seeds)]
        for number, family in enumerate(_families(len(labels))):
            arranged = {BASELINE: labels[family[0]], **{f"a{i}": labels[i] for i in family[1:]}}
            rows += rows_of(stored_runs.compared(arranged, pool, targets=TARGETS), family=f"{time}/{number}")
    return rows


def _families(labels: int) -> Iterator[range]:
    """Labels in order, as few families as hold them with at most 12 arms each, of nearly equal size."""
    count = -(-labels // (FAMILY + 1))
    edges = np.linspace(0, labels, count + 1).astype(int)
    yield from (range(a, b) for a, b in pairwise(edges))


def planted(
    runs: Mapping[str, Sequence[Run]], pool: pl.DataFrame, *, seeds: int, times: int, key: int
) -> list[dict[str, Any]]:
    """How often a planted effect is found by `seeds` runs of each label drawn from all of them, beside what was stated.

    The truth of an arm is its difference over all runs, whose own error is `error`. `stated` is the power at that
    difference by the product's own formula, with the noise that all runs show.
    """
    rng = np.random.Generator(np.random.Philox(key=key))
    rows: Rows = []
    for time in range(times):
        drawn = {
            label: [own[i] for i in rng.choice(len(own), size=seeds, replace=False)] for label, own in runs.items()
        }
        rows += rows_of(stored_runs.compared(drawn, pool, targets=TARGETS), family=str(time))
    out = []
    for target in TARGETS:
        values = {label: np.asarray([run.score(target) for run in own]) for label, own in runs.items()}
        df = sum(len(v) - 1 for v in values.values())
        sd = float(np.sqrt(sum(((v - v.mean()) ** 2).sum() for v in values.values()) / df))
        for arm in set(runs) - {BASELINE}:
            truth = float(values[arm].mean() - values[BASELINE].mean())
            own = [row for row in rows if (row["arm"], row["target"], row["question"]) == (arm, target, "method")]
            stated = stated_power(abs(truth), sd=sd * np.sqrt(2), seeds=seeds, df=len(runs) * (seeds - 1))
            out.append({
                "arm": arm, "target": target, "seeds": seeds, "truth": truth, "sd": sd, "decisions": len(own),
                "runs": {label: len(v) for label, v in values.items()},
                "error": sd * float(np.sqrt(sum(1 / len(v) for v in values.values()))), "stated": stated,
                "found": float(np.mean([row["off_zero"] and row["difference"] * truth > 0 for row in own])),
                "wrong_way": float(np.mean([row["off_zero"] and row["difference"] * truth < 0 for row in own])),
                "covered": float(np.mean([abs(row["difference"] - truth) <= row["half"] for row in own])),
            })  # fmt: skip
    return out


def stated_power(difference: float, *, sd: float, seeds: int, df: float) -> float:
    """The power at which the product would call `difference` its smallest detectable one; sd is that of a difference."""
    low, high = intervals.ALPHA + 1e-6, 1 - 1e-6
    for _ in range(40):
        middle = (low + high) / 2
        mde = intervals.minimum_detectable_effect(sd, seeds, power=middle, df=df)
        low, high = (middle, high) if mde is not None and mde < difference else (low, middle)
    return low


def misread(*, training: float, draw: float, seeds: int, df: float) -> float:
    """Share of rules that do nothing which the interval of *this selection* leaves off zero, by the noise alone.

    A rule's selection is one draw: its difference has the variance 2 t / n + d (1 + 1 / n), the interval holds 2 t / n
    + d / n of it.
    """
    from scipy import stats

    t, d = training**2, draw**2
    held, true = 2 * t / seeds + d / seeds, 2 * t / seeds + d * (1 + 1 / seeds)
    return float(2 * stats.t.sf(stats.t.ppf(1 - intervals.ALPHA / 2, df) * np.sqrt(held / true), df))


def null_world(
    rules: Mapping[str, Sequence[Run]], drawn: Sequence[Sequence[Run]], pool: pl.DataFrame, *, family: str
) -> Rows:
    """Rows of rules that do nothing, one selection each, against the first of `drawn` labels; the others of these only
    show the noise of a draw, as an A/A row does.
    """
    arranged = {BASELINE: drawn[0], **rules, **{f"drawn{i}": own for i, own in enumerate(drawn[1:])}}
    metrics = stored_runs.compared(arranged, pool, targets=TARGETS, fixed=tuple(rules))
    return [row for row in rows_of(metrics, family=family) if row["arm"] in rules]


def families_error(rows: Sequence[Mapping[str, Any]]) -> float:
    """Standard error of the share off zero, by leaving out one family (one baseline) at a time."""
    names = np.asarray([row["family"] for row in rows])
    hits = np.asarray([row["off_zero"] for row in rows], dtype=np.float64)
    left = np.asarray([hits[names != name].mean() for name in sorted(set(names.tolist()))])
    return float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()))


def pairs_error(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> float:
    """Standard error of the share off zero over pairs of labels, by leaving out one label at a time."""
    places = {name: i for i, name in enumerate(labels)}
    ends = np.asarray([(places[row["family"].rpartition("/")[2]], places[row["arm"]]) for row in rows])
    hits = np.asarray([row["off_zero"] for row in rows], dtype=np.float64)
    left = np.asarray([hits[(ends != i).all(axis=1)].mean() for i in range(len(labels))])
    return float(np.sqrt((len(labels) - 1) / len(labels) * ((left - left.mean()) ** 2).sum()))
