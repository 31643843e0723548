"""A value beside the model: one vector over its hidden states, learned by AdamW.

Shape suffixes: N tokens of a forward pass, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

BETAS, EPS = (0.9, 0.95), 1e-8  # as those of the model's own vectors
NAMES = ("vector", "mean", "square")


@dataclass(kw_only=True)
class ValueHead:
    """V = hidden . vector, or minus the sigmoid of that. The vector begins at 0, at the first hidden states."""

    sigmoid: bool
    rate: float  # peak learning rate
    steps: int = 0
    vector: Any = field(default=None)  # f32[D]
    mean: Any = field(default=None)  # of the gradients, and of their squares
    square: Any = field(default=None)

    def value(self, hidden_ND: Any) -> Any:
        """V of every token, f32[N], with gradients for whatever has them."""
        import torch

        if self.vector is None:
            self.vector = torch.zeros(hidden_ND.shape[1], dtype=torch.float32)
        if self.vector.device != hidden_ND.device or not self.vector.requires_grad:
            self.vector = self.vector.detach().to(hidden_ND.device).requires_grad_()
        raw = hidden_ND.float() @ self.vector
        return -torch.sigmoid(raw) if self.sigmoid else raw

    def error(self, hidden_ND: Any, reward: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Any:
        """Sum of weights x (reward - V)^2 over the tokens of a pass."""
        import torch

        value = self.value(hidden_ND)
        reward_N, weight_N = (
            torch.from_numpy(a.astype(np.float32)).flatten().to(value.device) for a in (reward, weights)
        )
        return (weight_N * (reward_N - value) ** 2).sum()

    def parameters(self) -> list[Any]:
        """The vector, with a gradient (of 0 where nothing gave it one)."""
        import torch

        if self.vector is None:
            return []
        if self.vector.grad is None:
            self.vector.grad = torch.zeros_like(self.vector)
        return [self.vector]

    def step(self, factor: float) -> None:
        """Move the vector by its gradient and forget that; `factor` is that of all learning rates now."""
        import torch

        if self.vector is None or self.vector.grad is None:
            return
        if self.mean is None:
            self.mean, self.square = torch.zeros_like(self.vector), torch.zeros_like(self.vector)
        self.mean, self.square = self.mean.to(self.vector.device), self.square.to(self.vector.device)
        with torch.no_grad():
            gradient, self.steps = self.vector.grad, self.steps + 1
            self.mean.lerp_(gradient, 1 - BETAS[0])
            self.square.lerp_(gradient**2, 1 - BETAS[1])
            mean, square = self.mean / (1 - BETAS[0] ** self.steps), self.square / (1 - BETAS[1] ** self.steps)
            self.vector -= self.rate * factor * mean / (square.sqrt() + EPS)
        self.vector.grad = None

    def tensors(self) -> dict[str, Any]:
        """The vector and its moments; none before the first step."""
        if self.mean is None:
            return {}
        return {name: getattr(self, name).detach() for name in NAMES}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Go on from `tensors`."""
        for name in NAMES:
            kept = tensors.get(name)
            setattr(self, name, None if kept is None else kept.detach().clone())
