"""Groups of documents that share any value of some columns: connected sets, found from the values alone.

A summary holds every value once, as 64 bits, with the smallest value that it is connected to, and how many documents
have it as their first. So it grows with the different values, not with the documents, and joins in any order to the
same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.words.distinct import distinct
from winnow.core.words.hashing import as_lanes, text_hash

SCHEMA = {"value": pl.UInt64(), "root": pl.UInt64(), "rows": pl.Int64()}
NONE = np.uint64(0)  # of documents without a value
_APART = 0x9E3779B97F4A7C15  # the same text in two columns is two values

Keys = npt.NDArray[np.uint64]


def value_keys(rows: pl.DataFrame, columns: Sequence[str]) -> Keys:
    """Every value as 64 bits, u64[columns, rows]; `NONE` for null."""
    keys = np.empty((len(columns), rows.height), dtype=np.uint64)
    for at, column in enumerate(columns):
        names = rows[column].cast(pl.String)
        lanes = as_lanes(text_hash(names.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())))
        mixed = lanes[:, 0] ^ np.uint64(_APART * (at + 1) & (1 << 64) - 1)
        keys[at] = np.where(names.is_null().to_numpy(), NONE, np.maximum(mixed, np.uint64(1)))
    return keys


def first_keys(keys: Keys) -> Keys:
    """The key of every row's first value, u64[rows]; `NONE` where it has none."""
    first = np.zeros(keys.shape[1], dtype=np.uint64)
    for column in keys[::-1]:
        first = np.where(column != NONE, column, first)
    return first


def grouped(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The summary of some documents."""
    keys = value_keys(rows, columns)
    first = first_keys(keys)
    pieces = [pl.DataFrame({"value": first, "root": first, "rows": np.ones(len(first), dtype=np.int64)}, schema=SCHEMA)]
    for column in keys:
        beside = column != NONE
        zeros = np.zeros(int(beside.sum()), dtype=np.int64)
        pieces.append(pl.DataFrame({"value": column[beside], "root": first[beside], "rows": zeros}, schema=SCHEMA))
    return joined(pieces)


def joined(summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One summary of all: what shares a value is connected, the smallest value stands for all."""
    from winnow.core.numerics.components import components

    whole = pl.concat([s.select(list(SCHEMA)) for s in summaries]) if summaries else pl.DataFrame(schema=SCHEMA)
    value, root = whole["value"].to_numpy(), whole["root"].to_numpy()
    known = distinct(np.concatenate([value, root]))
    at, to = np.searchsorted(known, value), np.searchsorted(known, root)
    smallest = known[components(len(known), at, to)]
    rows = np.zeros(len(known), dtype=np.int64)
    np.add.at(rows, at, whole["rows"].to_numpy())
    return pl.DataFrame({"value": known, "root": smallest, "rows": rows}, schema=SCHEMA)


def roots_of(rows: pl.DataFrame, columns: Sequence[str], summary: pl.DataFrame) -> Keys:
    """What stands for each row's group, u64[rows]; `NONE` where it has no value."""
    first = first_keys(value_keys(rows, columns))
    known, roots = summary["value"].to_numpy(), summary["root"].to_numpy()
    place = np.searchsorted(known, first).clip(0, max(len(known) - 1, 0))
    return np.where(first == NONE, NONE, roots[place]) if len(known) else first


def sizes(summary: pl.DataFrame) -> tuple[list[int], int]:
    """(documents of every group, largest first; documents without a value)."""
    by_root = summary.group_by("root").agg(pl.col("rows").sum())
    without = int(by_root.filter(pl.col("root") == 0)["rows"].sum())
    return by_root.filter(pl.col("root") != 0)["rows"].sort(descending=True).to_list(), without
