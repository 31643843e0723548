"""Where a document lies: a sorted index of doc_id prefixes per row space, made on first use (16 B per row).

`index/{folder}.arrow` holds `prefix` (the first 8 bytes of doc_id as a big-endian number, ascending), `part` and
`row`; it is memory-mapped, so a lookup reads a few pages. Building it reads the doc_id columns once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import StoreError
from winnow.core.store.ids import as_fixed
from winnow.core.store.parts import committed, read_columns
from winnow.core.store.store import Store
from winnow.core.words.hashing import as_lanes
from winnow.dags.looking.cells import cell

FOLDER = "index"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row of a row space: the unit's name, the row in it, and its document."""

    unit: str
    row: int
    doc_id: bytes


class RowIndex:
    """Rows of one row space by doc_id, by prefix and by origin."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self.parts = committed(store, folder).named("part")
        self.units = list(self.parts)
        self._table: pa.Table | None = None

    def find(self, prefix: str) -> list[Place]:
        """Rows whose doc_id begins with these hex digits (8 to 32 of them), in doc_id order; at most 100."""
        low, high = (int(prefix[:16].ljust(16, fill), 16) for fill in "0f")
        sorted_prefixes = self._column("prefix")
        start = int(np.searchsorted(sorted_prefixes, np.uint64(low), side="left"))
        stop = int(np.searchsorted(sorted_prefixes, np.uint64(high), side="right"))
        places = [self._place(i) for i in range(start, min(stop, start + 100))]
        return sorted((p for p in places if p.doc_id.hex().startswith(prefix)), key=lambda p: p.doc_id)

    def nearest(self, prefix: str, most: int = 4) -> list[str]:
        """Hex ids of the rows around a prefix that no row has."""
        at = int(np.searchsorted(self._column("prefix"), np.uint64(int(prefix[:16].ljust(16, "0"), 16))))
        rows = range(max(0, at - most // 2), min(len(self._column("prefix")), at + most // 2))
        return [self._place(i).doc_id.hex() for i in rows]

    def with_origin(self, origin: str, *, most: int = 20) -> list[Place]:
        """Rows whose `origin` is this text, or whose origin is a record of this file. Cost: reads the origins."""
        same = text_scalar(origin)
        return list(self._matching(lambda a: pc.or_(pc.equal(a, same), pc.starts_with(a, f"{origin}#")), most))

    def like_origin(self, text: str, *, most: int = 4) -> list[str]:
        """Origins that contain the last piece of a path, those nearest to its `#number` first, for hints."""
        piece, mark, locator = text.rstrip("/").rsplit("/", 1)[-1].rpartition("#")
        piece, locator = (piece, locator) if mark else (locator, "")
        names: list[str] = []
        for receipt in self.parts.values():
            column = read_columns(self.store, {"origin": (receipt, "origin")}).column("origin")
            names += column.filter(pc.match_substring(column, piece)).to_pylist()
            if not locator.isdigit() and len(names) >= most:
                break
        if locator.isdigit():
            names.sort(key=lambda name: abs(_number(name) - int(locator)))
        return names[:most]

    def _matching(self, test: Any, most: int) -> Iterator[Place]:
        left = most
        for unit, receipt in self.parts.items():
            table = read_columns(self.store, {"origin": (receipt, "origin")})
            for row in true_rows(test(table.column("origin")))[:left]:
                left -= 1
                yield Place(unit=unit, row=row, doc_id=cell(self.store, receipt, "doc_id", row))
            if left <= 0:
                return

    def _place(self, position: int) -> Place:
        unit = self.units[int(self._column("part")[position])]
        row = int(self._column("row")[position])
        return Place(unit=unit, row=row, doc_id=cell(self.store, self.parts[unit], "doc_id", row))

    def _column(self, name: str) -> Any:
        if self._table is None:
            self._table = self._load()
        column = self._table.column(name)
        return _numbers(column.chunk(0)) if column.num_chunks else np.zeros(0, np.uint64)

    def _load(self) -> pa.Table:
        key = f"{FOLDER}/{self.folder}.arrow"
        rows = sum(r.rows for r in self.parts.values())
        if self.store.exists(key):
            with suppress(pa.ArrowInvalid):
                table = pa.ipc.open_file(self.store.open_buffer(key)).read_all()
                if table.num_rows == rows:
                    return table
        table = self._build()
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with suppress(StoreError):  # a root that cannot be written to can still be asked
            self.store.put(key, sink.getvalue())
        return table

    def _build(self) -> pa.Table:
        prefixes, parts, rows = [], [], []
        for number, receipt in enumerate(self.parts.values()):
            column = read_columns(self.store, {"doc_id": (receipt, "doc_id")}).column("doc_id")
            lanes = as_lanes(as_fixed(column))
            prefixes.append(lanes[:, 0].byteswap())
            parts.append(np.full(len(lanes), number, dtype=np.uint32))
            rows.append(np.arange(len(lanes), dtype=np.uint32))
        if not prefixes:
            return _table(np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.uint32))
        prefix = np.concatenate(prefixes)
        order = np.argsort(prefix, kind="stable")
        return _table(prefix[order], np.concatenate(parts)[order], np.concatenate(rows)[order])


def true_rows(mask: pa.ChunkedArray) -> list[int]:
    """Numbers of the rows where a boolean column is true; null is not."""
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


# `pa.scalar`, `pa.array` and `to_numpy` import pandas where it is installed: half of the time of a lookup.


def text_scalar(value: str) -> pa.Scalar:
    """The text as a large_string."""
    data = value.encode()
    ends = np.array([0, len(data)], np.int64)
    return pa.Array.from_buffers(pa.large_string(), 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])[0]


def id_scalar(doc_id: bytes) -> pa.Scalar:
    """The id as 16 fixed bytes."""
    return pa.Array.from_buffers(pa.binary(16), 1, [None, pa.py_buffer(doc_id)])[0]


def _table(prefix: Any, part: Any, row: Any) -> pa.Table:
    columns = {"prefix": (pa.uint64(), prefix), "part": (pa.uint32(), part), "row": (pa.uint32(), row)}
    arrays = [pa.Array.from_buffers(kind, len(v), [None, pa.py_buffer(v)]) for kind, v in columns.values()]
    return pa.Table.from_arrays(arrays, names=list(columns))


def _numbers(column: pa.Array) -> Any:
    """The values of an unsigned column without nulls."""
    bits = np.dtype(f"u{column.type.bit_width // 8}")
    return np.frombuffer(column.buffers()[1], bits, len(column), column.offset * bits.itemsize)


def shard_name(store: Store, folder: str, unit: str, units: Sequence[str]) -> str:
    """Where the published shard of one part lies. Raises StoreError where it is not published."""
    number = list(units).index(unit)
    shards = f"{folder}/shards"
    for key in store.list(shards):
        if key.startswith(f"{shards}/shard-{number:05d}-of-"):
            return store.where(key)
    raise StoreError(
        "a published shard is gone", where=store.where(shards), hint="remove this stage folder and run again"
    )


def _number(origin: str) -> int:
    """What stands behind the `#` of an origin; far away where that is no number."""
    locator = origin.rpartition("#")[2]
    return int(locator) if locator.isdigit() else 1 << 62
