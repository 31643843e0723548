"""One model from an ensemble: a student learns the mean prediction of an arm's seeds, on the arm's documents.

What an ensemble has over one of its members is worth more where it fits into one model again. The student is of the
members' shape or of another one over the same tokens, and reads as many of them as each member did; its loss is the
cross-entropy to the mean of the members' probabilities, so with one member equal to the student it has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.core.operators import Context, port
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.evaluate.evaluate_gpt import opened, untrained
from winnow.trainers.model import loop
from winnow.trainers.model.device import autocast, computing, resolve_device
from winnow.trainers.model.head import Workspace, head_loss
from winnow.trainers.model.initialise import build
from winnow.trainers.model.optimizers import Updates
from winnow.trainers.model.soft_labels import SoftLabels
from winnow.trainers.model.train_gpt import LOSSES, WEIGHTS, Train

Spaces = tuple[Workspace, Workspace]  # of the student's head and of the teachers'


@dataclass(frozen=True, kw_only=True)
class Distil(Train):
    """A student of the mean prediction of several trained models, on a selection.

    References: those of a training run, and `teachers` {label: trained artefact}. Files as those of a training run.

    Source: distillation (Hinton et al. 2015) at temperature 1, hard labels not used; own
    """

    name: ClassVar[str] = "distil_gpt"
    version: ClassVar[int] = 6  # 6: labels in chunks, as `salt` has them: differs in the last bits

    teachers: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics as those of a training run; losses are cross-entropies to the teachers.

        Raises:
            DataError: there is nothing to train on, or the teachers differ from the student in vocabulary or context.
        """
        missing = untrained(ctx.refs["teachers"])
        if missing:
            return {"stopped": {"seeds": 0, "why": f"a teacher has no model ({', '.join(sorted(missing))})"}}
        batches = self.batches(ctx)
        facts = self.facts(batches)
        device = resolve_device(self.device)
        with computing(self.machine()):
            teachers, shape = opened(ctx.refs["teachers"], device=device)
            if (shape.vocab, shape.context) != (self.vocab, self.context):
                raise DataError(f"the teachers are {shape}, the student {self.shape()}", where="teachers",
                                hint="a student has its teachers' tokens and context")  # fmt: skip
            student, losses = self._fit(batches, teachers, device=device)
        if not np.isfinite(losses).all():
            return {**facts, "failed": f"the loss is no number at step {int(np.argmin(np.isfinite(losses)))}"}
        loop.save(student, ctx.work / WEIGHTS)
        np.save(ctx.work / LOSSES, losses, allow_pickle=False)
        return {**facts, "first_loss": float(losses[0]), "last_loss": float(losses[-min(len(losses), 20) :].mean())}

    def _fit(self, data: Batches, teachers: Sequence[Any], *, device: str) -> tuple[Any, npt.NDArray[np.float64]]:
        import torch

        recipe, student = self.recipe(), build(self.shape(), init_seed=self.init_seed, device=device)
        kind = loop.product_type(recipe.precision, device=device)
        updates = Updates(student, recipe, dtype=kind)
        schedule = recipe.schedule_of()
        phases = loop.phases(schedule, data)
        losses = np.zeros(data.num_steps)
        spaces = spaces_of(student.head.weight, kind)
        for step in range(data.num_steps):
            with autocast(recipe.precision, device=device):
                loss = soft_loss(student, teachers, data.batch(step), num_tokens=data.step_tokens(step), spaces=spaces)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), recipe.clip)
            updates.step(loop.rate_at(data, schedule, phases, step))
            student.zero_grad(set_to_none=True)
            losses[step] = float(loss.detach())
            if not np.isfinite(losses[step]):
                break
        return student.cpu(), losses


def spaces_of(head_VD: Any, kind: Any = None) -> Spaces:
    """Buffers for heads of that size, in products of type `kind` (default: that of the weights)."""
    how: dict[str, Any] = {"dtype": kind or head_VD.dtype, "device": head_VD.device.type}
    return Workspace(len(head_VD), **how), Workspace(len(head_VD), **how)


def soft_loss(
    student: Any, teachers: Sequence[Any], batch: Batch, *, num_tokens: int, spaces: Spaces | None = None
) -> Any:
    """Cross-entropy of the student to the mean of the teachers' probabilities, in nats per token (a torch scalar)."""
    import torch

    own, theirs = spaces or spaces_of(student.head.weight)
    ids, segments, targets, weights = (
        torch.from_numpy(array).to(own.device) for array in (batch.ids, batch.segments, batch.targets, batch.weights)
    )
    with torch.no_grad():
        hidden = [one.hidden(ids, segments).flatten(0, 1).to(theirs.dtype) for one in teachers]
    heads = [one.head.weight.detach().to(theirs.dtype) for one in teachers]
    labels = SoftLabels(share=1.0, temperature=1.0, hidden=hidden, heads=heads, workspace=theirs)
    return head_loss(
        student.hidden(ids, segments).flatten(0, 1), student.head.weight, targets.flatten(), workspace=own,
        weights_N=weights.flatten(), num_tokens=num_tokens, extra=labels,
    )  # fmt: skip
