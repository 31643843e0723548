"""Known outcomes predicted: every table's small runs against its large ones, as figures for the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration import noise, replay, result_tables
from calibration.result_tables import Mixtures, Table

LAST = 4  # checkpoints that are taken for seeds, where it's shown what comes of that
FROM_STEP = 10_000  # noise is measured from there on: earlier curves bend too much for a straight line


def measured(packs: Path) -> dict[str, Any]:
    """All of it, from the packs' folder."""
    return {
        "regmix": regmix(result_tables.regmix(packs)),
        "mixing_laws": mixing_laws(result_tables.mixing_laws(packs)),
        "scaling": scaling(result_tables.scaling(packs)),
        "pythia": pythia(result_tables.pythia(packs)),
    }


def regmix(tables: Mapping[str, Mixtures]) -> dict[str, Any]:
    """1M weights against 60M over 256 mixtures; noise bounded from above by refits, as there is one run of each."""
    small, large = tables["1m"], tables["60m"]
    pool = [tables["train"], small]
    noises = {
        "1m": noise.refit_sd(*(np.concatenate([getattr(t, name) for t in pool]) for name in ("shares", "losses"))),
        "60m": noise.refit_sd(large.shares, large.losses),
    }
    count = len(small.losses)
    called = replay.calls(replay.pairs(small.losses), replay.half_widths(noises["1m"], arms=count))
    large_half = replay.half_widths(noises["60m"], arms=count)
    return {
        "sd": {size: _range(sd) for size, sd in noises.items()},
        "refit": replay.outcomes(small.losses, large.losses, called=called, large_half=large_half),
        "curve": replay.curve(small.losses, large.losses),
    }


def mixing_laws(tables: Mapping[str, Mapping[int, Mixtures]]) -> dict[str, Any]:
    """Each smaller size at each step against the largest size at its last step."""
    sizes = list(tables)
    top = tables[sizes[-1]]
    large = top[max(top)].losses
    jitter = {size: jitter_of(tables[size]) for size in sizes}
    large_half = replay.half_widths(jitter[sizes[-1]], arms=len(large))
    rows = []
    for size in sizes:
        for step in sorted(tables[size]):
            if size == sizes[-1] and step == max(top):
                continue
            small = tables[size][step]
            sds = {"jitter": jitter[size], "refit": noise.refit_sd(small.shares, small.losses)}
            for name, sd in sds.items():
                half = replay.half_widths(sd, arms=len(large))
                called = replay.calls(replay.pairs(small.losses), half)
                found = replay.outcomes(small.losses, large, called=called, large_half=large_half)
                rows.append({"size": size, "step": step, "noise": name, **found})
            before = [s for s in sorted(tables[size]) if s <= step][-LAST:]
            if len(before) == LAST and before[0] >= FROM_STEP:
                curves = np.stack([tables[size][s].losses for s in before])
                found = replay.outcomes(
                    curves.mean(axis=0), large, called=replay.paired_calls(curves), large_half=large_half
                )
                rows.append({"size": size, "step": step, "noise": "checkpoints as seeds", **found})
    curves = {size: replay.curve(tables[size][max(tables[size])].losses, large) for size in sizes[:-1]}
    return {"large": {"size": sizes[-1], "step": max(top)}, "sd": {s: _range(sd) for s, sd in jitter.items()},
            "rows": rows, "curves": curves}  # fmt: skip


def jitter_of(steps: Mapping[int, Mixtures]) -> np.ndarray:
    """Checkpoint noise of one size, f64[targets]."""
    late = [step for step in sorted(steps) if step >= FROM_STEP]
    return noise.jitter_sd(np.stack([steps[step].losses for step in late]), late)


def scaling(tables: Mapping[tuple[int, float], Table]) -> list[dict[str, Any]]:
    """Three data sets, every size and token budget against the largest size; the noise is that of the items alone."""
    largest = max(weights for weights, _ in tables)
    large = tables[largest, 1.0]
    return [
        {"weights": weights, "budget": budget, **_against(table, large)}
        for (weights, budget), table in tables.items() if weights != largest
    ]  # fmt: skip


def pythia(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """With and without deduplication, every size against the largest; the noise is that of the items alone."""
    *smaller, largest = tables
    return [{"size": size, **_against(tables[size], tables[largest])} for size in smaller]


def _against(small: Table, large: Table) -> dict[str, Any]:
    """Outcomes on the targets that both have, where the tables state an error of every score."""
    both = [t for t in small.targets if t in large.targets]
    at, top = ([table.targets.index(t) for t in both] for table in (small, large))
    assert small.sd is not None
    assert large.sd is not None
    arms = len(small.arms)
    a, b = small.scores[:, at], large.scores[:, top]
    called = replay.calls(replay.pairs(a), replay.half_widths(small.sd[:, at], arms=arms))
    return replay.outcomes(a, b, called=called, large_half=replay.half_widths(large.sd[:, top], arms=arms))


def _range(sd: np.ndarray) -> dict[str, float]:
    """Smallest, middle and largest noise over targets."""
    return {"low": float(sd.min()), "median": float(np.median(sd)), "high": float(sd.max())}
