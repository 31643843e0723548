"""A fitted classifier of addresses, asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.words.fasttext_predict import Predictor, library_remarks
from winnow.scorers import fasttext_fit, fasttext_labels
from winnow.scorers.url_score_fit import UrlColumnOf, line_of


@dataclass(frozen=True, kw_only=True)
class UrlScoreApply(UrlColumnOf, Map):
    """Probability in [0, 1] of the positive class by the address alone; null where there is none."""

    name: ClassVar[str] = "url_score_apply"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)
    columns_from: ClassVar[tuple[str, ...]] = ("column",)

    model: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The address alone."""
        return (self.column,)

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the slower library answered, and why."""
        return (*library_remarks(counts), *super().remarks(counts, metrics))

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once, and every different address of a batch is asked about once."""
        model = Predictor(ctx.ref("model").files()[fasttext_fit.MODEL], count=ctx.count)
        probability = fasttext_labels.probabilities(model, [fasttext_fit.POSITIVE])

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            line = batch.select(line=line_of(pl.col(self.column)))["line"].replace("", None)
            asked = line.drop_nulls().unique().sort()
            scores = pl.Series(probability(asked)[:, 0], dtype=pl.Float64)
            return pl.DataFrame({"score": line.replace_strict(asked, scores, default=None, return_dtype=pl.Float64)})

        return columns
