"""Toy policies, and runs of a small model with one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.trainers.data import pack
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Policy, Seam
from winnow.trainers.online.policy_run import PolicyRun, told_of

SHAPE = Shape(vocab=60, width=16, layers=2, heads=2, context=24)
RECIPE = Recipe(precision="fp32", batch=4)
END = SHAPE.vocab - 1


def documents(lengths: list[int], *, seed: int = 1) -> pack.Documents:
    """Random documents of these lengths."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    ids = [generator.integers(0, END, size=n).tolist() for n in lengths]
    names = [hashlib.blake2b(str((seed, i)).encode(), digest_size=16).digest() for i in range(len(lengths))]
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    return pack.documents_of(frame.select("doc_id"), frame)


def varied(*, count: int = 80, longest: int = 29, tokens: int = 2400, batch: int = 4) -> pack.PackedBatches:
    """Packed rows of documents of 1 to `longest` tokens."""
    lengths = np.random.Generator(np.random.Philox(key=5)).integers(1, longest + 1, size=count).tolist()
    made = documents(lengths)
    return pack.batches_of(made, context=SHAPE.context, batch=batch, tokens=tokens, end=END, seed=0)


def run_of(policy: Policy, data: Any, *, digests: dict[str, str] | None = None, **more: Any) -> PolicyRun:
    """The policy for `fit`."""
    told = told_of(data, vocab=SHAPE.vocab, context=SHAPE.context, batch=4, **more)
    return PolicyRun(policy=policy, told=told, digests=digests or {})


def bits(fitted: Any) -> tuple[bytes, bytes]:
    """Weights and losses, to the bit."""
    model, losses = fitted
    return b"".join(w.detach().numpy().tobytes() for w in model.parameters()), losses.tobytes()


@dataclass(kw_only=True)
class Drifting(Acting):
    """Weighs by a running mean of the losses, in JSON and in a tensor, and by the gradient's size at each look."""

    every: int
    mean: float = 0.0
    count: float = 0.0
    looked: list[int] = field(default_factory=list)
    size: Any = None

    weighs = True

    @property
    def looks_every(self) -> int:  # type: ignore[override]
        """As its fields say."""
        return self.every

    def look(self, step: int, learner: Any) -> None:
        """The gradient of the rows it saw first."""
        import torch

        self.looked.append(step)
        if self.size is not None:
            self.size = self.size * 0.5 + torch.ones_like(self.size)

    def weigh(self, seen: Any) -> np.ndarray:
        """More for samples above the mean so far."""
        import torch

        if self.size is None:
            self.size = torch.zeros(3)
        weights = 1.0 + (seen.loss > self.mean) + float(self.size.sum())
        self.count += 1
        self.mean += (float(seen.loss.mean()) - self.mean) / self.count
        return seen.spread(np.asarray(weights, dtype=np.float64))

    def state(self) -> dict[str, Any]:
        """The mean."""
        return {"mean": self.mean, "count": self.count, "looked": self.looked}

    def restore(self, state: Any) -> None:
        """Go on."""
        self.mean, self.count, self.looked = state["mean"], state["count"], list(state["looked"])

    def tensors(self) -> dict[str, Any]:
        """The size."""
        return {} if self.size is None else {"size": self.size}

    def restore_tensors(self, tensors: Any) -> None:
        """Go on."""
        self.size = tensors.get("size")

    def figures(self) -> dict[str, Any]:
        """What it saw."""
        return {"mean": self.mean, "looked": self.looked}


@dataclass(frozen=True, kw_only=True)
class Drift(PlainPolicy):
    """A policy with all kinds of state."""

    name: ClassVar[str] = "drift"
    seam: ClassVar[Seam] = "weights"
    every: int = 4

    def begin(self, told: Any) -> Acting:
        """Begin."""
        return Drifting(every=self.every)


@dataclass(frozen=True, kw_only=True)
class Same(PlainPolicy):
    """A policy that looks at everything and changes nothing."""

    name: ClassVar[str] = "same"
    seam: ClassVar[Seam] = "weights"

    def begin(self, told: Any) -> Acting:
        """Begin."""
        acting = Acting()
        acting.weighs = True
        return acting
