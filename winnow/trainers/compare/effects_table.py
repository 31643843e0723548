"""Rows of a comparison: effects of arms on targets, their verdicts after adjusting for many, fragile signs.

Two families are adjusted each for itself: the arms on the declared primary target (step-down Dunnett: all share the
baseline), and everything else (Holm over arms x other targets x secondary measures). An arm that was stopped by
halving, or that failed, counts in both: it was looked at. The answers to the two questions are families of their own
beside it.
A verdict needs its interval and its adjusted p; an arm whose effect has another sign at another learning rate is
"fragile" whatever its interval says. What holds for one selection only is called "this selection better".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow.trainers.compare import dunnett, intervals
from winnow.trainers.compare.arms import ARRAYS, MAIN, Arm, secondary_measures
from winnow.trainers.compare.common_documents import Common
from winnow.trainers.compare.inference import QUESTIONS, WHY_SAME, Items, Pool
from winnow.trainers.compare.item_noise import sampled_variance
from winnow.trainers.compare.question import Question
from winnow.trainers.evaluate.suites import LOWER_IS_BETTER

Rows = dict[str, dict[str, Any]]  # target (or "target measure") -> row
FLIPPED = {"better": "worse", "worse": "better"}
FRAGILE = "fragile"
UNSURE = "cannot tell"


def pools(
    arms: Sequence[Arm],
    targets: Sequence[str],
    common: Common,
    *,
    fixed: frozenset[str],
    folds: bool,
    apart: frozenset[str] = frozenset(),
) -> dict[tuple[str, str], Pool]:
    """(target, secondary measure or "" for the main one) -> the scores of all labels, with their noise."""
    trained = [arm for arm in arms if arm.trained]
    names = [(t, "") for t in targets] + secondary_measures(arms[0], targets)
    scores = {(t, name): {a.label: a.measure(t, name) for a in trained} for t, name in names}
    return {
        key: Pool(scores=values, common=common, fixed=fixed, folds=folds, apart=apart) for key, values in scores.items()
    }


def effect(pool: Pool, arm: Arm, baseline: Arm, target: str, *, seeds: int, question: Question) -> dict[str, Any]:
    """One comparison on a target's main measure: its answers, and the secondary interval over items."""
    kind = baseline.scores[0][target]["kind"]
    sizes = baseline.arrays(target, "bytes", 0) if MAIN[kind] == "bits_per_byte" else None
    row = pool.row(arm.label, seeds=seeds, question=question, items=_items(arm, baseline, target, "nats", sizes, seeds))
    over = arm.mean_nats(target, seeds) - baseline.mean_nats(target, seeds)
    scale = np.full(len(over), 1 / np.log(2)) if sizes is None else sizes
    low, high = intervals.document_interval(over, scale) if len(over) > 1 else (None, None)
    differences = [a - b for a, b in zip(arm.measure(target)[:seeds], baseline.measure(target)[:seeds], strict=True)]
    return {
        **row, "measure": MAIN[kind], "documents_low": low, "documents_high": high,
        "documents_better": float((over < 0).mean()), "differences": differences,
    }  # fmt: skip


def measured(
    pool: Pool, arm: Arm, baseline: Arm, target: str, name: str, *, seeds: int, question: Question
) -> dict[str, Any]:
    """One comparison on a secondary measure; its verdicts know which direction is better."""
    items = _items(arm, baseline, target, ARRAYS[name], None, seeds)
    row = pool.row(arm.label, seeds=seeds, question=question, items=items)
    if name not in LOWER_IS_BETTER:
        for answer in _answers(row):
            answer["verdict"] = FLIPPED.get(answer["verdict"], answer["verdict"])
    return {**row, "measure": name, "mean": float(np.mean(arm.measure(target, name)[:seeds]))}


def _items(arm: Arm, baseline: Arm, target: str, name: str, sizes: Any, seeds: int) -> Items:
    """The noise of a target that is read in part; none where it is read whole."""
    facts = baseline.scores[0][target]["facts"]
    found = int(facts.get("items_found") or 0)
    if found <= facts["items"]:
        return Items()
    over = np.stack([arm.arrays(target, name, s) - baseline.arrays(target, name, s) for s in range(seeds)])
    if sizes is None:
        return Items(*sampled_variance(over, np.ones(over.shape[1]), found))
    return Items(*sampled_variance(over / np.log(2), sizes, found))


def _answers(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [row, *(row[question] for question in QUESTIONS)]


def adjust(
    effects: Mapping[str, Rows], measures: Mapping[str, Rows], *, primary: str, shown: Sequence[str], started: int = 0
) -> None:
    """Add `p_adjusted` and `primary` to every row and answer, and take back verdicts that do not survive; controls have
    no adjusted p.

    `started` arms were to be compared, those of `shown` among them: each family is as large as with all of them.
    """
    families = (
        [(a, effects[a][primary]) for a in effects],
        [(a, row) for table in (effects, measures) for a in table for t, row in table[a].items() if t != primary],
    )
    for number, family in enumerate(families):
        counted = [row for arm, row in family if arm in shown]
        others = len(counted) // len(shown) * max(0, started - len(shown)) if shown else 0
        for _, row in family:
            row["primary"] = number == 0
            for answer in _answers(row):
                answer["p_adjusted"] = None
        for answers in (counted, *([row[question] for row in counted] for question in QUESTIONS)):
            _adjust_family(answers, together=number == 0, others=others)
        for _, row in family:
            _name_the_question(row)


def _adjust_family(answers: Sequence[dict[str, Any]], *, together: bool, others: int) -> None:
    if together:
        several = len(answers) + others > 1
        p = dunnett.step_down(
            [_judging(row) if several else row["p"] for row in answers], [row["df"] or 1.0 for row in answers],
            [row["baseline_part"] for row in answers], others=others,
        )  # fmt: skip
    else:
        found = intervals.holm({str(i): row["p"] for i, row in enumerate(answers)}, others=others)
        p = [found[str(i)] for i in range(len(answers))]
    for row, adjusted in zip(answers, p, strict=True):
        row["p_adjusted"] = adjusted
        if adjusted is not None and adjusted >= intervals.ALPHA:
            row["verdict"] = UNSURE


def _judging(row: Mapping[str, Any]) -> float | None:
    p: float | None = row["p"]
    return p if p is None or not row.get("one_draw") else dunnett.one_draw(p)


def _name_the_question(row: dict[str, Any]) -> None:
    """A verdict that holds for one selection says so; where arm and baseline share theirs, none is compared."""
    if row["question"] == "selection" and row["method"].get("why") != WHY_SAME and row["verdict"] in FLIPPED:
        row["verdict"] = f"this selection {row['verdict']}"


def mark_fragile(effects: Mapping[str, Rows], rates: Mapping[str, Mapping[str, Any]]) -> None:
    """Add `rates` (factor of the learning rates -> mean difference) and `fragile` to every row.

    `rates` maps a factor to the comparison made with it. A difference that has another sign there is fragile; a
    verdict on it becomes "fragile" too.
    """
    for arm, rows in effects.items():
        for target, row in rows.items():
            seen = {"1": row["mean_diff"]}
            for factor, metrics in rates.items():
                other = {**metrics["arms"], **metrics["aa"]}.get(arm, {}).get("effects", {}).get(target)
                if other is not None:
                    seen[factor] = other["mean_diff"]
            row["rates"] = seen
            row["fragile"] = min(seen.values()) < 0 < max(seen.values())
            if row["fragile"] and row["verdict"] != UNSURE:
                row["verdict"] = FRAGILE
