"""Policies: what acts on data while a model trains. An arm names one; a run begins it and asks it every step.

    arms: {reweighted: {data: plain, policy: {use: lin_upper, r: 0.4}}}

Three seams. **weights**: of the tokens of a step, from their losses (`Acting.weigh`). **mixture**: which domain the
next rows come from (`Acting.shares`). **targets**: what the model learns of a token besides itself
(`Acting.head_extra`), other documents (`Policy.feed`) or other rows (`Policy.rewrite`). Each has a uniform limit that
trains to the same bits as no policy at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from winnow.core.operators import Operator
from winnow.core.operators.config import dump
from winnow.core.operators.written import said
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.pack import Documents, PackedBatches
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

MODEL = 'write its stage above: `{use: train, selection: ...}`, or of files `{use: model_file, files: "FOLDER/*"}`'
Seam = Literal["weights", "mixture", "targets"]


class Learner(Protocol):
    """The model of a run between two steps, on this rank. Nothing here moves its weights for good."""

    def nats(self, rows: Batch, /) -> npt.NDArray[np.float32]:
        """Loss of every target, f32[B, T]; no gradients."""

    def gradient(self, rows: Batch, weights: npt.NDArray[np.float32], /) -> dict[str, Any]:
        """Gradient of sum(weights x nats) / sum(weights) by name of the parameter, f32 tensors; the step's own stay."""

    def shifted_nats(self, rows: Batch, direction: Mapping[str, Any], scale: float, /) -> npt.NDArray[np.float32]:
        """Losses f32[B, T] at weights + scale x direction; the weights are put back to the bit."""

    def rows(self, step: int, /) -> Batch:
        """The rows of a whole step, all ranks' (a mixture's are not drawn before `look` is done)."""

    def slopes(
        self, rows: Batch, direction: Mapping[str, Any], /, *, by: Literal["jvp", "ghost"]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(loss of every target, its derivative along the direction), each f32[B, T].

        `ghost`: what each position adds to the derivative of the sum of all losses, which add up over a document.
        """

    def preconditioned(self, gradient: Mapping[str, Any], /) -> dict[str, Any]:
        """The gradient as the optimiser would scale it, where it keeps second moments; else as it is."""


class Acting:
    """One run's policy at work. The base class is the uniform limit: it changes nothing.

    All ranks have one, and give it the same to see, so that their states stay equal without talking.
    """

    looks_every: int = 0  # steps between calls of `look`; 0: never
    weighs: bool = False  # whether `weigh` is to be asked: it costs a look at all losses before the gradients
    teaches: bool = False  # whether `head_extra` answers: then the loss of the true tokens alone is told beside
    signed: bool = False  # whether weights below 0 are meant: they drive the model away from a token
    besides: bool = False  # whether it acts by more than weights and shares: then `idle` alone knows that it does not
    todo: str = "look at what it goes by, or leave it out"  # where its weights or shares were those of no policy

    def reads(self, data: Batches) -> None:
        """The batches of the run: told once, before the first step and before `restore`."""

    def look(self, step: int, learner: Learner) -> None:
        """Look at the model before step 0, `looks_every`, ...: evaluations, gradients. Called on every rank."""

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens [B, T], or of samples [S], which are spread over their tokens; at least 0, 0 on fill.

        Not asked where a loss of the step is no number: such a step ends the run, as it would any other.
        """
        return seen.rows.weights

    def head_extra(self, step: int, rows: Batch, device: str) -> Any:
        """What `head_loss` is to learn of these rows besides their own tokens (`model.head.Extra`); None: nothing.

        `rows` are those of one forward pass on this rank, `device` where the model is.
        """
        return None

    def shares(self, step: int) -> npt.NDArray[np.float64] | None:
        """Share of every domain in the rows of a step, adding up to 1; None: this is no mixture."""
        return None

    def measured(self, hidden_ND: Any) -> Any:
        """A number for each token of a pass from what the head reads, f32[N], for `Seen.measured`; None: none."""
        return None

    def beside(self, step: int, rows: Batch, hidden_ND: Any, num_tokens: float) -> Any:
        """A loss besides that of the tokens, of one forward pass: a scalar with gradients, or None.

        It is a part of the step's loss, over `num_tokens` predicted tokens of the whole step; `rows` are the pass's.
        """
        return None

    def learned(self) -> list[Any]:
        """Tensors that `beside` trains: their gradients are added up over passes and ranks before `stepped`."""
        return []

    def stepped(self, rate: float) -> None:
        """Move them; `rate` is the factor on all learning rates. Called after each step of the optimiser."""

    def noted(self, seen: Seen, weights: npt.NDArray[np.float32]) -> None:
        """What was trained with, after `weigh`: the whole step, for feedback columns."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold to go on to the bit: plain JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""

    def tensors(self) -> dict[str, Any]:
        """The same for tensors: they lie beside the optimiser's."""
        return {}

    def restore_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Go on from `tensors`."""

    def remarks(self) -> tuple[str, ...]:
        """What is probably not meant, when the run is done: a sentence each, with its figure and the next action."""
        return ()

    def idle(self) -> str:
        """Why it cannot have changed anything, with its figure and the next action; "" where it may have.

        Weights and shares that were those of a run without a policy are found by the run itself.
        """
        return ""

    def figures(self) -> dict[str, Any]:
        """What a run tells of it when it is done: JSON, small."""
        return {}

    def columns(self) -> dict[str, npt.NDArray[np.float64]]:
        """Values per document f64[documents] that come back as columns, NaN where a document was not seen."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Policy(Operator):
    """An operator that an arm of a comparison may name. Its fields are its identity, as of any stage."""

    role: ClassVar[str] = "policy"
    seam: ClassVar[Seam]
    does: ClassVar[str] = "weighed while training"  # how its run reads the documents that its arm selects
    blind: ClassVar[bool] = (
        False  # whether its weights, shares and rows follow from the documents alone: no model asked
    )
    models: ClassVar[tuple[str, ...]] = ()  # ports that name trained models: the run gets their weights
    texts: ClassVar[tuple[str, ...]] = ()  # ports that name held-out texts: the run gets them packed, in its own ids
    labels_of: ClassVar[tuple[str, ...]] = ()  # ports that name stored soft labels (`teacher_top_k`)
    losses_of: ClassVar[tuple[str, ...]] = ()  # ports that name stored losses of tokens (`token_losses`)
    results: ClassVar[tuple[str, ...]] = ()  # ports that name stages whose results it reads

    feeds: ClassVar[bool] = False  # whether `feed` changes documents
    rewrites: ClassVar[bool] = False  # whether `rewrite` changes batches
    tells_missing: ClassVar[bool] = False  # whether its `remarks` tell of documents without a value; else the run does

    def said(self) -> str:
        """The policy as a person reads it: its name, and the fields that are not their defaults."""
        default = {f.name: f.default for f in dataclasses.fields(self)}
        return said(self.called(), {k: v for k, v in dump(self).items() if getattr(self, k) != default[k]})

    def called(self) -> str:
        """What a recipe's `use:` says: the place of an error, and what a person knows it by."""
        return self.name

    def spells(self) -> bool:
        """Whether it must know which bytes of a text each token is (`Told.spelt`)."""
        return False

    def columns_read(self) -> tuple[str, ...]:
        """Names of the columns of its stage that a run reads (`Told.column`); (): it need not tell documents apart."""
        return tuple(self.outputs())

    def reserved(self) -> int:
        """Ids right below the end mark that no text may have: a fitted tokenizer leaves them free in all arms."""
        return 0

    def begin(self, told: Told) -> Acting:
        """What acts in one run.

        Raises:
            ConfigError, DataError: what it was told cannot serve.
        """
        raise NotImplementedError

    def feed(self, documents: Documents, told: Told) -> Documents:
        """The documents as they are packed, in the same order and number; `told.steps` is 0: it is not known yet."""
        return documents

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The batches that are trained on, made of the packed ones: other rows, or a mixture of domains (`Steered`)."""
        return batches
