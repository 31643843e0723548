"""A decoder GPT that learns fast: RoPE, QK-norm, ReLU^2, RMSNorm without gain, zero-init outputs.

Shape suffixes: B batch, T context, V vocabulary, D width, H heads, L layers, N windows.
What needs torch at import lies in `network.py`, so that reading a recipe does not load it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from winnow.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of a model."""

    vocab: int = 4096
    width: int = 96
    layers: int = 3
    heads: int = 3
    context: int = 128

    def check(self) -> None:
        """Nothing, where the sizes fit each other.

        Raises:
            ConfigError: a size is not positive, or the heads do not divide the width into even parts.
        """
        for name in ("vocab", "width", "layers", "heads", "context"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 1", where=name)
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ConfigError(
                f"width {self.width} over {self.heads} heads is not an even whole number",
                where="heads",
                hint="choose a width that is a multiple of 2 x heads",
            )

    def parameters(self) -> tuple[int, int]:
        """(all weights, weights outside embedding and head)."""
        hidden = self.layers * 12 * self.width**2
        return hidden + 2 * self.vocab * self.width, hidden

    def operations(self, num_tokens: int) -> float:
        """Floating-point operations of training on `num_tokens`: 6 per weight and 12 L D T of attention, halved."""
        weights = self.parameters()[0] - self.vocab * self.width  # looking up an embedding multiplies nothing
        return num_tokens * (6.0 * weights + 6.0 * self.layers * self.width * self.context)


def build(shape: Shape, *, init_seed: int, device: str = "cpu") -> Any:
    """A torch module: token ids i64[B, T] -> logits [B, T, V]; weights are a function of `init_seed` alone.

    `hidden(ids, segments=None)` stops before the head, [B, T, D]: losses are taken in chunks (`head_loss`).
    `segments` i32[B, T] hides every position of another segment; None sees all earlier positions of the row.
    """
    return reset(empty(shape, device=device), init_seed=init_seed)


def empty(shape: Shape, *, device: str = "cpu") -> Any:
    """The module of `build` with weights not set: nothing is drawn that `reset` or `load` would overwrite."""
    import torch

    from winnow.trainers.model.network import Gpt

    with torch.device("meta"):
        model = Gpt(shape)
    model.to_empty(device=device)
    model.fill_buffers()
    return model


def reset(model: Any, *, init_seed: int) -> Any:
    """`model`, its weights set to what `build` gives for `init_seed`: equal bits on every device."""
    import torch

    generator = torch.Generator().manual_seed(init_seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            weight.grad = None
            if name.endswith(("out.weight", "down.weight", "head.weight")):
                weight.zero_()
                continue
            drawn = weight if weight.device.type == "cpu" else torch.empty(weight.shape, dtype=weight.dtype)
            if name == "embedding.weight":
                drawn.normal_(0.0, 0.7, generator=generator)
            else:
                bound = 1.0 / math.sqrt(weight.shape[1])
                drawn.uniform_(-bound, bound, generator=generator)
            if drawn is not weight:
                weight.copy_(drawn)
    return model


def rotation(context: int, size: int) -> tuple[Any, Any]:
    """(cos, sin) of rotary positions, each f32[T, size / 2]."""
    import torch

    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency[None, :]
    return angle.cos(), angle.sin()
