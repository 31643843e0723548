"""Parquet files, a row group at a time: only the columns that are asked for are read and decoded.

A slice owns the row groups that begin in its bytes, so any cut of a file reads every row once. Parquet does
not check that its strings are UTF-8; this reader does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.operators import FileSlice, FoundFile, Tell
from winnow.pipeline.read.byte_stream import opened
from winnow.pipeline.read.column_documents import documents_of, fields_of, tell_absent
from winnow.pipeline.read.document import (
    TABLE_BYTES,
    check_found,
)
from winnow.pipeline.read.parquet_columns import ParquetBatch, batch_rows, unreadable
from winnow.pipeline.read.record_reader import RecordReader

_TEXT = pa.large_string()


@dataclass(frozen=True, kw_only=True)
class Parquet(RecordReader):
    """Documents from Parquet files, one per row.

    Rows with null or invalid text are quarantined under one of: null_text, invalid_utf8, missing_id,
    column_type, too_large. Dotted names reach into structs; `columns` keeps `meta.lang` as `meta_lang`.
    Source: own.
    """

    name: ClassVar[str] = "parquet"
    version: ClassVar[int] = 2
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    splittable: ClassVar[tuple[str, ...]] = (".parquet",)

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """All files."""
        check_found(found)
        return list(found)

    def starts(self, file: FileSlice, step: int) -> list[int]:
        """Where its row groups begin; none where the file has something wrong, which `read` says."""
        import pyarrow.parquet as pq

        with suppress(pa.ArrowException, OSError):
            meta = pq.read_metadata(file.path)
            starts = [_group_start(meta.row_group(i)) for i in range(meta.num_row_groups)]
            return [0, *starts[1:]] if starts == sorted(set(starts)) else []
        return []

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is `rowgroup:row`.

        Raises: DataError where a file is corrupt or lacks a column.
        Cost: memory of one column chunk's pages and one table.
        """
        ready: list[pa.Table] = []
        held = 0
        for piece in unit:
            for table in self._tables(piece, bad):
                ready.append(table)
                held += table.nbytes
                if held >= TABLE_BYTES:
                    yield pa.concat_tables(ready).combine_chunks()
                    ready, held = [], 0
        if ready:
            yield pa.concat_tables(ready).combine_chunks()

    def _tables(self, piece: FileSlice, bad: Tell) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        with opened(piece, any_bytes=True) as raw:
            try:
                with pq.ParquetFile(raw, page_checksum_verification=True, pre_buffer=False) as file:
                    fields = fields_of(self, file.schema_arrow, piece)
                    for group in _owned(file.metadata, piece):
                        yield from self._group(file, fields, piece, group, bad)
            except (pa.ArrowException, OSError) as error:
                raise unreadable(piece, error) from error

    def _group(
        self,
        file: Any,
        fields: dict[str, list[str]],
        piece: FileSlice,
        group: int,
        bad: Tell,
    ) -> Iterator[pa.Table]:
        columns = sorted({".".join(steps) for steps in fields.values()})
        batches = file.iter_batches(
            batch_size=batch_rows(file.metadata.row_group(group), columns),
            row_groups=[group],
            columns=columns,
            use_threads=False,
        )
        first = 0
        for batch in batches:
            rows = pa.array(range(first, first + batch.num_rows), pa.int64())
            first += batch.num_rows
            table = documents_of(self, ParquetBatch(batch, fields, piece, f"{group}:"), rows, bad)
            tell_absent(self.columns, table, file.schema_arrow.names, fields, piece, bad)
            yield table


def _owned(metadata: Any, piece: FileSlice) -> list[int]:
    """Numbers of the row groups that begin in the slice's bytes; those without rows belong to nobody."""
    stop = piece.stop if piece.stop >= 0 else piece.size
    groups = []
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if group.num_rows and piece.start <= min(_group_start(group), piece.size - 1) < stop:
            groups.append(index)
    return groups


def _group_start(group: Any) -> int:
    """Byte offset at which the first column's first page lies."""
    chunk = group.column(0)
    dictionary = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
    return int(min(chunk.data_page_offset, dictionary or chunk.data_page_offset))
