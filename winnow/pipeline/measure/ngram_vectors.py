"""Texts as directions by their hashed words and word pairs, on the integer grid of `core.numerics.knn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import knn
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.words.hashing import ngram_hashes


@dataclass(frozen=True, kw_only=True)
class NgramVectors(MapArrow):
    """Direction of each text by its hashed words and word pairs: `vector`, `dim` int16 of length 2048.

    Every word and pair adds +1 or -1 to one of `dim` buckets, both by its hash; cells are signed square roots
    of the sums (so that frequent words do not decide alone), scaled to unit length times 2048 and rounded.
    `vector` is 2 * dim bytes, little-endian: `np.frombuffer(cell, "<i2") / 2048`. Null where the text is null
    or has no word (as in `core.words.hashing.ngram_hashes`).

    Not centred: a corpus mean would make every row depend on all others, and adding a file would recompute
    every vector. `knn_graph`, which sees all rows anyway, subtracts the mean by itself.

    Cost: two passes of n-gram hashing; 2 * dim bytes per row.
    Source: signed feature hashing after Weinberger et al. 2009; square root and grid own.
    """

    name: ClassVar[str] = "ngram_vectors"
    implied_for: ClassVar[tuple[str, ...]] = ("vector",)
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "signal"

    dim: int = 512

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`vector`, 2 * dim bytes."""
        return {"vector": pa.binary(2 * self.dim)}

    def validate(self) -> None:
        """Raise ConfigError for a dimension outside [8, 16384]."""
        if not 8 <= self.dim <= knn.MAX_DIM:
            raise ConfigError(f"dim is {self.dim}, not in [8, {knn.MAX_DIM}]", where="dim")

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> vectors."""
        from winnow.pipeline.measure import ngram_vectors_kernels as kernels

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            grid, some = kernels.signed_roots(*ngram_hashes(text, 1), *ngram_hashes(text, 2), self.dim)
            bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
            kind = self.outputs()["vector"]
            cells = pa.FixedSizeBinaryArray.from_buffers(kind, len(some), [bitmap, pa.py_buffer(grid)])
            return pa.record_batch({"vector": cells})

        return columns
