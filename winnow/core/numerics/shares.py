"""Shares of domains: vectors of numbers of 0 or more that add up to 1, and the steps that move them.

Exponentials and sums are those of `numeric`, so the same numbers give the same bits on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.numerics import numeric

Floats = npt.NDArray[np.float64]


def temperature_shares(sizes: Sequence[int], tau: float) -> list[float]:
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
    total = numeric.sum_in_order(heights)
    return [float(h) / total for h in heights]


def tilted(shares: Floats, gains: Floats) -> Floats:
    """Shares times exp(gain), adding up to 1 again: entropic mirror descent; equal gains change nothing."""
    if (gains == gains[0]).all():
        return shares
    raised = shares * numeric.exp(gains - gains.max())
    return np.asarray(raised / numeric.sum_in_order(raised))


def smoothed(shares: Floats, smoothing: float) -> Floats:
    """(1 - smoothing) of the shares, and the rest spread over all; those that are even stay so, to the bit."""
    return shares if (shares == shares[0]).all() else (1.0 - smoothing) * shares + smoothing / len(shares)


def excess_step(shares: Floats, excess: Floats, *, eta: float = 1.0, smoothing: float = 1e-3) -> Floats:
    """Shares after one step of group DRO, adding up to 1: those of domains with excess loss rise.

    softmax(log share + eta * excess), then (1 - smoothing) of it and `smoothing` spread over all.
    Source: DoReMi (Xie et al. 2023).
    """
    steps = eta * np.asarray(excess, dtype=np.float64)
    raised = shares * numeric.exp(steps - steps.max())
    return (1 - smoothing) * raised / numeric.sum_in_order(raised) + smoothing / len(shares)


def average_shares(excess: Floats, *, eta: float = 1.0, smoothing: float = 1e-3, start: Floats | None = None) -> Floats:
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


def floored(shares: Floats, least: float) -> Floats:
    """The same with at least `least` each: those below it get `least`, the others share the rest as before.

    Raises: ConfigError where there is not enough for all.
    """
    if not 0 <= least * len(shares) <= 1:
        what = f"{len(shares)} shares of at least {least:g} are more than 1"
        raise ConfigError(what, where="p_min", hint=f"at most {1 / len(shares):.4g}")
    low = shares < least
    if not low.any():
        return shares
    while True:
        rest = np.where(low, 0.0, shares)
        total = numeric.sum_in_order(rest)
        if low.all() or total <= 0:
            return np.full(len(shares), 1.0 / len(shares))
        out = np.where(low, least, rest * ((1.0 - least * int(low.sum())) / total))
        if not (~low & (out < least)).any():
            return out
        low |= out < least
