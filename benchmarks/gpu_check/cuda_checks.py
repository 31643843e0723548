"""What must hold on an accelerator: each check is a function of the device that returns figures or raises AssertionError.

On a CPU they run the same code (most compare the CPU with itself then). `tests/test_gpu.py` calls them where pytest is
there, `check.py` where it is not.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.bench_training import random_documents
from benchmarks.gpu_check import token_pool
from benchmarks.gpu_check.budget import Notes, Setting
from winnow.trainers.data import pack
from winnow.trainers.evaluate.evaluate import evaluate
from winnow.trainers.model import loop, warm
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.device import Machine
from winnow.trainers.model.head import Workspace, token_nats
from winnow.trainers.model.initialise import build
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.train_gpt import Train

Figures = dict[str, Any]
Check = Callable[[str], Figures]
BOUND = Train.exactness.atol or 0.0  # nats: what winnow states for a training run on another machine
BF16_BOUND = 2e-2  # nats: products in bfloat16 against float32
SHAPE = Shape(vocab=257, width=48, layers=3, heads=4, context=64)
RECIPE = Recipe(precision="fp32", lr_hidden=5e-3)
STEPS, ROWS = 24, 4


def documents() -> pack.Documents:
    """Documents that can be learned: ids that count up by one, with jumps, so that a wrong mask changes the loss."""
    plain = random_documents(SHAPE.vocab, 4000)
    draw = np.random.Generator(np.random.Philox(key=2))
    steps = np.where(draw.random(len(plain.tokens)) < 0.9, 1, plain.tokens)
    return replace(plain, tokens=(np.cumsum(steps) % (SHAPE.vocab - 1)).astype(np.uint16))


def data(**changed: Any) -> pack.PackedBatches:
    """A few steps of packed documents."""
    return token_pool.batches(
        documents(),
        **{"context": SHAPE.context, "rows": ROWS, "tokens": STEPS * ROWS * SHAPE.context - 7, "end": SHAPE.vocab - 1,
           "seed": 3, **changed},
    )  # fmt: skip


def losses(device: str, *, recipe: Recipe = RECIPE, batches: Any = None, **machine: Any) -> npt.NDArray[np.float64]:
    """Training losses of the little run there."""
    place = Machine(device="cuda" if device == "cuda" else "cpu", **machine)
    with full_precision():
        return loop.fit(batches or data(), SHAPE, recipe, init_seed=1, machine=place)[1]


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in float32 (a GPU may cut them to TF32 otherwise)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def within(name: str, one: Any, other: Any, bound: float) -> Figures:
    """{name: largest difference}. Raises AssertionError where it is above the bound or no number."""
    worst = float(np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).max())
    assert worst <= bound, f"{name}: {worst:.2e} is above {bound:g}"
    return {name: worst, "bound": bound}


def same_weights_at_the_start(device: str) -> Figures:
    """A seed gives equal bits on every device."""
    here, there = (dict(build(SHAPE, init_seed=7, device=d).named_parameters()) for d in ("cpu", device))
    unequal = [name for name in here if not torch.equal(here[name].detach(), there[name].detach().cpu())]
    assert not unequal, f"other bits in {unequal}"
    return {"weights": len(here)}


def equal_losses_documents_apart(device: str) -> Figures:
    """Packed documents under a mask, Muon and AdamW."""
    return within("difference", losses(device), losses("cpu"), BOUND)


def documents_do_not_see_each_other(device: str) -> Figures:
    """Another first document in a row changes nothing behind it, and does so where documents are not told apart."""
    place = Machine(device="cuda" if device == "cuda" else "cpu")
    with full_precision():
        model = loop.fit(data(), SHAPE, RECIPE, init_seed=1, machine=place)[0].to(device)
        ids = torch.arange(SHAPE.context, device=device)[None] % 200
        other, second = ids.clone(), SHAPE.context // 2
        other[:, :second] += 50
        segments = (torch.arange(SHAPE.context, device=device) >= second).int()[None]
        with torch.no_grad():
            apart, together = (
                float((model.hidden(ids, s) - model.hidden(other, s))[:, second:].abs().max()) for s in (segments, None)
            )
    assert apart <= 1e-6, f"the second document changes by {apart:.2e}"
    assert together > 1e-3, f"nothing is seen at all: {together:.2e}"
    return {"apart": apart, "together": together}


def equal_losses_text_running_on(device: str) -> Figures:
    """`concat` packing: no mask, so another attention kernel."""
    batches = data(packing="concat")
    return within("difference", losses(device, batches=batches), losses("cpu", batches=batches), BOUND)


def equal_losses_adamw(device: str) -> Figures:
    """AdamW for all weights, with decay."""
    recipe = replace(RECIPE, optimizer="adamw", weight_decay=0.1)
    return within("difference", losses(device, recipe=recipe), losses("cpu", recipe=recipe), BOUND)


def equal_losses_rows_in_parts(device: str) -> Figures:
    """Gradients summed over forward passes of one row."""
    return within("difference", losses(device, micro_rows=1), losses("cpu"), BOUND)


def bfloat16_near_float32(device: str) -> Figures:
    """bfloat16 products give losses near those of float32."""
    recipe = replace(RECIPE, precision="bf16")
    return within("difference", losses(device, recipe=recipe), losses(device), BF16_BOUND)


def a_repeated_run_has_the_same_bits(device: str) -> Figures:
    """Twice the same run, where kernels that depend on scheduling are refused."""
    first, second = (losses(device, deterministic=True) for _ in range(2))
    assert (first == second).all(), f"other losses from step {int(np.flatnonzero(first != second)[0])} on"
    return {"steps": len(first)}


def losses_per_token_are_those_of_cross_entropy(device: str) -> Figures:
    """The head in chunks against torch's cross entropy over all logits."""
    draw = torch.Generator().manual_seed(5)
    hidden, weight = (torch.randn(size, generator=draw).to(device) for size in ((300, 48), (257, 48)))
    target = torch.randint(0, 257, (300,), generator=draw).to(device)
    with full_precision():
        ours = token_nats(hidden, weight, target, workspace=Workspace(257, dtype=torch.float32, device=device))
        theirs = torch.nn.functional.cross_entropy(hidden @ weight.T, target, reduction="none")
    return within("difference", ours.cpu(), theirs.cpu(), 1e-4)


