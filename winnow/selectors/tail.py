"""Texts about rare concepts: as many for each, the nearest first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core import knn, threshold_fold
from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Schema, Whole, port
from winnow.core.water_filling import exact_shares
from winnow.selectors.clusters import directions
from winnow.selectors.metaclip import lists_of
from winnow.selectors.target_vectors import target_rows

Longs = npt.NDArray[np.int64]
MOST_NOTED = 100


@dataclass(frozen=True, kw_only=True)
class RetrieveTail(Whole):
    """The nearest texts to each rare concept, as many for each: `kept`, `weight` 1 or 0, `tail_concept`, `tail_rank`.

    Of the concepts that texts name, the `tail_share` with the fewest texts are the tail (ties: smaller id). Each
    takes the `per_concept` texts that name it and lie nearest to it, or all there are; ties by doc_id. What it
    is near to: the mean direction of the documents that name the concept in another row space, prompts say, whose
    vector stage is `target` and whose concept stage is `target_concepts`, both with the fields of the pool's; where
    no document names it, and without `target`, of the pool's own texts that do.
    A text may serve several concepts; `tail_concept` is the one where it ranks best (ties: smaller id) and
    `tail_rank` its rank there from 0, null where it is not kept. Texts without a vector or a list are not kept.

    The metric `concepts` has texts, taken ones and rank of the tail's rarest; `tail` how many concepts it has.

    Raises:
        DataError: `concepts` is no list of whole numbers of 0 or more; the target's vectors have another length.
    Cost: sum of the tail's list lengths * dim multiply-adds; the vectors and lists, and 40 bytes per row.
    Source: REAL (Parashar et al. 2024, Neglected Tails; 500 per concept from memory); mean directions own.
    """

    name: ClassVar[str] = "retrieve_tail"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors", "concepts")

    per_concept: int = 500
    tail_share: float = 0.2
    target: str = port("ref", default="")
    target_concepts: str = port("ref", default="")
    vectors: str = "vector"
    concepts: str = "concepts"

    def needs(self) -> tuple[str, ...]:
        """Identity and the lists; vectors are read by position."""
        return ("doc_id", self.concepts)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Concept and rank are null where a row is not kept."""
        return {**threshold_fold.SELECTION, "tail_concept": pa.int32(), "tail_rank": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for no text per concept or a share outside (0, 1]."""
        if self.per_concept < 1:
            raise ConfigError(f"per_concept is {self.per_concept}, and must be at least 1", where="per_concept")
        if not 0 < self.tail_share <= 1:
            raise ConfigError(f"tail_share is {self.tail_share}, and lies in (0, 1]", where="tail_share")
        if bool(self.target) != bool(self.target_concepts):
            hint = "`target: vector stage` and `target_concepts: concept stage`, or neither"
            raise ConfigError("prompts need vectors and concepts", where="target", hint=hint)

    def memory_gb(self, rows: int) -> float:
        """Vectors of 512 dimensions three times, and lists of 100 concepts."""
        return 0.5 + rows * (3 * 1024 + 1600) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=False)
        starts, ids = lists_of(rows[self.concepts].gather(place))
        lists = holders(starts, ids)
        tail = rarest({number: len(members) for number, members in lists.items()}, self.tail_share)
        aims, taken = self._aims(grid, ctx), list[dict[str, int]]()
        concept, rank = np.full(rows.height, -1, dtype=np.int32), np.full(rows.height, 2**31 - 1, dtype=np.int32)
        for number in sorted(tail):
            members = lists[number]
            near = similar(grid[members], aims.get(number))
            best = place[members[np.argsort(-near, kind="stable")[: self.per_concept]]]
            ranks = np.arange(len(best), dtype=np.int32)
            better = ranks < rank[best]
            concept[best[better]], rank[best[better]] = number, ranks[better]
            taken.append({"id": number, "texts": len(members), "taken": len(best)})
        kept = concept >= 0
        taken.sort(key=lambda row: (row["texts"], row["id"]))
        ctx.note("tail", len(tail))
        ctx.note("concepts", taken[:MOST_NOTED])
        ctx.note("excluded", rows.height - len(place))
        ctx.note("without_prompt", sum(number not in aims for number in tail) if self.target else 0)
        return threshold_fold.selection(kept.astype(np.float64)).with_columns(
            tail_concept=pl.Series(concept).set(pl.Series(~kept), None),
            tail_rank=pl.Series(rank).set(pl.Series(~kept), None),
        )

    def _aims(self, grid: knn.Grid, ctx: Context) -> dict[int, knn.Grid]:
        """Concept -> vectors of the target's documents that name it."""
        if not self.target:
            return {}
        doc_id, vectors = target_rows(ctx.ref("target"), self.vectors)
        if len(grid) and grid.shape[1] != vectors.shape[1]:
            what = f"the pool's vectors have {grid.shape[1]} dimensions, the target's {vectors.shape[1]}"
            raise DataError(what, where="target", hint="use one vector stage with the same fields for both")
        named: Any = ctx.ref("target_concepts").frame("doc_id", self.concepts)
        named = doc_id.to_frame("doc_id").join(named, on="doc_id", how="left", maintain_order="left")
        starts, ids = lists_of(named[self.concepts])
        return {number: vectors[members] for number, members in holders(starts, ids).items()}


def holders(starts: Longs, ids: Longs) -> dict[int, Longs]:
    """Concept -> the rows whose lists name it, ascending."""
    owners, order = np.repeat(np.arange(len(starts) - 1), np.diff(starts)), np.argsort(ids, kind="stable")
    found = np.split(owners[order], np.flatnonzero(np.diff(ids[order])) + 1) if len(ids) else []
    return {number: np.unique(rows) for number, rows in zip(np.unique(ids).tolist(), found, strict=True)}


def rarest(counts: Mapping[int, int], share: float) -> set[int]:
    """The share of the concepts, rounded up, with the lowest counts; of equal ones the smaller id."""
    num = math.ceil(exact_shares([float(share)])[0] * len(counts))
    return set(sorted(counts, key=lambda number: (counts[number], number))[:num])


def similar(grid: knn.Grid, aim: knn.Grid | None) -> npt.NDArray[np.int32]:
    """Similarity of every vector to the mean direction of `aim`, or their own without one, in units of 2^-22."""
    from winnow.core import knn_kernels

    sums = knn_kernels.column_sums(grid if aim is None else aim).astype(np.float64)
    centre, _ = knn_kernels.to_grid(sums[None, :])
    products: npt.NDArray[np.int32] = (grid.astype(np.float32) @ centre[0].astype(np.float32)).astype(np.int32)
    return products
