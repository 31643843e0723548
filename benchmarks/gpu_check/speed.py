"""Tokens per second, utilisation and the price of an arm: what a GPU makes of winnow's training loop as it stands."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.bench_training import PEAK, clocked, random_documents
from benchmarks.gpu_check import token_pool
from benchmarks.gpu_check.budget import Notes, Setting
from benchmarks.gpu_check.cuda_checks import BF16_BOUND
from winnow.trainers.data.packing import Packing
from winnow.trainers.evaluate import evaluate
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.model import loop, warm
from winnow.trainers.model.device import Machine, computing
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of

SMALL = Shape(vocab=300, width=32, layers=2, heads=2, context=64)
STEP_TOKENS = 32_768  # of a step on a GPU
SCREEN_TOKENS = 10_000_000
WARM_STEPS = 5
PUBLISHED = {  # beside our own utilisation: other code, other sizes, the same definition of a peak
    "nanochat": {
        "mfu": [0.40, 0.48], "what": "d12 to d20 (561M) on 8 H100, text running on without a mask, attention not halved",
        "source": "training reports of its runs, such as github.com/mileswangs/mychat report/base-model-training.md: 47.6 %",
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast steps went."""

    tokens_per_s: float
    compile_s: float  # until the first step was done, compiling and warming up included
    steps: int
    losses: list[float]  # of the first steps


def rows_for(shape: Shape, *, small: bool) -> int:
    """Rows of a step: about as many tokens at every size."""
    return 4 if small else STEP_TOKENS // shape.context


def pace(
    shape: Shape, setting: Setting, *, compiled: bool, seconds: float, packing: Packing = "best_fit", rows: int = 0
) -> Pace:
    """Steps of one run for about `seconds`, behind a few that warm up."""
    rows = rows or rows_for(shape, small=setting.small)
    machine = Machine(device="cuda" if setting.device == "cuda" else "cpu", compiled=compiled)
    data = token_pool.batches(
        random_documents(shape.vocab, 20 * rows * shape.context), context=shape.context, rows=rows,
        tokens=4000 * rows * shape.context, end=shape.vocab - 1, seed=1, packing=packing,
    )  # fmt: skip
    recipe = Recipe(batch=rows)
    with computing(machine), warm.body(shape, recipe, machine, init_seed=1) as body:
        run = loop.Run(data=data, recipe=recipe, machine=machine, init_seed=1, body=body)
        first, _ = clocked(lambda: run.advance(1), setting.device)
        one, _ = clocked(lambda: run.advance(WARM_STEPS), setting.device)
        steps = max(3, min(data.num_steps - WARM_STEPS, int(seconds / (one / (WARM_STEPS - 1)))))
        spent, _ = clocked(lambda: run.advance(WARM_STEPS + steps), setting.device)
        losses = run.losses[:WARM_STEPS].cpu().tolist()
    return Pace(tokens_per_s=steps * rows * shape.context / spent, compile_s=first, steps=steps, losses=losses)


