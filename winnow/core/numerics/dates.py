"""Dates out of columns of dates, times, years or texts."""

from __future__ import annotations

import polars as pl

from winnow.core.errors import DataError


def days(values: pl.Series) -> pl.Series:
    """Dates; null where there is none.

    Raises: DataError where the column can hold no dates.
    """
    if values.dtype == pl.Date:
        return values
    if values.dtype.base_type() == pl.Datetime:
        return values.dt.date()
    rows, value = values.to_frame("value"), pl.col("value")
    if values.dtype.is_integer():
        year = pl.when(value.is_between(1, 9999)).then(value).cast(pl.Int32)
        return rows.select(date=pl.date(year, 1, 1))["date"]
    if values.dtype not in (pl.String, pl.Null):
        raise DataError(
            f"{values.name!r} is {values.dtype}, which holds no dates", hint="give a date, a year or a text"
        )
    text = value.cast(pl.String)
    full = pl.when(text.str.contains(r"^\d{4}$")).then(text + "-01-01").otherwise(text.str.slice(0, 10))
    return rows.select(date=full.str.to_date("%Y-%m-%d", strict=False))["date"]
