"""What repeated tokens are worth: L = E + (sum over values of v x effective tokens)^-alpha.

Of U unique tokens, D tokens seen count as they are up to U, and beyond it as U (1 + R* (1 - exp(-(D / U - 1) / R*))):
each further epoch counts less, and R* epochs is about all that repeating can add. v is what a token of the value is
worth to the target, so that the exchange rate of two values is the ratio of their v.

Source: effective tokens of Muennighoff et al. 2023 (arXiv 2305.16264); mixtures of repeated and other data as in Sedova
et al. 2026 (arXiv 2605.12715), whose law has terms of its own: the sum here, and one R* per target, are own
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
USUAL = 15.4  # R* of Muennighoff et al., from memory; used where the runs do not say it
HUBER = 0.01  # of log loss
STARTS = tuple((floor, alpha) for floor in (0.3, 0.7, 0.9) for alpha in (0.2, 0.6))
FLAT = 0.01  # relative rise of the cost at a quarter and at four times R* below which the runs do not say R*


def effective(seen: Floats, unique: Floats, repeats: float) -> tuple[Floats, Floats, Floats]:
    """(effective tokens, their derivative by tokens seen, and by R*) of tokens seen, each shaped alike."""
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.where(unique > 0, np.maximum(seen / unique - 1, 0.0), 0.0) / repeats
    fade = np.exp(-over)
    value = np.where(seen > unique, unique * (1 + repeats * (1 - fade)), seen)
    slope = np.where(unique > 0, fade, 0.0)
    by_repeats = np.where(seen > unique, unique * ((1 - fade) - over * fade), 0.0)
    return value, slope, by_repeats


@dataclass(frozen=True, kw_only=True)
class RepeatLaw:
    """Loss of tokens seen and unique tokens f64[n, 2 x values], side by side."""

    floor: float
    alpha: float
    repeats: float
    worth: Floats  # per token of every value
    told: bool  # whether the runs say R*

    def __call__(self, known: Floats) -> Floats:
        """Losses f64[n]."""
        seen, unique = np.split(known, 2, axis=1)
        total = effective(seen, unique, self.repeats)[0] @ self.worth
        return np.asarray(self.floor + np.maximum(total, 1e-300) ** -self.alpha)

    def gradient(self, seen: Floats, unique: Floats) -> tuple[float, Floats]:
        """Loss, and its gradient by tokens seen, of one run."""
        value, slope, _ = effective(seen, unique, self.repeats)
        total = max(float(value @ self.worth), 1e-300)
        part = total**-self.alpha
        return self.floor + part, -self.alpha * part / total * self.worth * slope


def fit_repeats(known: Floats, losses: Floats) -> RepeatLaw:
    """The law of the smallest Huber cost on log loss of all starts. Cost: up to 18 L-BFGS runs.

    Where nothing is repeated, or the cost hardly depends on R*, it is the usual one and `told` is False.
    """
    seen, unique = np.split(known, 2, axis=1)
    free = bool((seen > unique * 1.01).any())
    best, cost = _fit(seen, unique, losses, None if free else USUAL)
    if not free:
        return _law(best, told=False)
    around = [_fit(seen, unique, losses, float(np.exp(best[2])) * factor)[1] for factor in (0.25, 4.0)]
    if min(around) <= cost * (1 + FLAT) + 1e-12:
        return _law(_fit(seen, unique, losses, USUAL)[0], told=False)
    return _law(best, told=True)


def _law(theta: Floats, *, told: bool) -> RepeatLaw:
    return RepeatLaw(floor=float(np.exp(theta[0])), alpha=float(np.exp(theta[1])), repeats=float(np.exp(theta[2])),
                     worth=np.exp(theta[3:]), told=told)  # fmt: skip


def _fit(seen: Floats, unique: Floats, losses: Floats, repeats: float | None) -> tuple[Floats, float]:
    """(log floor, log alpha, log R*, log worth per value) and its cost; `repeats` fixes R*."""
    from scipy.optimize import minimize

    values, lowest = seen.shape[1], float(losses.min())
    middle = float(np.exp(np.log(np.maximum(seen.sum(axis=1), 1.0)).mean()))
    known = np.log(repeats or USUAL)
    fixed = [(known, known)] if repeats else [(np.log(0.1), np.log(1_000.0))]
    bounds = [(None, np.log(lowest)), (np.log(1e-3), np.log(3.0)), *fixed, *[(-60.0, 60.0)] * values]
    best, least = np.zeros(3 + values), np.inf
    for floor, alpha in STARTS:
        rest = max(float(losses.mean()) - floor * lowest, 1e-3)
        worth = -np.log(rest) / alpha - np.log(middle)
        start = np.asarray([np.log(floor * lowest), np.log(alpha), known, *[worth] * values])
        found = minimize(_cost, start, args=(seen, unique, np.log(losses)), jac=True, method="L-BFGS-B", bounds=bounds,
                         options={"maxiter": 400, "maxfun": 1_500})  # fmt: skip
        if found.fun < least:
            best, least = np.asarray(found.x), float(found.fun)
    return best, least


def _cost(theta: Floats, seen: Floats, unique: Floats, logs: Floats) -> tuple[float, Floats]:
    """Huber's cost and its gradient."""
    floor, alpha, repeats, worth = np.exp(theta[0]), np.exp(theta[1]), float(np.exp(theta[2])), np.exp(theta[3:])
    value, _, by_repeats = effective(seen, unique, repeats)
    total = np.maximum(value @ worth, 1e-300)
    part = np.minimum(total**-alpha, 1e12)
    loss = floor + part
    residual = np.log(loss) - logs
    size = np.abs(residual)
    cost = np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER)).sum() / HUBER**2
    slope = np.clip(residual, -HUBER, HUBER) / loss / HUBER**2
    by_total = -alpha * part / total * slope
    by_alpha = -(slope * part * np.log(total) * alpha).sum()
    by_rate = (by_total * (by_repeats @ worth)).sum() * repeats
    gradient = np.concatenate(([(slope * floor).sum(), by_alpha, by_rate], (by_total @ value) * worth))
    return float(cost), gradient
