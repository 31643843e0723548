"""Losses of documents under an n-gram model, beside those of networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.words.ngram_files import open_ngram

OF_WORDS = ("nll", "scored_tokens", "bits_per_byte", "nats_per_token")  # what an n-gram model can tell of a document


@dataclass(frozen=True, kw_only=True)
class NgramNats(Map):
    """Losses of documents under the n-gram model of an `ngram_lm` stage; tokens are its words and ends of sentences.

    References: `table`, the stage that holds the table.

    Source: back-off as in Katz 1987, in the conventions of KenLM (Heafield 2011)
    """

    name: ClassVar[str] = "ngram_nats"
    role: ClassVar[str] = "scorer"

    names: tuple[str, ...]  # of measures
    table: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """The text, and its length."""
        return ("text", "text_bytes")

    def outputs(self) -> Schema:
        """The measures; null where a text has no token."""
        return {name: pa.int64() if name == "scored_tokens" else pa.float64() for name in self.names}

    def open(self, ctx: Context) -> Columns:
        """Batch of texts -> measures; the model is mapped once."""
        model = open_ngram(ctx.ref("table").files())

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            found = model.score(text.to_arrow(compat_level=pl.CompatLevel.oldest()))
            tokens = np.where(found.tokens > 0, found.tokens, np.nan)
            nats = found.nats * (tokens / tokens)
            size = batch["text_bytes"].cast(pl.Float64).to_numpy()
            ways = {"nll": nats, "scored_tokens": found.tokens, "nats_per_token": nats / tokens,
                    "bits_per_byte": nats / (np.where(size > 0, size, np.nan) * math.log(2))}  # fmt: skip
            frame = pl.DataFrame({name: ways[name] for name in self.names})
            return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).select(
                pl.when(text.is_not_null()).then(pl.all())
            )

        return columns
