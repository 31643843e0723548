"""A small GPT that learns fast on one core: RoPE, QK-norm, ReLU^2, RMSNorm without gain, zero-init outputs.

Shape suffixes: B batch, T context, V vocabulary, D width, H heads, L layers, N windows.
The classes are built inside a function because torch is imported only where a model is trained.

Attention is written out: on one core, with heads of 32 and rows of 128 tokens, torch's fused kernel takes
four times as long, nearly all of it in the backward pass.
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


def build(shape: Shape, *, init_seed: int) -> Any:
    """A torch module: token ids i64[B, T] -> logits [B, T, V]; weights are a function of `init_seed` alone.

    `hidden(ids)` stops before the head, [B, T, D]: losses are taken in chunks (`head_loss`).
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # the layers fill themselves from the global generator first
        model = _classes()(shape)
    generator = torch.Generator().manual_seed(init_seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if name.endswith(("out.weight", "down.weight", "head.weight")):
                weight.zero_()
            elif name == "embedding.weight":
                weight.normal_(0.0, 0.7, generator=generator)
            else:
                bound = 1.0 / math.sqrt(weight.shape[1])
                weight.uniform_(-bound, bound, generator=generator)
    return model


def rotation(context: int, size: int) -> tuple[Any, Any]:
    """(cos, sin) of rotary positions, each f32[T, size / 2]."""
    import torch

    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency[None, :]
    return angle.cos(), angle.sin()


def _classes() -> Any:
    """The module class; torch is imported here."""
    import torch
    from torch import nn
    from torch.nn import functional

    def norm(x: Any) -> Any:
        return functional.rms_norm(x, (x.shape[-1],))

    def rotate(x_BHTd: Any, cos: Any, sin: Any) -> Any:
        first, second = x_BHTd.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)

    class Block(nn.Module):
        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.heads, width = shape.heads, shape.width
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.up = nn.Linear(width, 4 * width, bias=False)
            self.down = nn.Linear(4 * width, width, bias=False)

        def attend(self, x_BTD: Any, cos: Any, sin: Any, future: Any) -> Any:
            num_rows, length, width = x_BTD.shape
            qkv = self.qkv(x_BTD).view(num_rows, length, 3, self.heads, width // self.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            q, k = (rotate(norm(part), cos, sin).to(v.dtype) for part in (q, k))
            shares = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + future.to(v.dtype), dim=-1)
            return self.out((shares.to(v.dtype) @ v).transpose(1, 2).reshape(num_rows, length, width))

        def forward(self, x_BTD: Any, cos: Any, sin: Any, future: Any) -> Any:
            x_BTD = x_BTD + self.attend(norm(x_BTD), cos, sin, future)
            return x_BTD + self.down(functional.relu(self.up(norm(x_BTD))).square())

    class Gpt(nn.Module):
        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.embedding = nn.Embedding(shape.vocab, shape.width)
            self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
            self.head = nn.Linear(shape.width, shape.vocab, bias=False)
            cos, sin = rotation(shape.context, shape.width // shape.heads)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
            future = torch.full((shape.context, shape.context), -math.inf).triu(1)
            self.register_buffer("future", future, persistent=False)

        def hidden(self, ids_BT: Any) -> Any:
            length = ids_BT.shape[1]
            future = self.future[:length, :length]
            x_BTD = self.embedding(ids_BT)
            for block in self.blocks:
                x_BTD = block(x_BTD, self.cos[:length], self.sin[:length], future)
            return norm(x_BTD)

        def forward(self, ids_BT: Any) -> Any:
            return self.head(self.hidden(ids_BT))

    return Gpt
