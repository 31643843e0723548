"""Training: rows of tokens in, weights out, as a pure function of (rows, shape, recipe, seeds).

One thread per run: arms and seeds give the parallelism, and another thread count would give other bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.head import Workspace, head_loss
from winnow.trainers.model import Shape, build
from winnow.trainers.muon import Muon

Precision = Literal["auto", "bf16", "fp32"]
Rows = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: Muon for hidden matrices, AdamW for embedding and head, warm-up then linear to zero."""

    batch: int = 8
    lr_hidden: float = 2e-2
    lr_embedding: float = 2e-2
    lr_head: float = 8e-3
    warmup_share: float = 0.05
    clip: float = 1.0
    precision: Precision = "auto"

    def check(self) -> None:
        """Nothing, where the numbers can train a model.

        Raises:
            ConfigError: a number is out of its range.
        """
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}, and must be at least 1", where="batch")
        for name in ("lr_hidden", "lr_embedding", "lr_head", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be above 0", where=name)
        if not 0 <= self.warmup_share < 1:
            raise ConfigError(f"warmup_share is {self.warmup_share}, not in [0, 1)", where="warmup_share")


def scale(step: int, *, steps: int, warmup_share: float) -> float:
    """Factor in (0, 1] on every learning rate at `step`: linear warm-up times linear decay."""
    warmup = max(1.0, warmup_share * steps)
    return min(1.0, (step + 1) / warmup) * (1 - step / steps)


def resolve_precision(precision: Precision) -> Literal["bf16", "fp32"]:
    """`bf16` where the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX), else `fp32`."""
    if precision != "auto":
        return precision
    import torch

    cpu = torch.cpu
    fast = (getattr(cpu, f"_is_{name}_supported", lambda: False) for name in ("avx512_bf16", "amx_tile"))
    return "bf16" if any(supported() for supported in fast) else "fp32"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """All of torch computes on one thread inside; the number from before comes back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def product_type(precision: Precision) -> Any:
    """The torch type that matrix products run in."""
    import torch

    return torch.bfloat16 if resolve_precision(precision) == "bf16" else torch.float32


def autocast(precision: Precision) -> Any:
    """A context in which matrix products run in the resolved precision."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=product_type(precision) == torch.bfloat16)


def fit(rows: Rows, shape: Shape, recipe: Recipe, *, init_seed: int) -> tuple[Any, npt.NDArray[np.float64]]:
    """(trained model, training loss in nats per token f64[steps]).

    Shapes: `rows` u16[steps x B, T + 1] in training order.

    Raises:
        DataError: the loss is no longer a number.
    Cost: about 6 x parameters x tokens operations; all memory is the model's plus one batch of logits.
    """
    import torch

    steps = len(rows) // recipe.batch
    losses = np.zeros(steps, dtype=np.float64)
    with one_thread():
        model = build(shape, init_seed=init_seed)
        hidden = [w for name, w in sorted(model.named_parameters()) if name.startswith("blocks.")]
        muon = Muon(hidden, dtype=product_type(recipe.precision))
        adam = torch.optim.AdamW(
            [
                {"params": [model.embedding.weight], "lr": recipe.lr_embedding},
                {"params": [model.head.weight], "lr": recipe.lr_head},
            ],
            betas=(0.9, 0.95),
            eps=1e-8,
            weight_decay=0.0,
            fused=True,
        )
        workspace = Workspace(shape.vocab, dtype=product_type(recipe.precision))
        base = [group["lr"] for group in adam.param_groups]
        for step in range(steps):
            factor = scale(step, steps=steps, warmup_share=recipe.warmup_share)
            for group, lr in zip(adam.param_groups, base, strict=True):
                group["lr"] = lr * factor
            batch = rows[step * recipe.batch : (step + 1) * recipe.batch]
            losses[step] = _backward(model, batch, recipe, workspace)
            muon.step(recipe.lr_hidden * factor)
            adam.step()
            model.zero_grad(set_to_none=True)
    if not np.isfinite(losses).all():
        bad = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise DataError(f"the loss is {losses[bad]} at step {bad}", hint="lower the learning rates")
    return model, losses


def _backward(model: Any, batch: Rows, recipe: Recipe, workspace: Workspace) -> float:
    """Loss of one batch in nats per token; leaves clipped gradients behind."""
    import torch

    ids = torch.from_numpy(batch.astype(np.int64))
    with autocast(recipe.precision):
        hidden_BTD = model.hidden(ids[:, :-1])
    hidden_ND, targets_N = hidden_BTD.flatten(0, 1), ids[:, 1:].flatten()
    loss = head_loss(hidden_ND, model.head.weight, targets_N, workspace=workspace)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    return float(loss.item())


def save(model: Any, path: Path) -> None:
    """Write the weights as an uncompressed .npz of plain arrays (no pickle), names sorted."""
    arrays = {name: weight.detach().numpy() for name, weight in sorted(model.named_parameters())}
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path, shape: Shape) -> Any:
    """The model whose weights `save` wrote."""
    import torch

    model = build(shape, init_seed=0)
    with np.load(path, allow_pickle=False) as arrays, torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(arrays[name]))
    return model
