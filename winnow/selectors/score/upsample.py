"""Weights instead of cuts: better documents are used more often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, fills, numeric, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.numerics.water_filling import exact_shares, water_fill
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.operators.occurring import Absent
from winnow.selectors.score.ranking import MOST_NOTED_GROUPS, Quotas, Ranked, check_by, check_quota
from winnow.selectors.score.repeats import ONE, check_repeats

_CURVE_BITS = 30


@dataclass(frozen=True, kw_only=True)
class Upsample(Ranked):
    """How often a document is used, rising with its quality: `weight`, 0 or more, and `kept` where above 0.

    Documents are put into `tiers` of equal tokens by score. The weight of a tier at percentile x (its middle, in
    [0, 1]) is min(max_repeats, c * ((x - discard) / (1 - discard)) ^ power), and 0 up to `discard`; c is the
    largest for which the weighted tokens stay within the budget. A larger `power` favours the best; 0 uses all
    above `discard` alike. If even `max_repeats` for all leaves budget over, that is noted in `weighted_cost`.
    Weights are multiples of 2^-20 (`write` with `repeat: weight` follows them: the fraction is drawn by doc_id).

    `per` makes tiers within the values of a column (topics, say), and `quota` shares the budget out among them.
    Ties go by doc_id; documents without a score, a cost or a value of `per` have weight 0 and are counted.

    Cost: 3 to 5 passes over score and cost; one state row per tier.
    Source: quality-aware upsampling of Olmo 3 (2025); defaults from memory, the solver is own.
    """

    name: ClassVar[str] = "upsample"
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    read_at: ClassVar[ReadAt] = {"quota": ("per", given)}
    beyond: ClassVar[budget_cut.Overflow] = "stop"  # tiers are quantiles, not budgets
    meaning: ClassVar[Mapping[str, Meaning]] = {"quota": "values"}

    by: str
    budget: Budget
    max_repeats: float = 7.0
    discard: float = 0.4
    power: float = 1.0
    tiers: int = 20
    descending: bool = True
    per: tuple[str, ...] = ()
    quota: Quotas = "proportional"
    absent: Absent = "error"  # a value in `quota` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, what the budget counts and the groups."""
        return columns_of(self.by, *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError where the curve is none."""
        selections.check_budget(self.budget)
        check_by(self.by)
        check_quota(self.quota, self.per)
        check_repeats(self.max_repeats)
        if not 0 <= self.discard < 1:
            raise ConfigError(f"discard is {self.discard}, and lies in [0, 1)", where="discard")
        if not (0 <= self.power < 100):
            raise ConfigError(f"power is {self.power}, and lies in [0, 100)", where="power")
        if not 2 <= self.tiers <= 1000:
            raise ConfigError(f"{self.tiers} tiers, and 2 to 1,000 can be made", where="tiers")

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id."""
        return row_ranks.by_score(
            rows[self.by],
            rows["doc_id"],
            selections.cost_of(rows, self.budget.unit),
            descending=self.descending,
            group=row_ranks.labels(rows, self.per),
        )

    def targets(self) -> Targets:
        """The ends of all tiers but the last, best first."""
        return self._targets

    def _targets(self, totals: Totals) -> dict[Group, Sequence[int]]:
        ends = range(1, self.tiers)
        return {group: [cost * end // self.tiers for end in ends] for group, cost in totals.of("cost").items()}

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note tokens and weight of every tier, and how much of the budget is used."""
        costs, weights = tier_costs(state, self.tiers), self.weights(state)
        spent = sum(w * c for g in costs for w, c in zip(weights[g], costs[g], strict=True))
        shown = list(costs)[: MOST_NOTED_GROUPS // 10]
        ctx.note("tiers", {g or "": {"cost": costs[g], "weight": weights[g]} for g in shown})
        ctx.note("weighted_cost", spent)
        remedy = "lower `budget:` or `discard`, raise `max_repeats`, or let more documents in"
        fill = fills.Fill(budget=self.budget, asked=self._budget(state), spent=spent, remedy=remedy)
        fills.note_fill(ctx, fill)

    def summary_line(self, state: pl.DataFrame) -> str:
        """How much of the budget is used, repeats counted, and how many documents have no rank."""
        costs, weights = tier_costs(state, self.tiers), self.weights(state)
        spent = sum(w * c for g in costs for w, c in zip(weights[g], costs[g], strict=True))
        first = state.filter(pl.col("cut") == 0)
        gone, seen = int(first["excluded"].sum()), int(first["rows"].sum()) + int(first["excluded"].sum())
        used = f"{spent:,.0f} of the budget of {self._budget(state):,} used, repeats counted"
        return used + (f"; {gone:,} of {seen:,} documents without a rank" if gone else "")

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The weight of a row's tier."""
        ranks = self.ranks(rows, ctx)
        weights = self.weights(state)
        width = self.tiers + 1
        table = np.array([[*weights[group], 0.0] for group in weights]).reshape(-1, width)
        names = {group: number for number, group in enumerate(weights)}
        tier = budget_cut.tiers(ranks, state)
        if ranks.group is None:
            return selections.by_weight(table[0][tier] if len(table) else np.zeros(rows.height))
        number = ranks.group.replace_strict(names, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
        return selections.by_weight(table[number, tier] if len(table) else np.zeros(rows.height))

    def weights(self, state: pl.DataFrame) -> dict[Group, list[float]]:
        """Group -> weight of its tiers, best first; a function of the final state."""
        costs = tier_costs(state, self.tiers)
        (cap,) = exact_shares([self.max_repeats])
        curve = self._curve()
        used = {
            group: sum(c for c, height in zip(tiers, curve, strict=True) if height) for group, tiers in costs.items()
        }
        capacity = [math.ceil(cap * amount) for amount in used.values()]
        if isinstance(self.quota, str):
            shares = [1.0 if self.quota == "equal" else sum(tiers) for tiers in costs.values()]
        else:
            shares = [self.quota.get(group or "", 0.0) for group in costs]
        budgets = water_fill(capacity, self._budget(state), shares)
        return {
            group: scaled(curve, tiers, budget, cap)
            for (group, tiers), budget in zip(costs.items(), budgets, strict=True)
        }

    def _budget(self, state: pl.DataFrame) -> int:
        first = state.filter(pl.col("cut") == 0)
        return self.budget.of(int(first["rows"].sum()) + int(first["excluded"].sum()))

    def _curve(self) -> list[int]:
        """Height of every tier, best first, in units of 2^-30."""
        discard, middles = Fraction(exact_shares([self.discard])[0]), range(self.tiers)
        x = [(1 - Fraction(2 * j + 1, 2 * self.tiers) - discard) / (1 - discard) for j in middles]
        real = np.array([float(value) if value > 0 else 1.0 for value in x])
        height = numeric.exp(self.power * numeric.log(real))
        heights = [
            math.ceil(math.ldexp(float(h), _CURVE_BITS)) if value > 0 else 0 for h, value in zip(height, x, strict=True)
        ]
        return list(accumulate(heights, min))


def tier_costs(state: pl.DataFrame, tiers: int) -> dict[Group, list[int]]:
    """Group -> cost of its tiers, best first; all 0 where there are no documents."""
    out: dict[Group, list[int]] = {}
    for rows in state.sort("group", "cut").partition_by("group", maintain_order=True):
        ends = [0, *rows["kept_cost"].to_list(), int(rows["cost"][0])]
        ends += [ends[-1]] * (tiers + 1 - len(ends))
        out[rows["group"][0]] = [b - a for a, b in pairwise(ends)]
    return out


def scaled(curve: Sequence[int], costs: Sequence[int], budget: int, cap: Fraction) -> list[float]:
    """min(cap, c * curve) with the largest c for which the weighted costs stay within the budget.

    Multiples of 2^-20. Without any height, or where `cap` for all is within the budget, c makes no difference.
    """
    most = int(cap * ONE)

    def heights(c: int) -> list[int]:
        return [min(most, c * height >> _CURVE_BITS) for height in curve]

    def fits(c: int) -> bool:
        return sum(h * cost for h, cost in zip(heights(c), costs, strict=True)) <= budget * ONE

    low = 0
    high = ((most + 1) << _CURVE_BITS) // min((h for h in curve if h), default=1) + 1
    if fits(high):
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return [height / ONE for height in heights(low)]
