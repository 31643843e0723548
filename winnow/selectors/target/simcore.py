"""Selection by nearness to a target in a vector space: rounds of centres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import fills, knn, selections
from winnow.core.numerics.target_vectors import beside, on_disk, target_rows
from winnow.core.numerics.walk import MOST_LEGS, walk
from winnow.core.operators import Context, Schema, Whole, port
from winnow.core.operators.budget import Budget

BLOCK = 65_536
FIRST_LIST = 256  # documents listed per centre before the lists grow
CAP_PER_TARGET = 50  # documents per target text at most, where the stopping rule decides
INDEX_BITS = 32

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SimCore(Whole):
    """The documents nearest to a target's centres, round by round: `kept`, `weight`, `simcore_round`.

    The target's vectors are summed up by `centres` directions (spherical k-means; the texts themselves where
    there are fewer). In each round every centre takes its most similar document that is not taken yet; two may
    name the same one. `simcore_similarity` is that cosine. Within a round the most similar come first, as far as the
    budget goes; documents that are too large for what is left are passed over (docs/concepts.md).

    With `stop_ratio: 0.95` it also ends before the first round whose mean similarity is below that share of
    round `patience`'s, and at 50 documents per target text.

    Raises:
        DataError: the target has no vector.
    Cost: rows x centres multiply-adds, again whenever a centre's list of candidates is used up and doubled.
    Source: Kim et al. 2023 (SimCore, CVPR); budgets in tokens and the order within a round own.
    """

    name: ClassVar[str] = "simcore"
    version: ClassVar[int] = 2  # 2: passes over what does not fit
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("simcore_round", "simcore_similarity")
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    target: str = port("ref")
    budget: Budget
    vectors: str = "vector"
    centres: int = 100
    stop_ratio: float = 0.0
    patience: int = 20
    center: bool = True

    def needs(self) -> tuple[str, ...]:
        """Identity and, for tokens and bytes, the cost."""
        return tuple(dict.fromkeys(("doc_id", *selections.cost_columns(self.budget.unit))))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The target's vectors."""
        return {"target": (on_disk(self.vectors),)}

    def outputs(self) -> Schema:
        """Round (from 0) and similarity are null where a document is not kept."""
        return {**selections.SELECTION, "simcore_round": pa.int32(), "simcore_similarity": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs, no centres, or a share outside [0, 1]."""
        selections.check_budget(self.budget)
        for field in ("centres", "patience"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}, and must be at least 1", where=field)
        if not 0 <= self.stop_ratio <= 1:
            raise ConfigError(f"stop_ratio is {self.stop_ratio}, not in [0, 1]", where="stop_ratio")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors four times while they are read and centred."""
        return 0.35 + rows * (250 + 4 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order."""
        grid, some = knn.matrix(rows, ctx.rows(), self.vectors)
        costs = selections.cost_of(rows, self.budget.unit)
        if costs is not None:
            if not costs.dtype.is_integer():
                raise DataError(f"{costs.name!r} is {costs.dtype}, and must hold whole numbers")
            some &= costs.is_not_null().to_numpy()
        place = np.flatnonzero(some)
        _, target = target_rows(ctx.ref("target"), self.vectors)
        round_of, similarity = np.full(rows.height, -1, dtype=np.int32), np.full(rows.height, np.nan)
        budget = self.budget.of(rows.height)
        cost = np.ones(len(place), dtype=np.int64) if costs is None else costs[place].cast(pl.Int64).to_numpy()
        if len(place):
            taken = self._select(*beside(grid[place], target, center=self.center), cost, budget, ctx)
            for number, (picked, values) in enumerate(taken):
                round_of[place[picked]], similarity[place[picked]] = number, values
        kept = round_of >= 0
        ended = "`stop_ratio` ended the rounds" if self.stop_ratio else "no other document can be taken"
        fills.note_picks(ctx, self.budget, budget, cost, np.flatnonzero(kept[place]), ended=ended)
        selections.note_summary(ctx, rows.height, len(place), "a vector or a cost")
        return pl.DataFrame(
            {
                "kept": kept,
                "weight": kept.astype(np.float64),
                "simcore_round": pl.Series(round_of).set(pl.Series(~kept), None),
                "simcore_similarity": pl.Series(similarity, nan_to_null=True),
            }
        )

    def _select(
        self, pool: knn.Grid, target: knn.Grid, cost: Longs, budget: int, ctx: Context
    ) -> list[tuple[Longs, npt.NDArray[np.float64]]]:
        """(documents, similarities) of every round, as far as the budget goes."""
        centres = target if len(target) <= self.centres else knn.spherical_means(target, self.centres)
        taken, curve, used = [], list[float](), cost > budget
        left, limit, legs = budget, budget, MOST_LEGS
        most = CAP_PER_TARGET * len(target) if self.stop_ratio else len(pool)
        for picked, values, mean in rounds(pool, centres, used):
            if len(curve) >= self.patience and mean < self.stop_ratio * curve[self.patience - 1]:
                break
            curve.append(mean)
            here = walk(cost[picked], budget, left=left, limit=limit, legs=legs)
            fits = np.flatnonzero(here.taken)[:most]
            taken.append((picked[fits], values[fits]))
            left, most = left - int(cost[picked[fits]].sum()), most - len(fits)
            if here.ended or most == 0:
                break
            if here.stops:  # what is larger than is left now makes room for others
                limit, legs = here.stops[-1].left, legs - len(here.stops)
                used |= cost > limit
        ctx.note("rounds", len(curve))
        ctx.note("centres", len(centres))
        ctx.note("round_similarity", [round(value, 6) for value in curve[:1000]])
        return taken


def rounds(
    pool: knn.Grid, centres: knn.Grid, used: npt.NDArray[np.bool_] | None = None
) -> Iterator[tuple[Longs, npt.NDArray[np.float64], float]]:
    """(documents best first, their cosines, mean cosine over the centres) of one round after another.

    `used`: documents that cannot be taken; more may be marked between rounds.
    """
    from winnow.selectors.target import simcore_kernels as kernels

    used = np.zeros(len(pool), dtype=np.bool_) if used is None else used
    listed = min(FIRST_LIST, len(pool))
    ids, similar = nearest_documents(pool, centres, listed)
    pointers, picks = np.zeros(len(centres), dtype=np.int64), np.zeros(len(centres), dtype=np.int64)
    while not used.all():
        while kernels.take_round(ids, used, pointers, picks) and listed < len(pool):
            listed = min(2 * listed, len(pool))
            ids, similar = nearest_documents(pool, centres, listed)
        of = np.flatnonzero(picks >= 0)
        values = similar[of, pointers[of]]
        order = np.lexsort((picks[of], -values))
        chosen, first = np.unique(picks[of][order], return_index=True)
        best = np.argsort(first, kind="stable")
        used[chosen] = True
        yield chosen[best], values[order][first[best]] / knn.ONE, float(values.mean() / knn.ONE)


def nearest_documents(pool: knn.Grid, centres: knn.Grid, num: int) -> tuple[Longs, Longs]:
    """(numbers i64[centres, num], similarities i64[centres, num]): best first, ties by number.

    Cost: rows x centres multiply-adds; 8 (num + 65,536) bytes per centre.
    """
    left = centres.astype(np.float32)
    best = np.empty((len(centres), 0), dtype=np.int64)
    for low in range(0, len(pool), BLOCK):
        block = pool[low : low + BLOCK].astype(np.float32)
        numbers = (1 << INDEX_BITS) - 1 - np.arange(low, low + len(block))
        keys = ((left @ block.T).astype(np.int64) << INDEX_BITS) + numbers
        best = np.concatenate([best, keys], axis=1)
        if best.shape[1] > num:
            best = -np.partition(-best, num - 1, axis=1)[:, :num]
    best = -np.sort(-best, axis=1)
    return np.ascontiguousarray((1 << INDEX_BITS) - 1 - (best & ((1 << INDEX_BITS) - 1))), best >> INDEX_BITS
