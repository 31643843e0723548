"""MinHash, where earlier data is there: documents that it has already stand for themselves no longer."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from winnow.core.operators import Schema

COLUMNS = ("earlier", "earlier_jaccard", "earlier_contains", "earlier_origin")  # what is read of `minhash_seen`
ADDED: Schema = {"earlier_origin": pa.large_string()}
EARLIER = "earlier"  # counter: rows dropped for an earlier document


def without_earlier(edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The pairs of which no end has an earlier document that stands for it."""
    gone = rows.filter(pl.col("earlier").is_not_null()).select("doc_id")
    left = edges.join(gone, left_on="a", right_on="doc_id", how="anti", maintain_order="left")
    return left.join(gone, left_on="b", right_on="doc_id", how="anti", maintain_order="left")


def with_earlier(columns: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The outputs, with the rows dropped for which an earlier document stands.

    `cluster` is its doc_id then, the size that of the rows dropped for it and itself, `earlier_origin` where it lay.
    """
    said = rows.select("earlier", "earlier_jaccard", "earlier_contains", "earlier_origin")
    size = (pl.len().over("earlier") + 1).cast(pl.Int32)
    of_earlier: Mapping[str, pl.Expr] = {
        "kept": pl.lit(value=False), "cluster": pl.col("earlier"), "minhash_cluster_size": size,
        "keeper_jaccard": pl.col("earlier_jaccard"), "chained": pl.lit(value=False),
        "keeper_contains": pl.col("earlier_contains"),
    }  # fmt: skip
    there = pl.col("earlier").is_not_null()
    both = pl.concat([columns, said], how="horizontal")
    changed = [pl.when(there).then(of_earlier[name]).otherwise(name).alias(name) for name in columns.columns]
    return both.select(*changed, "earlier_origin")


def told(earlier: int, kept: int) -> str:
    """What a person is told of them."""
    return f"{earlier:,} of {earlier + kept:,} documents are dropped for earlier ones"
