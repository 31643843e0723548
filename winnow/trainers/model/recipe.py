"""What a training run does, apart from its data, its model and its machine: this is identity, and resume checks it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from winnow.core.errors import ConfigError
from winnow.trainers.model.device import Precision
from winnow.trainers.model.schedule import DecayShape, Kind, Schedule

Optimizer = Literal["muon", "adamw"]
LEAST_FINAL = 0.1  # infinite: where its exponential end leads by default, as a share of the constant part
SCHEDULE_FIELDS = {  # field of a recipe -> field of its schedule
    "schedule": "kind",
    "warmup_share": "warmup_share",
    "cooldown_share": "cooldown_share",
    "decay_share": "decay_share",
    "decay_shape": "decay_shape",
    "constant_lr": "constant",
    "final_lr": "final",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. Default: Muon for hidden matrices, AdamW for embedding and head, warm-up then linear to zero."""

    batch: int = 8  # rows per step, where the data come as plain rows
    optimizer: Optimizer = "muon"
    lr_hidden: float = 2e-2  # muon
    lr_embedding: float = 2e-2
    lr_head: float = 8e-3
    lr_adamw: float = 4e-3  # adamw: one rate for all weights
    weight_decay: float = 0.0  # decoupled: muon decays hidden matrices, adamw all weights
    clip: float = 1.0  # largest norm of the gradient of all weights
    z_loss: float = 0.0  # weight of (log normaliser)^2
    schedule: Kind = Schedule.kind
    warmup_share: float = Schedule.warmup_share  # of the run's steps, as the other shares
    cooldown_share: float = Schedule.cooldown_share  # infinite: from the peak down to `constant_lr`
    decay_share: float = Schedule.decay_share  # wsd, infinite: the last steps
    decay_shape: DecayShape = Schedule.decay_shape  # wsd
    constant_lr: float = Schedule.constant  # infinite: the long constant part, relative to the peak
    final_lr: float | None = None  # the end, relative to the peak: cosine 0, infinite a tenth of `constant_lr`
    precision: Precision = "auto"

    def check(self) -> None:
        """Check that the numbers can train a model.

        Raises:
            ConfigError: a number is out of its range.
        """
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}, and must be at least 1", where="batch")
        for name in ("lr_hidden", "lr_embedding", "lr_head", "lr_adamw", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be above 0", where=name)
        for name in ("weight_decay", "z_loss"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 0", where=name)
        rate = self.lr_hidden if self.optimizer == "muon" else self.lr_adamw
        if rate * self.weight_decay >= 1:
            what = f"a weight_decay of {self.weight_decay:g} at a learning rate of {rate:g} leaves nothing of a weight"
            raise ConfigError(what, where="weight_decay", hint=f"give less than {1 / rate:g}")
        try:
            self.schedule_of().check()
        except ConfigError as error:
            names = {theirs: own for own, theirs in SCHEDULE_FIELDS.items()}
            raise ConfigError(error.what, where=names[error.where], hint=error.hint) from error

    def schedule_of(self) -> Schedule:
        """The schedule that the fields describe."""
        values = {theirs: getattr(self, own) for own, theirs in SCHEDULE_FIELDS.items()}
        if self.final_lr is None:
            values["final"] = LEAST_FINAL * self.constant_lr if self.schedule == "infinite" else 0.0
        return Schedule(**values)

    def but_schedule(self) -> dict[str, Any]:
        """The fields that decide a step, without those of its learning rate factor, which is compared as a number."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in SCHEDULE_FIELDS}
