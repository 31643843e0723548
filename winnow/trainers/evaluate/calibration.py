"""Seconds per token of training a model and of reading a target with it, on this machine: a few steps of the real loop.

CPU seconds of this process, because other work on a machine disturbs its clock more; on a GPU seconds of the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from winnow.trainers.evaluate import evaluate, suites
from winnow.trainers.model import loop
from winnow.trainers.model.device import Machine, resolve_device
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape

LEAST_STEPS, MOST_STEPS = 3, 40  # timed, after one that loads what has to be loaded
WANTED_SECONDS = 2.0
ITEM_TOKENS = 300  # of a document of the target that is timed


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds per token."""

    training: float
    evaluation: float


def measure(shape: Shape, recipe: Recipe, machine: Machine) -> Pace:
    """The pace of a shape and a recipe here. Cost: a few seconds; texts are drawn tokens."""
    draw = np.random.Generator(np.random.Philox(key=1))
    step = recipe.batch * shape.context

    def rows(steps: int) -> np.ndarray:
        return draw.integers(0, shape.vocab - 1, (steps * recipe.batch, shape.context + 1)).astype(np.uint16)

    cpu = resolve_device(machine.device) == "cpu"
    model, _ = loop.fit(rows(1), shape, recipe, init_seed=1, machine=machine)
    once = _seconds(lambda: loop.fit(rows(1), shape, recipe, init_seed=1, machine=machine), cpu=cpu)
    steps = max(LEAST_STEPS, min(MOST_STEPS, int(WANTED_SECONDS / max(once, 1e-6))))
    many = _seconds(lambda: loop.fit(rows(steps + 1), shape, recipe, init_seed=1, machine=machine), cpu=cpu)
    training = max(many - once, 0.1 * many) / (steps * step)  # what a run costs once is not counted per token
    target = _target(draw, tokens=max(steps * step // 2, 2 * ITEM_TOKENS), vocab=shape.vocab)
    evaluate.evaluate([model], shape, target, precision=recipe.precision)
    reading = _seconds(lambda: evaluate.evaluate([model], shape, target, precision=recipe.precision), cpu=cpu)
    return Pace(training=training, evaluation=reading / len(target.ids))


def _seconds(act: Callable[[], object], *, cpu: bool) -> float:
    clock = time.process_time if cpu else time.perf_counter
    started = clock()
    act()
    return clock() - started


def _target(draw: np.random.Generator, *, tokens: int, vocab: int) -> suites.Tokenised:
    """Documents of drawn tokens."""
    number = max(1, tokens // ITEM_TOKENS)
    offsets = np.arange(number + 1, dtype=np.int64) * ITEM_TOKENS
    return suites.Tokenised(
        kind="documents", names=pl.Series([f"t:{i}" for i in range(number)]),
        first=np.arange(number + 1, dtype=np.int64), gold=np.zeros(number, dtype=np.int64),
        chance=np.zeros(number), ids=draw.integers(0, vocab - 1, int(offsets[-1])).astype(np.uint16), offsets=offsets,
        context_tokens=np.zeros(number, dtype=np.int64), num_bytes=np.full(number, 4 * ITEM_TOKENS, dtype=np.int64),
        num_chars=np.full(number, 4 * ITEM_TOKENS, dtype=np.int64), digest="0" * 32,
    )  # fmt: skip
