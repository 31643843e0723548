"""The `ngram_lm` operator: what documents cost under an n-gram language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Operator, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.core.operators.effect import ReadAt, given
from winnow.scorers.ngram_file import NgramFile
from winnow.scorers.ngram_fit import NgramFit, NgramFitSettings
from winnow.scorers.ngram_score import NgramScore, columns_of
from winnow.scorers.ngram_texts import NgramModelFile, NgramTexts


@dataclass(frozen=True, kw_only=True)
class NgramLm(NgramTexts, NgramModelFile, NgramFitSettings, Composite):
    """Nats (`nll`), `bits_per_byte` and `perplexity` of each document under an n-gram language model.

    `fit_on` names documents (a stage, or files) that a model is fitted on: interpolated modified Kneser-Ney of `order`,
    as lmplz fits it; `fitted_on` is true for those. `model_file` is a model that exists: an ARPA file (plain, .gz,
    .zst), or a binary of KenLM where its module is installed. Words are what ASCII white space and NUL separate, as for
    KenLM, whose scores these are; for text without blanks take `unit: characters`. A sentence is a line, or with
    `sentences: document` all of a text; each ends in </s>, a token among `lm_tokens`. `unknown_tokens` cost what the
    model's <unk> does. Null where a text has no token.

    Cost: about 30 MB of text per second and core at order 5, fitting about 0.6 million words; 55 MB and 1.1 million at
        order 3 (`benchmarks/bench_ngram.py`).
    Source: Chen and Goodman 1999; Heafield 2011 (KenLM); Wenzek et al. 2020 (CCNet) for filtering by perplexity.
    """

    name: ClassVar[str] = "ngram_lm"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    read_at: ClassVar[ReadAt] = dict.fromkeys(("order", "sample_bytes", "arpa"), ("fit_on", given))

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """What a document costs, how many tokens that is, and how many of them the model does not know."""
        return columns_of(fitted=bool(self.fit_on))

    def validate(self) -> None:
        """Raises: ConfigError where there is not one model, or none could be fitted so."""
        if bool(self.fit_on) == bool(self.model_file):
            both = "both say what the model is" if self.fit_on else "is missing: nothing says what the model is"
            raise ConfigError(f"`fit_on` or `model_file` {both}", where="fit_on",
                              hint="name documents to fit on, or a model's file")  # fmt: skip
        if self.prune and not self.fit_on:
            raise ConfigError(
                "prune has no effect without fit_on", where="prune", hint="leave it out, or give `fit_on`"
            )
        if self.arpa and self.unit == "characters":
            raise ConfigError("an ARPA file has no word for white space", where="arpa", hint="`unit: words`")
        self._model().validate()

    def expand(self, scope: Scope) -> list[Sub]:
        """`model` (the table) and `score` (the columns), so that scoring more documents does not fit again."""
        refs: dict[str, Any] = {"fit_on": self.fit_on} if self.fit_on else {}
        score = NgramScore(model=".model", fitted=bool(self.fit_on))
        return [
            Sub(name="model", operator=self._model(), refs=refs),
            Sub(name="score", operator=score, inputs=scope.inputs, where=scope.where, refs={"model": ".model"}),
        ]

    def _model(self) -> Operator:
        texts = part_of(self, NgramTexts)
        if self.model_file:
            return NgramFile(model_file=self.model_file, **texts)
        return NgramFit(**texts, **part_of(self, NgramFitSettings))
