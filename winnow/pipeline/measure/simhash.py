"""One 64-bit code per text, of which few bits differ between texts that share most of their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.words.hashing import ngram_hashes


@dataclass(frozen=True, kw_only=True)
class SimHash(MapArrow):
    """A 64-bit code of each text by its word n-grams, alike for texts alike: `simhash`, u64.

    Every occurrence of an n-gram adds +1 or -1 to each of 64 sums, by the bits of its hash; a bit of the code is set
    where its sum is above 0. Texts whose n-gram counts have an angle of a differ in about 64 a / pi bits: compare codes
    with `redundancy` (`metric: hamming`, `column: simhash`). Words as in `core.words.hashing.ngram_hashes`; null where
    a text is null or has no word. A text of fewer than `n` words has one n-gram, of all of them; codes of texts of a
    few words say little.

    Cost: one pass of n-gram hashing, and 64 additions per word; 8 bytes per row.
    Source: Charikar 2002 (random hyperplanes); for texts after Manku, Jain, Das Sarma 2007.
    """

    name: ClassVar[str] = "simhash"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "signal"

    n: int = 2

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """`simhash`, bit 0 the lowest."""
        return {"simhash": pa.uint64()}

    def validate(self) -> None:
        """Raise ConfigError for n-grams of no word, or of more than 32."""
        if not 1 <= self.n <= 32:
            raise ConfigError(f"n is {self.n}, not in [1, 32]", where="n", hint="words per n-gram, as 2")

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> codes."""
        from winnow.pipeline.measure import simhash_kernels as kernels

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            codes, some = kernels.codes(*ngram_hashes(batch.column("text"), self.n))
            return pa.record_batch({"simhash": pa.array(codes, pa.uint64(), mask=~some)})

        return columns
