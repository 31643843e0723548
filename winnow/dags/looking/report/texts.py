"""Pieces of documents for people: only the record batches of the wanted rows are read, and nothing unsafe is shown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import StoreError
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.parts import read_columns
from winnow.core.store.schema import contiguous
from winnow.core.store.store import Store
from winnow.dags.looking.row_index import values_at

MOST_LINES = 16
_CONTROLS = {i: 0x2400 + i for i in range(0x20) if i not in (0x09, 0x0A)} | {0x7F: 0x2421}
_CONTROLS |= dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+\n")


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The start of a document."""

    doc_id: str  # 32 hex digits
    origin: str
    text: str
    num_bytes: int
    cut: bool  # there is more


def visible(text: str) -> str:
    """The same text with control characters as their pictures (NUL as U+2400): valid in a page, and seen."""
    return text.translate(_CONTROLS)


def first_line(text: str, chars: int) -> str:
    """The first line that is not blank, at most `chars` long."""
    line = next((piece.strip() for piece in text.splitlines() if piece.strip()), "")
    return line if len(line) <= chars else line[:chars].rstrip() + "…"


def squeezed(text: str) -> str:
    """The text with runs of blank lines shortened to one."""
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def light_column(store: Store, receipt: Receipt, column: str) -> pa.Array:
    """One column of a part without digesting its file (its size is checked): text beside it is not read.

    Raises: StoreError where the part has no such column or its file is gone.
    """
    ref = _checked(store, receipt, column)
    if ref.key.endswith(".arrow") and not ref.key.endswith(".text.arrow"):
        return contiguous(_mapped(store.location, ref.key, ref.digest).column(column))
    if not ref.key.endswith(".arrow"):
        return contiguous(read_columns(store, {column: (receipt, column)}).column(column))
    with store.open_buffer(ref.key) as source:
        index = pa.ipc.open_file(source).schema.get_field_index(column)
        options = pa.ipc.IpcReadOptions(included_fields=[index])
        return contiguous(pa.ipc.open_file(source, options=options).read_all().column(0))


@functools.lru_cache(maxsize=64)
def _mapped(root: str, key: str, _digest: str) -> pa.Table:
    """An uncompressed file as a table over its memory map: nothing is read until a column is."""
    return pa.ipc.open_file(open_store(root).open_buffer(key)).read_all()


def excerpts(store: Store, receipt: Receipt, rows: Sequence[int], chars: int) -> dict[int, Excerpt]:
    """Row -> the first `chars` characters of each wanted row of one part.

    Cost: decompresses the record batches (about 4 MB of text each) that hold the rows.
    """
    if not rows:
        return {}
    ids, sizes = light_column(store, receipt, "doc_id"), light_column(store, receipt, "text_bytes")
    out = {}
    for row, text, origin in _texts(store, receipt, sorted(rows), chars):
        size = sizes[row].as_py() or 0
        lines = squeezed(text[:chars]).split("\n")
        shown = "\n".join(lines[:MOST_LINES])
        cut = len(text) > chars or len(lines) > MOST_LINES
        out[row] = Excerpt(
            doc_id=ids[row].as_py().hex(), origin=visible(origin), text=visible(shown), num_bytes=size, cut=cut
        )
    return out


def told(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | Mapping):
        return f"{len(value)} values"
    text = "null" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "…"


def _texts(store: Store, receipt: Receipt, rows: Sequence[int], chars: int) -> Iterator[tuple[int, str, str]]:
    """(row, a little more than `chars` characters, origin) in ascending row order."""
    ref = _checked(store, receipt, "text")
    if not ref.key.endswith(".arrow") or "origin" not in ref.columns:
        for row in rows:
            found = values_at(store, receipt, ["text", "origin"], row)
            yield row, str(found.get("text") or "")[: chars + 1], str(found.get("origin") or "")
        return
    with store.open_buffer(ref.key) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = sorted(schema.get_field_index(c) for c in ("text", "origin"))
        thin = pa.ipc.open_file(
            source, options=pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index("origin")])
        )
        full = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for number, inside in _by_batch(thin, rows):
            batch = full.get_batch(number)
            for row, at in inside:
                piece = pc.utf8_slice_codeunits(batch.column("text").slice(at, 1), 0, chars + 1)
                yield row, piece[0].as_py() or "", batch.column("origin")[at].as_py() or ""


def _by_batch(reader: Any, rows: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(record batch, [(row, row in the batch)]) of those batches that hold wanted rows."""
    left, start = np.asarray(rows), 0
    for number in range(reader.num_record_batches):
        if not len(left):
            return
        stop = start + reader.get_batch(number).num_rows
        inside = left[left < stop]
        if len(inside):
            yield number, [(int(r), int(r) - start) for r in inside]
        left, start = left[len(inside) :], stop
    if len(left):
        raise StoreError("a part has fewer rows than its receipt says", hint="remove this stage folder and run again")


def _checked(store: Store, receipt: Receipt, column: str) -> FileRef:
    ref = receipt.file_of(column)
    if ref is None:
        raise StoreError(f"unit {receipt.unit} has no column {column!r}", where=receipt.phase)
    if store.size(ref.key) != ref.size:
        raise StoreError(
            "a committed file is gone or has another size than its receipt says",
            where=store.where(ref.key), hint="remove this stage folder and run again",
        )  # fmt: skip
    return ref
