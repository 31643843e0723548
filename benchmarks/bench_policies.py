"""What a policy costs of a training step: a plain run and runs with policies, in turns, in one process.

    python benchmarks/bench_policies.py [--sizes tiny,2M] [--steps 12] [--rounds 15] [--policies lin_upper,quadratic]

Prints CPU seconds per step of the plain run, and of each policy as a ratio to it (the median over rounds, with the 95 %
interval of that median): one thread, one pass of all rows. A second plain run says what the measurement itself is good
for. What a policy costs is the look at the losses before the gradients, and its own arithmetic.
`--teacher` prints a step of `salt` with a teacher of half the layers beside the ratio that its FLOPs say: 1 + N_teacher
/ (3 N_student), N being weights that multiply.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from turns import Turn, in_turns

from winnow.trainers.data.pack import Documents, PackedBatches, batches_of
from winnow.trainers.model import loop
from winnow.trainers.model.device import Machine
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.online.policies import policy_named
from winnow.trainers.online.policy_run import PolicyRun, told_of

TINY = Shape(vocab=4096, width=96, layers=2, heads=2, context=128)
BATCH = 8


def data_of(shape: Shape, steps: int) -> PackedBatches:
    """Packed documents of 20 to 400 random tokens."""
    generator = np.random.Generator(np.random.Philox(key=1))
    lengths = generator.integers(20, 400, size=max(40, steps * BATCH * shape.context // 150))
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    names = pl.Series("doc_id", [int(i).to_bytes(16, "big") for i in range(len(lengths))], dtype=pl.Binary)
    tokens = generator.integers(0, shape.vocab - 1, size=int(offsets[-1])).astype(np.uint16)
    made = Documents(doc_id=names, tokens=tokens, offsets=offsets)
    return batches_of(made, context=shape.context, batch=BATCH, tokens=steps * BATCH * shape.context, end=shape.vocab - 1,
                      seed=0)  # fmt: skip


def train(data: PackedBatches, shape: Shape, policy: Any, **told: Any) -> None:
    """A run."""
    run = None
    if policy is not None:
        run = PolicyRun(
            policy=policy, told=told_of(data, vocab=shape.vocab, context=shape.context, batch=BATCH, **told)
        )
    loop.fit(data, shape, Recipe(batch=BATCH), init_seed=1, machine=Machine(device="cpu"), policy=run)


def teacher_ratio(data: PackedBatches, shape: Shape, rounds: int) -> tuple[Turn, float]:
    """(a taught step over a plain one, what the FLOPs say) with a teacher of half the layers."""
    small = dataclasses.replace(shape, layers=max(1, shape.layers // 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        loop.save(loop.build(small, init_seed=2), path)
        policy = policy_named("salt", {"teacher": "t", "until": 1.0})
        told = {"models": {"teacher": path}, "shapes": {"teacher": dataclasses.asdict(small)}}
        ways = {"plain": lambda: train(data, shape, None), "salt": lambda: train(data, shape, policy, **told)}
        return in_turns(ways, rounds=rounds)["salt"], 1 + small.operations(1) / (3 * shape.operations(1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="tiny,2M")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--policies", default="lin_upper,quadratic")
    parser.add_argument("--teacher", action="store_true")
    asked = parser.parse_args()
    for size in asked.sizes.split(","):
        shape = TINY if size == "tiny" else shape_of(size)
        data = data_of(shape, asked.steps)
        policies = {name: policy_named(name, {}) for name in asked.policies.split(",")}
        ways = {"plain": None, "plain again": None, **policies}
        found = in_turns({name: partial(train, data, shape, one) for name, one in ways.items()}, rounds=asked.rounds)
        each = 1000 * found["plain"].seconds / data.num_steps
        print(f"{size}: plain {each:.1f} ms of CPU a step, vocabulary {shape.vocab}, {asked.rounds} rounds")
        for name in list(ways)[1:]:
            print(f"  {name}: {found[name]} times that")
        if asked.teacher:
            measured, expected = teacher_ratio(data, shape, asked.rounds)
            print(f"  salt, a teacher of half the layers: {measured} times that, by FLOPs {expected:.3f}")


if __name__ == "__main__":
    main()
