"""Teachers in a training run: opened once on its device, asked for every forward pass that is taught."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch
from winnow.trainers.model.device import Precision
from winnow.trainers.model.forward import hidden_of, is_packed, tensor_of
from winnow.trainers.model.head import Workspace
from winnow.trainers.model.initialise import empty
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.soft_labels import KeptLabels, SoftLabels
from winnow.trainers.model.start import read_weights
from winnow.trainers.model.warm import Body
from winnow.trainers.online.soft import Soft, SoftStored
from winnow.trainers.online.told import Told


@dataclass(kw_only=True)
class Teaching:
    """The teachers that a policy's `Soft` answers name. All ranks have them."""

    told: Told | None
    bodies: dict[str, Body] = field(default_factory=dict)

    def labels(self, said: Any, rows: Batch, *, body: Body, precision: Precision) -> Any:
        """What `head_loss` takes as `extra`: an answer as it is, or the labels that a `Soft` asks for."""
        if isinstance(said, SoftStored):
            return self._stored(said, rows, body)
        if not isinstance(said, Soft):
            return said
        import torch

        teacher = self.bodies.get(said.teacher) or self._opened(said.teacher, body)
        with torch.no_grad():
            hidden_ND = hidden_of(teacher, rows, precision=precision, several=is_packed(rows))
            head_VD = teacher.model.head.weight.to(teacher.dtype)
            return SoftLabels(share=said.share, temperature=said.temperature, hidden=[hidden_ND.to(teacher.dtype)],
                              heads=[head_VD], workspace=teacher.workspace)  # fmt: skip

    def _stored(self, said: SoftStored, rows: Batch, body: Body) -> KeptLabels:
        assert self.told is not None
        ids, probabilities, unknown = self.told.labels[said.labels].of(rows)
        return KeptLabels(
            share=said.share, ids=tensor_of(ids, body.device), probabilities=tensor_of(probabilities, body.device),
            unknown=tensor_of(unknown, body.device), targets=tensor_of(rows.targets, body.device).flatten(),
        )  # fmt: skip

    def _opened(self, label: str, body: Body) -> Body:
        """The teacher on the student's device, with buffers of its own.

        Raises:
            ConfigError: it has another vocabulary, or a shorter context.
        """
        import torch

        assert self.told is not None
        arrays, shape = read_weights(self.told.models[label]), Shape(**self.told.shapes[label])
        own = body.model.shape
        if shape.vocab != own.vocab or shape.context < own.context:
            raise ConfigError(
                f"the teacher has {shape.vocab} ids and {shape.context} positions, the model {own.vocab} and "
                f"{own.context}", where=label, hint="a teacher reads the rows of the run: train it with "
                "their tokenizer and context",
            )  # fmt: skip
        model = empty(shape, device=body.device).requires_grad_(False)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(torch.from_numpy(arrays[name]))
        space = Workspace(shape.vocab, dtype=body.dtype, device=body.device)
        made = Body(model=model, hidden=model.hidden, workspace=space, device=body.device, dtype=body.dtype)
        self.bodies[label] = made
        return made
