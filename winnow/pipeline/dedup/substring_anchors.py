"""Which anchors of byte windows occur more than once: the first sub-stage of `repeated_substrings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Schema
from winnow.core.words.hashing import as_lanes
from winnow.core.words.splice import united
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.repeated_copies import ComparedCopies, Copies
from winnow.pipeline.dedup.repeated_lines_found import occurring_again

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
LISTS = ("sure_starts", "sure_stops", "look_first", "look_last")
_MOST = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Matching(Copies):
    """How long a repetition is, and which copies go."""

    min_bytes: int = 200


@dataclass(frozen=True, kw_only=True)
class Anchors(Matching, ComparedCopies):
    """Spans that are certainly repeated, and ranges of windows of which only their own bytes can tell.

    All windows of an anchor whose bytes, from the first window to the last, stood somewhere before are repeated. Where
    other bytes stand around an anchor that occurs elsewhere too, some windows may be: those are to be looked at.

    Source: own; anchors by winnowing (Schleimer, Wilkerson, Aiken 2003)
    """

    name: ClassVar[str] = "substring_anchors"
    keys_per_row: ClassVar[int] = 32

    def collects(self) -> tuple[str, ...]:
        """Identity, and whether there is a group."""
        return ("doc_id", *self.per)

    def outputs(self) -> Schema:
        """Spans in bytes; first and last windows to look at; null where there is none."""
        return dict.fromkeys(LISTS, pa.large_list(pa.int64()))

    def key_schema(self) -> Schema:
        """Two hashes of the anchor's windows, where they stand, and the place of the document in the order."""
        numbers = {"low": pa.uint64(), "high": pa.uint64(), "start": pa.uint32(), "last": pa.uint32()}
        return {**numbers, **self.order_schema()}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One row per anchor. Raises: DataError for a text of 4 GiB or more."""
        spans, hashes = self._anchors(rows["text"].to_arrow().cast(pa.large_string()).fill_null(""))
        row = spans[:, 0]
        key = np.ascontiguousarray(hashes[:, 0])
        if self.per:
            per = keepers.per_hashes(rows, self.per)
            there = per.is_not_null().to_numpy()[row]
            spans, hashes, row = spans[there], hashes[there], row[there]
            key = key[there] ^ as_lanes(per.fill_null(bytes(16)).to_arrow())[row, 0]
        made = {
            "key": key, "doc_id": rows["doc_id"].gather(row),
            "low": np.ascontiguousarray(hashes[:, 1]), "high": np.ascontiguousarray(hashes[:, 2]),
            "start": spans[:, 1].astype(np.uint32), "last": spans[:, 2].astype(np.uint32),
        }  # fmt: skip
        return pl.DataFrame({**made, **self.order_of(rows, row), "_at": row})

    def _anchors(self, text: pa.Array) -> tuple[Ints, Words]:
        """(row, first and last window; three hashes) of every anchor."""
        from winnow.pipeline.dedup import substring_kernels as kernels

        offsets, data = utf8_buffers(text)
        offsets = np.require(offsets, requirements=["C", "A"])
        if len(offsets) > 1 and int(np.diff(offsets).max()) > _MOST:
            raise DataError("a text has 4 GiB or more", hint="such texts are not compared: leave it out with `where`")
        gram = self.min_bytes // 2
        room, found = int(offsets[-1] - offsets[0]) * 3 // (self.min_bytes - gram + 1) + len(offsets), -1
        while found < 0 or found > room:
            room = max(room, found)
            spans, hashes = np.empty((room, 3), dtype=np.int64), np.empty((room, 3), dtype=np.uint64)
            found = kernels.anchors(offsets, data, self.min_bytes, gram, spans, hashes)
        return spans[:found], hashes[:found]

    def answer_schema(self) -> Schema:
        """The windows, and what is known of them."""
        return {"start": pa.uint32(), "last": pa.uint32(), "sure": pa.bool_(), "look": pa.bool_()}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Anchors whose windows are repeated, and the first of each surrounding where an anchor has several."""
        ordered = ["keeper_order"] if "keeper_order" in rows.columns else []
        some = rows.filter(occurring_again(rows["key"])).sort("key", *ordered, "doc_id", "start")
        whole = ["key", "low", "high"]
        first = pl.int_range(pl.len()).over(whole) == 0
        many = pl.len().over(whole) > 1
        some = some.with_columns(first=first, sure=many if self.keep == "none" else many & ~first)
        some = some.with_columns(look=pl.col("first") & (pl.col("first").sum().over("key") > 1))
        return some.filter(pl.col("sure") | pl.col("look")).select("doc_id", "_part", *self.answer_schema())

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The lists of every document."""
        self.count_alone(rows, ctx)
        places = rows.select("doc_id").with_row_index("row")
        found = answers.join(places, on="doc_id", how="inner").cast({"start": pl.Int64, "last": pl.Int64})
        sure, look = found.filter("sure"), found.filter("look").sort("row", "start")
        row, starts, stops = united(
            sure["row"].cast(pl.Int64).to_numpy(), sure["start"].to_numpy(), sure["last"].to_numpy() + self.min_bytes
        )
        spans = pl.DataFrame({"row": row.astype(np.uint32), "sure_starts": starts, "sure_stops": stops})
        looked = look.select("row", look_first="start", look_last="last")
        for frame in (spans, looked):
            lists = frame.group_by("row", maintain_order=True).agg(pl.exclude("row"))
            places = places.join(lists, on="row", how="left", maintain_order="left")
        return places.select(LISTS)
