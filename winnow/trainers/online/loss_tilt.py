"""Weights of samples from their losses alone: a bounded function of the normalised loss, tilted by a temperature.

    h = 2 delta l / (lmax - lmin) - delta (lmax + lmin) / (lmax - lmin)         in [-delta, delta]
    w = exp((f(h) - max f) / r) / sum exp((f(h) - max f) / r)                   over the whole step

That is the closed form of max sum w f - r KL(w || uniform): r to infinity is uniform, r to 0 takes the largest f alone.

Source: Sow et al., Dynamic Loss-Based Sample Reweighting for Improved Large Language Model Pretraining (ICLR 2025),
section 3; samples are documents' pieces in packed rows and not rows, bounds may be smoothed (`Bounds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators.effect import ReadAt
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.seen import Per, Seen
from winnow.trainers.online.told import Told

Floats = npt.NDArray[np.float64]
Strategy = Literal["lin_upper", "quadratic", "extremes", "upper"]
Bounds = Literal["step", "ema", "quantiles"]
FLOOR = 1e-6  # of lmax - lmin
QUANTILES = (0.01, 0.99)
DECAY = 0.9  # of the running bounds, per step


def normalised(loss: Floats, *, low: float, high: float, delta: float = 1.0) -> Floats:
    """Losses on [-delta, delta], linear between the bounds; what lies beyond them is at the nearer end."""
    spread = max(high - low, FLOOR)
    return np.clip(delta * (2.0 * loss - (high + low)) / spread, -delta, delta)


def favour(h: Floats, strategy: Strategy, *, delta: float = 1.0) -> Floats:
    """What a strategy makes of normalised losses: the larger, the more weight."""
    if strategy == "lin_upper":
        return np.minimum(h + delta, delta)
    if strategy == "quadratic":
        return 1.0 - h**2 / delta**2
    if strategy == "extremes":
        return np.abs(h)
    return 0.5 * h + 0.5 * delta


def tilted(f: Floats, r: float) -> Floats:
    """Weights f64[S] that add up to 1: exponential in f / r."""
    weights = np.exp((f - f.max(initial=-np.inf)) / r)
    return np.asarray(weights / weights.sum())


def temperature(step: int, *, r: float, warm: int, r_start: float, fade: int) -> float:
    """The temperature of a step: infinite (uniform) or `r_start` for `warm` steps, `r` from `warm + fade` on.

    Between the two 1/r is linear, so that weights leave uniform ones gradually.
    """
    first = 0.0 if r_start == 0.0 else 1.0 / r_start
    if step < warm:
        return np.inf if first == 0.0 else r_start
    if step >= warm + fade:
        return r
    part = (step - warm + 1) / (fade + 1)
    return 1.0 / (first + part * (1.0 / r - first))


@dataclass(frozen=True, kw_only=True)
class LossTilt(PlainPolicy):
    """Fields of the four strategies."""

    seam: ClassVar[Seam] = "weights"
    strategy: ClassVar[Strategy]
    read_at: ClassVar[ReadAt] = {}

    r: float = 1.0  # temperature: large is uniform, small gives all weight to the favoured losses
    warm_steps: int = 0  # steps without the policy, while losses carry no information yet
    warm_share: float = 0.0  # the same as a share of all steps
    r_start: float = 0.0  # temperature of those steps; 0: uniform
    fade_share: float = 0.0  # share of all steps over which 1/r moves from its start to `r`; 0: at once
    bounds: Bounds = "step"  # the step's least and largest loss, their running means, or its 1st and 99th percentile
    per: Per = "token"  # what a weight multiplies: every token, so that long samples count more, or the sample

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields say the same.
        """
        if not 0 < self.r < np.inf:
            hint = "a large temperature, such as 1e6, is uniform"
            raise ConfigError(f"r is {self.r}, and must be above 0", where="r", hint=hint)
        if self.warm_steps < 0 or self.r_start < 0:
            where = "warm_steps" if self.warm_steps < 0 else "r_start"
            raise ConfigError(f"{where} is {getattr(self, where)}, and must be at least 0", where=where)
        for name in ("warm_share", "fade_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, not a share in [0, 1]", where=name)
        if self.warm_steps and self.warm_share:
            raise ConfigError("warm_steps and warm_share both say when it starts", where="warm_share",
                              hint="give one of them")  # fmt: skip
        if self.r_start and not (self.warm_steps or self.warm_share or self.fade_share):
            raise ConfigError("r_start has no steps", where="r_start", hint="give `warm_steps`, or `fade_share`")

    def reach(self) -> float:
        """What losses are normalised to the negative and the positive of."""
        return 1.0

    def begin(self, told: Told) -> Acting:
        """What weighs the samples of a run."""
        warm = self.warm_steps or round(self.warm_share * told.steps)
        return Tilting(policy=self, warm=warm, fade=round(self.fade_share * told.steps))


@dataclass(frozen=True, kw_only=True)
class ReachingTilt(LossTilt):
    """Fields of the three whose function grows with the range of the normalised losses; `quadratic`'s does not."""

    delta: float = 1.0  # losses are normalised to [-delta, delta]

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields say the same.
        """
        super().validate()
        if not 0 < self.delta < np.inf:
            raise ConfigError(f"delta is {self.delta}, and must be above 0", where="delta")

    def reach(self) -> float:
        """`delta`."""
        return self.delta


@dataclass(kw_only=True)
class Tilting(Acting):
    """The strategy in a run; its state are the running bounds."""

    policy: LossTilt
    warm: int
    fade: int
    ema: list[float] = field(default_factory=list)  # [low, high]; empty before the first step
    least: float = 1.0
    most: float = 0.0

    weighs = True
    todo = "lower `r`, give a step more documents, or leave it out"

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]; those of the rows where the temperature is infinite."""
        loss, policy = seen.loss, self.policy
        low, high = self._bounds(loss)
        r = temperature(seen.step, r=policy.r, warm=self.warm, r_start=policy.r_start, fade=self.fade)
        if not np.isfinite(r) and policy.per == "token":
            return seen.rows.weights
        delta = policy.reach()
        h = normalised(loss, low=low, high=high, delta=delta)
        weights = tilted(favour(h, policy.strategy, delta=delta), r)
        if len(weights):
            share = weights * len(weights)
            self.least, self.most = min(self.least, float(share.min())), max(self.most, float(share.max()))
        return seen.spread(weights, per=policy.per)

    def state(self) -> dict[str, Any]:
        """The running bounds, and the extremes of weights so far."""
        return {"ema": self.ema, "least": self.least, "most": self.most}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.ema = [float(value) for value in state["ema"]]
        self.least, self.most = float(state["least"]), float(state["most"])

    def figures(self) -> dict[str, Any]:
        """Least and largest weight of a sample relative to uniform ones, over the run; steps before it began."""
        return {"least_weight": self.least, "largest_weight": self.most, "warm_steps": self.warm}

    def _bounds(self, loss: Floats) -> tuple[float, float]:
        if not len(loss):
            return 0.0, 0.0
        low, high = float(loss.min()), float(loss.max())
        if self.policy.bounds == "quantiles":
            return float(np.quantile(loss, QUANTILES[0])), float(np.quantile(loss, QUANTILES[1]))
        if self.policy.bounds == "ema":
            before = self.ema or [low, high]
            self.ema = [DECAY * a + (1.0 - DECAY) * b for a, b in zip(before, (low, high), strict=True)]
            return self.ema[0], self.ema[1]
        return low, high
