"""The limits of each document, by its group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.operators.retext import asked_of
from winnow.core.terminal import percent
from winnow.pipeline.filter.limit_rules import LimitColumns
from winnow.pipeline.filter.limits_fit import FILE

TOGETHER = "together"


@dataclass(frozen=True, kw_only=True)
class LimitsOf(LimitColumns, Map):
    """`most_COLUMN` and `least_COLUMN` of the document's group; of all documents where the group has no own ones."""

    name: ClassVar[str] = "limits_of"
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("per", "most", "least")

    fitted: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The group."""
        return (self.per,)

    def outputs(self) -> Schema:
        """The limits, f64."""
        return self.limits()

    def open(self, ctx: Context) -> Columns:
        """Batch -> limits, looked up by group."""
        said = json.loads(ctx.ref("fitted").files()[FILE].read_text())
        names, groups = list(self.outputs()), said["groups"]
        table = pl.DataFrame(
            {"_group": list(groups), **{name: [groups[g][name] for g in groups] for name in names}},
            schema={"_group": pl.String, **dict.fromkeys(names, pl.Float64)},
        )

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            rows = batch.select(pl.col(self.per).cast(pl.String).alias("_group"))
            known = rows["_group"].is_in(table["_group"].implode()).fill_null(value=False)
            ctx.count(TOGETHER, int((~known).sum()))
            found = rows.join(table, on="_group", how="left", maintain_order="left")
            otherwise = [pl.lit(said["together"][name], dtype=pl.Float64) for name in names]
            return found.select(
                pl.when(known).then(pl.col(name)).otherwise(other).alias(name)
                for name, other in zip(names, otherwise, strict=True)
            )

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents that are judged by the limits of all."""
        asked, together = asked_of(counts), counts.get(TOGETHER, 0)
        if not together or not asked:
            return ()
        of = f"{together:,} of {asked:,} documents ({percent(together / asked)})"
        why = f"have a {self.per!r} without limits of its own and get those of all documents together"
        return (f"{of} {why}: give text of such as `reference`",)
