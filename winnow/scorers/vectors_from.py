"""Vectors that came with the data, on the grid that graphs and selections work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError, RowError
from winnow.core.numerics import knn
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema


@dataclass(frozen=True, kw_only=True)
class VectorsFrom(MapArrow):
    """Direction of each document by a vector that came with it: `vector`, `dim` int16 of length 2048.

    `column` holds lists of numbers as text, `[0.12, -0.5]`: what a reader keeps of a list in JSONL or Parquet where
    `columns: {embedding: string}` declares it, and what `join` brings from another file. Only the direction counts:
    vectors are scaled to unit length times 2048 and rounded. Null where there is none, or where it is all zeros.

    A cell that is no list of `dim` finite numbers fails its row, which is put aside and counted.

    Cost: parsing of the text; 2 * dim bytes per row.
    Source: own.
    """

    name: ClassVar[str] = "vectors_from"
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("column",)

    column: str
    dim: int

    def needs(self) -> tuple[str, ...]:
        """The lists."""
        return (self.column,)

    def outputs(self) -> Schema:
        """`vector`, 2 * dim bytes."""
        return {"vector": pa.binary(2 * self.dim)}

    def validate(self) -> None:
        """Raise ConfigError for a dimension outside [1, 16384]."""
        if not 1 <= self.dim <= knn.MAX_DIM:
            raise ConfigError(f"dim is {self.dim}, not in [1, {knn.MAX_DIM}]", where="dim")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column holds no text."""
        kind = types[self.column]
        if not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
            hint = "declare it as string where it is read: lists are kept as their JSON text"
            raise ConfigError(f"{self.column!r} is {kind}, and must be lists as text", where="column", hint=hint)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> vectors."""

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            try:
                grid, some = knn.to_grid(self._lists(batch.column(self.column)))
            except DataError as error:
                raise RowError(error.what, hint=error.hint) from error
            if not grid.shape[1]:
                grid = np.zeros((len(grid), self.dim), dtype=np.int16)
            kind = self.outputs()["vector"]
            bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
            cells = pa.py_buffer(np.ascontiguousarray(grid, dtype="<i2"))
            return pa.record_batch({"vector": pa.FixedSizeBinaryArray.from_buffers(kind, len(some), [bitmap, cells])})

        return columns

    def _lists(self, texts: pa.Array) -> pa.Array:
        """The lists behind the texts, all of `dim` numbers."""
        series = pl.from_arrow(texts)
        assert isinstance(series, pl.Series)
        try:
            lists = series.cast(pl.String).str.json_decode(pl.List(pl.Float64))
        except pl.exceptions.ComputeError as error:
            raise RowError(f"a cell of {self.column!r} is no list of numbers", hint="as [0.1, -2]") from error
        lengths = lists.list.len().drop_nulls()
        wrong = lengths.filter(lengths != self.dim)
        if len(wrong):
            raise RowError(f"a vector of {self.column!r} has {wrong[0]} numbers, and `dim` is {self.dim}")
        return lists.to_arrow(compat_level=pl.CompatLevel.oldest())
