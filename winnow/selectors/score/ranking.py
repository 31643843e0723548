"""What selections by rank share: an order of the candidates, cut where budgets end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, fills, rng, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import REASONS, UNRANKED, Ranks
from winnow.core.numerics.water_filling import exact_shares, water_fill
from winnow.core.operators import Context, Fold, Schema
from winnow.core.operators.budget import Budget
from winnow.core.operators.meanings import value_fields
from winnow.core.operators.occurring import absence, not_there, refuse_absent

Quotas = Literal["proportional", "equal"] | dict[str, float]  # share of each value of a column

MOST_NOTED_GROUPS = 200
EVERYTHING = Budget(2.0**62, "docs")  # the budget of a selection that has none


@dataclass(frozen=True, kw_only=True)
class Ranked(Fold):
    """The documents that rank before the cut: `kept`, and `weight` 1 or 0; subclasses say the order and budgets.

    Source: own (radix selection of a weighted quantile over parts).
    """

    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    at_once: ClassVar[bool] = True
    ties: ClassVar[budget_cut.Ties] = "doc_id"
    beyond: ClassVar[budget_cut.Overflow] = "pass"
    remedy: ClassVar[str] = fills.LOWER  # where there are too few documents for the budget

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """The order."""
        raise NotImplementedError

    def targets(self) -> Budget | Targets:
        """The budgets: one, or a function of what the groups hold."""
        raise NotImplementedError

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note what came out."""
        note_kept(ctx, state)
        budget = getattr(self, "budget", None)
        if budget is not None:
            fills.note_fill(ctx, fill_of(state, budget, self.asked(state), self.spent(state), self.remedy))

    def asked(self, state: pl.DataFrame) -> int:
        """What the budget comes to, in its unit."""
        budget: Budget = self.budget  # type: ignore[attr-defined]
        return budget.of(int(state["all_rows"].to_numpy().max(initial=0)))

    def spent(self, state: pl.DataFrame) -> float:
        """What the kept documents come to, in the budget's unit, repeats counted."""
        return float(budget_cut.outcome(state)["kept_cost"].sum())

    def summary_line(self, state: pl.DataFrame) -> str:
        """What came out as a line, where the funnel does not say it all."""
        return ""

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return selections.SELECTION

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Counts per key bin, or the few rows at the cuts."""
        return budget_cut.summarise(self.ranks(rows, ctx), state)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return budget_cut.merge(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """Narrower ranges, or the cuts."""
        after, done = cut(summary, state, self.targets(), ctx, ties=self.ties, overflow=self.beyond)
        self.note_result(summary, state, after if done else None, ctx)
        return after, done

    def note_result(
        self, summary: pl.DataFrame, state: pl.DataFrame | None, after: pl.DataFrame | None, ctx: Context
    ) -> None:
        """Note what the first round set aside and, with the state that a selection ended in, what came out."""
        if state is None:
            self.check_declared(budget_cut.totals(summary), ctx)
        lines = []
        if after is not None:
            self.report(after, ctx)
            lines.append(self.summary_line(after))
        if state is None:
            lines.append(set_aside(budget_cut.totals(summary)))
        text = "; ".join(filter(None, lines))
        if text or state is None:  # an empty one too: the funnel says it all
            ctx.note("summary", text)

    def check_declared(self, totals: Totals, ctx: Context) -> None:
        """Note which declared values no document has. Raises: DataError for one, unless `absent` allows it."""
        there = self.values(totals)
        for field, names in value_fields(self).items() if totals.all_rows else ():
            missing = not_there(names, there)
            if getattr(self, "absent", "error") == "error":
                refuse_absent(missing, there, field=field, of=f"column {' | '.join(getattr(self, 'per', ()))!r}")
            self.tell_absent(missing, field, ctx)

    def tell_absent(self, missing: list[str], field: str, ctx: Context) -> None:
        """Note the declared values that no document has, with a remark where there are any."""
        ctx.note("absent", missing[:MOST_NOTED_GROUPS])
        if missing:
            ctx.remark(f"{absence(missing)}: `{field}` has no effect there; leave it out, or look at its spelling")

    def values(self, totals: Totals) -> dict[str, int]:
        """Value -> how many of the candidates have it, those without a place too."""
        gone = totals.of("excluded")
        return {group or "": rows + gone[group] for group, rows in totals.of("rows").items()}

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows that rank before the cut."""
        return selections.by_weight(budget_cut.taken(self.ranks(rows, ctx), state))


def cut(
    summary: pl.DataFrame, state: pl.DataFrame | None, targets: Budget | Targets, ctx: Context, *,
    ties: budget_cut.Ties = "doc_id", overflow: budget_cut.Overflow = "pass",
) -> tuple[pl.DataFrame, bool]:  # fmt: skip
    """`budget_cut.advance`, with what was excluded noted as metrics."""
    if state is None:
        totals = budget_cut.totals(summary)
        ctx.note("candidates", totals.all_rows)
        ctx.note("excluded", dict(totals.reasons))
        ctx.note("infinite_scores", totals.infinite)
    return budget_cut.advance(summary, state, targets, ties=ties, overflow=overflow)


