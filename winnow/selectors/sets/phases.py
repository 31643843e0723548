"""Training in phases: which documents, how often and under which schedule, one phase after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.numerics import budget_cut, fills, rng, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of, verdicts
from winnow.core.numerics.water_filling import apportion, exact_shares
from winnow.core.operators import Context, Schema, TrainingPart
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import coerce
from winnow.core.operators.training_part import COURSES
from winnow.selectors.score.ranking import Ranked, fill_of

GOES_TO = ("linear", "cosine")  # schedules that move the rate from `lr` to `lr_end`


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase: what it selects from, its tokens, how often each document is seen, and its learning rate."""

    name: str
    select: tuple[str, ...]  # verdicts of earlier selections
    tokens: Budget
    shares: tuple[float, ...] = ()  # of the phase's tokens, one per selection; () means alike
    repeats: float = 1.0  # tokens seen / unique tokens
    by: str | None = None  # the best by this column instead of a lot
    schedule: str = "run"  # that of the whole run goes on; constant; linear, cosine: from `lr` to `lr_end`
    lr: float = 1.0  # of the run's peak; with `run`, of what its schedule says at each step
    lr_end: float = 1.0
    warmup_share: float = 0.0  # of the phase's steps

    def unique_tokens(self) -> list[int]:
        """Unique tokens that the phase wants of each selection."""
        (times,) = exact_shares([self.repeats])
        amount = int(Fraction(int(self.tokens.amount)) / times)
        return apportion(amount, exact_shares(self.shares or [1] * len(self.select)))


