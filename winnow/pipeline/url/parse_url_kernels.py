"""Compiled parsing of URLs: where the parts lie, over Arrow buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at

OKAY, EMPTY, NO_HOST, BAD_HOST, BAD_PORT = 0, 1, 2, 3, 4
SCHEME, SCHEME_END, HOST, HOST_END, PORT, PORT_END, REST, STOP = range(8)  # of `locate`: places in the raw bytes
N_START, N_SCHEME_END, N_HOST, N_HOST_END, N_PATH, N_PATH_END, N_DOMAIN = range(7)  # in the bytes of a normal form
MOST_HOST, MOST_LABEL, MOST_PORT = 253, 63, 65535

HOST_BYTE, UNRESERVED, PATH_BYTE, ALPHA, DIGIT, HEX, BLANK, SEGMENT_BYTE = 1, 2, 4, 8, 16, 32, 64, 128


def _classes() -> Any:
    """Bits of what every byte may be, u8[256]."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(128):
        char = chr(byte)
        table[byte] |= HOST_BYTE if char.isalnum() or char in "-._" else 0
        table[byte] |= UNRESERVED if char.isalnum() or char in "-._~" else 0
        table[byte] |= PATH_BYTE if char.isalnum() or char in "-._~!$&'()*+,;=:@/" else 0
        table[byte] |= SEGMENT_BYTE if table[byte] & PATH_BYTE and char != "/" else 0
        table[byte] |= ALPHA if char.isalpha() else 0
        table[byte] |= DIGIT if char.isdigit() else 0
        table[byte] |= HEX if char in "0123456789abcdefABCDEF" else 0
        table[byte] |= BLANK if char in "\t\n\r" else 0
    return table


CLASSES = _classes()

SLASH, DOT, ODD, WRONG = 4, 2, 16, 32  # of a byte in a path: ODD ends a plain one, WRONG a plain query as well


def _plain() -> Any:
    """Bits of what a byte is in a path that needs no rewriting, u8[256]."""
    table = np.where(CLASSES & PATH_BYTE, 0, ODD | WRONG).astype(np.uint8)
    table[[ord("/"), ord("."), ord("?")]] = SLASH, DOT, ODD
    return table


PLAIN = _plain()


@njit(cache=True, nogil=True, _nrt=False)
def lowered(byte: Any) -> Any:
    """An ASCII capital as a small letter, all else as it is."""
    return byte + 32 if 65 <= byte <= 90 else byte


def _word(name: bytes) -> Any:
    """A name of at most 8 small letters as a number."""
    return np.uint64(int.from_bytes(name, "big"))


_HTTP, _HTTPS, _FTP, _WS, _WSS = (_word(name) for name in (b"http", b"https", b"ftp", b"ws", b"wss"))


@njit(cache=True, nogil=True, _nrt=False)
def default_port(data: Any, start: Any, stop: Any) -> Any:
    """The port that a scheme means by itself; 0 for schemes that are none of the web's."""
    if stop - start < 2 or stop - start > 5:
        return 0
    word = np.uint64(0)
    for i in range(start, stop):
        word = (word << np.uint64(8)) | np.uint64(lowered(byte_at(data, i)))
    if word in (_HTTPS, _WSS):
        return 443
    return 80 if word in (_HTTP, _WS) else 21 if word == _FTP else 0


@njit(cache=True, nogil=True, _nrt=False)
def slash(byte: Any) -> Any:
    """Whether the byte is `/`, or the sign that counts as one."""
    return byte in (47, 92)


@njit(cache=True, nogil=True, _nrt=False)
def _authority(data: Any, a: Any, b: Any, places: Any, row: Any) -> Any:
    """Where the host may begin (-1: there is none); fills the scheme."""
    i = a
    if CLASSES[byte_at(data, a)] & ALPHA:
        while i < b and (CLASSES[byte_at(data, i)] & (ALPHA | DIGIT) or byte_at(data, i) in (43, 45, 46)):
            i += 1
    if i == a or i >= b or byte_at(data, i) != 58:
        first = a
        while first < b and slash(byte_at(data, first)):
            first += 1
        return a if first == a else first if first - a >= 2 else -1
    j = i + 1
    while j < b and slash(byte_at(data, j)):
        j += 1
    web = default_port(data, a, i) > 0
    if web or j - i - 1 >= 2:
        places[row, SCHEME], places[row, SCHEME_END] = a, i
        return j if web else i + 3
    return a if j == i + 1 and j < b and CLASSES[byte_at(data, j)] & DIGIT else -1


@njit(cache=True, nogil=True, _nrt=False)
def _host_and_port(data: Any, places: Any, row: Any, first: Any, end: Any) -> Any:
    """Fill host and port of the authority data[first:end]; OKAY or what is wrong."""
    for i in range(first, end):
        if byte_at(data, i) == 64:
            places[row, HOST] = i + 1
    start, colon = places[row, HOST], -1
    bracket = start < end and byte_at(data, start) == 91
    for i in range(start, end):
        if byte_at(data, i) == 93 and bracket:
            bracket, colon = False, -1
        elif byte_at(data, i) == 58 and not bracket:
            colon = i if colon < 0 else -2
    if colon == -2 or bracket:
        return BAD_HOST
    places[row, HOST_END] = end if colon < 0 else colon
    places[row, PORT], places[row, PORT_END] = (end, end) if colon < 0 else (colon + 1, end)
    if places[row, HOST_END] == start:
        return NO_HOST
    for i in range(places[row, PORT], end):
        if not CLASSES[byte_at(data, i)] & DIGIT:
            return BAD_PORT
    return OKAY


@njit(cache=True, nogil=True, _nrt=False)
def _ends(byte: Any) -> Any:
    """Whether the byte ends an authority."""
    return byte in (47, 92, 63, 35)


@njit(cache=True, nogil=True, _nrt=False)
def _end_of_plain(data: Any, start: Any, stop: Any) -> Any:
    """Where the letters, digits and `-._` from start on end."""
    for i in range(start, stop):
        if not CLASSES[byte_at(data, i)] & HOST_BYTE:
            return i
    return stop


@njit(cache=True, nogil=True)
def locate(offsets: Any, data: Any) -> Any:
    """(places i64[rows, 8], problem u8[rows], host must be looked at closely bool[rows])."""
    rows = offsets.size - 1
    places, problem = np.zeros((rows, 8), dtype=np.int64), np.zeros(rows, dtype=np.uint8)
    odd = np.zeros(rows, dtype=np.bool_)
    for row in range(rows):
        a, b = offsets[row], offsets[row + 1]
        while a < b and byte_at(data, a) <= 32:
            a += 1
        while a < b and byte_at(data, b - 1) <= 32:
            b -= 1
        if a == b:
            problem[row] = EMPTY
            continue
        first = _authority(data, a, b, places, row)
        if first < 0:
            problem[row] = NO_HOST
            continue
        end = _end_of_plain(data, first, b)
        plain = end > first and (end == b or _ends(byte_at(data, end)))  # no user, no port, no other letters
        while end < b and not _ends(byte_at(data, end)):
            end += 1
        places[row, HOST], places[row, HOST_END], places[row, PORT], places[row, PORT_END] = first, end, end, end
        places[row, REST], places[row, STOP] = end, b
        if not plain:
            problem[row] = _host_and_port(data, places, row, first, end)
            odd[row] = (
                problem[row] == OKAY
                and _end_of_plain(data, places[row, HOST], places[row, HOST_END]) < places[row, HOST_END]
            )
    return places, problem, odd
