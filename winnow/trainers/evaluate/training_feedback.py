"""`training_feedback`: what a run made of the documents of its pool, row for row, so that the next stage can use it.

Sub-stages: `tokens` (made once for the pool), `nats_at_{step}` per kept step, and the face that joins what the run
noted by document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.evaluate.feedback_columns import NOTED, FeedbackColumns
from winnow.trainers.evaluate.lm_nats import Parts
from winnow.trainers.evaluate.model_nats import Measured
from winnow.trainers.evaluate.nats_columns import PART
from winnow.trainers.model.device import Device, Precision
from winnow.trainers.model.held import held
from winnow.trainers.model.training import Training


@dataclass(frozen=True, kw_only=True)
class TrainingFeedback(Composite):
    """What a run made of each document: `loss_at_{step}` in nats per token, `times_seen`, and `weight_used`.

    `run` is a `train` stage or a run of an ablation (`effect.train_best_0`) with `loss_at: [100, 200]`: the losses
    are those of all asked documents under the weights of these steps, also of documents that it was never trained on.
    `times_seen` is a fraction, tokens that it was trained on over the document's own (0.5: half of it once, 2: all of
    it twice, 0: never), `weight_used` the mean weight of their losses, with a policy that of its weights; null where
    there were none. `columns` are the policy's own, such as `alignment`; null for documents that it did not see. Any
    arm's run has them: in phases or redraws, with repeats, with a mixture, with rows that were left out. Of a run that
    replays, rows that it replayed are asked about by a stage of their own, whose `inputs` are those.

    Cost: one forward pass over the text per step.
    Source: own; losses along a run as in Yang et al. 2024 (S2L)
    """

    name: ClassVar[str] = "training_feedback"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    meaning: ClassVar[Mapping[str, Meaning]] = {"columns": "labels"}

    run: str = port("ref")
    columns: tuple[str, ...] = ()  # of the run's policy
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a column is named twice, or is one that every run has.
        """
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError("a column is named twice", where="columns")
        for name in self.columns:
            if name in NOTED or name.startswith("loss_at_") or not name.isidentifier():
                raise ConfigError(f"{name!r} is no column of a policy", where="columns", hint="for example alignment")

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokens, losses per step, and the columns side by side.

        Raises:
            ConfigError: the stage is no run, or kept no weights.
        """
        found = held(scope, self.run, where="run")
        trained = scope.lookup(self.run).operator  # the run itself, or the stage that has it
        steps = sorted(trained.loss_at) if isinstance(trained, Training) else []
        if not steps:
            raise ConfigError(f"{self.run!r} keeps no weights on its way", where="run",
                              hint="train it with `loss_at: [100, 200]`, steps of the run")  # fmt: skip
        measured = Measured(measures=("nats_per_token",), precision=self.precision, device=self.device)
        parts = Parts(scope, {name: getattr(measured, name) for name in Measured.__dataclass_fields__})
        labels = [f"at_{step}" for step in steps]
        for label, step in zip(labels, steps, strict=True):
            parts.add(PART.format(label), self.run, step=step, where="run")
        inputs = (*scope.inputs[:1], *(f".{PART.format(label)}" for label in labels))
        face = FeedbackColumns(steps=tuple(steps), noted=self.columns)
        return [
            *parts.subs,
            Sub(name="columns", operator=face, inputs=inputs, where=scope.where, refs={"run_of": found.model}),
        ]
