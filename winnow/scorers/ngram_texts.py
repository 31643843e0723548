"""How the operators of n-gram models cut texts into tokens: fields that the face, the fit and the file share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from winnow.core.operators import port
from winnow.core.words.backoff_model import TextForm


@dataclass(frozen=True, kw_only=True)
class NgramModelFile:
    """Where a model that exists lies."""

    model_file: tuple[str, ...] = port("files", default=())


@dataclass(frozen=True, kw_only=True)
class NgramTexts:
    """What a token and a sentence are."""

    unit: Literal["words", "characters"] = "words"
    sentences: Literal["line", "document"] = "line"
    lower_case: bool = False

    def form(self) -> TextForm:
        """The same for the model."""
        return TextForm(unit=self.unit, sentences=self.sentences, lower_case=self.lower_case)
