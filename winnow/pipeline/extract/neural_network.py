"""The network of `neural`: nodes in document order to log-odds that each is main text. Import it inside functions.

Two inputs per node, what it stands in and the mean of its words' vectors, become one vector; a convolution sees the
nodes beside it, and layers of self-attention all nodes of the window. Shape suffixes: N nodes, D width, F numbers
around a node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

NEAR = 5  # nodes that a convolution sees at once
CLAMP = 5.0  # standard deviations beyond which what surrounds a node counts no more


class Layer(nn.Module):
    """Self-attention over all nodes and a feed-forward part, each on the normalised sum of what went before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_one, self.norm_two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x_ND: Any, drop: float) -> Any:
        """[N, D] to [N, D]."""
        split = self.qkv(self.norm_one(x_ND)).reshape(len(x_ND), 3, self.heads, -1).permute(1, 2, 0, 3)
        seen = functional.scaled_dot_product_attention(split[0][None], split[1][None], split[2][None])[0]
        x_ND = x_ND + functional.dropout(self.out(seen.transpose(0, 1).reshape(x_ND.shape)), drop, self.training)
        inner = functional.gelu(self.up(self.norm_two(x_ND)))
        return x_ND + functional.dropout(self.down(inner), drop, self.training)


class Network(nn.Module):
    """Nodes of one window to log-odds."""

    def __init__(self, *, around: int, buckets: int, words: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(around))
        self.register_buffer("scale", torch.ones(around))
        self.vectors = nn.EmbeddingBag(buckets, words, mode="mean")
        self.into = nn.Linear(around + words, width)
        self.near = nn.Conv1d(width, width, NEAR, padding=NEAR // 2)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, 1)
        nn.init.normal_(self.vectors.weight, std=0.1)

    def forward(self, around_NF: Any, buckets: Any, starts: Any, drop: float = 0.0) -> Any:
        """f32[N]: log-odds."""
        known = ((around_NF - self.mean) * self.scale).clamp(-CLAMP, CLAMP)
        said = functional.dropout(self.vectors(buckets, starts), drop, self.training)
        x_ND = functional.gelu(self.into(torch.cat((known, said), dim=1)))
        x_ND = x_ND + functional.gelu(self.near(x_ND.T[None])[0].T)
        for layer in self.layers:
            x_ND = layer(x_ND, drop)
        return self.last(self.norm(x_ND))[:, 0]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """All of torch computes on one thread inside, so that sums have one order; the number from before comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors(around: Any, buckets: Any, starts: Any) -> tuple[Any, Any, Any]:
    """What `Network` takes, of `Nodes`."""
    return torch.from_numpy(around), torch.from_numpy(buckets), torch.from_numpy(starts[:-1])
