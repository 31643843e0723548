"""A window of time, at equal tokens."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.dates import days
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.selectors.score.ranking import EVERYTHING, Ranked, lots


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
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    meaning: ClassVar[Mapping[str, Meaning]] = {"since": "closed", "until": "closed"}
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by",)

    by: str
    since: str | int | None = None
    until: str | int | None = None
    budget: Budget | None = None
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the date and what the budget counts."""
        return columns_of(self.by, *(selections.cost_columns(self.budget.unit) if self.budget else ()))

    def validate(self) -> None:
        """Raise ConfigError for no window, an empty one, or ends that are no dates."""
        ends = [day(self.since, where="since"), day(self.until, where="until")]
        if ends == [None, None]:
            raise ConfigError("no window", where="since", hint="give `since:`, `until:` or both")
        if None not in ends and ends[0] >= ends[1]:  # type: ignore[operator]
            raise ConfigError(f"no day lies between {self.since} and {self.until}", where="until")
        if self.budget is not None:
            selections.check_budget(self.budget)

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
        cost = selections.cost_of(rows, self.budget.unit) if self.budget else None
        return lots(rows, ctx, self.salt, cost=cost, eligible=inside.to_numpy(), reason=reason)

    def targets(self) -> Budget | Targets:
        """The budget; the whole window without one."""
        return self.budget or EVERYTHING


def day(text: str | int | None, *, where: str = "") -> datetime.date | None:
    """The date behind `2019-01-31` or a year; None for None. Raises ConfigError for anything else."""
    if text is None:
        return None
    try:
        return datetime.date(int(text), 1, 1) if len(str(text)) == 4 else datetime.date.fromisoformat(str(text))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no date", where=where, hint="write 2019-01-31, or 2019") from error
