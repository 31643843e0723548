"""Speed of the data path beside the trainer that it feeds, and of packing, as JSON on stdout.

    python benchmarks/bench_loader.py [--documents N] [--context T] [--batch B] [--steps N] [--no-trainer]

`packing`: a million documents of log-normal length (median 403 tokens, sigma 1.2) packed best-fit decreasing, beside
`concat`, beside the same pieces put into rows in the order they come (`next_fit`), and beside one document per row
with the rest cropped or filled. `loader`: tokens per second of one thread, from memory-mapped ids to int64 arrays
(`batches`), to torch tensors (`dataset`), and through DataLoader workers. `trainer`: the default model of an
ablation (1.1M parameters) on the same batches in this process, one thread. Best of three each; wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.data.packing import make_plan

VOCAB = 4096
REPEATS = 3


def lengths_of(documents: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).lognormal(6, 1.2, documents)
    return np.clip(drawn, 1, 100_000).astype(np.int64)


def best(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def next_fit_rows(lengths: np.ndarray, context: int) -> int:
    """Rows where a piece opens a row as soon as it does not fit into the last one."""
    rows, free = 0, 0
    for n in lengths.tolist():
        if n > free:
            rows, free = rows + 1, context
        free -= n
    return rows


def packing(documents: int, contexts: Iterable[int]) -> dict[str, Any]:
    lengths, out = lengths_of(documents), {}
    positions = lengths + 1
    make_plan(lengths[:100], context=64)
    for context in contexts:
        found: dict[str, Any] = {}
        for kind in ("best_fit", "concat"):
            seconds = best(lambda kind=kind, context=context: make_plan(lengths, context=context, packing=kind))
            plan = make_plan(lengths, context=context, packing=kind)
            report = plan.report()
            found[kind] = {
                "seconds": seconds,
                "utilisation": report["utilisation"],
                "documents_cut": report["documents_cut"] / documents,
                "plan_bytes_per_document": (12 * report["pieces"] + 8 * report["rows"]) / documents,
            }
        whole, rest = positions // context, positions % context
        rows = int(whole.sum()) + next_fit_rows(rest[rest > 0], context)
        found["next_fit"] = {"utilisation": positions.sum() / (rows * context)}
        kept = np.minimum(positions, context).sum()
        found["one_document_per_row"] = {
            "utilisation": kept / (documents * context),
            "tokens_cropped": 1 - kept / positions.sum(),
        }
        out[str(context)] = found
    return {"documents": documents, "contexts": out}


def write_shards(folder: Path, documents: int) -> Path:
    """Shards of text of which every byte is a token: 'bytes' makes the ids."""
    lengths = lengths_of(documents, seed=1)
    text = np.random.default_rng(2).integers(97, 123, int(lengths.sum()), dtype=np.uint8).tobytes().decode()
    ends = np.cumsum(lengths)
    rows = [text[e - n : e] for e, n in zip(ends.tolist(), lengths.tolist(), strict=True)]
    ids = [i.to_bytes(16, "little") for i in range(documents)]
    folder.mkdir()
    for k in range(4):
        frame = pl.DataFrame({"doc_id": ids[k::4], "text": rows[k::4]})
        frame.write_parquet(folder / f"shard-{k}.parquet")
    return folder


def consumed(items: Iterable[dict[str, Any]], steps: int) -> int:
    tokens = 0
    for number, item in enumerate(items, start=1):
        tokens += item["ids"].numel()
        if number == steps:
            break
    return tokens


def loader(folder: Path, chosen: argparse.Namespace) -> tuple[dict[str, float], PackedBatches]:
    from torch.utils.data import DataLoader

    from winnow.trainers.data import ShardDataset

    warnings.filterwarnings("ignore", message="This DataLoader will create")
    size, out = chosen.batch * chosen.context, {}
    start = time.perf_counter()
    data = ShardDataset(folder, tokenizer="bytes", context=chosen.context, batch=chosen.batch, epochs=1000)
    out["prepare_tokens_per_s"] = data.plan.num_tokens / (time.perf_counter() - start)
    opened = best(lambda: ShardDataset(folder, tokenizer="bytes", context=chosen.context, batch=chosen.batch))
    out["open_again_s"] = opened
    batches = data._batches
    assert batches is not None
    batches.batch(0)
    steps = chosen.steps
    seconds = best(lambda: [batches.batch(s) for s in range(steps)])
    out["batches_tokens_per_s"] = steps * size / seconds
    seconds = best(lambda: consumed(data, steps))
    out["dataset_tokens_per_s"] = steps * size / seconds
    for workers in (1, 2):
        stream = iter(DataLoader(data, batch_size=None, num_workers=workers))
        consumed(stream, 8)
        seconds = best(lambda stream=stream: consumed(stream, steps))
        out[f"workers_{workers}_tokens_per_s"] = steps * size / seconds
    return out, batches


def trainer(batches: PackedBatches, chosen: argparse.Namespace) -> float:
    """Tokens per second of the ablation's default model."""
    import dataclasses

    from winnow.trainers.model import loop
    from winnow.trainers.model.shape import Shape

    steps = chosen.trainer_steps
    shape = Shape(vocab=VOCAB, width=96, layers=3, heads=3, context=chosen.context)
    seconds = []
    for count in (2, steps + 2):
        short = dataclasses.replace(batches, tokens=count * chosen.batch * chosen.context)
        start = time.perf_counter()
        loop.fit(short, shape, loop.Recipe(), init_seed=0)
        seconds.append(time.perf_counter() - start)
    return steps * chosen.batch * chosen.context / max(1e-9, seconds[1] - seconds[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--contexts", type=int, nargs="+", default=[128, 1024, 2048, 8192])
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--trainer-steps", type=int, default=60)
    parser.add_argument("--no-trainer", action="store_true")
    parser.add_argument("--json", action="store_true", help="as always")
    chosen = parser.parse_args()
    out: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine()},
        "packing": packing(chosen.documents, chosen.contexts),
        "shape": {"context": chosen.context, "batch": chosen.batch},
    }
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder) / "shards", 20_000)
        out["loader"], batches = loader(shards, chosen)
        if not chosen.no_trainer:
            speed = trainer(batches, chosen)
            out["trainer"] = {"tokens_per_s": speed}
            out["data_path_over_trainer"] = {
                name: value / speed for name, value in out["loader"].items() if name.endswith("tokens_per_s")
            }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
