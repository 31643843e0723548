"""Parquet shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.store.schema import to_frame
from winnow.core.store.shard_format import BATCH_ROWS, IDS, ShardFormat, fewer_rows, pick_texts, with_hex_ids

ROW_GROUP_ROWS = 16_384


class Parquet(ShardFormat):
    """`format: parquet`: row groups of 16,384 rows, zstd, no dictionaries, statistics of every column.

    Pages end where the content says (content-defined chunking): after a change to some rows most of a shard's bytes are
    those of the old one, and a store that knows chunks (a Hugging Face data set's) takes only what is new.
    """

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """All rows in row groups; how the table is cut in memory is no part of the bytes."""
        import pyarrow.parquet as pq

        out = pa.PythonFile(sink, "w")
        pq.write_table(
            with_hex_ids(table).combine_chunks(), out, compression="zstd", row_group_size=ROW_GROUP_ROWS,
            use_dictionary=False, use_content_defined_chunking=True,
        )  # fmt: skip

    def exact(self, columns: Sequence[str]) -> list[str]:
        """All but the ids, which are written as hex digits."""
        return [c for c in columns if c not in IDS]

    def read(self, source: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
        """The named columns of all row groups."""
        import pyarrow.parquet as pq

        return pq.read_table(source, columns=list(columns) if columns else None)

    def columns(self, source: pa.NativeFile) -> list[str]:
        """Names in the footer's schema."""
        with _opened(source) as file:
            return list(file.schema_arrow.names)

    def frames(self, source: pa.NativeFile, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Frames of some thousand rows."""
        with _opened(source) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns), use_threads=False):
                yield to_frame(pa.Table.from_batches([batch])).select(columns)

    def cells(self, source: pa.NativeFile, columns: Sequence[str], row: int) -> dict[str, Any]:
        """Only the row group that holds the row is read."""
        with _opened(source) as file:
            for group in range(file.num_row_groups):
                height = file.metadata.row_group(group).num_rows
                if row < height:
                    table = file.read_row_group(group, columns=list(columns))
                    return {c: table.column(c)[row].as_py() for c in columns}
                row -= height
        raise fewer_rows()

    def texts_at(self, source: pa.NativeFile, rows: Sequence[int], chars: int) -> Iterator[tuple[int, str, str]]:
        """Only the row groups that hold the rows are read."""
        left, start = np.asarray(rows), 0
        with _opened(source) as file:
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                inside = left[left < stop]
                if len(inside):
                    table = file.read_row_group(group, columns=["text", "origin"])
                    yield from pick_texts(table, inside.tolist(), (inside - start).tolist(), chars)
                left, start = left[len(inside) :], stop
        if len(left):
            raise fewer_rows()


def _opened(source: pa.NativeFile) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(source)
