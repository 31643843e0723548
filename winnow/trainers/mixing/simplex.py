"""Shares under caps: keyed Dirichlet draws, the nearest shares within caps, and convex minima with a certificate.

A smooth convex function f over {p: sum p = 1, 0 <= p <= cap} satisfies f(p) - min f <= g.p - min over s of g.s, its
Frank-Wolfe gap, where g is the gradient at p; the minimum over s is a greedy fill. So whatever a solver returns, how
far it is from the optimum at most is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.core.numerics import rng
from winnow.core.terminal import percent

Floats = npt.NDArray[np.float64]
Smooth = Callable[[Floats], tuple[float, Floats]]
GAP = 1e-7  # of the value: what counts as solved
HALVINGS = 60  # of an interval of at most 3: to the last bit of a share
POLISH = 2_000  # steps of projected gradient, where the solver stops short of it


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """A minimum over capped shares; the true one is lower by `gap` at most."""

    shares: Floats
    value: float
    gap: float


def dirichlet(alpha: Floats, names: Sequence[str], *, first: int, count: int, seed: int, salt: str) -> Floats:
    """Draws number `first`, `first + 1`, ... of Dirichlet(alpha), f64[count, values]; pure in (seed, salt, number).

    `alpha` f64[values], or f64[count, values] for another one per draw; 0 gives the share 0. A value's part of a draw
    depends on its name and not on its place.
    """
    from scipy.special import gammaincinv

    alpha = np.broadcast_to(alpha, (count, len(names)))
    key = [int.from_bytes(hashlib.blake2b(n.encode(), digest_size=8).digest(), "little") for n in names]
    lanes = np.empty((count, len(names), 2), dtype=np.uint64)
    lanes[:, :, 0] = np.arange(first, first + count, dtype=np.uint64)[:, None]
    lanes[:, :, 1] = np.asarray(key, dtype=np.uint64)
    u, v = (rng.uniform(lanes.reshape(-1, 2), seed=seed, salt=f"{salt}\0{s}").reshape(alpha.shape) for s in "uv")
    with np.errstate(divide="ignore"):  # Gamma(a) = Gamma(a + 1) x U^(1 / a), in logs: small a do not vanish together
        logs = np.where(alpha > 0, np.log(gammaincinv(alpha + 1, u)) + np.log(v) / alpha, -np.inf)
    heights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(heights / heights.sum(axis=1, keepdims=True))


def within(shares: Floats, caps: Floats) -> Floats:
    """The nearest shares (least squares) that add up to 1 and are at most `caps`, f64[..., values], by bisection.

    Raises:
        DataError: the caps add up to less than 1.
    """
    check_caps(caps)
    low, high = (shares - caps).min(axis=-1, keepdims=True) - 1.0, shares.max(axis=-1, keepdims=True)
    for _ in range(HALVINGS):
        shift = (low + high) / 2
        above = np.clip(shares - shift, 0.0, caps).sum(axis=-1, keepdims=True) > 1
        low, high = np.where(above, shift, low), np.where(above, high, shift)
    found = np.clip(shares - high, 0.0, caps)
    room = caps - found
    left, space = 1 - found.sum(axis=-1, keepdims=True), room.sum(axis=-1, keepdims=True)
    return np.asarray(found + room * np.divide(left, space, out=np.zeros_like(left), where=space > 0))


def check_caps(caps: Floats) -> None:
    """Raise DataError where capped shares cannot add up to 1."""
    if caps.sum() < 1 - 1e-12:
        raise DataError(f"all data with their repeats are {percent(caps.sum())} of the budget", where="max_repeats",
                        hint="a smaller `budget`, or more repeats")  # fmt: skip


def least(gradient: Floats, caps: Floats) -> Floats:
    """The shares within caps with the smallest gradient.shares: the steepest first, each up to its cap."""
    order = np.argsort(gradient, kind="stable")
    left = np.maximum(0.0, 1.0 - np.concatenate(([0.0], np.cumsum(caps[order])[:-1])))
    out = np.zeros_like(caps)
    out[order] = np.minimum(caps[order], left)
    return out


def minimise(smooth: Smooth, start: Floats, caps: Floats) -> Minimum:
    """The minimum of a convex function (value and gradient of shares) by SLSQP, polished until its gap is small.

    Cost: some hundred evaluations.
    """
    from scipy.optimize import minimize

    begin = within(start, caps)
    found = minimize(lambda p: smooth(p)[0], begin, jac=lambda p: smooth(p)[1], method="SLSQP",
                     bounds=[(0.0, float(cap)) for cap in caps], options={"maxiter": 300, "ftol": 1e-14},
                     constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": np.ones_like})  # fmt: skip
    tried = within(np.nan_to_num(found.x, nan=0.0), caps)
    return _polished(smooth, tried if smooth(tried)[0] < smooth(begin)[0] else begin, caps)


def _polished(smooth: Smooth, shares: Floats, caps: Floats) -> Minimum:
    """Projected gradient with steps that are halved until they descend."""
    value, gradient = smooth(shares)
    rate = 1.0
    for _ in range(POLISH):
        gap = float(gradient @ (shares - least(gradient, caps)))
        if gap <= GAP * max(abs(value), 1e-3):
            break
        tried = within(shares - rate * gradient, caps)
        new, its = smooth(tried)
        if new <= value - 1e-4 * float(gradient @ (shares - tried)):
            shares, value, gradient, rate = tried, new, its, rate * 2
        else:
            rate /= 4
        if rate < 1e-14:
            break
    return Minimum(shares=shares, value=value, gap=max(0.0, float(gradient @ (shares - least(gradient, caps)))))
