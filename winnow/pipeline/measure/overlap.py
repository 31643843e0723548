"""How selections differ: what each keeps of the pool, and what every two share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import numeric, selections
from winnow.core.numerics.dates import days
from winnow.core.numerics.selections import Counted, check_selections, columns_of, verdicts
from winnow.core.operators import Context, Fold, Schema
from winnow.core.terminal import percent

_GRID_BITS = 20
_LOW = (1 << 32) - 1
_TABLE = pl.Schema({"what": pl.String, "one": pl.Int64, "other": pl.String, "rows": pl.Int64, "cost": pl.Int64,
                    "sum_high": pl.Int64, "sum_low": pl.Int64})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overlap(Fold):
    """How many of the selections keep a document, `num_selections`; the manifest of controlled arms is noted.

    For every selection of `of` (`kept_best`) the metrics hold what it keeps and drops of the pool in documents and
    tokens (`count`), the mean of every column of `means` over its documents, and a histogram of the dates in
    `date` by `unit`; for every two, what they share and the Jaccard index; and the largest difference in tokens
    between arms as a share of the largest: arms of one budget differ by less than a document. Null scores, NaN and
    values beyond 1e12 have no part in a mean and are counted (`without_score`); documents without a date are `none`.

    Cost: one pass over the columns; summaries of a row per pair, mean and month.
    Source: the manifest of controlled arms after A Pretrainer's Guide (Longpre et al. 2023).
    """

    name: ClassVar[str] = "overlap"
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("of", "means", "date")

    of: tuple[str, ...]
    means: tuple[str, ...] = ()
    date: str | None = None
    unit: Literal["year", "month"] = "year"
    count: Counted = "tokens"

    def needs(self) -> tuple[str, ...]:
        """doc_id, the verdicts, and what is counted and averaged."""
        return columns_of(
            *self.of, *self.means, *([self.date] if self.date else []), *selections.cost_columns(self.count)
        )

    def after_decisions(self) -> bool:
        """False: selections are measured as they are, whatever was decided beside them."""
        return False

    def outputs(self) -> Schema:
        """`num_selections`."""
        return {"num_selections": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError without selections, or for columns that are named twice."""
        check_selections(self.of, least=1)
        if len(set(self.means)) < len(self.means):
            raise ConfigError("a column is named twice", where="means")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Counts per pair and per date, and fixed-point sums of the scores."""
        masks = [np.ones(rows.height, dtype=np.bool_), *(verdicts(rows[name]) for name in self.of)]
        cost = selections.cost_of(rows, self.count)
        units = np.ones(rows.height, dtype=np.int64) if cost is None else cost.fill_null(0).cast(pl.Int64).to_numpy()
        pairs = [_row("pair", i, str(j), masks[i] & masks[j], units) for i in range(len(masks)) for j in range(i + 1)]
        table = pl.DataFrame(pairs, schema=_TABLE)
        scores = [self._sums(i, rows[name], masks, units) for i, name in enumerate(self.means)]
        dates = [self._histogram(rows[self.date], masks, units)] if self.date else []
        return self.merge([table, *scores, *dates])

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts; of the two words of a sum the lower one carries over."""
        keys = ["what", "one", "other"]
        sums = pl.concat(summaries).group_by(keys).agg(pl.all().sum())
        carried = sums.with_columns(
            sum_high=pl.col("sum_high") + pl.col("sum_low") // (_LOW + 1), sum_low=pl.col("sum_low") % (_LOW + 1)
        )
        return carried.match_to_schema(_TABLE).sort(keys, nulls_last=True)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The counts; the manifest is noted."""
        counts = _part(summary, "pair").select("one", "other", "rows", "cost").iter_rows()
        pair = {(one, int(other)): (rows, cost) for one, other, rows, cost in counts}
        pool, arms = pair[0, 0], range(1, len(self.of) + 1)
        ctx.note("pool", self._arm(0, pool, pool, summary))
        ctx.note("arms", [self._arm(i, pair[i, i], pool, summary) for i in arms])
        ctx.note("pairs", [_shared(i, j, pair) for i in arms for j in range(1, i)])
        costs = [pair[i, i][1] for i in arms]
        gap = (max(costs) - min(costs)) / max(*costs, 1)
        ctx.note("largest_difference", gap)
        ctx.note(
            "summary",
            f"{len(costs)} selections of {min(costs):,} to {max(costs):,} {self.count} ({percent(gap, 2)} apart)",
        )
        return summary, True

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Selections that keep nothing."""
        empty = [name for name, arm in zip(self.of, metrics.get("arms", ()), strict=False) if not arm["docs"]]
        rows = counts.get("rows", 0) - counts.get("masked", 0)
        return tuple(f"selection {name!r} keeps none of {rows:,} rows: is it the one meant?" for name in empty)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """How many selections keep the row."""
        counts = np.sum([verdicts(rows[name]) for name in self.of], axis=0)
        return pl.DataFrame({"num_selections": pl.Series(counts, dtype=pl.Int32)})

    def _arm(self, number: int, kept: tuple[int, int], pool: tuple[int, int], summary: pl.DataFrame) -> dict[str, Any]:
        """What one selection keeps, of the documents and in the order of `means`."""
        of_arm = summary.filter(pl.col("one") == number)
        dates = _part(of_arm, "date").select("other", "rows", "cost").iter_rows()
        share = kept[1] / max(pool[1], 1)
        return {
            "docs": kept[0],
            "cost": kept[1],
            "kept_share": share,
            "drop_rate": 1 - share,
            "means": [_mean(_part(of_arm, f"sum {i}")) for i in range(len(self.means))],
            "without_score": [kept[0] - int(_part(of_arm, f"sum {i}")["rows"].sum()) for i in range(len(self.means))],
            "dates": {when or "none": {"docs": docs, "cost": cost} for when, docs, cost in dates if docs},
        }

    def _sums(
        self, column: int, values: pl.Series, masks: Sequence[npt.NDArray[np.bool_]], units: npt.NDArray[np.int64]
    ) -> pl.DataFrame:
        score = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        real = np.abs(score) <= 1e12  # False for NaN
        table = []
        for number, mask in enumerate(masks):
            total = numeric.exact_sum(score[mask & real], grid_bits=_GRID_BITS)
            words = {"sum_high": total >> 32, "sum_low": total & _LOW}
            table.append(_row(f"sum {column}", number, "", mask & real, units) | words)
        return pl.DataFrame(table, schema=_TABLE)

    def _histogram(
        self, values: pl.Series, masks: Sequence[npt.NDArray[np.bool_]], units: npt.NDArray[np.int64]
    ) -> pl.DataFrame:
        label = days(values).dt.strftime("%Y" if self.unit == "year" else "%Y-%m")
        frames = [
            pl.DataFrame({"other": label, "rows": mask.astype(np.int64), "cost": units * mask}).group_by("other").agg(
                pl.all().sum()
            ).with_columns(what=pl.lit("date"), one=pl.lit(number, pl.Int64), sum_high=pl.lit(0, pl.Int64),
                           sum_low=pl.lit(0, pl.Int64))
            for number, mask in enumerate(masks)
        ]  # fmt: skip
        return pl.concat([frame.match_to_schema(_TABLE) for frame in frames])


def _row(what: str, one: int, other: str, mask: npt.NDArray[np.bool_], units: npt.NDArray[np.int64]) -> dict[str, Any]:
    counts = {"rows": int(mask.sum()), "cost": int(units[mask].sum())}
    return {"what": what, "one": one, "other": other, **counts, "sum_high": 0, "sum_low": 0}


def _part(summary: pl.DataFrame, what: str) -> pl.DataFrame:
    return summary.filter(pl.col("what") == what)


def _mean(sums: pl.DataFrame) -> float | None:
    rows = int(sums["rows"].sum())
    total = (int(sums["sum_high"].sum()) << 32) + int(sums["sum_low"].sum())
    return total / (rows << _GRID_BITS) if rows else None


def _shared(one: int, other: int, pair: dict[tuple[int, int], tuple[int, int]]) -> dict[str, Any]:
    """What two selections share."""
    both, either = pair[one, other], [pair[one, one][k] + pair[other, other][k] - pair[one, other][k] for k in (0, 1)]
    return {
        "selections": [other - 1, one - 1],
        "docs": both[0],
        "cost": both[1],
        "jaccard": both[1] / either[1] if either[1] else 0.0,
    }
