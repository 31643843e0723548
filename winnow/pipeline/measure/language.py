"""Language identification: one ISO code and one probability per document.

The offline default computes py3langid's naive Bayes (its model ships in its wheel) with kernels of our own: the
automaton walks Arrow bytes, and all sums are sums of integers, so a document gets the same bits in any batch
and on any machine. A long document is looked at in rounds (see `Language.sample`): most are told by 192 bytes.
`benchmarks/bench_language.py` measured the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.words.fasttext_predict import library_remarks
from winnow.pipeline.measure.language_judges import BuiltIn, FastText, spans_of
from winnow.pipeline.measure.language_looks import LOOKS, judged_in_looks
from winnow.pipeline.measure.language_settings import LanguageSettings

_MAX_CHARS = 100_000
_CHARS = 3000

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Language(LanguageSettings, Map):
    """Language of a document: an ISO 639 code and its probability in [0, 1].

    Without `model_file`, py3langid's model: `language` is one of its codes (two or three letters; `zxx` is
    its code for no linguistic content), or `und` with score 0.0 where the text holds no known feature. With
    `model_file`, any fastText classifier (lid.176, GlotLID, ...; quantised or not): its labels without the
    `__label__` prefix, or with `codes: short` the two-letter code of each (`eng_Latn` is `en`), the
    probabilities of labels that share a code added up. A null text stays null.

    `sample` says how much of a long text is read. `staged`: 192 bytes in pieces spread over the text, then 640,
    then `max_chars` characters, until the probability is .95 or more; `language_score` is that of the last look,
    and texts of up to 384 bytes are read whole. `spread`: `max_chars` characters in pieces at once. `whole`: the
    whole text. So a licence header or a navigation bar alone does not decide.

    Cost: bounded by `max_chars` per document; O(bytes) for `whole`.
    Source: Lui and Baldwin 2012 (langid.py) as retrained in py3langid; fixed-point evaluation, sampling and
    stages are own.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 2
    role: ClassVar[str] = "signal"

    sample: Literal["staged", "spread", "whole"] = "staged"
    max_chars: int = _CHARS

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`language` (code) and `language_score` (probability of that code)."""
        return {"language": pa.large_string(), "language_score": pa.float64()}

    def validate(self) -> None:
        """Raises: ConfigError where the sample is too short or too long, or fields contradict each other."""
        if not 30 <= self.max_chars <= _MAX_CHARS:
            raise ConfigError(
                f"max_chars is {self.max_chars}",
                where="max_chars",
                hint=f"30 to {_MAX_CHARS} characters of a document are looked at",
            )
        if self.sample == "whole" and self.max_chars != _CHARS:
            raise ConfigError(
                "sample: whole reads all characters", where="max_chars", hint="drop one of the two fields"
            )
        super().validate()

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the slower fastText library judged, and why."""
        return library_remarks(counts)

    def open(self, ctx: Context) -> Columns:
        """Batch -> language and score; the model is loaded once.

        Raises: ConfigError where the model file or a language code is not usable.
        """
        judge = self.judge(ctx)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            known = text.is_not_null()
            ids, shares = self._judged(judge, text.fill_null(""))
            found = pl.DataFrame({"language": judge.codes.gather(ids), "language_score": shares})
            return found.select(pl.when(known).then(pl.all()))

        return columns

    def _judged(self, judge: BuiltIn | FastText, text: pl.Series) -> tuple[I64, F64]:
        spans, data = spans_of(text)
        if self.sample == "whole":
            return judge.whole(spans, data)
        most = bytes_of_characters(text, self.max_chars)
        looks = (*LOOKS, _MAX_CHARS * 4) if self.sample == "staged" else (_MAX_CHARS * 4,)
        return judged_in_looks(judge, spans, data, most, looks)


def bytes_of_characters(text: pl.Series, most: int) -> I64:
    """Bytes of about `most` characters of each text, i64[texts]: all bytes of a text that has no more."""
    sizes = text.str.len_bytes().cast(pl.Int64).to_numpy()
    chars = text.str.len_chars().cast(pl.Int64).to_numpy()
    return np.where(chars <= most, sizes, sizes * most // np.maximum(chars, 1))
