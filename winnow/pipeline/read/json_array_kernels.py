"""Compiled cutting of a JSON array: where its elements end, 64 bytes at a time, whatever pieces its bytes come in.

Only strings, brackets and commas are looked at: what an element holds is judged by whoever reads it. So a bad element
costs itself, unless a quote or a bracket of it is never closed.

Source: G. Langdale, D. Lemire, "Parsing gigabytes of JSON per second", VLDB Journal 28 (2019), section 3.1 (strings by
bit masks); own code, without carry-less multiplication.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import trailing_zeros

DEPTH, INSIDE, ESCAPED = 0, 1, 2  # what `split` keeps from one call to the next
_ONE, _NONE, _ALL = np.uint64(1), np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
_ODD = np.uint64(0xAAAAAAAAAAAAAAAA)
_SHIFTS = tuple(np.uint64(1 << k) for k in range(6))
_WIDTH = 64
_LAST = np.uint64(_WIDTH - 1)
_LF, _SPACE, _NO_TEXT = np.uint8(10), np.uint8(32), np.uint8(11)  # a vertical tab: as little text as a line feed


@intrinsic
def equal64(typing_context: Any, data: Any, at: Any, mark: Any) -> Any:
    """A numba intrinsic (u8[:], index, u8) -> u64: which of the 64 bytes at `at` are `mark`, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), _WIDTH)
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.add(builder.ptrtoint(array.data, ir.IntType(64)), args[1])
        found = builder.load(builder.inttoptr(address, vector.as_pointer()), align=1, typ=vector)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), args[2], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), [0] * _WIDTH)
        every = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)
        return builder.bitcast(builder.icmp_unsigned("==", found, every), ir.IntType(64))

    return types.uint64(data, types.int64, types.uint8), codegen


@njit(cache=True, nogil=True)
def _escapes(backslashes: Any, carried: Any, last: Any) -> Any:
    """(bytes that a backslash before them takes its meaning from, whether the byte after `last` is one)."""
    if not backslashes:
        return carried, _NONE
    begun = backslashes & ~carried
    ended = (((begun << _ONE) | _ODD) - begun) ^ _ODD
    return ended ^ (backslashes | carried), ((ended & backslashes) >> last) & _ONE


@njit(
    types.UniTuple(types.int64, 2)(types.uint8[::1], types.int64, types.int64, types.int64[::1]), cache=True, nogil=True
)
def split(raw: Any, at: Any, stop: Any, state: Any) -> Any:
    """(where it ended, the byte after the last comma between elements, -1 where there was none) of raw[at:stop].

    It ends at `stop`, or earlier at the bracket that closes the array. Commas between elements become line feeds,
    line feeds elsewhere a space, in strings a vertical tab; `raw` has 64 bytes to spare. `state` i64[3] goes from call
    to call within an array.
    """
    depth, after = state[DEPTH], np.int64(-1)
    inside = _ALL if state[INSIDE] else _NONE
    escaped = np.uint64(state[ESCAPED])
    while at < stop:
        count = min(np.int64(_WIDTH), stop - at)
        last = np.uint64(count - 1)
        there = _ALL >> np.uint64(_WIDTH - count)
        taken, escaped = _escapes(equal64(raw, at, np.uint8(92)) & there, escaped, last)
        quotes = equal64(raw, at, np.uint8(34)) & there & ~taken
        for shift in _SHIFTS:
            quotes ^= quotes << shift
        strings = quotes ^ inside
        inside = _ALL if strings >> _LAST else _NONE  # behind the last byte they are as at it
        feeds = equal64(raw, at, _LF) & there
        out = there & ~strings
        marks = (equal64(raw, at, np.uint8(91)) | equal64(raw, at, np.uint8(93)) | equal64(raw, at, np.uint8(123))
                 | equal64(raw, at, np.uint8(125))) & out  # fmt: skip
        if marks or not depth:
            marks |= equal64(raw, at, np.uint8(44)) & out
        while feeds:
            place = at + np.int64(trailing_zeros(feeds))
            raw[place] = _NO_TEXT if (strings >> trailing_zeros(feeds)) & _ONE else _SPACE
            feeds &= feeds - _ONE
        while marks:
            place = at + np.int64(trailing_zeros(marks))
            marks &= marks - _ONE
            byte = raw[place]
            if byte == 44:
                if not depth:
                    raw[place], after = _LF, place + 1
            elif byte & 2:  # of [ and {, not of ] and }
                depth += 1
            elif depth:
                depth -= 1
            else:
                return place, after
        at += count
    state[DEPTH], state[INSIDE], state[ESCAPED] = depth, np.int64(inside & _ONE), np.int64(escaped)
    return at, after


@njit(types.void(types.Array(types.uint8, 1, "C", readonly=True), types.int64[:, ::1]), cache=True, nogil=True)
def trim(raw: Any, lines: Any) -> None:
    """Take the white space around each line, raw[lines[row, 0] : lines[row, 1]], away from it; of a blank one all."""
    for row in range(len(lines)):
        start, stop = lines[row, 0], lines[row, 1]
        while start < stop and (raw[start] == 32 or raw[start] == 9 or raw[start] == 13):
            start += 1
        while start < stop and (raw[stop - 1] == 32 or raw[stop - 1] == 9 or raw[stop - 1] == 13):
            stop -= 1
        lines[row, 0], lines[row, 1] = start, stop
