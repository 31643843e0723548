"""Texts as directions by a static table: sums of the rows of their hashed words and word pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import knn
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.words.hashing import ngram_hashes
from winnow.scorers.static_fit import ORDERS, TABLE, VectorSize


@dataclass(frozen=True, kw_only=True)
class StaticVectors(VectorSize, MapArrow):
    """Direction of each text under a `static_fit` table: `vector`, `dim` int16 of length 2048 (as `ngram_vectors`).

    The sum of its n-grams' rows, in integers, at unit length on the grid of `core.numerics.knn`. Null where the text is
    null or has no word.
    """

    name: ClassVar[str] = "static_vectors"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "signal"

    table: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`vector`, 2 * dim bytes."""
        return {"vector": pa.binary(2 * self.dim)}

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> vectors; the table is mapped once."""
        from winnow.scorers import static_vectors_kernels as kernels

        table = np.ascontiguousarray(np.load(ctx.ref("table").files()[TABLE], allow_pickle=False))
        if table.shape[1] != self.dim:
            raise ConfigError(f"the table has {table.shape[1]} dimensions, not {self.dim}", where="dim")

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            sums = np.zeros((len(text), self.dim), dtype=np.int64)
            for order in ORDERS:
                starts, hashes = ngram_hashes(text, order)
                kernels.add_rows(starts, hashes, table, 0, sums)
            return pa.record_batch({"vector": cells(*kernels.on_grid(sums, float(knn.UNIT)))})

        return columns


def cells(grid: npt.NDArray[np.int16], some: npt.NDArray[np.bool_]) -> pa.Array:
    """Vectors on the grid as fixed-size binary cells, null where `some` is false."""
    bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
    kind = pa.binary(2 * grid.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(some), [bitmap, pa.py_buffer(np.ascontiguousarray(grid))])
