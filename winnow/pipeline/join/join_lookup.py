"""The `join` operator's face: the annotation of every document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.terminal import percent
from winnow.pipeline.join.join_settings import MATCHED, AnnotationColumns, DocumentKey, keys_of, lookup_columns
from winnow.pipeline.read.document import column_name

FEW_MATCHED = 0.1  # share of the documents below which that is remarked


@dataclass(frozen=True, kw_only=True)
class JoinLookup(AnnotationColumns, DocumentKey, MapArrow):
    """`matched` and the columns of the annotation whose key equals the document's; null where there is none.

    Source: own.
    """

    name: ClassVar[str] = "join_lookup"
    role: ClassVar[str] = "annotations"
    columns_from: ClassVar[tuple[str, ...]] = ("on",)

    index: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The column that is looked up."""
        return (self.on,)

    def outputs(self) -> Schema:
        """`matched`, then the annotations' columns."""
        return lookup_columns(self.columns)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """A join that matches nothing, or next to nothing."""
        asked, matched = counts.get("rows", 0) - counts.get("masked", 0), counts.get(f"true:{MATCHED}")
        if matched is None or matched >= FEW_MATCHED * asked:
            return ()
        told = f"matches {matched:,} of {asked:,} documents ({percent(matched / asked)})"
        return (
            f"{told}: are `key` and `on: {self.on}` written alike? `unmatched_keys` of its metrics shows some keys",
        )

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> columns; the index is mapped, not loaded."""
        from winnow.pipeline.join import key_index

        index = key_index.opened(ctx.ref("index").files())

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            places = index.find(keys_of(batch.column(self.on), self.on))
            names = [MATCHED, *(column_name(c) for c in self.columns)]
            arrays = [pa.array(places >= 0), *(index.column(i, places) for i in range(len(self.columns)))]
            return pa.RecordBatch.from_arrays(arrays, names=names)

        return columns
