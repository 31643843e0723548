"""Held-out text that stays held out: documents set aside before anything is chosen.

A held-out set is protected by removing from the *pool* what repeats it (`decontaminate`), because the set is small and
declared beforehand, and dropping hard parts of it would change the target after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Columns, Context, Map, Schema


@dataclass(frozen=True, kw_only=True)
class Holdout(Map):
    """Sets a share of the documents aside: `kept` is what stays in the pool, `held_out` what does not.

    A pure function of (doc_id, seed, salt): the share is met on average, not as a count. Name this stage
    among the inputs of a selector and its population excludes the held-out documents; `filter` on `held_out`
    names them.

    Source: own
    """

    name: ClassVar[str] = "holdout"
    role: ClassVar[str] = "filter"
    seeded: ClassVar[bool] = True

    share: float  # of the documents within the sizes
    min_bytes: int = 0
    max_bytes: int | None = None
    salt: str = "holdout"

    def validate(self) -> None:
        """Check that documents can be set aside.

        Raises:
            ConfigError: the share is not in (0, 1), or the sizes leave nothing.
        """
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}, not in (0, 1)", where="share")
        if self.min_bytes < 0 or (self.max_bytes is not None and self.max_bytes < self.min_bytes):
            raise ConfigError(f"no size is in [{self.min_bytes}, {self.max_bytes}]", where="max_bytes")

    def needs(self) -> tuple[str, ...]:
        """Identity and size."""
        return ("doc_id", "text_bytes")

    def outputs(self) -> Schema:
        """Two verdicts that are never both true."""
        return {"kept": pa.bool_(), "held_out": pa.bool_()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Nothing is held out."""
        asked = counts.get("rows", 0) - counts.get("masked", 0)
        if not asked or counts.get("true:held_out", 1):
            return ()
        return (f"holds out none of {asked:,} rows: a larger `share`, or sizes that documents have",)

    def open(self, ctx: Context) -> Columns:
        """Batch -> verdicts."""
        largest = np.iinfo(np.int64).max if self.max_bytes is None else self.max_bytes

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            drawn = uniform(batch["doc_id"], seed=ctx.seed, salt=self.salt) < self.share
            fits = batch["text_bytes"].is_between(self.min_bytes, largest).fill_null(value=False)
            held = pl.Series("held_out", drawn) & fits
            return pl.DataFrame({"kept": ~held, "held_out": held})

        return columns
