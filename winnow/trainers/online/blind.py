"""The rows and weights of a run whose policy asks no model (`Policy.blind`): they are known without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.steered import Steered
from winnow.trainers.online.answers import weights_of
from winnow.trainers.online.policy_run import PolicyRun
from winnow.trainers.online.seen import Seen


def rows_of(batches: Batches, run: PolicyRun | None) -> Iterator[tuple[Batch, int]]:
    """(a step's rows with the weights that train, its predicted tokens), step by step; `run`: nobody acts, or blindly.

    Cost: opens every batch that is asked for.
    """
    acting = None if run is None else run.begin()
    if acting is not None:
        acting.reads(batches)
    for step in range(batches.num_steps):
        if isinstance(batches, Steered) and acting is not None:
            batches.take(step, acting.shares(step))
        rows = batches.batch(step)
        if run is not None and acting is not None and acting.weighs:
            seen = Seen(step=step, rows=rows, nats=np.zeros(rows.ids.shape, dtype=np.float32), told=run.told)
            weights = weights_of(acting, seen, where=run.policy.called())
            rows = dataclasses.replace(rows, weights=weights)
        yield rows, batches.step_tokens(step)
