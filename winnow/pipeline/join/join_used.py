"""The `join` operator, for its counts: which annotations documents asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Context, Group, Kind, Schema, port
from winnow.pipeline.join.join_settings import DocumentKey, keys_of

_NOWHERE = 1 << 63  # keys of documents without an annotation, spread over this many groups:
_NOWHERE_GROUPS = 1024


@dataclass(frozen=True, kw_only=True)
class JoinUsed(DocumentKey, Group):
    """Annotations that documents asked for: `annotation` (row of the index; -1: none), `documents` (how many).

    Source: own.
    """

    kind: ClassVar[Kind] = Kind.TABLE
    name: ClassVar[str] = "join_used"
    role: ClassVar[str] = "annotations"
    columns_from: ClassVar[tuple[str, ...]] = ("on",)

    index: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The id and the column that is looked up."""
        return tuple(dict.fromkeys(("doc_id", self.on)))

    def outputs(self) -> Schema:
        """One row per annotation that was found, some rows of -1 for the documents that found none."""
        return {"annotation": pa.int64(), "documents": pa.int64()}

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The annotation's row as key."""
        import numpy as np

        from winnow.core.store.ids import as_fixed
        from winnow.core.words.hashing import as_lanes
        from winnow.pipeline.join import key_index

        column = rows[self.on].to_arrow(compat_level=pl.CompatLevel.oldest())
        places = key_index.opened(ctx.ref("index").files()).find(keys_of(column, self.on))
        spread = as_lanes(as_fixed(rows["doc_id"]))[:, 0] % np.uint64(_NOWHERE_GROUPS)
        key = np.where(places >= 0, places.astype(np.uint64), spread | np.uint64(_NOWHERE))
        return pl.DataFrame({"key": pl.Series(key, dtype=pl.UInt64), "doc_id": rows["doc_id"]})

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Documents per key, in order of the keys."""
        counted = rows.group_by("key", maintain_order=True).agg(documents=pl.len().cast(pl.Int64))
        known = pl.when(pl.col("key") < _NOWHERE).then(pl.col("key")).otherwise(None)
        return counted.select(known.cast(pl.Int64).fill_null(-1).alias("annotation"), "documents")
