"""The table behind the normal form of words: made from Python's Unicode data, and kept as a file of winnow's own.

It is a file, because Python's Unicode data grow with Python: two machines would otherwise tell words apart differently.
`write()` makes it anew from the Python that runs it (Unicode 14 in 3.11, which made the present one). Characters that
later versions of Unicode add stay as they are.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import numpy.typing as npt

FILE = Path(__file__).with_name("normal_form.npz")
PAGE = 256
POINTS = 0x110000
SAME, HANGUL = 0, 1  # entries; others are `pack`ed
STARTS, ENDS = 1 << 30, 1 << 29  # flags of an entry: its first, its last character is a mark
SIZE_BITS = 7

# Default_Ignorable_Code_Point (DerivedCoreProperties.txt): soft hyphen, joiners, marks of direction, variants
IGNORED = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip


def is_ignored(point: int) -> bool:
    """Whether a character is shown as nothing."""
    return any(first <= point <= last for first, last in IGNORED)


def mapped(point: int) -> str:
    """The character's normal form: compatibility decomposition and case folding until nothing changes."""
    if is_ignored(point):
        return ""
    text = chr(point)
    if unicodedata.normalize("NFKD", text).startswith(" "):
        return " "  # an accent that stands alone separates words, as the apostrophe that it is used for
    while True:
        after = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        after = "".join(c for c in after if not is_ignored(ord(c)))
        if after == text:
            return text
        text = after


def make() -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of the table: pages of entries and of classes of marks, and the bytes that entries point at."""
    entries, marks = np.zeros(POINTS, dtype=np.int32), np.zeros(POINTS, dtype=np.uint8)
    out = bytearray(b"\0")
    for point in range(0x80, POINTS):
        if 0xD800 <= point < 0xE000:
            continue
        marks[point] = unicodedata.combining(chr(point))
        if 0xAC00 <= point < 0xAC00 + 11172:
            entries[point] = HANGUL
            continue
        text = mapped(point)
        flags = (STARTS if text and unicodedata.combining(text[0]) else 0) | (
            ENDS if text and unicodedata.combining(text[-1]) else 0
        )
        if text != chr(point):
            entries[point] = flags | (len(out) << SIZE_BITS) | len(text.encode())
            out += text.encode()
        else:
            entries[point] = flags
    pages, rows = _paged(entries)
    mark_pages, mark_rows = _paged(marks)
    return {"pages": pages, "entries": rows, "mark_pages": mark_pages, "marks": mark_rows,
            "bytes": np.frombuffer(bytes(out), dtype=np.uint8)}  # fmt: skip


def _paged(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """(number of the distinct row for every page of 256 values, distinct rows)."""
    rows, numbers = np.unique(values.reshape(-1, PAGE), axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.uint8 if len(rows) < 256 else np.uint16), rows


def write() -> None:
    """Make the file anew."""
    np.savez_compressed(FILE, **make())  # type: ignore[arg-type]
