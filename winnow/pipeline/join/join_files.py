"""Annotation files as Arrow tables of a key and typed columns, a few MB at a time.

Annotations are data that somebody prepared: a record that cannot be read is an error, not a quarantined row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import FileSlice
from winnow.core.store.packing import UNSUPPORTED
from winnow.core.store.schema import contiguous
from winnow.pipeline.read.byte_stream import ByteStream, opened
from winnow.pipeline.read.document import COLUMN_TYPES
from winnow.pipeline.read.json_fields import MISSING, TAKERS, getter, loads
from winnow.pipeline.read.parquet import Parquet
from winnow.pipeline.read.parquet_columns import ParquetBatch, batch_rows, is_text, steps_to, unreadable

KEY, NUMBER = "key", "number"  # columns of a table besides c0, c1, ...: the key, and the record's number over all files
_TABLE_ROWS = 16_384
_MAX_LINE = 256_000_000
_LOOKED_AT = 1000
_TEXT = pa.large_string()


def read(files: Sequence[str], key: str, columns: Mapping[str, str]) -> Iterator[tuple[str, pa.Table]]:
    """(file, table of `key` as text and c0, c1, ... as declared) for all records in the order of the files.

    Raises: ConfigError where a column is in none of the records; DataError where a record cannot be read.
    """
    seen = _Seen([key, *columns])
    for path in files:
        piece = FileSlice(path=path, rel=Path(path).name, digest="", size=Path(path).stat().st_size)
        if path.lower().endswith(Parquet.suffixes):
            yield from ((path, table) for table in _parquet(piece, key, columns))
        elif path.lower().endswith(UNSUPPORTED):
            raise ConfigError(
                f"cannot read the compression of {path!r}", where="files", hint="repack it as .gz, .zst, .bz2 or .xz"
            )
        else:
            yield from ((path, table) for table in _jsonl(piece, key, columns, seen))
    seen.check(files)


def shaped(tables: Iterator[tuple[str, pa.Table]], keys: str, source: str) -> Iterator[tuple[str, pa.Table]]:
    """The tables with their keys as the documents have them: large_binary, null where a record has none.

    `keys`: text (bytes as they are), doc_id (32 hex digits -> 16 bytes), id (hashed as the reader of `source` does).
    Raises: DataError for a doc_id that is not one.
    """
    for path, table in tables:
        at = table.column_names.index(KEY)
        yield path, table.set_column(at, KEY, _bytes_of(contiguous(table.column(KEY)), keys, source, path))


def _bytes_of(text: pa.Array, keys: str, source: str, path: str) -> pa.Array:
    if keys == "text":
        return text.cast(pa.large_binary())
    if keys == "id":
        from winnow.core.store.ids import field_ids

        ids = field_ids(source, text.fill_null("")).cast(pa.binary()).cast(pa.large_binary())
        return pc.if_else(pc.is_valid(text), ids, pa.scalar(None, pa.large_binary()))
    column = pl.Series(text)
    raw = column.str.to_lowercase().str.decode("hex", strict=False)
    wrong = column.is_not_null() & (raw.is_null() | (column.str.len_bytes() != 32))
    if wrong.any():
        raise DataError(
            f"{column.filter(wrong)[0]!r} is not a doc_id: 32 hex digits", where=path,
            hint="`on:` another column, or `on: id` for your own ids",
        )  # fmt: skip
    return raw.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_binary())


def _parquet(piece: FileSlice, key: str, columns: Mapping[str, str]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    with opened(piece) as raw:
        try:
            with pq.ParquetFile(raw, page_checksum_verification=True, pre_buffer=False) as file:
                yield from _parquet_tables(file, piece, key, columns)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(piece, error) from error


def _parquet_tables(file: Any, piece: FileSlice, key: str, columns: Mapping[str, str]) -> Iterator[pa.Table]:
    try:
        fields = {name: steps_to(file.schema_arrow, name, piece) for name in dict.fromkeys([key, *columns])}
    except DataError as error:
        raise ConfigError(error.what, where=error.where, hint=error.hint) from error
    wanted = sorted({".".join(steps) for steps in fields.values()})
    for group in range(file.metadata.num_row_groups):
        rows = batch_rows(file.metadata.row_group(group), wanted)
        for record_batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=wanted, use_threads=False):
            batch = ParquetBatch(record_batch, fields, piece, f"{group}:")
            keys, invalid = _parquet_keys(batch, key, piece)
            out = {KEY: keys}
            for number, (name, kind) in enumerate(columns.items()):
                values, misfit = batch.typed(name, kind)
                out[f"c{number}"] = values
                invalid = pc.or_(invalid, misfit)
            if pc.any(invalid).as_py():
                raise DataError(f"a value in row group {group} does not fit its type", where=piece.path)
            yield pa.table(out)


def _parquet_keys(batch: ParquetBatch, key: str, piece: FileSlice) -> tuple[pa.Array, pa.Array]:
    """(keys as text, mask of those that are none); 16-byte ids as hex digits."""
    values = batch.values(key)
    if values.type == pa.binary(16):
        digits = pl.Series(values.cast(pa.large_binary()), dtype=pl.Binary).bin.encode("hex")
        text = digits.to_arrow(compat_level=pl.CompatLevel.oldest())
        return text, pa.repeat(pa.scalar(False), len(values))
    if pa.types.is_integer(values.type) or is_text(values.type):
        return batch.strings(key)
    raise ConfigError(f"the key {key!r} is {values.type}", where=piece.rel, hint="a key is text or an integer")


class _Seen:
    """Which of the wanted fields some JSON record had; the names that the first records have."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.found = names, [False] * len(names)
        self.known: set[str] = set()
        self.records = 0

    def note(self, record: Mapping[str, Any], values: Sequence[Any]) -> None:
        """One more record."""
        self.records += 1
        if self.records <= _LOOKED_AT:
            self.known.update(record)
        for i, value in enumerate(values):
            if value is not MISSING:
                self.found[i] = True

    def check(self, files: Sequence[str]) -> None:
        """Raises: ConfigError where no record had a field."""
        for name, found in zip(self.names, self.found, strict=True):
            if self.records and not found:
                raise ConfigError(
                    f"none of {self.records} records has {name!r}", where=files[0], hint=did_you_mean(name, self.known)
                )


