"""Edit: a Retext that changes the text which it read.

An editor says which bytes of a text are replaced by what; the text, its hash, its bytes and the list of changes follow
from that here, so that what `why` shows is what was done. On disk the new text is null where nothing was changed:
whoever reads it gets the text below it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators.contract import ArrowColumns, Context, Schema
from winnow.core.operators.retext import TEXTS, Retext, asked_of
from winnow.core.words.splice import Spans, changed, removed, replaced
from winnow.core.words.text import valid_mask

STARTS, STOPS, NEW = "edit_starts", "edit_stops", "edit_texts"
EDITS: dict[str, pa.DataType] = {  # null where nothing was changed
    STARTS: pa.large_list(pa.int64()),  # first byte of each replaced span, in the text as it was
    STOPS: pa.large_list(pa.int64()),  # the byte behind it
    NEW: pa.large_list(pa.large_string()),  # what stands there now, "" where nothing does
}
EDITED = "edited"  # what receipts count: documents that were changed


@dataclass(frozen=True, kw_only=True)
class Edited:
    """An editor's answer for a batch: what it replaces, and its own columns."""

    spans: Spans
    columns: Mapping[str, pa.Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where an editor's kernel writes the spans and the counts of a batch of texts."""

    rows: np.ndarray  # i64[texts + 1]: spans before each text
    out: tuple[np.ndarray, ...]  # starts, stops, numbers of the texts that take their place, and how many spans, i64
    counts: np.ndarray  # i64[texts, counters]

    def spans(self, texts: Sequence[str] = ("",)) -> Spans:
        """What was written, with `texts` in place of the spans."""
        starts, stops, by = (array[: self.out[3][0]] for array in self.out[:3])
        if tuple(texts) == ("",):
            return removed(self.rows, starts, stops)
        return replaced(self.rows, starts, stops, by, texts)

    def columns(self, names: Mapping[str, int], text: pa.Array) -> dict[str, pa.Array]:
        """Columns of counters by their numbers, i32; null where the text is."""
        null = ~valid_mask(text)
        return {name: pa.array(self.counts[:, at].astype(np.int32), mask=null) for name, at in names.items()}


def room(texts: int, spans: int, counters: int) -> Room:
    """Room for at most so many spans."""
    out = (*(np.zeros(spans, dtype=np.int64) for _ in range(3)), np.zeros(1, dtype=np.int64))
    counts = np.zeros((texts, counters), dtype=np.int64)
    return Room(rows=np.zeros(texts + 1, dtype=np.int64), out=out, counts=counts)


@dataclass(frozen=True, kw_only=True)
class Edit(Retext):
    """Rows in, the same rows out with another text, the changes that made it, and columns of its own."""

    role: ClassVar[str] = "editor"

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Build what is heavy and return batch -> what is replaced in each text; nothing in a null text."""
        raise NotImplementedError

    def outputs(self) -> Schema:
        """The new text (null: as it was) with its hash and bytes, what was changed, and the editor's own columns."""
        return {**TEXTS, **EDITS, **self.measures()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """That nothing was changed, or that documents are empty now."""
        asked, told = asked_of(counts), super().remarks(counts, metrics)
        if asked and not counts.get(EDITED, 0):
            told = (f"changed none of {asked:,} documents: look at its options, or take it out", *told)
        return told

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> `outputs()`."""
        edit = self.editing(ctx)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            answer = edit(batch)
            made = edited_columns(batch, answer.spans) | dict(answer.columns)
            return pa.record_batch({name: made[name] for name in self.outputs()})

        return columns


def edited_columns(batch: pa.RecordBatch, spans: Spans) -> dict[str, pa.Array]:
    """`TEXTS` and `EDITS` of a batch, from what is replaced in its texts."""
    from winnow.core.words.hashing import as_lanes, from_lanes, text_hash

    text = batch.column("text")
    new, spans = changed(text, spans)
    fresh = valid_mask(new)
    lanes, size = as_lanes(batch.column("text_hash")), np.asarray(batch.column("text_bytes").fill_null(0))
    if fresh.any():
        lanes = np.where(fresh[:, None], as_lanes(text_hash(new)), lanes)
        size = np.where(fresh, np.diff(np.frombuffer(new.buffers()[1], dtype=np.int64)), size)
    null = ~valid_mask(batch.column("text_bytes"))
    return {
        "text": new,
        "text_hash": from_lanes(np.ascontiguousarray(lanes)),
        "text_bytes": pa.array(size, pa.int64(), mask=null) if null.any() else pa.array(size, pa.int64()),
        STARTS: _lists(spans.rows, pa.array(spans.starts), fresh),
        STOPS: _lists(spans.rows, pa.array(spans.stops), fresh),
        NEW: _lists(spans.rows, spans.new, fresh),
    }


def _lists(rows: np.ndarray, values: pa.Array, some: np.ndarray) -> pa.Array:
    """Lists of the values of each row, null for a row without any."""
    bitmap = pa.py_buffer(np.packbits(some, bitorder="little").tobytes())
    kind = pa.large_list(values.type)
    return pa.Array.from_buffers(kind, len(some), [bitmap, pa.py_buffer(np.ascontiguousarray(rows))], children=[values])
