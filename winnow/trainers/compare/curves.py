"""Losses over the tokens of runs: what continued training forgets, and where a dip comes back.

A curve begins at the start's loss (before the first step). On a target that the start knew, its largest rise above
that is what is forgotten on the way, its last value what stays forgotten; the first point that is not above the start
any more, after the worst one, is where the stability gap ends. Rise and gap are those of the mean over seeds.

    metrics["curve"][label][target] = {
        "role": "old" | "new" | "unseen" | "",
        "tokens": [0, 1024, ...],            # read by the run before each point (the first seed's), ascending
        "mean": [...], "seeds": [[...], ...],  # loss at each point, in the target's unit (metrics["targets"][target])
        "rise": 0.12, "rise_at": 4096,       # largest rise of the mean over the start, >= 0, and its tokens; null for
        "rises": [...],                      #   runs from scratch; `rises` of each seed
        "end": 0.03,                         # last point minus the start
        "back_at": 20480 | null,             # tokens at which the loss is back at the start's; 0 where it never rose
    }

Source: stability gap (2406.14833) for the shape of the fall; own
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.core.operators import Source, port
from winnow.trainers.data.stability import gap_depth, recovery


@dataclass(frozen=True, kw_only=True)
class Curved:
    """What a comparison knows of the curves of its runs. References: `curves` {label/seed/target}."""

    roles: Mapping[str, str] | None = None  # target -> old, new or unseen
    curves: dict[str, str] | None = port("refs", default=None)


def curve_metrics(curved: Curved, curves: Mapping[str, Source], starts: Mapping[str, Any]) -> dict[str, Any]:
    """`curve` as the head of this file describes it; `starts` are the labels that continue a model."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for key, source in curves.items():
        label, _, target = key.split("/")
        result = source.result()
        if target in result["targets"]:
            row = {"tokens": [p["tokens"] for p in result["points"]], **result["targets"][target]}
            found.setdefault(label, {}).setdefault(target, []).append(row)
    roles = curved.roles or {}
    return {
        "curve": {
            label: {t: _row(runs, roles.get(t, ""), continues=bool(starts.get(label))) for t, runs in targets.items()}
            for label, targets in found.items()
        }
    }


def _row(runs: list[dict[str, Any]], role: str, *, continues: bool) -> dict[str, Any]:
    """One label's curve on a target; runs of other points are read between theirs."""
    tokens = runs[0]["tokens"]
    seeds = [np.interp(tokens, run["tokens"], run["values"]) for run in runs]
    mean = np.mean(seeds, axis=0)
    row = {"role": role, "tokens": tokens, "mean": mean.tolist(), "seeds": [s.tolist() for s in seeds],
           "end": float(mean[-1] - mean[0])}  # fmt: skip
    if not continues:
        return {**row, "rise": None, "rise_at": None, "rises": None, "back_at": None}
    worst = int(np.argmax(mean))
    return {
        **row,
        "rise": gap_depth((-mean).tolist()),
        "rise_at": tokens[worst] if mean[worst] > mean[0] else 0,
        "rises": [gap_depth((-s).tolist()) for s in seeds],
        "back_at": recovery((-mean).tolist(), tokens),
    }


def curve_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line per arm and target: from where to where, the largest rise, and whether it came back."""
    curve = metrics.get("curve")
    if not curve:
        return
    yield "over the tokens of the runs, mean over seeds (rise: above the loss before the first step)"
    for label, targets in curve.items():
        for target, row in targets.items():
            role = f" ({row['role']})" if row["role"] else ""
            yield f"  {label:<13} {target + role:<19} {row['mean'][0]:.3f} -> {row['mean'][-1]:.3f}{_gap(row)}"


def _gap(row: Mapping[str, Any]) -> str:
    if row["rise"] is None:
        return ", from scratch"
    if not row["rise"]:
        return ", never above its start"
    rise = f", up to +{row['rise']:.3f} at {row['rise_at']:,} tokens"
    return f"{rise}, not back by the end" if row["back_at"] is None else f"{rise}, back at {row['back_at']:,}"
