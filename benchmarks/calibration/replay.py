"""The decision rule replayed on published tables: a small run says better, worse or cannot tell; a large run is the truth.

A difference is "called" where its interval leaves out zero (`intervals.verdict_of`, the rule of every comparison). A call
is *reversed* where the large runs have the other order, and *clearly reversed* where their difference exceeds its own noise.
Pairs share arms, so a rate's error is a jackknife over arms: many pairs of few arms say less than their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.compare import intervals
from winnow.trainers.compare.decision import decision_accuracy

Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]
EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, np.inf)  # nats per token
MANY = 10_000  # degrees of freedom of an error that counts as known


def pairs(scores: Floats) -> Floats:
    """Differences of every two arms, f64[pairs, targets], first minus second, from f64[arms, targets]."""
    first, second = np.triu_indices(len(scores), k=1)
    return np.asarray(scores[first] - scores[second])


def half_widths(sd: Floats, *, arms: int, df: float = MANY) -> Floats:
    """Half-width of the interval of a difference of two single runs, f64[pairs, targets].

    `sd` is one run's noise, f64[targets] or f64[arms, targets], known to `df` degrees of freedom.
    """
    from scipy import stats

    each = np.broadcast_to(sd, (arms, np.shape(sd)[-1])) ** 2
    first, second = np.triu_indices(arms, k=1)
    return np.asarray(stats.t.ppf(1 - intervals.ALPHA / 2, df) * np.sqrt(each[first] + each[second]))


def calls(differences: Floats, half: Floats) -> Signs:
    """-1 better, 1 worse, 0 cannot tell, for every difference with its half-width."""
    words = {"better": -1, "worse": 1, "cannot tell": 0}
    low, high = (differences - half).ravel().tolist(), (differences + half).ravel().tolist()
    found = [words[intervals.verdict_of(a, b)] for a, b in zip(low, high, strict=True)]
    return np.asarray(found, dtype=np.int8).reshape(differences.shape)


def outcomes(small: Floats, large: Floats, *, called: Signs, large_half: Floats) -> dict[str, Any]:
    """What came of the calls of a small scale at a large one; scores f64[arms, targets], lower is better.

    `called` and `large_half` are [pairs, targets]. Rates in [0, 1], None where nothing was called; `accuracy` is the
    product's decision accuracy of the bare order, meaned over targets.
    """
    truth = pairs(large)
    made = called != 0
    reversed_ = made & (np.sign(truth) == -called)
    clear = np.abs(truth) > large_half
    order = [decision_accuracy(small[:, t].tolist(), large[:, t].tolist()) for t in range(small.shape[1])]
    return {
        "arms": len(small), "targets": small.shape[1], "comparisons": int(made.size),
        "called": float(made.mean()),
        "reversed": rate(reversed_, made, arms=len(small)),
        "clearly_reversed": rate(reversed_ & clear, made, arms=len(small)),
        "truth_clear": float(clear.mean()),
        "found_of_clear": rate(made & clear & ~reversed_, clear, arms=len(small)),
        "accuracy": float(np.mean(order)),
    }  # fmt: skip


def curve(small: Floats, large: Floats, *, edges: Sequence[float] = EDGES) -> list[dict[str, Any]]:
    """How often the large scale has the small one's order, by the size of the small difference; no noise is assumed."""
    seen, truth = pairs(small), pairs(large)
    agree = np.sign(seen) == np.sign(truth)
    rows = []
    for low, high in pairwise(edges):
        here = (np.abs(seen) >= low) & (np.abs(seen) < high)
        found = rate(agree & here, here, arms=len(small))
        size = float(np.median(np.abs(seen[here]))) if here.any() else None
        rows.append({"low": low, "high": high if np.isfinite(high) else None, "pairs": int(here.sum()), "size": size,
                     "agree": found})  # fmt: skip
    return rows


def rate(hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], *, arms: int) -> dict[str, float | None]:
    """{value, se} of hits per case of [pairs, targets], `se` by leaving out one arm at a time; None where undefined."""
    first, second = np.triu_indices(arms, k=1)
    top, bottom = hits.sum(axis=1).astype(np.float64), among.sum(axis=1).astype(np.float64)
    if not bottom.sum():
        return {"value": None, "se": None}

    def without(each: Floats) -> Floats:
        sums = np.bincount(first, each, minlength=arms) + np.bincount(second, each, minlength=arms)
        return np.asarray(each.sum() - sums)

    left = without(bottom)
    if not (left > 0).all():
        return {"value": float(top.sum() / bottom.sum()), "se": None}
    values = without(top) / left
    se = np.sqrt((arms - 1) / arms * ((values - values.mean()) ** 2).sum())
    return {"value": float(top.sum() / bottom.sum()), "se": float(se) if arms > 3 else None}


def paired_calls(curves: Floats) -> Signs:
    """Calls of the paired t interval over "seeds" f64[seeds, arms, targets], of every pair of arms."""
    differences = np.stack([pairs(scores) for scores in curves], axis=-1)
    flat = differences.reshape(-1, differences.shape[-1])
    mean, _, half = intervals.t_intervals(flat)
    return calls(mean, half).reshape(differences.shape[:-1])
