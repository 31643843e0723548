"""The modules of the GPT. Import this inside functions: it loads torch.

Attention has two ways of equal outputs. Written out, it materialises [B, H, T, T] scores; torch's fused kernel
does not. On one CPU core in bfloat16 the written one takes a quarter of the fused one's time at 128 positions and
half of it at 512, nearly all of it in the backward pass; from 1,024 positions, in float32 and on a GPU the fused
one wins (`python benchmarks/bench_training.py --attention`).

Shape suffixes: B batch, T context, D width, H heads, d width of a head.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from winnow.trainers.model.shape import Shape

Attention = Literal["auto", "written", "fused"]
MOST_WRITTEN = 512  # positions up to which the written-out attention is the faster one on a CPU


def norm(x: Any) -> Any:
    """`x` over its root mean square along the last axis."""
    return functional.rms_norm(x, (x.shape[-1],))


def rotate(x_BHTd: Any, cos: Any, sin: Any) -> Any:
    """`x` with every pair of halves turned by its position's angles."""
    first, second = x_BHTd.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


def rotation(context: int, size: int) -> tuple[Any, Any]:
    """(cos, sin) of rotary positions, each f32[T, size / 2]."""
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency[None, :]
    return angle.cos(), angle.sin()


def is_written(way: Attention, *, length: int, dtype: Any, device: str) -> bool:
    """Whether attention is written out: by measurement where `way` is `auto`."""
    if way != "auto":
        return way == "written"
    return device == "cpu" and dtype == torch.bfloat16 and length <= MOST_WRITTEN


def written(q: Any, k: Any, v: Any, hidden: Any) -> Any:
    """Attention [B, H, T, d]; `hidden` [T, T] or [B, 1, T, T] is added to the scores: 0 or -inf."""
    shares = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + hidden, dim=-1)
    return shares.to(v.dtype) @ v


def fused(q: Any, k: Any, v: Any, seen: Any | None) -> Any:
    """Attention [B, H, T, d]; `seen` bool[B, 1, T, T], or None for all earlier positions."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None)


class Block(nn.Module):
    """Attention and a ReLU^2 layer, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def attend(self, x_BTD: Any, cos: Any, sin: Any, mask: Any, way: Attention) -> Any:
        """What every position takes from those it sees, [B, T, D]; `mask` as `way` wants it."""
        num_rows, length, width = x_BTD.shape
        qkv = self.qkv(x_BTD).view(num_rows, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = (rotate(norm(part), cos, sin).to(v.dtype) for part in (q, k))
        taken = written(q, k, v, mask.to(v.dtype)) if way == "written" else fused(q, k, v, mask)
        return self.out(taken.transpose(1, 2).reshape(num_rows, length, width))

    def forward(self, x_BTD: Any, cos: Any, sin: Any, mask: Any, way: Attention) -> Any:
        """The stream after this block, [B, T, D]."""
        x_BTD = x_BTD + self.attend(norm(x_BTD), cos, sin, mask, way)
        return x_BTD + self.down(functional.relu(self.up(norm(x_BTD))).square())


class Gpt(nn.Module):
    """Token ids i64[B, T] -> logits [B, T, V]."""

    def __init__(self, shape: Shape, *, attention: Attention = "auto") -> None:
        super().__init__()
        self.shape, self.attention = shape, attention
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.head = nn.Linear(shape.width, shape.vocab, bias=False)
        half = (shape.context, shape.width // shape.heads // 2)
        self.register_buffer("cos", torch.empty(half), persistent=False)
        self.register_buffer("sin", torch.empty(half), persistent=False)
        self.register_buffer("future", torch.empty((shape.context, shape.context)), persistent=False)

    def fill_buffers(self) -> None:
        """Set the tables of positions, which are no weights."""
        cos, sin = rotation(self.shape.context, self.shape.width // self.shape.heads)
        self.cos.copy_(cos)
        self.sin.copy_(sin)
        self.future.copy_(torch.full_like(self.future, -math.inf).triu(1))

    def hidden(self, ids_BT: Any, segments_BT: Any | None = None) -> Any:
        """The stream before the head, [B, T, D]; positions of other segments are hidden where these are given."""
        length = ids_BT.shape[1]
        x_BTD = self.embedding(ids_BT)
        way, mask = self._mask(length, segments_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, self.cos[:length], self.sin[:length], mask, way)
        return norm(x_BTD)

    def forward(self, ids_BT: Any, segments_BT: Any | None = None) -> Any:
        """Logits [B, T, V]."""
        return self.head(self.hidden(ids_BT, segments_BT))

    def _mask(self, length: int, segments_BT: Any | None) -> tuple[Attention, Any | None]:
        """(the way, what it wants: an additive table for `written`, a bool one or None for `fused`)."""
        device = self.future.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.future.dtype
        plain = is_written(self.attention, length=length, dtype=kind, device=device)
        future = self.future[:length, :length]
        if segments_BT is None:
            return ("written", future) if plain else ("fused", None)
        other = (segments_BT[:, :, None] != segments_BT[:, None, :])[:, None]
        if plain:
            return "written", torch.where(other, -math.inf, future).to(kind)
        return "fused", ~other & (future == 0)
