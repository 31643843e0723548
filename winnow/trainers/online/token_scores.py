"""Scores of segments as scores of tokens: each has that of the sentence or line in which its first byte lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.core.words.segments import of_tokens
from winnow.trainers.data.batches import Batch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """A score for each target of all documents: document d has `scores[first[d] : first[d + 1]]`, the end mark last."""

    scores: npt.NDArray[np.float32]  # [tokens + documents], NaN where the document has no scores
    first: Ints  # [documents + 1]

    def of(self, rows: Batch) -> npt.NDArray[np.float32]:
        """The scores of a batch's targets, f32[B, T]; NaN on fill."""
        at = np.where(rows.documents >= 0, self.first[np.maximum(rows.documents, 0)] + rows.places, 0)
        return np.where(rows.documents >= 0, self.scores[at], np.float32(np.nan)).astype(np.float32)


def token_scores(
    scores: pl.Series, ends: pl.Series, *, tokens: npt.NDArray[np.integer], offsets: Ints, token_bytes: Ints
) -> TokenScores:
    """Scores of segments, lists beside lists of their ends in bytes, as scores of the documents' tokens.

    Shapes: `scores`, `ends` [documents], `tokens` of all documents one after the other, `offsets` [documents + 1],
    `token_bytes` [vocabulary]: the bytes that an id spells.

    Raises:
        DataError: lists of unequal length, or segments that end elsewhere than the document's tokens.
    Cost: 16 bytes per token while it works, 4 afterwards.
    """
    lengths = np.diff(offsets)
    spelt = token_bytes[tokens.astype(np.int64, copy=False)]
    total = np.concatenate(([0], np.cumsum(spelt)))
    num_bytes = total[offsets[1:]] - total[offsets[:-1]]
    given, values, first = _flat(scores, ends, num_bytes)
    base = np.concatenate(([0], np.cumsum(num_bytes)))
    segment = of_tokens(given + np.repeat(base[:-1], np.diff(first)), spelt)
    starts = offsets + np.arange(len(offsets))
    out = np.full(int(starts[-1]), np.nan, dtype=np.float32)
    out[np.arange(len(tokens)) + np.repeat(np.arange(len(lengths)), lengths)] = values[segment]
    out[starts[1:] - 1] = values[first[1:] - 1]  # an end mark spells nothing: it has the last segment's
    return TokenScores(scores=out, first=starts)


def _flat(scores: pl.Series, ends: pl.Series, num_bytes: Ints) -> tuple[Ints, npt.NDArray[np.float64], Ints]:
    """(ends, scores, where each document's begin); a document without a list is one segment without a score."""
    sizes = ends.list.len().fill_null(0).to_numpy().astype(np.int64)
    if not np.array_equal(sizes, scores.list.len().fill_null(0).to_numpy()):
        row = int(np.flatnonzero(sizes != scores.list.len().fill_null(0).to_numpy())[0])
        raise DataError(f"{sizes[row]} ends and another number of scores", where=f"document number {row}",
                        hint="both lists must come from one stage, as from `segment_scores`")  # fmt: skip
    first = np.concatenate(([0], np.cumsum(np.maximum(sizes, 1))))
    flat_ends, flat = np.zeros(first[-1], dtype=np.int64), np.full(first[-1], np.nan)
    real = np.repeat(sizes > 0, np.maximum(sizes, 1))
    flat_ends[first[1:] - 1] = num_bytes
    if real.any():
        flat_ends[real] = ends.list.explode(empty_as_null=False).drop_nulls().cast(pl.Int64).to_numpy()
        flat[real] = (
            scores.drop_nulls().list.explode(empty_as_null=False).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        )
    wrong = np.flatnonzero(flat_ends[first[1:] - 1] != num_bytes)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"the segments of {len(wrong):,} documents end elsewhere than their tokens: byte "
            f"{flat_ends[first[row + 1] - 1]:,} and {num_bytes[row]:,}", where=f"document number {row}",
            hint="score the segments of the text that is trained on; the tokenizer must not change the text",
        )  # fmt: skip
    return flat_ends, flat, first
