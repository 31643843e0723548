"""What texts cost under a fitted or given n-gram model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.numerics import numeric
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.terminal import percent
from winnow.core.words import ngram_files
from winnow.core.words.text import utf8_buffers
from winnow.scorers.ngram_fit import FITTED, lots

LN_2 = 0.6931471805599453
MOST_FOREIGN = 0.5  # share of the documents with mostly unknown words from which that is remarked
SEEN = "fitted_on"  # whether the model was fitted on the document
COLUMNS: dict[str, pa.DataType] = {
    "nll": pa.float64(),  # nats of the document, ends of sentences among them
    "bits_per_byte": pa.float64(),
    "perplexity": pa.float64(),  # exp of the nats per token, as KenLM's
    "lm_tokens": pa.int64(),  # words (or characters) and ends of sentences
    "unknown_tokens": pa.int64(),
    "mostly_unknown": pa.bool_(),  # more than half of the tokens
}


@dataclass(frozen=True, kw_only=True)
class NgramScore(MapArrow):
    """Nats, bits per byte and perplexity of each document under an n-gram model; null where a text has no token.

    Cost: one pass over the bytes, and up to `order` looks into a mapped table per token.
    Source: back-off as in Katz 1987, in the conventions of KenLM (Heafield 2011)
    """

    name: ClassVar[str] = "ngram_score"
    role: ClassVar[str] = "scorer"

    model: str = port("ref")
    fitted: bool = False  # here, and so it is known on what

    def needs(self) -> tuple[str, ...]:
        """The text; the id, by which it is known whether the model saw it."""
        return ("doc_id", "text") if self.fitted else ("text",)

    def outputs(self) -> Schema:
        """What a document costs, how many tokens that is, and how many of them the model does not know."""
        return columns_of(fitted=self.fitted)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """That most words are unknown to the model, or that it has seen the documents."""
        return (*self._foreign(counts), *self._seen(counts))

    def _seen(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        seen, asked = counts.get(f"true:{SEEN}", 0), counts.get("ok", 0)
        if not seen:
            return ()
        told = f"the model was fitted on {seen:,} of these {asked:,} documents ({percent(seen / asked)})"
        return (f"{told}, which therefore cost less than others: fit on other documents, or ask `where: NOT {SEEN}`",)

    def _foreign(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        foreign, asked = counts.get("true:mostly_unknown", 0), counts.get("ok", 0)
        if not asked or foreign < MOST_FOREIGN * asked:
            return ()
        told = f"the model does not know most words of {foreign:,} of {asked:,} documents ({percent(foreign / asked)})"
        return (f"{told}: is it of their language, and does it take words as they are (`lower_case`, `unit`)?",)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> columns; the model is mapped once."""
        model = ngram_files.open_ngram(ctx.ref("model").files())

        seen = np.sort(np.load(ctx.ref("model").files()[FITTED], allow_pickle=False)) if self.fitted else None
        seed = int(ctx.ref("model").result()["seed"]) if self.fitted else 0

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            answers = _answers(model, batch.column("text"))
            null = ~np.asarray(answers["lm_tokens"] > 0)
            if seen is not None:
                keys = lots(pl.Series(batch.column("doc_id")), seed)
                place = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
                answers[SEEN] = seen[place] == keys
            schema = self.outputs()
            return pa.RecordBatch.from_arrays(
                [pa.array(answers[name], kind, mask=null) for name, kind in schema.items()], names=list(schema)
            )

        return columns


def columns_of(*, fitted: bool) -> Schema:
    """The columns of a model that was fitted here, or given."""
    return COLUMNS | ({SEEN: pa.bool_()} if fitted else {})


def _answers(model: ngram_files.Ngram, text: pa.Array) -> dict[str, Any]:
    """Column -> values, for texts without a token as well."""
    found = model.score(text)
    offsets, _ = utf8_buffers(text.fill_null("") if text.null_count else text)
    length, tokens = np.maximum(np.diff(offsets), 1), np.maximum(found.tokens, 1)
    return {
        "nll": found.nats,
        "bits_per_byte": found.nats / LN_2 / length,
        "perplexity": numeric.exp(found.nats / tokens),
        "lm_tokens": found.tokens,
        "unknown_tokens": found.unknown,
        "mostly_unknown": 2 * found.unknown > found.tokens,
    }
