"""Fields of a training stage that another field leaves without effect: refused, so that nobody counts on them."""

from __future__ import annotations

import dataclasses

from winnow.core.errors import ConfigError
from winnow.core.operators import effect
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape, Size

READ_AT = {  # field -> (the field that decides whether it is read, values of that one at which it is)
    "lr_hidden": ("optimizer", ("muon",)),
    "lr_embedding": ("optimizer", ("muon",)),
    "lr_head": ("optimizer", ("muon",)),
    "lr_adamw": ("optimizer", ("adamw",)),
    "cooldown_share": ("schedule", ("infinite",)),
    "constant_lr": ("schedule", ("infinite",)),
    "decay_share": ("schedule", ("wsd", "infinite")),
    "decay_shape": ("schedule", ("wsd",)),
    "final_lr": ("schedule", ("cosine", "infinite")),
}


def check_effect(recipe: Recipe) -> None:
    """Check that every rate and share that is not the default is read.

    Raises:
        ConfigError: the optimizer or the schedule does not read it.
    """
    effect.check_effect(recipe, READ_AT)


def check_numbers(size: Size, *, field: str, named: Shape) -> None:
    """Check that the five numbers of a size do not contradict `field`, which names the shape `named`.

    Raises:
        ConfigError: one is neither the default nor what the name says, so it would be passed over.
    """
    for one in dataclasses.fields(Size):
        value, known = getattr(size, one.name), getattr(named, one.name)
        if value not in (one.default, known):
            raise ConfigError(f"{field} names a model of {one.name} {known}, and {one.name} is {value}", where=one.name,
                              hint=f"leave out {one.name}, or give the five numbers without {field}")  # fmt: skip
