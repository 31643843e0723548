"""What indexes are built by: buffers filled in the order of ids, whatever the order in which parts come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.words.hashing import Lanes, as_lanes
from winnow.core.words.text import utf8_buffers

Ints = npt.NDArray[np.int64]


def ascending(doc_id: pl.Series) -> Lanes:
    """16-byte ids as big-endian words u64[rows, 2], whose order is the order of the bytes."""
    return as_lanes(doc_id.to_arrow()).byteswap()


def order_of(lanes: Lanes) -> Ints:
    """Rows in ascending order of their words, i64[rows]; equal ones as they lie."""
    return np.lexsort((lanes[:, 1], lanes[:, 0]))


def rank_of(order: Ints) -> Ints:
    """Place of every row in an order, i64[rows]."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


class Buffer:
    """A file of `rows` equal-sized values, filled at given places."""

    def __init__(self, folder: Path, name: str, dtype: Any, rows: int, width: int = 1) -> None:
        self.path = folder / name
        self._array: Any = None
        if rows:
            self._array = np.memmap(self.path, dtype=dtype, mode="w+", shape=(rows, width))
        else:
            self.path.touch()

    def put(self, places: Ints, values: npt.NDArray[Any]) -> None:
        """Values of some rows."""
        if len(places):
            self._array[places] = values.reshape(len(places), -1)


class Ragged:
    """Two files of rows of differing numbers of values: `{name}.ends` i64[rows + 1] and the values."""

    def __init__(self, folder: Path, name: str, values: str, dtype: Any, sizes: Ints) -> None:
        self.ends = np.zeros(len(sizes) + 1, dtype=np.int64)
        np.cumsum(sizes, out=self.ends[1:])
        self.ends.tofile(folder / f"{name}.ends")
        self._values = Buffer(folder, f"{name}.{values}", dtype, int(self.ends[-1]))

    def put(self, places: Ints, starts: Ints, values: npt.NDArray[Any]) -> None:
        """The values of some rows, one row after the other: row i has values[starts[i] : starts[i + 1]]."""
        sizes = np.diff(starts)
        at = np.repeat(self.ends[places] - (starts[:-1] - starts[0]), sizes) + np.arange(int(sizes.sum()))
        self._values.put(at, values[starts[0] : starts[-1]])

    def put_texts(self, places: Ints, texts: pl.Series) -> None:
        """The bytes of texts."""
        ends, data = utf8_buffers(texts.to_arrow().cast(pa.large_string()))
        self.put(places, ends.astype(np.int64), data)
