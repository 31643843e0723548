"""Nearest neighbours among vectors on an integer grid: equal bits for any layout, thread count and BLAS.

A vector is unit length times `UNIT` (2^11), rounded to int16. A dot product of two is then an integer, and so
is every partial sum on the way to it; by Cauchy-Schwarz none exceeds (UNIT + sqrt(dim) / 2)^2, which is below
2^24 for up to 16,384 dimensions. Single precision holds all of these exactly, so that a float32 matrix product
gives the integer whatever its order of summation: BLAS speed, exact results. Similarities are int32 in units
of 1 / ONE (2^22). Lists are ordered by (similarity down, rank up), which leaves no ties.

`exact` compares all pairs: rows^2 products. `pruned` compares a row with the members of the lists it
probes (an inverted file over integer k-means): which pairs are looked at is approximate, their similarities
and the result's bits are not; `recall` measures what was missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators.contract import RowAccess
from winnow.core.words.text import utf8_buffers, valid_mask

Grid: TypeAlias = npt.NDArray[np.int16]  # i16[rows, dim]
Ints: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]

UNIT = 2048  # length of a vector
ONE = UNIT * UNIT  # similarity 1
MAX_DIM = 16_384
EMPTY = np.int32(2**31 - 1)  # the id in a slot without a neighbour
BLOCK = 1024
_ROW_BLOCK, _CENTRE_BLOCK = 512, 4096
_SAMPLE_PER_LIST = 32
_ITERATIONS = 6


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """`ids` and `similarities`, i32[rows, k], best first; unused slots hold EMPTY and come last."""

    ids: Ints
    similarities: Ints


def to_grid(array: pa.Array) -> tuple[Grid, npt.NDArray[np.bool_]]:
    """(i16[rows, dim], bool[rows]: has a direction) of a vector column; other rows are zero.

    Takes binary cells of little-endian int16 already on the grid, or lists of numbers, which are normalised.
    Raises: DataError where lengths differ, the dimension is above 16,384, or a number is not finite.
    """
    from winnow.core.numerics import knn_kernels as kernels

    valid = valid_mask(array)
    kind = array.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        grid, some = kernels.to_grid(_reals(array, valid))
        return grid, valid & some
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)):
        raise DataError(f"a vector column is {kind}", hint="use `ngram_vectors`, or lists of numbers")
    starts, width, data = _cells(array, valid)
    _check_dim(width // 2)
    if width % 2:
        raise DataError(f"a vector has {width} bytes", hint="binary vectors are int16, two bytes per dimension")
    out = np.zeros((len(array), width // 2), dtype=np.int16)
    kernels.copy_rows(starts, valid, data, out.view(np.uint8))
    return out, valid & out.any(axis=1)


def directions(
    rows: pl.DataFrame, access: RowAccess, column: str, *, center: bool
) -> tuple[Grid, npt.NDArray[np.bool_]]:
    """`matrix` without the rows that have no direction, centred where asked.

    Cost: the vectors once, and those of the largest part twice more.
    """
    from winnow.core.numerics import knn_kernels as kernels

    grid, some = matrix(rows, access, column)
    grid = grid[: kernels.compact(grid, some)]
    return centred(grid, in_place=True) if center else grid, some


def centred(grid: Grid, *, in_place: bool = False) -> Grid:
    """The vectors less their mean, back on the grid; rows equal to the mean become zero.

    The mean is an integer sum divided once, so the order of the rows does not matter. Where all vectors are equal the
    mean is all there is, and they stay as they are.
    """
    from winnow.core.numerics import knn_kernels as kernels

    if _all_equal(grid):
        return grid if in_place else grid.copy()
    out: Grid = grid if in_place else np.empty_like(grid)
    kernels.less(grid, mean(grid), out)
    return out


def mean(grid: Grid) -> npt.NDArray[np.float64]:
    """What `centred` subtracts, f64[dim] in units of the grid; zeros where all vectors are equal."""
    from winnow.core.numerics import knn_kernels as kernels

    if _all_equal(grid):
        return np.zeros(grid.shape[1])
    return np.asarray(kernels.column_sums(grid).astype(np.float64) / len(grid))


def exact(grid: Grid, k: int) -> Neighbours:
    """The k most similar other rows of every row.

    Cost: rows^2 * dim multiply-adds in float32 BLAS; memory 8 k bytes per row.
    """
    from winnow.core.numerics import knn_kernels as kernels

    neighbours, space = _nothing(len(grid), k), np.empty(BLOCK * BLOCK, dtype=np.float32)
    starts = range(0, len(grid), BLOCK)
    ids = np.arange(len(grid), dtype=np.int32)
    for low in starts:
        left, one = grid[low : low + BLOCK].astype(np.float32), ids[low : low + BLOCK]
        for high in starts[low // BLOCK :]:
            right, two = grid[high : high + BLOCK].astype(np.float32), ids[high : high + BLOCK]
            products = product(left, right.T, space)
            kernels.offer(products, one, two, neighbours.ids, neighbours.similarities)
            if low != high:  # a second product takes a third of the time of a transposed copy
                kernels.offer(product(right, left.T, space), two, one, neighbours.ids, neighbours.similarities)
    return neighbours


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """An inverted file: centres, rows of every list, ascending, and the lists that every row looks into, best first."""

    centres: Grid  # i16[lists, dim]
    members: list[Ints]
    probes: Ints  # i32[rows, probes]


def inverted(grid: Grid, *, order: Rows, num_lists: int, num_probes: int) -> Inverted:
    """Lists around centres fitted on the head of `order`, a permutation of the rows by a keyed hash.

    Cost: rows * num_lists * dim multiply-adds.
    """
    centres = spherical_means(grid[np.sort(order[: num_lists * _SAMPLE_PER_LIST])], num_lists)
    probes = nearest(grid, centres, num_probes)
    members = _grouped(probes[:, 0], np.arange(len(grid), dtype=np.int32), num_lists)
    return Inverted(centres=centres, members=members, probes=probes)


def search(grid: Grid, k: int, lists: Inverted, rows: Rows | None = None) -> Neighbours:
    """The k most similar other rows of every row (of `rows`) among the members of the lists that it looks into.

    Cost: rows * num_probes * rows / num_lists * dim multiply-adds.
    """
    from winnow.core.numerics import knn_kernels as kernels

    asked = np.arange(len(grid), dtype=np.int32) if rows is None else rows.astype(np.int32)
    probes = lists.probes if rows is None else lists.probes[rows]
    places = np.repeat(np.arange(len(asked), dtype=np.int32), probes.shape[1])
    queries = _grouped(probes.reshape(-1), places, len(lists.members))
    neighbours = _nothing(len(asked), k)
    for inside, asking in zip(lists.members, queries, strict=True):
        if not len(asking):
            continue
        for start in range(0, len(inside), BLOCK):
            some = inside[start : start + BLOCK]
            right = grid[some].astype(np.float32).T
            for low in range(0, len(asking), BLOCK):
                place = asking[low : low + BLOCK]
                own = asked[place]
                products = grid[own].astype(np.float32) @ right
                kernels.offer_some(products, own, place, some, neighbours.ids, neighbours.similarities)
    return neighbours


def pruned(grid: Grid, k: int, *, order: Rows, num_lists: int, num_probes: int) -> Neighbours:
    """The k most similar other rows among the members of the `num_probes` lists nearest to each row.

    Cost: rows * (num_lists + num_probes * rows / num_lists) * dim multiply-adds.
    """
    return search(grid, k, inverted(grid, order=order, num_lists=num_lists, num_probes=num_probes))


def spherical_means(sample: Grid, num: int) -> Grid:
    """`num` centres on the grid by k-means on directions, from the sample's rows at even distances.

    Assignments and sums are integers: the same centres everywhere. A centre without members stays.
    """
    from winnow.core.numerics import knn_kernels as kernels

    centres = sample[np.linspace(0, len(sample) - 1, num).astype(np.int64)]
    for _ in range(_ITERATIONS):
        home, _ = first_nearest(sample, centres)
        sums, counts = kernels.group_sums(sample, home, num)
        moved, some = kernels.to_grid(sums.astype(np.float64))
        centres = np.where(((counts > 0) & some)[:, None], moved, centres)
    return centres


def nearest(grid: Grid, centres: Grid, num: int) -> Ints:
    """Numbers of the `num` most similar centres of every row, best first, ties by number; i32[rows, num]."""
    from winnow.core.numerics import knn_kernels as kernels

    right, ids = centres.astype(np.float32).T, np.arange(len(centres), dtype=np.int32)
    neighbours = _nothing(len(grid), min(num, len(centres)))
    for low in range(0, len(grid), BLOCK):
        block = grid[low : low + BLOCK].astype(np.float32)
        rows = np.arange(low, low + len(block), dtype=np.int32)
        kernels.offer_all(block @ right, rows, ids, neighbours.ids, neighbours.similarities)
    return neighbours.ids


def first_nearest(grid: Grid, centres: Grid) -> tuple[Ints, Ints]:
    """(number of the most similar centre of every row, the first of equals; its similarity), i32[rows] each.

    Without centres -1 and the lowest number. Cost: rows * centres * dim multiply-adds at BLAS speed; memory of one
    block of 512 x 4,096 products.
    """
    from winnow.core.numerics import knn_kernels as kernels

    home = np.full(len(grid), -1, dtype=np.int32)
    similarity = np.full(len(grid), -(2**31), dtype=np.int32)
    starts = range(0, len(centres), _CENTRE_BLOCK)
    blocks = [(low, np.ascontiguousarray(centres[low : low + _CENTRE_BLOCK].astype(np.float32).T)) for low in starts]
    space = np.empty(_ROW_BLOCK * min(len(centres), _CENTRE_BLOCK), dtype=np.float32)
    for start in range(0, len(grid), _ROW_BLOCK):
        rows = slice(start, start + _ROW_BLOCK)
        left = grid[rows].astype(np.float32)
        for low, right in blocks:
            kernels.best(product(left, right, space), low, home[rows], similarity[rows])
    return home, similarity


def recall(grid: Grid, neighbours: Neighbours, rows: Rows) -> npt.NDArray[np.float64]:
    """Share of the exact nearest of each of `rows` that `found` (lists of these rows) has; 1 where there are none.

    Cost: len(rows) * all rows * dim multiply-adds.
    """
    from winnow.core.numerics import knn_kernels as kernels

    truth = _nothing(len(rows), neighbours.ids.shape[1])
    own, place = rows.astype(np.int32), np.arange(len(rows), dtype=np.int32)
    left = grid[rows].astype(np.float32)
    for low in range(0, len(grid), BLOCK):
        block = grid[low : low + BLOCK].astype(np.float32)
        ids = np.arange(low, low + len(block), dtype=np.int32)
        kernels.offer_some(left @ block.T, own, place, ids, truth.ids, truth.similarities)
    want = (truth.ids != EMPTY).sum(axis=1)
    hits = kernels.common(truth.ids, neighbours.ids)
    return np.where(want > 0, hits / np.maximum(want, 1), 1.0)


def matrix(rows: pl.DataFrame, access: RowAccess, column: str) -> tuple[Grid, npt.NDArray[np.bool_]]:
    """(vectors in the order of `rows`, rows that have a direction), by the locators `_part` and `_row`.

    Raises: DataError as `to_grid`, and where parts hold vectors of different lengths.
    Cost: the vectors once, and those of the largest part twice more.
    """
    part, row = rows["_part"].to_numpy(), rows["_row"].to_numpy()
    valid = np.zeros(rows.height, dtype=np.bool_)
    out, dims = np.zeros((rows.height, 0), dtype=np.int16), set()
    for number in np.unique(part):
        inside = np.flatnonzero(part == number)
        grid, some = to_grid(access.column(column, int(number)).take(pa.array(row[inside])))
        if not some.any():
            continue
        dims.add(grid.shape[1])
        if len(dims) > 1:
            raise DataError(f"{column!r} has vectors of {sorted(dims)} dimensions", hint="use one model")
        if out.shape[1] == 0:
            out = np.zeros((rows.height, grid.shape[1]), dtype=np.int16)
        valid[inside] = some
        out[inside[some]] = grid[some]
    return out, valid


def product(left: Floats, right: Floats, space: Floats) -> Floats:
    """The product of two matrices, in the flat `space`: a fresh array of megabytes takes as long as the product."""
    shape = (left.shape[0], right.shape[1])
    products: Floats = np.matmul(left, right, out=space[: shape[0] * shape[1]].reshape(shape))
    return products


def _all_equal(grid: Grid) -> bool:
    """Whether all rows are the first one; True for none."""
    starts = range(0, len(grid), BLOCK)  # most often the first block tells
    return all(bool((grid[low : low + BLOCK] == grid[0]).all()) for low in starts)


def _nothing(rows: int, k: int) -> Neighbours:
    ids = np.full((rows, k), EMPTY, dtype=np.int32)
    return Neighbours(ids=ids, similarities=np.full((rows, k), -(2**31), dtype=np.int32))


def _grouped(group: Ints, values: Ints, num: int) -> list[Ints]:
    """The values of every group, ascending."""
    order = np.argsort(group, kind="stable")
    return np.split(values[order], np.searchsorted(group[order], np.arange(1, num)))


def _reals(array: pa.Array, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """f64[rows, dim]; rows without a value are zero."""
    if not valid.any():
        return np.zeros((len(array), 0), dtype=np.float64)
    flat = array.flatten()
    lengths = np.asarray(array.value_lengths().fill_null(0)) if not valid.all() else np.asarray(array.value_lengths())
    width = _one_width(lengths[valid])
    _check_dim(width)
    out = np.zeros((len(array), width), dtype=np.float64)
    values = np.asarray(flat.cast(pa.float64()).fill_null(np.nan))
    if not np.isfinite(values).all():
        raise DataError("a vector holds a null, NaN or infinity", hint="a row without a vector is null as a whole")
    out[valid] = values.reshape(-1, width)
    return out


def _cells(array: pa.Array, valid: npt.NDArray[np.bool_]) -> tuple[Rows, int, npt.NDArray[np.uint8]]:
    """(first byte of every cell i64[rows], bytes of a cell, all bytes); cells of one size are not copied."""
    if pa.types.is_fixed_size_binary(array.type):
        width, buffer = array.type.byte_width, array.buffers()[1]
        data = np.frombuffer(buffer, dtype=np.uint8) if buffer is not None else np.zeros(0, dtype=np.uint8)
        return (array.offset + np.arange(len(array), dtype=np.int64)) * width, width, data
    offsets, data = utf8_buffers(array.cast(pa.large_binary()))
    return offsets[:-1], _one_width(np.diff(offsets)[valid]) if valid.any() else 0, data


def _one_width(lengths: npt.NDArray[np.int64]) -> int:
    if (lengths != lengths[0]).any():
        raise DataError(f"vectors have lengths {int(lengths.min())} to {int(lengths.max())}", hint="use one model")
    return int(lengths[0])


def _check_dim(dim: int) -> None:
    if dim > MAX_DIM:
        raise DataError(f"vectors have {dim} dimensions, at most {MAX_DIM} are exact", hint="project them first")
