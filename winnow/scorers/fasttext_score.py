"""A fitted fastText model's score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.words.fasttext_predict import Predictor, library_remarks
from winnow.scorers import fasttext_fit, fasttext_labels
from winnow.scorers.fasttext_fit import MODEL


@dataclass(frozen=True, kw_only=True)
class FastTextScore(Map):
    """Probability in [0, 1] of the positive class under a fitted fastText model; null for a null text."""

    name: ClassVar[str] = "fasttext_score"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)

    model: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the slower library answered, and why."""
        return (*library_remarks(counts), *super().remarks(counts, metrics))

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once."""
        model = Predictor(ctx.ref("model").files()[MODEL], count=ctx.count)
        probability = fasttext_labels.probabilities(model, [fasttext_fit.POSITIVE])
        return lambda batch: fasttext_labels.scores_of(
            batch["text"], fasttext_fit.tokenised(pl.col("text")), probability
        )
