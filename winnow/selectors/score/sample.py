"""Selection by score with chance: better documents are likelier, none is certain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut, numeric, rng, row_ranks, selections
from winnow.core.numerics.budget_cut import Targets
from winnow.core.numerics.row_ranks import NO_SCORE, UNRANKED, Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.operators.occurring import Absent
from winnow.selectors.score.ranking import Quotas, Ranked, check_by, check_quota, cut, shared_out

_GRID_BITS = 40  # of scores scaled to [0, 1]
_LOW = (1 << 32) - 1

RANGE = pl.Schema({"count": pl.Int64, "least": pl.Float64, "most": pl.Float64})
SUMS = pl.Schema({"sum_high": pl.Int64, "sum_low": pl.Int64, "square_high": pl.Int64, "square_low": pl.Int64})
SCALE = pl.Schema({"known": pl.String, "rows": pl.Int64, "least": pl.Float64, "most": pl.Float64,
                   "mean": pl.Float64, "deviation": pl.Float64})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sample(Ranked):
    """Documents drawn without replacement with odds exp(score / temperature): `kept`, `weight` 1 or 0.

    One after the other, each time among those left, as far as the budget goes (docs/concepts.md): sorting by score /
    temperature plus a standard Gumbel draw is the same thing. The draw is pure in (doc_id, seed, salt), so that
    layout and order do not matter; another seed or `salt` is an independent draw. A temperature near 0 gives `top_k`,
    a high one `random`.

    `normalise: z` subtracts the corpus mean and divides by its standard deviation first, so that the
    temperature is in standard deviations; do so for scores without a natural scale. Sums of log weights grow
    with a text's length and drown the noise: divide them by the length. A score is a log of odds: pass log(w) to
    draw in proportion to w. Documents whose score or cost is null, or whose score is NaN or -infinity (odds
    of 0), are never kept; they are counted in `excluded`.

    `per` and `quota` share the budget out among the values of a column, as `top_k` does: one draw each, with
    odds among the documents of the value. Scores are normalised over all.

    Raises:
        DataError: with `normalise: z`, a score is +infinity.
    Cost: 2 or 3 passes over score and cost, two more to normalise; memory 65,536 bins.
    Source: Gumbel top-k (Vieira 2014; Kool, van Hoof, Welling 2019); z-scores and temperature as in QuRating
    (Wettig et al. 2024).
    """

    name: ClassVar[str] = "sample"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")
    read_at: ClassVar[ReadAt] = {"quota": ("per", given)}
    meaning: ClassVar[Mapping[str, Meaning]] = {"quota": "values"}

    by: str
    budget: Budget
    temperature: float = 1.0
    normalise: Literal["none", "z"] = "none"
    salt: str = ""
    per: tuple[str, ...] = ()
    quota: Quotas = "proportional"
    absent: Absent = "error"  # a value in `quota` that no document has

    def needs(self) -> tuple[str, ...]:
        """doc_id, the score, the groups and, for tokens and bytes, the cost."""
        return columns_of(self.by, *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, an empty `by` or a temperature that is not above 0."""
        selections.check_budget(self.budget)
        check_by(self.by)
        check_quota(self.quota, self.per)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(
                f"temperature is {self.temperature}, and must be above 0",
                where="temperature", hint="`top_k` is the limit at 0, `random` at infinity",
            )  # fmt: skip

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """To normalise: the range, then the sums of the scores. Then counts per bin of the key."""
        score, real = self._scores(rows)
        if self.normalise == "z" and state is None:
            return _range(score[real])
        scale = _scale(state)
        if scale["known"] == "range":
            return _sums(score[real], scale)
        begun = None if state is None else _cut(state)
        return budget_cut.summarise(self._ranks(rows, scale, ctx), begun)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Extremes, or summed integers."""
        schema = summaries[0].schema
        if schema == RANGE:
            return pl.concat(summaries).select(pl.col("count").sum(), pl.col("least").min(), pl.col("most").max())
        if schema == SUMS:
            return pl.concat(summaries).select(pl.all().sum())
        return super().merge(summaries)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The scale, then a narrower range of keys, or the cut."""
        if summary.schema == RANGE:
            count, least, most = summary.row(0)
            known = {"known": "range", "rows": count, "least": least, "most": most, "mean": 0.0, "deviation": 0.0}
            return _state(known, None), False
        scale = _scale(state)
        if summary.schema == SUMS:
            return _state(scale | {"known": "all"} | _moments(summary, scale["rows"]), None), False
        after, done = cut(summary, None if state is None else _cut(state), self.targets(), ctx)
        self.note_result(summary, None if state is None else _cut(state), after if done else None, ctx)
        return _state(scale, after), done

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows that rank before the cut."""
        cuts = _cut(state)
        assert cuts is not None
        return selections.by_weight(budget_cut.taken(self._ranks(rows, _scale(state), ctx), cuts))

    def targets(self) -> Budget | Targets:
        """The budget, or its shares."""
        return shared_out(self.budget, self.quota) if self.per else self.budget

    def _scores(self, rows: pl.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(scores f64, rows that can be drawn); others are 0."""
        values = rows[self.by]
        if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
            raise DataError(f"cannot draw by {self.by!r}: it is {values.dtype}", hint="draw by a number")
        score = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        real = score > -np.inf  # False for NaN
        if self.normalise == "z" and (score == np.inf).any():
            raise DataError(f"{self.by!r} holds +infinity, which has no z-score", hint="cap it, or normalise: none")
        return np.where(real, score, 0.0), real

    def _ranks(self, rows: pl.DataFrame, scale: dict[str, Any], ctx: Context) -> Ranks:
        score, real = self._scores(rows)
        if scale["known"] == "all":
            unit = (score - scale["least"]) / (scale["most"] - scale["least"]) if scale["deviation"] else 0.0 * score
            score = (unit - scale["mean"]) / (scale["deviation"] or 1.0)
        noise = rng.gumbel(rows["doc_id"], seed=ctx.seed, salt=f"sample\0{self.salt}")  # never the lots of `random`
        with np.errstate(over="ignore"):
            key = numeric.sortable(np.where(real, score, 0.0) / self.temperature + noise)
        values, cost = rows[self.by], selections.cost_of(rows, self.budget.unit)
        return row_ranks.ranks(
            ~key, rows["doc_id"], cost, real,
            group=row_ranks.labels(rows, self.per), reason=_reasons(values), infinite=_infinite(values),
        )  # fmt: skip


