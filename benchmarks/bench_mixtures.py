"""What a mixture costs of a training step, besides evaluations: the draw of its domains and their rows.

    python benchmarks/bench_mixtures.py [--domains 10] [--size 1M] [--steps 40] [--rounds 15]

CPU milliseconds of one thread per step, in turns: rows of the plain run, rows of a mixture of as many documents with the
draw of its domains, and a training step of a model of that size on such rows. `share` is what the mixture's rows cost more
than the plain ones, of a step; whole runs under `temperature`, which moves nothing, stand beside the plain run.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from turns import in_turns

from winnow.trainers.data import pack
from winnow.trainers.data.mixed import mixed_of
from winnow.trainers.model import loop
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.online.mixing import DOMAIN
from winnow.trainers.online.policies import policy_named
from winnow.trainers.online.policy_run import PolicyRun, told_of

BATCH = 8


def documents(count: int, vocab: int) -> pack.Documents:
    """Random documents of 20 to 600 tokens."""
    rng = np.random.Generator(np.random.Philox(key=0))
    lengths = rng.integers(20, 600, count)
    ids = [rng.integers(0, vocab - 1, n).tolist() for n in lengths]
    frame = pl.DataFrame(
        {"doc_id": sorted(rng.bytes(16) for _ in ids), "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))}
    )
    return pack.documents_of(frame.select("doc_id"), frame)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", type=int, default=10)
    parser.add_argument("--size", default="1M")
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    shape = shape_of(args.size)
    made = documents(args.documents, shape.vocab)
    plain = pack.batches_of(made, context=shape.context, batch=BATCH, tokens=args.steps * BATCH * shape.context,
                            end=shape.vocab - 1, seed=0)  # fmt: skip
    names = [f"d{k:04d}" for k in range(args.domains)]
    mixed = mixed_of(plain, np.arange(args.documents) % args.domains, names, max_repeats=100)
    shares, steps = np.full(args.domains, 1.0 / args.domains), plain.num_steps

    def rows() -> None:
        for step in range(steps):
            plain.batch(step)

    def draws() -> None:
        mixed.reset()
        for step in range(steps):
            mixed.take(step, shares)
            mixed.batch(step)

    def train(batches: Any, policy: PolicyRun | None) -> None:
        loop.fit(batches, shape, Recipe(batch=BATCH), init_seed=1, policy=policy)

    columns = pl.DataFrame({DOMAIN: [names[k % args.domains] for k in range(args.documents)]})
    told = told_of(plain, vocab=shape.vocab, context=shape.context, batch=BATCH, columns=columns)
    acting = PolicyRun(policy=policy_named("temperature", {"per": ("x",), "max_repeats": 100}), told=told)
    ways = {"plain": partial(train, plain, None), "plain again": partial(train, plain, None),
            "mixture": partial(train, mixed, acting)}  # fmt: skip
    whole = in_turns(ways, rounds=args.rounds)
    parts = in_turns({"rows": rows, "draws": draws}, rounds=args.rounds)
    ms = {name: one.seconds / steps * 1e3 for name, one in {**whole, **parts}.items()}
    print(f"{args.size}, {steps} steps of {BATCH} x {shape.context}, {args.domains} domains, {args.rounds} rounds")
    print(f"  a step {ms['plain']:.2f} ms; rows {ms['rows']:.3f} ms, of a mixture {ms['draws']:.3f} ms")
    print(f"  the mixture's rows and draw cost {(ms['draws'] - ms['rows']) / ms['plain']:+.2%} of a step")
    print(f"  whole runs: plain again {whole['plain again']}, temperature {whole['mixture']} times the plain one")


if __name__ == "__main__":
    main()