@dataclass(frozen=True, kw_only=True)
class Phases(Ranked):
    """How often every document is used in each of several phases: `weight_<phase>`, their sum, and `kept`.

    `phases` is a list in the order of training. Each names the verdict of an earlier selection to draw from
    (`select: kept_best`) or several and their `shares` (`select: [kept_best, kept_web]`, `shares: [0.7, 0.3]`: a replay
    of old data), its `tokens`, and `repeats`: tokens / repeats of unique documents are taken, by lot or the best `by`
    a score, and each has that weight (twice that where two selections give it). Documents that are too
    large for what is left of a part are passed over (docs/concepts.md); where a selection
    has too little, the phase is shorter, which is noted. `schedule` (run, the default: that of the whole run goes on;
    constant, linear, cosine: one of the phase's own), `lr`, `lr_end` and `warmup_share` are the learning rate, relative
    to the run's peak. Phases draw independently of each other, by their names: in another order each has the same
    documents. An `ablation` trains in the phases; for other trainers they are noted. The stage looks at all rows,
    whatever its inputs kept.

    Cost: 3 or 4 passes over verdicts and cost.
    Source: phases of Arctic-SnowCoder (Wei et al. 2024: 12.5B tokens x 4, re-warmed, then linear to 0); replay and
    repeats as in the stability gap (Guo et al. 2024).
    """

    name: ClassVar[str] = "phases"
    version: ClassVar[int] = 3  # 3: passes over what does not fit
    made_of_selections: ClassVar[bool] = True
    population: ClassVar[bool] = False
    seeded: ClassVar[bool] = True
    amounts: ClassVar[tuple[str, ...]] = ("phases",)
    columns_from: ClassVar[tuple[str, ...]] = ("phases",)

    phases: tuple[Any, ...]
    salt: str = ""

    def parsed(self) -> list[Phase]:
        """The phases. Raises ConfigError for what is none."""
        return [_parse(value, f"phases[{number}]") for number, value in enumerate(self.phases)]

    def needs(self) -> tuple[str, ...]:
        """doc_id, verdicts, scores and tokens."""
        phases = self.parsed()
        scores = [phase.by for phase in phases if phase.by]
        return columns_of(*(name for phase in phases for name in phase.select), *scores, "token_count")

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """Any selection of any phase."""
        return (tuple(dict.fromkeys(name for phase in self.parsed() for name in phase.select)),)

    def outputs(self) -> Schema:
        """`kept`, `weight`, and `weight_<phase>` for each."""
        return {**selections.SELECTION, **{f"weight_{phase.name}": pa.float64() for phase in self.parsed()}}

    def training_parts(self) -> tuple[TrainingPart, ...]:
        """The phases in their order; each is as long beside the others as the tokens that it declares."""
        return tuple(
            TrainingPart(
                label=phase.name, column=f"weight_{phase.name}", tokens=phase.tokens.amount, repeats=phase.repeats,
                schedule=phase.schedule, lr=phase.lr, lr_end=phase.lr_end, warmup_share=phase.warmup_share,
            )
            for phase in self.parsed()
        )  # fmt: skip

    def validate(self) -> None:
        """Raise ConfigError without phases, or for two of one name."""
        names = [phase.name for phase in self.parsed()]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"{names} are not one or more different phases", where="phases")

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """The order of every part of every phase, one after the other."""
        pieces = []
        for number, phase in enumerate(self.parsed()):
            for part, column in enumerate(phase.select):
                group = pl.Series([f"{number}.{part}"], dtype=pl.String).new_from_index(0, rows.height)
                salt = f"phases\0{phase.name}\0{part}\0{self.salt}"
                lot = rng.keys(rows["doc_id"], seed=ctx.seed, salt=salt) if phase.by is None else None
                pieces.append(_order(rows, phase.by, lot, verdicts(rows[column]), group))
        return row_ranks.stack(pieces)

    def targets(self) -> Targets:
        """The unique tokens of every part."""
        return self._targets

    def _targets(self, totals: Totals) -> Mapping[Group, Sequence[int]]:
        return {
            f"{number}.{part}": [tokens]
            for number, phase in enumerate(self.parsed())
            for part, tokens in enumerate(phase.unique_tokens())
        }

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note the phases as a trainer wants them: tokens, documents, repeats, schedule."""
        phases = self._phases(state)
        ctx.note("phases", phases)
        shares = []
        for number, (phase, told) in enumerate(zip(self.parsed(), phases, strict=True)):
            own = state.filter(pl.col("group").str.starts_with(f"{number}."))
            asked = sum(phase.unique_tokens())
            fill = fill_of(own, phase.tokens, asked, told["unique_tokens"], "lower `tokens`, or raise `repeats`")
            shares.append(fill.share)
            if fill.share < fills.LEAST:
                ctx.remark(f"phase {phase.name}: {fill.sentence}")
        ctx.note("filled", min(shares))

    def summary_line(self, state: pl.DataFrame) -> str:
        """Tokens seen in every phase."""
        phases = self._phases(state)
        return ", ".join(f"{p['name']} {p['seen_tokens']:,} of {p['tokens']:,} tokens" for p in phases)

    def _phases(self, state: pl.DataFrame) -> list[dict[str, Any]]:
        ends = budget_cut.outcome(state)
        kept = {group: (rows, cost) for group, rows, cost in ends.select("group", "kept_rows", "kept_cost").iter_rows()}
        out = []
        for number, phase in enumerate(self.parsed()):
            parts = [kept.get(f"{number}.{part}", (0, 0)) for part in range(len(phase.select))]
            unique = sum(cost for _, cost in parts)
            out.append({
                "name": phase.name, "tokens": int(phase.tokens.amount), "repeats": phase.repeats,
                "docs": sum(rows for rows, _ in parts), "unique_tokens": unique,
                "seen_tokens": int(unique * exact_shares([phase.repeats])[0]), "parts_tokens": [c for _, c in parts],
                "schedule": phase.schedule, "lr": phase.lr, "lr_end": phase.lr_end, "warmup_share": phase.warmup_share,
            })  # fmt: skip
        return out

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The repeats of every phase where the row is before one of its cuts."""
        phases = self.parsed()
        parts = sum(len(phase.select) for phase in phases)
        before = budget_cut.taken(self.ranks(rows, ctx), state).reshape(parts, rows.height)
        columns, at = {}, 0
        for phase in phases:
            taken = before[at : at + len(phase.select)].sum(axis=0)
            columns[f"weight_{phase.name}"] = taken * float(phase.repeats)
            at += len(phase.select)
        total = np.sum(list(columns.values()), axis=0)
        return selections.by_weight(total).with_columns(**{name: pl.Series(w) for name, w in columns.items()})


