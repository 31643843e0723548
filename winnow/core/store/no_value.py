"""NaN is no value: what every stage stores in its place, and what is counted of it.

A column of numbers holds numbers, infinities among them, or null. NaN is not comparable, so each library puts it
elsewhere (Polars above every number, SQL engines equal to itself, C below nothing): a rule over it would mean
something else in every operator. It becomes null at the one door that columns pass on their way to disk.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.store.schema import contiguous

NAN, INFINITE, UNWRITTEN = "nan:", "infinite:", "unwritten:"  # of counts: values of the column named behind it
_TOLD = {
    NAN: "{of} of {column!r} NaN: stored as null, which is no value (`COALESCE` in a clause gives it one)",
    INFINITE: "{of} of {column!r} infinite: kept, before or behind every number (leave them out with "
    "`where: ABS({column}) < 1e308`, or mend them where they are made)",
    UNWRITTEN: "{of} of {column!r} not finite: written as null, since JSON has no infinity (`format: parquet` and "
    "`arrow` keep it)",
}


def without_nan(table: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """(the table with null for NaN, `nan:COLUMN` and `infinite:COLUMN` of the columns that held some).

    Cost: about 0.5 ns a number where all are finite.
    """
    counts: dict[str, int] = {}
    for at, field in enumerate(table.schema):
        if not pa.types.is_floating(field.type):
            continue
        values = contiguous(table.column(at))
        if pc.all(pc.is_finite(values), min_count=0).as_py():
            continue
        gone, endless = pc.fill_null(pc.is_nan(values), False), pc.is_inf(values)
        for mark, which in ((NAN, gone), (INFINITE, endless)):
            if number := int(pc.sum(which).as_py() or 0):
                counts[mark + field.name] = number
        if NAN + field.name in counts:
            table = table.set_column(at, field, pc.if_else(gone, pa.scalar(None, field.type), values))
    return table, counts


def frame_without_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with null for NaN."""
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    return frame.with_columns(pl.col(floats).fill_nan(None)) if floats else frame


def not_finite(table: pa.Table) -> dict[str, int]:
    """`unwritten:COLUMN` of the numbers, in lists too, that a format without NaN and infinities writes as null."""
    counts: dict[str, int] = {}
    for field in table.schema:
        values = contiguous(table.column(field.name))
        if isinstance(field.type, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
            values = pc.list_flatten(values)
        if pa.types.is_floating(values.type):
            number = int(pc.sum(pc.invert(pc.is_finite(values))).as_py() or 0)
            counts |= {UNWRITTEN + field.name: number} if number else {}
    return counts


def number_remarks(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What a stage's counts tell of numbers that are none, have no end or could not be written."""
    said = []
    for name, number in counts.items():
        for mark, tell in _TOLD.items():
            if name.startswith(mark):
                said.append(tell.format(column=name.removeprefix(mark), of=f"{number:,} value{'s' * (number != 1)}"))
    return tuple(said)
