"""The `fasttext_model` operator: one label's probability under any fastText classifier file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.words.fasttext_predict import Predictor, library_remarks
from winnow.scorers import fasttext_labels


@dataclass(frozen=True, kw_only=True)
class FastTextModel(fasttext_labels.Lines, Map):
    """Probability in [0, 1] of one label under any fastText classifier file; null where the text is null.

    `words: spaced` sets punctuation apart, as `fasttext` does when it fits; `words: plain` only joins the
    lines.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "fasttext_model"
    meaning: ClassVar[Mapping[str, Meaning]] = {"label": "labels"}
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)

    model_file: tuple[str, ...] = port("files")
    label: str

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of `label`."""
        return {"score": pa.float64()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the slower library answered, and why."""
        return (*library_remarks(counts), *super().remarks(counts, metrics))

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once.

        Raises: ConfigError where there is not one readable model file or it lacks the label.
        """
        path = fasttext_labels.one_file(ctx.refs.get("model_file", self.model_file))
        probability = fasttext_labels.probabilities(Predictor(path, count=ctx.count), [self.label])
        line = fasttext_labels.line_of(self.words)
        return lambda batch: fasttext_labels.scores_of(batch["text"], line, probability)
