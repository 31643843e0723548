"""What `exact` compares of a row: a column, as it is or in a normal form, within groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.forms import Form, hashed

NO_TEXT = bytes(16)  # what a null text hashes to


@dataclass(frozen=True, kw_only=True)
class ComparedBy:
    """The column that rows are compared by, its form, and the groups within which they are."""

    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")

    by: str = "text_hash"
    form: Form = "bytes"
    per: tuple[str, ...] = ()

    def compared(self, rows: pl.DataFrame) -> pl.Series:
        """Whether a row has a value to be compared by, and one of every group."""
        values = rows[self.by]
        here = values.is_not_null()
        if self.by == "text_hash":
            here &= rows.select(pl.col(self.by) != pl.lit(NO_TEXT)).to_series()
        elif self.by != "text" and values.dtype in (pl.String, pl.Binary):
            here &= values.cast(pl.Binary).bin.size() > 0
        for name in self.per:
            here &= rows[name].is_not_null()
        return here.fill_null(value=False)

    def hashes(self, rows: pl.DataFrame) -> pl.Series:
        """16 bytes of what is compared; null where one of its parts is."""
        hashes = rows[self.by] if self.by == "text_hash" else hashed(rows[self.by], self.form)
        return keepers.combined(hashes, keepers.per_hashes(rows, self.per)) if self.per else hashes


def fields_of(one: ComparedBy) -> dict[str, Any]:
    """The fields, for another operator that has them."""
    return {"by": one.by, "form": one.form, "per": one.per}
