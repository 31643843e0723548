"""Weights in place of removal: all documents of a cluster stay, and together they count as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Schema

ONE = 1 << 20  # weights are multiples of 1 / ONE, rounded down
WEIGHT: Schema = {"weight": pa.float64()}


@dataclass(frozen=True, kw_only=True)
class Softening:
    """Whether copies are removed, or stay and weigh less."""

    soft: Literal["weights"] | None = None  # all stay, with a `weight` of 1 / size of their cluster

    def soft_outputs(self) -> Schema:
        """`weight` where copies stay."""
        return WEIGHT if self.soft else {}

    def check_soft(self, against: Sequence[str]) -> None:
        """Raise ConfigError for weights beside documents of other runs, which are not weighed."""
        if self.soft and against:
            hint = "leave out `soft`, or unite the crawls with `concat`"
            raise ConfigError("documents of earlier runs cannot be given a weight", where="soft", hint=hint)


def softened(columns: pl.DataFrame, size: str) -> pl.DataFrame:
    """The columns of a deduplication with nothing removed, and `weight`: 1 / cluster size, a multiple of 2^-20."""
    sizes = columns[size].to_numpy().astype(np.int64)
    weight = np.maximum(ONE // np.maximum(sizes, 1), 1) / ONE
    return columns.with_columns(kept=pl.lit(value=True), weight=pl.Series(weight))
