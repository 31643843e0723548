"""What selections made of earlier selections share: verdicts and weights in, one verdict and weight out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import selections
from winnow.core.numerics.selections import check_selections, columns_of, verdicts
from winnow.core.operators import Context, Fold, Schema

PAIRS = pl.Schema({"one": pl.Int64, "other": pl.Int64, "rows": pl.Int64, "cost": pl.Int64})

Masks = list[npt.NDArray[np.bool_]]
Weights = list[npt.NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class SetOperation(Fold):
    """A selection made of earlier ones: `kept` and `weight`; subclasses say which.

    Source: own.
    """

    role: ClassVar[str] = "selector"
    made_of_selections: ClassVar[bool] = True
    at_once: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("of", "weights")

    of: tuple[str, ...]  # columns that are true for kept rows: kept_best, or best.kept
    weights: tuple[str, ...] = ()  # their weights in the same order: best.weight; () means 1

    def combine(self, kept: Masks, weights: Weights) -> npt.NDArray[np.float64]:
        """The weight of every row, f64[rows], 0 where it is not kept."""
        raise NotImplementedError

    def needs(self) -> tuple[str, ...]:
        """doc_id, the verdicts and the weights."""
        return columns_of(*self.of, *self.weights)

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return selections.SELECTION

    def validate(self) -> None:
        """Raise ConfigError for fewer than two selections, or weights that are not one each."""
        check_selections(self.of, least=2)
        if self.weights and len(self.weights) != len(self.of):
            raise ConfigError(f"{len(self.weights)} weights for {len(self.of)} selections", where="weights")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """How many documents every two selections share, and how many come out."""
        masks = [verdicts(rows[name]) for name in self.of]
        return pair_counts([*masks, self._weight(rows) > 0], None)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return merge_pairs(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The counts, noted as `overlap`: documents that selection i and selection j both keep."""
        shared = pair_matrix(summary, len(self.of) + 1, "rows")
        ctx.note("overlap", [row[:-1] for row in shared[:-1]])
        ctx.note("kept_rows", shared[-1][-1])
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The combined verdict and weight."""
        return selections.by_weight(self._weight(rows))

    def _weight(self, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
        kept = [verdicts(rows[name]) for name in self.of]
        if self.weights:
            given = [rows[name].cast(pl.Float64).fill_null(0.0).to_numpy() for name in self.weights]
        else:
            given = [mask.astype(np.float64) for mask in kept]
        bad = [n for n, w in zip(self.weights, given, strict=False) if not (np.isfinite(w) & (w >= 0)).all()]
        if bad:
            raise DataError(f"{bad[0]!r} holds a weight that is NaN, infinite or negative")
        return self.combine(kept, [np.where(mask, w, 0.0) for mask, w in zip(kept, given, strict=True)])


def pair_counts(masks: Masks, cost: pl.Series | None) -> pl.DataFrame:
    """Rows and cost that every two selections share (with itself: what it keeps), `PAIRS`."""
    units = np.ones(len(masks[0]), dtype=np.int64) if cost is None else cost.fill_null(0).cast(pl.Int64).to_numpy()
    table = []
    for i, one in enumerate(masks):
        for j, other in enumerate(masks[: i + 1]):
            both = one & other
            table.append((j, i, int(both.sum()), int(units[both].sum())))
    return pl.DataFrame(table, schema=PAIRS, orient="row").sort("one", "other")


def merge_pairs(summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Summed pair counts."""
    return pl.concat(summaries).group_by("one", "other").agg(pl.all().sum()).match_to_schema(PAIRS).sort("one", "other")


def pair_matrix(summary: pl.DataFrame, size: int, column: str) -> list[list[int]]:
    """The counts as a symmetric matrix."""
    out = [[0] * size for _ in range(size)]
    for one, other, value in summary.select("one", "other", column).iter_rows():
        out[one][other] = out[other][one] = value
    return out
