"""Token ids of every document as a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.words.token_ids import slow_remarks
from winnow.trainers.data.encoder import FILE, Encoder


@dataclass(frozen=True, kw_only=True)
class Tokens(Map):
    """Token ids of every document, u16 (`wide`: u32) list without an end mark, and their number.

    Source: own; ids of the fitted byte-level BPE
    """

    name: ClassVar[str] = "tokens"
    role: ClassVar[str] = "trainer"
    version: ClassVar[int] = 2  # 2: a tokenizer's own truncation, padding and dropout are not applied
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tokenizer: str = port("ref", default="")
    wide: bool = False  # a vocabulary of more than 65536 ids needs it

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return {"tokens": pa.large_list(pa.uint32() if self.wide else pa.uint16()), "token_ids_count": pa.int32()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Why a large input was not tokenized the fast way."""
        return slow_remarks(counts)

    def open(self, ctx: Context) -> Columns:
        """Batch of texts -> tokens.

        Raises:
            ConfigError: an id of the tokenizer does not fit 16 bits and `wide` is not set.
        """
        encode = Encoder(ctx.ref("tokenizer").files()[FILE], count=ctx.count)
        if encode.dtype == np.uint32 and not self.wide:
            raise ConfigError("the vocabulary needs ids of 32 bits", where="wide", hint="set `wide: true`")
        kind = pl.UInt32 if self.wide else pl.UInt16

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            ids, offsets = encode(text.fill_null(""))
            values = pa.array(ids.astype(np.uint32 if self.wide else np.uint16, copy=False))
            lists = pa.LargeListArray.from_arrays(pa.array(offsets), values, mask=_nulls(text))
            counts = pl.Series("token_ids_count", np.diff(offsets).astype(np.int32))
            tokens = pl.Series("tokens", lists, dtype=pl.List(kind))
            return pl.DataFrame({"tokens": tokens, "token_ids_count": counts}).with_columns(
                pl.when(text.is_not_null()).then(pl.col("token_ids_count")).alias("token_ids_count")
            )

        return columns


def _nulls(text: pl.Series) -> pa.Array | None:
    return pa.array(text.is_null().to_numpy()) if text.null_count() else None
