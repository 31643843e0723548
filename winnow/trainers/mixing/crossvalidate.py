"""How well a fit predicts runs that it did not see: rank correlation and error by keyed folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.numerics import rng

Floats = npt.NDArray[np.float64]
Predictor = Callable[[Floats], Floats]  # shares f64[n, values] -> loss f64[n]
Fit = Callable[[Floats, Floats], Predictor]  # shares and losses of some runs
NORMAL_95 = 1.6449


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Of predictions for runs left out of the fit: Spearman's rho (None: a constant), errors, and those of the mean."""

    spearman: float | None
    rmse: float
    rmse_of_mean: float
    relative_error: float  # mean |prediction - loss| / loss
    runs: int

    @property
    def tells(self) -> bool:
        """Whether the fit knows more than the mean: a smaller error, and ranks beyond chance (one-sided 5 %)."""
        beyond = self.spearman is not None and self.spearman > NORMAL_95 / max(self.runs - 1, 1) ** 0.5
        return beyond and self.rmse < self.rmse_of_mean

    def row(self) -> dict[str, Any]:
        """The fields of a fit in the metrics."""
        return {"spearman": self.spearman, "rmse": self.rmse, "rmse_of_mean": self.rmse_of_mean,
                "relative_error": self.relative_error, "runs": self.runs}  # fmt: skip


def folds_of(runs: int, folds: int, *, seed: int) -> npt.NDArray[np.int64]:
    """The fold of every run, i64[runs]: sizes differ by 1 at most; by lot, keyed by the run's number."""
    lanes = np.zeros((runs, 2), dtype=np.uint64)
    lanes[:, 0] = np.arange(runs)
    out = np.empty(runs, dtype=np.int64)
    out[np.argsort(rng.keys(lanes, seed=seed, salt="folds"), kind="stable")] = np.arange(runs) % folds
    return out


def left_out(fit: Fit, shares: Floats, losses: Floats, *, folds: int, seed: int) -> tuple[Floats, Floats]:
    """(what a fit, what a mean predicts of runs that it did not see), f64[runs] each. Cost: `folds` fits."""
    fold = folds_of(len(losses), min(folds, len(losses)), seed=seed)
    predicted, mean = np.empty_like(losses), np.empty_like(losses)
    for number in range(int(fold.max()) + 1):
        out = fold == number
        predicted[out] = fit(shares[~out], losses[~out])(shares[out])
        mean[out] = losses[~out].mean()
    return predicted, mean


def quality(predicted: Floats, losses: Floats, mean: Floats | float) -> Quality:
    """Of predictions of losses, beside those of a mean."""
    return Quality(
        spearman=rank_correlation(predicted, losses), runs=len(losses),
        rmse=float(np.sqrt(np.mean((predicted - losses) ** 2))),
        rmse_of_mean=float(np.sqrt(np.mean((mean - losses) ** 2))),
        relative_error=float(np.mean(np.abs(predicted - losses) / losses)),
    )  # fmt: skip


def rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's rho; None where one of them is constant, or there are fewer than 3."""
    from scipy import stats

    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(stats.spearmanr(a, b)[0])
