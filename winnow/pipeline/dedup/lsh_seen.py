"""Which documents share a MinHash band with an earlier kept one, by a Bloom filter of bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Context, Schema
from winnow.pipeline.dedup.bloom import filter_remarks
from winnow.pipeline.dedup.minhash_settings import Banding, check_at_least_one
from winnow.pipeline.dedup.ngram_seen import Pieces, Seen


@dataclass(frozen=True, kw_only=True)
class LshSeen(Banding, Seen):
    """Kept where no band was seen before; the bands of what is kept go into the filter.

    Source: own
    """

    name: ClassVar[str] = "lsh_seen"

    def needs(self) -> tuple[str, ...]:
        """doc_id, the order and the groups, and the bands: they are small."""
        return (*super().needs(), "band_keys")

    def outputs(self) -> Schema:
        """`kept`; `seen_bands`, how many of the bands (null where there are none, or no group)."""
        return {"kept": pa.bool_(), "seen_bands": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for bands without rows, too."""
        check_at_least_one(self, "num_bands", "rows_per_band")
        super().validate()

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """A filter that is too small."""
        return tuple(filter_remarks(metrics, self.made_for(1)[1], "bands"))

    def memory_gb(self, rows: int, width: float = 0.0) -> float:
        """The bands of all documents, twice, and the filter."""
        return super().memory_gb(rows, 8.0 * self.num_bands) + rows * 16 * self.num_bands / 1e9

    def made_for(self, keys: int) -> tuple[int, float]:
        """(bands that the filter is made for, the rate of a look-up): a document has as many as there are bands."""
        return (self.capacity or 0) * self.num_bands or max(keys, 1), self.false_positive_rate / self.num_bands

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs of all rows in doc_id order."""
        from winnow.pipeline.dedup.locate import addresses

        bands = rows["band_keys"].fill_null(b"").to_arrow()
        keys = addresses(bands, np.arange(rows.height))
        pieces = Pieces(np.arange(rows.height + 1, dtype=np.int64), keys.size // 2)
        seen, gone = self.passed(rows, keys, pieces, 0.0, ctx)
        compared = self.order_of(rows)[2] & (pieces.sizes > 0)
        shown = pl.select(pl.when(pl.Series(compared)).then(pl.Series(seen.astype(np.int32)))).to_series()
        return pl.DataFrame({"kept": ~gone, "seen_bands": shown})
