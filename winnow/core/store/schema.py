"""Arrow tables as they lie on disk: declared columns, LargeUtf8 (never views), zeroed null slots.

Text columns go to a compressed file of ~4 MB batches; everything else goes uncompressed, one batch, so that
it can be memory-mapped. Equal rows of one part give equal file bytes however they were computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ContractError, did_you_mean
from winnow.core.operators import Schema
from winnow.core.store.reuse import used_again
from winnow.core.words.text import utf8_buffers

HEAVY = (pa.large_string(), pa.large_binary())
TEXT_BATCH_BYTES = 4 << 20
HUGE_BYTES = 4 << 20
ZSTD_LEVEL = 1  # measured on code-heavy text: 4x smaller, 1.4 GB/s to read back

STATE = "state"
STATE_OK, STATE_MASKED, STATE_FAILED, STATE_NULL = 0, 1, 2, 3


def is_count(schema: pa.Schema, name: str) -> bool:
    """True where there is a column `name` of whole numbers: a reader may call a text `token_count`."""
    at = schema.get_field_index(name)
    return at >= 0 and bool(pa.types.is_integer(schema.field(at).type))


def is_mark(schema: pa.Schema, name: str) -> bool:
    """True where there is a column `name` of true and false."""
    at = schema.get_field_index(name)
    return at >= 0 and bool(pa.types.is_boolean(schema.field(at).type))


def to_table(frame: pl.DataFrame | pa.Table | pa.RecordBatch) -> pa.Table:
    """The same rows as a pyarrow table without string views."""
    if isinstance(frame, pl.DataFrame):
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    return frame


def to_frame(table: pa.Table) -> pl.DataFrame:
    """The same rows as a Polars frame (zero-copy where Polars can)."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def conform(frame: pl.DataFrame | pa.Table | pa.RecordBatch, schema: Schema, *, rows: int) -> pa.Table:
    """Exactly the columns of `schema`, in its order and types, `rows` high.

    Raises ContractError naming the column where an operator answered something else.
    """
    table = to_table(frame)
    if table.num_rows != rows:
        raise ContractError(
            f"the operator returned {table.num_rows} rows for {rows}",
            hint="an operator answers row for row; use null where there is no answer",
        )
    unknown = [name for name in table.column_names if name not in schema]
    missing = [name for name in schema if name not in table.column_names]
    if unknown or missing:
        raise ContractError(
            f"the operator's columns are not the declared ones: missing {missing}, undeclared {unknown}",
            hint=did_you_mean((unknown or missing)[0], schema),
        )
    return pa.table({name: cast(table.column(name), kind, name) for name, kind in schema.items()})


