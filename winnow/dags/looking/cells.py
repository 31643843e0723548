"""Single columns and single cells of committed parts: sizes are checked, digests are not, and text is left alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.formats import format_of
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.parts import read_columns
from winnow.core.store.schema import contiguous
from winnow.core.store.store import Store


def file_with(store: Store, receipt: Receipt, column: str) -> FileRef:
    """The file of a part that holds a column.

    Raises: StoreError where the part has no such column, or its file is gone or has another size.
    """
    ref = receipt.file_of(column)
    if ref is None:
        raise StoreError(f"unit {receipt.unit} has no column {column!r}", where=receipt.phase)
    _check_size(store, ref)
    return ref


def light_column(store: Store, receipt: Receipt, column: str) -> pa.Array:
    """One column of a part: text beside it is not read. Raises StoreError like `file_with`."""
    ref = file_with(store, receipt, column)
    if ref.under is not None:
        return contiguous(read_columns(store, {column: (receipt, column)}).column(column))
    form = format_of(ref.key)
    if form.mapped:
        return contiguous(_mapped(store.location, ref.key, ref.digest).column(column))
    return contiguous(form.read(store.open_buffer(ref.key), [column]).column(column))


@functools.lru_cache(maxsize=64)
def _mapped(location: str, key: str, _digest: str) -> pa.Table:
    """An uncompressed file as a table over its memory map: nothing is read until a column is."""
    return format_of(key).read(open_store(location).open_buffer(key), None)


def cell(store: Store, receipt: Receipt, column: str, row: int) -> Any:
    """One value of one part; only the record batch that holds it is read. Raises StoreError like `file_with`."""
    ref = file_with(store, receipt, column)
    return _cells(store, ref, [column], row)[column]


def values_at(store: Store, receipt: Receipt, columns: Sequence[str], row: int) -> dict[str, Any]:
    """Values of one row, each file opened once; columns that the part has not are left out.

    Raises: StoreError where a file is gone or has another size.
    """
    by_file: dict[FileRef, list[str]] = {}
    for column in columns:
        ref = receipt.file_of(column)
        if ref is not None:
            by_file.setdefault(ref, []).append(column)
    out: dict[str, Any] = {}
    for ref, names in by_file.items():
        _check_size(store, ref)
        out |= _cells(store, ref, names, row)
    return out


def _cells(store: Store, ref: FileRef, columns: Sequence[str], row: int) -> dict[str, Any]:
    with store.open_buffer(ref.key) as source:
        found = format_of(ref.key).cells(source, columns, row)
    below = [c for c, value in found.items() if value is None and c in ref.under.columns] if ref.under else []
    if ref.under is not None and below:
        _check_size(store, ref.under)
        found |= _cells(store, ref.under, below, row)
    return found


def _check_size(store: Store, ref: FileRef) -> None:
    if store.size(ref.key) != ref.size:
        raise StoreError(
            "a committed file is gone or has another size than its receipt says",
            where=store.where(ref.key), hint="remove this stage folder and run again",
        )  # fmt: skip
