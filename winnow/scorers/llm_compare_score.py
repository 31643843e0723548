"""The strengths that `llm_compare_fit` found, beside their documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.scorers.llm_compare_fit import SCORES


@dataclass(frozen=True, kw_only=True)
class LlmCompareScore(Map):
    """Strength of the documents that were compared, `score`, and in how many pairs, `comparisons`; null for others."""

    name: ClassVar[str] = "llm_compare_score"
    role: ClassVar[str] = "scorer"
    null_says: ClassVar[bool] = True

    compared: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The id."""
        return ("doc_id",)

    def outputs(self) -> Schema:
        """The strength and the count."""
        return {"score": pa.float64(), "comparisons": pa.int32()}

    def after_decisions(self) -> bool:
        """True: so is what was compared."""
        return True

    def open(self, ctx: Context) -> Columns:
        """Batch -> what is known of its documents."""
        known = pl.read_ipc(ctx.ref("compared").files()[SCORES])
        known = known.with_columns(pl.col("doc_id").cast(pl.Binary))

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            ids = rows.select(pl.col("doc_id").cast(pl.Binary))
            return ids.join(known, on="doc_id", how="left", maintain_order="left").select("score", "comparisons")

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Nothing: that most documents have no score is what a sample means."""
        return ()
