"""`llm_compare`: which of two texts a language model prefers, over pairs of a sample, as one score per document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.operators import Composite, Exactness, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.scorers.llm_compare_fit import CompareSettings, LlmCompareFit
from winnow.scorers.llm_compare_score import LlmCompareScore


@dataclass(frozen=True, kw_only=True)
class LlmCompare(CompareSettings, Composite):
    """Strength of each of a sample's documents by a language model's comparisons, `score`; null for all others.

    `rubric` is a file of text with `{{a}}` and `{{b}}` in it that asks for `{"better": "A"}` or `"B"`. `documents` of
    the lowest draws by id are compared, each in `comparisons` pairs, in both orders: what a model prefers by its place
    counts half for either. `score` is the Bradley-Terry log strength, with a mean of 0 over the sample: a difference of
    d means odds of e^d to be preferred. `comparisons` says in how many pairs a document was; pairs without two answers
    that can be used count for nothing and are remarked. Learn the score with a classifier to have it for all documents.
    Answers are kept as those of `llm_annotate` are.

    Raises:
        ConfigError: no rubric or safe address; the cap is reached.
        DataError: fewer than three documents with a text, no answer that can be used.
        EngineError: no answer while there was patience.
    Cost: `documents` * `comparisons` requests, in one task.
    Source: QuRating (Wettig et al. 2024); Bradley and Terry 1952, by the rounds of Hunter 2004
    """

    name: ClassVar[str] = "llm_compare"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    exactness: ClassVar[Exactness] = Exactness(atol=1e-6)

    def needs(self) -> tuple[str, ...]:
        """Ids and texts."""
        return ("doc_id", "text")

    def outputs(self) -> Schema:
        """The strength, and in how many pairs it was found."""
        return {"score": pa.float64(), "comparisons": pa.int32()}

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (pairs, answers, strengths) and `score` (the column)."""
        fit = LlmCompareFit(**part_of(self, CompareSettings))
        score = LlmCompareScore(compared=".fit")
        return [
            Sub(name="fit", operator=fit, inputs=scope.inputs, where=scope.where),
            Sub(name="score", operator=score, inputs=scope.inputs, where=scope.where, refs={"compared": ".fit"}),
        ]
