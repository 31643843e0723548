"""What `value_alignment` costs: CPU seconds per step beside the plain run, in turns, in one process.

    python benchmarks/bench_alignment.py [--size 1M] [--steps 40] [--rounds 9] [--every 20]

Medians over rounds of the ratio to the plain run of the same round, with the 95 % interval of the median; the rows are
packed documents of 20 to 400 tokens.
"""

from __future__ import annotations

import argparse
import hashlib
from functools import partial

import numpy as np
import polars as pl
from turns import in_turns

from winnow.trainers.data import pack
from winnow.trainers.model import loop
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.online.policy_run import PolicyRun, told_of
from winnow.trainers.online.weights.value_alignment import ValueAlignment

BATCH = 8


def documents(count: int, vocab: int, *, seed: int) -> pack.Documents:
    """Random documents."""
    draw = np.random.default_rng(seed)
    ids = [draw.integers(0, vocab - 1, int(n)).tolist() for n in draw.integers(20, 400, count)]
    names = [hashlib.blake2b(str((seed, i)).encode(), digest_size=16).digest() for i in range(count)]
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    return pack.documents_of(frame.select("doc_id"), frame)


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1M")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--every", type=int, default=20)
    given = parser.parse_args()
    shape = shape_of(given.size)
    recipe = Recipe(batch=BATCH)
    tokens = given.steps * BATCH * shape.context
    settings = {"context": shape.context, "batch": BATCH, "end": shape.vocab - 1, "seed": 0}
    data = pack.batches_of(documents(600, shape.vocab, seed=1), tokens=tokens, **settings)
    held = pack.batches_of(documents(60, shape.vocab, seed=2), tokens=8_000, **settings)
    texts = {"feedback": [held.batch(step) for step in range(held.num_steps)]}
    told = told_of(data, vocab=shape.vocab, context=shape.context, batch=BATCH, texts=texts)
    ways: dict[str, dict | None] = {"plain": None, "plain again": None, "measured only": {"kl": float("inf")}}
    ways |= {by: {"by": by} for by in ("ghost", "difference", "jvp")}

    def train(fields: dict | None) -> None:
        run = None
        if fields is not None:
            run = PolicyRun(policy=ValueAlignment(feedback="held", every=given.every, **fields), told=told)
        loop.fit(data, shape, recipe, init_seed=1, policy=run)

    found = in_turns({name: partial(train, fields) for name, fields in ways.items()}, rounds=given.rounds)
    looks = -(-data.num_steps // given.every)  # a short run has more of them than one in `every` steps
    print(f"{given.size}, {looks} looks in {data.num_steps} steps of {BATCH} x {shape.context}")
    for name, one in found.items():
        print(f"{name:14} {one.seconds / data.num_steps * 1e3:8.1f} ms of CPU per step, {one} times the plain one,"
              f" {(one.ratio - 1) * data.num_steps / looks / given.every:+.1%} at one look in {given.every} steps")  # fmt: skip


if __name__ == "__main__":
    main()
