"""One real verdict: 30M weights on a selection of the OpenStax pool against random subsets, as many seeds as fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.gpu_check import token_pool
from benchmarks.gpu_check.budget import Notes, Setting
from benchmarks.gpu_check.speed import arm
from winnow.trainers.compare.intervals import paired_effect, verdict_of
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of

TOKENS = 5_000_000
SMALL_TOKENS = 12_000
ARM, DRAWN = "best", "plain"


def measure(notes: Notes, setting: Setting) -> None:
    """Bits per byte of both arms, seed by seed; the verdict is `decided` of them, where scipy is there or later."""
    if not setting.data and not setting.small:
        notes.note("scores", "not measured: no pool in tokens; make it with --prepare and name it with --data")
        return
    pool = token_pool.load(Path(setting.data)) if setting.data else token_pool.two_kinds()
    shape = Shape(vocab=pool.vocab, width=32, layers=2, heads=2, context=64) if setting.small else shape_of("30M")
    if shape.vocab != pool.vocab:
        raise SystemExit(f"the pool has a vocabulary of {pool.vocab}, the model of {shape.vocab}: prepare it anew")
    tokens = SMALL_TOKENS if setting.small else TOKENS
    targets = dict(pool.targets)
    notes.note("pool", dict(pool.told))
    notes.note("tokens", tokens)
    notes.note("weights", shape.parameters()[0])
    scores: dict[str, dict[str, list[float]]] = {label: {t: [] for t in targets} for label in (ARM, DRAWN)}
    seeds = sum(name.startswith(DRAWN) for name in pool.selections)
    for seed in range(seeds):
        for label, selection in ((DRAWN, f"{DRAWN}_{seed}"), (ARM, ARM)):
            made = arm(pool.selected(selection), targets, shape, setting, tokens=tokens, seed=seed)
            notes.note(f"{label}/{seed}", made)
            for target, bits in made["bits_per_byte"].items():
                scores[label][target].append(bits)
        notes.note("scores", scores)
        notes.note("verdict", decided(scores))


def decided(scores: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Target -> difference, interval and verdict for this selection; where scipy is missing, that it comes later."""
    pairs = {t: [a - b for a, b in zip(scores[ARM][t], scores[DRAWN][t], strict=True)] for t in scores[ARM]}
    try:
        effects = {target: paired_effect(differences) for target, differences in pairs.items()}
    except ImportError as error:
        return {"later": f"{error.name} is missing here: `--fill` decides"}
    names = ("mean", "low", "high", "p", "n")
    return {t: {k: getattr(e, k) for k in names} | {"verdict": verdict_of(e.low, e.high)} for t, e in effects.items()}
