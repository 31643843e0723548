"""Held-out text that stays held out: documents set aside before anything is chosen.

A held-out set is protected by removing from the *pool* what repeats it (`decontaminate`), because the set is small and
declared beforehand, and dropping hard parts of it would change the target after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Context, Fold, Schema
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.core.terminal import percent
from winnow.core.words.hashing import as_lanes, text_hash
from winnow.pipeline.filter import sibling_groups

MOST_NOTED = 20  # groups whose sizes are noted
MOST_OFF = 0.25  # of the share asked for, from which what groups make of it is remarked


@dataclass(frozen=True, kw_only=True)
class Holdout(Fold):
    """Sets a share of the documents aside: `kept` is what stays in the pool, `held_out` what does not.

    A pure function of (doc_id, seed, salt): the share is met on average, not as a count. Name this stage
    among the inputs of a selector and its population excludes the held-out documents; `filter` on `held_out`
    names them.

    With `per` whole groups are drawn: all documents with one value of that column (a site, a cluster of duplicates, a
    source) fall on the same side, by a keyed hash of the value, because text that its siblings have seen is not held
    out. Of several columns a group is all that is connected by any of them: a page, its copies on other sites, and all
    pages of those sites. The share is one of groups then: of documents it is met as far as groups are small, and a
    remark says where not, and where one group alone holds more than the share. The metrics say how many groups there
    are and how large. Sizes must not split groups and cannot be given beside it. Documents without a value are drawn
    one by one (`without_key: alone`) or stay in the pool (`pool`); they are counted and remarked.

    Cost: one pass over the columns; of `per` 24 bytes of memory per different value.
    Source: own; grouped hold-outs as in group k-fold cross-validation
    """

    name: ClassVar[str] = "holdout"
    version: ClassVar[int] = 2  # 2: groups by several columns
    role: ClassVar[str] = "filter"
    at_once: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per",)
    read_at: ClassVar[ReadAt] = {  # sizes would split groups
        "min_bytes": ("per", left_out), "max_bytes": ("per", left_out), "without_key": ("per", given)
    }  # fmt: skip

    share: float  # of the documents within the sizes, or of the groups
    min_bytes: int = 0
    max_bytes: int | None = None
    per: tuple[str, ...] = ()  # columns: what shares a value of any of them is held out or kept as a whole
    without_key: Literal["alone", "pool"] = "alone"  # of documents that are null in all: drawn by themselves, or kept
    salt: str = "holdout"

    def __post_init__(self) -> None:
        """One column may be given as a text."""
        columns = ((self.per,) if self.per else ()) if isinstance(self.per, str) else tuple(self.per)
        object.__setattr__(self, "per", columns)

    def validate(self) -> None:
        """Check that documents can be set aside.

        Raises:
            ConfigError: the share is not in (0, 1), or the sizes leave nothing.
        """
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}, not in (0, 1)", where="share")
        if self.min_bytes < 0 or (self.max_bytes is not None and self.max_bytes < self.min_bytes):
            raise ConfigError(f"no size is in [{self.min_bytes}, {self.max_bytes}]", where="max_bytes")
        twice = [name for at, name in enumerate(self.per) if name in self.per[:at]]
        if twice or "" in self.per:
            raise ConfigError(f"{twice[0]!r} is named twice" if twice else "a column without a name", where="per")

    def needs(self) -> tuple[str, ...]:
        """Identity, and size or group."""
        return ("doc_id", *self.per) if self.per else ("doc_id", "text_bytes")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column has no values that make groups."""
        fit = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean)
        for name in self.per:
            kind = types.get(name)
            if kind is not None and not any(of(kind) for of in fit):
                hint = "a column of texts or whole numbers, such as `url_domain`, `cluster` or `source`"
                raise ConfigError(f"column {name!r} is {kind}, which makes no groups", where="per", hint=hint)

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
            lines.append(f"{told}: whole groups of {self._named()} are drawn, and there are few or large ones; a finer "
                         "`per`, or another `salt`")  # fmt: skip
        alone = int(metrics.get("without_key", 0))
        if alone:
            done = "are drawn one by one" if self.without_key == "alone" else "stay in the pool"
            lines.append(f"{alone:,} of {asked:,} rows ({percent(alone / asked)}) have no {self._named()} and {done}")
        return tuple(lines)

    def _named(self) -> str:
        return " or ".join(map(repr, self.per))

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """The groups of this part; nothing where documents are drawn one by one."""
        return sibling_groups.grouped(rows, self.per) if self.per else sibling_groups.joined([])

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Groups that share a value are one."""
        return sibling_groups.joined(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The groups; how many there are, and how large, is noted."""
        found, without = sibling_groups.sizes(summary)
        total = sum(found) + without
        if self.per:
            ctx.note("without_key", without)
            ctx.note("groups", len(found))
            ctx.note("largest_groups", found[:MOST_NOTED])
        large = [size for size in found if size > self.share * total]
        if large and len(found) > 1:
            many = f"{len(large):,} groups hold" if len(large) > 1 else "one group holds"
            ctx.remark(
                f"{many} more than the share ({percent(self.share)}) by itself, {large[0]:,} of {total:,} rows "
                f"({percent(large[0] / total)}): connected by {self._named()}; rarer values make smaller groups"
            )
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verdicts."""
        drawn = uniform(rows["doc_id"], seed=ctx.seed, salt=self.salt) < self.share
        held = pl.Series("held_out", drawn)
        if self.per:
            held = self._of_groups(rows, state, held, ctx)
        else:
            largest = np.iinfo(np.int64).max if self.max_bytes is None else self.max_bytes
            held &= rows["text_bytes"].is_between(self.min_bytes, largest).fill_null(value=False)
        return pl.DataFrame({"kept": ~held, "held_out": held})

    def _of_groups(self, rows: pl.DataFrame, state: pl.DataFrame, alone: pl.Series, ctx: Context) -> pl.Series:
        """Verdicts of the groups; where there is none, `alone` or false. One column's groups go by the value itself."""
        if len(self.per) == 1:
            null = rows[self.per[0]].is_null()
            names = rows[self.per[0]].cast(pl.String).fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())
            ids = as_lanes(text_hash(names))
        else:
            roots = sibling_groups.roots_of(rows, self.per, state)
            null = pl.Series(roots == sibling_groups.NONE)
            ids = np.stack([roots, np.zeros_like(roots)], axis=1)
        drawn = uniform(ids, seed=ctx.seed, salt=f"{self.salt}.group") < self.share
        otherwise = alone if self.without_key == "alone" else ~null
        return (pl.Series(drawn) & ~null | otherwise & null).alias("held_out")
