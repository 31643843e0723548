"""Tables of runs with a known truth, and fits of them without a run root."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from winnow.core.operators import Context
from winnow.testing.in_memory import MemorySource
from winnow.trainers.mixing import runs as tables
from winnow.trainers.mixing.runs import Runs

PACKS = Path(os.environ.get("PACKS", Path(__file__).parents[2] / "shared/data/packs"))


def drawn(n, k, seed=0, alpha=1.0):
    """Mixtures around even shares."""
    return np.random.default_rng(seed).dirichlet(np.full(k, alpha), n)


def table_of(shares, losses, *, targets=None, values=None, tokens=0, unique=None, points=(), curves=None):
    """A table of runs from shares [n, k] and losses [n] or [n, m]."""
    losses = losses[:, None] if losses.ndim == 1 else losses
    return Runs(
        names=tuple(f"r{i}" for i in range(len(shares))), shares=shares, losses=losses,
        values=tuple(values or "abcdefghijkl"[: shares.shape[1]]),
        targets=tuple(targets or [f"t{j}" for j in range(losses.shape[1])]),
        tokens=np.full(len(shares), tokens, dtype=np.int64) if np.isscalar(tokens) else np.asarray(tokens),
        unique=np.full(shares.shape, np.nan) if unique is None else unique,
        points=np.asarray(points, dtype=np.int64), curves=np.zeros((0, 0, 0)) if curves is None else curves,
    )  # fmt: skip


def fitted(operator, runs, tmp_path, *, seed=0, **about):
    """(result, notes) of a fit of a table."""
    operator.validate()
    path = tmp_path / tables.FILE
    runs.save(path)
    notes = {}
    source = MemorySource(paths={tables.FILE: path}, metrics=about)
    return operator.run(Context(seed=seed, work=tmp_path, refs={"runs": source}, notes=notes)), notes


def remarks(notes):
    """The remarks of a stage as one text."""
    return " / ".join(notes.get("remarks", []))


def away(weights, truth):
    """Total variation between {value: share} and shares in the order of the values."""
    return 0.5 * sum(abs(weights[v] - t) for v, t in zip(sorted(weights), truth, strict=True))
