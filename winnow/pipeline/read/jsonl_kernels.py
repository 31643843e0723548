"""Compiled reading of JSON Lines: what is plainly right is read here, everything else is left to orjson.

A line is taken only where it is one object in strict JSON and strict UTF-8; a line with anything unusual (an
error, a surrogate out of place, a key with escapes, a number of 19 digits) is marked and judged by the
slow path, so what becomes of a line never depends on which of the two read it. The text goes from the file's
bytes to an Arrow buffer without a Python object in between.

Source: RFC 8259; own code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import BYTES_01, BYTES_7F, BYTES_80, load64, trailing_zeros
from winnow.pipeline.read.json_string_kernels import BACKSLASH, QUOTE, string

SLOW, TAKEN = 0, 1
MAX_DEPTH = 60
NEWLINES = BYTES_01 * np.uint64(10)
NEWLINE, COLON, COMMA = (np.int64(ord(c)) for c in "\n:,")
OPEN, CLOSE, LIST, UNLIST = (np.int64(ord(c)) for c in "{}[]")


U8 = types.Array(types.uint8, 1, "C", readonly=True)
I64 = types.Array(types.int64, 1, "C", readonly=True)


@njit(cache=True, nogil=True)
def _digits(data: Any, at: Any) -> Any:
    while 48 <= data[at] <= 57:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _number(data: Any, at: Any) -> Any:
    """After the number at `at`; -1 where it is none, or has 19 digits or an exponent of 3."""
    at += np.int64(data[at] == 45)
    first = at
    at = _digits(data, at)
    if at == first or (data[first] == 48 and at > first + 1) or at > first + 18:
        return np.int64(-1)
    if data[at] == 46:
        point = at + 1
        at = _digits(data, point)
        if at == point or at > first + 19:
            return np.int64(-1)
    if data[at] | 32 == 101:
        at += 1
        at += np.int64(data[at] == 43 or data[at] == 45)
        first = at
        at = _digits(data, at)
        if at == first or at > first + 2:
            return np.int64(-1)
    return at


@njit(cache=True, nogil=True)
def _literal(data: Any, at: Any) -> Any:
    """After the `true`, `false` or `null` at `at`, or -1."""
    if data[at] == 116 and data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101:
        return at + 4
    if data[at] == 110 and data[at + 1] == 117 and data[at + 2] == 108 and data[at + 3] == 108:
        return at + 4
    false = data[at] == 102 and data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115
    return at + 5 if false and data[at + 4] == 101 else np.int64(-1)


@njit(cache=True, nogil=True)
def _space(data: Any, at: Any) -> Any:
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _value(data: Any, at: Any, out: Any, to: Any) -> Any:  # noqa: PLR0912 - a grammar in one loop
    """After the value at `at`, whatever it is, or -1; out[to:] is scratch.

    A list or an object is walked with one bit per level that says which of the two it is.
    """
    levels, depth = np.uint64(0), 0
    while True:
        at = _space(data, at)
        byte = np.int64(data[at])
        if byte in (OPEN, LIST):
            if depth == MAX_DEPTH:
                return np.int64(-1)
            levels = (levels << np.uint64(1)) | np.uint64(byte == OPEN)
            depth += 1
            at = _space(data, at + 1)
            if data[at] != (CLOSE if byte == OPEN else UNLIST):
                if byte == OPEN:
                    at = _key(data, at, out, to)
                    if at < 0:
                        return at
                continue
        elif byte == QUOTE:
            at, _ = string(data, at + 1, out, to)
        elif byte == 45 or 48 <= byte <= 57:
            at = _number(data, at)
        else:
            at = _literal(data, at)
        if at < 0:
            return at
        more = False
        while depth and not more:
            at = _space(data, at)
            if data[at] == COMMA:
                at = _space(data, at + 1)
                if levels & np.uint64(1):
                    at = _key(data, at, out, to)
                    if at < 0:
                        return at
                more = True
            elif data[at] == (CLOSE if levels & np.uint64(1) else UNLIST):
                levels >>= np.uint64(1)
                depth -= 1
                at += 1
            else:
                return np.int64(-1)
        if not more:
            return at


@njit(cache=True, nogil=True)
def _key(data: Any, at: Any, out: Any, to: Any) -> Any:
    """After the colon of the key at `at`, or -1."""
    if data[at] != QUOTE:
        return np.int64(-1)
    at, _ = string(data, at + 1, out, to)
    if at < 0:
        return at
    at = _space(data, at)
    return at + 1 if data[at] == COLON else np.int64(-1)


@njit(cache=True, nogil=True)
def _wanted(data: Any, start: Any, stop: Any, names: Any, ends: Any) -> Any:
    """Number of the wanted name that data[start:stop] is, or -1."""
    for number in range(ends.size - 1):
        size = ends[number + 1] - ends[number]
        if size == stop - start:
            same = True
            for k in range(size):
                same = same and data[start + k] == names[ends[number] + k]
            if same:
                return number
    return -1


@njit(types.int64(U8), cache=True, nogil=True)
def num_lines(data: Any) -> Any:
    """Number of line feeds."""
    found = np.int64(0)
    for at in range(data.size):
        found += np.int64(data[at] == NEWLINE)
    return found


@njit(cache=True, nogil=True)
def _line_end(data: Any, at: Any) -> Any:
    """Where the first line feed from `at` on is."""
    while data[at] != NEWLINE:
        if at + 8 <= data.size:
            other = load64(data, at) ^ NEWLINES
            found = ~(((other & BYTES_7F) + BYTES_7F) | other) & BYTES_80
            at += np.int64(trailing_zeros(found) >> np.uint64(3)) if found else 8
        else:
            at += 1
    return at


@njit(cache=True, nogil=True)
def _line(data: Any, at: Any, names: Any, ends: Any, out: Any, to: Any, spans: Any) -> Any:
    """(end of the decoded text, where the line ends) of the object at `at`; -1 first: it is left to the slow path."""
    spans[:] = -1
    at = _space(data, at)
    if data[at] != OPEN:
        return np.int64(-1), at
    text_end = np.int64(-1)
    at = _space(data, at + 1)
    while True:
        start = at + 1
        at = _key(data, at, out, to if text_end < 0 else text_end)
        if at < 0:
            return at, at
        stop = start
        while data[stop] != QUOTE:
            if data[stop] == BACKSLASH:
                return np.int64(-1), at
            stop += 1
        number = _wanted(data, start, stop, names, ends)
        at = _space(data, at)
        if number == 0:
            if data[at] != QUOTE:
                return np.int64(-1), at
            spans[0, 0] = at
            at, text_end = string(data, at + 1, out, to)
            spans[0, 1] = at
        else:
            first = at
            at = _value(data, at, out, to if text_end < 0 else text_end)
            if number > 0:
                spans[number, 0], spans[number, 1] = first, at
        if at < 0:
            return at, at
        at = _space(data, at)
        if data[at] == CLOSE:
            at = _space(data, at + 1)
            return text_end if data[at] == NEWLINE else np.int64(-1), at
        if data[at] != COMMA:
            return np.int64(-1), at
        at = _space(data, at + 1)


@njit(
    types.int64(
        U8, types.int64, types.int64, U8, I64, types.uint8[::1], types.int64[:, ::1], types.int64[::1],
        types.uint8[::1], types.int64[:, :, ::1],
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def read_lines(
    data: Any, limit: int, cap: int, names: Any, ends: Any, out: Any, lines: Any, text_ends: Any, state: Any, spans: Any
) -> Any:
    """Number of lines of `data` (whole lines) that start before `limit`; fills one row per line of the last four.

    `names[ends[0] : ends[1]]` is the text's key, the others are columns. `lines` i64[n, 2] is where a line
    starts and ends, `state` TAKEN or SLOW, `text_ends` i64[n + 1] where its text ends in `out` (as before it
    where SLOW), `spans` i64[n, names, 2] the bytes of a column's value, -1 where it is absent.
    """
    at, number, to = np.int64(0), np.int64(0), np.int64(0)
    text_ends[0] = 0
    while at < data.size and at < limit:
        end, stop = _line(data, at, names, ends, out, to, spans[number])
        if end < 0:
            stop = _line_end(data, at)
        lines[number, 0], lines[number, 1] = at, stop
        taken = end >= 0 and stop - at <= cap
        state[number] = TAKEN if taken else SLOW
        to = end if taken else to
        number += 1
        text_ends[number] = to
        at = stop + 1
    return number
