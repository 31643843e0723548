"""MinHash, first: the signature of every text, and its shingles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.terminal import percent
from winnow.pipeline.dedup.minhash_settings import Shingling, check_at_least_one

SHORT, MANY_SHORT = "single_shingle", 0.5  # counter: documents of one shingle; the share from which they are remarked


@dataclass(frozen=True, kw_only=True)
class Signatures(Shingling, MapArrow):
    """MinHash signature and the sorted set of hashed word n-grams of every text.

    Words as in `core.words.hashing.ngram_hashes`. A text of fewer words than `ngram` has one shingle; a text
    without a word has none and a null signature.
    With `sketch: datasketch_affine32` (its default since 2.0) or `datasketch_legacy` the signature is that of
    datasketch's `MinHash` over the runs of `ngram` white-space words; the shingles, by which pairs are verified, stay.
    Source: Broder 1997 (resemblance); one-permutation hashing after Li, Owen, Zhang 2012, empty bins filled
    by their own hash function (own).
    """

    name: ClassVar[str] = "minhash_signatures"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "dedup"

    num_hashes: int = 112

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`signature` (num_hashes u32), `shingles` (ascending, distinct), `num_shingles`."""
        return {
            "signature": pa.binary(4 * self.num_hashes),
            "shingles": pa.large_list(pa.uint32()),
            "num_shingles": pa.int32(),
        }

    def validate(self) -> None:
        """Raise ConfigError unless there is at least one word per n-gram and one hash."""
        check_at_least_one(self, "ngram", "num_hashes")

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Documents that are one shingle, where they are many."""
        short, rows = counts.get(SHORT, 0), counts.get("ok", 0)
        if not short or short <= MANY_SHORT * rows:
            return ()
        what = f"{short:,} of {rows:,} documents ({percent(short / rows)}) have {self.ngram} words or fewer: one n-gram"
        return (f"{what}, and copies only where all words are equal; a smaller `ngram` compares parts",)

    def open(self, ctx: Context) -> ArrowColumns:
        """Compiled kernels over the text buffers; no state."""
        return lambda batch: self._measure(batch, ctx)

    def _measure(self, batch: pa.RecordBatch, ctx: Context) -> pa.RecordBatch:
        from winnow.pipeline.dedup.shingling import sketched

        offsets, shingles, slots = sketched(batch.column("text"), self.ngram, self.num_hashes)
        if self.sketch != "winnow":
            from winnow.pipeline.dedup.lean_minhash import sketched_as

            slots = sketched_as(self.sketch, batch.column("text"), self.ngram, self.num_hashes)
        counts = np.diff(offsets)
        ctx.count(SHORT, int((counts == 1).sum()))
        some = counts > 0
        bitmap = None if some.all() else pa.py_buffer(np.packbits(some, bitorder="little"))
        types = self.outputs()
        columns = [
            pa.FixedSizeBinaryArray.from_buffers(types["signature"], len(counts), [bitmap, pa.py_buffer(slots)]),
            pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(shingles)),
            pa.array(counts.astype(np.int32)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(list(types.items())))
