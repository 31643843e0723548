"""Kernels of `boilerplate_lines`: a text in lines or paragraphs, and those that stay; a few looks at every byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.edit.gap_kernels import NEWLINE_BYTE, line_stop, note


@njit(cache=True, nogil=True, _nrt=False)
def is_blank(data: Any, start: Any, stop: Any) -> Any:
    """Whether data[start:stop] is white space of ASCII."""
    at = start
    while at < stop and data[at] <= 0x20:
        at += 1
    return at >= stop


@njit(cache=True, nogil=True, _nrt=False)
def pieces_of(texts: Any, paragraphs: Any, out: Any, rows: Any) -> Any:
    """Cut a batch; how many pieces there are. A piece is a line that is not blank with its line feed, or a run of such
    lines; blank lines belong to the piece before them, those at the beginning of a text to none.

    `out` is (start, end of what is read, where the next one begins, characters), positions in the buffer; `rows` counts
    the pieces before each row.
    """
    offsets, data, valid = texts
    starts, ends, nexts, chars = out
    used = 0
    for row in range(offsets.size - 1):
        at, stop = offsets[row], offsets[row + 1]
        floor, open_ = used, False
        rows[row] = used
        while valid[row] and at < stop:
            last = line_stop(data, at, stop)
            behind = min(last + 1, stop)
            blank = is_blank(data, at, last)
            if blank:
                open_ = False
            elif not (paragraphs and open_):
                starts[used], chars[used] = at, 0
                used += 1
                open_ = True
            if used > floor:
                nexts[used - 1] = behind
                if not blank:
                    ends[used - 1] = last
                    for k in range(at, last):
                        chars[used - 1] += data[k] & 0xC0 != 0x80
            at = behind
    rows[offsets.size - 1] = used
    return used


@njit(cache=True, nogil=True, _nrt=False)
def most_pieces(texts: Any) -> Any:
    """Pieces that a batch may have at most."""
    offsets, data = texts[0], texts[1]
    found = np.int64(offsets.size)
    for at in range(offsets[0], offsets[offsets.size - 1]):
        found += data[at] == NEWLINE_BYTE
    return found


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, pieces: Any, first: Any, gone: Any, rows: Any, out: Any) -> None:
    """The spans of pieces that go; where the last one goes, the white space before it too."""
    offsets, data = texts[0], texts[1]
    starts, nexts = pieces
    for row in range(offsets.size - 1):
        base, stop = offsets[row], offsets[row + 1]
        floor = out[3][0]
        rows[row] = floor
        for one in range(first[row], first[row + 1]):
            if gone[one]:
                note(base, starts[one], nexts[one], 0, floor, out)
        last = out[3][0] - 1
        if last >= floor and base + out[1][last] == stop:
            before = out[1][last - 1] if last > floor else np.int64(0)
            while out[0][last] > before and data[base + out[0][last] - 1] <= 0x20:
                out[0][last] -= 1
    rows[offsets.size - 1] = out[3][0]


@njit(cache=True, nogil=True, _nrt=False)
def gather(data: Any, starts: Any, offsets: Any, held: Any) -> None:
    """Copy the pieces behind one another."""
    for one in range(starts.size):
        for k in range(offsets[one + 1] - offsets[one]):
            held[offsets[one] + k] = data[starts[one] + k]
