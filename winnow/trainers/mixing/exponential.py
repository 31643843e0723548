"""The exponential mixing law L(r) = c + k exp(t.r), with k and t in one: shares add up to 1, so k exp(t.r) =
exp((t + log k).r). What is convex in the shares, and so has one minimum.

Source: Ye et al. 2024 (arXiv 2403.16952); the same law in the regression of Olmix (arXiv 2602.12237)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError

Floats = npt.NDArray[np.float64]
FLOORS = (0.0, 0.3, 0.6, 0.8, 0.95)  # starts: c as shares of the smallest loss
HUBER = 0.01  # of the mean loss: residuals beyond it count linearly


@dataclass(frozen=True, kw_only=True)
class Law:
    """L(r) = floor + exp(rates.r)."""

    floor: float
    rates: Floats

    def __call__(self, shares: Floats) -> Floats:
        """Losses f64[n] of shares f64[n, values]."""
        return np.asarray(self.floor + np.exp(shares @ self.rates))

    def gradient(self, shares: Floats) -> tuple[float, Floats]:
        """Loss and its gradient at one mixture."""
        part = float(np.exp(shares @ self.rates))
        return self.floor + part, part * self.rates


def least_runs(values: int) -> int:
    """How many runs the law needs: one more than it has numbers."""
    return values + 2


def fit_law(shares: Floats, losses: Floats) -> Law:
    """The law with the smallest Huber cost of all starts. Cost: 5 starts of L-BFGS.

    Raises:
        DataError: there are fewer runs than the law has numbers.
    """
    from scipy.optimize import minimize

    runs, values = shares.shape
    if runs < values + 1:
        raise DataError(f"{runs} runs for a law of {values + 1} numbers", where="runs", hint="more runs")
    delta, lowest = HUBER * float(losses.mean()), float(losses.min())

    def cost(theta: Floats) -> tuple[float, Floats]:
        part = np.exp(np.minimum(shares @ theta[1:], 50.0))
        residual = theta[0] + part - losses
        size = np.abs(residual)
        value = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).sum()
        slope = np.clip(residual, -delta, delta)
        return value / delta**2, np.concatenate(([slope.sum()], shares.T @ (slope * part))) / delta**2

    best, least = None, np.inf
    for share in FLOORS:
        rates = np.linalg.lstsq(shares, np.log(losses - share * lowest), rcond=None)[0]
        found = minimize(cost, np.concatenate(([share * lowest], rates)), jac=True, method="L-BFGS-B",
                         bounds=[(0.0, lowest), *[(None, None)] * values],
                         options={"maxiter": 500, "maxfun": 2_000})  # fmt: skip
        if found.fun < least:
            best, least = found.x, float(found.fun)
    assert best is not None
    return Law(floor=float(best[0]), rates=np.asarray(best[1:]))
