"""A fastText model's verdict as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.words.fasttext_predict import Predictor, library_remarks
from winnow.scorers import fasttext_labels
from winnow.scorers.label_columns import Labelled, output_columns


@dataclass(frozen=True, kw_only=True)
class FastTextClassifier(fasttext_labels.Lines, Labelled, Map):
    """A fastText model's verdict: probability in [0, 1] per label; with `top` the likeliest one. Null for null.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "fasttext_classifier"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)

    model_file: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})  # its folder
    top: bool = False

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """The columns of `labels`, then `label` and `label_score` where `top`."""
        return output_columns(self.labels, top=self.top)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the slower library answered, and why."""
        return (*library_remarks(counts), *super().remarks(counts, metrics))

    def open(self, ctx: Context) -> Columns:
        """Batch -> columns; the model is loaded once.

        Raises: ConfigError where the file is no model or lacks a label.
        """
        path = fasttext_labels.one_file(ctx.refs.get("model_file", self.model_file))
        model = Predictor(path, count=ctx.count)
        probabilities = fasttext_labels.probabilities(model, list(self.labels.values()))
        line = fasttext_labels.line_of(self.words)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            lines = fasttext_labels.lines_of(batch["text"], line)
            answers: dict[str, Any] = {}
            if self.labels:
                answers |= dict(zip(self.labels, probabilities(lines).T, strict=True))
            if self.top:
                answers["label"], answers["label_score"] = fasttext_labels.likeliest(model, lines)
            return fasttext_labels.placed(batch["text"], pl.DataFrame(answers))

        return columns
