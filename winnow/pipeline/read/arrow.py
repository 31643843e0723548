"""Arrow IPC files and streams, a record batch at a time: Feather, saved Hugging Face data sets, winnow's own shards.

A slice owns the record batches that begin in its bytes. Arrow does not check what it reads: this reader does, before
any value is looked at.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Bad, FileSlice, Tell
from winnow.core.store.remote_files import open_input
from winnow.pipeline.read.arrow_messages import Messages, StreamOf, messages_of
from winnow.pipeline.read.byte_stream import opened
from winnow.pipeline.read.column_documents import documents_of, fields_of, tell_absent
from winnow.pipeline.read.document import (
    TABLE_BYTES,
)
from winnow.pipeline.read.parquet_columns import ParquetBatch, unreadable
from winnow.pipeline.read.record_reader import RecordReader

_SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")


@dataclass(frozen=True, kw_only=True)
class Arrow(RecordReader):
    """Documents from Arrow IPC files and streams (.arrow, .arrows, .feather, .ipc), one per row.

    Rows with null or invalid text are quarantined under one of: null_text, invalid_utf8, missing_id, column_type,
    too_large; a stream that ends without saying so under truncated. Dotted names reach into structs; `columns` keeps
    `meta.lang` as `meta_lang`; dictionaries are decoded.
    Memory: a record batch as it was written, and a table of about 4 MB.
    Source: own.
    """

    name: ClassVar[str] = "arrow"
    suffixes: ClassVar[tuple[str, ...]] = _SUFFIXES
    splittable: ClassVar[tuple[str, ...]] = _SUFFIXES

    def starts(self, file: FileSlice, step: int) -> list[int]:
        """Where its record batches begin; none where the file has something wrong, which `read` says."""
        with suppress(ValueError, OSError), open_input(file.path, file.digest) as raw:
            starts = [batch.start for batch in messages_of(raw, file.size).batches]
            return [0, *starts[1:]]
        return []

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is `batch:row`.

        Raises: DataError where a file is corrupt or lacks a column.
        """
        for piece in unit:
            with opened(piece, any_bytes=True) as file:
                try:
                    found = messages_of(file, piece.size)
                    yield from self._tables(file, found, piece, bad)
                except (pa.ArrowException, ValueError, OSError) as error:
                    raise unreadable(piece, error, "Arrow") from error
            if not found.ended and piece.stop in (-1, piece.size):
                message = f"the stream ends at byte {found.end} without the mark of its end: rows may be missing"
                bad(Bad(origin=f"{piece.rel}#{found.end}", error="truncated", message=message))

    def _tables(self, file: BufferedReader, found: Messages, piece: FileSlice, bad: Tell) -> Iterator[pa.Table]:
        stop = piece.stop if piece.stop >= 0 else piece.size
        batches = found.batches
        mine = [number for number, batch in enumerate(batches) if piece.start <= batch.start < stop]
        with _opened(file, found, mine) as whole:
            schema = whole.schema
        fields = fields_of(self, schema, piece)
        wanted = sorted({schema.get_field_index(steps[0]) for steps in fields.values()})
        with _opened(file, found, mine, included_fields=wanted) as source:
            for number in mine:
                batch = source.get_batch(number) if found.is_file else source.read_next_batch()
                for column in batch.columns:
                    _check(column)
                step = max(1, TABLE_BYTES * batch.num_rows // max(batch.nbytes, 1))
                for first in range(0, batch.num_rows, step):
                    part = batch.slice(first, step)
                    rows = pa.array(range(first, first + part.num_rows), pa.int64())
                    table = documents_of(self, ParquetBatch(part, fields, piece, f"{number}:"), rows, bad)
                    tell_absent(self.columns, table, schema.names, fields, piece, bad)
                    yield table.combine_chunks()


def _opened(file: BufferedReader, found: Messages, mine: Sequence[int], **options: Any) -> Any:
    """The reader by pyarrow of a whole file, or of a stream of the batches `mine` alone."""
    given = pa.ipc.IpcReadOptions(use_threads=False, **options)
    if found.is_file:
        return pa.ipc.open_file(pa.PythonFile(_Shared(file), mode="r"), options=given)
    messages = found.needed([found.batches[number] for number in mine])
    return pa.ipc.open_stream(pa.PythonFile(StreamOf(file, messages), mode="r"), options=given)


class _Shared(io.BufferedReader):
    """A file that stays open when the reader of it is closed."""

    def __init__(self, file: BufferedReader) -> None:
        super().__init__(file.raw)

    def close(self) -> None:
        """It is another's."""
        self.detach()


def _check(array: pa.Array) -> None:
    """Raises: ArrowInvalid where offsets or indices lead out of an array's buffers. What is no UTF-8 may pass."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        ends = pc.min_max(array.indices)
        least, most = ends["min"].as_py(), ends["max"].as_py()
        if least is not None and not 0 <= least <= most < len(array.dictionary):
            raise pa.ArrowInvalid("an index is outside of its dictionary")
        _check(array.dictionary)
    elif pa.types.is_struct(kind):
        array.validate()
        for number in range(kind.num_fields):
            _check(array.field(number))
    else:
        as_bytes = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(kind)
        (array if as_bytes is None else array.view(as_bytes)).validate(full=True)
