"""Evaluation beside training: tokens per CPU second of both, in one process on one thread, same shape and precision.

    nice python benchmarks/bench_evaluation.py --json evaluation.json
    nice python benchmarks/bench_evaluation.py --size 5M --train-tokens 32768
    nice python benchmarks/bench_evaluation.py --head              # the losses alone, with and without the kernel
    python benchmarks/bench_evaluation.py --items runs/openstax    # what a sample of the items does to an effect

Documents are long texts in windows of the context; choices are items of four answers behind a context of 40 tokens.
`share_at_1_to_10` is what evaluation adds to a run that trains on ten times as many tokens as its targets hold.

`--items` draws many samples of the items of a finished comparison (a run root) and says how far the effect of an arm
moves with them (`spread`, a standard deviation) beside the half-width of its interval over seeds (`half_width`), all
in bits per byte: the first is what `eval_bytes` costs, and the interval does not hold it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import polars as pl

import winnow
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.intervals import t_intervals
from winnow.trainers.evaluate import evaluate, suites
from winnow.trainers.model import loop
from winnow.trainers.model.device import Machine, computing
from winnow.trainers.model.head import Workspace
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.sizes import shape_of


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
    """CPU seconds of the cheapest of several calls: other work on the machine disturbs the clock more."""
    seconds = []
    for _ in range(times):
        started = time.process_time()
        act()
        seconds.append(time.process_time() - started)
    return min(seconds)


def heads() -> dict[str, dict[str, float]]:
    """Microseconds per token of the losses of 4,096 tokens in bfloat16, by shape: product alone, arrays, kernel."""
    import torch

    out = {}
    for name in ("1M", "5M", "15M"):
        shape = shape_of(name)
        draw = torch.Generator().manual_seed(1)
        x, weight = (torch.randn(n, shape.width, generator=draw).bfloat16() for n in (4096, shape.vocab))
        target = torch.randint(0, shape.vocab, (4096,), generator=draw)
        with computing(Machine(device="cpu")), torch.no_grad():
            space = Workspace(shape.vocab, dtype=torch.bfloat16)
            chunks = space.chunks(len(x))
            ways = {
                "product": lambda: [torch.mm(x[c], weight.T, out=space.logits_CV) for c in chunks],  # noqa: B023
                "arrays": lambda: [space.score(x[c], weight, target[c]) for c in chunks],  # noqa: B023
                "kernel": lambda: [space.nats(x[c], weight, target[c]) for c in chunks],  # noqa: B023
            }
            out[name] = {label: round(1e6 * best_of(10, way) / len(x), 2) for label, way in ways.items()}
    return out


def items(root: Path, *, draws: int = 400) -> list[dict]:
    """For every target, arm and sampled size: spread of the effect over samples, and the half-width over seeds."""
    run = winnow.open(root)
    stages = run.stages
    stage = next(name for name, told in stages.items() if told["operator"] == "compare_arms")
    found = run.result(stage).metrics
    arms = [BASELINE, *found["arms"], *found["aa"]]
    rng, out = np.random.Generator(np.random.Philox(key=1)), []
    for target in found["targets"]:
        nats = {}
        for arm in arms:
            scored = [stages[f"{stage}.score_{arm}_{s}_{target}"]["fingerprint"][:20] for s in range(found["seeds"])]
            folders = [run.root / f"evaluate_gpt-{name}" for name in scored]
            loaded = [np.load(next(folder.rglob("*documents.npz"))) for folder in folders]
            nats[arm] = np.stack([one[f"{target}.nats"] for one in loaded]) / np.log(2)
        sizes = loaded[0][f"{target}.bytes"]
        for arm in arms[1:]:
            over = nats[arm] - nats[BASELINE]
            for most in (50_000, 100_000, 200_000, int(sizes.sum())):
                means, halves = [], []
                for _ in range(draws):
                    order = rng.permutation(len(sizes))
                    taken = order[: int(np.searchsorted(np.cumsum(sizes[order]), most)) + 1]
                    mean, _, half = t_intervals(over[:, taken].sum(axis=1)[None, :] / sizes[taken].sum())
                    means.append(mean[0])
                    halves.append(half[0])
                row = {"target": target, "arm": arm, "bytes": most, "effect": np.mean(means)}
                row |= {"spread": np.std(means), "half_width": np.mean(halves)}
                out.append({k: round(float(v), 4) if isinstance(v, float) else v for k, v in row.items()})
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--head", action="store_true")
    parser.add_argument("--items", type=Path)
    parser.add_argument("--size", default="1M")
    parser.add_argument("--train-tokens", type=int, default=65_536)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.head or given.items:
        print(json.dumps(heads() if given.head else items(given.items), indent=2))
        return
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
        "train_tokens_per_cpu_s": trained_tokens / train,
    }
    for name, one in targets.items():
        seconds = best_of(given.repeats, lambda one=one: evaluate.evaluate([model], shape, one))
        rate = len(one.ids) / seconds
        report[name] = {
            "tokens": len(one.ids),
            "tokens_per_cpu_s": rate,
            "of_training_speed": rate / report["train_tokens_per_cpu_s"],
            "share_at_1_to_10": report["train_tokens_per_cpu_s"] / rate / 10,
        }
    print(json.dumps(report, indent=2))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
