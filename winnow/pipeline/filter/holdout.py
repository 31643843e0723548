"""Held-out text that stays held out: documents set aside before anything is chosen.

A held-out set is protected by removing from the *pool* what repeats it (`decontaminate`), because the set is small and
declared beforehand, and dropping hard parts of it would change the target after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.core.terminal import percent
from winnow.core.words.hashing import text_hash

MOST_OFF = 0.25  # of the share asked for, from which what groups make of it is remarked


@dataclass(frozen=True, kw_only=True)
class Holdout(Map):
    """Sets a share of the documents aside: `kept` is what stays in the pool, `held_out` what does not.

    A pure function of (doc_id, seed, salt): the share is met on average, not as a count. Name this stage
    among the inputs of a selector and its population excludes the held-out documents; `filter` on `held_out`
    names them.

    With `per` whole groups are drawn: all documents with one value of that column (a site, a cluster of duplicates, a
    source) fall on the same side, by a keyed hash of the value, because text that its siblings have seen is not held
    out. The share is one of groups then: of documents it is met as far as groups are small, and a remark says where
    not. Sizes must not split groups and cannot be given beside it. Documents without a value are drawn one by one
    (`without_key: alone`) or stay in the pool (`pool`); they are counted and remarked.

    Source: own; grouped hold-outs as in group k-fold cross-validation
    """

    name: ClassVar[str] = "holdout"
    role: ClassVar[str] = "filter"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per",)
    read_at: ClassVar[ReadAt] = {  # sizes would split groups
        "min_bytes": ("per", left_out), "max_bytes": ("per", left_out), "without_key": ("per", given)
    }  # fmt: skip

    share: float  # of the documents within the sizes, or of the groups
    min_bytes: int = 0
    max_bytes: int | None = None
    per: str = ""  # column whose values are held out or kept as a whole
    without_key: Literal["alone", "pool"] = "alone"  # of documents that are null there: drawn by themselves, or kept
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
        """Identity, and size or group."""
        return ("doc_id", self.per) if self.per else ("doc_id", "text_bytes")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column has no values that make groups."""
        kind = types.get(self.per)
        if kind is None or any(
            of(kind) for of in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean)
        ):
            return
        hint = "a column of texts or whole numbers, such as `url_domain`, `cluster` or `source`"
        raise ConfigError(f"column {self.per!r} is {kind}, which makes no groups", where="per", hint=hint)

    def outputs(self) -> Schema:
        """Two verdicts that are never both true."""
        return {"kept": pa.bool_(), "held_out": pa.bool_()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Nothing is held out, another share than was asked for, or documents without a group."""
        asked = counts.get("rows", 0) - counts.get("masked", 0)
        held = counts.get("true:held_out", 1)
        if not asked:
            return ()
        lines = []
        if not held and not self.per:
            lines.append(f"holds out none of {asked:,} rows: a larger `share`, or sizes that documents have")
        elif self.per and abs(held / asked - self.share) > MOST_OFF * self.share:
            told = (
                f"holds out {held:,} of {asked:,} rows ({percent(held / asked)}) where `share` is {percent(self.share)}"
            )
            lines.append(f"{told}: whole groups of {self.per!r} are drawn, and there are few or large ones; a finer "
                         "`per`, or another `salt`")  # fmt: skip
        alone = counts.get("without_key", 0)
        if alone:
            done = "are drawn one by one" if self.without_key == "alone" else "stay in the pool"
            lines.append(f"{alone:,} of {asked:,} rows ({percent(alone / asked)}) have no {self.per!r} and {done}")
        return tuple(lines)

    def open(self, ctx: Context) -> Columns:
        """Batch -> verdicts."""
        largest = np.iinfo(np.int64).max if self.max_bytes is None else self.max_bytes

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            drawn = uniform(batch["doc_id"], seed=ctx.seed, salt=self.salt) < self.share
            held = pl.Series("held_out", drawn)
            if self.per:
                held = self._of_groups(batch[self.per], held, ctx)
            else:
                held &= batch["text_bytes"].is_between(self.min_bytes, largest).fill_null(value=False)
            return pl.DataFrame({"kept": ~held, "held_out": held})

        return columns

    def _of_groups(self, group: pl.Series, alone: pl.Series, ctx: Context) -> pl.Series:
        """Verdicts of the groups; where there is none, `alone` or false."""
        null = group.is_null()
        ctx.count("without_key", int(null.sum()))
        names = group.cast(pl.String).fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())
        drawn = uniform(text_hash(names), seed=ctx.seed, salt=f"{self.salt}.group") < self.share
        otherwise = alone if self.without_key == "alone" else ~null
        return (pl.Series(drawn) & ~null | otherwise & null).alias("held_out")
