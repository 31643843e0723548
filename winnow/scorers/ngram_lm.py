"""The `ngram_lm` operator: what documents cost under an n-gram language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Schema, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.scorers.ngram_file import NgramFile
from winnow.scorers.ngram_score import COLUMNS, NgramScore
from winnow.scorers.ngram_texts import NgramTexts


@dataclass(frozen=True, kw_only=True)
class NgramLm(NgramTexts, Composite):
    """Nats (`nll`), `bits_per_byte` and `perplexity` of each document under an n-gram language model.

    `model_file` is one that exists: an ARPA file (plain, .gz, .zst), or a binary of KenLM where its module is
    installed. Words are what ASCII white space and NUL separate, as for KenLM, whose scores these are; for text
    without blanks take `unit: characters`. A sentence is a line, or with `sentences: document` all of a text; each
    ends in </s>, a token among `lm_tokens`. `unknown_tokens` cost what the model's <unk> does. Null where a text has
    no token.

    Cost: tens of MB of text per second and core.
    Source: Heafield 2011 (KenLM); Wenzek et al. 2020 (CCNet) for filtering by perplexity.
    """

    name: ClassVar[str] = "ngram_lm"
    role: ClassVar[str] = "scorer"
    meaning: ClassVar[Mapping[str, Meaning]] = {}

    model_file: tuple[str, ...] = port("files")

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """What a document costs, how many tokens that is, and how many of them the model does not know."""
        return COLUMNS

    def expand(self, scope: Scope) -> list[Sub]:
        """`model` (the table) and `score` (the columns), so that scoring more documents does not read it again."""
        texts = part_of(self, NgramTexts)
        model = NgramFile(model_file=self.model_file, **texts)
        return [
            Sub(name="model", operator=model),
            Sub(name="score", operator=NgramScore(model=".model"), inputs=scope.inputs, where=scope.where,
                refs={"model": ".model"}),
        ]  # fmt: skip
