"""The `join` operator, last: how many of both sides found each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.operators import Context, Job, port


@dataclass(frozen=True, kw_only=True)
class JoinCounts(Job):
    """How many annotations and how many documents found each other, and some annotations that nobody asked for.

    Cost: 16 bytes of memory per annotation that was found.
    Source: own.
    """

    name: ClassVar[str] = "join_counts"
    role: ClassVar[str] = "annotations"

    index: str = port("ref")
    used: str = port("ref")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Counts of both sides."""
        from winnow.pipeline.join import key_index

        metrics = ctx.ref("index").result()
        table = ctx.ref("used").frame("annotation", "documents")
        asked = table.filter(pl.col("annotation") >= 0)
        documents, matched = int(table["documents"].sum()), int(asked["documents"].sum())
        index = key_index.opened(ctx.ref("index").files())
        out = {
            **metrics,
            "matched_annotations": asked.height,
            "unmatched_annotations": metrics["annotations"] - asked.height,
            "unmatched_keys": index.examples(asked["annotation"].to_numpy()),
            "documents": documents,
            "matched_documents": matched,
            "unmatched_documents": documents - matched,
        }
        _note(out, ctx)
        return out


def _note(counts: Mapping[str, Any], ctx: Context) -> None:
    """All counts, and a line."""
    for name, value in counts.items():
        ctx.note(name, value)
    line = f"{counts['matched_documents']:,} of {counts['documents']:,} documents matched"
    line += f", {counts['unmatched_annotations']:,} of {counts['annotations']:,} annotations unused"
    repeated = counts["repeated"]
    ctx.note("summary", line + (f", {repeated:,} repeated key{'s' * (repeated != 1)}" if repeated else ""))
