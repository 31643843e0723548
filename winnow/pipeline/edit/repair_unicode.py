"""Broken Unicode, repaired."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from winnow.core.operators import Context, Schema
from winnow.core.operators.edit import Edit, Edited
from winnow.core.words.distinct import distinct
from winnow.core.words.splice import Spans
from winnow.core.words.text import utf8_buffers, valid_mask


@dataclass(frozen=True, kw_only=True)
class RepairUnicode(Edit):
    """The text with its encoding repaired by ftfy, line by line; `repaired_lines` says in how many lines.

    Mojibake (`Ã©` for `é`), HTML entities (`auto`: of texts without a `<` so far), ligatures, full-width forms, line
    ends, controls and the codes of terminals, then Unicode's normal form. `quotes` makes curly quotes straight, as
    ftfy does unless told otherwise; here it is off, because it is no repair. Lines of plain ASCII are not looked at
    further. A change is the part of a line that differs.

    Raises: ImportError where ftfy is not installed.
    Cost: one pass over plain text, about 1 MB a second of lines that are not ASCII.
    Source: Speer, ftfy 6.3 (github.com/rspeer/python-ftfy)
    """

    name: ClassVar[str] = "repair_unicode"
    uses: ClassVar[tuple[str, ...]] = ("ftfy",)

    normal_form: Literal["NFC", "NFD", "NFKC", "NFKD", "none"] = "NFC"
    html: Literal["auto", "always", "never"] = "auto"
    width: bool = True  # full-width letters become plain ones
    quotes: bool = False

    def measures(self) -> Schema:
        """Lines that were changed, i32."""
        return {"repaired_lines": pa.int32()}

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Batch -> the parts of lines that ftfy changes."""
        from ftfy import TextFixerConfig, fix_text

        form = None if self.normal_form == "none" else self.normal_form
        common = {
            "normalization": form, "fix_character_width": self.width, "uncurl_quotes": self.quotes, "explain": False,
        }  # fmt: skip
        escapes = {"auto": (True, False), "always": (True, True), "never": (False, False)}[self.html]
        configs = [TextFixerConfig(unescape_html=escape, **common) for escape in escapes]

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            changes = _Changes()
            for row, said in _unusual(text):
                changes.of_document(row, said, lambda line, marked: fix_text(line, configs[marked]))
            counts = np.bincount(np.array(changes.rows, dtype=np.int64), minlength=len(text))
            null = ~valid_mask(text)
            lines = pa.array(counts.astype(np.int32), mask=null)
            return Edited(spans=changes.spans(counts), columns={"repaired_lines": lines})

        return edit


class _Changes:
    """What was changed, in order: row, first byte, byte behind it, what stands there now."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.new: list[str] = []

    def of_document(self, row: int, text: str, fixed: Callable[[str, bool], str]) -> None:
        """Add the changes of a document; `fixed` is told whether a `<` stood in it so far."""
        at, marked = 0, False
        for line in _lines(text):
            size = len(line.encode())
            marked |= "<" in line
            if not plain(line):
                self.of_line(row, at, line, fixed(line, marked))
            at += size

    def of_line(self, row: int, at: int, line: str, new: str) -> None:
        """Add the part of a line that differs; marks stay with the letter that they stand on."""
        if new == line:
            return
        head = _whole(line, new, _common(line, new))
        tail = min(_common(line[::-1], new[::-1]), len(line) - head, len(new) - head)
        start, stop = len(line[:head].encode()), len(line[: len(line) - tail].encode())
        self.rows.append(row)
        self.starts.append(at + start)
        self.stops.append(at + stop)
        self.new.append(new[head : len(new) - tail])

    def spans(self, counts: np.ndarray) -> Spans:
        """All of them."""
        rows = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]).astype(np.int64)
        places = (np.array(values, dtype=np.int64) for values in (self.starts, self.stops))
        starts, stops = places
        return Spans(rows=rows, starts=starts, stops=stops, new=pa.array(self.new, pa.large_string()))


def _lines(text: str) -> Iterator[str]:
    """The text cut behind its line feeds, as ftfy cuts it."""
    pieces = text.split("\n")
    yield from (piece + "\n" for piece in pieces[:-1])
    if pieces[-1]:
        yield pieces[-1]


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
                min(len(one), len(other)))  # fmt: skip


def _whole(one: str, other: str, head: int) -> int:
    """The common beginning, without a letter whose marks differ: what is shown of a change is readable."""
    while head and any(unicodedata.combining(text[head]) for text in (one, other) if head < len(text)):
        head -= 1
    return head


def plain(line: str) -> bool:
    """Whether no rule can change a line: printable ASCII without entities."""
    return line.isascii() and "&" not in line and line.removesuffix("\n").replace("\t", " ").isprintable()


def _unusual(text: pa.Array) -> Iterator[tuple[int, str]]:
    """(row, text) of the documents with a byte that is not plain."""
    offsets, data = utf8_buffers(text)
    odd = np.ones(256, dtype=bool)
    odd[[*range(0x20, 0x7F), 0x09, 0x0A]] = False
    odd[ord("&")] = True
    if not len(text):
        return
    low = int(offsets[0])
    where = np.flatnonzero(odd[data[low : int(offsets[-1])]]) + low
    rows: Any = distinct(np.searchsorted(offsets, where, side="right") - 1)
    valid = valid_mask(text)
    for row in rows.tolist():
        if valid[row]:
            yield row, text[row].as_py()
