"""Shares of domains: how much of a budget each gets, from their sizes or from losses, and what repeats that implies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.numerics import numeric
from winnow.core.numerics.water_filling import water_fill

Floats = npt.NDArray[np.float64]


def unimax(sizes: Sequence[int], budget: int, epochs: int) -> list[int]:
    """Units of the budget per source: as even as possible, none above `epochs` times its size.

    They add up to min(budget, epochs * sum of sizes). Source: UniMax (Chung et al. 2023).
    """
    return water_fill([epochs * size for size in sizes], budget)


def temperature(sizes: Sequence[int], tau: float) -> list[float]:
    """Shares in proportion to size^(1 / tau), adding up to 1: 1 is proportional, infinity the same for all.

    The `alpha` of some papers is the exponent, 1 / tau. Sizes of 0 get nothing.
    Raises: ConfigError where tau is not above 0.
    """
    if not tau > 0:
        raise ConfigError(f"a temperature is above 0, found {tau}", where="temperature")
    size = np.asarray(sizes, dtype=np.float64)
    some = size > 0
    if not some.any():
        return [0.0] * len(sizes)
    heights = np.zeros(len(size))
    logs = numeric.log(size[some])
    heights[some] = numeric.exp((logs - logs.max()) / tau)
    total = _in_order(heights)
    return [float(h) / total for h in heights]


def excess_step(shares: Floats, excess: Floats, *, eta: float = 1.0, smoothing: float = 1e-3) -> Floats:
    """Shares after one step of group DRO, adding up to 1: those of domains with excess loss rise.

    softmax(log share + eta * excess), then (1 - smoothing) of it and `smoothing` spread over all.
    Source: DoReMi (Xie et al. 2023).
    """
    steps = eta * np.asarray(excess, dtype=np.float64)
    raised = shares * numeric.exp(steps - steps.max())
    return (1 - smoothing) * raised / _in_order(raised) + smoothing / len(shares)


def doremi(excess: Floats, *, eta: float = 1.0, smoothing: float = 1e-3, start: Floats | None = None) -> Floats:
    """Average of the shares over all steps of `excess` f64[steps, domains], f64[domains]; NaN: the last value stays.

    Starts from `start`, or even shares. A domain counts as 0 until it was seen once.
    """
    shares = np.full(excess.shape[1], 1 / excess.shape[1]) if start is None else start
    last, total = np.zeros(excess.shape[1]), np.zeros(excess.shape[1])
    for row in excess:
        last = np.where(np.isnan(row), last, row)
        shares = excess_step(shares, last, eta=eta, smoothing=smoothing)
        total = total + shares
    return total / len(excess) if len(excess) else shares


def _in_order(values: Floats) -> float:
    """The sum from left to right: the same bits on any machine."""
    return float(sum(values.tolist()))
