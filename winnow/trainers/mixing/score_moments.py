"""Mean and spread of scores over a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context, Exactness, Fit, Schema

FILE = "moments.parquet"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Several scores, named."""

    scores: dict[str, str]  # name -> column; higher is better


@dataclass(frozen=True, kw_only=True)
class ScoreMoments(Scored, Fit):
    """Mean and standard deviation of every score, over the documents that have all of them.

    Cost: one pass over the scores.
    Source: own
    """

    name: ClassVar[str] = "score_moments"
    role: ClassVar[str] = "trainer"
    population: ClassVar[bool] = True
    exactness: ClassVar[Exactness] = Exactness(1e-9)
    columns_from: ClassVar[tuple[str, ...]] = ("scores",)

    def needs(self) -> tuple[str, ...]:
        """doc_id and the scores."""
        return columns_of(*self.scores.values())

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a score is no number."""
        for name, column in self.scores.items():
            kind = types[column]
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise ConfigError(f"{column!r} is {kind}, not a number", where=f"scores.{name}")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Per part: its smallest doc_id, the number of documents, and of every score mean and sum of squares."""
        table = rows.select(pl.col(c).cast(pl.Float64).alias(n) for n, c in self.scores.items()).to_numpy()
        whole = np.isfinite(table).all(axis=1)
        known, lacking = table[whole], int((~whole).sum())
        if not len(rows):
            return pl.DataFrame(schema={"doc_id": pl.Binary, "count": pl.Int64, "lacking": pl.Int64,
                                        "mean": pl.List(pl.Float64), "squares": pl.List(pl.Float64)})  # fmt: skip
        mean = known.mean(axis=0) if len(known) else np.zeros(len(self.scores))
        squares = ((known - mean) ** 2).sum(axis=0)
        return pl.DataFrame({"doc_id": [rows["doc_id"].min()], "count": [len(known)], "lacking": [lacking],
                             "mean": [mean.tolist()], "squares": [squares.tolist()]},
                            schema_overrides={"doc_id": pl.Binary})  # fmt: skip

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the moments; metrics: `moments` {score: mean, deviation}, `documents`, and `sizes` {score: 1}.

        Raises:
            DataError: no document has all scores, or one is the same everywhere.
        """
        count = sample["count"].to_numpy().astype(np.float64)
        if not count.sum():
            raise DataError("no document has all scores", where="scores")
        mean, squares = (np.asarray(sample[name].to_list(), dtype=np.float64) for name in ("mean", "squares"))
        centre = count @ mean / count.sum()
        deviation = np.sqrt((squares.sum(axis=0) + count @ (mean - centre) ** 2) / count.sum())
        for name, middle, value in zip(self.scores, centre.tolist(), deviation.tolist(), strict=True):
            if not value > 1e-12 * max(1.0, abs(middle)):
                raise DataError(f"{name!r} is the same for all {int(count.sum()):,} documents", where=f"scores.{name}",
                                hint="leave it out: nothing can be ranked by it")  # fmt: skip
        lacking = int(sample["lacking"].sum())
        if lacking:
            ctx.remark(f"{lacking:,} of {lacking + int(count.sum()):,} documents lack a score, and get none: run what "
                       "makes it over all of them, or leave it out")  # fmt: skip
        each = zip(self.scores, centre.tolist(), deviation.tolist(), strict=True)
        moments = {name: {"mean": mean, "deviation": spread} for name, mean, spread in each}
        table = pl.DataFrame({"score": list(self.scores), "mean": centre, "deviation": deviation})
        table.write_parquet(ctx.work / FILE, statistics=False)
        return {"moments": moments, "documents": int(count.sum()), "sizes": dict.fromkeys(self.scores, 1.0)}


def moments_of(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """(means, deviations) of the scores in their order, f64[scores]."""
    found = [result["moments"][name] for name in names]
    return np.asarray([m["mean"] for m in found]), np.asarray([m["deviation"] for m in found])
