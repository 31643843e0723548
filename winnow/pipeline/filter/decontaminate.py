"""A pool cleaned of what repeats held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.words.hashing import ngram_hashes
from winnow.core.words.text import valid_mask


@dataclass(frozen=True, kw_only=True)
class Decontaminate(MapArrow):
    """Drops documents that repeat word n-grams of other rows, such as held-out text.

    Words as in `core.words.hashing.ngram_hashes`. A document shorter than `ngram` words repeats nothing. N-grams
    are hashed to 64 bits: 10^7 of them meet 10^5 others by chance with probability 1e-7.

    Raises:
        DataError: the other rows hold no n-gram at all, so that nothing would be protected.
    Cost: one pass of hashing; memory 32 to 64 bytes per n-gram of the other rows.
    Source: 13-word overlap as in Brown et al. 2020 (appendix C); the direction (the pool is cleaned) is own
    """

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "filter"

    against: str = port("ref")
    ngram: int = 13
    max_ngrams: int = 0  # documents with more contaminated n-grams are dropped

    def validate(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: an n-gram has no words, or the limit is negative.
        """
        if self.ngram < 1:
            raise ConfigError(f"ngram is {self.ngram}, and must be at least 1", where="ngram")
        if self.max_ngrams < 0:
            raise ConfigError(f"max_ngrams is {self.max_ngrams}, and must not be negative", where="max_ngrams")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The protected text."""
        return {"against": ("text",)}

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return {"kept": pa.bool_(), "contaminated_ngrams": pa.int32()}

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> verdict and count."""
        from winnow.core.words import ngram_kernels as kernels

        protected = ctx.ref("against").frame("text", where_kept=True)["text"].drop_nulls()
        words = ngram_hashes(protected.to_arrow(compat_level=pl.CompatLevel.oldest()), 1)
        hashes = kernels.all_ngrams(*words, self.ngram)
        if not len(hashes):
            raise DataError(f"`against` has no {self.ngram} words in a row", hint="lower `ngram`")
        table = kernels.build_table(np.unique(hashes))

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            counts = kernels.count_members(*ngram_hashes(text, 1), self.ngram, table)
            absent = ~valid_mask(text)
            kept = pa.array(counts <= self.max_ngrams, mask=absent)
            return pa.record_batch({"kept": kept, "contaminated_ngrams": pa.array(counts, mask=absent)})

        return columns
