"""What every value of a column holds, and what a selection takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.errors import DataError
from winnow.core.numerics import row_ranks, selections
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context, Fit
from winnow.core.operators.budget import Unit

FILE = "sizes.parquet"
OTHER = "other"  # of a `mixture`: what all values below `least` are together


@dataclass(frozen=True, kw_only=True)
class DomainSizes(Fit):
    """Sizes of the values of a column, in the unit of a budget; with `used`, how much a selection uses of each.

    Cost: one pass over the column and the cost; a row per part and value in memory.
    Source: own
    """

    name: ClassVar[str] = "domain_sizes"
    role: ClassVar[str] = "trainer"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per",)

    per: tuple[str, ...]
    unit: Unit = "tokens"
    least: int = 0  # values that hold less are one, as in a `mixture`
    used: bool = False  # times the weight of the selection among the inputs

    def needs(self) -> tuple[str, ...]:
        """doc_id, the values, the cost, and the weight of what is used."""
        return columns_of(*selections.cost_columns(self.unit), *self.per, *(["weight"] if self.used else []))

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """A row per value of a part: its smallest doc_id, `value` and `size`."""
        cost = selections.cost_of(rows, self.unit)
        value = row_ranks.labels(rows, self.per)
        assert value is not None
        size = pl.Series("size", [1], dtype=pl.Int64).new_from_index(0, rows.height) if cost is None else cost
        size = size.cast(pl.Float64) * rows["weight"] if self.used else size.cast(pl.Float64)
        found = pl.DataFrame({"doc_id": rows["doc_id"], "value": value, "size": size.round().cast(pl.Int64)})
        known = found.filter(pl.col("value").is_not_null() & pl.col("size").is_not_null())
        return (
            known.group_by("value").agg(pl.col("doc_id").min(), pl.col("size").sum()).select("doc_id", "value", "size")
        )

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the sizes; metrics: `sizes` {value: size}.

        Raises:
            DataError: no document has a value and a cost.
        """
        sizes = sample.group_by("value").agg(pl.col("size").sum()).filter(pl.col("size") > 0)
        if not sizes.height:
            raise DataError("no document has a value and a size", where="per")
        small = pl.col("size") < self.least
        named = sizes.with_columns(pl.when(small).then(pl.lit(OTHER)).otherwise("value").alias("value"))
        table = named.group_by("value").agg(pl.col("size").sum()).sort("value")
        table.write_parquet(ctx.work / FILE, statistics=False)
        return {"sizes": dict(table.iter_rows())}
