"""Languages of the paragraphs of a text, and how much of it is in which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.operators.retext import asked_of
from winnow.core.terminal import percent
from winnow.core.words import segments
from winnow.core.words.fasttext_predict import library_remarks
from winnow.core.words.segments import Segments
from winnow.core.words.text import utf8_buffers, valid_mask
from winnow.pipeline.measure.language_judges import Judge
from winnow.pipeline.measure.language_looks import LOOKS, judged_in_looks
from winnow.pipeline.measure.language_settings import LanguageSettings

_MOST = 6000  # bytes of a paragraph that are read
_AT_ONCE = 1 << 14  # paragraphs judged together: an array of classes for each
_UNTOLD = "told_nothing"  # counter

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ParagraphLanguages(LanguageSettings, MapArrow):
    """Language of each paragraph of a text, and `main_language`, that of most characters.

    Lists of equal length, an entry per paragraph in order: `paragraph_languages`, the codes; `paragraph_scores`, their
    probabilities in [0, 1]; `paragraph_ends`, the byte behind each, which starts where the one before ends;
    `paragraph_foreign`, the score of a paragraph in another language than `wanted` (default: the main one), else 0.
    A paragraph of fewer than `min_letters` bytes of letters (all characters beyond ASCII are letters), or told with a
    probability below `min_score`, has null in place of a language, and no part in what follows.
    `main_language`: the first of equals, null where no paragraph is told; `language_share`: its share of the
    characters of told paragraphs; `told_share`: their share of all characters of paragraphs (without white space around
    them; 0 without any); `num_languages`: how many were told. A null text has nulls, an empty one no paragraphs.

    `by: paragraphs` cuts at empty lines, `lines` and `sentences` as `core.words.segments`. The models are those of
    `language`; a paragraph of more than 384 bytes is read in looks of 192 bytes, 640 and 6,000.

    Raises:
        ConfigError: a number out of its range, a code in `wanted` that the model lacks, a model that cannot be read.
    Cost: O(bytes) to cut; the model reads 6,000 bytes of a paragraph at most; memory for 16,384 paragraphs at a time.
    Source: own; MADLAD-400's languages of sentences (Kudugunta et al. 2023, section 2) and OSCAR's of lines (Abadji et
        al. 2022) are used so, by other models.
    """

    name: ClassVar[str] = "paragraph_languages"
    role: ClassVar[str] = "signal"
    meaning: ClassVar[Mapping[str, Meaning]] = {"languages": "labels", "wanted": "labels"}

    by: segments.By = "paragraphs"
    wanted: tuple[str, ...] = ()  # codes that are not foreign; () = each document's main language
    min_letters: int = 24  # bytes
    min_score: float = 0.5

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Four lists and four numbers."""
        numbers, ends = pa.large_list(pa.float64()), pa.large_list(pa.int64())
        return {"paragraph_languages": pa.large_list(pa.large_string()), "paragraph_scores": numbers,
                "paragraph_ends": ends, "paragraph_foreign": numbers, "main_language": pa.large_string(),
                "language_share": pa.float64(), "told_share": pa.float64(), "num_languages": pa.int32()}  # fmt: skip

    def data(self) -> Any:
        """The version of the rules that cut texts."""
        return {"segments": segments.VERSION}

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range, or fields of the other model."""
        if self.min_letters < 1:
            raise ConfigError(f"min_letters is {self.min_letters}", where="min_letters", hint="1 byte or more")
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score is {self.min_score}", where="min_score", hint="a probability: 0 to 1")
        super().validate()

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> lists and numbers; the model is loaded once."""
        judge = self.judge(ctx)
        unknown = sorted(set(self.wanted) - set(judge.codes))
        if unknown:
            raise ConfigError(f"no such language: {', '.join(unknown)}", where="wanted",
                              hint=did_you_mean(unknown[0], judge.codes.to_list()))  # fmt: skip

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            valid, found = valid_mask(text), segments.segments(text, by=self.by)
            ids, scores, chars = self._judged(judge, text, found)
            numbers, main = _of_documents(found.rows, ids, chars)
            ctx.count(_UNTOLD, int((valid & (np.diff(found.rows) > 0) & (main < 0)).sum()))
            home = np.isin(ids, self._wanted(judge)) if self.wanted else ids == np.repeat(main, np.diff(found.rows))
            foreign = np.where(home, 0.0, scores)
            return pa.record_batch({
                "paragraph_languages": found.lists(_coded(judge, ids), valid),
                "paragraph_scores": found.lists(pa.array(scores, mask=ids < 0), valid),
                "paragraph_ends": found.lists(found.ends, valid),
                "paragraph_foreign": found.lists(pa.array(foreign, mask=ids < 0), valid),
                "main_language": _coded(judge, main),
                **{name: pa.array(values, mask=~valid) for name, values in numbers.items()},
            })  # fmt: skip

        return columns

    def _wanted(self, judge: Judge) -> I64:
        return np.flatnonzero(judge.codes.is_in(self.wanted).to_numpy())

    def _judged(self, judge: Judge, text: pa.Array, found: Segments) -> tuple[I64, F64, I64]:
        """(id of the language or -1, its probability, characters) of every paragraph."""
        from winnow.pipeline.measure import language_kernels as kernels

        spans, data = _spans(text, found)
        low, high, chars, letters = kernels.trimmed(spans, data)
        ids, scores = np.full(len(low), -1, dtype=np.int64), np.zeros(len(low))
        long = np.flatnonzero(letters >= self.min_letters)
        for at in range(0, len(long), _AT_ONCE):
            some = long[at : at + _AT_ONCE]
            most = np.minimum(high[some] - low[some], _MOST)
            ids[some], scores[some] = judged_in_looks(judge, (low[some], high[some]), data, most, (*LOOKS, _MOST))
        ids[(scores < self.min_score) | (ids == len(judge.codes) - 1)] = -1  # the last code: undetermined
        return ids, scores, chars

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents of which nothing is known, and where the slower fastText library judged."""
        asked, untold, slow = asked_of(counts), counts.get(_UNTOLD, 0), library_remarks(counts)
        if not untold or not asked:
            return slow
        of = f"{untold:,} of {asked:,} documents ({percent(untold / asked)}) have no `main_language`"
        why = f"no paragraph has {self.min_letters} bytes of letters and a language of probability {self.min_score}"
        return (
            f"{of}: {why}; lower `min_letters` or `min_score`, or judge documents as one text with `language`",
            *slow,
        )


def _spans(text: pa.Array, found: Segments) -> tuple[tuple[I64, I64], U8]:
    """(first bytes and bytes behind the last of every paragraph, bytes)."""
    offsets, data = utf8_buffers(text.fill_null("") if text.null_count else text)
    data = data.view()
    data.flags.writeable = False  # as in every batch that has bytes: kernels are compiled once
    base = np.repeat(offsets[:-1], np.diff(found.rows))
    return (base + found.starts, base + found.ends), data


def _coded(judge: Judge, ids: I64) -> pa.Array:
    """Codes of the ids, null below 0."""
    return judge.codes.to_arrow().cast(pa.large_string()).take(pa.array(ids, mask=ids < 0))


def _of_documents(rows: I64, ids: I64, chars: I64) -> tuple[dict[str, npt.NDArray[Any]], I64]:
    """(numbers of the documents, id of each one's main language or -1)."""
    size = len(rows) - 1
    row, told = np.repeat(np.arange(size), np.diff(rows)), ids >= 0
    table = pl.DataFrame({"row": row[told], "id": ids[told], "chars": chars[told]})
    each = table.group_by("row", "id", maintain_order=True).agg(pl.col("chars").sum())
    sums = each.group_by("row", maintain_order=True).agg(
        of_told=pl.col("chars").sum(), most=pl.col("chars").max(), main=pl.col("id").get(pl.col("chars").arg_max()),
        languages=pl.len(),
    )  # fmt: skip
    at = sums["row"].to_numpy()
    main, most, of_told = np.full(size, -1, dtype=np.int64), np.zeros(size), np.zeros(size)
    languages = np.zeros(size, dtype=np.int32)
    main[at], most[at], of_told[at], languages[at] = (
        sums[n].to_numpy() for n in ("main", "most", "of_told", "languages")
    )
    everything = np.bincount(row, weights=chars, minlength=size)
    return {
        "language_share": most / np.maximum(of_told, 1),
        "told_share": of_told / np.maximum(everything, 1),
        "num_languages": languages,
    }, main
