"""Indexes of faiss over vectors on the integer grid (`knn`), for `faiss.read_index` and its HNSW search.

Products of the grid are whole numbers below 2^24 and exact in float32, whatever the instruction set. One thread adds
the rows in their order, in blocks of one size, and the levels of HNSW come from faiss's own fixed seed, so an index has
the same bytes on every machine with one version of faiss. Row i of the grid is id i.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.numerics import knn

_ADDED, _ASKED = 65_536, 4096  # rows at a time
_NONE = np.int32(-(2**31))  # the similarity of no row


@contextmanager
def one_thread() -> Iterator[Any]:
    """The module faiss, working on one thread; its setting is put back in the end."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)


def flat(grid: knn.Grid) -> Any:
    """An `IndexFlatIP` of all rows: exact search. Memory: 4 bytes per number."""
    with one_thread() as faiss:
        index = faiss.IndexFlatIP(grid.shape[1])
        _add(index, grid)
        return index


def inverted_file(grid: knn.Grid, lists: knn.Inverted) -> Any:
    """An `IndexIVFFlat` with the centres, members and number of probes of `lists`: it looks where `knn.search` looks.

    Memory: 4 bytes per number, 8 per row.
    """
    with one_thread() as faiss:
        dim, num = grid.shape[1], len(lists.centres)
        centres = faiss.IndexFlatIP(dim)
        centres.add(lists.centres.astype(np.float32))
        index = faiss.IndexIVFFlat(centres, dim, num, faiss.METRIC_INNER_PRODUCT)
        index.is_trained, index.nprobe = True, lists.probes.shape[1]
        for number, inside in enumerate(lists.members):
            if len(inside):
                ids, rows = inside.astype(np.int64), grid[inside].astype(np.float32)
                index.invlists.add_entries(
                    number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(rows.view(np.uint8).reshape(-1))
                )
        index.ntotal = len(grid)
        return index


def hnsw(grid: knn.Grid, *, m: int, ef_construction: int, ef_search: int) -> Any:
    """An `IndexHNSWFlat` of all rows, `m` links per row and level, 2 `m` on the lowest.

    Cost: about rows * ef_construction * m * dim multiply-adds. Memory: 4 bytes per number, 8 `m` per row.
    Source: Malkov and Yashunin 2016, as faiss builds it
    """
    with one_thread() as faiss:
        index = faiss.IndexHNSWFlat(grid.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = ef_construction, ef_search
        _add(index, grid)
        return index


def search(index: Any, grid: knn.Grid, k: int, rows: knn.Rows | None = None) -> knn.Neighbours:
    """The k most similar other rows of every row (of `rows`) that the index finds, best first, ties by number."""
    asked = np.arange(len(grid), dtype=np.int64) if rows is None else rows
    ids = np.full((len(asked), k), knn.EMPTY, dtype=np.int32)
    similarities = np.full((len(asked), k), _NONE, dtype=np.int32)
    many = min(k + 1, len(grid))  # a row finds itself as well
    with one_thread():
        for low in range(0, len(asked), _ASKED):
            own = asked[low : low + _ASKED]
            near, found = index.search(grid[own].astype(np.float32), many)
            other = (found >= 0) & (found != own[:, None])
            near = np.where(other, np.minimum(near, knn.ONE), _NONE).astype(np.int32)
            found = np.where(other, found, knn.EMPTY).astype(np.int32)
            best = np.lexsort((found, -near.astype(np.int64)), axis=1)[:, :k]
            ids[low : low + len(own), : best.shape[1]] = np.take_along_axis(found, best, axis=1)
            similarities[low : low + len(own), : best.shape[1]] = np.take_along_axis(near, best, axis=1)
    return knn.Neighbours(ids=ids, similarities=similarities)


def write(index: Any, path: Path) -> None:
    """The index as a file for `faiss.read_index`."""
    with one_thread() as faiss:
        faiss.write_index(index, str(path))


def read(path: Path) -> Any:
    """An index that `write` wrote."""
    with one_thread() as faiss:
        return faiss.read_index(str(path))


def _add(index: Any, grid: knn.Grid) -> None:
    for low in range(0, len(grid), _ADDED):
        index.add(grid[low : low + _ADDED].astype(np.float32))
