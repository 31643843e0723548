"""Word n-grams of texts or of their pieces, as numbers: the first sub-stage of `ngram_bloom` and `repeated_ngrams`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.words.segments import By, Segments, segment_texts, segments
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.dedup.minhash_settings import check_at_least_one

KEYS, SIZES, STOPS = "ngram_keys", "piece_keys", "piece_stops"


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """What is looked up."""

    ngram: int = 13  # words
    min_words: int | None = None  # fewer are not compared; `ngram` of them by default: nothing shorter

    def check_ngrams(self) -> None:
        """Raise ConfigError for n-grams without a word, or more words at least than an n-gram has."""
        check_at_least_one(self, "ngram")
        if self.min_words is not None and not 1 <= self.min_words <= self.ngram:
            hint = f"1 to {self.ngram}: from `ngram` words on, all their n-grams are looked up"
            raise ConfigError(f"min_words is {self.min_words}", where="min_words", hint=hint)


@dataclass(frozen=True, kw_only=True)
class NgramKeys(Ngrams, MapArrow):
    """Hashes of the word n-grams of every text, in order; how many each of its pieces has, and where that ends.

    Words are those of `minhash`. A text or piece of `min_words` to `ngram` - 1 words has one, of all its words.
    Source: own
    """

    name: ClassVar[str] = "ngram_keys"
    role: ClassVar[str] = "dedup"

    pieces: By | None = None  # of what the n-grams are, else of whole texts

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`ngram_keys`, 8 bytes each; `piece_keys` and `piece_stops`, in bytes of the text, of its pieces."""
        whole = {KEYS: pa.large_binary()}
        return whole if self.pieces is None else {**whole, SIZES: pa.large_list(pa.int32()),
                                                     STOPS: pa.large_list(pa.int64())}  # fmt: skip

    def validate(self) -> None:
        """Raise ConfigError for n-grams without a word."""
        self.check_ngrams()

    def open(self, ctx: Context) -> ArrowColumns:
        """Compiled kernels over the text buffers; no state."""
        return self._measure

    def _measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from winnow.pipeline.dedup import bloom_kernels as kernels

        text = batch.column("text")
        filled = text.fill_null("") if text.null_count else text
        found = None if self.pieces is None else segments(filled, by=self.pieces)
        offsets, data = utf8_buffers(filled if found is None else segment_texts(filled, found))
        offsets = np.require(offsets, dtype=np.int64, requirements=["C", "A"])
        starts, keys = kernels.piece_keys(offsets, data, self.ngram, self.min_words or self.ngram)
        rows = np.arange(len(text) + 1, dtype=np.int64) if found is None else found.rows
        ends = np.ascontiguousarray(8 * starts[rows])
        columns = [pa.Array.from_buffers(pa.large_binary(), len(text), [None, pa.py_buffer(ends), pa.py_buffer(keys)])]
        if found is not None:
            columns += _of_pieces(found, starts)
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(list(self.outputs().items())))


def _of_pieces(found: Segments, starts: np.ndarray) -> list[pa.Array]:
    """How many n-grams every piece has, and where it ends, as lists of each text."""
    every = np.ones(len(found.rows) - 1, dtype=np.bool_)
    return [found.lists(np.diff(starts).astype(np.int32), every), found.lists(found.ends, every)]
