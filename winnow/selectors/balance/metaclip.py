"""MetaCLIP: texts kept by the rarest concepts they name, so that frequent concepts fade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import numeric, rng, selections
from winnow.core.numerics.water_filling import check_share
from winnow.core.operators import Context, Fold, Schema
from winnow.selectors.balance.concept_lists import lists_of

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HOW = {"any": 0, "max": 1, "mean": 2}
MOST_NOTED = 50
_DOCS = -1  # the id that counts all documents
_COUNTS, _TOPS, _REALISED, _DONE = range(4)  # what the next round counts
_SUMMARY = pl.Schema({"id": pl.Int64, "count": pl.Int64})
_STATE = pl.Schema({"id": pl.Int64, "count": pl.Int64, "first": pl.Int64, "phase": pl.Int64})


@dataclass(frozen=True, kw_only=True)
class MetaClip(Fold):
    """Texts kept by how rare their concepts are: `kept`, `weight` 1 or 0, and `metaclip_odds` in [0, 1].

    A concept named by c texts is worth p = min(1, t / c), and a text is kept with the odds 1 - prod(1 - p) over its
    concepts; one without any is dropped. Give `t`, or `tail_share`: the t below which the rarest concepts
    together have about that share of all matches. Each concept is expected to keep min(c, t) texts or more; frequent
    ones keep more, because they stand beside rare ones. The draw is pure in (doc_id, seed, salt).

    Long texts name hundreds of concepts, and nearly all would be kept. What helps: `stop_share` ignores concepts
    that more than this share of all texts name; `top` looks at a text's most telling concepts alone, by
    occurrences (`hits`) times log(texts / c), and counts again; `odds: max` or `mean` in place of `any` (by the mean
    a concept may keep fewer than min(c, t)). `count: tokens` counts tokens wherever this says texts, `t` and
    `stop_share` too. A text without a list, or a cost, is dropped. A concept that a list names twice counts once.

    The metrics hold `t`, `tail_share`, the texts kept, and of the most frequent concepts how many texts they have
    and keep.

    Raises:
        DataError: `concepts` is no list of whole numbers of 0 or more, or hits do not go with it.
    Cost: 2 passes over the lists, 3 with `top`; 16 bytes of summary per concept.
    Source: MetaCLIP (Xu et al. 2023); the switches for long texts own.
    """

    name: ClassVar[str] = "metaclip"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("metaclip_odds",)
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    amounts: ClassVar[tuple[str, ...]] = ("t",)
    columns_from: ClassVar[tuple[str, ...]] = ("concepts", "hits")

    t: int | None = None
    tail_share: float | None = None
    concepts: str = "concepts"
    hits: str = "concept_hits"
    stop_share: float = 1.0
    top: int = 0
    odds: Literal["any", "max", "mean"] = "any"
    count: Literal["docs", "tokens"] = "docs"
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the lists, for `top` the occurrences, and for tokens the cost."""
        more = [*([self.hits] if self.top else []), *(["token_count"] if self.count == "tokens" else [])]
        return ("doc_id", self.concepts, *more)

    def outputs(self) -> Schema:
        """Odds are 0 where a text has no concept that counts."""
        return {**selections.SELECTION, "metaclip_odds": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError unless one of `t` and `tail_share` is given, and for shares that are none."""
        if (self.t is None) == (self.tail_share is None):
            raise ConfigError("give `t` or `tail_share`", where="t", hint="`tail_share: 0.06` is the paper's tail")
        if self.t is not None and self.t < 1:
            raise ConfigError(f"t is {self.t}, and must be 1 or more", where="t")
        if self.tail_share is not None and not 0 < self.tail_share <= 1:
            raise ConfigError(f"tail_share is {self.tail_share}, and lies in (0, 1]", where="tail_share")
        check_share(self.stop_share, "stop_share")
        if self.top < 0:
            raise ConfigError(f"top is {self.top}, and must be 0 (all) or more", where="top")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Texts (or tokens) per concept: of all, of those that count, or of the texts kept; sorted."""
        starts, ids, keep = self._lists(rows, state)
        weight = self._units(rows)
        phase = _COUNTS if state is None else int(state["phase"][0])
        if phase == _REALISED:
            assert state is not None
            weight = np.where(self._decided(rows, state, ctx)[0] > 0, weight, 0)
        of = np.repeat(weight, np.diff(starts))[keep]
        table = pl.DataFrame({"id": ids[keep].astype(np.int64), "count": of}, schema=_SUMMARY)
        docs = pl.DataFrame({"id": [_DOCS], "count": [int(weight.sum())]}, schema=_SUMMARY)
        return self.merge([table, docs])

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return pl.concat(summaries).group_by("id").agg(pl.col("count").sum()).match_to_schema(_SUMMARY).sort("id")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The counts; then what they keep, as metrics."""
        if state is None:
            docs = int(summary.filter(pl.col("id") == _DOCS)["count"].sum())
            frequent = pl.col("id").ne(_DOCS) & (pl.col("count") > self.stop_share * docs)
            left = summary.filter(~frequent)
            ctx.note("stopped", summary.height - left.height)
            phase = _TOPS if self.top else _REALISED
            return left.with_columns(first=pl.col("count"), phase=pl.lit(phase, pl.Int64)), False
        phase = int(state["phase"][0])
        if phase == _TOPS:
            after = state.drop("count").join(summary, on="id", how="left", maintain_order="left")
            after = after.with_columns(pl.col("count").fill_null(0), phase=pl.lit(_REALISED, pl.Int64))
            return after.match_to_schema(_STATE), False
        self._note(summary, state, ctx)
        return state.with_columns(phase=pl.lit(_DONE, pl.Int64)), True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The draw."""
        weight, odds = self._decided(rows, state, ctx)
        return selections.by_weight(weight).with_columns(metaclip_odds=pl.Series(odds))

    def _decided(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> tuple[Floats, Floats]:
        """(1 for kept texts, else 0; their odds)."""
        from winnow.selectors.balance import concept_kernels as kernels

        starts, ids, keep = self._lists(rows, state)
        starts = np.concatenate([[0], np.cumsum(keep)])[starts]
        counts = dense(state, "count", num_ids(ids, state))
        rate = np.minimum(1.0, self._t(state) / np.maximum(counts, 1))
        chosen = np.ascontiguousarray(ids[keep])
        odds = kernels.odds(starts, chosen, counts > 0, rate, HOW[self.odds])
        if self.count == "tokens":
            odds = np.where(rows["token_count"].is_null().to_numpy(), 0.0, odds)
        lot = rng.uniform(rows["doc_id"], seed=ctx.seed, salt=f"metaclip\0{self.salt}")  # not `random`'s
        return (lot < odds).astype(np.float64), odds

    def _lists(self, rows: pl.DataFrame, state: pl.DataFrame | None) -> tuple[Longs, Longs, Bools]:
        """(starts, ids, which of them count): each once, then those that are not stopped and a text's best."""
        from winnow.selectors.balance import concept_kernels as kernels

        starts, ids = lists_of(rows[self.concepts])
        keep = kernels.first_of_lists(starts, ids, 1 + int(ids.max(initial=-1)))
        if state is None:
            return starts, ids, keep
        first = dense(state, "first", num_ids(ids, state))
        keep &= first[ids] > 0
        if self.top:
            places, hits = lists_of(rows[self.hits])
            if not np.array_equal(places, starts):
                raise DataError(f"{self.hits!r} does not go with {self.concepts!r}", where="hits")
            docs = float(state.filter(pl.col("id") == _DOCS)["first"].sum())
            rarity = numeric.log(docs / np.maximum(first, 1))
            kernels.best_of_lists(starts, np.where(keep, hits * rarity[ids], -np.inf), self.top, keep)
        return starts, ids, keep

    def _units(self, rows: pl.DataFrame) -> Longs:
        """What every text counts for."""
        if self.count == "docs":
            return np.ones(rows.height, dtype=np.int64)
        return rows["token_count"].fill_null(0).cast(pl.Int64).to_numpy()

    def _t(self, state: pl.DataFrame) -> int:
        if self.t is not None:
            return self.t
        counts = state.filter((pl.col("id") != _DOCS) & (pl.col("count") > 0))["count"].to_numpy()
        assert self.tail_share is not None
        return p_to_t(counts, self.tail_share)

    def _note(self, kept: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> None:
        """Note t, what is kept, and the most frequent concepts before and after."""
        both = state.join(kept.rename({"count": "kept"}), on="id", how="left").with_columns(pl.col("kept").fill_null(0))
        docs = both.filter(pl.col("id") == _DOCS)
        concepts = both.filter((pl.col("id") != _DOCS) & (pl.col("count") > 0))
        t = self._t(state)
        ctx.note("t", t)
        ctx.note("tail_share", t_to_p(concepts["count"].to_numpy(), t))
        ctx.note("concepts", concepts.height)
        ctx.note("matches", int(concepts["count"].sum()))
        ctx.note("above_t", int((concepts["count"] > t).sum()))
        ctx.note("kept", int(docs["kept"].sum()))
        head = concepts.sort(["count", "id"], descending=[True, False]).head(MOST_NOTED)
        ctx.note("most_frequent", head.select("id", "count", "kept").to_dicts())
        what = "texts" if self.count == "docs" else "tokens"
        ctx.note("summary", f"kept {int(docs['kept'].sum()):,} of {int(docs['first'].sum()):,} {what}, t = {t:,}")


def p_to_t(counts: Longs, share: float) -> int:
    """The count, of the ascending ones, at which the share of all matches so far is nearest to `share`.

    1 without counts. Source: MetaCLIP; not the inverse of `t_to_p`, which counts strictly below.
    """
    ascending = np.sort(np.asarray(counts, dtype=np.int64))
    if not len(ascending) or not ascending[-1]:
        return 1
    so_far = np.cumsum(ascending)
    return max(1, int(ascending[int(np.argmin(np.abs(so_far / so_far[-1] - share)))]))


def t_to_p(counts: Longs, t: int) -> float:
    """Share of all matches that concepts with a count below t have, in [0, 1]."""
    counts = np.asarray(counts, dtype=np.int64)
    return float(counts[counts < t].sum() / max(int(counts.sum()), 1))


def num_ids(ids: Longs, state: pl.DataFrame) -> int:
    """One more than the largest id there is."""
    return 1 + max(int(ids.max(initial=0)), int(state["id"].to_numpy().max(initial=0)))


def dense(state: pl.DataFrame, column: str, size: int) -> Longs:
    """A column of the state by id, i64[size]; 0 where an id is absent."""
    out = np.zeros(size, dtype=np.int64)
    some = state.filter(pl.col("id") >= 0)
    out[some["id"].to_numpy()] = some[column].to_numpy()
    return out
