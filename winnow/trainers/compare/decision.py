"""Decision accuracy: how often a small model orders two arms as a larger one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def decision_accuracy(small: Sequence[float], large: Sequence[float]) -> float:
    """Share of pairs that both put in the same order, in [0, 1]; a coin would reach 0.5.

    A pair counts as one of two answers, "the first is larger" or "it is not" (strict comparison), so a tie on
    one side alone agrees in one direction only. NaN for fewer than two arms.

    Source: DataDecide (arXiv 2504.11393), its definition of decision accuracy
    """
    a, b = np.asarray(small, dtype=np.float64), np.asarray(large, dtype=np.float64)
    first, second = np.triu_indices(len(a), k=1)
    if not len(first):
        return float("nan")
    return float(((a[first] > a[second]) == (b[first] > b[second])).mean())


def scale_agreement(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> list[dict[str, Any]]:
    """For every pair of scales (in the given order, smaller first): decision accuracy of mean scores over arms.

    `scores` is scale -> arm -> score per seed. `by_seed` is the accuracy of single seeds of the smaller scale
    against the larger scale's mean: what one run per arm would have decided.
    """
    names = list(scores)
    arms = sorted(set.intersection(*(set(s) for s in scores.values()))) if scores else []
    rows = []
    for i, small in enumerate(names):
        for large in names[i + 1 :]:
            goal = [float(np.mean(scores[large][arm])) for arm in arms]
            seeds = min((len(scores[small][arm]) for arm in arms), default=0)
            by_seed = [decision_accuracy([scores[small][arm][s] for arm in arms], goal) for s in range(seeds)]
            mean = [float(np.mean(scores[small][arm])) for arm in arms]
            rows.append({
                "small": small,
                "large": large,
                "arms": len(arms),
                "pairs": len(arms) * (len(arms) - 1) // 2,
                "accuracy": decision_accuracy(mean, goal) if len(arms) > 1 else None,
                "by_seed": by_seed if len(arms) > 1 else [],
            })  # fmt: skip
    return rows
