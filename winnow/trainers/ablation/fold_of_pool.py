"""Which fold of the pool a document belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import keys
from winnow.core.operators import Columns, Context, Map, Schema

COLUMN = "ablation_fold"


@dataclass(frozen=True, kw_only=True)
class FoldOfPool(Map):
    """The fold of every document, `ablation_fold` in [0, num): folds are disjoint and hold all documents.

    A pure function of (doc_id, seed, num): folds are of equal size on average, not by count.

    Source: own (keyed hash, as in `holdout`)
    """

    name: ClassVar[str] = "fold_of_pool"
    role: ClassVar[str] = "trainer"
    seeded: ClassVar[bool] = True

    num: int

    def validate(self) -> None:
        """Raise ConfigError for fewer than two folds."""
        if self.num < 2:
            raise ConfigError(f"{self.num} folds, and two or more are folds", where="num")

    def needs(self) -> tuple[str, ...]:
        """Identity alone."""
        return ("doc_id",)

    def outputs(self) -> Schema:
        """The number of the fold."""
        return {COLUMN: pa.int32()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> folds."""

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            drawn = keys(batch["doc_id"], seed=ctx.seed, salt=f"fold of {self.num}")
            return pl.DataFrame({COLUMN: (drawn % np.uint64(self.num)).astype(np.int32)})

        return columns
