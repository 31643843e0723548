"""Weights by how often the web repeats a document, as far as repetition speaks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import selections
from winnow.core.numerics.selections import columns_of
from winnow.core.numerics.water_filling import exact_shares
from winnow.core.operators import Context, Fold, Schema
from winnow.selectors.score.repeats import check_repeats, fixed

_RATES = pl.Schema({"bin": pl.Int64, "rows": pl.Int64, "passed": pl.Int64})
_UNKNOWN = -1  # the bin of documents without a cluster size


@dataclass(frozen=True, kw_only=True)
class Rehydrate(Fold):
    """How often a deduplicated document is used, by the size of its duplicate cluster: `weight`, and `kept`.

    Of every size (1, 2, 3-4, 5-8, ...) the share that a quality filter drops is measured on the documents that
    deduplication kept. Sizes that are dropped as often as all documents or more have weight 1, the size that is
    dropped least has `max_repeats`, and the others lie between in proportion to how much less they are dropped.
    Only documents that both deduplication and the filter keep have a weight above 0. A size with fewer than
    `least_docs` documents has weight 1: its rate says nothing.

    `among` names the `kept` of the deduplication (`kept_unique`) and `passed` that of the filter; a document
    whose value is null in either is not kept. The stage looks at all rows, whatever its inputs kept. Weights are
    multiples of 2^-20 (`write` with `repeat: weight` follows them).

    Cost: one pass; 33 rows of summary.
    Source: rehydration of FineWeb2 (Penedo et al. 2025); the cap of 10 from memory, bins of sizes are own.
    """

    name: ClassVar[str] = "rehydrate"
    role: ClassVar[str] = "selector"
    at_once: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("among", "passed", "size")

    among: str
    passed: str
    size: str = "minhash_cluster_size"
    max_repeats: float = 10.0
    least_docs: int = 100

    def needs(self) -> tuple[str, ...]:
        """doc_id, cluster size and the two verdicts."""
        return columns_of(self.among, self.passed, self.size)

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """Both verdicts."""
        return ((self.among,), (self.passed,))

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return selections.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for columns that are one, repeats below 1 or `least_docs` below 1."""
        if len({self.among, self.passed, self.size, ""}) < 4:
            raise ConfigError("`among`, `passed` and `size` are three columns", where="passed")
        check_repeats(self.max_repeats)
        if self.least_docs < 1:
            raise ConfigError(f"least_docs is {self.least_docs}, and must be 1 or more", where="least_docs")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Documents and passed ones of every bin of sizes."""
        table = self._table(rows).filter("unique")
        counts = table.group_by("bin").agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("passed").sum().cast(pl.Int64))
        return counts.match_to_schema(_RATES).sort("bin")

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return pl.concat(summaries).group_by("bin").agg(pl.all().sum()).match_to_schema(_RATES).sort("bin")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The counts; rates and weights are noted."""
        weights = self.weights(summary)
        known = summary.filter(pl.col("bin") != _UNKNOWN)
        ctx.note("sizes", [
            {"sizes": span(b), "docs": n, "passed": p, "drop_rate": (n - p) / n, "weight": weights[b]}
            for b, n, p in known.iter_rows()
        ])  # fmt: skip
        ctx.note("drop_rate", 1 - known["passed"].sum() / max(int(known["rows"].sum()), 1))
        ctx.note("without_size", int(summary.filter(pl.col("bin") == _UNKNOWN)["rows"].sum()))
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The weight of the row's size where both verdicts are true."""
        table = self._table(rows)
        weight = table["bin"].replace_strict(self.weights(state), default=0.0, return_dtype=pl.Float64)
        kept = (table["unique"] & table["passed"]).to_numpy()
        return selections.by_weight(np.where(kept, weight.to_numpy(), 0.0))

    def weights(self, rates: pl.DataFrame) -> dict[int, float]:
        """Bin -> weight, from the summed counts; 0 for documents without a size."""
        known = rates.filter(pl.col("bin") != _UNKNOWN)
        everyone = int(known["rows"].sum())
        dropped = {b: Fraction(n - p, n) for b, n, p in known.iter_rows() if n >= self.least_docs}
        overall = Fraction(everyone - int(known["passed"].sum()), max(everyone, 1))
        least = min(dropped.values(), default=overall)
        (cap,) = exact_shares([self.max_repeats])
        out = {_UNKNOWN: 0.0}
        for b in known["bin"]:
            less = overall - dropped.get(b, overall)
            out[b] = fixed(1 + (cap - 1) * less / (overall - least)) if less > 0 else 1.0
        return out

    def _table(self, rows: pl.DataFrame) -> pl.DataFrame:
        size = rows[self.size]
        if not size.dtype.is_integer():
            raise DataError(f"{self.size!r} is {size.dtype}, expected whole numbers")
        if (size < 1).any():
            raise DataError(f"{self.size!r} is below 1 somewhere", hint="a cluster has one document or more")
        verdicts = [rows[name].alias(label) for name, label in ((self.among, "unique"), (self.passed, "passed"))]
        wrong = [v for v in verdicts if v.dtype != pl.Boolean]
        if wrong:
            raise DataError(f"{wrong[0].name!r} is {wrong[0].dtype}, expected true or false", hint="name a `kept`")
        return pl.DataFrame([bin_of(size), *(v.fill_null(value=False) for v in verdicts)])


def bin_of(size: pl.Series) -> pl.Series:
    """Bins of sizes as `bin`, i64: 0 for 1, 1 for 2, 2 for 3 and 4, 3 for 5 to 8, ...; -1 for null."""
    ends = pl.Series([1 << power for power in range(63)], dtype=pl.Int64)
    found = ends.search_sorted(size.cast(pl.Int64).fill_null(1), side="left").cast(pl.Int64)
    bins: pl.Series = found.zip_with(size.is_not_null(), pl.Series([_UNKNOWN], dtype=pl.Int64))
    return bins.alias("bin")


def span(number: int) -> str:
    """The sizes of a bin, as people write them."""
    low, high = (1 << (number - 1)) + 1 if number else 1, 1 << number
    return str(high) if low == high else f"{low}-{high}"
