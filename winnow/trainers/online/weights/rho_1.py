"""Reducible loss token by token: training on the tokens that the model has yet to learn, and that can be learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators import port
from winnow.core.operators.effect import ReadAt, left_out
from winnow.trainers.online.excess import best, soft
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import MODEL, Acting, Seam
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Reference, Told


@dataclass(frozen=True, kw_only=True)
class Rho1(PlainPolicy):
    """Weights of tokens by their excess loss: the model's nats less those of `reference`, a model trained before.

    Without a `temperature` the `keep` share of a step's tokens with the largest excess are trained on and the others
    are not (rounded up; of equal ones the first in the step); with one, weights are softmax(excess / temperature) over
    the step's tokens. Weights keep the step's sum, so the loss is the mean over the tokens taken. All tokens are read
    by the model, whatever their weight.

    `reference` is a stage that trained a model on the ids of the same tokenizer; it scores the rows of each step. Or
    `losses`, a `token_losses` stage, which asked it once about every document: the same weights, to the rounding of a
    forward pass, where a run packs `best_fit` with the context of that stage.

    Raises:
        ConfigError: the reference has another vocabulary, or the run packs otherwise. DataError: a document has no
        stored losses, or those of other tokens or windows.
    Cost: with `reference` a forward pass of it over the rows of each step, on every rank over all of them.
    Source: Lin et al. 2024 (Rho-1, selective language modelling), k = 60 % of tokens; weights instead of a cut own
    """

    name: ClassVar[str] = "rho_1"
    seam: ClassVar[Seam] = "weights"
    models: ClassVar[tuple[str, ...]] = ("reference",)
    losses_of: ClassVar[tuple[str, ...]] = ("losses",)
    stage_only: ClassVar[Mapping[str, str]] = {
        "reference": MODEL, "losses": "write the stage above that makes them: `{use: token_losses, model: ...}`",
    }  # fmt: skip
    read_at: ClassVar[ReadAt] = {"keep": ("temperature", left_out)}

    reference: str = port("ref", default="")  # a trained model that is asked at every step
    losses: str = port("ref", default="")  # or what one made of the documents: a `token_losses`
    keep: float = 0.6  # share of a step's tokens; 1: all
    temperature: float = 0.0  # in nats; 0: a cut; .inf: all weights equal

    def validate(self) -> None:
        """Raise ConfigError without a reference, with two, or for a share or a temperature that is none."""
        if bool(self.reference) == bool(self.losses):
            raise ConfigError("a reference model or its stored losses, one of them", where="reference",
                              hint="give `reference:`, a trained model, or `losses:`, a `token_losses`")  # fmt: skip
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep is {self.keep}, not a share in (0, 1]", where="keep")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature is {self.temperature}, and must be at least 0", where="temperature")

    def begin(self, told: Told) -> Acting:
        """What weighs the tokens of a run."""
        return Selecting(policy=self, reference=told.reference("losses" if self.losses else "reference"))


@dataclass(kw_only=True)
class Selecting(Acting):
    """The selection in a run; its state are figures alone."""

    policy: Rho1
    reference: Reference
    tokens: int = 0
    own: float = 0.0  # nats of the model and of the reference, over all tokens
    other: float = 0.0

    weighs = True
    todo = "lower `keep` or `temperature`, or leave it out"

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]; those of the rows where all weights are equal."""
        given, policy = seen.rows.weights, self.policy
        at = given > 0
        known = np.asarray(self.reference.nats(seen.rows), dtype=np.float64)
        excess = seen.nats.astype(np.float64)[at] - known[at]
        self.tokens += len(excess)
        self.own, self.other = (
            self.own + float(seen.nats[at].sum(dtype=np.float64)),
            self.other + float(known[at].sum()),
        )
        each = soft(excess, policy.temperature) if policy.temperature else best(excess, policy.keep)
        if not len(each) or (each == each[0]).all():
            return given
        weights = np.zeros(given.shape)
        weights[at] = given[at] * each
        return np.asarray(weights * (given.sum(dtype=np.float64) / weights.sum()), dtype=np.float32)

    def state(self) -> dict[str, Any]:
        """The figures so far."""
        return {"tokens": self.tokens, "own": self.own, "other": self.other}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.tokens, self.own, self.other = int(state["tokens"]), float(state["own"]), float(state["other"])

    def figures(self) -> dict[str, Any]:
        """Tokens seen, and the mean nats of the model and of the reference on them."""
        count = self.tokens or 1
        return {"tokens": self.tokens, "mean_nats": self.own / count, "mean_reference_nats": self.other / count}
