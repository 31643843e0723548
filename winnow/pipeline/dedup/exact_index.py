"""The index of an exact deduplication: the hash of every kept document, for later data to be compared with."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Job, Kind, Map, Resources, Schema, port
from winnow.core.words.hashing import from_lanes
from winnow.pipeline.dedup import index_files
from winnow.pipeline.dedup.exact_rows import ComparedBy, fields_of
from winnow.pipeline.dedup.index_build import Buffer, Ragged, ascending, order_of, rank_of
from winnow.pipeline.dedup.index_files import Index

KIND = "exact"


@dataclass(frozen=True, kw_only=True)
class ExactHashes(ComparedBy, Map):
    """`exact_hash`, 16 bytes of what `exact` compares; null where a row has no value.

    Source: own
    """

    name: ClassVar[str] = "exact_hashes"
    role: ClassVar[str] = "index"
    null_says: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The column, and those of the groups."""
        return tuple(dict.fromkeys((self.by, *self.per)))

    def outputs(self) -> Schema:
        """The hash."""
        return {"exact_hash": pa.binary(16)}

    def open(self, ctx: Context) -> Columns:
        """Batch -> its hashes."""

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            compared = self.compared(rows)
            return pl.DataFrame({"exact_hash": self.hashes(rows)}).select(pl.when(compared).then("exact_hash"))

        return columns


@dataclass(frozen=True, kw_only=True)
class ExactIndex(ComparedBy, Job):
    """The hash of every document that an `exact` kept, in ascending order, with its doc_id and its origin.

    Cost: one pass. Memory: about 80 bytes per document, and a part.
    Source: own
    """

    name: ClassVar[str] = "exact_index"
    role: ClassVar[str] = "index"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "index"
    resources: ClassVar[Resources] = Resources(memory_gb=2)
    meaning: ClassVar[Mapping[str, Any]] = {"by": "columns", "per": "columns"}

    hashed: str = port("ref", default="")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The hashes."""
        return {"hashed": ("exact_hash", "origin")}

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the index; metrics: its documents and its bytes."""
        source = ctx.ref("hashed")
        there = pl.col("exact_hash").is_not_null()
        sizes = pl.col("origin").str.len_bytes().cast(pl.Int64).alias("size")
        parts = [part.filter(there).select("exact_hash", sizes) for part in source.frames("exact_hash", "origin")]
        empty = pl.DataFrame(schema={"exact_hash": pl.Binary, "size": pl.Int64})
        numbers = pl.concat(parts) if parts else empty
        place = rank_of(order_of(ascending(numbers["exact_hash"])))
        ordered = np.zeros(numbers.height, dtype=np.int64)
        ordered[place] = numbers["size"].to_numpy()
        hashes, ids = (Buffer(ctx.work, name, np.uint64, numbers.height, 2) for name in ("hash", "ids"))
        origin = Ragged(ctx.work, "origin", "bytes", np.uint8, ordered)
        at = 0
        for part in source.frames("exact_hash", "doc_id", "origin"):
            rows = part.filter(there)
            here = place[at : at + rows.height]
            at += rows.height
            hashes.put(here, ascending(rows["exact_hash"]))
            ids.put(here, ascending(rows["doc_id"]))
            origin.put_texts(here, rows["origin"])
        size = index_files.finish(ctx.work, KIND, numbers.height, settings_of(self))
        ctx.note("summary", f"{numbers.height:,} documents, {size / 1e6:,.1f} MB")
        return {"rows": numbers.height, "bytes": size}


def settings_of(by: ComparedBy) -> dict[str, Any]:
    """What an index depends on besides its documents, as `index.json` has it."""
    return {**fields_of(by), "per": list(by.per)}


def earlier(hashes: pl.Series, indexes: Sequence[Index]) -> pl.DataFrame:
    """`earlier` (doc_id of the document of the first index that has an equal one, or null), `earlier_origin`."""
    from winnow.pipeline.dedup import minhash_kernels

    lanes = np.zeros((len(hashes), 2), dtype=np.uint64)
    origins: list[str | None] = [None] * len(hashes)
    todo = np.flatnonzero(hashes.is_not_null().to_numpy())
    found = np.zeros(len(hashes), dtype=np.bool_)
    for index in indexes:
        places = minhash_kernels.positions(index.ids("hash"), ascending(hashes[todo]))
        here = todo[places >= 0]
        lanes[here] = index.ids("ids")[places[places >= 0]]
        for row, text in zip(here, index.texts("origin", places[places >= 0]), strict=True):
            origins[row] = text
        found[here] = True
        todo = todo[places < 0]
    ids = pl.Series("earlier", from_lanes(lanes.byteswap(), found).cast(pa.large_binary()), dtype=pl.Binary)
    return pl.DataFrame([ids, pl.Series("earlier_origin", origins, dtype=pl.String)])


@functools.lru_cache(maxsize=4)
def opened(paths: tuple[str, ...], by: ComparedBy) -> list[Index]:
    """The indexes in these files. Raises: ConfigError where they are of other settings, or not whole."""
    return index_files.opened(paths, KIND, settings_of(by))
