"""The interval of a share that was counted in a sample."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.95


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % Wilson interval of a binomial share. Source: Wilson 1927."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, square = successes / trials, z * z
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return (middle - half if successes else 0.0), (middle + half if successes < trials else 1.0)
