"""The keys of a text's MinHash bands alone: the first sub-stage of `lsh_bloom`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.pipeline.dedup.minhash_settings import Banding, Shingling, check_at_least_one


@dataclass(frozen=True, kw_only=True)
class LshKeys(Shingling, Banding, MapArrow):
    """A 64-bit key per band of the MinHash signature of every text; null for a text without a word.

    Two texts share a band's key where `minhash` would compare them for it.
    Source: banding after Indyk and Motwani 1998
    """

    name: ClassVar[str] = "lsh_keys"
    role: ClassVar[str] = "dedup"
    null_says: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`band_keys`, 8 bytes per band."""
        return {"band_keys": pa.large_binary()}

    def validate(self) -> None:
        """Raise ConfigError unless there is at least one word per n-gram and one hash."""
        check_at_least_one(self, "ngram", "num_bands", "rows_per_band")

    def open(self, ctx: Context) -> ArrowColumns:
        """Compiled kernels over the text buffers; no state."""
        return self._measure

    def _measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from winnow.pipeline.dedup import minhash_kernels
        from winnow.pipeline.dedup.shingling import sketched

        offsets, _, slots = sketched(batch.column("text"), self.ngram, self.num_bands * self.rows_per_band)
        some = np.diff(offsets) > 0
        address = slots.ctypes.data + np.arange(len(slots), dtype=np.uint64) * np.uint64(slots.strides[0])
        keys = minhash_kernels.band_keys(address.astype(np.uint64)[some], self.num_bands, self.rows_per_band)
        ends = np.zeros(len(some) + 1, dtype=np.int64)
        np.cumsum(8 * self.num_bands * some, out=ends[1:])
        bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
        column = pa.Array.from_buffers(pa.large_binary(), len(some), [bitmap, pa.py_buffer(ends), pa.py_buffer(keys)])
        return pa.RecordBatch.from_arrays([column], names=["band_keys"])
