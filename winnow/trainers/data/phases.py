"""A run in phases: several sets of data one after the other, each with a course of the learning rate of its own.

The phases are those that a `phases` stage notes (`winnow.open(run).metrics(STAGE)["phases"]`); the data of a phase
are its `weight_<name>` column, from the run itself or from the shards of a `write` with `repeat: STAGE.weight_<name>`.

    data = Phased(sources=tuple(batches), rates=tuple(Rates.of(phase) for phase in noted))
    model, losses = loop.fit(data, shape, recipe, init_seed=1)      # `recipe.schedule` moves phases of `schedule: run`
    factors = curve(data.rates, [b.num_steps for b in batches])      # the same, for any other loop

Source: phases of Arctic-SnowCoder (warmed up again, then linear to 0), replay of the stability gap (2406.14833)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators.training_part import COURSES
from winnow.core.store.ids import digest_bytes
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.numbering import Account, Numbering


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The learning rate within a phase, relative to the run's peak: up from 0, then from `lr` to `lr_end`.

    With `run` the schedule of the whole run goes on, and `lr` is a factor on it.

    Raises:
        ConfigError: a number is out of its range, or there is no such course.
    """

    schedule: str = "constant"  # stays at `lr`; run, linear, cosine
    lr: float = 1.0
    lr_end: float = 1.0
    warmup_share: float = 0.0  # of the phase's steps

    def __post_init__(self) -> None:
        if self.schedule not in COURSES:
            raise ConfigError(f"no schedule {self.schedule!r}", where="schedule", hint=", ".join(COURSES))
        if not (0 <= self.warmup_share <= 1 and 0 <= self.lr < math.inf and 0 <= self.lr_end < math.inf):
            raise ConfigError("rates are 0 or more, and the warm-up is a share", where="warmup_share")

    @classmethod
    def of(cls, noted: Mapping[str, Any]) -> Rates:
        """The rates of one phase as a `phases` stage notes it."""
        return cls(**{name: noted[name] for name in ("schedule", "lr", "lr_end", "warmup_share")})

    def factor(self, step: int, steps: int) -> float:
        """Factor on the peak (`run`: on the run's own rate) at `step` of the phase's `steps`, both counted from 0.

        The last step of a course to 0 is one step short of it, so that every step moves the weights.
        """
        up = self.warmup_share * steps
        passed = min(1.0, max(0.0, step - up) / max(1.0, steps - up))
        if self.schedule in ("run", "constant"):
            value = self.lr
        elif self.schedule == "linear":
            value = self.lr + (self.lr_end - self.lr) * passed
        else:
            value = self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * passed))
        return warmup(step, up) * value


def warmup(step: float, length: float) -> float:
    """(n + 1) / W up to 1: the first step moves, and the last step of the warm-up has the full rate."""
    return min(1.0, (step + 1) / max(1.0, length))


def curve(rates: Sequence[Rates], steps: Sequence[int]) -> npt.NDArray[np.float64]:
    """The factor at every step of all phases, f64[sum of steps]; of a phase of `schedule: run`, on that of the run."""
    _check(rates, steps)
    return np.array([rate.factor(step, num) for rate, num in zip(rates, steps, strict=True) for step in range(num)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Phased:
    """All steps of each source, one source after the other (implements `batches.Batches`), with its rates.

    `numbering` gives the documents of all sources numbers of their own; without it each source numbers its own.

    Raises:
        ConfigError: there is no source, or not one course of rates for each.
    """

    sources: tuple[Batches, ...]
    rates: tuple[Rates, ...]
    numbering: Numbering | None = None

    def __post_init__(self) -> None:
        _check(self.rates, self.sources)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First step of every phase, and the number of all steps."""
        return tuple(int(n) for n in np.cumsum([0, *(source.num_steps for source in self.sources)]))

    @property
    def num_steps(self) -> int:
        """Steps of all phases."""
        return self.starts[-1]

    @property
    def num_tokens(self) -> int:
        """Predicted tokens of all phases."""
        return sum(source.num_tokens for source in self.sources)

    @property
    def account(self) -> Account | None:
        """The documents of all phases, where these have one numbering."""
        return None if self.numbering is None else self.numbering.account

    @property
    def epochs(self) -> float:
        """Passes over what the phases select, as if no two selected one document."""
        return self.num_tokens / sum(source.num_tokens / source.epochs for source in self.sources)

    @cached_property
    def digest(self) -> str:
        """32 hex digits of all sources and rates."""
        import orjson

        rates = [asdict(rate) for rate in self.rates]
        return digest_bytes(orjson.dumps(["phases", rates, *(source.digest for source in self.sources)]))

    def rate(self, step: int, *, of_run: float = 1.0) -> float:
        """Factor on the peak rates at a step of the run, whose own schedule says `of_run` there."""
        phase, own = self._at(step)
        rates = self.rates[phase]
        return rates.factor(own, self.sources[phase].num_steps) * (of_run if rates.schedule == "run" else 1.0)

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a step."""
        phase, own = self._at(step)
        return self.sources[phase].step_tokens(own)

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step; `documents` are numbered as `numbering` says."""
        phase, own = self._at(step)
        rows = self.sources[phase].batch(own, rank=rank, world=world)
        return rows if self.numbering is None else self.numbering.of(phase, rows)

    def _at(self, step: int) -> tuple[int, int]:
        """(phase, step within it). Raises ConfigError where there is no such step."""
        if not 0 <= step < self.num_steps:
            raise ConfigError(f"step {step} is not in [0, {self.num_steps})", where="step")
        phase = int(np.searchsorted(self.starts, step, side="right")) - 1
        return phase, step - self.starts[phase]


def _check(rates: Sequence[Rates], phases: Sequence[object]) -> None:
    if not phases or len(rates) != len(phases):
        raise ConfigError(f"{len(phases)} sources and {len(rates)} courses of rates", where="rates")
