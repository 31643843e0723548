"""What a shard format is: a class with `write` and `read`; what it does not override works through `read`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import StoreError
from winnow.core.store.schema import contiguous, to_frame

BATCH_ROWS = 4096
IDS = ("doc_id", "text_hash")  # 16 bytes inside winnow, 32 hex digits wherever a person or another tool reads them


class ShardFormat:
    """How the rows of a table lie in a file. A source is an open, seekable file at its start."""

    name: ClassVar[str] = ""  # what `write: {format: ...}` and `--format` say; empty for files that winnow only reads
    suffix: ClassVar[str]
    mapped: ClassVar[bool] = False  # True: a column is the file's own memory, so the open table may be kept
    packed: ClassVar[bool] = False  # True: to read a column is to decompress it, so a table just written may be kept

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """Write all rows; equal rows in the same order give equal bytes."""
        raise NotImplementedError

    def read(self, source: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
        """The named columns (all where None) of all rows."""
        raise NotImplementedError

    def in_file(self, columns: Sequence[str]) -> list[str]:
        """Those of a shard's columns that are written into its file."""
        return list(columns)

    def exact(self, columns: Sequence[str]) -> list[str]:
        """Those of the written columns that `read` gives back value for value; the others lie beside it as Arrow."""
        return list(columns)

    def unwritten(self, table: pa.Table) -> dict[str, int]:
        """`unwritten:COLUMN` -> how many values the format cannot hold and writes as null."""
        return {}

    def columns(self, source: pa.NativeFile) -> list[str]:
        """Names of the columns in a file."""
        return list(self.read(source, None).column_names)

    def frames(self, source: pa.NativeFile, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows in small frames of the named columns."""
        table = self.read(source, columns).select(list(columns))
        yield from to_frame(table).iter_slices(BATCH_ROWS)

    def cells(self, source: pa.NativeFile, columns: Sequence[str], row: int) -> dict[str, Any]:
        """The values of one row. Raises StoreError where there are fewer rows."""
        table = self.read(source, columns)
        if row >= table.num_rows:
            raise fewer_rows()
        return {name: table.column(name)[row].as_py() for name in columns}

    def texts_at(self, source: pa.NativeFile, rows: Sequence[int], chars: int) -> Iterator[tuple[int, str, str]]:
        """(row, the first `chars` characters of `text`, `origin`) of the given rows, which ascend; null is ''.

        Raises: StoreError where there are fewer rows.
        """
        table = self.read(source, ["text", "origin"])
        yield from pick_texts(table, rows, rows, chars)


def with_hex_ids(table: pa.Table) -> pa.Table:
    """The table as it is written for others: 16-byte ids as texts of 32 hex digits."""
    for at, field in enumerate(table.schema):
        if field.name in IDS and field.type == pa.binary(16):
            table = table.set_column(at, field.name, hex_of(contiguous(table.column(at))))
    return table


def hex_of(ids: pa.Array) -> pa.Array:
    """16-byte ids as large_string of 32 hex digits."""
    column = pl.Series(ids.cast(pa.large_binary()), dtype=pl.Binary).bin.encode("hex")
    return column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())


def pick_texts(
    table: pa.Table, rows: Sequence[int], inside: Sequence[int], chars: int
) -> Iterator[tuple[int, str, str]]:
    """What `texts_at` yields for `rows` of a file, which are the rows `inside` of a table of its columns."""
    text, origin = contiguous(table.column("text")), contiguous(table.column("origin"))
    for row, at in zip(rows, inside, strict=True):
        if at >= table.num_rows:
            raise fewer_rows()
        piece = pc.utf8_slice_codeunits(text.slice(at, 1), 0, chars)
        yield row, piece[0].as_py() or "", origin[at].as_py() or ""


def fewer_rows() -> StoreError:
    """The error for a row that a file does not have."""
    return StoreError("a file has fewer rows than its receipt says", hint="remove this stage folder and run again")
