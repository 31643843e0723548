"""Kernel of `citation_marks`: marks of references and editors in square brackets; a look ahead of 40 bytes at most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from winnow.pipeline.edit.gap_kernels import line_edge, line_stop, note, with_blank
from winnow.pipeline.measure.signals_kernels_bytes import followed_by

WORDS = (
    "edit", "edit source", "citation needed", "citations needed", "clarification needed", "page needed", "verify",
    "better source needed", "full citation needed", "non-primary source needed", "original research?", "who?", "when?",
    "where?", "which?", "why?", "how?", "by whom?", "according to whom?", "needs update", "update", "dead link",
    "permanent dead link", "failed verification", "vague", "sic", "self-published source", "unreliable source?",
    "not in citation given", "disputed", "weasel words", "year needed", "dubious",
)  # fmt: skip
NOTES = ("note", "notes", "nb", "n", "a", "ref")  # with a number: [note 3]; `a`, `n` also glued to it: [a3]
MOST_AHEAD, MOST_DIGITS = 40, 4
OPEN, CLOSE = 0x5B, 0x5D
MARKS, NUM_COUNTERS = range(2)


def tables() -> tuple[Any, ...]:
    """(the words with their closing bracket as bytes, where each begins; the notes, where each begins)."""
    return *_joined([f"{word}]" for word in WORDS]), *_joined(list(NOTES))


def _joined(words: list[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    starts = np.cumsum([0, *(len(word) for word in words)]).astype(np.int64)
    return np.frombuffer("".join(words).encode(), dtype=np.uint8), starts


@njit(cache=True, nogil=True, _nrt=False)
def after_digits(data: Any, at: Any, stop: Any) -> Any:
    """Behind the digits at `at`; `at` itself where there are none or too many for a number of a reference."""
    end = at
    while end < stop and 0x30 <= data[end] <= 0x39:
        end += 1
        if end - at > MOST_DIGITS:
            return at
    return end


@njit(cache=True, nogil=True, _nrt=False)
def dash_size(data: Any, at: Any, stop: Any) -> Any:
    """Bytes of a comma, a hyphen or an en dash at `at`, with the blanks behind it; 0 where there is none."""
    size = 0
    if data[at] in (0x2C, 0x2D, 0x3B):
        size = 1
    elif at + 2 < stop and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] in (0x93, 0x94):
        size = 3
    while size and at + size < stop and data[at + size] == 0x20 and size < 5:
        size += 1
    return size


@njit(cache=True, nogil=True, _nrt=False)
def numbers_end(data: Any, at: Any, stop: Any, found: Any) -> Any:
    """Behind the bracket that closes `3]`, `1, 2–4]`, `note 3]` or `]` at `at`; 0 where no such thing stands there."""
    notes, begins = found[2], found[3]
    if at < stop and data[at] == CLOSE:
        return at + 1
    for one in range(begins.size - 1):
        word = notes[begins[one] : begins[one + 1]]
        if followed_by(data, at, stop, word):
            end = at + word.size
            blank = end < stop and data[end] == 0x20
            if (blank or word.size == 1) and after_digits(data, end + blank, stop) > end + blank:
                at = end + blank
                break
    while at < stop:
        end = after_digits(data, at, stop)
        if end in (at, stop):
            return 0
        if data[end] == CLOSE:
            return end + 1
        dash = dash_size(data, end, stop)
        if dash == 0:
            return 0
        at = end + dash
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def mark_end(data: Any, at: Any, last: Any, numbers: Any, words: Any, found: Any) -> Any:
    """Behind the mark whose bracket stands at `at`, 0 where it opens none."""
    stop = min(last, at + MOST_AHEAD)
    end = numbers_end(data, at + 1, stop, found) if numbers else 0
    if end or not words:
        return end
    for one in range(found[1].size - 1):
        word = found[0][found[1][one] : found[1][one + 1]]
        if followed_by(data, at + 1, stop, word):
            return at + 1 + word.size
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, numbers: Any, words: Any, found: Any, rows: Any, out: Any, counts: Any) -> None:
    """Fill the spans of a batch and the number of marks per document; `rows` counts the spans before each row."""
    offsets, data, valid = texts
    for row in range(offsets.size - 1):
        base, stop = offsets[row], offsets[row + 1]
        floor = out[3][0]
        rows[row] = floor
        first = base
        while valid[row] and first < stop:
            last = line_stop(data, first, stop)
            at = first
            while at < last:
                end = mark_end(data, at, last, numbers, words, found) if data[at] == OPEN else 0
                if end == 0:
                    at += 1
                    continue
                counts[row, MARKS] += 1
                start, behind = with_blank(data, line_edge(base, first, at, floor, out), last, at, end)
                note(base, start, behind, 0, floor, out)
                at = end
            first = last + 1
    rows[offsets.size - 1] = out[3][0]
