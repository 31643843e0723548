"""Texts with a control before each of their segments."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.segments import Segments, segment_texts

OLDEST = pl.CompatLevel.oldest()  # large_string, not views


def with_controls(text: pa.Array, labels: pa.Array, ends: pa.Array, *, form: str) -> pa.Array:
    """Texts whose segments begin with their controls, large_string[rows]; null lists and labels put nothing there.

    `labels` and `ends` are lists of equal length: a label per segment, and where it ends, in bytes of the text.

    Raises:
        DataError: lists are not of the text's segments, or a segment begins with its control already.
    Cost: a copy of the text per batch.
    """
    both = pl.DataFrame({"text": text, "labels": labels, "ends": ends}).with_columns(
        pl.col("labels").cast(pl.List(pl.String)), pl.col("ends").cast(pl.List(pl.Int64))
    )
    known = both.filter(pl.col("labels").is_not_null() & (pl.col("labels").list.len() > 0))
    _check(known)
    rows = np.concatenate(([0], np.cumsum(known["ends"].list.len().to_numpy().astype(np.int64))))
    flat = known["ends"].list.explode(empty_as_null=False).to_numpy().astype(np.int64)
    pieces = segment_texts(known["text"].to_arrow(compat_level=OLDEST), Segments(rows=rows, ends=flat))
    whole = _controlled(known["labels"].list.explode(empty_as_null=False), pieces, *form.split("{}"))
    lists = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(rows), whole))
    assert isinstance(lists, pl.Series)
    at = both.select((pl.col("labels").is_not_null() & (pl.col("labels").list.len() > 0)).arg_true()).to_series()
    return both["text"].scatter(at, lists.list.join("")).to_arrow(compat_level=OLDEST)


def _controlled(labels: pl.Series, pieces: pa.Array, before: str, behind: str) -> pa.Array:
    """Every segment with its control before it."""
    try:
        pieces.validate(full=True)
    except pa.ArrowInvalid as error:
        hint = "ends are counted in bytes of UTF-8, as `segment_scores` counts them"
        raise DataError("a segment ends within a character", where="control_ends", hint=hint) from error
    frame = pl.DataFrame({"label": labels, "piece": pl.from_arrow(pieces)})
    none = pl.col("label").is_null() | (pl.col("label") == "")
    control = pl.when(none).then(pl.lit("")).otherwise(pl.lit(before) + pl.col("label") + pl.lit(behind))
    frame = frame.select("piece", control.alias("control"), none.alias("none"))
    twice = frame.select((~pl.col("none") & pl.col("piece").str.starts_with(pl.col("control"))).sum()).item()
    if twice:
        raise DataError(f"{twice:,} of {len(frame):,} segments begin with their control already", where="control",
                        hint="they were written with `control` before: leave it out here")  # fmt: skip
    return frame.select(pl.col("control") + pl.col("piece")).to_series().to_arrow(compat_level=OLDEST)


def _check(known: pl.DataFrame) -> None:
    """Raise DataError where lists differ in length, or the last end is not the text's."""
    lengths = known.select(
        a=pl.col("labels").list.len(), b=pl.col("ends").list.len().fill_null(0), bytes=pl.col("text").str.len_bytes(),
        last=pl.col("ends").list.last(), sorted=pl.col("ends").list.diff().list.min().fill_null(1) > 0,
    )  # fmt: skip
    wrong = lengths.filter((pl.col("a") != pl.col("b")) | (pl.col("bytes") != pl.col("last")) | ~pl.col("sorted"))
    if len(wrong):
        first = wrong.row(0, named=True)
        raise DataError(
            f"the segments of {len(wrong):,} documents are not those of their text: {first['a']} labels, {first['b']} "
            f"ends, the last at byte {first['last']} of {first['bytes']}", where="control_ends",
            hint="name both columns of one `conditional` stage over these rows",
        )  # fmt: skip
