"""Domains in or out, at equal tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, selections
from winnow.core.numerics.budget_cut import Targets, Totals
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.operators.occurring import Absent, not_there, refuse_absent
from winnow.selectors.score.ranking import EVERYTHING, Ranked, lots

MOST_COUNTED = 100  # values of a part, for the error that says which there are
_NAMED, _COMMON = "+", "-"
_COUNTED = -3  # range of a summary's rows that take no part in any cut


@dataclass(frozen=True, kw_only=True)
class Domain(Ranked):
    """The documents of some domains, or of all others: `kept`, and `weight` 1 or 0.

    `include` keeps the named values of the column `by`, `exclude` all but the named ones; both together: included
    and not excluded. `match: host` takes the column for a URL or a host name, and a name then stands for its
    subdomains too (`example.org` for `www.example.org`, not for `counterexample.org`). A document without a value
    is in no domain: it is counted (`no score`) and not kept, whichever way. With a `budget` documents are drawn by
    lot, as `random` would draw them: arms of equal tokens.

    Cost: one pass over the column; with a budget as `random`.
    Source: the domain axis of A Pretrainer's Guide (Longpre et al. 2023).
    """

    name: ClassVar[str] = "domain"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)
    read_at: ClassVar[ReadAt] = {"salt": ("budget", given)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"include": "values", "exclude": "values"}

    by: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    match: Literal["value", "host"] = "value"
    budget: Budget | None = None
    salt: str = ""
    absent: Absent = "error"  # a name that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the column and what the budget counts."""
        return columns_of(self.by, *(selections.cost_columns(self.budget.unit) if self.budget else ()))

    def validate(self) -> None:
        """Raise ConfigError without a name, or for one on both sides."""
        if not self.include and not self.exclude:
            raise ConfigError("no domains", where="include", hint="give `include:`, `exclude:` or both")
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ConfigError(f"{both[0]!r} is both included and excluded", where="exclude")
        if self.budget is not None:
            selections.check_budget(self.budget)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """Lots of the domains."""
        values = self._values(rows)
        inside = values.is_not_null()
        if self.include:
            inside &= self._named(values, self.include)
        if self.exclude:
            inside &= ~self._named(values, self.exclude)
        reason = np.where(values.is_null().to_numpy(), NO_SCORE, UNRANKED).astype(np.uint8)
        cost = selections.cost_of(rows, self.budget.unit) if self.budget else None
        return lots(rows, ctx, self.salt, cost=cost, eligible=inside.to_numpy(), reason=reason)

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """As every selection by rank; in the first round beside it what the names match, and the commonest values."""
        summary = super().summarise(rows, state, ctx)
        if state is not None:
            return summary
        found = self._values(rows).drop_nulls().value_counts(name="rows").sort("rows", descending=True)
        values, counts = found.to_series(0), found["rows"]
        common = dict(found.head(MOST_COUNTED).iter_rows())
        named = self._matches(values, counts)
        tagged = {f"{_COMMON}{name}": n for name, n in common.items()} | {f"{_NAMED}{n}": k for n, k in named.items()}
        return budget_cut.merge([summary, _counts(tagged, summary.schema)])

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """Narrower ranges, or the cut. Raises: DataError for a name that no document has, unless `absent` allows it."""
        if state is None and budget_cut.totals(summary).all_rows:
            counts = dict(summary.filter(pl.col("range") == _COUNTED).select("group", "rows").iter_rows())
            named, common = ({n[1:]: k for n, k in counts.items() if n[0] == tag} for tag in (_NAMED, _COMMON))
            missing = not_there(self._names(), named)
            if self.absent == "error":
                field = "include" if missing and missing[0] in self.include else "exclude"
                refuse_absent(missing, common, field=field, of=f"column {self.by!r}")
            self.tell_absent(missing, "include and exclude", ctx)
        return super().advance(summary, state, ctx)

    def check_declared(self, totals: Totals, ctx: Context) -> None:
        """Names are no groups: `advance` has looked."""

    def targets(self) -> Budget | Targets:
        """The budget; all of the domains without one."""
        return self.budget or EVERYTHING

    def _matches(self, values: pl.Series, counts: pl.Series) -> dict[str, int]:
        """Name -> how many documents it stands for, of distinct values with their counts."""
        held: dict[str, int] = {}
        for value, count in zip(values.to_list(), counts.to_list(), strict=True):
            labels = value.split(".") if self.match == "host" else [value]
            for start in range(len(labels)):
                name = ".".join(labels[start:])
                held[name] = held.get(name, 0) + count
        lower = self.match == "host"
        return {name: held.get(name.lower() if lower else name, 0) for name in self._names()}

    def _names(self) -> list[str]:
        return list(dict.fromkeys((*self.include, *self.exclude)))

    def _values(self, rows: pl.DataFrame) -> pl.Series:
        values = rows[self.by].cast(pl.String)
        return host_of(values) if self.match == "host" else values

    def _named(self, values: pl.Series, names: Sequence[str]) -> pl.Series:
        named = values.is_in(list(names)).fill_null(value=False)
        if self.match == "host":
            for name in names:
                wanted = name.lower()
                named |= ((values == wanted) | values.str.ends_with(f".{wanted}")).fill_null(value=False)
        return named


def _counts(counts: Mapping[str, int], schema: pl.Schema) -> pl.DataFrame:
    """Counts of names as rows of a first round's summary."""
    zero = dict.fromkeys(schema.names(), 0)
    return pl.DataFrame([zero | {"group": n, "range": _COUNTED, "rows": k} for n, k in counts.items()], schema=schema)


def host_of(values: pl.Series) -> pl.Series:
    """The host names of URLs or host names, in lower case, without user and port; null where there is none."""
    host = values.str.to_lowercase().str.extract(r"^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/@?#]*@)?([^/:?#@\s]+)", 1)
    return host.str.strip_suffix(".")
