"""A trained model that a policy asks for the losses of a step's rows (implements `online.told.Reference`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch
from winnow.trainers.model import loop, warm
from winnow.trainers.model.device import Device, Precision, product_type, resolve_device
from winnow.trainers.model.forward import nats_of
from winnow.trainers.model.head import Workspace
from winnow.trainers.model.shape import Shape

ROWS = 16  # of one forward pass


@dataclass(kw_only=True)
class ReferenceModel:
    """The weights at a path; opened at the first question, in each process by itself."""

    path: Path
    shape: Shape
    precision: Precision = "auto"
    device: Device = "auto"
    _body: Any = field(default=None, repr=False)

    def nats(self, rows: Batch, /) -> npt.NDArray[np.float32]:
        """Loss of every target, f32[B, T].

        Raises:
            ConfigError: the rows are longer than the model has learned to read.
        """
        if rows.ids.shape[1] > self.shape.context:
            raise ConfigError(
                f"rows have {rows.ids.shape[1]} tokens, and the reference has learned to read {self.shape.context}",
                where="policy.reference", hint="give the run the `context` of that model, or a shorter one",
            )  # fmt: skip
        if self._body is None:
            self._body = self._opened()
        return nats_of(self._body, rows, precision=self.precision, micro_rows=ROWS)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_body": None}  # a process that is sent it opens it anew

    def _opened(self) -> warm.Body:
        device = resolve_device(self.device)
        dtype = product_type(self.precision, device=device)
        model = loop.load(self.path, self.shape).to(device).requires_grad_(False)
        workspace = Workspace(self.shape.vocab, dtype=dtype, device=device)
        return warm.Body(model=model, hidden=model.hidden, workspace=workspace, device=device, dtype=dtype)
