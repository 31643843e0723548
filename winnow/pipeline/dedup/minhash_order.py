"""MinHash, beside the signatures: the place of every document in the order of keepers, and the group that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Map, Schema, Scope, Sub
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.minhash_settings import Grouping, Keeper


@dataclass(frozen=True, kw_only=True)
class Order(Keeper, Grouping, Map):
    """`keeper_order`, bytes that sort as `keeper` says, and `per_hash` of the values of `per`; each where asked for.

    Source: own
    """

    name: ClassVar[str] = "minhash_order"
    null_says: ClassVar[bool] = True
    role: ClassVar[str] = "dedup"
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")

    def needs(self) -> tuple[str, ...]:
        """The columns that the order and the groups read."""
        return tuple(dict.fromkeys((*self.per, *keepers.columns_of(self.keeper))))

    def outputs(self) -> Schema:
        """The order and the group, where they are asked for."""
        order = {"keeper_order": pa.large_binary()} if keepers.is_order(self.keeper) else {}
        return {**order, **({"per_hash": pa.binary(16)} if self.per else {})}

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the order is of what has none."""
        keepers.check_keeper_types(self.keeper, types)
        keepers.check_per_types(self.per, types)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Rows without a value of `per`."""
        return keepers.alone_remarks(counts, self.per)

    def open(self, ctx: Context) -> Columns:
        """Batch -> its columns."""

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            made = [keepers.order_keys(rows, self.keeper)] if keepers.is_order(self.keeper) else []
            if self.per:
                made.append(keepers.per_hashes(rows, self.per))
                ctx.count(keepers.ALONE, made[-1].null_count())
            return pl.DataFrame(made)

        return columns


def order_stages(order: Order, scope: Scope) -> list[Sub]:
    """The sub-stage `order` of a composite whose documents columns order or part; none where they do not."""
    if not order.outputs():
        return []
    return [Sub(name="order", operator=order, inputs=scope.inputs, where=scope.where)]
