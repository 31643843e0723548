"""The `fasttext` operator: a linear classifier of documents one wants more of against the pool itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Composite, Context, Map, Schema, Scope, Sub, port
from winnow.scorers import fasttext_fit, fasttext_labels
from winnow.scorers.fasttext_fit import MODEL, FastTextFit


@dataclass(frozen=True, kw_only=True)
class FastText(Composite):
    r"""Probability in [0, 1] that a document is like the `positive` documents rather than like the pool.

    `fit` draws at most `negatives` documents of the population, one chunk of `chunk_words` words from each,
    and sets them against all chunks of the positive documents, the smaller side repeated; `score` reads whole
    documents. The words are `\w+|[^\w\s]`, punctuation included.

    Source: Joulin et al. 2017 (fastText); Li et al. 2024 (DCLM) for positives against the pool; chunks are
    own.
    """

    name: ClassVar[str] = "fasttext"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True

    positive: str = port("ref")
    dim: int = 32
    word_ngrams: int = 2
    bucket: int = 200_000
    epoch: int = 3
    lr: float = 0.2
    negatives: int = 2000
    chunk_words: int = 120

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def validate(self) -> None:
        """Raises: ConfigError where fastText could not fit with these numbers."""
        self._fit().validate()

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (the model) and `score` (the column), so that scoring more documents does not refit."""
        inputs, where = scope.inputs, scope.where
        fit, score = self._fit(), FastTextScore(model=".fit")
        return [
            Sub(name="fit", operator=fit, inputs=inputs, where=where, refs={"positive": self.positive}),
            Sub(name="score", operator=score, inputs=inputs, where=where, refs={"model": ".fit"}),
        ]

    def _fit(self) -> FastTextFit:
        return FastTextFit(
            positive=self.positive,
            dim=self.dim,
            word_ngrams=self.word_ngrams,
            bucket=self.bucket,
            epoch=self.epoch,
            lr=self.lr,
            negatives=self.negatives,
            chunk_words=self.chunk_words,
        )


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

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once."""
        model = fasttext_labels.loaded(ctx.ref("model").files()[MODEL])
        probability = fasttext_labels.probabilities(model, [fasttext_fit.POSITIVE])
        return lambda batch: fasttext_labels.scores_of(
            batch["text"], fasttext_fit.tokenised(pl.col("text")), probability
        )
