"""Control tokens within documents: an id before the first token of each sentence or line that has a label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.trainers.data.controls import NONE, Controls
from winnow.trainers.data.pack import Documents

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where controls go: before token `at` of all documents, `ids` of them, and how many segments could have none.

    A segment has no place where no token begins in it: the token before it reaches over it.
    """

    at: Ints
    ids: Ints
    documents: Ints
    without: int


def placed(
    labels: pl.Series, ends: pl.Series, controls: Controls, *, documents: Documents, token_bytes: Ints
) -> Placed:
    """Controls of segments: lists of labels beside lists of their ends in bytes, one pair per document.

    A control stands before the first token that begins in its segment, so a token that reaches into a segment from the
    one before belongs to that. Null labels and "" have no control.

    Raises:
        DataError: lists of unequal length, or segments that are not those of the documents' tokens.
    Cost: O(tokens + segments log tokens), 16 bytes per token.
    """
    spelt = token_bytes[documents.tokens.astype(np.int64, copy=False)]
    before = np.concatenate(([0], np.cumsum(spelt)))
    base = before[documents.offsets]
    owner, stop, flat = _flat(labels, ends, np.diff(base))
    start = np.where(np.concatenate(([True], owner[1:] != owner[:-1])), 0, np.concatenate(([0], stop[:-1])))
    first = np.searchsorted(before[:-1], start + base[owner], side="left")
    begins = (first < documents.offsets[owner + 1]) & (before[np.minimum(first, len(spelt))] < stop + base[owner])
    ids = controls.of(flat)
    has = ids >= 0
    kept = has & begins
    return Placed(at=first[kept], ids=ids[kept], documents=owner[kept], without=int((has & ~begins).sum()))


def with_segment_controls(documents: Documents, found: Placed) -> Documents:
    """The documents with those ids in them; without a single one the documents that were given."""
    if not len(found.at):
        return documents
    tokens = np.insert(documents.tokens, found.at, found.ids.astype(documents.tokens.dtype))
    more = np.bincount(found.documents, minlength=len(documents.doc_id))
    return replace(documents, tokens=tokens, offsets=documents.offsets + np.concatenate(([0], np.cumsum(more))))


def _flat(labels: pl.Series, ends: pl.Series, num_bytes: Ints) -> tuple[Ints, Ints, pl.Series]:
    """(document, end within it, label) of every segment of the documents that have labels."""
    known = labels.is_not_null()
    sizes = labels.list.len().fill_null(0).to_numpy().astype(np.int64)
    given = ends.list.len().fill_null(0).to_numpy().astype(np.int64)
    wrong = np.flatnonzero(known.to_numpy() & (sizes != given))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{given[row]} ends and {sizes[row]} labels", where=f"document number {row}",
                        hint="both lists must come from one `conditional` stage")  # fmt: skip
    owner = np.repeat(np.arange(len(sizes)), sizes)
    stop = ends.filter(known).list.explode(empty_as_null=False).cast(pl.Int64).to_numpy()
    last = np.flatnonzero(np.concatenate((owner[1:] != owner[:-1], [True]))) if len(owner) else np.zeros(0, dtype=int)
    wrong = last[stop[last] != num_bytes[owner[last]]]
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"the segments of {len(wrong):,} documents end elsewhere than their tokens: byte {stop[at]:,} and "
            f"{num_bytes[owner[at]]:,}", where=f"document number {owner[at]}",
            hint="label the segments of the text that is tokenised; the tokenizer must not change the text",
        )  # fmt: skip
    return owner, stop, labels.filter(known).list.explode(empty_as_null=False).cast(pl.String)


def counted_labels(labels: pl.Series) -> dict[str, int]:
    """How many segments have which label; `none` where it was drawn away, `null` where there is no score."""
    flat = labels.drop_nulls().list.explode(empty_as_null=False)
    table: Any = flat.value_counts(name="segments").rows()
    return {("null" if label is None else "none" if label == NONE else label): int(n) for label, n in sorted(
        table, key=lambda row: row[0] or "")}  # fmt: skip
