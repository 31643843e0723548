"""Which byte windows occurred before, where anchors do not tell: the second sub-stage of `repeated_substrings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Context, Schema
from winnow.core.words.hashing import as_lanes
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.repeated_copies import ComparedCopies
from winnow.pipeline.dedup.repeated_cut import SPANS
from winnow.pipeline.dedup.repeated_lines_found import repeats
from winnow.pipeline.dedup.repeated_spans import listed
from winnow.pipeline.dedup.substring_anchors import LISTS, Matching


@dataclass(frozen=True, kw_only=True)
class Windows(Matching, ComparedCopies):
    """`repeated_starts` and `repeated_stops` in bytes of the text: all that lies in a window that occurred before.

    Source: own
    """

    name: ClassVar[str] = "substring_windows"
    keys_per_row: ClassVar[int] = 16

    def needs(self) -> tuple[str, ...]:
        """The text, what the anchors say, and the columns of the order and of the groups."""
        return (*super().needs(), *LISTS)

    def collects(self) -> tuple[str, ...]:
        """What is repeated for certain."""
        return ("doc_id", "sure_starts", "sure_stops")

    def outputs(self) -> Schema:
        """The spans; null where there is none."""
        return SPANS

    def key_schema(self) -> Schema:
        """The other half of the hash, where the window stands, and the place of its document in the order."""
        return {"low": pa.uint64(), "start": pa.uint32(), "stop": pa.uint32(), **self.order_schema()}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One row per window that is to be looked at."""
        from winnow.pipeline.dedup import substring_kernels as kernels

        ranges = rows.select("look_first", "look_last").with_row_index("row").drop_nulls()
        ranges = ranges.explode("look_first", "look_last")
        first, last = (ranges[name].to_numpy().astype(np.int64) for name in ("look_first", "look_last"))
        sizes = last - first + 1
        row = np.repeat(ranges["row"].to_numpy().astype(np.int64), sizes)
        start = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(first, sizes)
        offsets, data = utf8_buffers(rows["text"].to_arrow().cast(pa.large_string()).fill_null(""))
        lanes = np.empty((len(row), 2), dtype=np.uint64)
        offsets = np.require(offsets, requirements=["C", "A"])
        kernels.window_hashes(offsets, data, self.min_bytes, row, start.astype(np.int64), lanes)
        if self.per:
            lanes = lanes ^ as_lanes(keepers.per_hashes(rows, self.per).fill_null(bytes(16)).to_arrow())[row]
        made = {
            "key": np.ascontiguousarray(lanes[:, 0]), "doc_id": rows["doc_id"].gather(row),
            "low": np.ascontiguousarray(lanes[:, 1]), "start": start.astype(np.uint32),
            "stop": (start + self.min_bytes).astype(np.uint32),
        }  # fmt: skip
        return pl.DataFrame({**made, **self.order_of(rows, row), "_at": row})

    def answer_schema(self) -> Schema:
        """The windows that go."""
        return {"start": pa.uint32(), "stop": pa.uint32()}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The windows that occur more than once, but for the first of each where it stays."""
        return repeats(rows, most=1, keep_first=self.keep == "first")

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """What is certain and what was found, united."""
        sure = rows.select("doc_id", start="sure_starts", stop="sure_stops").drop_nulls().explode("start", "stop")
        spans = [frame.select("doc_id", pl.col("start", "stop").cast(pl.Int64)) for frame in (sure, answers)]
        return listed(rows, pl.concat(spans))
