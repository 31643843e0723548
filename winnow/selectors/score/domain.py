"""Domains in or out, at equal tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.ranking import EVERYTHING, Ranked, lots


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
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    by: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    match: Literal["value", "host"] = "value"
    budget: Budget | None = None
    salt: str = ""

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
        values = rows[self.by].cast(pl.String)
        values = host_of(values) if self.match == "host" else values
        inside = values.is_not_null()
        if self.include:
            inside &= self._named(values, self.include)
        if self.exclude:
            inside &= ~self._named(values, self.exclude)
        reason = np.where(values.is_null().to_numpy(), NO_SCORE, UNRANKED).astype(np.uint8)
        cost = selections.cost_of(rows, self.budget.unit) if self.budget else None
        return lots(rows, ctx, self.salt, cost=cost, eligible=inside.to_numpy(), reason=reason)

    def targets(self) -> Budget | Targets:
        """The budget; all of the domains without one."""
        return self.budget or EVERYTHING

    def _named(self, values: pl.Series, names: Sequence[str]) -> pl.Series:
        named = values.is_in(list(names)).fill_null(value=False)
        if self.match == "host":
            for name in names:
                wanted = name.lower()
                named |= ((values == wanted) | values.str.ends_with(f".{wanted}")).fill_null(value=False)
        return named


def host_of(values: pl.Series) -> pl.Series:
    """The host names of URLs or host names, in lower case, without user and port; null where there is none."""
    host = values.str.to_lowercase().str.extract(r"^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/@?#]*@)?([^/:?#@\s]+)", 1)
    return host.str.strip_suffix(".")
