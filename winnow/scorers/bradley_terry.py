"""Pairs to compare, and strengths from who won: the Bradley-Terry model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
GOLDEN = 0.6180339887498949  # multiples of it, without their whole part, are spread evenly
PRIOR = 0.1  # wins and losses against an average document that everyone has: strengths stay finite
MOST_ROUNDS, CLOSE = 10_000, 1e-10


def pairs_of(documents: int, each: int, draw: F64) -> I64:
    """Pairs i64[pairs, 2]: rings over the drawn order, so that every document is in `each` pairs (rounded up to even).

    The first ring joins neighbours, so that all are connected; the steps of the others are spread evenly. A pair occurs
    once, and so there are fewer of few documents.
    """
    order = np.argsort(draw, kind="stable")
    at = np.arange(documents)
    steps = np.arange(2, (documents + 1) // 2)  # half of an even number would join each pair twice
    spread = steps[np.argsort((steps * GOLDEN) % 1.0, kind="stable")]
    chosen = [1, *spread[: (each + 1) // 2 - 1].tolist()]
    return np.concatenate([np.stack([order, order[(at + step) % documents]], axis=1) for step in chosen]).astype(
        np.int64
    )


def strengths(pairs: I64, won: F64, documents: int) -> F64:
    """Log strength of every document, f64[documents], with a mean of 0: log odds to win against an average one.

    `won` is the share of its comparisons that the first of each pair won. By Hunter's MM rounds until nothing moves by
    more than 1e-10; with a prior of a tenth of a win and a loss against a document of strength 1.
    """
    one, two = pairs[:, 0], pairs[:, 1]
    wins = np.full(documents, PRIOR)
    np.add.at(wins, one, won)
    np.add.at(wins, two, 1 - won)
    strength = np.ones(documents)
    for _ in range(MOST_ROUNDS):
        shared = 1 / (strength[one] + strength[two])
        against = 2 * PRIOR / (strength + 1)
        np.add.at(against, one, shared)
        np.add.at(against, two, shared)
        new = wins / against
        moved = float(np.abs(np.log(new) - np.log(strength)).max())
        strength = new
        if moved < CLOSE:
            break
    logs = np.log(strength)
    return np.asarray(logs - logs.mean(), dtype=np.float64)
