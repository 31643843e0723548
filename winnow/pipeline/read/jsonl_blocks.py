"""Blocks of JSON Lines to Arrow columns in one compiled pass; what the kernel leaves is named, not read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from winnow.core.operators import Schema
from winnow.core.store.reuse import used_again
from winnow.pipeline.read.document import RefusedError, documents

MOST_SLOW = 64  # a block where more than one line in so many is left over is not worth taking apart
_SPARE = 80  # bytes that the kernel may write after a text's end
_ARENA_BYTES = 32 << 20  # texts of one arena lie one after another: a part made of them needs no copy

Take = Callable[[Any], Any]  # a parsed JSON value to the value of a column; raises RefusedError or ValueError


@dataclass(frozen=True)
class Block:
    """What a pass over one block of lines found; rows are lines."""

    data: bytes | memoryview
    offset: int  # of the block in the file
    lines: npt.NDArray[np.int64]  # i64[rows, 2]: where a line starts and ends in the block
    taken: npt.NDArray[np.bool_]
    text_ends: npt.NDArray[np.int64]  # i64[rows + 1]
    texts: npt.NDArray[np.uint8]
    values: Sequence[Sequence[Any]]  # per column, one value per row
    lacking: npt.NDArray[np.bool_]  # bool[rows, columns]: the record has no such key

    def runs(self) -> list[tuple[int, int, bool]]:
        """(first row, row after the last, taken) of maximal runs of lines of one kind, in order."""
        cuts = [0, *(np.flatnonzero(np.diff(self.taken)) + 1).tolist(), len(self.taken)]
        return [(a, b, bool(self.taken[a])) for a, b in itertools.pairwise(cuts) if b > a]

    def line(self, row: int) -> tuple[int, bytes]:
        """(offset in the file, bytes without newline) of one line."""
        start, stop = self.lines[row].tolist()
        return self.offset + start, bytes(self.data[start:stop])

    def table(self, first: int, last: int, rel: str, kinds: Schema, *, with_ids: bool) -> pa.Table:
        """The documents of taken lines [first, last); `values` holds the ids first where `with_ids`."""
        kind = pa.large_string()
        ends = self.text_ends[first : last + 1]
        text = pa.Array.from_buffers(kind, last - first, [None, pa.py_buffer(ends), pa.py_buffer(self.texts)])
        columns = [values[first:last] for values in self.values]
        ids = pa.array(columns.pop(0), kind) if with_ids else None
        extra = {name: pa.array(v, k) for (name, k), v in zip(kinds.items(), columns, strict=True)}
        starts = self.lines[first:last, 0] + self.offset
        return documents(
            text=text, rel=pa.repeat(pa.scalar(rel, kind), last - first), locator=pa.array(starts).cast(kind),
            ids=ids, extra=extra,
        )  # fmt: skip


class BlockParser:
    """Reads the plain lines of blocks: the text under one key, and the values of others through `takes`."""

    def __init__(self, text_field: str, takes: Sequence[tuple[str, Take]]) -> None:
        self._takes = [take for _, take in takes]
        names = list(dict.fromkeys([text_field, *(name for name, _ in takes)]))
        self._slots = [names.index(name) for name, _ in takes]
        coded = [name.encode("utf-8", "surrogatepass") for name in names]
        self._names = np.frombuffer(b"".join(coded) or b"\0", dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, coded)], dtype=np.int64)
        self._arena, self._used = np.empty(0, dtype=np.uint8), 0

    def __call__(self, data: bytes | memoryview, offset: int, *, stop: int, cap: int) -> Block:
        """The lines of `data` (it ends with a newline) that start before file offset `stop`."""
        from winnow.pipeline.read.jsonl_kernels import TAKEN, num_lines, read_lines

        raw = np.frombuffer(data, dtype=np.uint8)
        raw.flags.writeable = False
        rows = num_lines(raw)
        lines, text_ends = np.empty((rows, 2), dtype=np.int64), np.empty(rows + 1, dtype=np.int64)
        spans = np.empty((rows, len(self._ends) - 1, 2), dtype=np.int64)
        state = np.empty(rows, dtype=np.uint8)
        if self._used + len(data) + _SPARE > len(self._arena):
            self._arena = np.empty(0, dtype=np.uint8)  # whoever still shows texts in it keeps it
            self._arena, self._used = used_again(max(_ARENA_BYTES, len(data) + _SPARE)), 0
        texts = self._arena[self._used :]
        limit = min(stop - offset, len(data))
        rows = read_lines(raw, limit, cap, self._names, self._ends, texts, lines, text_ends, state, spans)
        text_ends = text_ends[: rows + 1] + self._used
        self._used = int(text_ends[-1])
        taken = state[:rows] == TAKEN
        values = self._values(data, spans[:rows], taken)
        lacking = spans[:rows, self._slots, 0] < 0
        return Block(data, offset, lines[:rows], taken, text_ends, self._arena, values, lacking)

    def _values(
        self, data: bytes | memoryview, spans: npt.NDArray[np.int64], taken: npt.NDArray[np.bool_]
    ) -> list[list[Any]]:
        """The other columns' values; a line with a value that is refused is no longer taken."""
        out = []
        for slot, take in zip(self._slots, self._takes, strict=True):
            values: list[Any] = []
            for row, (start, stop) in enumerate(spans[:, slot].tolist()):
                value = None
                if taken[row]:
                    try:
                        value = take(orjson.loads(data[start:stop]) if start >= 0 else None)
                    except (RefusedError, ValueError):
                        taken[row] = False
                values.append(value)
            out.append(values)
        return out
