"""A mixture: shares of a budget per domain, as weights of documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.numerics.shares import temperature_shares
from winnow.core.numerics.water_filling import apportion, exact_shares, water_fill
from winnow.core.operators import Context, port
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.core.operators.meanings import names_in
from winnow.core.operators.occurring import Absent, not_there
from winnow.selectors.score.ranking import MOST_NOTED_GROUPS, Ranked, cut, lots
from winnow.selectors.score.repeats import check_repeats, group_weights

Shares = Literal["unimax", "temperature", "alpha", "proportional", "equal"] | dict[str, float]
OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Mixture(Ranked):
    """A budget mixed from the values of a column, with a cap on repeats: `kept`, and `weight`, the times used.

    `shares` says what each value of `per` gets: `unimax` or `equal` the same for all, `temperature`
    size^(1 / temperature), `alpha` size^alpha (an exponent: what papers call alpha 1.3 is a temperature),
    `proportional` its size, or `{value: share}` (others nothing). `weights_from` names a stage instead whose result
    holds `weights` ({value: share}), as `doremi`. Several columns in `per` make values such as `news | high`, and
    values that hold less than `least` (in the budget's unit) join the value `other`. A value gets at most
    `max_repeats` times what it holds. What it cannot take goes to the others in proportion to their shares
    (`overflow: share`: that makes `equal` UniMax), or stays unused (`overflow: leave`). `most` caps a value at a share
    of the budget, whatever it holds. A value that gets less than it holds is drawn by lot, or best first by `by`, with
    weight 1; one that gets more has all its documents with weights above 1, multiples of 2^-20 (`write` with `repeat:
    weight` follows them). Documents without a cost or a score are not kept and are counted, and so are those without a
    value where `without` gives them none.

    The metric `domains` has size, share and epochs wanted of each value, `epochs` the epochs used; `over_cap` names
    the values whose share asked for more repeats than the cap.

    Raises:
        DataError: the result named by `weights_from` has no shares.
    Cost: 3 or 4 passes over the column and the cost.
    Source: UniMax (Chung et al. 2023), temperature sampling as in mBERT and XLM; the cap of 4 own.
    """

    name: ClassVar[str] = "mixture"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    seeded: ClassVar[bool] = True
    remedy: ClassVar[str] = "lower `budget:`, raise `max_repeats`, or let more documents in"
    amounts: ClassVar[tuple[str, ...]] = ("least",)
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    read_at: ClassVar[ReadAt] = {"descending": ("by", given), "salt": ("by", left_out)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"shares": "values", "most": "values", "without": "free"}

    per: tuple[str, ...]
    budget: Budget
    shares: Shares = "unimax"
    temperature: float = 1.0
    alpha: float = 1.0
    least: int = 0
    weights_from: str = port("ref", default="")
    most: dict[str, float] = field(default_factory=dict)  # value -> the largest share of the budget that it gets
    without: str = ""  # the value of documents that have none
    max_repeats: float = 4.0
    overflow: Literal["share", "leave"] = "share"
    by: str | None = None
    descending: bool = True
    salt: str = ""
    absent: Absent = "error"  # a value in `shares` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the domains, the score if there is one, and what the budget counts."""
        return columns_of(*([self.by] if self.by else []), *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError without domains, for impossible shares, or repeats below 1."""
        selections.check_budget(self.budget)
        if not self.per:
            raise ConfigError("no domains", where="per", hint="name the column whose values get shares")
        if isinstance(self.shares, dict):
            exact_shares(list(self.shares.values()))
            if not any(self.shares.values()):
                raise ConfigError("all shares are 0", where="shares", hint="give `value: share`")
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}, and must be above 0", where="temperature")
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"alpha is {self.alpha}, and must be 0 (even) or more", where="alpha")
        for name in ("temperature", "alpha"):
            if getattr(self, name) != 1.0 and self.shares != name:
                raise ConfigError(f"`{name}` without `shares: {name}`", where=name)
        if self.least < 0:
            raise ConfigError(f"least is {self.least}, and must be 0 or more", where="least")
        if self.weights_from and self.shares != "unimax":
            raise ConfigError("`shares` and `weights_from` are two answers", where="weights_from", hint="give one")
        for value, share in self.most.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"its largest share is {share:g}", where=f"most.{value}", hint="0 to 1")
        check_repeats(self.max_repeats)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id, or by lot, within the domain."""
        rows = self._named(rows)
        cost = selections.cost_of(rows, self.budget.unit)
        if not self.by:
            return lots(rows, ctx, f"mixture\0{self.salt}", cost=cost, per=self.per)  # not `random`'s
        group = row_ranks.labels(rows, self.per)
        return row_ranks.by_score(rows[self.by], rows["doc_id"], cost, descending=self.descending, group=group)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """Narrower ranges, or the cuts."""
        given = self._found(ctx)
        after, done = cut(summary, state, self._targets(given, ctx), ctx)
        self.note_result(summary, state, after if done else None, ctx)
        return after, done

    def spent(self, state: pl.DataFrame) -> float:
        """With the epochs of every domain."""
        weights = group_weights(state)
        kept = budget_cut.outcome(state).select("group", "kept_cost").iter_rows()
        return float(sum(weights[group] * cost for group, cost in kept))

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note what came out, per domain too."""
        super().report(state, ctx)
        weights = group_weights(state)
        first = budget_cut.outcome(state).head(MOST_NOTED_GROUPS)
        used = {
            group or "": weights[group] * kept / cost if cost else 0.0
            for group, cost, kept in first.select("group", "cost", "kept_cost").iter_rows()
        }
        ctx.note("epochs", used)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows before their domain's cut with the weight of the domain."""
        ranks = self.ranks(rows, ctx)
        weights = group_weights(state)
        assert ranks.group is not None
        times = ranks.group.replace_strict(weights, default=0.0, return_dtype=pl.Float64).fill_null(0.0).to_numpy()
        return selections.by_weight(np.where(budget_cut.taken(ranks, state), times, 0.0))

    def wanted(self, sizes: dict[Group, int], from_result: dict[str, float] | None) -> dict[Group, Fraction]:
        """Domain -> its share, adding up to 1 over the domains that exist."""
        given = from_result if from_result is not None else self.shares if isinstance(self.shares, dict) else None
        if given is not None:
            heights = [given.get(group or "", 0.0) for group in sizes]
        elif self.shares in ("temperature", "alpha"):
            tau = self.temperature if self.shares == "temperature" else 1 / self.alpha if self.alpha else float("inf")
            heights = temperature_shares(list(sizes.values()), tau)
        else:
            heights = [float(size) if self.shares == "proportional" else float(size > 0) for size in sizes.values()]
        shares = exact_shares(heights)
        total = sum(shares, Fraction(0)) or Fraction(1)
        return {group: share / total for group, share in zip(sizes, shares, strict=True)}

    def _named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, with a value where they have none."""
        if not self.without:
            return rows
        return rows.with_columns(pl.col(name).cast(pl.String).fill_null(self.without) for name in self.per)

    def _most(self, value: Group, budget: int) -> int:
        """The most of the budget that a value may get."""
        if value not in self.most:
            return budget
        (share,) = exact_shares([self.most[str(value)]])
        return int(share * budget)

    def _found(self, ctx: Context) -> dict[str, float] | None:
        if not self.weights_from:
            return None
        given = ctx.ref("weights_from").result().get("weights")
        if not isinstance(given, dict) or not any(given.values()):
            hint = 'it must hold {"weights": {value: share}}, as that of `doremi`'
            raise DataError("the result has no shares", where="weights_from", hint=hint)
        exact_shares([float(share) for share in given.values()])
        return {str(value): float(share) for value, share in given.items()}

    def _targets(self, given: dict[str, float] | None, ctx: Context) -> Targets:
        def targets(totals: Totals) -> dict[Group, list[int]]:
            held = totals.of("cost")
            joined = pooled(held, self.least)
            sizes = {value: sum(held[group] for group in groups) for value, groups in joined.items()}
            shares, budget = self.wanted(sizes, given), self.budget.of(totals.all_rows)
            self._note(sizes, shares, budget, ctx)
            (times,) = exact_shares([self.max_repeats])
            most = {group: int(size * times) for group, size in held.items()}
            caps = [sum(most[group] for group in groups) for groups in joined.values()]
            caps = [min(cap, self._most(value, budget)) for value, cap in zip(joined, caps, strict=True)]
            if self.overflow == "leave":
                amounts = [min(a, m) for a, m in zip(apportion(budget, list(shares.values())), caps, strict=True)]
            else:
                amounts = _filled(caps, budget, list(shares.values()))
            out: dict[Group, list[int]] = {}
            for groups, amount in zip(joined.values(), amounts, strict=True):
                parts = water_fill([most[group] for group in groups], amount, [held[group] for group in groups])
                out |= {group: [part] for group, part in zip(groups, parts, strict=True)}
            return out

        return targets

    def check_declared(self, totals: Totals, ctx: Context) -> None:
        """Refuse shares of values that no document has, and of those that `least` has put under `other`.

        What a result (`weights_from`) has shares of besides is noted: nobody wrote it down here.
        """
        there = {group or "": cost for group, cost in totals.of("cost").items()}
        joined = {group for group, cost in there.items() if 0 < cost < self.least}
        if joined and isinstance(self.shares, dict):
            small = [value for value in names_in(self.shares) if value in joined and value != OTHER]
            if small and self.absent == "error":
                raise DataError(
                    f"{small[0]!r} has a share and holds {there[small[0]]:,}, less than `least` {self.least:,}: it is "
                    f"part of {OTHER!r}", where=f"shares.{small[0]}", hint="lower `least`, or leave the share out",
                )  # fmt: skip
        given = self._found(ctx)
        if given is not None:
            self.tell_absent(not_there(names_in(given), there), "weights_from", ctx)
        super().check_declared(totals, ctx)

    def values(self, totals: Totals) -> dict[str, int]:
        """What shares may be of: `other` too, where `least` makes it."""
        return super().values(totals) | ({OTHER: 1} if self.least else {})

    def _note(self, sizes: dict[Group, int], shares: dict[Group, Fraction], budget: int, ctx: Context) -> None:
        """Note the shares, the epochs they imply and the domains over the cap."""
        epochs = {group: float(shares[group] * budget / size) if size else 0.0 for group, size in sizes.items()}
        shown = list(sizes)[:MOST_NOTED_GROUPS]
        ctx.note("domains", {g or "": {"size": sizes[g], "share": float(shares[g]), "epochs_wanted": epochs[g]}
                             for g in shown})  # fmt: skip
        over = sorted(g or "" for g, e in epochs.items() if e > self.max_repeats)
        ctx.note("over_cap", over[:MOST_NOTED_GROUPS])
        if over:
            names = ", ".join(over[:3]) + (" ..." if len(over) > 3 else "")
            ctx.remark(f"{names}: the share asks for more than {self.max_repeats:g} repeats and is capped: "
                       "`max_repeats` allows more, a smaller budget or share asks for less")  # fmt: skip


def pooled(held: dict[Group, int], least: int) -> dict[Group, list[Group]]:
    """Value -> the groups behind it: itself, or for `other` all that hold less than `least`."""
    out: dict[Group, list[Group]] = {}
    for group, size in held.items():
        out.setdefault(OTHER if size < least else group, []).append(group)
    return out


def _filled(most: list[int], budget: int, shares: list[Fraction]) -> list[int]:
    """Water-filling by exact shares."""
    return water_fill(most, budget, shares)  # type: ignore[arg-type]  # fractions stay exact
