"""The losses under several models side by side: one column per measure and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema

PART = "nats_{}"  # the sub-stage of a model


@dataclass(frozen=True, kw_only=True)
class NatsColumns(Map):
    """Measures of every document under several models: `{measure}_{label}`.

    Source: own
    """

    name: ClassVar[str] = "nats_columns"
    role: ClassVar[str] = "scorer"

    labels: tuple[str, ...]
    names: tuple[str, ...]  # of measures

    def needs(self) -> tuple[str, ...]:
        """The columns of the models' own stages."""
        return tuple(self._names())

    def _names(self) -> dict[str, str]:
        return {f"{PART.format(label)}.{m}": f"{m}_{label}" for label in self.labels for m in self.names}

    def outputs(self) -> Schema:
        """As those of the models' stages."""
        return {name: pa.int64() if name.startswith("scored_tokens") else pa.float64() for name in
                self._names().values()}  # fmt: skip

    def open(self, ctx: Context) -> Columns:
        """Batch of the models' columns -> the same under the models' labels."""
        return lambda batch: batch.select(pl.col(old).alias(new) for old, new in self._names().items())

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without a loss."""
        return without_tokens(counts)


def without_tokens(counts: Mapping[str, int]) -> tuple[str, ...]:
    """That some documents have no loss because they have no tokens; of most of them the usual remark says it."""
    null, asked = counts.get("null", 0), counts.get("rows", 0) - counts.get("masked", 0)
    if not null or 2 * null >= asked:
        return ()
    told = f"{null:,} of {asked:,} documents have no token, and so no loss: they are null"
    return (f"{told}; `where: text_bytes > 0` leaves them out",)
