"""Source code without comments and without white space that separates nothing. Compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

I64 = types.Array(types.int64, 1, "C", readonly=True)
U8 = types.Array(types.uint8, 1, "C", readonly=True)

C_STYLE, HASH_STYLE = 0, 1
LF, SPACE, QUOTE, HASH, APOSTROPHE, STAR, SLASH, BACKSLASH, TICK = (np.uint8(ord(c)) for c in "\n \"#'*/\\`")


@njit(cache=True, nogil=True, _nrt=False)
def _is_space(byte: Any) -> Any:
    return byte == SPACE or (byte >= 9 and byte <= 13)


@njit(cache=True, nogil=True, _nrt=False)
def _is_word(byte: Any) -> Any:
    small = byte | 0x20
    return (small >= 97 and small <= 122) or (byte >= 48 and byte <= 57) or byte == 95 or byte >= 128


@njit(cache=True, nogil=True, _nrt=False)
def _comment_end(data: Any, at: Any, stop: Any, style: Any) -> Any:
    """Where the comment that begins at `at` ends; `at` where none begins. The line break behind one stays."""
    byte, after = data[at], data[at + 1] if at + 1 < stop else np.uint8(0)
    if style == C_STYLE and byte == SLASH and after == STAR:
        end = at + 2
        while end + 1 < stop and not (data[end] == STAR and data[end + 1] == SLASH):
            end += 1
        return min(end + 2, stop)
    if (style == HASH_STYLE and byte == HASH) or (style == C_STYLE and byte == SLASH and after == SLASH):
        while at < stop and data[at] != LF:
            at += 1
    return at


@njit(cache=True, nogil=True, _nrt=False)
def _string_end(data: Any, at: Any, stop: Any, style: Any) -> Any:
    """Where the text literal that begins at `at` ends; `at` where none begins.

    One in single marks ends with its line at the latest, so that an apostrophe does not swallow what follows.
    """
    mark = data[at]
    if mark not in (QUOTE, APOSTROPHE) and not (mark == TICK and style == C_STYLE):
        return at
    long = style == HASH_STYLE and at + 2 < stop and data[at + 1] == mark and data[at + 2] == mark
    end = at + 3 if long else at + 1
    while end < stop:
        if data[end] == BACKSLASH:
            end += 2
        elif long and end + 2 < stop and data[end] == mark and data[end + 1] == mark and data[end + 2] == mark:
            return end + 3
        elif not long and data[end] == mark:
            return end + 1
        elif not long and mark != TICK and data[end] == LF:
            return end
        else:
            end += 1
    return min(end, stop)


@njit(types.void(I64, U8, types.int64, types.int64[::1], types.uint8[::1]), cache=True, nogil=True)
def code_rows(offsets: Any, data: Any, style: int, ends: Any, out: Any) -> None:
    """Fills `out` (as long as the bytes) and `ends` i64[rows + 1] with the code of every row in one form.

    A run of white space and comments is one blank between two words, and nothing elsewhere; literals stay as they are.
    """
    filled = np.int64(0)
    ends[0] = 0
    for row in range(offsets.size - 1):
        first, at, stop, gap = filled, offsets[row], offsets[row + 1], False
        while at < stop:
            end = _comment_end(data, at, stop, style)
            if end > at or _is_space(data[at]):
                at, gap = max(end, at + 1), True
                continue
            end = max(_string_end(data, at, stop, style), at + 1)
            if gap and filled > first and _is_word(data[at]) and _is_word(out[filled - 1]):
                out[filled] = SPACE
                filled += 1
            gap = False
            while at < end:
                out[filled] = data[at]
                filled += 1
                at += 1
        ends[row + 1] = filled
