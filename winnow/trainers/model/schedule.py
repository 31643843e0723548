"""Learning rates as pure functions of the step: what is resumed at any step has the rate it would have had.

All factors are relative to the peak. The last step of a decay to zero is one step short of it, so that every step
moves the weights. A branch leaves a trunk (constant rate after warm-up) at a step and decays on data of its own:
candidates decayed from one checkpoint share initialisation and everything learned before.

Symbols: n step (counted from 0; real numbers work), N steps, W end of the warm-up, C end of the cooldown, S end of
the stable part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from winnow.core.errors import ConfigError
from winnow.trainers.data.phases import warmup

Kind = Literal["linear", "cosine", "constant", "wsd", "infinite"]
DecayShape = Literal["linear", "sqrt", "exponential"]
HALVINGS = 6.0  # of an exponential decay: it ends at 2^-6 of where it began


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate moves; shares are of the run's steps (of the trunk's where the run is a branch)."""

    kind: Kind = "linear"
    warmup_share: float = 0.05
    cooldown_share: float = 0.25  # infinite: steps from the peak down to `constant`
    decay_share: float = 0.2  # wsd, infinite: the last steps; a branch has its own number
    decay_shape: DecayShape = "linear"  # wsd
    constant: float = 0.5  # infinite: the long constant part, relative to the peak
    final: float = 0.0  # cosine, infinite: the end, relative to the peak

    def check(self) -> None:
        """Check that the numbers describe a run.

        Raises:
            ConfigError: a number is out of its range, or the parts do not fit into the run.
        """
        for name in ("warmup_share", "cooldown_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{getattr(self, name)} is not in [0, 1)", where=name)
        for name, low in (("decay_share", 0.0), ("final", 0.0), ("constant", 1e-9)):
            if not low <= getattr(self, name) <= 1:
                raise ConfigError(f"{getattr(self, name)} is not in [{low:g}, 1]", where=name)
        parts = self.warmup_share + self.decay_share + (self.cooldown_share if self.kind == "infinite" else 0.0)
        if self.kind in ("wsd", "infinite") and parts > 1:
            hint = "warmup_share, decay_share and, in an infinite schedule, cooldown_share add up to at most 1"
            raise ConfigError(f"the parts of the schedule sum to {parts:g} of the run", where="decay_share", hint=hint)
        if self.kind == "infinite" and not 0 < self.final <= self.constant:
            raise ConfigError(
                f"{self.final} is not in (0, {self.constant}]",
                where="final",
                hint="an exponential anneal cannot reach zero: 0.01 is a tenth of the usual 0.1",
            )


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Boundaries of a run in steps."""

    warmup: float
    cooldown: float
    stable: int  # end of the constant part
    steps: int


def phases_of(schedule: Schedule, *, steps: int, trunk: int = 0, decay: int = 0) -> Phases:
    """The boundaries of a run of `steps`, or of a branch that ends a trunk of `trunk` steps with `decay` steps.

    A run that is no branch has no trunk (0): its warm-up and decay are shares of its own steps.
    """
    whole = trunk or steps
    warmup = schedule.warmup_share * whole
    last = decay if trunk else round(schedule.decay_share * steps)
    return Phases(
        warmup=warmup, cooldown=warmup + schedule.cooldown_share * whole, stable=steps - last, steps=steps
    )  # fmt: skip


def factor(schedule: Schedule, phases: Phases, step: int) -> float:
    """Factor in [0, 1] on every learning rate at `step`."""
    if schedule.kind == "infinite":
        return infinite(step + 1, phases, constant=schedule.constant, final=schedule.final)
    up = warmup(step, phases.warmup)
    if schedule.kind == "linear":
        return up * (1 - step / phases.steps)
    if schedule.kind == "cosine":
        return min(up, cosine(step, phases, final=schedule.final))
    if schedule.kind == "constant" or step < phases.stable:
        return up
    return up * decayed((step - phases.stable) / max(1, phases.steps - phases.stable), schedule.decay_shape)


def cosine(step: float, phases: Phases, *, final: float) -> float:
    """1 at W down to `final` at N along half a cosine; 1 before W."""
    passed = max(0.0, step - phases.warmup) / max(1e-9, phases.steps - phases.warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))


def decayed(passed: float, shape: DecayShape) -> float:
    """Factor of a decay of which the share `passed` in [0, 1] is over.

    `linear` 1 - p, `sqrt` 1 - sqrt(p), `exponential` 0.5^(6 p): the first two end at 0, the last at 1/64.

    Source: Hagele et al. 2024 (1 - sqrt), MATES (exponential); the half-life here is a sixth of the decay
    """
    if shape == "linear":
        return 1.0 - passed
    return 1.0 - math.sqrt(passed) if shape == "sqrt" else 0.5 ** (HALVINGS * passed)


def infinite(n: float, phases: Phases, *, constant: float, final: float) -> float:
    """Factor after `n` steps: linear up to W, cosine from 1 to `constant` at C, constant until S, exponential to N.

    A data set that comes later starts from a checkpoint of the constant part, so nothing is warmed up again.

    Source: infinite learning rates (2503.02844), phases and formulas
    """
    if n < phases.warmup:
        return n / phases.warmup
    if n < phases.cooldown:
        passed = (n - phases.warmup) / (phases.cooldown - phases.warmup)
        return constant + (1 - constant) * 0.5 * (1 + math.cos(math.pi * passed))
    if n <= phases.stable or phases.steps <= phases.stable:
        return constant
    passed = (n - phases.stable) / (phases.steps - phases.stable)
    return float(constant * (final / constant) ** passed)