def _jsonl(piece: FileSlice, key: str, columns: Mapping[str, str], seen: _Seen) -> Iterator[pa.Table]:
    takers: list[tuple[str, Any, Any]] = [("key", getter(key), _key)]
    takers += [(name, getter(name), TAKERS[kind]) for name, kind in columns.items()]
    kinds = [_TEXT, *(COLUMN_TYPES[kind] for kind in columns.values())]
    held: list[list[Any]] = []
    for offset, line in ByteStream(piece).lines(_MAX_LINE):
        record = _record(line, piece, offset)
        if record is None:
            continue
        held.append([_taken(record, taker, piece, offset) for taker in takers])
        seen.note(record, held[-1])
        if len(held) == _TABLE_ROWS:
            yield _table(held, kinds)
            held = []
    if held:
        yield _table(held, kinds)


def _record(line: bytes | None, piece: FileSlice, offset: int) -> dict[str, Any] | None:
    """The object of a line; None for a blank one. Raises: DataError."""
    where = f"{piece.path}#{offset}"
    if line is None:
        raise DataError("the record is longer than 256 MB", where=where)
    line = line.removeprefix(b"\xef\xbb\xbf") if offset == 0 else line
    try:
        record = loads(line)
    except orjson.JSONDecodeError as error:
        if not line.strip(b" \t\r"):
            return None
        raise DataError(f"the line is no JSON: {error}", where=where, hint="repair the annotation file") from None
    if type(record) is not dict:
        raise DataError("the line is no object", where=where, hint="one object per line")
    return record


def _taken(record: dict[str, Any], taker: tuple[str, Any, Any], piece: FileSlice, offset: int) -> Any:
    name, get, take = taker
    value = get(record)
    if value is MISSING or value is None:
        return value
    try:
        return take(value)
    except ValueError as error:
        raise DataError(f"{name!r} is {value!r}, not {error}", where=f"{piece.path}#{offset}") from None


def _key(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise ValueError("text or an integer")


def _table(held: list[list[Any]], kinds: Sequence[pa.DataType]) -> pa.Table:
    columns = [[None if v is MISSING else v for v in column] for column in zip(*held, strict=True)]
    names = [KEY, *(f"c{i}" for i in range(len(kinds) - 1))]
    return pa.table({n: pa.array(c, k) for n, c, k in zip(names, columns, kinds, strict=True)})
