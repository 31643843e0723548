"""Token multiplier: how many random tokens an arm's tokens are worth, with an interval.

The baseline is trained at five or more budgets with several seeds; its law of loss against tokens is inverted
at the arm's loss. The interval is a bootstrap over seeds (whole seeds: one seed's runs share their noise) on
log tokens, with the t quantile of n - 1 degrees of freedom on the bootstrap's standard error: the percentile
form covers too little for so few seeds (a test shows both). Nothing is claimed outside the measured budgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.terminal import percent
from winnow.trainers.compare.intervals import ALPHA, paired_effect
from winnow.trainers.compare.law import Law, fit_law, refit

Floats = npt.NDArray[np.float64]
LEAST_BUDGETS = 5
DRAWS = 200
FLOPS_PER_TOKEN = 6  # times parameters: forward and backward of one token


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """Equivalent baseline tokens over the arm's own. None: outside what was measured; see the bounds.

    `at_least` and `at_most` need no law: budgets whose baseline the arm beats, or loses to, by the interval.
    """

    value: float | None
    low: float | None
    high: float | None
    at_least: float | None
    at_most: float | None
    pchip: float | None

    def sentence(self) -> str:
        """`2.1x (1.7x .. 2.6x)`, or the side on which it lies."""
        if self.value is not None:
            low, high = ("?" if v is None else f"{v:.2f}x" for v in (self.low, self.high))
            return f"{self.value:.2f}x ({low} .. {high})"
        if self.at_least is not None and (self.at_most is None or self.at_least >= 1):
            return f">= {self.at_least:.2f}x"
        return f"<= {self.at_most:.2f}x" if self.at_most is not None else "not measured"


def multiplier(
    budgets: Sequence[int], baseline: Floats, arm: Floats, *, tokens: int, draws: int = DRAWS, seed: int = 0
) -> tuple[Multiplier, Law]:
    """(multiplier, the baseline's law) of an arm trained on `tokens`.

    Shapes: `baseline` f64[seeds, budgets], `arm` f64[seeds], in bits per byte; seeds are paired.
    Raises:
        DataError: too few budgets, or a loss that is not a positive number.
    """
    order = np.argsort(budgets)
    log_tokens, losses = np.log(np.asarray(budgets, dtype=np.float64)[order]), baseline[:, order]
    law = fit_law(log_tokens, losses)
    point = float(law.log_tokens(np.log(arm.mean())[None])[0])
    low, high = _interval(law, log_tokens, losses, arm, point, draws=draws, seed=seed)
    at_least, at_most = _bracket(log_tokens, losses, arm)
    at = np.log(tokens)

    def inside(value: float) -> float | None:
        return float(np.exp(value - at)) if log_tokens[0] <= value <= log_tokens[-1] else None

    found = Multiplier(
        value=inside(point), low=inside(low), high=inside(high),
        at_least=None if at_least is None else float(np.exp(at_least - at)),
        at_most=None if at_most is None else float(np.exp(at_most - at)),
        pchip=inside(_pchip(log_tokens, losses.mean(axis=0), float(arm.mean()))),
    )  # fmt: skip
    return found, law


def _interval(
    law: Law, log_tokens: Floats, losses: Floats, arm: Floats, point: float, *, draws: int, seed: int
) -> tuple[float, float]:
    """Bounds of log equivalent tokens; infinite where nothing bounds them."""
    from scipy import special

    n = len(arm)
    if n < 2 or not np.isfinite(point):
        return -np.inf, np.inf
    index = np.random.Generator(np.random.Philox(key=seed)).integers(0, n, size=(draws, n))
    found = refit(law, log_tokens, losses[index]).log_tokens(np.log(arm[index].mean(axis=1)))
    width = log_tokens[-1] - log_tokens[0]
    found = np.clip(found, log_tokens[0] - width, log_tokens[-1] + width)  # a draw below the floor is far out
    error = np.sqrt(((found - point) ** 2).mean() * n / (n - 1))
    half = float(special.stdtrit(n - 1, 1 - ALPHA / 2) * error)
    return point - half, point + half


def _bracket(log_tokens: Floats, losses: Floats, arm: Floats) -> tuple[float | None, float | None]:
    """(largest budget whose baseline the arm beats, smallest one whose baseline beats the arm), log tokens."""
    verdicts = [paired_effect(list(arm - losses[:, k])).verdict for k in range(len(log_tokens))]
    beaten = [float(x) for x, v in zip(log_tokens, verdicts, strict=True) if v == "better"]
    lost = [float(x) for x, v in zip(log_tokens, verdicts, strict=True) if v == "worse"]
    return (max(beaten) if beaten else None), (min(lost) if lost else None)


def _pchip(log_tokens: Floats, losses: Floats, goal: float) -> float:
    """The log tokens at which the interpolated curve of mean losses first falls to `goal`; inf where it does not."""
    from scipy.interpolate import PchipInterpolator

    falling = np.minimum.accumulate(np.log(losses))
    grid = np.linspace(log_tokens[0], log_tokens[-1], 4001)
    curve = PchipInterpolator(log_tokens, falling)(grid)
    if np.log(goal) > curve[0]:
        return -np.inf
    below = np.flatnonzero(curve <= np.log(goal))
    return float(grid[below[0]]) if len(below) else np.inf


def training_flops(parameters: int, tokens: float) -> float:
    """About 6 x parameters x tokens."""
    return float(FLOPS_PER_TOKEN * parameters * tokens)


def efficiency(value: float | None, training: float, selection: float) -> float | None:
    """Multiplier of compute: what the baseline would spend for the arm's loss over what the arm spent.

    `training` and `selection` are the costs of one run and of its selection in the same unit (FLOPs, seconds).
    """
    return None if value is None else value * training / (training + selection)


def multiplier_row(found: Multiplier, *, parameters: int, tokens: int, selection_flops: float | None) -> dict[str, Any]:
    """The fields of one multiplier in the metrics."""
    spent = training_flops(parameters, tokens)
    folded = None if selection_flops is None else efficiency(found.value, spent, selection_flops)
    return {
        "multiplier": found.value, "low": found.low, "high": found.high, "at_least": found.at_least,
        "at_most": found.at_most, "pchip": found.pchip, "told": found.sentence(), "training_flops": spent,
        "selection_flops": selection_flops, "compute_multiplier": folded,
    }  # fmt: skip


def multiplier_lines(table: Mapping[str, Any]) -> list[str]:
    """Lines for a terminal: one per arm, then what the baseline's law rests on."""
    lines = ["worth of the arms' tokens in baseline tokens (interval: bootstrap over seeds, t quantile)"]
    for arm, row in table["arms"].items():
        folded = "" if row["compute_multiplier"] is None else f", {row['compute_multiplier']:.2f}x of compute"
        check = "" if row["pchip"] is None else f", interpolated {row['pchip']:.2f}x"
        lines.append(f"  {arm:<13} {row['told']}{folded}{check}; epochs {row['epochs']:.2f}")
    law = table["law"]
    spans = ", ".join(f"{b['tokens']:,} ({b['epochs']:.2f} epochs)" for b in table["budgets"])
    lines.append(f"  baseline {law['E']:.3f} + {law['A']:.3g} x tokens^-{law['alpha']:.3f} over {spans}")
    if table.get("base_rate"):
        lines += base_rate_lines(table["base_rate"])
    return lines


def base_rate_lines(rate: Mapping[str, Any]) -> list[str]:
    """What share of the pool looks like the target, and what that would bound if nothing else helped."""
    share = rate["share"]
    told = f"  {percent(share)} of the pool's tokens look like the target ({rate['how']})"
    if not share:
        return [told]
    most = f"no arm would be worth more than {1 / share:.1f}x"
    return [
        f"{told}:",
        f"  if these alone taught the target, and all alike, {most}; others teach or disturb, so it is no bound",
    ]