def utilisation(shape: Shape, tokens_per_s: float) -> float | None:
    """Share of the device's dense bfloat16 peak; None where that is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    known = next((value for key, value in PEAK.items() if key in name), None)
    return None if known is None else shape.operations(round(tokens_per_s)) / known


def measure_compile(notes: Notes, setting: Setting) -> None:
    """bfloat16 and torch.compile at 30M: seconds to compile, speed with and without, and that losses agree."""
    shape = replace(SMALL, layers=1) if setting.small else shape_of("30M")
    seconds = 0.3 if setting.small else 5.0
    plain = pace(shape, setting, compiled=False, seconds=seconds)
    notes.note("plain_tokens_per_s", round(plain.tokens_per_s))
    warm.forget()
    compiled = pace(shape, setting, compiled=True, seconds=seconds)
    notes.note("compiled_tokens_per_s", round(compiled.tokens_per_s))
    notes.note("compile_s", round(compiled.compile_s, 1))
    worst = float(np.abs(np.subtract(plain.losses, compiled.losses)).max())
    agree = "passed" if worst <= BF16_BOUND else "failed"
    notes.note("compiled_losses", {"result": agree, "difference": worst, "bound": BF16_BOUND})


def measure_utilisation(notes: Notes, setting: Setting) -> None:
    """Model FLOP/s utilisation at 124M and 350M: text that runs on, as others measure it."""
    _utilisations(notes, setting, packing="concat")
    notes.note("published", PUBLISHED)


def measure_utilisation_packed(notes: Notes, setting: Setting) -> None:
    """The same with packed documents under a mask, which is how arms are trained."""
    _utilisations(notes, setting, packing="best_fit")


def _utilisations(notes: Notes, setting: Setting, *, packing: Packing) -> None:
    for name in ("124M", "350M"):
        shape = SMALL if setting.small else shape_of(name)
        rows = rows_for(shape, small=setting.small)
        found = _fitting(shape, setting, rows=rows, packing=packing)
        notes.note(name, found)
        warm.forget()
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def _fitting(shape: Shape, setting: Setting, *, rows: int, packing: Packing) -> dict[str, Any]:
    """The figures with as many of `rows` rows as the memory holds."""
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    while True:
        try:
            got = pace(shape, setting, compiled=not setting.small, seconds=0.3 if setting.small else 6.0, packing=packing,
                       rows=rows)  # fmt: skip
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows //= 2
            warm.forget()
            torch.cuda.empty_cache()
            continue
        peak = torch.cuda.max_memory_allocated() / 1e9 if setting.device == "cuda" else None
        return {
            "weights": shape.parameters()[0], "rows": rows, "context": shape.context, "steps": got.steps,
            "tokens_per_s": round(got.tokens_per_s), "mfu": utilisation(shape, got.tokens_per_s),
            "compile_s": round(got.compile_s, 1), "peak_gb": peak,
        }  # fmt: skip


def arm(
    documents: Any, targets: dict[str, Tokenised], shape: Shape, setting: Setting, *, tokens: int, seed: int
) -> dict[str, Any]:
    """One arm-seed as an ablation trains it: plan, training, evaluation on the targets; bits per byte and seconds."""
    begun = time.perf_counter()
    device = "cuda" if setting.device == "cuda" else "cpu"
    rows = rows_for(shape, small=setting.small) // (1 if setting.small else 2)
    data = token_pool.batches(
        documents, context=shape.context, rows=rows, tokens=tokens, end=shape.vocab - 1, seed=seed
    )  # fmt: skip
    machine = Machine(device=device, compiled=not setting.small)
    model, losses = loop.fit(data, shape, Recipe(batch=rows), init_seed=seed, machine=machine)
    trained = time.perf_counter()
    model = model.to(device)
    scores = {name: evaluate.evaluate([model], shape, target) for name, target in targets.items()}
    bits = {name: evaluate.bits_per_byte(s.nats, s.num_bytes) for name, s in scores.items()}
    return {
        "bits_per_byte": bits, "last_loss": float(losses[-min(len(losses), 20) :].mean()), "epochs": data.epochs,
        "train_s": round(trained - begun, 2), "score_s": round(time.perf_counter() - trained, 2),
    }  # fmt: skip


def measure_screen(notes: Notes, setting: Setting) -> None:
    """Arm-seeds per hour of a screen of 30M weights on 10M tokens each, scored on about 200,000 tokens."""
    shape = SMALL if setting.small else shape_of("30M")
    tokens = 4_000 if setting.small else SCREEN_TOKENS
    documents = random_documents(shape.vocab, tokens)
    targets = {"held": random_target(shape.vocab, 2_000 if setting.small else 200_000)}
    first = arm(documents, targets, shape, setting, tokens=min(tokens, 20 * shape.context * 64), seed=0)
    notes.note("warm_up_s", first["train_s"] + first["score_s"])
    made = [arm(documents, targets, shape, setting, tokens=tokens, seed=1)]
    _note_screen(notes, made, shape, tokens)
    made.append(arm(documents, targets, shape, setting, tokens=tokens, seed=2))
    _note_screen(notes, made, shape, tokens)


def _note_screen(notes: Notes, made: list[dict[str, Any]], shape: Shape, tokens: int) -> None:
    each = [one["train_s"] + one["score_s"] for one in made]
    notes.note("runs", made)
    notes.note("weights", shape.parameters()[0])
    notes.note("tokens", tokens)
    notes.note("arm_seeds_per_hour", round(3600 * len(each) / sum(each), 1))


def random_target(vocab: int, tokens: int) -> Tokenised:
    """A target of random ids, three bytes each: for its cost."""
    import polars as pl

    documents = random_documents(vocab, tokens)
    count, lengths = len(documents.doc_id), np.diff(documents.offsets)
    return Tokenised(
        kind="documents", names=pl.Series([str(i) for i in range(count)]), first=np.arange(count + 1),
        gold=np.zeros(count, np.int64), chance=np.zeros(count), ids=documents.tokens, offsets=documents.offsets,
        context_tokens=np.zeros(count, np.int64), num_bytes=3 * lengths, num_chars=3 * lengths, digest="",
    )  # fmt: skip
