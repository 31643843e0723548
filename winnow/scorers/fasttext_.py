"""The `fasttext` operator: a linear classifier of documents one wants more of against the pool itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.operators import Composite, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.scorers.fasttext_fit import FastTextFit, FastTextSettings
from winnow.scorers.fasttext_score import FastTextScore


@dataclass(frozen=True, kw_only=True)
class FastText(FastTextSettings, Composite):
    r"""Probability in [0, 1] that a document is like the `positive` documents rather than like the pool.

    `fit` draws at most `negatives` documents of the population, one chunk of `chunk_words` words from each,
    and sets them against all chunks of the positive documents, the smaller side repeated; `score` reads whole
    documents. With `negative`, labelled documents that are not wanted, it is these against those and nothing of
    the pool is fitted on: what a label says, such as toxicity, is then not mixed with what a pool is. The words
    are `\w+|[^\w\s]`, punctuation included.

    Source: Joulin et al. 2017 (fastText); Li et al. 2024 (DCLM) for positives against the pool; chunks are
    own.
    """

    name: ClassVar[str] = "fasttext"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def after_decisions(self) -> bool:
        """True where the classifier is fitted against the pool."""
        return not self.negative

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (the model) and `score` (the column), so that scoring more documents does not refit."""
        inputs, where = scope.inputs, scope.where
        refs = {"positive": self.positive, **({"negative": self.negative} if self.negative else {})}
        fit, score = FastTextFit(**part_of(self, FastTextSettings)), FastTextScore(model=".fit")
        return [
            Sub(name="fit", operator=fit, inputs=inputs, where=where, refs=refs),
            Sub(name="score", operator=score, inputs=inputs, where=where, refs={"model": ".fit"}),
        ]
