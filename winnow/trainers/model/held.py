"""Where the parts of a trained model lie in a recipe: names of stages, known while it is planned.

A stage that holds a model says so by a method `held`: a run itself, a `train` stage, a `model_file`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from winnow.core.errors import ConfigError
from winnow.core.operators import Scope, Sub
from winnow.trainers.model.shape import Shape


@dataclass(frozen=True, kw_only=True)
class Held:
    """Names of the stages that hold a model's weights, its tokenizer, and the selections that it was trained on."""

    model: str
    tokenizer: str
    shape: Shape | None = None  # None: known when its file is read
    selections: tuple[str, ...] = ()


@runtime_checkable
class Holder(Protocol):
    """An operator whose stage holds a trained model."""

    def held(self, stage: Sub, scope: Scope) -> Held:
        """Where its parts lie; `stage` is the operator as it was declared."""


def held(scope: Scope, name: str, *, where: str = "start") -> Held:
    """The parts of the model that a stage holds.

    Raises:
        ConfigError: it holds none.
    """
    declared = scope.lookup(name)
    if not isinstance(declared.operator, Holder):
        raise ConfigError(
            f"{name!r} ({declared.operator.name}) holds no trained model", where=where,
            hint="name a `train` stage, a `model_file`, or a run of an ablation, such as `effect.train_best_0`",
        )  # fmt: skip
    return declared.operator.held(declared, scope)
