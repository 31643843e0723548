"""Controlled arms: all but one thing equal. A window of time, or domains in or out, at equal tokens."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut as threshold_fold
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.ranking import EVERYTHING, Ranked, columns_of, lots


@dataclass(frozen=True, kw_only=True)
class Age(Ranked):
    """The documents of a window of time: `kept`, and `weight` 1 or 0.

    Days from `since` on and before `until` (dates as 2019-01-31, or a year: its first day); without one of them the
    window is open on that side. `by` is a date, a time, a year, or a text that begins with a year or an ISO date;
    what is neither has no date, is counted (`no score`) and not kept. With a `budget` documents are drawn by lot
    from the window, as `random` would draw them: arms of equal tokens. The date of a crawl is not that of the text.

    Cost: one pass over the column; with a budget as `random`.
    Source: the age axis of A Pretrainer's Guide (Longpre et al. 2023).
    """

    name: ClassVar[str] = "age"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    by: str
    since: str | int | None = None
    until: str | int | None = None
    budget: Budget | None = None
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the date and what the budget counts."""
        return columns_of(self.by, *(threshold_fold.cost_columns(self.budget) if self.budget else ()))

    def validate(self) -> None:
        """Raise ConfigError for no window, an empty one, or ends that are no dates."""
        ends = [day(self.since, where="since"), day(self.until, where="until")]
        if ends == [None, None]:
            raise ConfigError("no window", where="since", hint="give `since:`, `until:` or both")
        if None not in ends and ends[0] >= ends[1]:  # type: ignore[operator]
            raise ConfigError(f"no day lies between {self.since} and {self.until}", where="until")
        if self.budget is not None:
            threshold_fold.check_budget(self.budget)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """Lots of the window."""
        dates = days(rows[self.by])
        since, until = day(self.since, where="since"), day(self.until, where="until")
        inside = dates.is_not_null()
        if since is not None:
            inside &= (dates >= since).fill_null(value=False)
        if until is not None:
            inside &= (dates < until).fill_null(value=False)
        reason = np.where(dates.is_null().to_numpy(), NO_SCORE, UNRANKED).astype(np.uint8)
        cost = threshold_fold.cost_of(rows, self.budget) if self.budget else None
        return lots(rows, ctx, self.salt, cost=cost, eligible=inside.to_numpy(), reason=reason)

    def targets(self) -> Budget | Targets:
        """The budget; the whole window without one."""
        return self.budget or EVERYTHING


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
        return columns_of(self.by, *(threshold_fold.cost_columns(self.budget) if self.budget else ()))

    def validate(self) -> None:
        """Raise ConfigError without a name, or for one on both sides."""
        if not self.include and not self.exclude:
            raise ConfigError("no domains", where="include", hint="give `include:`, `exclude:` or both")
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ConfigError(f"{both[0]!r} is both included and excluded", where="exclude")
        if self.budget is not None:
            threshold_fold.check_budget(self.budget)

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
        cost = threshold_fold.cost_of(rows, self.budget) if self.budget else None
        return lots(rows, ctx, self.salt, cost=cost, eligible=inside.to_numpy(), reason=reason)

    def targets(self) -> Budget | Targets:
        """The budget; all of the domains without one."""
        return self.budget or EVERYTHING

    def _named(self, values: pl.Series, names: Sequence[str]) -> pl.Series:
        found = values.is_in(list(names)).fill_null(value=False)
        if self.match == "host":
            for name in names:
                wanted = name.lower()
                found |= ((values == wanted) | values.str.ends_with(f".{wanted}")).fill_null(value=False)
        return found


def day(text: str | int | None, *, where: str = "") -> datetime.date | None:
    """The date behind `2019-01-31` or a year; None for None. Raises ConfigError for anything else."""
    if text is None:
        return None
    try:
        return datetime.date(int(text), 1, 1) if len(str(text)) == 4 else datetime.date.fromisoformat(str(text))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no date", where=where, hint="write 2019-01-31, or 2019") from error


def days(values: pl.Series) -> pl.Series:
    """Dates; null where there is none.

    Raises: DataError where the column can hold no dates.
    """
    if values.dtype == pl.Date:
        return values
    if values.dtype.base_type() == pl.Datetime:
        return values.dt.date()
    rows, value = values.to_frame("value"), pl.col("value")
    if values.dtype.is_integer():
        year = pl.when(value.is_between(1, 9999)).then(value).cast(pl.Int32)
        return rows.select(date=pl.date(year, 1, 1))["date"]
    if values.dtype not in (pl.String, pl.Null):
        raise DataError(
            f"{values.name!r} is {values.dtype}, which holds no dates", hint="give a date, a year or a text"
        )
    text = value.cast(pl.String)
    full = pl.when(text.str.contains(r"^\d{4}$")).then(text + "-01-01").otherwise(text.str.slice(0, 10))
    return rows.select(date=full.str.to_date("%Y-%m-%d", strict=False))["date"]


def host_of(values: pl.Series) -> pl.Series:
    """The host names of URLs or host names, in lower case, without user and port; null where there is none."""
    host = values.str.to_lowercase().str.extract(r"^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/@?#]*@)?([^/:?#@\s]+)", 1)
    return host.str.strip_suffix(".")
