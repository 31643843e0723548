"""Rows of a comparison: effects of arms on targets, their verdicts after Holm, fragile signs.

Two families are adjusted each for itself: the arms on the declared primary target, and everything else (arms x
other targets x secondary measures). An arm that was stopped by halving, or that failed, counts in both: it was looked
at. A verdict needs its interval and its adjusted p; an arm whose effect has another sign at another learning rate is
"fragile" whatever its interval says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow.trainers.compare import intervals
from winnow.trainers.compare.arms import MAIN, Arm
from winnow.trainers.evaluate.suites import LOWER_IS_BETTER

Rows = dict[str, dict[str, Any]]  # target (or "target measure") -> row
FLIPPED = {"better": "worse", "worse": "better"}
FRAGILE = "fragile"
UNSURE = "cannot tell"


def effect(arm: Arm, baseline: Arm, target: str, *, seeds: int, fixed: bool) -> dict[str, Any]:
    """One comparison on a target's main measure: the interval over seeds, and the secondary one over items."""
    differences = [a - b for a, b in zip(arm.measure(target)[:seeds], baseline.measure(target)[:seeds], strict=True)]
    row = intervals.effect_row(intervals.paired_effect(differences), fixed_selection=fixed)
    over = arm.mean_nats(target, seeds) - baseline.mean_nats(target, seeds)
    kind = baseline.scores[0][target]["kind"]
    scale = baseline.arrays(target, "bytes", 0) if MAIN[kind] == "bits_per_byte" else np.full(len(over), 1 / np.log(2))
    low, high = intervals.document_interval(over, scale) if len(over) > 1 else (None, None)
    return {
        **row, "measure": MAIN[kind], "documents_low": low, "documents_high": high,
        "documents_better": float((over < 0).mean()), "differences": differences,
    }  # fmt: skip


def measured(arm: Arm, baseline: Arm, target: str, name: str, *, seeds: int, fixed: bool) -> dict[str, Any]:
    """One comparison on a secondary measure; its verdict knows which direction is better."""
    pairs = zip(arm.measure(target, name)[:seeds], baseline.measure(target, name)[:seeds], strict=True)
    row = intervals.effect_row(intervals.paired_effect([a - b for a, b in pairs]), fixed_selection=fixed)
    if name not in LOWER_IS_BETTER:
        row["verdict"] = FLIPPED.get(row["verdict"], row["verdict"])
    return {**row, "measure": name, "mean": float(np.mean(arm.measure(target, name)[:seeds]))}


def adjust(
    effects: Mapping[str, Rows], measures: Mapping[str, Rows], *, primary: str, shown: Sequence[str], started: int = 0
) -> None:
    """Add `p_holm` and `primary` to every row, and take back verdicts that do not survive; controls have no p.

    `started` arms were to be compared, those of `shown` among them: each family is as large as with all of them.
    """
    families = (
        [(a, effects[a][primary]) for a in effects],
        [(a, row) for table in (effects, measures) for a in table for t, row in table[a].items() if t != primary],
    )
    for number, family in enumerate(families):
        counted = {str(i): row["p"] for i, (arm, row) in enumerate(family) if arm in shown}
        others = len(counted) // len(shown) * max(0, started - len(shown)) if shown else 0
        adjusted = intervals.holm(counted, others=others)
        for i, (_, row) in enumerate(family):
            row["p_holm"] = adjusted.get(str(i))
            row["primary"] = number == 0
            if row["p_holm"] is not None and row["p_holm"] >= intervals.ALPHA:
                row["verdict"] = UNSURE


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
