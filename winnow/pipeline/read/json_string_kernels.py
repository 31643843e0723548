"""Compiled reading of JSON strings: 64 bytes at a time to the next quote, backslash or byte that is not plain ASCII.

Source: RFC 8259; own code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import BYTES_01, BYTES_7F, BYTES_80, load64, trailing_zeros

QUOTES, BACKSLASHES = BYTES_01 * np.uint64(ord('"')), BYTES_01 * np.uint64(ord("\\"))
BYTES_60 = BYTES_01 * np.uint64(0x60)
QUOTE, BACKSLASH = np.int64(ord('"')), np.int64(ord("\\"))
UNESCAPED = np.zeros(256, dtype=np.uint8)  # what stands for a backslash and this byte; 0: none
UNESCAPED[[ord(c) for c in '"\\/ntrbf']] = [ord(c) for c in '"\\/\n\t\r\b\f']


@intrinsic
def store64(typing_context: Any, data: Any, index: Any, word: Any) -> Any:
    """A numba intrinsic (bytes u8[:], index, u64) that writes 8 bytes at any address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.add(builder.ptrtoint(array.data, ir.IntType(64)), args[1])
        builder.store(args[2], builder.inttoptr(address, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), codegen


@intrinsic
def copy64(typing_context: Any, data: Any, at: Any, out: Any, to: Any) -> Any:
    """A numba intrinsic (u8[:], index, u8[:], index) -> u64: `_special` of the 64 bytes at `at`, a bit for each.

    The bytes are written to out[to:] as they are.
    """
    byte, vector = ir.IntType(8), ir.VectorType(ir.IntType(8), 64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def pointer(kind: Any, array: Any, index: Any) -> Any:
            start = builder.ptrtoint(context.make_array(kind)(context, builder, array).data, ir.IntType(64))
            return builder.inttoptr(builder.add(start, index), vector.as_pointer())

        def every(value: int) -> Any:
            return ir.Constant(vector, [ir.Constant(byte, value)] * 64)

        text = builder.load(pointer(signature.args[0], args[0], args[1]), align=1, typ=vector)
        builder.store(text, pointer(signature.args[2], args[2], args[3]), align=1)
        marks = (builder.icmp_unsigned("==", text, every(ord(mark))) for mark in '"\\')
        plain = builder.icmp_signed(">=", text, every(0x20))
        special = builder.or_(builder.or_(*marks), builder.not_(plain))
        return builder.bitcast(special, ir.IntType(64))

    return types.uint64(data, types.int64, out, types.int64), codegen


@njit(cache=True, nogil=True)
def _special(word: Any) -> Any:
    """0x80 for every byte that is a quote, a backslash, a control character or not ASCII."""
    low = word & BYTES_7F
    other = (((low ^ QUOTES) + BYTES_7F) & ((low ^ BACKSLASHES) + BYTES_7F)) & (low + BYTES_60)
    return (~other | word) & BYTES_80


@njit(cache=True, nogil=True)
def _hex4(data: Any, at: Any) -> Any:
    """The number that data[at:at + 4] spells, or -1."""
    value = np.int64(0)
    for k in range(at, at + 4):
        byte = np.int64(data[k])
        if 48 <= byte <= 57:
            digit = byte - 48
        elif 97 <= (byte | 32) <= 102:
            digit = (byte | 32) - 87
        else:
            return np.int64(-1)
        value = value * 16 + digit
    return value


@njit(cache=True, nogil=True)
def _put(out: Any, to: Any, point: Any) -> Any:
    """The end of a code point's UTF-8 bytes written at out[to]."""
    if point < 0x80:
        out[to] = point
        return to + 1
    if point < 0x800:
        out[to], out[to + 1] = 0xC0 | (point >> 6), 0x80 | (point & 63)
        return to + 2
    if point < 0x10000:
        out[to], out[to + 1], out[to + 2] = 0xE0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)
        return to + 3
    out[to], out[to + 1] = 0xF0 | (point >> 18), 0x80 | ((point >> 12) & 63)
    out[to + 2], out[to + 3] = 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)
    return to + 4


@njit(cache=True, nogil=True)
def _sequence(data: Any, at: Any) -> Any:
    """Bytes of the well-formed character of several bytes at `at`, or 0. The data end with a line feed."""
    lead, next_byte = data[at], data[at + 1]
    if 0xC2 <= lead <= 0xDF:
        return 2 if next_byte & 0xC0 == 0x80 else 0
    if not 0xE0 <= lead <= 0xF4 or next_byte & 0xC0 != 0x80 or data[at + 2] & 0xC0 != 0x80:
        return 0
    if lead < 0xF0:
        fits = (lead != 0xE0 or next_byte >= 0xA0) and (lead != 0xED or next_byte < 0xA0)
        return 3 if fits else 0
    fits = (lead != 0xF0 or next_byte >= 0x90) and (lead != 0xF4 or next_byte < 0x90)
    return 4 if fits and data[at + 3] & 0xC0 == 0x80 else 0


@njit(cache=True, nogil=True)
def _unicode(data: Any, at: Any, out: Any, to: Any) -> Any:
    """(after it, end of what was written) of the escape of 4 digits at `at`; (-1, to): it is none, or half a pair."""
    point = _hex4(data, at + 2) if data[at + 1] == 117 and at + 6 < data.size else np.int64(-1)
    if point < 0 or 0xDC00 <= point < 0xE000:
        return np.int64(-1), to
    if 0xD800 <= point < 0xDC00:
        paired = at + 12 < data.size and data[at + 6] == BACKSLASH and data[at + 7] == 117
        low = _hex4(data, at + 8) if paired else np.int64(-1)
        if not 0xDC00 <= low < 0xE000:
            return np.int64(-1), to
        return at + 12, _put(out, to, 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00))
    return at + 6, _put(out, to, point)


@njit(cache=True, nogil=True)
def _plain(data: Any, at: Any, out: Any, to: Any) -> Any:
    """Number of plain ASCII bytes from `at` on that were copied to out[to:]; 64 at most, or 0 at the data's end."""
    if at + 64 <= data.size:
        special = copy64(data, at, out, to)
        return np.int64(trailing_zeros(special)) if special else np.int64(64)
    if at + 8 <= data.size:
        word = load64(data, at)
        store64(out, to, word)
        special = _special(word)
        return np.int64(trailing_zeros(special) >> np.uint64(3)) if special else np.int64(8)
    return np.int64(0)


@njit(cache=True, nogil=True)
def string(data: Any, at: Any, out: Any, to: Any) -> Any:
    """(after the closing quote, end of the decoded bytes) of the string whose first byte is at `at`; -1 first: slow.

    `out` has 64 bytes to spare.
    """
    while True:
        run = _plain(data, at, out, to)
        at, to = at + run, to + run
        byte = np.int64(data[at])
        if byte == BACKSLASH and UNESCAPED[data[at + 1]]:
            out[to] = UNESCAPED[data[at + 1]]
            at, to = at + 2, to + 1
        elif byte == QUOTE:
            return at + 1, to
        elif byte == BACKSLASH:
            at, to = _unicode(data, at, out, to)
            if at < 0:
                return at, to
        elif byte < 0x20:
            return np.int64(-1), to
        elif byte < 0x80:
            out[to] = byte
            at, to = at + 1, to + 1
        else:
            width = _sequence(data, at)
            if width == 0:
                return np.int64(-1), to
            for k in range(width):
                out[to + k] = data[at + k]
            at, to = at + width, to + width
