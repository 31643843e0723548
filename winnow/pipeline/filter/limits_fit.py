"""The limits of every group, from a sample of its documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.numerics import rng
from winnow.core.operators import Context, Fit, Schema
from winnow.pipeline.filter.limit_rules import LimitSettings, limit_name, limit_of

FILE = "limits.json"
_TOLD = 8  # groups that a remark names
Numbers = Mapping[str, list[float]]  # column -> the numbers of a group, ascending


@dataclass(frozen=True, kw_only=True)
class LimitsFit(LimitSettings, Fit):
    """Limits of every group as JSON (`limits.json`): by group, and those of all documents together."""

    name: ClassVar[str] = "limits_fit"
    role: ClassVar[str] = "signal"
    seeded: ClassVar[bool] = True
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per", "most", "least")

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether a document is sampled, its group and its numbers."""
        return ("doc_id", self.per, *self.measured())

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column holds no numbers."""
        for column in self.measured():
            kind = types[column]
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                raise ConfigError(f"column {column!r} is {kind}, not a number", where="most",
                                  hint="limits are of numbers")  # fmt: skip

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """At most `sample` documents of each group, those of the smallest keys."""
        keys = pl.Series("_key", rng.keys(rows["doc_id"], seed=ctx.seed, salt="limits"), dtype=pl.UInt64)
        numbers = [pl.col(c).cast(pl.Float64).alias(f"v{i}") for i, c in enumerate(self.measured())]
        named = rows.select("doc_id", pl.col(self.per).cast(pl.String).alias("_group"), *numbers, keys)
        return _smallest(named.drop_nulls("_group"), self.docs)

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the limits; how many groups have their own, and the limits of the largest of them.

        Raises: DataError where no document has a group, or the base group is not among the groups.
        """
        chosen = _smallest(sample, self.docs)
        sizes = dict(chosen.group_by("_group").len().sort("_group").iter_rows())
        if not sizes:
            raise DataError(f"no document has a {self.per!r}", where="limits.fit", hint="name the stage that adds it")
        if self.base and sizes.get(self.base, 0) < self.min_docs:
            hint = f"{did_you_mean(self.base, sizes)}; or a lower `min_docs`"
            has = f"{sizes.get(self.base, 0):,} documents, fewer than {self.min_docs:,}"
            told = f"the base group {self.base!r} has {has}"
            raise DataError(told, where="limits.fit", hint=hint)
        base = self._numbers(chosen.filter(pl.col("_group") == self.base)) if self.base else {}
        own = {name for name, size in sizes.items() if size >= self.min_docs}
        limits = {name: self._limits(self._numbers(chosen.filter(pl.col("_group") == name)), base) for name in own}
        together = self._limits(self._numbers(chosen), base)
        ctx.work.joinpath(FILE).write_text(json.dumps({"groups": limits, "together": together}, sort_keys=True))
        self._tell(sizes, own, ctx)
        largest = sorted(own, key=lambda name: (-sizes[name], name))[:20]
        return {"groups": len(own), "documents": chosen.height, "limits": {name: limits[name] for name in largest}}

    def _numbers(self, rows: pl.DataFrame) -> Numbers:
        """The numbers of every column, ascending, without nulls and NaN."""
        columns = ((name, rows[f"v{i}"].drop_nulls().drop_nans()) for i, name in enumerate(self.measured()))
        return {name: np.sort(values.to_numpy()).tolist() for name, values in columns}

    def _limits(self, own: Numbers, base: Numbers) -> dict[str, float | None]:
        """Name of the limit -> the limit; null where the group has no number."""
        out: dict[str, float | None] = {}
        for side, column, rule in self.rules():
            values, of_base = own[column], base.get(column, [])
            if self.base and not of_base:
                raise DataError(f"the base group {self.base!r} has no number in {column!r}", where="limits.fit",
                                hint="another `base`")  # fmt: skip
            where = f"{side}.{column}"
            out[limit_name(side, column)] = limit_of(side, rule, values, of_base, where=where) if values else None
        return out

    def _tell(self, sizes: Mapping[str, int], own: set[str], ctx: Context) -> None:
        small = sorted(name for name in sizes if name not in own)
        if small:
            named = ", ".join(small[:_TOLD]) + (", ..." if len(small) > _TOLD else "")
            ctx.remark(
                f"{len(small):,} of {len(sizes):,} values of {self.per!r} have fewer than {self.min_docs:,} documents "
                f"and get those of all together ({named}): more text of them as `reference`, or a lower `min_docs`"
            )


def _smallest(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """The `count` rows of the smallest keys of each group, in the order of the ids."""
    return rows.sort("_key", "doc_id").group_by("_group", maintain_order=True).head(count).sort("doc_id")
