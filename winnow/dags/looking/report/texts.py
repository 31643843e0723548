"""Pieces of documents for people: only the record batches of the wanted rows are read, and nothing unsafe is shown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.formats import format_of
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import FileRef, Receipt
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
    form = format_of(ref.key)
    if form.mapped:
        return contiguous(_mapped(store.location, ref.key, ref.digest).column(column))
    return contiguous(form.read(store.open_buffer(ref.key), [column]).column(column))


@functools.lru_cache(maxsize=64)
def _mapped(location: str, key: str, _digest: str) -> pa.Table:
    """An uncompressed file as a table over its memory map: nothing is read until a column is."""
    return format_of(key).read(open_store(location).open_buffer(key), None)


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
    if "origin" not in ref.columns:
        for row in rows:
            found = values_at(store, receipt, ["text", "origin"], row)
            yield row, str(found.get("text") or "")[: chars + 1], str(found.get("origin") or "")
        return
    with store.open_buffer(ref.key) as source:
        yield from format_of(ref.key).texts_at(source, rows, chars + 1)


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
