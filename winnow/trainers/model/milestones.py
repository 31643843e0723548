"""Weights along a run: checkpoints at chosen steps, kept as files of the run for jobs that score them later.

Every milestone is a committed checkpoint, so a run that was killed and goes on has them all; training itself is the
same with and without them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.trainers.data.batches import Batches
from winnow.trainers.data.stability import evaluation_steps
from winnow.trainers.model import checkpoint
from winnow.trainers.model.checkpoint import Checkpoints, Folder, Step
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import Start, read_weights

POINT = "point-{:03d}.npz"
KEPT = "step-{:08d}.npz"


@dataclass(kw_only=True)
class Milestones:
    """Where a run of `steps` stops to save, and the folders that it saved into; `points` are those to be scored."""

    step: Step | None
    points: tuple[int, ...] = ()  # 0 among them; (): none
    stops: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()  # whose weights are kept for jobs that ask for a step
    folders: dict[int, Path] = field(default_factory=dict)

    def checkpoints(self) -> Checkpoints | None:
        """What the loop gets; None where nothing is saved."""
        at = tuple(sorted({*self.stops, *self.points, *self.kept} - {0}))
        return Checkpoints(step=self._noted, at=at) if at and self.step is not None else None

    def _noted(self, name: str, make: Callable[[Path], None]) -> Path:
        assert self.step is not None
        folder = self.step(name, make)
        self.folders[int(name.rpartition("-")[2])] = folder
        return folder

    def keep(self, work: Path, data: Batches, shape: Shape, *, init_seed: int, start: Start | None) -> dict[str, Any]:
        """Write the weights of every point into `work`; metrics `curve` and `kept`: step and tokens read of each."""
        for step in self.kept:
            self._write(work / KEPT.format(step), self._weights(step, shape, init_seed=init_seed, start=start))
        kept = {"kept": _told(data, self.kept)} if self.kept else {}
        if not self.points:
            return kept
        for number, step in enumerate(self.points):
            self._write(work / POINT.format(number), self._weights(step, shape, init_seed=init_seed, start=start))
        return {"curve": _told(data, self.points), **kept}

    def _write(self, path: Path, weights: dict[str, np.ndarray]) -> None:
        np.savez(path, allow_pickle=False, **{name: weights[name] for name in sorted(weights)})  # type: ignore[arg-type]

    def _weights(self, step: int, shape: Shape, *, init_seed: int, start: Start | None) -> dict[str, np.ndarray]:
        if step:
            return read_weights(self.folders[step] / checkpoint.WEIGHTS)
        if start is not None:
            return read_weights(start.path)
        return {n: w.detach().numpy() for n, w in build(shape, init_seed=init_seed).named_parameters()}


@contextlib.contextmanager
def milestones(
    ctx: Context, steps: int, *, curve: int, save_every: int, loss_at: Sequence[int] = ()
) -> Iterator[Milestones]:
    """The milestones of a run of `steps`: `curve` points after the first, the steps of `loss_at`, and a checkpoint
    every `save_every` steps.

    Outside of a run of a recipe only what is scored is kept, in a folder that goes when the context ends.

    Raises:
        ConfigError: a step of `loss_at` is beyond the run.
    """
    kept = tuple(sorted(loss_at))
    if kept and kept[-1] > steps:
        raise ConfigError(f"loss_at names step {kept[-1]}, and the run has {steps}", where="loss_at",
                          hint=f"{steps} is its end, 0 its beginning")  # fmt: skip
    points = evaluation_steps(steps, points=curve) if curve else ()
    if ctx.step is not None:
        yield Milestones(step=ctx.step, points=points, stops=checkpoint.stops(steps, save_every), kept=kept)
        return
    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        saved = Folder(path=Path(scratch), keep=0) if curve or kept else None
        yield Milestones(step=saved, points=points, kept=kept)


def _told(data: Batches, steps: Sequence[int]) -> list[dict[str, int]]:
    return [{"step": s, "tokens": t} for s, t in zip(steps, read_until(data, steps), strict=True)]


def read_until(data: Batches, steps: Sequence[int]) -> list[int]:
    """Predicted tokens before each of these steps, ascending."""
    out, total, at = [], 0, 0
    for step in steps:
        total += sum(data.step_tokens(k) for k in range(at, step))
        at = step
        out.append(total)
    return out