def equal_scores(device: str) -> Figures:
    """Nats per document of one model, evaluated here and on the CPU."""
    target = token_pool.two_kinds(vocab=SHAPE.vocab).targets["like"]
    with full_precision():
        found = [
            evaluate([build(SHAPE, init_seed=7).to(d)], SHAPE, target, precision="fp32").nats for d in ("cpu", device)
        ]
    return within("difference", *found, BOUND)


def a_resumed_run_has_the_same_losses(device: str) -> Figures:
    """Stopped at half and gone on with, from a checkpoint; skipped where safetensors, orjson or xxhash are missing."""
    try:
        import orjson  # noqa: F401
        import safetensors  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as error:
        return {"skipped": f"{error.name} is missing"}
    batches = pack.batches_of(
        documents(), context=SHAPE.context, batch=ROWS, tokens=STEPS * ROWS * SHAPE.context,
        end=SHAPE.vocab - 1, seed=3,
    )  # fmt: skip
    place = Machine(device="cuda" if device == "cuda" else "cpu", deterministic=True)
    whole = losses(device, batches=batches, deterministic=True)
    with tempfile.TemporaryDirectory() as folder, full_precision():
        plan = Checkpoints(step=Folder(path=Path(folder)), at=(STEPS // 2,))
        loop.fit(batches, SHAPE, RECIPE, init_seed=1, machine=place, checkpoints=plan)
        again = loop.fit(batches, SHAPE, RECIPE, init_seed=1, machine=place, checkpoints=plan)[1]
    assert (whole == again).all(), f"other losses from step {int(np.flatnonzero(whole != again)[0])} on"
    return {"steps": len(whole)}


CHECKS: tuple[Check, ...] = (
    same_weights_at_the_start,
    losses_per_token_are_those_of_cross_entropy,
    equal_losses_documents_apart,
    documents_do_not_see_each_other,
    equal_losses_text_running_on,
    equal_losses_adamw,
    equal_losses_rows_in_parts,
    equal_scores,
    bfloat16_near_float32,
    a_repeated_run_has_the_same_bits,
    a_resumed_run_has_the_same_losses,
)


def measure(notes: Notes, setting: Setting) -> None:
    """Every check, with its figures; one that fails is told and stops no other."""
    passed = 0
    for check in CHECKS:
        try:
            found = check(setting.device)
            passed += "skipped" not in found
            notes.note(check.__name__, {"result": "skipped" if "skipped" in found else "passed", **found})
        except Exception as error:  # noqa: BLE001
            notes.note(check.__name__, {"result": "failed", "why": f"{type(error).__name__}: {error}"[:300]})
        warm.forget()
    notes.note("passed", passed)
    notes.note("checks", len(CHECKS))
