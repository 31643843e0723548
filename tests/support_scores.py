"""Small corpora of scores, and what the docstrings of score selectors say, row by row."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from winnow.core.operators import Context, Fold
from winnow.testing.in_memory import run_fold


def ids(count: int, seed: int = 0) -> pl.Series:
    """Random 16-byte ids."""
    raw = np.random.default_rng(seed).bytes(16 * count)
    return pl.Series([raw[16 * i : 16 * i + 16] for i in range(count)], dtype=pl.Binary)


def corpus(scores: Any, costs: Any = None, **columns: Any) -> pl.DataFrame:
    """doc_id, score, token_count and whatever else."""
    count = len(scores)
    return pl.DataFrame({"doc_id": ids(count), "score": pl.Series(scores, dtype=pl.Float64, strict=False),
                         "token_count": pl.Series([1] * count if costs is None else costs, dtype=pl.Int64),
                         **columns})  # fmt: skip


def random_corpus(count: int, seed: int = 0, groups: int = 3) -> pl.DataFrame:
    """Scores with ties, nulls and NaN, costs, and a group column with nulls."""
    draw = np.random.default_rng(seed)
    scores = [None if x < 0.05 else float("nan") if x > 0.95 else round(x, 2) for x in draw.random(count).tolist()]
    group = [None if g == groups else f"g{g}" for g in draw.integers(0, groups + 1, count)]
    return corpus(scores, draw.integers(0, 50, count), group=pl.Series(group, dtype=pl.String))


def context(seed: int = 7) -> Context:
    """A context that collects notes."""
    return Context(seed=seed, work=Path(), notes={})


def run(op: Fold, rows: pl.DataFrame, cuts: tuple[int, ...] = (), ctx: Context | None = None) -> pl.DataFrame:
    """The operator's columns over the rows cut into parts."""
    edges = [0, *sorted(min(c, rows.height) for c in cuts), rows.height]
    parts = [rows[a:b] for a, b in itertools.pairwise(edges)]
    return pl.concat(run_fold(op, parts, ctx or context()))


def notes(op: Fold, rows: pl.DataFrame) -> dict[str, Any]:
    """What the stage's last advances note, over all rounds."""
    state, done, found = None, False, {}
    while not done:
        ctx = context()
        state, done = op.advance(op.merge([op.summarise(rows, state, ctx)]), state, ctx)
        found |= ctx.notes or {}
    return found


def in_order(rows: pl.DataFrame, *, descending: bool = True) -> list[int]:
    """Numbers of rows that can be ranked, best first."""
    table = rows.select("doc_id", "score", "token_count").rows()
    good = [i for i, (_, s, c) in enumerate(table) if s is not None and s == s and c is not None]
    return sorted(good, key=lambda i: (-table[i][1] if descending else table[i][1], table[i][0]))


def walked(order: list[int], costs: list[int], budget: int) -> set[int]:
    """The rows that a walk down the ranking takes, row by row."""
    spent, largest, out = 0, budget, set()
    for i in order:
        if costs[i] > largest:
            continue
        if spent + costs[i] <= budget:
            spent += costs[i]
            out.add(i)
        elif budget - spent <= budget // 100:
            break
        else:
            largest = budget - spent
    return out


def filled(capacity: list[int], weights: list[Fraction], total: int) -> list[Fraction]:
    """Water-filling by bisection on the level, without rounding: what whole amounts are near."""
    low, high = Fraction(0), Fraction(10**9)
    amount = lambda level: sum(min(Fraction(c), w * level) for c, w in zip(capacity, weights, strict=True))  # noqa: E731
    if amount(high) <= total:
        return [Fraction(c) if w else Fraction(0) for c, w in zip(capacity, weights, strict=True)]
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if amount(middle) <= total else (low, middle)
    return [min(Fraction(c), w * low) for c, w in zip(capacity, weights, strict=True)]
