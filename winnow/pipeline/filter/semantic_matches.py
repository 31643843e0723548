"""The protected item that every document is most like, by vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.core.numerics.target_vectors import on_disk
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.terminal import percent

LIKE: Schema = {
    "contaminated_similarity": pa.float64(),  # cosine with the item that is most like it, in [-1, 1]
    "contaminated_like": pa.large_string(),  # that item: file and place
}
ITEM_BLOCK = 2048  # items whose products with a batch are held at once
_WITHOUT = "without_vector"  # counter


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Which vectors are compared, and from where on they say the same."""

    vectors: str = "vector"  # column of the documents; that of `against_vectors` has the same name on disk
    similarity: float = 0.9  # cosine from which a document says what an item says


@dataclass(frozen=True, kw_only=True)
class SemanticMatches(Likeness, MapArrow):
    """Cosine of every document with the protected item that it is most like, and that item; null without a vector.

    Of items equally near the first by its id. The same bits for any batch, thread count and BLAS: products of int16.
    Cost: rows x items x dimensions multiply-adds at BLAS speed; memory of the items' vectors and one block of products.
    Source: own
    """

    name: ClassVar[str] = "semantic_matches"
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    items: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.vectors,)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The items' vectors."""
        return {"items": (on_disk(self.vectors),)}

    def outputs(self) -> Schema:
        """Similarity and item."""
        return LIKE

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without a vector."""
        rows, without = counts.get("rows", 0) - counts.get("masked", 0), counts.get(_WITHOUT, 0)
        if not without:
            return ()
        told = f"{without:,} of {rows:,} documents ({percent(without / rows)}) have no vector in {self.vectors!r}"
        return (f"{told} and are judged by their words alone",)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> similarity and item.

        Raises: DataError where no item has a vector.
        """
        column = on_disk(self.vectors)
        frame = ctx.ref("items").frame("doc_id", "origin", column, where_kept=True)
        grid, some = knn.to_grid(frame[column].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
        items, names = grid[some].astype(np.float32), frame["origin"].filter(pl.Series(some))
        if not len(items):
            raise DataError(f"none of {len(grid):,} items has a {column!r}", where="against_vectors",
                            hint="name a stage that gives the items vectors, such as `embed`")  # fmt: skip

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            mine, known = knn.to_grid(batch.column(self.vectors))
            ctx.count(_WITHOUT, int((~known).sum()))
            best, at = (
                nearest(mine, items, where=self.vectors)
                if known.any()
                else (np.zeros(len(mine)), np.zeros(len(mine), int))
            )
            like = names.gather(at).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
            absent = pa.array(~known)
            return pa.record_batch({
                "contaminated_similarity": pa.array(best / knn.ONE, pa.float64(), mask=~known),
                "contaminated_like": pc.if_else(absent, pa.scalar(None, pa.large_string()), like),
            })  # fmt: skip

        return columns


def nearest(rows: knn.Grid, items: knn.Floats, *, where: str) -> tuple[Any, Any]:
    """(similarity in units of 1 / ONE, number of the item), i64[rows] each, of the item that each row is nearest to.

    Raises: DataError where the dimensions differ.
    """
    if rows.shape[1] != items.shape[1]:
        raise DataError(f"the documents' vectors have {rows.shape[1]} dimensions, the items' {items.shape[1]}",
                        where=where, hint="use one vector stage with the same fields for both")  # fmt: skip
    left = rows.astype(np.float32)
    best, at = np.full(len(rows), -(2**31), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    for low in range(0, len(items), ITEM_BLOCK):
        products = left @ items[low : low + ITEM_BLOCK].T
        place = products.argmax(axis=1)
        found = products[np.arange(len(rows)), place].astype(np.int64)
        better = found > best
        best[better], at[better] = found[better], low + place[better]
    return best, at


def check_likeness(given: Likeness, against_vectors: str) -> None:
    """Raise ConfigError for a similarity that none can have, or fields that are not read."""
    if not -1 < given.similarity <= 1:
        raise ConfigError(
            f"similarity is {given.similarity:g}, not in (-1, 1]", where="similarity", hint="for example 0.9"
        )
    if against_vectors:
        return
    for field in ("vectors", "similarity"):
        if getattr(given, field) != getattr(Likeness(), field):
            raise ConfigError(f"`{field}` has no effect without `against_vectors`", where=field,
                              hint="name the stage that gives the items vectors, or leave it out")  # fmt: skip
