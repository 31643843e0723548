"""Rules that do nothing, simulated: how often each question's interval leaves out zero, where the noise is known.

Twelve rules with one selection each, against a baseline that is drawn at every seed, beside further labels that are drawn
(as an A/A row is). The noise of training has variance 1, that of the draw `draw`. What holds under other noises, for whole
families, and the power are simulated by `bench_intervals.py`; here it is what a reader gets who asks the wrong question.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.trainers.compare import intervals
from winnow.trainers.compare import variance_components as parts

RULES, WORLDS = 12, 3000
SEEDS, DRAWN, DRAWS = (3, 4, 6, 12), (1, 2, 6), (0.25, 1.0, 4.0)


def measured() -> list[dict[str, Any]]:
    """Shares off zero by question: a row per number of seeds, of drawn labels, and size of the draw's noise."""
    return [
        {"seeds": seeds, "labels": drawn, "draw": draw, **rates(seeds=seeds, drawn=drawn, draw=draw, worlds=WORLDS)}
        for seeds in SEEDS for drawn in DRAWN for draw in DRAWS
    ]  # fmt: skip


def rates(*, seeds: int, drawn: int, draw: float, worlds: int) -> dict[str, float]:
    """{method, selection, drawn}: shares off zero of a rule under both questions, and of a drawn arm (the last of them)."""
    rng = np.random.Generator(np.random.Philox(key=[seeds * 100 + drawn, int(100 * draw)]))
    anew = draw**0.5 * rng.normal(size=(worlds, drawn, seeds)) + rng.normal(size=(worlds, drawn, seeds))
    once = draw**0.5 * rng.normal(size=(worlds, RULES, 1)) + rng.normal(size=(worlds, RULES, seeds))
    variances = np.concatenate([anew, once], axis=1).var(axis=2, ddof=1)
    within = np.asarray([1.0] * drawn + [0.0] * RULES)
    spread = parts.Spread(variances=variances, df=np.full(variances.shape, seeds - 1.0), within=within)
    same, apart, none = np.ones((seeds, seeds)), np.eye(seeds), np.zeros((seeds, seeds))
    asked = {
        "method": (once[:, 0], parts.weights_of(same, apart, none)),
        "selection": (once[:, 0], tuple(np.add(parts.own_weights(same), parts.own_weights(apart)))),
        **({"drawn": (anew[:, -1], parts.weights_of(apart, apart, none))} if drawn > 1 else {}),
    }
    out = {}
    for name, (scores, (gt, gd)) in asked.items():
        p = parts.uncertainty(spread, gt, gd).p_values(scores.mean(axis=1) - anew[:, 0].mean(axis=1))
        out[name] = float((p < intervals.ALPHA).mean())
    return out
