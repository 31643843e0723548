"""Rows that repeat a value of a column, found in memory that does not grow with the column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

MOST_AT_ONCE = 1 << 22  # values whose hashes are held together: 64 MB, some three times that while they are sorted


def repeated(parts: Callable[[], Iterator[pa.Array]], rows: int, *, most: int = MOST_AT_ONCE) -> tuple[int, Any]:
    """(rows whose value stood in another row before, such a value): nulls are no values, NaN equals NaN.

    `parts` gives the column part by part, as often as it is asked; `rows` is about how many there are. Two 64-bit
    hashes stand for a value: two values have the same ones in one of 10**38 pairs.
    Cost: one pass over the column per `most` rows, and one more for the value that is shown.
    """
    rounds = max(1, -(-rows // most))
    again, seen = 0, None
    for number in range(rounds):
        held = [hashed.filter(pl.col("a") % rounds == number) for hashed in map(_hashes, parts())]
        table = pl.concat(held) if held else pl.DataFrame(schema={"a": pl.UInt64, "b": pl.UInt64})
        twice = table.is_duplicated()
        again += table.height - table.n_unique()
        if seen is None and twice.any():
            seen = table.filter(twice).row(0)
    return again, None if seen is None else _value(parts, seen)


def _hashes(values: pa.Array) -> pl.DataFrame:
    column = _series(values)
    return pl.DataFrame({"a": column.hash(11), "b": column.hash(21)})


def _value(parts: Callable[[], Iterator[pa.Array]], seen: tuple[int, int]) -> Any:
    """The first value with these hashes."""
    for values in parts():
        column = _series(values)
        found = column.filter((column.hash(11) == seen[0]) & (column.hash(21) == seen[1]))
        if found.len():
            value = found[0]
            return value.hex() if isinstance(value, bytes) else value
    return None


def _series(values: pa.Array) -> pl.Series:
    if pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    return pl.Series(pl.from_arrow(values)).drop_nulls()
