"""Scores of sentences, lines or paragraphs: hits of patterns per character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.words import segments
from winnow.core.words.text import valid_mask


@dataclass(frozen=True, kw_only=True)
class SegmentScores(MapArrow):
    """Score of each sentence, line or paragraph: `segment_scores`, hits per character, and `segment_ends`, in bytes.

    Both are lists of equal length, one entry per segment in order (`core.words.segments`; the last end is the text's
    length): 0 where no pattern matches, null where the text is null, empty where it is empty. `hits` are regular
    expressions of the dialect of the crate `regex` (no look-around); matches of one pattern do not overlap, those of
    different patterns are added up. `segment_worst` is the largest score, for selecting documents; null without one.

    `unlikelihood` and `conditional` read the lists: a token has the score of the segment in which its first byte lies.

    Raises:
        ConfigError: no pattern, or one that cannot be read.
    Cost: one pass to cut, one per pattern; a copy of the text per batch.
    Source: hits per character as in Pretraining with Human Preferences (Korbak et al. 2023, section 3), there by
        scrubadub and pycodestyle; sentences by own rules, there by spaCy
    """

    name: ClassVar[str] = "segment_scores"
    role: ClassVar[str] = "signal"
    meaning: ClassVar[Mapping[str, Meaning]] = {"hits": "free"}

    by: segments.By = "sentences"
    hits: tuple[str, ...]

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Two lists, and the largest score."""
        return {"segment_ends": pa.large_list(pa.int64()), "segment_scores": pa.large_list(pa.float64()),
                "segment_worst": pa.float64()}  # fmt: skip

    def data(self) -> Any:
        """The version of the rules that cut texts: scores of other segments are other scores."""
        return {"segments": segments.VERSION}

    def validate(self) -> None:
        """Raise ConfigError without patterns, for one that cannot be read, or one that matches nothing at all."""
        if not self.hits:
            raise ConfigError("no pattern", where="hits", hint="regular expressions, such as '[0-9]{3}-[0-9]{4}'")
        for number, pattern in enumerate(self.hits):
            try:
                empty = pl.Series([""]).str.count_matches(pattern)[0]
            except pl.exceptions.PolarsError as error:
                why = str(error).strip().splitlines()[-1]
                raise ConfigError(f"cannot read {pattern!r}: {why}", where=f"hits.{number}") from error
            if empty:
                hint = "it would count a hit at every place: ask for one character or more"
                raise ConfigError(f"{pattern!r} matches the empty text", where=f"hits.{number}", hint=hint)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> lists."""

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            found, valid = segments.segments(text, by=self.by), valid_mask(text)
            pieces = pl.from_arrow(segments.segment_texts(text, found))
            assert isinstance(pieces, pl.Series)
            hits = np.zeros(len(pieces))
            for pattern in self.hits:
                hits += pieces.str.count_matches(pattern).to_numpy()
            scores = hits / np.maximum(pieces.str.len_chars().to_numpy(), 1)
            some = np.diff(found.rows) > 0
            worst = np.full(len(text), np.nan)
            if some.any():
                worst[some] = np.maximum.reduceat(scores, found.rows[:-1][some])
            return pa.record_batch({
                "segment_ends": found.lists(found.ends, valid),
                "segment_scores": found.lists(scores, valid),
                "segment_worst": pa.array(worst, mask=~some),
            })  # fmt: skip

        return columns
