"""What a policy may ask of the model between two steps; nothing here moves its weights for good.

All ranks ask alike, and each computes its share of the rows; the sums are everybody's. Passes are as large as those of
the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.model.derivatives import ghost_products, tangent_nats
from winnow.trainers.model.device import Precision, autocast
from winnow.trainers.model.forward import hidden_of, is_packed, nats_of, passes_of, rows_of, tensor_of
from winnow.trainers.model.group import Group
from winnow.trainers.model.head import head_loss
from winnow.trainers.model.optimizers import Updates
from winnow.trainers.model.warm import Body


@dataclass(frozen=True, kw_only=True)
class ModelLearner:
    """The model of a run (implements `online.policy.Learner`)."""

    body: Body
    updates: Updates
    precision: Precision
    group: Group
    data: Batches
    micro_rows: int = 0

    def rows(self, step: int, /) -> Batch:
        """The rows of a whole step."""
        return self.data.batch(step)

    def nats(self, rows: Batch, /) -> npt.NDArray[np.float32]:
        """Loss of every target, f32[B, T]."""
        out = np.zeros(rows.ids.shape, dtype=np.float32)
        mine = self._mine(len(rows.ids))
        out[mine] = nats_of(self._eager, rows_of(rows, mine), precision=self.precision, micro_rows=self.micro_rows)
        return self._everybody(out)

    def gradient(self, rows: Batch, weights: npt.NDArray[np.float32], /) -> dict[str, Any]:
        """Gradient of sum(weights x nats) / sum(weights) by name of the parameter, f32 on the model's device.

        Raises:
            ConfigError: the weights add up to nothing.
        """
        import torch

        total = float(weights.sum(dtype=np.float64))
        if not total:
            raise ConfigError("the gradient of no token", where="policy", hint="a weight must be above 0")
        named = dict(self.body.model.named_parameters())
        with self._own_gradients(named):
            mine = self._mine(len(rows.ids))
            own, several = rows_of(rows, mine), is_packed(rows)
            for part in passes_of(own, self.micro_rows):
                self._backward(rows_of(own, part), weights[mine][part], total, several=several)
            out = {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in named.items()}
        if self.group.world > 1:
            self.group.add_up(list(out.values()))
        return out

    def shifted_nats(self, rows: Batch, direction: Mapping[str, Any], scale: float, /) -> npt.NDArray[np.float32]:
        """Losses f32[B, T] at weights + scale x direction; then the weights are what they were, to the bit."""
        import torch

        named = dict(self.body.model.named_parameters())
        unknown = sorted(direction.keys() - named.keys())
        if unknown:
            raise ConfigError(f"the model has no parameter {unknown[0]!r}", where="policy")
        kept = {name: named[name].detach().clone() for name in direction}
        try:
            with torch.no_grad():
                for name, step in direction.items():
                    named[name].add_(step, alpha=scale)
            return self.nats(rows)
        finally:
            with torch.no_grad():
                for name, weight in kept.items():
                    named[name].copy_(weight)

    def slopes(
        self, rows: Batch, direction: Mapping[str, Any], /, *, by: Literal["jvp", "ghost"]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(loss of every target, its derivative along the direction), each f32[B, T]: see `model.derivatives`.

        `ghost` has at each position what that adds to the derivative of the sum of all losses of weight above 0: the
        sum over a document is the document's. It is in the precision of the run, `jvp` in f32.
        """
        nats, out = np.zeros((2, *rows.ids.shape), dtype=np.float32)
        mine, several = self._mine(len(rows.ids)), is_packed(rows)
        own = rows_of(rows, mine)
        for part in passes_of(own, self.micro_rows):
            found = self._slopes(rows_of(own, part), direction, by=by, several=several)
            nats[mine][part], out[mine][part] = (tensor.float().cpu().numpy() for tensor in found)
        return self._everybody(nats), self._everybody(out)

    def preconditioned(self, gradient: Mapping[str, Any], /) -> dict[str, Any]:
        """The gradient over the root of AdamW's bias-corrected second moments, parameter by parameter.

        As it is where there are none: for matrices that Muon updates, which keeps none and whose step is no linear
        function of the gradient, and before the first step.
        """
        return {name: self.updates.scaled(name, value) for name, value in gradient.items()}

    @property
    def _eager(self) -> Body:
        """The body without compilation, which would be done anew for every number of rows."""
        return dataclasses.replace(self.body, hidden=self.body.model.hidden)

    def _slopes(self, rows: Batch, direction: Mapping[str, Any], *, by: str, several: bool) -> tuple[Any, Any]:
        device, model = self.body.device, self.body.model
        ids, targets = tensor_of(rows.ids, device), tensor_of(rows.targets, device)
        segments = tensor_of(rows.segments, device) if several else None
        if by == "jvp":
            return tangent_nats(model, ids, targets, segments, direction)
        counted = tensor_of(rows.weights > 0, device)
        with autocast(self.precision, device=device):
            return ghost_products(model, ids, targets, segments, counted, direction)

    def _everybody(self, own: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Rows of all ranks: each gives its own, and 0 for the others'."""
        import torch

        if self.group.world == 1:
            return own
        everybody = torch.from_numpy(own).to(self.body.device)
        self.group.add_up([everybody])
        return np.array(everybody.cpu().numpy())

    def _mine(self, num_rows: int) -> slice:
        return slice(self.group.rank, num_rows, self.group.world)

    def _backward(self, rows: Batch, weights: npt.NDArray[np.float32], total: float, *, several: bool) -> None:
        body = self._eager
        hidden_ND = hidden_of(body, rows, precision=self.precision, several=several)
        loss = head_loss(
            hidden_ND, body.model.head.weight, tensor_of(rows.targets, body.device).flatten(),
            workspace=body.workspace, weights_N=tensor_of(weights, body.device).flatten(), num_tokens=total,
        )  # fmt: skip
        loss.backward()

    @contextmanager
    def _own_gradients(self, named: Mapping[str, Any]) -> Iterator[None]:
        """Gradients of this context's own; those that were there come back."""
        kept = {name: weight.grad for name, weight in named.items()}
        for weight in named.values():
            weight.grad = None
        try:
            yield
        finally:
            for name, weight in named.items():
                weight.grad = kept[name]
