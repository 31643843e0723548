"""Parquet files, a row group at a time: only the columns that are asked for are read and decoded.

A slice owns the row groups that begin in its bytes, so any cut of a file reads every row once. Parquet does
not check that its strings are UTF-8; this reader does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Bad, Derive, FileSlice, FoundFile, Lacks, Schema, Tell, port
from winnow.core.operators.contract import Meaning
from winnow.pipeline.read.byte_stream import opened
from winnow.pipeline.read.document import (
    KEPT,
    READER_FIELDS,
    TABLE_BYTES,
    check_columns,
    check_found,
    check_id,
    check_record_limit,
    check_text_field,
    declared,
    documents,
    extra_columns,
    id_field,
    of_partition,
    partitions,
)
from winnow.pipeline.read.parquet_columns import ParquetBatch, batch_rows, has_field, steps_to, unreadable

_TEXT = pa.large_string()


@dataclass(frozen=True, kw_only=True)
class Parquet(Derive):
    """Documents from Parquet files, one per row.

    Rows with null or invalid text are quarantined under one of: null_text, invalid_utf8, missing_id,
    column_type, too_large. Dotted names reach into structs; `columns` keeps `meta.lang` as `meta_lang`.
    Source: own.
    """

    name: ClassVar[str] = "parquet"
    version: ClassVar[int] = 2
    meaning: ClassVar[Mapping[str, Meaning]] = READER_FIELDS
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    splittable: ClassVar[tuple[str, ...]] = (".parquet",)
    no_data: ClassVar[tuple[str, ...]] = ("_", ".")
    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    text_field: str = "text"
    id: str = "position"
    columns: dict[str, str | dict[str, str]] = field(default_factory=dict)  # or NAME: {from: FIELD, type: string}
    max_record_mb: int = 256

    def outputs(self) -> Schema:
        """The declared extra columns."""
        return extra_columns(self.columns)

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id)
        check_columns(self.columns)
        check_text_field(self.text_field)
        check_record_limit(self.max_record_mb)

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

        with opened(piece) as raw:
            try:
                with pq.ParquetFile(raw, page_checksum_verification=True, pre_buffer=False) as file:
                    fields = self._fields(file.schema_arrow, piece)
                    for group in _owned(file.metadata, piece):
                        yield from self._group(file, fields, piece, group, bad)
            except (pa.ArrowException, OSError) as error:
                raise unreadable(piece, error) from error

    def _fields(self, schema: pa.Schema, piece: FileSlice) -> dict[str, list[str]]:
        """Field -> the names that lead to it. Raises: DataError where the file lacks the text or the id."""
        named = id_field(self.id)
        must = [self.text_field, *([named] if named else [])]
        may = [column.field for column in declared(self.columns) if has_field(schema, column.field)]
        return {name: steps_to(schema, name, piece) for name in dict.fromkeys([*must, *may])}

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
            table = self._documents(ParquetBatch(batch, fields, piece, f"{group}:"), rows, bad)
            for column in declared(self.columns):
                if column.field not in fields and column.field not in partitions(piece.rel) and table.num_rows:
                    bad(Lacks(column=column.field, records=table.num_rows, names=tuple(file.schema_arrow.names[:50])))
            yield table

    def _documents(self, batch: ParquetBatch, rows: pa.Array, bad: Tell) -> pa.Table:
        locator = batch.locators(rows)
        text, invalid = batch.text(self.text_field)
        reasons = {
            "invalid_utf8": invalid,
            "null_text": pc.is_null(text),
            "too_large": pc.fill_null(pc.greater(pc.binary_length(text), self.max_record_mb * 1_000_000), False),
        }
        ids = None
        if (named := id_field(self.id)) is not None:
            ids, invalid = batch.strings(named)
            lacks = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True)
            reasons["missing_id"] = pc.or_(lacks, invalid)
            if self.id == KEPT:
                foreign = pc.invert(pc.match_substring_regex(ids, "^[0-9a-fA-F]{32}$"))
                reasons["missing_id"] = pc.or_(reasons["missing_id"], pc.fill_null(foreign, True))
        extra = {}
        for column in declared(self.columns):
            if not batch.has(column.field):
                extra[column.name] = of_partition(batch.file, column, len(rows))
                continue
            extra[column.name], misfit = batch.typed(column.field, column.kind)
            reasons["column_type"] = pc.or_(reasons.get("column_type", misfit), misfit)
        table = documents(text=text, rel=batch.rel(), locator=locator, ids=ids, extra=extra)
        return _refuse(table, reasons, bad)


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


def _refuse(table: pa.Table, reasons: Mapping[str, pa.Array], bad: Tell) -> pa.Table:
    """The rows to which no reason applies; each of the others is reported once, under its first reason."""
    refused = pa.repeat(pa.scalar(False), table.num_rows)
    for mask in reasons.values():
        refused = pc.or_(refused, mask)
    if not pc.any(refused).as_py():
        return table
    for row in pc.indices_nonzero(refused).to_pylist():
        error = next(name for name, mask in reasons.items() if mask[row].as_py())
        bad(Bad(origin=table["origin"][row].as_py(), error=error, message=_MESSAGES[error]))
    return table.filter(pc.invert(refused))


_MESSAGES: Mapping[str, str] = {
    "invalid_utf8": "the text is not UTF-8",
    "null_text": "the text is null",
    "too_large": "the text is longer than `max_record_mb`",
    "missing_id": "the id is null, empty, not UTF-8 or (`id: doc_id`) not 32 hex digits",
    "column_type": "an extra column's value does not fit its declared type",
}