def cast(column: pa.ChunkedArray | pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """One contiguous array of type `kind`. Raises ContractError where values do not fit."""
    array = contiguous(column)
    if array.type == kind:
        return array
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise ContractError(f"column {name!r} is {array.type}, declared {kind}: {error}") from error
    except pa.ArrowNotImplementedError as error:
        raise ContractError(f"column {name!r} is {array.type}, declared {kind}") from error


def contiguous(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.type in HEAVY and column.null_count == 0 and column.nbytes >= HUGE_BYTES:
        return _joined_texts(column)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _joined_texts(column: pa.ChunkedArray) -> pa.Array:
    """Texts without nulls as one array: over the same bytes where they lie one after another, else copied.

    The copy is in memory that is used again.
    """
    pieces = [utf8_buffers(chunk) for chunk in column.chunks if len(chunk)]
    ends = np.zeros(len(column) + 1, dtype=np.int64)
    if _adjoin(pieces):
        np.concatenate([pieces[0][0], *(offsets[1:] for offsets, _ in pieces[1:])], out=ends)
        return pa.Array.from_buffers(column.type, len(column), [None, pa.py_buffer(ends), pa.py_buffer(pieces[0][1])])
    size = sum(int(offsets[-1] - offsets[0]) for offsets, _ in pieces)
    data = used_again(size)[:size]
    row = at = 0
    for offsets, raw in pieces:
        first, last = int(offsets[0]), int(offsets[-1])
        ends[row + 1 : row + len(offsets)] = offsets[1:] + (at - first)
        data[at : at + last - first] = raw[first:last]
        row, at = row + len(offsets) - 1, at + last - first
    return pa.Array.from_buffers(column.type, len(column), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _adjoin(pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """True where (offsets, bytes) are pieces of the same bytes, each beginning where the one before ends."""
    return all(
        two[1].ctypes.data == one[1].ctypes.data and two[0][0] == one[0][-1] for one, two in itertools.pairwise(pieces)
    )


def canonical(array: pa.Array) -> pa.Array:
    """The same values with offset 0, zeros under nulls and no validity buffer where nothing is null."""
    array = pa.concat_arrays([array]) if array.offset else array
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_boolean(array.type) or pa.types.is_primitive(array.type):
        return _canonical_primitive(array)
    if pa.types.is_large_list(array.type):
        return _canonical_list(array)
    if pa.types.is_fixed_size_binary(array.type):
        return _canonical_fixed(array)
    if array.type in HEAVY:
        return _canonical_text(array)
    return array


def heavy_columns(table: pa.Table) -> list[str]:
    """Names of the columns that go to the compressed file."""
    return [f.name for f in table.schema if f.type in HEAVY]


def write_ipc(sink: IO[bytes], table: pa.Table, *, compress: bool) -> None:
    """One Arrow IPC file, its bytes a pure function of the rows and their order."""
    arrays = [canonical(contiguous(table.column(name))) for name in table.column_names]
    fields = [pa.field(f.name, a.type) for f, a in zip(table.schema, arrays, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
    codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL) if compress else None
    options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        if not compress:
            whole = [c if _fits_exactly(c) else canonical(pa.concat_arrays([c])) for c in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(whole, schema=batch.schema))
            return
        for start, stop in _cuts(batch):
            writer.write_batch(_rebased(batch.slice(start, stop - start)))


def read_ipc(source: pa.NativeFile, columns: Sequence[str] | None, *, compressed: bool = True) -> pa.Table:
    """The named columns of an IPC file; others are neither read nor decompressed.

    Not `compressed`: the columns are the file's own memory. (Arrow copies where the columns to read are named.)
    """
    probe = pa.ipc.open_file(source)
    if columns is None:
        return probe.read_all()
    if not compressed:
        return probe.read_all().select(list(columns))
    wanted = [probe.schema.get_field_index(name) for name in columns]
    options = pa.ipc.IpcReadOptions(included_fields=sorted(wanted), use_threads=False)
    return pa.ipc.open_file(source, options=options).read_all().select(list(columns))


def masked_out(schema: Schema, rows: int) -> pa.Table:
    """`rows` nulls of every column."""
    return pa.table({name: pa.nulls(rows, kind) for name, kind in schema.items()})


def scatter(answers: pa.Table, index: np.ndarray, rows: int) -> pa.Table:
    """`answers` put at row numbers `index` (ascending) of a table `rows` high; null elsewhere."""
    if len(index) == rows:
        return answers
    take = np.full(rows, -1, dtype=np.int64)
    take[index] = np.arange(len(index))
    return answers.take(pa.array(take, mask=take < 0)) if len(index) else masked_out(_schema(answers), rows)


def _schema(table: pa.Table) -> Schema:
    return {f.name: f.type for f in table.schema}


def _cuts(batch: pa.RecordBatch) -> list[tuple[int, int]]:
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if column.type in HEAVY:
            sizes += np.asarray(pc.fill_null(pc.binary_length(column), 0), dtype=np.int64)
    ends = np.cumsum(sizes)
    cuts, start = [], 0
    while start < batch.num_rows:
        base = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, base + TEXT_BATCH_BYTES, side="left")) + 1
        stop = min(max(stop, start + 1), batch.num_rows)
        cuts.append((start, stop))
        start = stop
    return cuts or [(0, 0)]


def _rebased(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Slices whose offsets start at 0: the writer's bytes must not depend on the parent buffer."""
    arrays = [_rebased_text(c) if c.type in HEAVY else canonical(pa.concat_arrays([c])) for c in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _fits_exactly(array: pa.Array) -> bool:
    """True for a canonical list of numbers over just its own values: there is nothing to cut off by copying."""
    if not pa.types.is_large_list(array.type) or not pa.types.is_primitive(array.type.value_type):
        return False
    values, data = array.values, array.values.buffers()[1]
    wide = values.type.bit_width // 8
    return data is not None and values.offset == 0 and values.null_count == 0 and data.size == len(values) * wide


def _rebased_text(array: pa.Array) -> pa.Array:
    """The same texts over their own part of the data, which is not copied."""
    if array.null_count or len(array) == 0:
        return canonical(pa.concat_arrays([array]))
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    piece = data.slice(int(ends[0]), int(ends[-1] - ends[0])) if data is not None else None
    return pa.Array.from_buffers(array.type, len(array), [None, pa.py_buffer(ends - ends[0]), piece])


def _bitmap(array: pa.Array) -> pa.Buffer | None:
    if array.null_count == 0:
        return None
    packed = np.packbits(np.asarray(array.is_valid()), bitorder="little")
    return pa.py_buffer(packed.tobytes())


def _canonical_primitive(array: pa.Array) -> pa.Array:
    if array.null_count == 0:
        return pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]])
    filled = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    return pa.Array.from_buffers(array.type, len(array), [_bitmap(array), filled.buffers()[1]])


def _canonical_text(array: pa.Array) -> pa.Array:
    filled = array.fill_null("" if array.type == pa.large_string() else b"") if array.null_count else array
    return pa.Array.from_buffers(array.type, len(array), [_bitmap(array), *filled.buffers()[1:]])


def _canonical_fixed(array: pa.Array) -> pa.Array:
    if array.null_count == 0:
        return pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]])
    width = array.type.byte_width
    raw = np.frombuffer(array.buffers()[1], dtype=np.uint8)[: len(array) * width].reshape(-1, width).copy()
    raw[~np.asarray(array.is_valid())] = 0
    return pa.Array.from_buffers(array.type, len(array), [_bitmap(array), pa.py_buffer(raw.tobytes())])


def _canonical_list(array: pa.Array) -> pa.Array:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), dtype=np.int64)
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    values = canonical(array.flatten())
    buffers = [_bitmap(array), pa.py_buffer(offsets.tobytes())]
    return pa.Array.from_buffers(array.type, len(array), buffers, children=[values])
