"""Repeated spans, taken out of the text: the last sub-stage of `repeated_lines` and `repeated_substrings`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.operators import Context, Schema
from winnow.core.operators.edit import Edit, Edited
from winnow.core.words.splice import removed
from winnow.core.words.text import utf8_buffers, valid_mask

Ints = npt.NDArray[np.int64]
SPANS: Schema = {"repeated_starts": pa.large_list(pa.int64()), "repeated_stops": pa.large_list(pa.int64())}
MEASURES: Schema = {"repeated_spans": pa.int32(), "repeated_share": pa.float64()}


@dataclass(frozen=True, kw_only=True)
class Cut(Edit):
    """The text without the listed byte spans; `repeated_spans` how many, `repeated_share` of the bytes, in [0, 1].

    Source: own
    """

    name: ClassVar[str] = "repeated_cut"

    blank_start: bool = False  # white space behind a span at the start of a text stays

    def beside(self) -> tuple[str, ...]:
        """The spans."""
        return tuple(SPANS)

    def measures(self) -> Schema:
        """How many spans went, and their share of the bytes."""
        return MEASURES

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Batch -> its listed spans."""

        def edit(batch: pa.RecordBatch) -> Edited:
            from winnow.pipeline.dedup import repeated_kernels as kernels

            text = batch.column("text")
            there = valid_mask(text)
            rows, starts = _flat(batch.column("repeated_starts"), there)
            _, stops = _flat(batch.column("repeated_stops"), there)
            offsets, data = utf8_buffers(text)
            offsets, stops = np.require(offsets, requirements=["C", "A"]), stops.copy()
            if self.blank_start:
                starts = starts.copy()
                kernels.whole_characters(offsets, data, rows, starts, stops)
            else:
                kernels.without_blank_start(offsets, data, rows, starts, stops)
            gone = np.concatenate(([0], np.cumsum(stops - starts)))[rows]
            share = np.diff(gone) / np.maximum(np.diff(offsets), 1)
            columns = {
                "repeated_spans": pa.array(np.diff(rows).astype(np.int32), mask=~there),
                "repeated_share": pa.array(share, mask=~there),
            }
            return Edited(spans=removed(rows, starts, stops), columns=columns)

        return edit


def _flat(lists: pa.Array, there: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """(spans before each row, the values); a null list, and that of a null text, has none."""
    sizes = np.asarray(lists.value_lengths().fill_null(0), dtype=np.int64)
    values = np.asarray(lists.flatten(), dtype=np.int64)
    if not there.all():
        values = values[np.repeat(there, sizes)]
        sizes = np.where(there, sizes, 0)
    rows = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=rows[1:])
    return rows, np.require(values, requirements=["C", "A"])
