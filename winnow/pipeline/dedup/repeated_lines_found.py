"""Which pieces of texts have occurred before, in any document: the first sub-stage of `repeated_lines`."""

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
from winnow.core.words.segments import By, Segments, segment_texts, segments
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.forms import Form, in_form
from winnow.pipeline.dedup.repeated_copies import ComparedCopies, Copies
from winnow.pipeline.dedup.repeated_cut import SPANS
from winnow.pipeline.dedup.repeated_spans import listed

Lanes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
_MOST = 2**32 - 1  # bytes of a text


@dataclass(frozen=True, kw_only=True)
class Pieces(Copies):
    """What is compared, and which copies go."""

    by: By = "lines"
    run: int = 1  # pieces in a row that are compared together: 3 sentences as C4
    min_bytes: int = 20  # of a piece without the white space around it
    form: Form = "bytes"  # in which pieces are compared
    most: int = 1  # copies in the corpus that are none too many


@dataclass(frozen=True, kw_only=True)
class Found(Pieces, ComparedCopies):
    """`repeated_starts` and `repeated_stops` in bytes of the text: pieces, or runs of them, that occurred before.

    Source: own
    """

    name: ClassVar[str] = "repeated_lines_found"
    keys_per_row: ClassVar[int] = 16

    def collects(self) -> tuple[str, ...]:
        """Identity, and whether there is a group: spans travel with the answers."""
        return ("doc_id", *self.per)

    def outputs(self) -> Schema:
        """The spans; null where there is none."""
        return SPANS

    def key_schema(self) -> Schema:
        """The other half of the hash, where the run stands, and the place of its document in the order."""
        return {"low": pa.uint64(), "start": pa.uint32(), "stop": pa.uint32(), **self.order_schema()}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """One row per run of pieces that are long enough.

        Raises: DataError for a text of 4 GiB or more.
        """
        text = rows["text"].to_arrow().cast(pa.large_string())
        found = segments(text, by=self.by)
        lanes, row, first = self._runs(found, self._hashes(text, found))
        starts, stops = found.starts[first], found.ends[first + self.run - 1]
        if len(stops) and int(stops.max()) > _MOST:
            raise DataError(f"a text has {int(stops.max()):,} bytes", hint="texts of 4 GiB and more are not compared")
        if self.per:
            hashes = keepers.per_hashes(rows, self.per)
            there = hashes.is_not_null().to_numpy()[row]
            lanes, row, starts, stops = lanes[there], row[there], starts[there], stops[there]
            lanes = lanes ^ as_lanes(hashes.fill_null(bytes(16)).to_arrow())[row]
        made = {
            "key": np.ascontiguousarray(lanes[:, 0]), "doc_id": rows["doc_id"].gather(row),
            "low": np.ascontiguousarray(lanes[:, 1]),
            "start": starts.astype(np.uint32), "stop": stops.astype(np.uint32),
        }  # fmt: skip
        return pl.DataFrame({**made, **self.order_of(rows, row), "_at": row})

    def _hashes(self, text: pa.Array, found: Segments) -> Lanes:
        """128 bits of every piece in its form, u64[pieces, 2]; zeros for one that is too short."""
        from winnow.pipeline.dedup import repeated_kernels as kernels

        offsets, data = utf8_buffers(in_form(segment_texts(text, found), self.form))
        out: Lanes = kernels.piece_hashes(np.require(offsets, requirements=["C", "A"]), data, self.min_bytes)
        return out

    def _runs(self, found: Segments, lanes: Lanes) -> tuple[Lanes, Ints, Ints]:
        """(hash, text, first piece) of every run."""
        from winnow.pipeline.dedup import repeated_kernels as kernels

        if self.run == 1:
            first = np.flatnonzero(lanes[:, 1] != 0)
            row = np.repeat(np.arange(len(found.rows) - 1), np.diff(found.rows))[first]
            return lanes[first], row, first
        room = len(found.ends)
        out, row, first = np.empty((room, 2), np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)
        num = kernels.run_hashes(found.rows, lanes, self.run, out, row, first)
        return out[:num], row[:num], first[:num]

    def answer_schema(self) -> Schema:
        """The spans that go."""
        return {"start": pa.uint32(), "stop": pa.uint32()}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The runs that occur too often, but for the first of each where it stays."""
        return repeats(rows, most=self.most, keep_first=self.keep == "first")

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The spans of every document."""
        self.count_alone(rows, ctx)
        return listed(rows, answers)


def repeats(rows: pl.DataFrame, *, most: int, keep_first: bool) -> pl.DataFrame:
    """(doc_id, _part, start, stop) of rows whose (key, low) more than `most` rows have, but for the first of each.

    The first is that of the document which is first by `keeper_order`, where there is one, then by doc_id, and in it
    the first by `start`. Cost: one sort of the keys; what occurs once is left out before anything else.
    """
    some = rows.filter(occurring_again(rows["key"]))
    ordered = ["keeper_order"] if "keeper_order" in rows.columns else []
    some = some.sort("key", "low", *ordered, "doc_id", "start")
    gone = pl.len().over("key", "low") > most
    if keep_first:
        gone &= pl.int_range(pl.len()).over("key", "low") > 0
    return some.filter(gone).select("doc_id", "_part", "start", "stop")


def occurring_again(keys: pl.Series) -> pl.Series:
    """Whether a row's key is that of another one too. Cost: one sort."""
    key = keys.to_numpy()
    often = np.zeros(len(key), dtype=bool)
    if len(key):
        order = np.argsort(key)
        same = key[order][1:] == key[order][:-1]
        often[order] = np.append(same, False) | np.append(False, same)
    return pl.Series(often)
