"""Training tokens/s beside a plain GPT loop of the same shape, and what checkpoints and evaluation cost; JSON out.

    python benchmarks/bench_training.py [--sizes tiny,2M,5M] [--seconds 20] [--allocator] [--attention] [--json FILE]
    python benchmarks/bench_training.py --device cuda --sizes 30M,124M,350M --rows 64 --compiled     # adds MFU

The plain loop is the usual one: learned positions, LayerNorm, GELU, fused attention without document masks, all logits
at once, cross entropy, fused AdamW, clipping, bf16 autocast where the CPU multiplies it; and the same loop with torch's
own Muon for hidden matrices, because Muon's step costs more than AdamW's whoever runs it. Same vocabulary, width,
layers, heads, context, rows per step, and threads. winnow's batches are packed documents, so its attention is masked.
All take turns in one process on one thread; a round of each is one measurement, the median of the rounds is reported
per CPU second (a shared machine disturbs the wall clock more) and per second.

`--allocator` repeats everything in a child process with glibc's allocator tuned. `--attention` compares the two ways of
attention, forward and backward.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from winnow.trainers.data import pack
from winnow.trainers.model import head, loop, network, warm
from winnow.trainers.model.device import Machine, autocast, computing, product_type
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import SIZES

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "536870912",
}
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 operations per second


class PlainBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        num_rows, length, width = x.shape
        parts = self.qkv(self.first(x)).split(width, dim=2)
        q, k, v = (p.view(num_rows, length, self.heads, -1).transpose(1, 2) for p in parts)
        taken = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(taken.transpose(1, 2).reshape(num_rows, length, width))
        return x + self.down(functional.gelu(self.up(self.second(x))))


class PlainGpt(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(shape.vocab, shape.width), nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.layers))
        self.norm, self.head = nn.LayerNorm(shape.width), nn.Linear(shape.width, shape.vocab, bias=False)

    def forward(self, ids: Any, targets: Any) -> Any:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class PlainLoop:
    """Trains a PlainGpt on rows, as most loops do."""

    def __init__(self, shape: Shape, recipe: Recipe, device: str, *, compiled: bool, muon: bool = False) -> None:
        torch.manual_seed(0)
        self.model = PlainGpt(shape).to(device)
        self.run = torch.compile(self.model) if compiled else self.model
        hidden = [w for name, w in self.model.named_parameters() if muon and "blocks" in name and w.ndim == 2]
        others = [w for w in self.model.parameters() if not any(w is h for h in hidden)]
        self.steppers = [torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.95), fused=True)]
        self.steppers += [torch.optim.Muon(hidden, lr=2e-2)] if hidden else []
        self.recipe, self.device = recipe, device

    def step(self, ids: np.ndarray, targets: np.ndarray) -> None:
        on = [torch.from_numpy(a).to(self.device, non_blocking=True) for a in (ids, targets)]
        with autocast(self.recipe.precision, device=self.device):
            loss = self.run(*on)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for stepper in self.steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        if self.device == "cpu":
            loss.item()


def random_documents(vocab: int, tokens: int) -> pack.Documents:
    """About `tokens` random ids below `vocab - 1`, in documents with a long tail of lengths: for speed, not to learn."""
    generator = np.random.Generator(np.random.Philox(key=1))
    lengths = np.clip(generator.lognormal(5.0, 1.0, size=max(64, tokens // 150)).astype(np.int64), 1, 4000)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), tokens)) + 1]
    flat = generator.integers(0, vocab - 1, size=int(lengths.sum())).astype(np.uint16)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    names = sorted(hashlib.blake2b(str(i).encode(), digest_size=16).digest() for i in range(len(lengths)))
    return pack.Documents(doc_id=pl.Series(names), tokens=flat, offsets=offsets)


def packed(shape: Shape, *, tokens: int, rows: int) -> pack.PackedBatches:
    """Random documents, packed."""
    documents = random_documents(shape.vocab, tokens)
    return pack.batches_of(documents, context=shape.context, batch=rows, tokens=tokens, end=shape.vocab - 1, seed=0)


def clocked(work: Any, device: str) -> tuple[float, float]:
    """(wall seconds, CPU seconds)."""
    start, started = time.perf_counter(), time.process_time()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - started


def throughput(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens per second of winnow and of the plain loop (both optimisers each), taking turns."""
    shape, recipe = SIZES.get(name, Shape()), Recipe()
    rows, device = options.rows, options.device
    machine = Machine(device=device, compiled=options.compiled)
    per_step = rows * shape.context
    guess = 1e11 if device == "cpu" else 2e14
    steps = max(3, int(options.seconds / 8 * guess / shape.operations(per_step)))
    steps = min(steps, 400)
    data = packed(shape, tokens=per_step * steps * (options.rounds + 1), rows=rows)
    found: dict[str, list[tuple[float, float]]] = {}
    with computing(machine):
        bodies = {}
        for label in ("muon", "adamw"):
            with warm.body(shape, recipe, machine, init_seed=1) as body:
                bodies[label] = loop.Run(
                    data=data, recipe=Recipe(optimizer=label), machine=machine, init_seed=1, body=body
                )
                warm.forget()
        plain = {
            label: PlainLoop(shape, recipe, device, compiled=options.compiled, muon=label == "plain_muon")
            for label in ("plain", "plain_muon")
        }
        batches = [data.batch(step) for step in range(steps)]

        def plain_steps(own: PlainLoop) -> None:
            for batch in batches:
                own.step(batch.ids, batch.targets)

        for run in bodies.values():
            run.advance(3)
        for own in plain.values():
            own.step(batches[0].ids, batches[0].targets)
        for _ in range(options.rounds):
            for label, run in bodies.items():
                until = min(run.step + steps, data.num_steps)
                found.setdefault(label, []).append(clocked(lambda run=run, until=until: run.advance(until), device))
            for label, own in plain.items():
                found.setdefault(label, []).append(clocked(lambda own=own: plain_steps(own), device))
        checkpoint = checkpoint_cost(bodies["muon"], device)
        evaluation = evaluation_cost(bodies["muon"], batches[: max(1, steps // 4)], device)
    tokens = steps * per_step
    out: dict[str, Any] = {"shape": vars_of(shape), "weights": shape.parameters()[0], "rows": rows, "steps": steps}
    for label, times in found.items():
        wall, cpu = (statistics.median(t[k] for t in times) for k in (0, 1))
        out[label] = {"tokens_per_s": round(tokens / wall), "tokens_per_cpu_s": round(tokens / max(cpu, 1e-9))}
        if device == "cuda":
            out[label]["mfu"] = shape.operations(round(tokens / wall)) / peak()
    unit = "tokens_per_s" if device == "cuda" else "tokens_per_cpu_s"
    for label in ("muon", "adamw"):
        out[f"{label}_over_plain"] = round(out[label][unit] / out["plain"][unit], 3)
    out["muon_over_plain_muon"] = round(out["muon"][unit] / out["plain_muon"][unit], 3)
    step_s = per_step / out["muon"]["tokens_per_s"]
    return out | {
        "checkpoint_s": checkpoint,
        "checkpoint_share_every_500_steps": checkpoint / (500 * step_s),
        "evaluation_over_training_per_token": evaluation * out["muon"]["tokens_per_s"],
    }


def checkpoint_cost(run: loop.Run, device: str) -> float:
    """Seconds to write one checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return min(clocked(lambda k=k: run.save(Path(folder) / str(k)), device)[0] for k in range(3))


def evaluation_cost(run: loop.Run, batches: list[Any], device: str) -> float:
    """Seconds per token of a forward pass and its losses."""

    def look() -> None:
        with torch.no_grad():
            for batch in batches:
                ids, targets, segments = (
                    torch.from_numpy(a).to(device) for a in (batch.ids, batch.targets, batch.segments)
                )
                with autocast("auto", device=device):
                    hidden = run.body.hidden(ids, segments).flatten(0, 1)
                head.token_nats(hidden, run.body.model.head.weight, targets.flatten(), workspace=run.body.workspace)

    return min(clocked(look, device)[0] for _ in range(2)) / sum(batch.ids.size for batch in batches)


def vars_of(shape: Shape) -> dict[str, int]:
    return {name: getattr(shape, name) for name in ("vocab", "width", "layers", "heads", "context")}


def peak() -> float:
    name = torch.cuda.get_device_name()
    return next((value for key, value in PEAK.items() if key in name), float("nan"))


def attention(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds, forward and backward, of both ways, with documents masked and not."""
    out = []
    for rows, heads, length, size in ((8, 3, 128, 32), (8, 4, 256, 64), (4, 6, 512, 64), (2, 10, 1024, 64)):
        for precision in ("bf16", "fp32"):
            kind = product_type(precision)
            q, k, v = (torch.randn(rows, heads, length, size, dtype=kind).requires_grad_() for _ in range(3))
            future = torch.full((length, length), -float("inf")).triu(1).to(kind)
            other = (torch.arange(length) // (length // 3 + 1))[None, :]
            apart = (other[:, :, None] != other[:, None, :])[:, None].expand(rows, 1, length, length)
            hidden = torch.where(apart, -float("inf"), future).to(kind)
            ways = {
                "written": lambda q=q, k=k, v=v, m=future: network.written(q, k, v, m),
                "fused": lambda q=q, k=k, v=v: network.fused(q, k, v, None),
                "written_masked": lambda q=q, k=k, v=v, m=hidden: network.written(q, k, v, m),
                "fused_masked": lambda q=q, k=k, v=v, m=~apart & (future == 0): network.fused(q, k, v, m),
            }
            row: dict[str, Any] = {"rows": rows, "heads": heads, "length": length, "size": size, "precision": precision}
            with computing(Machine()):
                for label, way in ways.items():
                    row[label] = round(
                        1e3 * min(clocked(lambda way=way: way().sum().backward(), "cpu")[1] for _ in range(5)), 2
                    )
            out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="tiny,2M,5M")
    parser.add_argument("--seconds", type=float, default=20.0, help="about this long per size and way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--allocator", action="store_true")
    parser.add_argument("--attention", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "command": " ".join(sys.argv), "torch": torch.__version__, "machine": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu", "load": os.getloadavg()[0],
    }  # fmt: skip
    if options.attention:
        report["attention"] = attention(options)
    else:
        report["sizes"] = {name: throughput(name, options) for name in options.sizes.split(",") if name}
    if options.allocator:
        words = [word for word in sys.argv[1:] if word != "--allocator" and not word.startswith("--json")]
        child = subprocess.run(
            [sys.executable, __file__, *words], env=os.environ | TUNED, capture_output=True, text=True, check=True
        )
        report["tuned_allocator"] = json.loads(child.stdout)
    text = json.dumps(report, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
