"""The baseline's law of loss against training tokens, L(D) = E + A x D^-alpha, fitted and inverted.

Residuals are those of log L under Huber's loss, so that one failed run does not bend the law. The fit is a
batched Levenberg-Marquardt: a grid of starts for one data set, or hundreds of resamples of it, are rows of the
same arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError

Floats = npt.NDArray[np.float64]
HUBER = 1.345  # standard deviations up to which a residual counts in full (95 % efficient for normal noise)
NORMAL_MAD = 1.4826  # standard deviations of normal noise in one median absolute deviation
STEPS = 80
QUIET = 4  # steps without gain after which all rows are done
STEEPEST = 3.0
SHARES = (0.02, 0.3, 0.6, 0.85, 0.97)  # starts: E as a share of the smallest loss
SLOPES = (0.05, 0.2, 0.5, 1.0)  # starts: alpha


@dataclass(frozen=True, kw_only=True)
class Law:
    """Laws, one a row: log E, log A and log alpha f64[rows, 3] over centred log tokens."""

    theta: Floats
    centre: float

    def log_loss(self, log_tokens: Floats) -> Floats:
        """Log loss at `log_tokens` f64[n], f64[rows, n]."""
        return _log_loss(self.theta, np.atleast_1d(log_tokens)[None, :] - self.centre)

    def log_tokens(self, log_loss: Floats) -> Floats:
        """Log tokens at which each row's law has this log loss f64[rows]; inf below the law's floor E."""
        log_e, log_a, log_alpha = self.theta.T
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = log_loss + np.log1p(-np.exp(log_e - log_loss))  # log(L - E)
            found = self.centre + (log_a - rest) / np.exp(log_alpha)
        return np.where(np.isnan(found), np.inf, found)

    def constants(self, row: int = 0) -> dict[str, float]:
        """E, A and alpha of one row's law, for tokens as they are counted."""
        log_e, log_a, log_alpha = self.theta[row]
        alpha = float(np.exp(log_alpha))
        with np.errstate(over="ignore"):
            scale = float(np.exp(log_a + alpha * self.centre))
        return {"E": float(np.exp(log_e)), "A": scale, "alpha": alpha}


def fit_law(log_tokens: Floats, losses: Floats) -> Law:
    """The law behind `losses` f64[seeds, budgets] at `log_tokens` f64[budgets].

    Raises:
        DataError: fewer than three budgets, or a loss that is not a positive number.
    """
    if losses.shape[1] < 3:
        raise DataError(f"{losses.shape[1]} budgets cannot fix the three constants of a law", hint="give five or more")
    if not (np.isfinite(losses).all() and (losses > 0).all()):
        raise DataError("a loss is not a positive number", where="token multiplier")
    centre = float(log_tokens.mean())
    x, y = _points(log_tokens - centre, losses[None])
    delta = np.asarray([huber_scale(losses)])
    starts = _starts(log_tokens - centre, losses.mean(axis=0))
    theta, cost = _minimise(starts, x, y, delta)
    return Law(theta=theta[[int(np.argmin(cost))]], centre=centre)


def refit(law: Law, log_tokens: Floats, losses: Floats) -> Law:
    """Laws of many data sets f64[rows, seeds, budgets] alike, each started from the one row of `law`."""
    x, y = _points(log_tokens - law.centre, losses)
    delta = np.asarray([huber_scale(one) for one in losses])
    theta, _ = _minimise(np.repeat(law.theta, len(losses), axis=0), x, y, delta)
    return Law(theta=theta, centre=law.centre)


def huber_scale(losses: Floats) -> float:
    """Residual of log L beyond which a point counts less: from the spread of seeds within each budget."""
    logs, n = np.log(losses), len(losses)
    if n < 2:
        return 1e-3
    spread: float = NORMAL_MAD * float(np.median(np.abs(logs - np.median(logs, axis=0)))) * math.sqrt(n / (n - 1))
    return max(HUBER * spread, 1e-6)


def _points(x: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """(x f64[1, points], log loss f64[rows, points]), seeds one after the other."""
    rows, seeds, _ = losses.shape
    return np.tile(x, seeds)[None, :], np.log(losses).reshape(rows, -1)


def _starts(x: Floats, mean: Floats) -> Floats:
    """Starting points f64[starts, 3]: floors and slopes in a grid, the scale from the loss in the middle."""
    middle = float(np.interp(0.0, x, mean))
    grid = [(share * mean.min(), slope) for share in SHARES for slope in SLOPES]
    return np.asarray([(np.log(e), np.log(max(middle - e, 1e-3 * middle)), np.log(s)) for e, s in grid])


def _log_loss(theta: Floats, x: Floats) -> Floats:
    log_e, log_a, log_alpha = (column[:, None] for column in theta.T)
    return np.asarray(np.logaddexp(log_e, log_a - np.exp(log_alpha) * x))


def _cost(theta: Floats, x: Floats, y: Floats, delta: Floats) -> Floats:
    r, d = np.abs(_log_loss(theta, x) - y), delta[:, None]
    return np.asarray(np.where(r <= d, 0.5 * r * r, d * (r - 0.5 * d)).sum(axis=1))


def _minimise(theta: Floats, x: Floats, y: Floats, delta: Floats) -> tuple[Floats, Floats]:
    """(theta, cost) of the smallest Huber cost found from every start."""
    theta, damping = theta.copy(), np.full(len(theta), 1e-2)
    cost, quiet = _cost(theta, x, y, delta), 0
    for _ in range(STEPS):
        step = _step(theta, x, y, delta, damping)
        tried = theta + np.clip(step, -1.0, 1.0)
        tried[:, 2] = np.minimum(tried[:, 2], np.log(STEEPEST))
        new = _cost(tried, x, y, delta)
        better = new < cost
        gain = np.where(better, cost - new, 0.0)
        theta[better], cost[better] = tried[better], new[better]
        damping = np.clip(np.where(better, damping * 0.3, damping * 4.0), 1e-9, 1e9)
        quiet = quiet + 1 if (gain <= 1e-8 * cost).all() else 0
        if quiet == QUIET:
            break
    return theta, cost


def _step(theta: Floats, x: Floats, y: Floats, delta: Floats, damping: Floats) -> Floats:
    """The damped Gauss-Newton step of every row, with Huber's weights."""
    fitted = _log_loss(theta, x)
    residual = fitted - y
    weight = np.minimum(1.0, delta[:, None] / np.maximum(np.abs(residual), 1e-300))
    floor = np.exp(theta[:, [0]] - fitted)  # share of E in L
    slope = -(1 - floor) * np.exp(theta[:, [2]]) * x
    jacobian = np.stack(np.broadcast_arrays(floor, 1 - floor, slope), axis=2)
    weighted = jacobian * weight[:, :, None]
    normal = np.einsum("rpi,rpj->rij", weighted, jacobian)
    gradient = np.einsum("rpi,rp->ri", weighted, residual)
    scale = np.einsum("rii->ri", normal)
    damped = normal + (damping[:, None] * (scale + 1e-9))[:, :, None] * np.eye(3)
    return np.asarray(-np.linalg.solve(damped, gradient[:, :, None])[:, :, 0])
