"""Arrow IPC files: sidecar columns that are mapped, texts in compressed batches, and shards for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.store.schema import read_ipc, to_frame, write_ipc
from winnow.core.store.shard_format import IDS, ShardFormat, fewer_rows, pick_texts, with_hex_ids


class MappedArrow(ShardFormat):
    """One uncompressed batch: columns are read in place. Any other Arrow file is read by it as well."""

    suffix: ClassVar[str] = ".arrow"
    mapped: ClassVar[bool] = True

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """One batch, uncompressed."""
        write_ipc(sink, table, compress=False)

    def read(self, source: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
        """The named columns over the file's own memory."""
        return read_ipc(source, columns, compressed=self.packed)

    def columns(self, source: pa.NativeFile) -> list[str]:
        """Names in the file's schema."""
        return list(pa.ipc.open_file(source).schema.names)

    def frames(self, source: pa.NativeFile, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """One frame per record batch."""
        reader = _only(source, columns)
        for number in range(reader.num_record_batches):
            yield to_frame(pa.Table.from_batches([reader.get_batch(number)])).select(columns)

    def cells(self, source: pa.NativeFile, columns: Sequence[str], row: int) -> dict[str, Any]:
        """Only the record batch that holds the row is read; heights are read from a narrow column."""
        full, thin = _only(source, columns), _thin(source, columns)
        for number in range(full.num_record_batches):
            height = thin.get_batch(number).num_rows
            if row < height:
                batch = full.get_batch(number)
                return {c: batch.column(c)[row].as_py() for c in columns}
            row -= height
        raise fewer_rows()

    def texts_at(self, source: pa.NativeFile, rows: Sequence[int], chars: int) -> Iterator[tuple[int, str, str]]:
        """Only the record batches that hold the rows are decompressed."""
        full, thin = _only(source, ["text", "origin"]), _thin(source, ["text", "origin"])
        left, start = np.asarray(rows), 0
        for number in range(full.num_record_batches):
            if not len(left):
                return
            stop = start + thin.get_batch(number).num_rows
            inside = left[left < stop]
            if len(inside):
                table = pa.Table.from_batches([full.get_batch(number)])
                yield from pick_texts(table, inside.tolist(), (inside - start).tolist(), chars)
            left, start = left[len(inside) :], stop
        if len(left):
            raise fewer_rows()


class PackedArrow(MappedArrow):
    """Compressed batches of about 4 MB of text: what a part's text columns are written as."""

    suffix: ClassVar[str] = ".text.arrow"
    mapped: ClassVar[bool] = False
    packed: ClassVar[bool] = True

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """Batches of texts, compressed."""
        write_ipc(sink, table, compress=True)


class ArrowShard(PackedArrow):
    """`format: arrow`: compressed batches under the plain suffix, which others know."""

    name: ClassVar[str] = "arrow"
    suffix: ClassVar[str] = ".arrow"

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """Batches of texts, compressed; ids as hex digits."""
        super().write(sink, with_hex_ids(table))

    def exact(self, columns: Sequence[str]) -> list[str]:
        """All but the ids, which are written as hex digits."""
        return [c for c in columns if c not in IDS]


def _only(source: pa.NativeFile, columns: Sequence[str]) -> Any:
    """A reader of the named columns alone."""
    schema = pa.ipc.open_file(source).schema
    wanted = sorted(schema.get_field_index(c) for c in columns)
    return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False))


def _thin(source: pa.NativeFile, columns: Sequence[str]) -> Any:
    """A reader of one narrow column, which says how high the batches are."""
    schema = pa.ipc.open_file(source).schema
    narrow = schema.get_field_index("origin")
    narrow = narrow if narrow >= 0 else schema.get_field_index(columns[0])
    return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=[narrow], use_threads=False))
