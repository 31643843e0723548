"""Spans that a stage answered for documents, as columns of lists: sorted, and united where they touch."""

from __future__ import annotations

import numpy as np
import polars as pl

from winnow.core.words.splice import united


def listed(rows: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """`repeated_starts` and `repeated_stops` of every row of `rows` (doc_id), from spans (doc_id, start, stop)."""
    places = rows.select("doc_id").with_row_index("row")
    found = answers.join(places, on="doc_id", how="inner").select("row", "start", "stop")
    row, starts, stops = united(*(found[name].cast(pl.Int64).to_numpy() for name in ("row", "start", "stop")))
    spans = pl.DataFrame({"row": row.astype(np.uint32), "repeated_starts": starts, "repeated_stops": stops})
    lists = spans.group_by("row", maintain_order=True).agg("repeated_starts", "repeated_stops")
    return places.join(lists, on="row", how="left", maintain_order="left").select("repeated_starts", "repeated_stops")
