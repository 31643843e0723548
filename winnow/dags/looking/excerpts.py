"""Pieces of documents for people: only the record batches of the wanted rows are read, and nothing unsafe is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from winnow.core.store.formats import format_of
from winnow.core.store.manifest import Receipt
from winnow.core.store.store import Store
from winnow.dags.looking.cells import file_with, light_column, values_at

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


def squeezed(text: str) -> str:
    """The text with runs of blank lines shortened to one."""
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


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


def _texts(store: Store, receipt: Receipt, rows: Sequence[int], chars: int) -> Iterator[tuple[int, str, str]]:
    """(row, a little more than `chars` characters, origin) in ascending row order."""
    ref = file_with(store, receipt, "text")
    if "origin" not in ref.columns:
        for row in rows:
            found = values_at(store, receipt, ["text", "origin"], row)
            yield row, str(found.get("text") or "")[: chars + 1], str(found.get("origin") or "")
        return
    with store.open_buffer(ref.key) as source:
        yield from format_of(ref.key).texts_at(source, rows, chars + 1)