def _range(score: npt.NDArray[np.float64]) -> pl.DataFrame:
    some = {"least": float(score.min()) + 0.0, "most": float(score.max()) + 0.0} if len(score) else {}
    return pl.DataFrame([{"count": len(score), "least": None, "most": None} | some], schema=RANGE)


def _sums(score: npt.NDArray[np.float64], scale: dict[str, Any]) -> pl.DataFrame:
    """Exact sums of the scores scaled to [0, 1] and of their squares, as two words each."""
    width = scale["most"] - scale["least"] if scale["rows"] else 0.0
    if not math.isfinite(width):
        raise DataError(f"scores from {scale['least']} to {scale['most']} have no z-scores", hint="cap them")
    unit = (score - scale["least"]) / width if width else 0.0 * score
    total = numeric.exact_sum(unit, grid_bits=_GRID_BITS)
    squares = numeric.exact_sum(unit * unit, grid_bits=_GRID_BITS)
    words = [total >> 32, total & _LOW, squares >> 32, squares & _LOW]
    return pl.DataFrame(dict(zip(SUMS.names(), words, strict=True)), schema=SUMS)


def _moments(sums: pl.DataFrame, rows: int) -> dict[str, float]:
    """Mean and standard deviation (of the population) of the scaled scores; integers up to the last step."""
    total = (int(sums["sum_high"][0]) << 32) + int(sums["sum_low"][0])
    squares = (int(sums["square_high"][0]) << 32) + int(sums["square_low"][0])
    if rows == 0:
        return {"mean": 0.0, "deviation": 0.0}
    spread = max((squares * rows << _GRID_BITS) - total * total, 0)  # of rows * scaled scores, in units squared
    one = 1 << _GRID_BITS
    return {"mean": total / (rows * one), "deviation": math.isqrt(spread) / (rows * one)}


def _reasons(values: pl.Series) -> npt.NDArray[np.uint8]:
    """Why a score has no odds: there is none, or it is -infinity."""
    return np.where(np.isnan(values.cast(pl.Float64).to_numpy()), NO_SCORE, UNRANKED).astype(np.uint8)


def _infinite(values: pl.Series) -> int:
    return int((values.cast(pl.Float64) == float("inf")).sum())


def _state(scale: dict[str, Any], cuts: pl.DataFrame | None) -> pl.DataFrame:
    """Scale and cuts side by side; a cut that is not begun is null."""
    begun = pl.DataFrame([{}], schema=budget_cut.STATE) if cuts is None else cuts
    return pl.DataFrame([scale], schema=SCALE).join(begun.rename(lambda name: f"cut.{name}"), how="cross")


def _scale(state: pl.DataFrame | None) -> dict[str, Any]:
    nothing = dict.fromkeys(SCALE.names(), 0.0) | {"known": "none", "rows": 0}
    return nothing if state is None else state.select(SCALE.names()).row(0, named=True)


def _cut(state: pl.DataFrame) -> pl.DataFrame | None:
    cuts = state.select(pl.col("^cut\\..*$").name.map(lambda name: name.removeprefix("cut.")))
    return None if cuts["phase"][0] is None else cuts
