"""The fields of one training run, flat on every stage that trains: declared once, here and in what it inherits from.

`train_gpt` is a run, `ablation` makes many of them; both inherit `Training`, so a field of `Recipe` can be set on an
ablation, arrives in each of its runs and has one default.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from winnow.core.operators.config import part_of
from winnow.trainers.data.pack import Weighting
from winnow.trainers.data.packing import Packing
from winnow.trainers.model.device import Device, Machine
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape, Size


@dataclass(frozen=True, kw_only=True)
class Training(Recipe, Size):
    """How big a model is, how it is trained and fed, and on what machine: all but its data and its seeds."""

    packing: Packing = "best_fit"
    weighting: Weighting = "loss"
    device: Device = field(default="auto", metadata={"identity": False})
    compiled: bool = field(default=False, metadata={"identity": False})
    loss_at: tuple[int, ...] = ()  # steps whose weights are kept for `training_feedback`; 0: before the first one
    save_every: int = field(default=0, metadata={"identity": False})  # steps between checkpoints of a run; 0: none

    def shape(self) -> Shape:
        """The model's size."""
        return Shape(**part_of(self, Shape))

    def recipe(self) -> Recipe:
        """How it is trained."""
        return Recipe(**part_of(self, Recipe))

    def machine(self) -> Machine:
        """Where it is trained."""
        return Machine(device=self.device, compiled=self.compiled)
