"""The loop over a page's bytes: text is written, tags are handed to `page_scan_kernels`."""

from __future__ import annotations

import numba as nb
import numpy as np

from winnow.pipeline.extract.page_scan_kernels import (
    BR,
    ELEMENTS,
    GAP,
    OPEN,
    PRE,
    TEXT,
    TITLE,
    TITLE_END,
    TITLE_TAG,
    Bytes,
    Longs,
    Longs2,
    Numbers,
    behind_comment,
    behind_raw,
    close_element,
    close_implied,
    flush_block,
    open_element,
    pop_to,
    push_element,
    read_attributes,
    tag_number,
)
from winnow.pipeline.extract.page_tables import BLOCK, DOES, ENTITY, ENTITY_SIZE, ENTITY_TEXT, RAW, VOID

_SPACE, _LINE = 1, 2  # what GAP says stands before the next letter


@nb.njit(cache=True)
def _put(s: Longs, text: Bytes, block: Numbers, element: Longs2, byte: int) -> None:
    """Write a byte that is no white space, and the gap before it."""
    if not s[OPEN]:
        open_element(s, text, block, element)
    elif s[GAP]:
        text[s[TEXT]] = 10 if s[GAP] == _LINE else 32
        s[TEXT] += 1
    s[GAP] = 0
    text[s[TEXT]] = byte
    s[TEXT] += 1


@nb.njit(cache=True)
def _put_code(s: Longs, text: Bytes, block: Numbers, element: Longs2, code: int) -> None:
    """Write a character by its number; what is none becomes U+FFFD."""
    if code in (9, 10, 13, 32, 0xA0):
        s[GAP] = max(s[GAP], _SPACE)
        return
    if code < 32 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if code < 0x80:
        _put(s, text, block, element, code)
    elif code < 0x800:
        _put(s, text, block, element, 0xC0 | code >> 6)
        _put(s, text, block, element, 0x80 | code & 63)
    else:
        if code < 0x10000:
            _put(s, text, block, element, 0xE0 | code >> 12)
        else:
            _put(s, text, block, element, 0xF0 | code >> 18)
            _put(s, text, block, element, 0x80 | code >> 12 & 63)
        _put(s, text, block, element, 0x80 | code >> 6 & 63)
        _put(s, text, block, element, 0x80 | code & 63)


@nb.njit(cache=True)
def _numeric(data: Bytes, at: int, stop: int, s: Longs, text: Bytes, block: Numbers, element: Longs2) -> int:
    """The place behind `&#...;`, whose `#` is at `at`; its character is written."""
    i, code, digits = at + 1, 0, 0
    hexadecimal = i < stop and data[i] | 32 == 120
    i += hexadecimal
    while i < stop:
        c = data[i]
        if 48 <= c <= 57:
            value = c - 48
        elif hexadecimal and 97 <= c | 32 <= 102:
            value = (c | 32) - 87
        else:
            break
        code = min(code * (16 if hexadecimal else 10) + value, 1 << 24)
        digits += 1
        i += 1
    if not digits:
        _put(s, text, block, element, 38)
        return at
    _put_code(s, text, block, element, _windows(code))
    return i + (i < stop and data[i] == 59)


@nb.njit(cache=True)
def _windows(code: int) -> int:
    """What browsers read for 128 to 159: the common punctuation of windows-1252."""
    if 0x91 <= code <= 0x97:
        return (0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014)[code - 0x91]
    if code == 0x80:
        return 0x20AC
    return 0x2026 if code == 0x85 else 0x2122 if code == 0x99 else code


