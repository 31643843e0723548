"""Columns of a file to documents, and what of them is none: for readers of files that have columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Bad, FileSlice, Lacks, Tell
from winnow.pipeline.read.document import KEPT, Columns, declared, documents, id_field, of_partition, partitions
from winnow.pipeline.read.parquet_columns import ParquetBatch, has_field, steps_to
from winnow.pipeline.read.record_reader import RecordReader

MESSAGES: Mapping[str, str] = {
    "invalid_utf8": "the text is not UTF-8",
    "null_text": "the text is null",
    "too_large": "the text is longer than `max_record_mb`",
    "missing_id": "the id is null, empty, not UTF-8 or (`id: doc_id`) not 32 hex digits",
}


def fields_of(reader: RecordReader, schema: pa.Schema, piece: FileSlice) -> dict[str, list[str]]:
    """Field -> the names that lead to it. Raises: DataError where the file lacks the text or the id."""
    named = id_field(reader.id)
    must = [reader.text_field, *([named] if named else [])]
    may = [column.field for column in declared(reader.columns) if has_field(schema, column.field)]
    return {name: steps_to(schema, name, piece) for name in dict.fromkeys([*must, *may])}


def documents_of(reader: RecordReader, batch: ParquetBatch, rows: pa.Array, bad: Tell) -> pa.Table:
    """The documents of a batch; `rows` are what makes their locators. What is none is reported."""
    text, invalid = batch.text(reader.text_field)
    most = reader.max_record_mb * 1_000_000
    reasons = {
        "invalid_utf8": invalid,
        "null_text": pc.is_null(text),
        "too_large": pc.fill_null(pc.greater(pc.binary_length(text), most), False),
    }
    ids = None
    if (named := id_field(reader.id)) is not None:
        ids, invalid = batch.strings(named)
        lacks = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True)
        reasons["missing_id"] = pc.or_(lacks, invalid)
        if reader.id == KEPT:
            foreign = pc.invert(pc.match_substring_regex(ids, "^[0-9a-fA-F]{32}$"))
            reasons["missing_id"] = pc.or_(reasons["missing_id"], pc.fill_null(foreign, True))
    extra, misfits = {}, []
    for column in declared(reader.columns):
        if not batch.has(column.field):
            extra[column.name] = of_partition(batch.file, column, len(rows))
            continue
        extra[column.name], misfit = batch.typed(column.field, column.kind)
        reasons["column_type"] = pc.or_(reasons.get("column_type", misfit), misfit)
        misfits.append((column, misfit))
    table = documents(text=text, rel=batch.rel(), locator=batch.locators(rows), ids=ids, extra=extra)

    def message(error: str, row: int) -> str:
        if error != "column_type":
            return MESSAGES[error]
        column = next(column for column, mask in misfits if mask[row].as_py())
        return f"{column.field!r} is {_shown(batch.values(column.field)[row])}, not {column.kind} as it is declared"

    return _refuse(table, reasons, message, bad)


def _shown(value: pa.Scalar) -> str:
    """A value as a message shows it: at most 60 characters, and bytes where it is no UTF-8."""
    raw = value.as_buffer().to_pybytes() if hasattr(value, "as_buffer") else None
    try:
        told = repr(value.as_py() if raw is None else raw.decode())
    except UnicodeDecodeError:
        told = repr(raw)
    return told if len(told) <= 60 else f"{told[:57]}..."


def tell_absent(
    columns: Columns,
    table: pa.Table,
    names: Sequence[str],
    fields: Mapping[str, list[str]],
    piece: FileSlice,
    bad: Tell,
) -> None:
    """Report the declared columns that neither the file nor its `key=value` folders have."""
    for column in declared(columns):
        if column.field not in fields and column.field not in partitions(piece.rel) and table.num_rows:
            bad(Lacks(column=column.field, records=table.num_rows, names=tuple(names[:50])))


def _refuse(
    table: pa.Table, reasons: Mapping[str, pa.Array], message: Callable[[str, int], str], bad: Tell
) -> pa.Table:
    """The rows to which no reason applies; each of the others is reported once, under its first reason."""
    refused = pa.repeat(pa.scalar(False), table.num_rows)
    for mask in reasons.values():
        refused = pc.or_(refused, mask)
    if not pc.any(refused).as_py():
        return table
    for row in pc.indices_nonzero(refused).to_pylist():
        error = next(name for name, mask in reasons.items() if mask[row].as_py())
        bad(Bad(origin=table["origin"][row].as_py(), error=error, message=message(error, row)))
    return table.filter(pc.invert(refused))
