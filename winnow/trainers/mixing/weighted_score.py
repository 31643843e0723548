"""One score made of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Columns, Context, Exactness, Map, Schema, port
from winnow.trainers.mixing.score_moments import Scored, moments_of

MOST = 5.0  # standard deviations: one wild value does not outweigh all other scores


@dataclass(frozen=True, kw_only=True)
class WeightedScore(Scored, Map):
    """The weighted sum of standardised scores, `meta_rater`; null where a document lacks one.

    Each score less its mean, in standard deviations and within 5 of them, times its weight.

    Source: Meta-rater (Zhuang et al. 2025, arXiv 2504.14194); standardising and the bound own
    """

    name: ClassVar[str] = "weighted_score"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-9)
    columns_from: ClassVar[tuple[str, ...]] = ("scores",)

    moments: str = port("ref")
    weights: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """doc_id and the scores."""
        return columns_of(*self.scores.values())

    def outputs(self) -> Schema:
        """`meta_rater`."""
        return {"meta_rater": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """The weights and moments, read once."""
        mean, deviation = moments_of(ctx.ref("moments").result(), self.scores)
        given = ctx.ref("weights").result()["weights"]
        weights = np.asarray([float(given.get(name, 0.0)) for name in self.scores])

        def score(rows: pl.DataFrame) -> pl.DataFrame:
            table = rows.select(pl.col(c).cast(pl.Float64).alias(n) for n, c in self.scores.items()).to_numpy()
            found = (np.clip((table - mean) / deviation, -MOST, MOST) * weights).sum(axis=1)
            known = pl.Series("meta_rater", np.where(np.isfinite(table).all(axis=1), found, np.nan))
            return known.fill_nan(None).to_frame()

        return score