@nb.njit(cache=True)
def _reference(data: Bytes, at: int, stop: int, s: Longs, text: Bytes, block: Numbers, element: Longs2) -> int:
    """The place behind a character reference at `at`, its `&`; what it stands for is written."""
    if at + 1 < stop and data[at + 1] == 35:
        return _numeric(data, at + 1, stop, s, text, block, element)  # type: ignore[no-any-return]
    value, i = np.uint64(0xCBF29CE484222325), at + 1
    while i < stop and i < at + 32 and (97 <= data[i] | 32 <= 122 or 48 <= data[i] <= 57):
        value = (value ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
        i += 1
    slot = np.int64((value * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(51))
    while ENTITY[slot] != 0:
        if ENTITY[slot] == value:
            size = ENTITY_SIZE[slot]
            first = ENTITY_TEXT[slot, 0]
            if (size == 1 and first <= 32) or (size == 2 and first == 0xC2 and ENTITY_TEXT[slot, 1] == 0xA0):
                s[GAP] = max(s[GAP], _SPACE)
            else:
                for k in range(size):
                    _put(s, text, block, element, ENTITY_TEXT[slot, k])
            return i + (i < stop and data[i] == 59)
        slot = (slot + 1) & 8191
    _put(s, text, block, element, 38)
    return at + 1


@nb.njit(cache=True)
def _white(s: Longs, text: Bytes, block: Numbers, element: Longs2, byte: int) -> None:
    if s[PRE] and s[OPEN] and byte in (9, 10, 32):
        text[s[TEXT]] = byte
        s[TEXT] += 1
    elif s[GAP] == 0:
        s[GAP] = _SPACE


@nb.njit(cache=True)
def _text(data: Bytes, at: int, stop: int, s: Longs, text: Bytes, block: Numbers, element: Longs2) -> int:
    """The place of the next `<`; the text before it is written."""
    while at < stop:
        c = data[at]
        if c == 60:
            return at
        if c <= 32:
            _white(s, text, block, element, c)
            at += 1
        elif c == 38:
            at = _reference(data, at, stop, s, text, block, element)
        elif c == 0xC2 and at + 1 < stop and data[at + 1] == 0xA0:
            _white(s, text, block, element, 32)
            at += 2
        else:
            _put(s, text, block, element, c)
            at += 1
            place = s[TEXT]
            while at < stop and data[at] > 32 and data[at] != 60 and data[at] != 38 and data[at] != 0xC2:
                text[place] = data[at]
                place += 1
                at += 1
            s[TEXT] = place
    return at


@nb.njit(cache=True)
def _start_tag(
    data: Bytes, at: int, stop: int, number: int, s: Longs, text: Bytes, block: Numbers, element: Longs2
) -> int:
    """The place behind a start tag whose name ends at `at`, and behind what is not read of its element."""
    does = DOES[number]
    at, flags = read_attributes(data, at, stop)
    if does & BLOCK:
        flush_block(s, text, block, element)
    if number == BR:
        if s[GAP] == _LINE:
            flush_block(s, text, block, element)
        elif s[OPEN]:
            s[GAP] = _LINE
        return at
    if does & VOID:
        return at
    if does & RAW:
        end, behind = behind_raw(data, at, stop, number)
        if number == TITLE_TAG and s[TITLE_END] == 0:
            s[TITLE], s[TITLE_END] = at, end
        return behind  # type: ignore[no-any-return]
    close_implied(s, text, block, element, number)
    push_element(s, text, block, element, number, flags)
    return at


@nb.njit(cache=True, nogil=True)
def scan(data: Bytes, start: int, stop: int, s: Longs, text: Bytes, block: Numbers, element: Longs2) -> None:
    """Fill `p` with the blocks and elements of data[start:stop]. Cost: one pass."""
    s[ELEMENTS] = 1  # number 0: the page
    at = start
    while at < stop:
        at = _text(data, at, stop, s, text, block, element)
        if at >= stop:
            break
        closing = at + 1 < stop and data[at + 1] == 47
        i = at + 1 + closing
        code = np.uint64(0)
        first = i
        while i < stop and (97 <= data[i] | 32 <= 122 or (i > first and (48 <= data[i] <= 57 or data[i] == 45))):
            if i < first + 8:
                letter = data[i] | 32 if data[i] >= 65 else data[i]
                code = (code << np.uint64(8)) | np.uint64(letter)
            i += 1
        if i == first:
            if i < stop and (data[i] == 33 or data[i] == 63 or closing):
                at = behind_comment(data, at, stop)
            else:
                _put(s, text, block, element, 60)
                at += 1
            continue
        number = tag_number(code)
        if closing:
            while i < stop and data[i] != 62:
                i += 1
            at = min(i + 1, stop)
            if DOES[number] & BLOCK:
                flush_block(s, text, block, element)
            close_element(s, text, block, element, number)
        else:
            at = _start_tag(data, i, stop, number, s, text, block, element)
    flush_block(s, text, block, element)
    pop_to(s, text, block, element, 0)
