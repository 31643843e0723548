"""Does a policy keep its contract? Its answers to made-up steps, and a tiny model that is trained with it.

Rules: `answers` (finite weights in the shape of samples or tokens), `twice` (two beginnings answer alike), `order`
(weights of samples do not depend on the order of the rows), `passes` (a run in one pass and one in several have the
same losses), `uniform` (told where equal losses are weighed alike: then it changes nothing there).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from winnow.core.errors import WinnowError
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.pack import Documents, PackedBatches, batches_of
from winnow.trainers.model import loop
from winnow.trainers.model.device import Machine
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.answers import weights_of
from winnow.trainers.online.policy import Policy
from winnow.trainers.online.policy_run import PolicyRun, told_of
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

TINY = Shape(vocab=60, width=16, layers=1, heads=2, context=24)
RECIPE = Recipe(precision="fp32", batch=4)
STEPS = 6
CLOSE = 1e-4


@dataclass(frozen=True)
class PolicyFinding:
    """A rule that a policy breaks, or what was found out about it."""

    rule: str
    status: Literal["broken", "not covered"]
    message: str


def policy_findings(policy: Policy, *, code: Path | None = None) -> list[PolicyFinding]:
    """What is wrong with a policy that weighs; a few seconds."""
    data = _data()
    count = len(data.data.doc_id)
    values = {name: pl.Series([float((7 * i + 3) % 23) for i in range(count)]) for name in policy.columns_read()}
    told = told_of(data, vocab=TINY.vocab, context=TINY.context, batch=4, columns=values, code=code)
    try:
        if not policy.begin(told).weighs:
            return [PolicyFinding("answers", "not covered", "it weighs nothing: only weights are looked at here")]
        return [*_answered(policy, told, data), *_trained(policy, told, data)]
    except WinnowError as error:
        return [PolicyFinding("answers", "broken", f"{error.what} ({error.where})")]


def _answered(policy: Policy, told: Told, data: PackedBatches) -> Iterator[PolicyFinding]:
    rows = data.batch(0)
    nats = np.random.Generator(np.random.Philox(key=1)).gamma(2.0, 1.5, size=rows.ids.shape).astype(np.float32)
    seen = Seen(step=0, rows=rows, nats=nats, told=told)
    first, again = (weights_of(policy.begin(told), seen, where=policy.called()) for _ in range(2))
    if not np.array_equal(first, again):
        yield PolicyFinding(
            "twice", "broken", "two runs that begin alike got different weights: draw by keys, not lots"
        )
    turned = Batch(**{f.name: getattr(rows, f.name)[::-1] for f in dataclasses.fields(rows)})
    other = weights_of(policy.begin(told), Seen(step=0, rows=turned, nats=nats[::-1], told=told), where=policy.called())
    if np.abs(other[::-1] - first).max() > CLOSE:
        yield PolicyFinding("order", "broken", "weights depend on the order of the rows in a step")
    even = weights_of(policy.begin(told), dataclasses.replace(seen, nats=np.ones_like(nats)), where=policy.called())
    if np.abs(even - rows.weights).max() > CLOSE:
        yield PolicyFinding(
            "uniform", "not covered", "equal losses are not weighed alike: a column, or the step, says so"
        )


def _trained(policy: Policy, told: Told, data: PackedBatches) -> Iterator[PolicyFinding]:
    one, several = (
        loop.fit(data, TINY, RECIPE, init_seed=1, policy=PolicyRun(policy=policy, told=told), machine=machine)[1]
        for machine in (Machine(device="cpu"), Machine(device="cpu", micro_rows=3))
    )
    worst = float(np.abs(one - several).max())
    if not worst <= CLOSE:
        yield PolicyFinding("passes", "broken", f"a run in several passes differs by {worst:.2g} nats per token")


def _data() -> PackedBatches:
    generator = np.random.Generator(np.random.Philox(key=5))
    lengths = generator.integers(1, 30, size=60)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    names = pl.Series("doc_id", [int(i).to_bytes(16, "big") for i in range(len(lengths))], dtype=pl.Binary)
    tokens = generator.integers(0, TINY.vocab - 1, size=int(offsets[-1])).astype(np.uint16)
    made = Documents(doc_id=names, tokens=tokens, offsets=offsets)
    return batches_of(made, context=TINY.context, batch=4, tokens=STEPS * 4 * TINY.context, end=TINY.vocab - 1, seed=0)
