"""`salt`: for the first steps a smaller model's expectations are learned beside the tokens themselves.

small: {use: train, selection: plain, size: 0.5M}
effect: {use: ablation, baseline: plain, arms: {taught: {data: plain, policy: {use: salt, teacher: small}}}, ...}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators import port
from winnow.core.operators.effect import ReadAt, left_out
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import MODEL, Acting, Seam
from winnow.trainers.online.soft import Soft, SoftStored, check_softness
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Salt(PlainPolicy):
    """Soft labels of a teacher for the first `until` of the steps, then the tokens alone.

    The loss of a token is (1 - share) x its own + share x the cross-entropy to softmax(teacher's logits / temperature);
    over the last `decay` of the taught steps the share falls linearly to 0. The teacher may be smaller than the model
    that is trained, or of its size, or larger (ordinary distillation, which is remarked); it reads the same ids.
    Losses that the run tells are of this mixture while it is taught; `plain_losses` beside them are of the tokens
    alone at every step. `share: 0` and `until: 0` train to the bits of a run without policy.

    `labels` instead of `teacher` names a `teacher_top_k` over the documents: nobody's teacher runs during training, and
    the entries that it did not keep are one bucket. A document without labels is learned from its tokens alone, and
    counted. Stored labels saw each document in windows from its beginning. A teacher that runs sees what the row holds:
    the same pieces with `best_fit` at its own context, other documents before with `concat`.

    Cost: one forward pass of the teacher per taught step: about N_teacher / (3 N_student) of it; stored labels have no
    such pass, and a gather of k entries per token.
    Source: SALT (Rawat et al. 2024, A Little Help Goes a Long Way), two stages with hard and soft labels; default
    share, temperature and length as remembered of it, not checked. SALT_DS selects what is taught by `lm_nats` of an
    early checkpoint and an ordinary selector.
    """

    name: ClassVar[str] = "salt"
    does: ClassVar[str] = "with a teacher's expectations"
    seam: ClassVar[Seam] = "targets"
    models: ClassVar[tuple[str, ...]] = ("teacher",)
    stage_only: ClassVar[Mapping[str, str]] = {
        "teacher": MODEL, "labels": "write the stage above that makes them: `{use: teacher_top_k, model: ...}`",
    }  # fmt: skip

    labels_of: ClassVar[tuple[str, ...]] = ("labels",)
    read_at: ClassVar[ReadAt] = {"temperature": ("labels", left_out)}

    teacher: str = port("ref", default="")  # a trained model
    labels: str = port("ref", default="")  # or what one expects of the documents: a `teacher_top_k`
    share: float = 0.667
    temperature: float = 1.0
    until: float = 0.17  # of the steps
    decay: float = 0.0  # of the taught steps

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range, without a teacher or labels, or with both."""
        if bool(self.teacher) == bool(self.labels):
            raise ConfigError("a teacher or its stored labels, one of them", where="teacher",
                              hint="give `teacher:`, a trained model, or `labels:`, a `teacher_top_k`")  # fmt: skip
        check_softness(self.share, self.temperature)
        for name in ("until", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be in [0, 1]", where=name)

    def shares(self, steps: int) -> npt.NDArray[np.float64]:
        """Share of the soft labels at every step, f64[steps]."""
        taught = round(self.until * steps)
        falling = round(self.decay * taught)
        step = np.arange(steps)
        left = np.clip((taught - step) / (falling + 1), 0.0, 1.0)
        return np.where(step < taught, self.share * left, 0.0)

    def begin(self, told: Told) -> Acting:
        """The shares of all steps."""
        return Taught(policy=self, told=told)


class Taught(Acting):
    """Soft labels while they have a share."""

    teaches = True
    besides = True

    def __init__(self, *, policy: Salt, told: Told) -> None:
        self._policy, self._shares, self._told = policy, policy.shares(told.steps), told

    def head_extra(self, step: int, rows: Batch, device: str) -> Any:
        """The teacher's labels at this step's share; None where it has none."""
        share = float(self._shares[step])
        if share <= 0:
            return None
        return (
            SoftStored(share=share) if self._policy.labels else Soft(share=share, temperature=self._policy.temperature)
        )

    def figures(self) -> dict[str, Any]:
        """Steps with soft labels, and weights of teacher and model, or documents with stored labels."""
        return {"taught_steps": int((self._shares > 0).sum()), "steps": len(self._shares),
                "mean_share": float(self._shares.mean()) if len(self._shares) else 0.0, **self._teacher()}  # fmt: skip

    def idle(self) -> str:
        """That no step was taught, or no document has labels."""
        steps, policy = len(self._shares), self._policy
        if not (self._shares > 0).any():
            said = f"share {policy.share:g} until {policy.until:g} of {steps:,} steps is none: no step was taught"
            return f"{said}; raise `{'until' if policy.share > 0 else 'share'}`, or leave it out"
        if self._unlabelled():
            return (f"none of {self._teacher()['documents']:,} documents has stored labels; label the rows that the "
                    "run trains on")  # fmt: skip
        return ""

    def _unlabelled(self) -> bool:
        told = self._teacher()
        return told.get("without_labels", 0) == told.get("documents", -1)

    def _teacher(self) -> dict[str, int]:
        stored = self._told.labels.get("labels")
        if stored is not None:
            return {"documents": len(stored.first), "without_labels": stored.without, "k": stored.k}
        shape = self._told.shapes.get("teacher")
        if not shape or not self._told.parameters:
            return {}
        return {"teacher_parameters": weights_of(shape), "parameters": self._told.parameters}

    def remarks(self) -> tuple[str, ...]:
        """A teacher above the model's size, missing labels."""
        out, told = [], self._teacher()
        if told.get("teacher_parameters", 0) > told.get("parameters", 0):
            out.append(
                f"the teacher has {told['teacher_parameters']:,} weights and the model {told['parameters']:,}: this is "
                "ordinary distillation, not learning from a smaller model; name a smaller `teacher` for that"
            )
        if told.get("without_labels") and not self._unlabelled():
            out.append(
                f"{told['without_labels']:,} of {told['documents']:,} documents have no stored labels and were learned "
                "from their tokens alone; label the rows that the run trains on"
            )
        return tuple(out)


def weights_of(shape: Mapping[str, int]) -> int:
    """All weights of a model of these fields of a `Shape`."""
    return shape["layers"] * 12 * shape["width"] ** 2 + 2 * shape["vocab"] * shape["width"]
