"""Columns of lists of concepts, flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError

Longs = npt.NDArray[np.int64]


def lists_of(values: pl.Series) -> tuple[Longs, Longs]:
    """(starts i64[rows + 1], values i64) of a column of lists; a null is an empty list.

    Raises: DataError where they are no lists of whole numbers of 0 or more.
    """
    kind: Any = values.dtype
    if not isinstance(kind, pl.List) or kind.inner is None or not kind.inner.is_integer():
        raise DataError(f"{values.name!r} is {kind}, not lists of whole numbers", hint="use the columns of `concepts`")
    lengths = values.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    flat = values.drop_nulls().list.explode(keep_nulls=False, empty_as_null=False).cast(pl.Int64)
    if flat.null_count() or (flat.min() or 0) < 0:  # type: ignore[operator]
        raise DataError(f"{values.name!r} holds a null or a number below 0", hint="use the columns of `concepts`")
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), np.ascontiguousarray(flat.to_numpy())