def _order(
    rows: pl.DataFrame, by: str | None, lot: npt.NDArray[np.uint64] | None, chosen: npt.NDArray[np.bool_],
    group: pl.Series,
) -> Ranks:  # fmt: skip
    """The chosen rows in the order of the score, best first, or of the lots."""
    if lot is not None:
        return row_ranks.ranks(lot, rows["doc_id"], rows["token_count"], chosen, group=group)
    assert by is not None
    ranked = row_ranks.by_score(rows[by], rows["doc_id"], rows["token_count"], descending=True, group=group)
    reason = np.where(chosen, ranked.reason, UNRANKED).astype(np.uint8)
    return replace(ranked, ranked=ranked.ranked & chosen, reason=reason)


def _parse(value: Any, where: str) -> Phase:
    if isinstance(value, Phase):
        return value
    known = Phase.__dataclass_fields__
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"expected a phase, found {value!r}", where=where, hint="{name: ..., select: ..., tokens: ...}"
        )
    for key in value:
        if key not in known:
            raise ConfigError(f"a phase has no {key!r}", where=f"{where}.{key}", hint=did_you_mean(key, list(known)))
    missing = [key for key in ("name", "select", "tokens") if key not in value]
    if missing:
        raise ConfigError(f"a phase needs {missing[0]!r}", where=where)
    given = dict(value)
    types = {"select": tuple[str, ...], "shares": tuple[float, ...], "tokens": Budget, "name": str, "by": str | None,
             "schedule": str}  # fmt: skip
    phase = Phase(**{key: coerce(types.get(key, float), v, where=f"{where}.{key}") for key, v in given.items()})
    _check(phase, where)
    return phase


def _check(phase: Phase, where: str) -> None:
    """Raise ConfigError where a phase cannot be."""
    if not (phase.name.isidentifier() and phase.name.isascii()):
        raise ConfigError(f"{phase.name!r} cannot name a phase", where=f"{where}.name", hint="letters, digits and _")
    if phase.tokens.unit != "tokens":
        raise ConfigError(f"{phase.tokens} are no tokens", where=f"{where}.tokens", hint="write `5M tokens`")
    if not 0 < phase.repeats < 2**20:
        raise ConfigError(f"repeats is {phase.repeats}, and must be above 0", where=f"{where}.repeats")
    if phase.schedule not in COURSES:
        hint = did_you_mean(phase.schedule, COURSES)
        raise ConfigError(f"no schedule {phase.schedule!r}", where=f"{where}.schedule", hint=hint)
    if phase.lr_end != Phase.lr_end and phase.schedule not in GOES_TO:
        what = f"lr_end is {phase.lr_end:g}, and the schedule {phase.schedule!r} leads nowhere"
        raise ConfigError(what, where=f"{where}.lr_end", hint="`schedule: linear` or `cosine` goes there from `lr`")
    numbers = {"lr": phase.lr, "lr_end": phase.lr_end, "warmup_share": phase.warmup_share}
    wrong = [name for name, number in numbers.items() if not 0 <= number <= (1 if name == "warmup_share" else 1e6)]
    if wrong:
        raise ConfigError(f"{wrong[0]} is {numbers[wrong[0]]}", where=f"{where}.{wrong[0]}", hint="0 or more")
    if not phase.select or len(set(phase.select)) < len(phase.select) or "" in phase.select:
        raise ConfigError("name one verdict or more, each once", where=f"{where}.select", hint="such as `kept_best`")
    if phase.shares and (len(phase.shares) != len(phase.select) or not sum(exact_shares(phase.shares))):
        raise ConfigError("one share above 0 for each selection", where=f"{where}.shares")
