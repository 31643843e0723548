"""Recipes whose truth is known: arms that are all the same, rules that know nothing, a planted share of target text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.small_pool import COLUMNS

SMALL = {"tokens": 40_000, "vocab": 1024, "width": 48, "layers": 2, "heads": 2, "context": 64, "batch": 8,
         "eval_bytes": 60_000, "tokenizer_bytes": 2_000_000}  # fmt: skip
BUDGET = 60_000  # tokens of a selection, by the pool's estimate
ARMS = 12  # rules of one null world, as many as a family of a real comparison may have


@dataclass(frozen=True, kw_only=True)
class Census:
    """Ablation stages by name, and the selections that they compare."""

    name: str
    selections: Mapping[str, str]  # stage -> the inside of its braces
    effects: Mapping[str, str]

    def yaml(self, folder: Path) -> str:
        """The recipe, reading the files that `small_pool.build` wrote into a folder."""
        columns = ", ".join(f"u{i}: float64" for i in range(COLUMNS))
        stages = {
            "docs": f'use: jsonl, files: "{folder}/pool.jsonl", columns: {{source: string, pep: float64, {columns}}}',
            "peps": f'use: jsonl, files: "{folder}/held_peps.jsonl"',
            "bbc": f'use: jsonl, files: "{folder}/held_bbc.jsonl"',
            **self.selections, **self.effects,
        }  # fmt: skip
        lines = "".join(f"  {name}: {{{inside}}}\n" for name, inside in stages.items())
        return f"name: {self.name}\nseed: 1\ntokenizer: bytes/4\nstages:\n{lines}"


def ablation(arms: Sequence[str], baseline: str, *, seeds: int, extra: str = "") -> str:
    """The inside of an ablation stage's braces. All have one seed, so that a label's runs are trained once for all."""
    fields = ", ".join(f"{k}: {v}" for k, v in {"seeds": seeds, **SMALL}.items())
    named = ", ".join(f"{arm}: {arm}" for arm in arms)
    return (f"use: ablation, seed: 100, aa: false, arms: {{{named}}}, baseline: {baseline}, eval: {{peps: peps, bbc: bbc}}, "
            f"may_overlap: [peps, bbc], {fields}{extra}")  # fmt: skip


def drawn(name: str) -> str:
    """A random draw of its own at every seed."""
    return f"use: random, inputs: docs, budget: {BUDGET} tokens, salt: r0_{name[1:]}"


def same(*, labels: int, seeds: int) -> Census:
    """A/A: every label a random draw of its own at every seed."""
    names = [f"r{i}" for i in range(labels)]
    effects = {"same": ablation(names[1:], names[0], seeds=seeds)}
    return Census(name="same", selections={name: drawn(name) for name in names}, effects=effects)


def null_rules(*, worlds: int, seeds: int) -> Census:
    """Twelve rules per world, each the best by a column of random numbers, against a baseline of its own: that of `same`,
    so that its runs are there already.
    """
    selections, effects = {}, {}
    for world in range(worlds):
        names = [f"f{ARMS * world + i}" for i in range(ARMS)]
        selections |= {name: f"use: top_k, inputs: docs, by: u{name[1:]}, budget: {BUDGET} tokens" for name in names}
        selections[f"r{world}"] = drawn(f"r{world}")
        effects[f"null{world}"] = ablation(names, f"r{world}", seeds=seeds)
    return Census(name="null_rules", selections=selections, effects=effects)


def null_folds(*, rules: int, seeds: int) -> Census:
    """Rules of that kind where every seed selects from a fold of the pool of its own, and a random baseline."""
    names = [f"f{i}" for i in range(rules)]
    budget = BUDGET * seeds  # a fold's budget is its share of the declared one
    selections = {name: f"use: top_k, inputs: docs, by: u{name[1:]}, budget: {budget} tokens" for name in names}
    selections["plain"] = f"use: random, inputs: docs, budget: {budget} tokens"
    return Census(
        name="folds",
        selections=selections,
        effects={"folds": ablation(names, "plain", seeds=seeds, extra=", folds: true")},
    )


def planted(*, seeds: int, odds: Sequence[float]) -> Census:
    """Arms in which documents like the first target are `odds` times as likely as others; drawn at every seed."""
    selections = {"r0": drawn("r0")}
    for i, each in enumerate(odds):
        selections[f"p{i}"] = (f"use: sample, inputs: docs, by: pep, temperature: {1 / math.log(each):.6f}, "
                               f"budget: {BUDGET} tokens, salt: planted{i}")  # fmt: skip
    return Census(
        name="planted", selections=selections, effects={"planted": ablation(list(selections)[1:], "r0", seeds=seeds)}
    )
