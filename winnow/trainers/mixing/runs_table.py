"""A table of runs that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Job, Kind, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.mixing.runs import FILE, Runs, checked

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class RunsTable(Job):
    """Runs of anybody's, for the fits of mixtures: shares and losses from CSV or Parquet, one row per run.

    `shares: "share_*"` names the columns of shares by a pattern with one star; what the star stands for is the value of
    the mixture. `losses` names those of the losses (nats or bits, of one model size) in the same way, and `unique`,
    where there are such, those of the unique tokens of every value. `tokens` is the column with each run's tokens.
    Several files are joined by `id`. Shares that miss 1 by up to 0.01 are scaled; other sums, negative shares,
    missing numbers and losses that are none are refused by run and column.

    Raises:
        DataError: the table cannot be used.
    Source: own
    """

    name: ClassVar[str] = "runs_table"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "runs"
    meaning: ClassVar[Mapping[str, Meaning]] = dict.fromkeys(("shares", "losses", "unique", "tokens", "id"), "labels")

    files: tuple[str, ...] = port("files")
    shares: str = "share_*"
    losses: str = "loss_*"
    unique: str = ""  # columns of the unique tokens of every value, for `repetition_law`
    tokens: str = ""  # column of the tokens of a run
    id: str = ""  # column that names a run; several files are joined by it

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a pattern has no star, or more than one.
        """
        for field in ("shares", "losses", *(["unique"] if self.unique else [])):
            if getattr(self, field).count("*") != 1:
                raise ConfigError(f"{getattr(self, field)!r} has not one star", where=field,
                                  hint="`share_*` names the columns share_web, share_books, ...")  # fmt: skip
        if len(self.files) > 1 and not self.id:
            raise ConfigError(f"{len(self.files)} files are joined by nothing", where="id",
                              hint="name the column that all of them have")  # fmt: skip

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where a file is no table."""
        for path in paths:
            if Path(path).suffix not in SUFFIXES:
                raise ConfigError(f"{Path(path).name} is no table of runs", where="files", hint="CSV or Parquet")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write runs.parquet; metrics: `runs`, `values`, `targets`.

        Raises:
            DataError: a column is missing, or a number cannot be one.
        """
        table = self._table([Path(path) for path in ctx.refs.get("files", self.files)])
        shares, losses = (matching(table, getattr(self, name), name) for name in ("shares", "losses"))
        runs = checked(Runs(
            names=tuple(str(n) for n in table[self.id]) if self.id else tuple(f"row {i}" for i in range(table.height)),
            values=tuple(shares), targets=tuple(losses), shares=numbers(table, list(shares.values())),
            losses=numbers(table, list(losses.values())), tokens=self._tokens(table),
            unique=self._unique(table, list(shares)),
        ))  # fmt: skip
        runs.save(ctx.work / FILE)
        ctx.note("summary", f"{len(runs):,} runs, {len(runs.values)} shares, {len(runs.targets)} losses")
        return {"runs": len(runs), "values": list(runs.values), "targets": list(runs.targets)}

    def _table(self, paths: Sequence[Path]) -> pl.DataFrame:
        try:
            tables = [pl.read_csv(p) if p.suffix == ".csv" else pl.read_parquet(p) for p in paths]
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"a table of runs cannot be read: {error}", where="files") from error
        for path, table in zip(paths, tables, strict=True):
            if self.id and self.id not in table.columns:
                raise DataError(f"{path.name} has no column {self.id!r}", where="id",
                                hint=f"it has {', '.join(table.columns[:8])}")  # fmt: skip
        out = tables[0]
        for path, other in zip(paths[1:], tables[1:], strict=True):
            both = out.join(other, on=self.id, how="inner", validate="1:1", maintain_order="left")
            if both.height < max(out.height, other.height):
                raise DataError(f"{path.name} has {other.height} runs and those before it {out.height}; {both.height} "
                                f"are in both", where="id")  # fmt: skip
            out = both
        return out

    def _tokens(self, table: pl.DataFrame) -> np.ndarray:
        if not self.tokens:
            return np.zeros(table.height, dtype=np.int64)
        values = numbers(table, [self.tokens])[:, 0]
        if not (np.isfinite(values) & (values > 0)).all():
            raise DataError(f"{self.tokens!r} is not above 0 in every run", where="tokens")
        return values.astype(np.int64)

    def _unique(self, table: pl.DataFrame, values: Sequence[str]) -> np.ndarray:
        if not self.unique:
            return np.full((table.height, len(values)), np.nan)
        found = matching(table, self.unique, "unique")
        lacking = [value for value in values if value not in found]
        if lacking:
            raise DataError(f"{self.unique.replace('*', lacking[0])!r} is missing", where="unique",
                            hint="every share needs one")  # fmt: skip
        return numbers(table, [found[value] for value in values])


def matching(table: pl.DataFrame, pattern: str, where: str) -> dict[str, str]:
    """What the star stands for -> the column, sorted by it. Raises DataError where no column matches."""
    before, _, after = pattern.partition("*")
    found = {c[len(before) : len(c) - len(after)]: c for c in table.columns
             if len(c) > len(before) + len(after) and c.startswith(before) and c.endswith(after)}  # fmt: skip
    if not found:
        raise DataError(f"no column matches {pattern!r}", where=where,
                        hint=f"the table has {', '.join(table.columns[:8])}")  # fmt: skip
    return dict(sorted(found.items()))


def numbers(table: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Columns as f64[runs, columns], null as NaN. Raises DataError where a column is missing or is no number."""
    for column in columns:
        if column not in table.columns:
            raise DataError(f"no column is called {column!r}", hint=f"the table has {', '.join(table.columns[:8])}")
        if not table[column].dtype.is_numeric():
            raise DataError(f"{column!r} is {table[column].dtype}, not a number", where="files")
    return table.select(pl.col(list(columns)).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
