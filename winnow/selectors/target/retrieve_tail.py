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

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn, rng, selections
from winnow.core.numerics.directions import directions
from winnow.core.numerics.target_vectors import on_disk, target_rows
from winnow.core.numerics.water_filling import check_share, exact_shares
from winnow.core.operators import Context, Schema, Whole, port
from winnow.selectors.balance.concept_lists import lists_of

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_NOTED = 100
_BLOCK = 1 << 16
_MOST_SEEN, _LEAST_SEEN, _ENOUGH_YES = 10_000, 1000, 200  # texts looked at for a concept's relevance


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

    Many texts name a word and mean something else. With `relevant_from` a concept's texts are counted times the share
    of them that is about it: of its texts in the order of their lots, those with a cosine of `relevant_from` or more
    to what the concept is near to, until 1,000 were looked at and 200 of them are, or 10,000 were. The tail is then the
    concepts with the fewest relevant texts.

    The metric `concepts` has texts, relevant and taken ones of the tail's rarest; `tail` how many concepts it has.

    Raises:
        DataError: `concepts` is no list of whole numbers of 0 or more; the target's vectors have another length.
    Cost: sum of the tail's list lengths * dim multiply-adds, with `relevant_from` of up to 10,000 texts of every
    concept; the vectors, 32 bytes per list entry, 40 per row.
    Source: REAL (Parashar et al. 2024, Neglected Tails; 500 per concept from memory): counts over synonyms times
    relevance; a cosine in place of a language model's yes or no, and mean directions, own.
    """

    name: ClassVar[str] = "retrieve_tail"
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("tail_concept", "tail_rank")
    population: ClassVar[bool] = True
    amounts: ClassVar[tuple[str, ...]] = ("per_concept",)
    columns_from: ClassVar[tuple[str, ...]] = ("vectors", "concepts")

    per_concept: int = 500
    tail_share: float = 0.2
    relevant_from: float | None = None
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

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The target's vectors and concepts."""
        return {
            "target": (on_disk(self.vectors),),
            "target_concepts": ("doc_id", on_disk(self.concepts)),
        }

    def outputs(self) -> Schema:
        """Concept and rank are null where a row is not kept."""
        return {**selections.SELECTION, "tail_concept": pa.int32(), "tail_rank": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for no text per concept or a share outside (0, 1]."""
        if self.per_concept < 1:
            raise ConfigError(f"per_concept is {self.per_concept}, and must be at least 1", where="per_concept")
        check_share(self.tail_share, "tail_share")
        if self.relevant_from is not None and not -1 <= self.relevant_from <= 1:
            raise ConfigError(f"relevant_from is {self.relevant_from}, and a cosine lies in [-1, 1]",
                              where="relevant_from")  # fmt: skip
        if bool(self.target) != bool(self.target_concepts):
            hint = "`target: vector stage` and `target_concepts: concept stage`, or neither"
            raise ConfigError("prompts need vectors and concepts", where="target", hint=hint)

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice, and lists of 30 concepts."""
        return 0.35 + rows * (200 + 45 * 30 + 2 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The selection over all rows in doc_id order."""
        grid, place = directions(rows, ctx, self.vectors, center=False)
        pool = holders(*lists_of(rows[self.concepts].gather(place)))
        target, asked = self._prompts(grid, ctx)
        lot = rng.keys(rows["doc_id"].gather(place), seed=0, salt="retrieve_tail")
        aims = (target, asked)
        texts = pool.counts() if self.relevant_from is None else self._relevant(grid, pool, aims, lot)
        tail = rarest(pool.concepts, texts, self.tail_share)
        concept, rank = np.full(rows.height, -1, dtype=np.int32), np.full(rows.height, 2**31 - 1, dtype=np.int32)
        taken, without = list[dict[str, int]](), 0
        for number in tail.tolist():
            members, (aim, prompted) = pool.of(number), aim_of(number, grid, pool, aims)
            best = place[members[np.argsort(-similar(grid, members, aim), kind="stable")[: self.per_concept]]]
            ranks = np.arange(len(best), dtype=np.int32)
            better = ranks < rank[best]
            concept[best[better]], rank[best[better]] = number, ranks[better]
            taken.append({"id": number, "texts": len(members), "taken": len(best)})
            if self.relevant_from is not None:
                taken[-1]["relevant"] = round(float(texts[np.searchsorted(pool.concepts, number)]))
            without += not prompted
        kept = concept >= 0
        taken.sort(key=lambda row: (row.get("relevant", row["texts"]), row["id"]))
        ctx.note("tail", len(tail))
        ctx.note("concepts", taken[:MOST_NOTED])
        ctx.note("without_prompt", without if self.target else 0)
        num = int(kept.sum())
        line = f"kept {num:,} documents about the {len(tail):,} rarest of {len(pool.concepts):,} concepts"
        selections.note_summary(ctx, rows.height, len(place), "a vector", line)
        return selections.by_weight(kept.astype(np.float64)).with_columns(
            tail_concept=pl.Series(concept).set(pl.Series(~kept), None),
            tail_rank=pl.Series(rank).set(pl.Series(~kept), None),
        )

    def _relevant(self, grid: knn.Grid, pool: Holders, aims: Aims, lot: npt.NDArray[np.uint64]) -> Floats:
        """Texts of every concept times the share of them that is about it, f64[concepts]."""
        assert self.relevant_from is not None
        out = np.empty(len(pool.concepts))
        for at, number in enumerate(pool.concepts.tolist()):
            members = pool.of(number)
            seen = members[np.argsort(lot[members], kind="stable")[:_MOST_SEEN]]
            aim, _ = aim_of(number, grid, pool, aims)
            about = similar(grid, seen, aim) >= self.relevant_from * knn.ONE
            out[at] = len(members) * share_of_yes(about)
        return out

    def _prompts(self, grid: knn.Grid, ctx: Context) -> tuple[knn.Grid, Holders]:
        """(vectors of the target's documents, which of them name a concept)."""
        if not self.target:
            return grid, holders(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        doc_id, vectors = target_rows(ctx.ref("target"), self.vectors)
        if len(grid) and grid.shape[1] != vectors.shape[1]:
            what = f"the pool's vectors have {grid.shape[1]} dimensions, the target's {vectors.shape[1]}"
            raise DataError(what, where="target", hint="use one vector stage with the same fields for both")
        column = on_disk(self.concepts)
        named: Any = ctx.ref("target_concepts").frame("doc_id", column)
        named = doc_id.to_frame("doc_id").join(named, on="doc_id", how="left", maintain_order="left")
        return vectors, holders(*lists_of(named[column]))


@dataclass(frozen=True, kw_only=True)
class Holders:
    """Who names a concept: `rows[starts[i]:starts[i + 1]]`, ascending and different, name `concepts[i]`."""

    concepts: Longs
    starts: Longs
    rows: Longs

    def counts(self) -> Longs:
        """Number of rows per concept, i64."""
        return np.diff(self.starts)

    def of(self, concept: int) -> Longs:
        """The rows that name the concept, ascending; none for a stranger."""
        at = int(np.searchsorted(self.concepts, concept))
        if at == len(self.concepts) or self.concepts[at] != concept:
            return self.rows[:0]
        return self.rows[self.starts[at] : self.starts[at + 1]]


Aims = tuple[knn.Grid, Holders]  # vectors of prompts, and which of them name a concept


def aim_of(number: int, grid: knn.Grid, pool: Holders, aims: Aims) -> tuple[knn.Grid, bool]:
    """(the vectors of the prompts that name a concept, or else of its own texts; whether there are prompts)."""
    target, asked = aims
    prompts = asked.of(number)
    return (target[prompts], True) if len(prompts) else (grid[pool.of(number)], False)


def share_of_yes(answers: npt.NDArray[np.bool_]) -> float:
    """The share of yes among answers in order, up to where 1,000 were given and 200 of them are yes."""
    yes = np.cumsum(answers)
    enough = np.flatnonzero((yes >= _ENOUGH_YES) & (np.arange(1, len(yes) + 1) >= _LEAST_SEEN))
    stop = int(enough[0]) if len(enough) else len(yes) - 1
    return float(yes[stop]) / (stop + 1) if len(yes) else 0.0


def holders(starts: Longs, ids: Longs) -> Holders:
    """Who names what, of lists `ids[starts[r]:starts[r + 1]]`; a list that names a concept twice counts once."""
    order = np.argsort(ids, kind="stable")
    concepts, rows = ids[order], np.repeat(np.arange(len(starts) - 1), np.diff(starts))[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (np.diff(concepts) != 0) | (np.diff(rows) != 0)
    concepts, rows = concepts[first], rows[first]
    ends = np.flatnonzero(np.diff(concepts, append=-1))
    return Holders(concepts=concepts[ends], starts=np.concatenate([[0], ends + 1]), rows=rows)


def rarest(concepts: Longs, counts: Longs | Floats, share: float) -> Longs:
    """The share of the concepts, rounded up, with the lowest counts, ascending; of equal ones the smaller id."""
    num = math.ceil(exact_shares([float(share)])[0] * len(concepts))
    return np.sort(concepts[np.lexsort((concepts, counts))[:num]])


def similar(grid: knn.Grid, rows: Longs, aim: knn.Grid) -> npt.NDArray[np.int32]:
    """Similarity of the grid's `rows` to the mean direction of `aim`, in units of 2^-22."""
    from winnow.core.numerics import knn_kernels

    sums = knn_kernels.column_sums(aim).astype(np.float64)
    (centre,), _ = knn_kernels.to_grid(sums[None, :])
    products = np.empty(len(rows), dtype=np.int32)
    for low in range(0, len(rows), _BLOCK):
        products[low : low + _BLOCK] = grid[rows[low : low + _BLOCK]].astype(np.float32) @ centre.astype(np.float32)
    return products
