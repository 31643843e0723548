"""What `repeated_lines` and `repeated_substrings` have in common: which copies go, and what that reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Context, Group, Kind, Schema
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.repeated_cut import Cut


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Which copies of something go."""

    keep: Literal["first", "none"] = "first"
    keeper: str = keepers.SMALLEST_ID  # whose copy is the first
    per: tuple[str, ...] = ()  # documents are compared within equal values of these columns

    def read(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return tuple(dict.fromkeys(("text", *self.per, *keepers.columns_of(self.keeper))))


@dataclass(frozen=True, kw_only=True)
class ComparedCopies(Copies, Group):
    """A sub-stage that compares pieces of texts; null is the answer of a document in which nothing is repeated."""

    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")
    null_says: ClassVar[bool] = True
    sorts: ClassVar[bool] = False

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return ("doc_id", *self.read())

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the order or the groups are of what has none."""
        keepers.check_keeper_types(self.keeper, types)
        keepers.check_per_types(self.per, types)

    def order_schema(self) -> Schema:
        """The place of a document in the order, where there is one."""
        return {"keeper_order": pa.large_binary()} if keepers.is_order(self.keeper) else {}

    def order_of(self, rows: pl.DataFrame, row: Any) -> dict[str, pl.Series]:
        """Its values for pieces of the rows with these numbers."""
        return {"keeper_order": keepers.order_keys(rows, self.keeper).gather(row)} if self.order_schema() else {}

    def count_alone(self, rows: pl.DataFrame, ctx: Context) -> None:
        """Count the documents that have no value of `per`."""
        if self.per:
            ctx.count(keepers.ALONE, int(rows.select(pl.any_horizontal(pl.col(self.per).is_null())).to_series().sum()))

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Documents that were compared with none."""
        return keepers.alone_remarks(counts, self.per)


@dataclass(frozen=True, kw_only=True)
class RepeatedCopies(Copies, Composite):
    """An editor that takes copies out of texts."""

    role: ClassVar[str] = "editor"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return self.read()

    def outputs(self) -> Schema:
        """The columns of an editor, `repeated_spans` and `repeated_share`."""
        return Cut().outputs()

    def after_decisions(self) -> bool:
        """Copies are counted among the documents that are kept."""
        return True

    def validate(self) -> None:
        """Raise ConfigError for an order that is none."""
        if self.keeper == keepers.LONGEST:
            raise ConfigError("`longest` is a keeper of `minhash`", where="keeper", hint="write `text_bytes desc`")
        keepers.check_keeper(self.keeper)
