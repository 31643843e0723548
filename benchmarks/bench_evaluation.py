"""Evaluation beside training: tokens per second of both, in one process on one thread, same shape, same precision.

    nice python benchmarks/bench_evaluation.py --json evaluation.json
    nice python benchmarks/bench_evaluation.py --size 5M --train-tokens 32768

Documents are long texts in windows of the context; choices are items of four answers behind a context of 40 tokens.
`share_at_1_to_10` is what evaluation adds to a run that trains on ten times as many tokens as its targets hold.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import polars as pl

from winnow.trainers import evaluate, loop, suites
from winnow.trainers.recipe import Recipe
from winnow.trainers.sizes import shape_of


def target(kind: str, requests: list[list[tuple[int, int]]], vocab: int) -> suites.Tokenised:
    """A target of items with (context tokens, scored tokens) per request; ids are drawn."""
    flat = [request for item in requests for request in item]
    offsets = np.cumsum([0, *(c + s for c, s in flat)]).astype(np.int64)
    draw = np.random.Generator(np.random.Philox(key=1))
    return suites.Tokenised(
        kind=kind,
        names=pl.Series([f"t:{i}" for i in range(len(requests))]),
        first=np.cumsum([0, *(len(item) for item in requests)]).astype(np.int64),
        gold=np.zeros(len(requests), dtype=np.int64),
        chance=np.zeros(len(requests)),
        ids=draw.integers(0, vocab - 1, int(offsets[-1])).astype(np.uint16),
        offsets=offsets,
        context_tokens=np.array([c for c, _ in flat], dtype=np.int64),
        num_bytes=np.array([4 * s for _, s in flat], dtype=np.int64),
        digest="0" * 32,
    )


def best_of(times: int, act) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1M")
    parser.add_argument("--train-tokens", type=int, default=65_536)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    shape = shape_of(given.size)
    draw = np.random.Generator(np.random.Philox(key=2))
    steps = given.train_tokens // (given.batch * shape.context)
    rows = draw.integers(0, shape.vocab - 1, (steps * given.batch, shape.context + 1)).astype(np.uint16)
    recipe = Recipe(batch=given.batch)
    model, _ = loop.fit(rows[: 2 * given.batch], shape, recipe, init_seed=1)
    train = best_of(given.repeats, lambda: loop.fit(rows, shape, recipe, init_seed=1))
    trained_tokens = steps * given.batch * shape.context
    lengths = draw.geometric(1 / 700, 40) + 10
    targets = {
        "documents": target("documents", [[(0, int(n))] for n in lengths], shape.vocab),
        "choices": target(
            "choices", [[(40, int(n)) for n in draw.integers(2, 12, 4)] for _ in range(150)], shape.vocab
        ),
    }
    report: dict = {
        "command": "nice python benchmarks/bench_evaluation.py",
        "size": given.size,
        "load": os.getloadavg()[0],
        "train_tokens_per_s": trained_tokens / train,
    }
    for name, one in targets.items():
        seconds = best_of(given.repeats, lambda one=one: evaluate.evaluate([model], shape, one))
        rate = len(one.ids) / seconds
        report[name] = {
            "tokens": len(one.ids),
            "tokens_per_s": rate,
            "of_training_speed": rate / report["train_tokens_per_s"],
            "share_at_1_to_10": report["train_tokens_per_s"] / rate / 10,
        }
    print(json.dumps(report, indent=2))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
