"""One exemplar per neighbourhood: documents that resemble an earlier kept one are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn, row_ranks, selections
from winnow.core.numerics.directions import directions
from winnow.core.numerics.earlier_neighbours import runs
from winnow.core.operators import Context, Schema, Whole
from winnow.pipeline.dedup.exemplar_cells import Cells

Longs = npt.NDArray[np.int64]
BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Redundancy(Whole):
    """Documents that no kept one is close to: `kept`, `weight` 1 or 0, `exemplar`, who stands for the others.

    In order, best `by` first (ties and, without it, all by doc_id), a document is kept unless a kept one of its
    group lies within `distance`; `exemplar` is the doc_id of the first such, null where a document is kept. So
    kept documents are farther than `distance` from each other, and every removed one is within it of its exemplar.
    There are no chains: this keeps more than connected components do.

    `metric: cosine` compares vectors in `column`, distance 1 - cosine in [0, 2]. `metric: hamming` compares
    64-bit codes (SimHash or dHash, whole numbers in `column`), distance the number of different bits, -1 (keeps
    all) to 64. `per` compares within the values of columns only: a source, a site. Documents without a vector or
    code, or without a value of `per`, are not kept and are counted; without a score they come last.

    Raises:
        DataError: vectors differ in length or hold NaN; codes or scores are no numbers.
    Cost: per group, at most documents * kept ones * dim multiply-adds at BLAS speed. From 8,192 documents and for
    distances below 0.5, cells rule out what they can, as long as that is cheaper: most pairs for distances up to 0.1,
    few above 0.3 (`per` helps there). Of codes up to about 10 bits apart few pairs are compared; beyond, 1 ns per
    document and kept one.
    Source: exemplars within volumes of Less is More (Wolf et al. 2024, arXiv 2410.14524); any column of vectors own.
    """

    name: ClassVar[str] = "redundancy"
    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "dedup"
    informs: ClassVar[tuple[str, ...]] = ("exemplar",)
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("column", "per", "by")

    distance: float
    metric: Literal["cosine", "hamming"] = "cosine"
    column: str = "vector"
    per: tuple[str, ...] = ()
    by: str | None = None
    descending: bool = True

    def needs(self) -> tuple[str, ...]:
        """Identity, the groups, the score and, for Hamming, the codes."""
        codes = [self.column] if self.metric == "hamming" else []
        return tuple(dict.fromkeys(("doc_id", *self.per, *([self.by] if self.by else []), *codes)))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.column,) if self.metric == "cosine" else ()

    def outputs(self) -> Schema:
        """`exemplar` is null for kept rows and rows that are not compared."""
        return {**selections.SELECTION, "exemplar": pa.binary(16)}

    def validate(self) -> None:
        """Raise ConfigError for a distance that the metric has not."""
        if self.metric == "cosine" and not 0 <= self.distance <= 2:
            raise ConfigError(f"a cosine distance lies in [0, 2], found {self.distance}", where="distance")
        if self.metric == "hamming" and not (-1 <= self.distance <= 64 and self.distance == int(self.distance)):
            raise ConfigError(f"a distance of 64-bit codes is whole, -1 to 64, found {self.distance}", where="distance")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors three times: the stage's, the exemplars' and as they are read."""
        return 0.35 + rows * (450 + 3 * (width if self.metric == "cosine" else 0)) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The verdict on all rows in doc_id order."""
        labels = row_ranks.labels(rows, self.per)
        known = np.ones(rows.height, dtype=np.bool_) if labels is None else labels.is_not_null().to_numpy()
        if self.metric == "cosine":
            grid, place = directions(rows, ctx, self.column, center=False)
            inside = known[place]
            grid, place = (grid, place) if inside.all() else (grid[inside], place[inside])
        else:
            place = np.flatnonzero(known & rows[self.column].is_not_null().to_numpy())
            codes = codes_of(rows[self.column].gather(place))
        home = np.zeros(len(place), dtype=np.int64)
        if labels is not None:
            home = labels.gather(place).rank("dense").cast(pl.Int64).to_numpy()
        order, by = self._order(rows[place], home), np.full(len(place), -1, dtype=np.int64)
        for members in runs(home, order):
            exemplars = (
                hamming(codes[members], int(self.distance)) if self.metric == "hamming"
                else cosine(grid[members], self.distance)
            )  # fmt: skip
            by[members] = np.where(exemplars >= 0, members[exemplars], -1)
        weight, near = np.zeros(rows.height), np.full(rows.height, -1, dtype=np.int64)
        weight[place] = by < 0
        near[place] = np.where(by >= 0, place[by], -1) if len(place) else by
        line, lacks = f"kept {int(weight.sum()):,} of {len(place):,} documents", "a vector, code or group"
        selections.note_summary(ctx, rows.height, len(place), lacks, line)
        exemplar = rows["doc_id"].gather(pl.Series(near).set(pl.Series(near < 0), None))
        return selections.by_weight(weight).with_columns(exemplar=exemplar)

    def _order(self, inside: pl.DataFrame, home: Longs) -> Longs:
        """Rows by group, then best first, then by doc_id; a row without a score is last."""
        if not self.by:
            return np.argsort(home, kind="stable").astype(np.int64)
        key, ranked = row_ranks.ascending_key(inside[self.by])
        key = ~key if self.descending else key
        return np.lexsort((key, ~ranked, home)).astype(np.int64)


def cosine(grid: knn.Grid, distance: float) -> Longs:
    """Of vectors in order, i64[rows]: -1 for an exemplar, else the first exemplar with 1 - cosine <= distance.

    Cost: rows * exemplars * dim multiply-adds.
    """
    from winnow.core.numerics.earlier_neighbours_kernels import lengths
    from winnow.pipeline.dedup import redundancy_kernels as kernels

    least, inverse = 1.0 - distance - 2.0**-48, lengths(grid)  # equal vectors: within 2^-51 of 1
    by, space = np.full(len(grid), -1, dtype=np.int64), np.empty(BLOCK * BLOCK, dtype=np.float32)
    kept, num, cells = np.empty(len(grid), dtype=np.int64), 0, Cells(grid, distance, inverse, least)
    for low in range(0, len(grid), BLOCK):
        rows = np.arange(low, min(low + BLOCK, len(grid)))
        if cells.pays:
            by[rows] = cells.block(low, low + len(rows), num)
            new = rows[by[rows] < 0]
            kept[num : num + len(new)] = new
            num += len(new)
            continue
        for start in range(0, num, BLOCK):
            some, left = kept[start : min(start + BLOCK, num)], rows[by[rows] < 0]
            products = knn.product(grid[left].astype(np.float32), grid[some].astype(np.float32).T, space)
            exemplar = by[left]
            kernels.cover(products, inverse[left], inverse[some], least, some, exemplar)
            by[left] = exemplar
        right, exemplar = grid[rows].astype(np.float32), by[rows]
        kernels.exemplars(knn.product(right, right.T, space), inverse[rows], least, low, exemplar)
        by[rows] = exemplar
        new = rows[exemplar < 0]
        kept[num : num + len(new)] = new
        num += len(new)
    return by


def hamming(codes: npt.NDArray[np.uint64], distance: int) -> Longs:
    """Of 64-bit codes in order, i64[rows]: -1 for an exemplar, else the first exemplar within so many bits.

    Cost: 1 ns per document and exemplar; for a small distance only codes that nearly agree in a band are compared.
    """
    from winnow.pipeline.dedup import redundancy_kernels as kernels

    bands = bands_for(len(codes), distance)
    exemplar: Longs = (
        kernels.banded_exemplars(codes, distance, bands) if bands else kernels.hamming_exemplars(codes, distance)
    )
    return exemplar


def bands_for(num: int, distance: int) -> int:
    """In how many bands `num` codes are best compared: with the fewest look-ups and pairs; 0: all pairs."""
    best, fewest = 0, num / 2
    for flips in range(3 if distance >= 0 else 0):
        bands = distance // (flips + 1) + 1
        width = 64 / bands
        lookups = bands * sum(math.comb(math.ceil(width), i) for i in range(flips + 1))
        work = 10 * lookups * (1 + num / 2 / 2**width)  # each about ten pairs one after the other
        if distance // bands == flips and work < fewest:
            best, fewest = bands, work
    return best


def codes_of(values: pl.Series) -> npt.NDArray[np.uint64]:
    """The bits of whole numbers, u64[rows].

    Raises: DataError for a column of anything else.
    """
    if not values.dtype.is_integer():
        raise DataError(f"{values.name!r} is {values.dtype}, and codes are whole numbers", where="column")
    if values.dtype.is_unsigned_integer():
        return values.cast(pl.UInt64).to_numpy().astype(np.uint64)
    return values.cast(pl.Int64).to_numpy().view(np.uint64)
