"""Compiled writing of the normal form of URLs that `parse_url_kernels` has taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, put_byte
from winnow.pipeline.url.parse_url_kernels import (
    BAD_HOST,
    BAD_PORT,
    BLANK,
    CLASSES,
    DIGIT,
    HEX,
    HOST,
    HOST_END,
    MOST_HOST,
    MOST_LABEL,
    MOST_PORT,
    N_HOST,
    N_HOST_END,
    N_PATH,
    N_PATH_END,
    N_SCHEME_END,
    N_START,
    ODD,
    OKAY,
    PATH_BYTE,
    PLAIN,
    PORT,
    PORT_END,
    REST,
    SCHEME,
    SCHEME_END,
    SEGMENT_BYTE,
    SLASH,
    STOP,
    UNRESERVED,
    WRONG,
    default_port,
    lowered,
    slash,
)


@njit(cache=True, nogil=True, _nrt=False)
def _is_ip(out: Any, start: Any, stop: Any) -> Any:
    """1: four numbers up to 255; 0: a name; -1: neither, since the last label has digits alone."""
    last = stop
    while last > start and CLASSES[byte_at(out, last - 1)] & DIGIT:
        last -= 1
    if last == stop or (last > start and byte_at(out, last - 1) != 46):
        return 0
    parts, value, digits = 0, 0, 0
    for i in range(start, stop + 1):
        if i == stop or byte_at(out, i) == 46:
            if digits == 0 or digits > 3 or value > 255 or (digits > 1 and byte_at(out, i - digits) == 48):
                return -1
            parts, value, digits = parts + 1, 0, 0
        elif CLASSES[byte_at(out, i)] & DIGIT:
            value, digits = value * 10 + byte_at(out, i) - 48, digits + 1
            if digits > 3:
                return -1
        else:
            return -1
    return 1 if parts == 4 else -1


@njit(cache=True, nogil=True, _nrt=False)
def _write_host(data: Any, start: Any, stop: Any, out: Any, at: Any) -> Any:
    """(end of the host written, whether it is an address; -1 where it is no host): small letters, no last dot."""
    if stop - start > 1 and byte_at(data, stop - 1) == 46:
        stop -= 1
    if stop - start > MOST_HOST:
        return at, -1
    if byte_at(data, start) == 91:  # looked at before: an IPv6 address in its short form
        for i in range(start, stop):
            put_byte(out, at + i - start, byte_at(data, i))
        return at + stop - start, 1
    label = 0
    for i in range(start, stop):
        byte = lowered(byte_at(data, i))
        put_byte(out, at + i - start, byte)
        if byte == 46:
            if label == 0:
                return at, -1
            label = 0
        else:
            label += 1
            if label > MOST_LABEL:
                return at, -1
    if label == 0:
        return at, -1
    end = at + stop - start
    return end, _is_ip(out, at, end)


@njit(cache=True, nogil=True, _nrt=False)
def _hex(byte: Any) -> Any:
    return byte - 48 if byte <= 57 else lowered(byte) - 87


@njit(cache=True, nogil=True, _nrt=False)
def _write_hex(out: Any, at: Any, byte: Any) -> Any:
    put_byte(out, at, 37)
    for k in range(2):
        digit = (byte >> (4 - 4 * k)) & 15
        put_byte(out, at + 1 + k, digit + 48 if digit < 10 else digit + 55)
    return at + 3


@njit(cache=True, nogil=True, _nrt=False)
def _write_byte(data: Any, i: Any, stop: Any, out: Any, at: Any, query: Any) -> Any:
    """(next place in data, next place in out): one byte of a path or query in normal form."""
    byte = np.int64(byte_at(data, i))
    if CLASSES[byte] & PATH_BYTE or (query and byte == 63):
        put_byte(out, at, byte)
        return i + 1, at + 1
    if byte == 37 and i + 2 < stop and CLASSES[byte_at(data, i + 1)] & HEX and CLASSES[byte_at(data, i + 2)] & HEX:
        value = _hex(np.int64(byte_at(data, i + 1))) * 16 + _hex(np.int64(byte_at(data, i + 2)))
        if CLASSES[value] & UNRESERVED:
            put_byte(out, at, value)
            return i + 3, at + 1
        return i + 3, _write_hex(out, at, value)
    if CLASSES[byte] & BLANK:
        return i + 1, at
    return i + 1, _write_hex(out, at, byte)


@njit(cache=True, nogil=True, _nrt=False)
def _copy_plain(data: Any, i: Any, stop: Any, out: Any, at: Any, bit: Any) -> Any:
    """Where the bytes from i on end that have the bit of their class; they are copied."""
    shift = at - i
    for j in range(i, stop):
        byte = byte_at(data, j)
        if not CLASSES[byte] & bit:
            return j
        put_byte(out, j + shift, byte)
    return stop


@njit(cache=True, nogil=True, _nrt=False)
def _close_segment(out: Any, path: Any, segment: Any, at: Any) -> Any:
    """Where writing goes on after the segment out[segment:at]: `.` is left out, `..` takes the one before with it."""
    if at - segment == 1 and byte_at(out, segment) == 46:
        return segment
    if at - segment == 2 and byte_at(out, segment) == 46 and byte_at(out, segment + 1) == 46:
        if segment - 1 <= path:
            return path + 1
        at = segment - 1
        while byte_at(out, at - 1) != 47:
            at -= 1
        return at
    return -1


@njit(cache=True, nogil=True, _nrt=False)
def _write_path(data: Any, i: Any, stop: Any, out: Any, at: Any) -> Any:
    """(place of `?`, `#` or the end in data, end of the path in out)."""
    path = at
    put_byte(out, at, 47)
    at += 1
    segment = at
    if i < stop and slash(byte_at(data, i)):
        i += 1
    while i < stop:
        plain = _copy_plain(data, i, stop, out, at, SEGMENT_BYTE)
        at, i = at + plain - i, plain
        if i == stop or byte_at(data, i) == 63 or byte_at(data, i) == 35:
            break
        if slash(byte_at(data, i)):
            back = _close_segment(out, path, segment, at)
            i += 1
            if back >= 0:
                at = segment = back
                continue
            put_byte(out, at, 47)
            at += 1
            segment = at
        else:
            i, at = _write_byte(data, i, stop, out, at, False)
    back = _close_segment(out, path, segment, at)
    return i, at if back < 0 else back


@njit(cache=True, nogil=True, _nrt=False)
def _write_plain(data: Any, i: Any, stop: Any, out: Any, at: Any) -> Any:
    """Copy the path and query data[i:stop], `/` first, if they are in normal form: (end of path, end); else -1, -1.

    One pass with one branch per byte, which no byte takes but the `?` and the last.
    """
    if i < stop and byte_at(data, i) != 47 and byte_at(data, i) != 63:
        return -1, -1
    put_byte(out, at, 47)
    path, before, dots = at + 1, np.uint8(SLASH), np.uint8(0)
    i += i < stop and byte_at(data, i) == 47
    shift, j = path - i, i
    while j < stop:
        bits = PLAIN[byte_at(data, j)]
        if bits & ODD:
            break
        put_byte(out, j + shift, byte_at(data, j))
        dots |= before & (bits << 1)
        before = bits
        j += 1
    end = j + shift
    if dots & SLASH:
        return -1, -1
    if j == stop:
        return end, end
    if byte_at(data, j) != 63 or j + 1 == stop:
        return -1, -1
    put_byte(out, end, 63)
    j += 1
    while j < stop:
        if PLAIN[byte_at(data, j)] & WRONG:
            return -1, -1
        put_byte(out, j + shift, byte_at(data, j))
        j += 1
    return end, j + shift


@njit(cache=True, nogil=True, _nrt=False)
def _write_port(out: Any, at: Any, port: Any) -> Any:
    """Where `:` and the number end."""
    put_byte(out, at, 58)
    digits = 1 + (port >= 10) + (port >= 100) + (port >= 1000) + (port >= 10000)
    for i in range(at + digits, at, -1):
        put_byte(out, i, 48 + port % 10)
        port //= 10
    return at + 1 + digits


@njit(cache=True, nogil=True, _nrt=False)
def _write_front(
    data: Any, places: Any, row: Any, host: Any, start: Any, stop: Any, out: Any, at: Any, spans: Any
) -> Any:
    """(end of scheme, host and port as written, whether the host is an address, the port or -1, problem)."""
    spans[row, N_START] = at
    for i in range(places[row, SCHEME], places[row, SCHEME_END]):
        put_byte(out, at, lowered(byte_at(data, i)))
        at += 1
    spans[row, N_SCHEME_END] = at
    if places[row, SCHEME_END] > places[row, SCHEME]:
        for i in range(3):
            put_byte(out, at + i, 58 if i == 0 else 47)
        at += 3
    spans[row, N_HOST] = at
    at, ip = _write_host(host, start, stop, out, at)
    if ip < 0:
        return at, 0, -1, BAD_HOST
    spans[row, N_HOST_END] = at
    port = np.int64(-1)
    for i in range(places[row, PORT], places[row, PORT_END]):
        port = max(port, 0) * 10 + byte_at(data, i) - 48  # type: ignore[operator]
        if port > MOST_PORT:
            return at, ip, -1, BAD_PORT
    usual = default_port(data, places[row, SCHEME], places[row, SCHEME_END])
    if port >= 0 and port != usual:
        at = _write_port(out, at, port)
    return at, ip, port if port >= 0 else np.int64(usual) if usual else np.int64(-1), OKAY


@njit(cache=True, nogil=True)
def write_normal(
    data: Any, places: Any, problem: Any, instead: Any, host_offsets: Any, hosts: Any, out: Any
) -> Any:  # fmt: skip
    """(offsets i64[rows + 1], spans i64[rows, 7], is an address u8[rows], port i32[rows]): fills `out` and `problem`.

    Where instead[row] >= 0 the host is that one of `hosts`. `out` holds three times the bytes of data, hosts and rows.
    """
    rows = problem.size
    offsets, spans = np.zeros(rows + 1, dtype=np.int64), np.zeros((rows, 7), dtype=np.int64)
    is_ip, ports = np.zeros(rows, dtype=np.uint8), np.full(rows, -1, dtype=np.int32)
    at = 0
    for row in range(rows):
        offsets[row + 1] = at
        if problem[row] != OKAY:
            continue
        begin, stop = at, places[row, STOP]
        if instead[row] >= 0:
            one = instead[row]
            end, ip, port, wrong = _write_front(
                data, places, row, hosts, host_offsets[one], host_offsets[one + 1], out, at, spans
            )
        else:
            end, ip, port, wrong = _write_front(
                data, places, row, data, places[row, HOST], places[row, HOST_END], out, at, spans
            )
        if wrong != OKAY:
            problem[row], at = wrong, begin
            continue
        spans[row, N_PATH] = end
        path_end, at = _write_plain(data, places[row, REST], stop, out, end)
        if at >= 0:
            spans[row, N_PATH_END] = path_end
            is_ip[row], ports[row], offsets[row + 1] = ip, port, at
            continue
        i, at = _write_path(data, places[row, REST], stop, out, end)
        spans[row, N_PATH_END] = at
        if i < stop and byte_at(data, i) == 63:
            query = at
            put_byte(out, at, 63)
            i, at = i + 1, at + 1
            while i < stop:
                plain = _copy_plain(data, i, stop, out, at, PATH_BYTE)
                at, i = at + plain - i, plain
                if i == stop or byte_at(data, i) == 35:
                    break
                i, at = _write_byte(data, i, stop, out, at, True)
            at = query if at == query + 1 else at
        is_ip[row], ports[row], offsets[row + 1] = ip, port, at
    return offsets, spans, is_ip, ports
