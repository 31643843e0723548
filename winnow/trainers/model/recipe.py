"""What a training run does, apart from its data, its model and its machine: this is identity, and resume checks it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from winnow.core.errors import ConfigError
from winnow.trainers.model.device import Precision
from winnow.trainers.model.schedule import DecayShape, Kind, Schedule

Optimizer = Literal["muon", "adamw"]
SCHEDULE_FIELDS = (
    "schedule",
    "warmup_share",
    "cooldown_share",
    "decay_share",
    "decay_shape",
    "constant_lr",
    "final_lr",
)


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
    clip: float = 1.0
    z_loss: float = 0.0
    schedule: Kind = "linear"
    warmup_share: float = 0.05
    cooldown_share: float = 0.25
    decay_share: float = 0.2
    decay_shape: DecayShape = "linear"
    constant_lr: float = 0.5
    final_lr: float = 0.0
    precision: Precision = "auto"

    def check(self) -> None:
        """Nothing, where the numbers can train a model.

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
        self.schedule_of().check()

    def schedule_of(self) -> Schedule:
        """The schedule that the fields describe."""
        return Schedule(
            kind=self.schedule, warmup_share=self.warmup_share, cooldown_share=self.cooldown_share,
            decay_share=self.decay_share, decay_shape=self.decay_shape, constant=self.constant_lr, final=self.final_lr,
        )  # fmt: skip

    def but_schedule(self) -> dict[str, Any]:
        """The fields that decide a step, apart from its learning rate factor (that one is compared as numbers)."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in SCHEDULE_FIELDS}
