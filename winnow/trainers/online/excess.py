"""What stands out by its excess loss: the largest by a share, or all by a temperature."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def best(excess: Floats, share: float) -> Floats:
    """1 for the `share` of the values that are largest and 0 for the others, f64[n].

    At least one is taken, and share x n rounded up; of equal values those that come first.
    """
    take = min(len(excess), max(1, math.ceil(share * len(excess) - 1e-9)))
    out = np.zeros(len(excess))
    out[np.argsort(-excess, kind="stable")[:take]] = 1.0
    return out


def soft(excess: Floats, temperature: float) -> Floats:
    """softmax(excess / temperature), f64[n], scaled to a mean of 1; equal values give equal weights to the bit."""
    if not len(excess):
        return np.zeros(0)
    raised = np.exp((excess - excess.max()) / temperature)
    return np.asarray(raised / raised.mean())
