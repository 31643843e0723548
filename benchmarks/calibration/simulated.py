"""Rules that do nothing, simulated: how often each question's interval leaves out zero, where the noise is known.

Twelve rules with one selection each, against a baseline that is drawn at every seed, beside further labels that are drawn
(as an A/A row is). The noise of training has variance 1, that of the draw `draw`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from winnow.trainers.compare import intervals
from winnow.trainers.compare import variance_components as parts

RULES, WORLDS = 12, 3000
SEEDS, DRAWN, DRAWS = (3, 4, 6, 12), (1, 2, 6), (0.0, 0.25, 1.0, 4.0, 10.0)
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {  # of variance 1
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed": lambda rng, size: rng.exponential(size=size) - 1,
    "heavy": lambda rng, size: rng.standard_t(5, size=size) / np.sqrt(5 / 3),
}


def measured() -> list[dict[str, Any]]:
    """Shares off zero by question: a row per number of seeds, of drawn labels, and size of the draw's noise, all normal;
    and, for two drawn labels and a draw of 4, per shape of the noise.
    """
    rows = [(seeds, drawn, draw, "normal") for seeds in SEEDS for drawn in DRAWN for draw in DRAWS]
    rows += [(seeds, 2, 4.0, shape) for shape in ("skewed", "heavy") for seeds in SEEDS]
    return [
        {"seeds": seeds, "labels": drawn, "draw": draw, "shape": shape,
         **rates(seeds=seeds, drawn=drawn, draw=draw, shape=shape, worlds=WORLDS)}
        for seeds, drawn, draw, shape in rows
    ]  # fmt: skip


def rates(*, seeds: int, drawn: int, draw: float, worlds: int, shape: str = "normal") -> dict[str, float]:
    """{method, selection, drawn}: shares off zero of a rule under both questions, and of a drawn arm (the last of them)."""
    noise = partial(SHAPES[shape], np.random.Generator(np.random.Philox(key=[seeds * 100 + drawn, int(100 * draw)])))
    anew = draw**0.5 * noise((worlds, drawn, seeds)) + noise((worlds, drawn, seeds))
    once = draw**0.5 * noise((worlds, RULES, 1)) + noise((worlds, RULES, seeds))
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