def note_kept(ctx: Context, state: pl.DataFrame) -> None:
    """Note what is kept of every group."""
    first = budget_cut.outcome(state)
    kept, cost, budget = (int(first[name].sum()) for name in ("kept_rows", "kept_cost", "budget"))
    ctx.note("kept_rows", kept)
    ctx.note("kept_cost", cost)
    ctx.note("budget", budget)
    rows = first.head(MOST_NOTED_GROUPS).select("group", "budget", "kept_rows", "kept_cost", "rows", "cost", "excluded")
    if first["group"].is_not_null().any():
        ctx.note("groups", {row.pop("group"): row for row in rows.to_dicts()})


def fill_of(state: pl.DataFrame, budget: Budget, asked: int, spent: float, remedy: str) -> fills.Fill:
    """What a walk fills of its budget; documents are too large where groups have less room than they were given."""
    groups = budget_cut.outcome(state).filter(pl.col("budget") > pl.col("kept_cost"), pl.col("rows") > 0)
    given, room = int(budget_cut.outcome(state)["budget"].sum()), int((groups["budget"] - groups["kept_cost"]).sum())
    ranked, excluded = (int(budget_cut.outcome(state)[name].sum()) for name in ("rows", "excluded"))
    unfit = "no document has what it is chosen by (`excluded` counts why); choose by a column that has values"
    nobody = unfit if excluded else "there is no document to choose from; look at the decisions before it"
    large = groups if room >= asked - given else groups.clear()  # else there is little in them
    return fills.Fill(
        budget=budget, asked=asked, spent=spent, passed=int((large["rows"] - large["kept_rows"]).sum()),
        largest=int(large["largest"].to_numpy().max(initial=0)), remedy=remedy,
        why="" if ranked else nobody,
    )  # fmt: skip


def set_aside(totals: Totals) -> str:
    """How many documents are without a place and why, but for those that are not asked for; '' for none."""
    reasons = {reason: count for reason, count in totals.reasons.items() if reason != REASONS[UNRANKED]}
    gone, infinite = sum(reasons.values()), f"{totals.infinite:,} scores are infinite" if totals.infinite else ""
    counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
    aside = f"{gone:,} documents set aside ({counts})" if gone else ""
    return "; ".join(filter(None, [aside, infinite]))


def lots(
    rows: pl.DataFrame, ctx: Context, salt: str, *, cost: pl.Series | None, per: Sequence[str] = (),
    eligible: npt.NDArray[np.bool_] | None = None, reason: npt.NDArray[np.uint8] | None = None, infinite: int = 0,
) -> Ranks:  # fmt: skip
    """The eligible rows in the order of their lots: pure in (doc_id, seed, salt)."""
    key = rng.keys(rows["doc_id"], seed=ctx.seed, salt=salt)
    chosen = np.ones(rows.height, dtype=np.bool_) if eligible is None else eligible
    why = np.full(rows.height, UNRANKED, dtype=np.uint8) if reason is None else reason
    group = row_ranks.labels(rows, per)
    return row_ranks.ranks(key, rows["doc_id"], cost, chosen, group=group, reason=why, infinite=infinite)


def shared_out(budget: Budget, quota: Quotas, *, max_repeats: float = 1.0) -> Targets:
    """Targets that share one budget out among the groups, what small ones cannot take to the others."""

    def targets(totals: Totals) -> Mapping[Group, Sequence[int]]:
        return {group: [amount] for group, amount in allotments(totals, budget, quota, max_repeats).items()}

    return targets


def allotments(totals: Totals, budget: Budget, quota: Quotas, max_repeats: float = 1.0) -> dict[Group, int]:
    """Group -> units of the budget it may take: its share, at most `max_repeats` times what it holds."""
    cost = totals.of("cost")
    (times,) = exact_shares([max_repeats])
    if isinstance(quota, str):
        weights = {group: 1.0 if quota == "equal" else size for group, size in cost.items()}
    else:
        weights = {group: quota.get(group or "", 0.0) for group in cost}
    capacity = [int(size * times) for size in cost.values()]
    amounts = water_fill(capacity, budget.of(totals.all_rows), list(weights.values()))
    return dict(zip(cost, amounts, strict=True))


def check_quota(quota: Quotas, per: Sequence[str]) -> None:
    """Raise ConfigError where the shares cannot be shares, or belong to no column."""
    if isinstance(quota, str):
        return
    if not per:
        raise ConfigError("shares of what?", where="quota", hint="name the column of the groups in `per`")
    exact_shares(list(quota.values()))
    if not any(quota.values()):
        raise ConfigError("all shares are 0", where="quota", hint="give `value: share`")


def check_by(by: str) -> None:
    """Raise ConfigError for an empty column name."""
    if not by:
        raise ConfigError("no column to rank by", where="by", hint="name a score column")
