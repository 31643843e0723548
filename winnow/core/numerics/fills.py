"""How much of its budget a selection uses, and why it does not use all of it: the metric `filled`, and a remark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.terminal import counted, percent

LEAST = 0.95  # a selection that uses less of its budget says so
LOWER = "lower `budget:`, or let more documents in"


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What a selection took (`spent`, repeats counted) of what it was `asked` for, in units of its budget."""

    budget: Budget
    asked: int
    spent: float
    passed: int = 0  # documents that were too large for what was left
    largest: int = 0  # the largest document
    remedy: str = LOWER  # where documents run out
    why: str = ""  # another reason, with its remedy

    @property
    def share(self) -> float:
        """The share of the budget that is used, in [0, 1]."""
        return self.spent / self.asked if self.asked else 1.0

    @property
    def sentence(self) -> str:
        """The share of the budget that is used, why it is so small, and what to do."""
        unit = unit_of(self.budget)[:-1]
        if self.why:
            reason = self.why
        elif self.passed:
            larger = "is larger" if self.passed == 1 else "are each larger"
            rest = int(self.asked - self.spent)
            left = (
                f"the {counted(rest, unit)} that {'is' if rest == 1 else 'are'} left, the largest has {self.largest:,}"
            )
            remedy = "cut or drop long documents before, or raise `budget:`"
            reason = f"{counted(self.passed, 'document')} {larger} than {left}; {remedy}"
        else:
            reason = f"no other document can be taken; {self.remedy}"
        return f"{percent(self.share)} of the budget of {counted(self.asked, unit)} is filled: {reason}"


def unit_of(budget: Budget) -> str:
    """What the budget counts, as a noun."""
    return budget.unit if budget.unit in ("tokens", "bytes") else "documents"


def note_fill(ctx: Context, fill: Fill) -> None:
    """Note `filled`, the share of the budget that is used, and remark where it is below 95 %."""
    ctx.note("filled", fill.share)
    if fill.share < LEAST:
        ctx.remark(fill.sentence)


def note_picks(
    ctx: Context, budget: Budget, asked: int, cost: npt.NDArray[np.int64], taken: npt.NDArray[np.int64], *,
    times: npt.NDArray[np.int64] | None = None, ended: str = "no other document adds anything",
) -> None:  # fmt: skip
    """Note what picks from documents of these costs fill: `budget`, `kept_cost`, `filled`, and a remark.

    `taken`: numbers of the picks; `times`: how often each of all documents is used; `ended`: why nothing more was
    taken though something would fit.
    """
    spent = int(cost[taken].sum()) if times is None else int(times @ cost)
    rest = np.ones(len(cost), dtype=np.bool_)
    rest[taken] = False
    fits = bool((cost[rest] <= asked - spent).any())
    ctx.note("budget", asked)
    ctx.note("kept_cost", spent)
    note_fill(ctx, Fill(
        budget=budget, asked=asked, spent=spent, passed=int(rest.sum()), largest=int(cost.max(initial=0)),
        why=f"{ended}; {LOWER}" if fits else "",
    ))  # fmt: skip
