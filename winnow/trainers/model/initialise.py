"""A decoder GPT with its first weights: RoPE, QK-norm, ReLU^2, RMSNorm without gain, outputs that start at zero.

Shape suffixes: B batch, T context, V vocabulary, D width.
What needs torch at import lies in `network.py`, so that reading a recipe does not load it.
"""

from __future__ import annotations

import math
from typing import Any

from winnow.trainers.model.shape import Shape


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
