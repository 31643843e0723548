"""Where values of rows lie in memory: what kernels need to read sidecars of other parts without a copy."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import RowAccess

WORD = 4  # bytes of a u32


class Located(NamedTuple):
    """Rows of u32 values: `address` u64[rows], `size` i64[rows] in values; `owners` keep the memory alive."""

    address: npt.NDArray[np.uint64]
    size: npt.NDArray[np.int64]
    owners: tuple[pa.Array, ...]


def locate(access: RowAccess, name: str, part: pl.Series, row: pl.Series) -> Located:
    """The values of column `name` at (part, row), in the order asked for.

    Raises: DataError where a row lies outside its part or has no value.
    Cost: O(rows log rows); values are not touched.
    """
    parts, rows = part.to_numpy(), row.to_numpy().astype(np.int64)
    address, size = np.zeros(len(rows), dtype=np.uint64), np.zeros(len(rows), dtype=np.int64)
    order = np.argsort(parts, kind="stable")
    cuts = np.flatnonzero(np.diff(parts[order])) + 1
    owners: list[pa.Array] = []
    for where in np.split(order, cuts):
        if len(where):
            number = int(parts[where[0]])
            column = addresses(access.column(name, number), rows[where], where=f"part {number}, column {name}")
            address[where], size[where] = column.address, column.size
            owners += column.owners
    return Located(address, size, tuple(owners))


def addresses(column: pa.Array | pa.ChunkedArray, rows: npt.NDArray[np.int64], where: str = "") -> Located:
    """Where the values of `rows` of a column of u32 lists, or of binary that holds u32 values, lie.

    Raises: DataError for another type, a row outside the column, or a null.
    """
    array = _plain(column, where)
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(array):
        raise DataError(f"row {int(rows.max())} of a column with {len(array)} rows", where=where)
    if array.null_count and not np.asarray(array.is_valid())[rows].all():
        raise DataError("a row has no value", where=where, hint="masked rows must not get here")
    if pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        starts = (rows + array.offset) * width
        base, size = _base(array.buffers()[1]), np.full(len(rows), width, dtype=np.int64)
    else:
        is_list = pa.types.is_large_list(array.type)
        unit = WORD if is_list else 1
        offsets = np.frombuffer(array.buffers()[1], dtype=np.int64) if len(array) else np.zeros(1, np.int64)
        starts = offsets[rows + array.offset] * unit
        size = (offsets[rows + array.offset + 1] * unit) - starts if len(rows) else starts
        base = _base(array.values.buffers()[1]) + array.values.offset * WORD if is_list else _base(array.buffers()[2])
    address = (starts + base).astype(np.uint64)
    return Located(address, cast("npt.NDArray[np.int64]", size // WORD), (array,))


def _plain(column: pa.Array | pa.ChunkedArray, where: str) -> pa.Array:
    """One array of fixed-size binary, large_binary or large_list<uint32>."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_list(kind):
        return array.cast(pa.large_list(kind.value_field))
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    words = pa.types.is_large_list(kind) and kind.value_type == pa.uint32()
    if not (words or pa.types.is_fixed_size_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"expected 32-bit words, found {kind}", where=where)
    return array


def _base(buffer: pa.Buffer | None) -> int:
    return buffer.address if buffer is not None else 0
