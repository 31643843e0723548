"""Many scorers made comparable: the rank of a document under each, in buckets, and one of them for all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.numerics import budget_cut, fills, row_ranks, selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import Counted, columns_of
from winnow.core.numerics.water_filling import water_fill
from winnow.core.operators import Context, Schema
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.selectors.score import weighted_quantile
from winnow.selectors.score.ranking import Ranked, cut
from winnow.selectors.score.repeats import check_repeats, fixed

_SIZES = pl.Schema({"bucket": pl.Int64, "rows": pl.Int64, "cost": pl.Int64})
_SPAN = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True, kw_only=True)
class Buckets(Ranked):
    """The quality bucket of a document under several scorers: `bucket`, `kept`, and `weight`.

    Every scorer ranks all documents by itself into `num` buckets of equal tokens (0: lowest), so that scores of any
    scale count alike; `combine` takes the max over the scorers (good under one is good) or the mean, halves
    rounded up. Equal scores share the lowest bucket that any of them reaches, so that a scorer that says the same of
    all puts all into bucket 0. A scorer without a value for a document (null, NaN) has no say; without any, `bucket`
    is null and the document is not kept.

    Kept are buckets from `at_least` on, with weight 1; or, with a `mixture` of bucket or range -> share of the
    `budget`, all named buckets, with the weight that gives each range its share: below 1 where there is more
    than that, up to `max_repeats` where there is less, and what a range cannot take goes to the others. Weights
    are multiples of 2^-20 (`write` with `repeat: weight` follows them: the fraction is drawn by doc_id).

    Cost: 4 to 8 passes over the scores and the cost; `num` state rows per scorer.
    Source: classifier ensemble of Nemotron-CC (Su et al. 2024); treatment of ties and nulls is own.
    """

    name: ClassVar[str] = "buckets"
    meaning: ClassVar[Mapping[str, Meaning]] = {"mixture": "closed"}
    informs: ClassVar[tuple[str, ...]] = ("bucket",)
    columns_from: ClassVar[tuple[str, ...]] = ("scores",)
    ties: ClassVar[budget_cut.Ties] = "together"
    beyond: ClassVar[budget_cut.Overflow] = "stop"

    scores: tuple[str, ...]
    num: int = 20
    combine: Literal["max", "mean"] = "max"
    count: Counted = "tokens"
    at_least: int = 0
    mixture: dict[str, float] | None = None
    budget: Budget | None = None
    max_repeats: float = 1.0

    def needs(self) -> tuple[str, ...]:
        """doc_id, the scores, and what buckets and budget count."""
        budget = selections.cost_columns(self.budget.unit) if self.budget else ()
        return columns_of(*self.scores, *selections.cost_columns(self.count), *budget)

    def outputs(self) -> Schema:
        """`kept`, `weight` and `bucket`, null for a document without any score."""
        return {**selections.SELECTION, "bucket": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for no scores, impossible buckets, ranges that overlap, or a mixture without a budget."""
        if not self.scores or len(set(self.scores)) < len(self.scores):
            raise ConfigError("name one score column or more, each once", where="scores")
        if not 2 <= self.num <= 1000:
            raise ConfigError(f"{self.num} buckets, and 2 to 1,000 can be made", where="num")
        if not 0 <= self.at_least < self.num:
            raise ConfigError(f"at_least is {self.at_least}, and buckets go from 0 to {self.num - 1}", where="at_least")
        if (self.mixture is None) != (self.budget is None):
            raise ConfigError("a mixture needs a budget, and a budget a mixture", where="mixture")
        if self.budget is not None:
            selections.check_budget(self.budget)
        check_repeats(self.max_repeats)
        water_fill([0] * len(self.mixture or {}), 0, list((self.mixture or {}).values()))
        named = [b for low, high in self._spans() for b in range(low, high + 1)]
        if len(set(named)) < len(named):
            raise ConfigError("two ranges of the mixture overlap", where="mixture")

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """Every scorer's order, one after the other; equal scores are equal."""
        cost = selections.cost_of(rows, self.count)
        pieces = []
        for number, name in enumerate(self.scores):
            group = pl.Series([str(number)], dtype=pl.String).new_from_index(0, rows.height)
            pieces.append(row_ranks.by_score(rows[name], None, cost, descending=False, group=group))
        return row_ranks.stack(pieces)

    def targets(self) -> Targets:
        """The quantiles between the buckets."""
        return weighted_quantile.reaching([Fraction(end, self.num) for end in range(1, self.num)])

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Counts for the quantiles; when these are known, what every bucket holds."""
        if state is None or state["phase"].ne("done").any():
            return super().summarise(rows, state, ctx)
        table = pl.DataFrame({"bucket": self._bucket(rows, state, ctx), "cost": self._spent(rows)})
        sizes = table.group_by("bucket").agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("cost").sum())
        return sizes.match_to_schema(_SIZES).sort("bucket")

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        if summaries[0].schema != _SIZES:
            return super().merge(summaries)
        return pl.concat(summaries).group_by("bucket").agg(pl.all().sum()).match_to_schema(_SIZES).sort("bucket")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """Narrower ranges, the quantiles, and at last the sizes of the buckets beside them."""
        if summary.schema != _SIZES:
            before = None if state is None else state.drop("sizes")
            after, _ = cut(summary, before, self.targets(), ctx, ties=self.ties, overflow=self.beyond)
            return after.with_columns(sizes=pl.lit(None, pl.List(pl.Int64))), False
        assert state is not None
        held = {b: (rows, cost) for b, rows, cost in summary.iter_rows()}
        total = sum(rows for rows, _ in held.values())
        sizes = [total, *(held.get(b, (0, 0))[1] for b in range(self.num))]
        after = state.with_columns(sizes=pl.Series([sizes] * state.height, dtype=pl.List(pl.Int64)))
        weights = self._weights(after)
        ctx.note("buckets", [{"bucket": b, "docs": held.get(b, (0, 0))[0], "cost": held.get(b, (0, 0))[1],
                              "weight": float(weights[b])} for b in range(self.num)])  # fmt: skip
        ctx.note("without_score", held.get(-1, (0, 0))[0])
        self._tell_empty(held, ctx)
        if self.budget is not None:
            spent = float(sum(weight * held.get(b, (0, 0))[1] for b, weight in enumerate(weights.tolist())))
            remedy = "lower `budget:`, raise `max_repeats`, or name more buckets in `mixture`"
            asked = self.budget.of(total)
            fills.note_fill(ctx, fills.Fill(budget=self.budget, asked=asked, spent=spent, remedy=remedy))
        return after, True

    def _tell_empty(self, held: Mapping[int, tuple[int, int]], ctx: Context) -> None:
        """Remark the first range of the mixture that no document is in."""
        for (text, share), (low, high) in zip((self.mixture or {}).items(), self._spans(), strict=True):
            if share and not any(held.get(b, (0, 0))[0] for b in range(low, high + 1)):
                ctx.remark(f"no document is in bucket {text} of the mixture: its share goes to others; equal scores "
                           "share the lowest bucket, so name a wider range")  # fmt: skip
                return

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The bucket, and the weight of the bucket."""
        bucket = self._bucket(rows, state, ctx)
        weight = np.append(self._weights(state), 0.0)[bucket]
        known = pl.Series("bucket", bucket, dtype=pl.Int32).set(pl.Series(bucket < 0), None)
        return selections.by_weight(weight).with_columns(known)

    def _bucket(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> npt.NDArray[np.int64]:
        """The combined bucket, i64[rows]; -1 without a score."""
        passed = weighted_quantile.passed(self.ranks(rows, ctx), state).reshape(len(self.scores), rows.height)
        if self.combine == "max":
            best: npt.NDArray[np.int64] = passed.max(axis=0)
            return best
        said = (passed >= 0).sum(axis=0)
        total = np.where(passed >= 0, passed, 0).sum(axis=0)
        mean: npt.NDArray[np.int64] = np.where(said > 0, (2 * total + said) // np.maximum(2 * said, 1), -1)
        return mean

    def _spent(self, rows: pl.DataFrame) -> pl.Series:
        cost = selections.cost_of(rows, self.budget.unit) if self.budget else selections.cost_of(rows, self.count)
        ones = pl.Series([1], dtype=pl.Int64).new_from_index(0, rows.height)
        return ones if cost is None else cost.fill_null(0).cast(pl.Int64)

    def _weights(self, state: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Weight of every bucket, f64[num]."""
        weights = np.zeros(self.num)
        if self.mixture is None or self.budget is None:
            weights[self.at_least :] = 1.0
            return weights
        total, *sizes = state["sizes"][0].to_list()
        held = [sum(sizes[low : high + 1]) for low, high in self._spans()]
        cap = Fraction(self.max_repeats)
        amounts = water_fill([int(h * cap) for h in held], self.budget.of(total), list(self.mixture.values()))
        for (low, high), amount, holds in zip(self._spans(), amounts, held, strict=True):
            weights[low : high + 1] = fixed(Fraction(amount, holds)) if holds else 0.0
        return weights

    def _spans(self) -> list[tuple[int, int]]:
        """First and last bucket of every range of the mixture."""
        return [_span(text, self.num) for text in self.mixture or {}]


def _span(text: str, num: int) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not low <= high < num:
        hint = f"write one bucket or a range, such as `{num - 1}` or `0-{num // 2}`"
        raise ConfigError(f"{text!r} names no buckets of 0 to {num - 1}", where="mixture", hint=hint)
    return low, high
