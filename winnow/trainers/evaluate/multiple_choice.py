"""Which choice a model prefers: the one with the fewest nats; what ties share one point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def correct(cost_R: Floats, first: Ints, gold: Ints) -> Floats:
    """1 where the right choice costs least, 0 where another does, 1 / n where n tie for it, f64[I].

    `cost_R` holds nats per request (or nats per byte), `first` where each item's requests begin, i64[I + 1].
    Sharing ties keeps a model that knows nothing at the probability of a guess, wherever the right choice stands.
    """
    least = np.minimum.reduceat(cost_R, first[:-1])
    among = cost_R == np.repeat(least, np.diff(first))
    ties = np.add.reduceat(among, first[:-1], dtype=np.int64)
    return np.where(among[first[:-1] + gold], 1.0 / ties, 0.0)
