"""A table of runs: the shares that each was trained on and the losses that it reached. What every fit here reads.

On disk it is `runs.parquet`: a row per run with `run`, `tokens`, `share:VALUE`, `loss:TARGET`, where unique tokens are
known `unique:VALUE`, and where losses were measured on the way `curve:TARGET` (lists) with `points` (tokens seen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError, did_you_mean

Floats = npt.NDArray[np.float64]
FILE = "runs.parquet"
SHARE, LOSS, UNIQUE, CURVE = "share:", "loss:", "unique:", "curve:"
SUM_OFF = 0.01  # what the shares of a run may miss 1 by: tables hold few digits, and are scaled to 1


@dataclass(frozen=True, kw_only=True)
class Runs:
    """`shares` f64[runs, values] with rows that add up to 1, and `losses` f64[runs, targets].

    `tokens` i64[runs] (0: unknown), `unique` tokens per run and value f64[runs, values] (NaN: unknown), `points` tokens
    seen at each point of `curves` f64[runs, targets, points].
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    targets: tuple[str, ...]
    shares: Floats
    losses: Floats
    tokens: npt.NDArray[np.int64]
    unique: Floats
    points: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    curves: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def __len__(self) -> int:
        return len(self.names)

    def of(self, targets: Sequence[str]) -> Runs:
        """The same runs with some of the targets, in the given order.

        Raises:
            DataError: a target is not among theirs.
        """
        for name in targets:
            if name not in self.targets:
                raise DataError(f"the runs have no loss on {name!r}", where="targets",
                                hint=did_you_mean(name, self.targets))  # fmt: skip
        at = [self.targets.index(name) for name in targets]
        curves = self.curves[:, at] if self.curves.size else self.curves
        return replace(self, targets=tuple(targets), losses=self.losses[:, at], curves=curves)

    def rows(self, at: npt.NDArray[np.int64]) -> Runs:
        """Some of the runs."""
        curves = self.curves[at] if self.curves.size else self.curves
        return replace(self, names=tuple(self.names[i] for i in at), shares=self.shares[at], losses=self.losses[at],
                       tokens=self.tokens[at], unique=self.unique[at], curves=curves)  # fmt: skip

    def save(self, path: Path) -> None:
        """Write them as Parquet."""
        columns: dict[str, pl.Series] = {"run": pl.Series(self.names, dtype=pl.String),
                                         "tokens": pl.Series(self.tokens)}  # fmt: skip
        columns |= {SHARE + v: pl.Series(self.shares[:, j]) for j, v in enumerate(self.values)}
        columns |= {LOSS + t: pl.Series(self.losses[:, j]) for j, t in enumerate(self.targets)}
        if not np.isnan(self.unique).all():
            columns |= {UNIQUE + v: pl.Series(self.unique[:, j]) for j, v in enumerate(self.values)}
        if self.curves.size:
            columns["points"] = pl.Series([self.points.tolist()] * len(self), dtype=pl.List(pl.Int64))
            columns |= {CURVE + t: pl.Series(self.curves[:, j].tolist(), dtype=pl.List(pl.Float64))
                        for j, t in enumerate(self.targets)}  # fmt: skip
        pl.DataFrame(columns).write_parquet(path, statistics=False)


def load(path: Path) -> Runs:
    """What `Runs.save` wrote."""
    table = pl.read_parquet(path)
    values, targets = (tuple(c.removeprefix(p) for c in table.columns if c.startswith(p)) for p in (SHARE, LOSS))
    known = UNIQUE + values[0] in table.columns
    out = Runs(
        names=tuple(table["run"]), values=values, targets=targets, tokens=table["tokens"].to_numpy(),
        shares=table.select(pl.col([SHARE + v for v in values])).to_numpy(),
        losses=table.select(pl.col([LOSS + t for t in targets])).to_numpy(),
        unique=table.select(pl.col([UNIQUE + v for v in values])).to_numpy() if known
        else np.full((table.height, len(values)), np.nan),
    )  # fmt: skip
    if "points" not in table.columns:
        return out
    curves = np.stack([np.asarray(table[CURVE + t].to_list(), dtype=np.float64) for t in targets], axis=1)
    return replace(out, points=np.asarray(table["points"][0], dtype=np.int64), curves=curves)


def checked(runs: Runs) -> Runs:
    """The runs with shares that add up to 1 exactly.

    Raises:
        DataError: a share is negative or no number, the shares of a run do not add up to 1, a loss is no number above
            0, or there is one run or one value only; it names run and column.
    """
    if len(runs) < 2:
        raise DataError(f"{len(runs)} run{'s' * (len(runs) != 1)}: nothing can be fitted", where="runs",
                        hint="give two or more; dozens before a fit is worth reading")  # fmt: skip
    if len(runs.values) < 2:
        raise DataError(f"{len(runs.values)} share columns: there is nothing to mix", where="runs")
    _refuse(runs, runs.shares, ~(np.isfinite(runs.shares) & (runs.shares >= 0)), runs.values, "a share of",
            "shares are 0 or more")  # fmt: skip
    _refuse(runs, runs.losses, ~(np.isfinite(runs.losses) & (runs.losses > 0)), runs.targets, "a loss on",
            "leave out runs that diverged")  # fmt: skip
    sums = runs.shares.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > SUM_OFF)
    if len(off):
        raise DataError(f"the shares of run {runs.names[off[0]]!r} add up to {sums[off[0]]:g}, and {len(off)} of "
                        f"{len(runs)} runs miss 1", where="runs",
                        hint="shares are of the whole: is a column missing, or are they percent?")  # fmt: skip
    return replace(runs, shares=runs.shares / sums[:, None])


def _refuse(runs: Runs, values: Floats, bad: npt.NDArray[np.bool_], names: Sequence[str], what: str, hint: str) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(f"run {runs.names[row]!r} has {what} {names[column]!r} of {values[row, column]:g}",
                        where="runs", hint=hint)  # fmt: skip


def weights_of(targets: Mapping[str, float] | Sequence[str], runs: Runs) -> dict[str, float]:
    """Target -> its weight in what is minimised, adding up to 1: those given, or all alike.

    Raises:
        DataError: a target is unknown, or no weight is above 0.
    """
    given = dict(targets) if isinstance(targets, Mapping) else dict.fromkeys(targets or runs.targets, 1.0)
    runs.of(list(given))
    total = sum(given.values())
    if not total > 0 or min(given.values()) < 0:
        raise DataError(f"the targets have weights {list(given.values())}", where="targets",
                        hint="0 or more each, and one above 0")  # fmt: skip
    return {name: weight / total for name, weight in given.items() if weight > 0}
