"""Scanners for personal data: one pass over the bytes, every look ahead or back from a place is bounded. Compiled.

A matcher takes (data, start, stop) and returns the end of what begins at `start`, or -1. Nothing backtracks: a matcher
reads at most as many bytes as its longest form has (320 for an address), so any text takes time linear in its bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.quick_start import quick_numba

quick_numba()

EMAIL, PHONE, IP, IBAN, CARD, ID = range(6)
NUM_KINDS = 6
LOCAL, HOST, LETTER, DIGIT, UPPER, HEX = 1, 2, 4, 8, 16, 32
MOST_LOCAL, MOST_HOST, MOST_TOKEN, MOST_CARD, MOST_PHONE = 64, 255, 8, 19, 15
NO = np.int64(-1)


def byte_classes() -> np.ndarray:
    """What each byte may be part of, u8[256]."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(128):
        char = chr(byte)
        table[byte] |= LOCAL if char.isalnum() or char in "!#$%&'*+/=?^_`{|}~-." else 0
        table[byte] |= HOST if char.isalnum() or char == "-" else 0
        table[byte] |= LETTER if char.isalpha() or char == "_" else 0
        table[byte] |= DIGIT if char.isdigit() else 0
        table[byte] |= UPPER if char.isalpha() and char.isupper() else 0
        table[byte] |= HEX if char in "0123456789abcdefABCDEF" else 0
    table[128:] = LETTER
    return table


@njit(cache=True, nogil=True, _nrt=False)
def free(data: Any, at: Any, stop: Any, table: Any) -> Any:
    """Whether no letter, digit or underscore stands at a place; outside the text none does."""
    return at >= stop or table[data[at]] & (LETTER | DIGIT) == 0


@njit(cache=True, nogil=True, _nrt=False)
def digit_at(data: Any, at: Any, stop: Any) -> Any:
    """The digit at a place, or -1."""
    return np.int64(data[at]) - 0x30 if at < stop and 0x30 <= data[at] <= 0x39 else NO


@njit(cache=True, nogil=True, _nrt=False)
def host_end(data: Any, at: Any, stop: Any, table: Any) -> Any:
    """End of a host name of two labels or more, or of an IPv4 address in brackets; -1 without one."""
    if at < stop and data[at] == 0x5B:
        end = ipv4(data, at + 1, stop, table, False)
        return end + 1 if end > 0 and end < stop and data[end] == 0x5D else NO
    labels, end, most = 0, NO, min(stop, at + MOST_HOST)
    while at < most:
        last, label = at, at
        while at < most and table[data[at]] & HOST:
            at += 1
            if data[at - 1] != 0x2D:
                last = at
        if last == label or data[label] == 0x2D:
            break
        labels += 1
        end = last
        if at != last or at >= most or data[at] != 0x2E:
            break
        at += 1
    return end if labels >= 2 else NO


@njit(cache=True, nogil=True, _nrt=False)
def local_start(data: Any, at: Any, first: Any, table: Any) -> Any:
    """Where the part of an address before the @ at `at` begins; `at` where there is none."""
    start = at
    while start > first and at - start < MOST_LOCAL and table[data[start - 1]] & LOCAL:
        if data[start - 1] == 0x2E and (start == at or data[start] == 0x2E):
            break
        start -= 1
    while start < at and table[data[start]] & (LETTER | DIGIT) == 0:
        start += 1
    return start


@njit(cache=True, nogil=True, _nrt=False)
def is_public(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Whether an IPv4 address is reachable from everywhere, by IANA's registry of special addresses."""
    if a in (0, 10, 127) or a >= 240:
        return False
    if (a == 100 and 64 <= b < 128) or (a == 169 and b == 254) or (a == 172 and 16 <= b < 32):
        return False
    if a == 192:
        if b == 168 or (b == 0 and c == 2):
            return False
        return not (b == 0 and c == 0) or d in (9, 10)
    if a == 198:
        return not (b in (18, 19) or (b == 51 and c == 100))
    return not (a == 203 and b == 0 and c == 113)


@njit(cache=True, nogil=True, _nrt=False)
def ipv4(data: Any, at: Any, stop: Any, table: Any, public: Any) -> Any:
    """End of four numbers below 256 between full stops, no leading zeros, that no fifth follows; or -1."""
    zero = np.int64(0)
    a, b, c, d = zero, zero, zero, zero
    for number in range(4):
        value, digits = zero, 0
        while digits < 4 and digit_at(data, at, stop) >= 0:
            value = value * 10 + digit_at(data, at, stop)
            at, digits = at + 1, digits + 1
        if digits == 0 or value > 255 or digits > 3 or (digits > 1 and value < (10 if digits == 2 else 100)):
            return NO
        a, b, c, d = b, c, d, value
        if number < 3:
            if at >= stop or data[at] != 0x2E:
                return NO
            at += 1
    more = at + 1 < stop and data[at] == 0x2E and digit_at(data, at + 1, stop) >= 0
    return at if free(data, at, stop, table) and not more and (not public or is_public(a, b, c, d)) else NO


@njit(cache=True, nogil=True, _nrt=False)
def public_net(first: Any, second: Any) -> Any:
    """Whether an IPv6 address of these first two groups is reachable from everywhere."""
    if first == 0x64:
        return second == 0xFF9B
    special = (first == 0x2001 and (second < 0x200 or second == 0xDB8)) or first == 0x2002
    return first >> 13 == 1 and not special and not (first == 0x3FFF and second < 0x1000)


@njit(cache=True, nogil=True, _nrt=False)
def hex_group(data: Any, at: Any, stop: Any, table: Any) -> Any:
    """(value, digits) of up to five hexadecimal digits at a place."""
    value, digits = np.int64(0), 0
    while digits < 5 and at + digits < stop and table[data[at + digits]] & HEX:
        byte = np.int64(data[at + digits])
        value = value * 16 + (byte - 0x30 if byte <= 0x39 else (byte | 0x20) - 0x57)
        digits += 1
    return value, digits


@njit(cache=True, nogil=True, _nrt=False)
def ipv6(data: Any, at: Any, stop: Any, table: Any, public: Any, found: Any) -> Any:
    """End of an IPv6 address, or -1: eight groups, or fewer with one `::`, the last two perhaps as IPv4."""
    groups, gap, end = 0, -1, NO
    found[:2] = 0
    while groups < 8:
        if at + 1 < stop and data[at] == 0x3A and data[at + 1] == 0x3A:
            if gap >= 0:
                return NO
            gap, at = groups, at + 2
            end = at
            if at >= stop or table[data[at]] & HEX == 0:
                break
        elif groups > 0:
            if at + 1 >= stop or data[at] != 0x3A or table[data[at + 1]] & HEX == 0:
                break
            at += 1
        tail = ipv4(data, at, stop, table, False) if 0 < groups <= 6 else NO
        if tail > 0:
            groups, at = groups + 2, tail
            end = at
            break
        value, digits = hex_group(data, at, stop, table)
        if digits == 0 or digits > 4:
            return NO
        found[groups] = value
        groups, at = groups + 1, at + digits
        end = at
    whole = (groups == 8 and gap < 0) or (gap >= 0 and groups < 8)
    after = end + 1 < stop and data[end] == 0x3A and (table[data[end + 1]] & HEX or data[end + 1] == 0x3A)
    first, second = (0 if gap == 0 else found[0]), (0 if 0 <= gap <= 1 else found[1])
    good = whole and free(data, end, stop, table) and not after
    return end if good and (not public or public_net(first, second)) else NO


@njit(cache=True, nogil=True, _nrt=False)
def luhn(digits: Any, count: Any) -> Any:
    """Whether digits end with their Luhn check digit."""
    total = 0
    for k in range(count):
        value = digits[count - 1 - k] * (1 + (k & 1))
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@njit(cache=True, nogil=True, _nrt=False)
def is_card(digits: Any, count: Any) -> Any:
    """Whether digits have the beginning and length of a payment card of some network, and a right check digit."""
    two = digits[0] * 10 + digits[1]
    four = two * 100 + digits[2] * 10 + digits[3]
    known = digits[0] == 4 and count in (13, 16, 19)
    known |= count == 16 and (51 <= two <= 55 or 2221 <= four <= 2720)
    known |= count == 15 and two in (34, 37)
    known |= count == 14 and (two in (36, 38) or 3000 <= four <= 3059)
    known |= count >= 16 and (four == 6011 or two in (62, 65) or 6440 <= four <= 6499 or 3528 <= four <= 3589)
    return known and luhn(digits, count)


@njit(cache=True, nogil=True, _nrt=False)
def card(data: Any, at: Any, stop: Any, table: Any, digits: Any) -> Any:
    """End of a payment card number, or -1: digits in a row, or in groups of two or more with one mark between all."""
    count, mark, group, end = 0, 0, 0, NO
    while count < MOST_CARD:
        value = digit_at(data, at, stop)
        if value >= 0:
            digits[count] = value
            count, group, at = count + 1, group + 1, at + 1
            end = at
            continue
        here = data[at] if at < stop else 0
        parts = here in (0x20, 0x2D) and mark in (0, here) and group >= 2
        if not parts or digit_at(data, at + 1, stop) < 0:
            break
        mark, group, at = here, 0, at + 1
    tail = mark > 0 and end < stop and data[end] == mark and digit_at(data, end + 1, stop) >= 0
    return end if count >= 13 and free(data, end, stop, table) and not tail and is_card(digits, count) else NO


@njit(cache=True, nogil=True, _nrt=False)
def iban(data: Any, at: Any, stop: Any, table: Any, lengths: Any) -> Any:
    """End of an IBAN of its country's length, or -1: upper-case, in one piece or in fours; mod 97 is 1."""
    if at + 4 > stop or not (table[data[at]] & UPPER and table[data[at + 1]] & UPPER):
        return NO
    want = lengths[(np.int64(data[at]) - 0x41) * 26 + np.int64(data[at + 1]) - 0x41]
    rest, head, count = np.int64(0), np.int64(0), 0
    while count < want and at < stop:
        here = np.int64(data[at])
        if here == 0x20 and count > 0 and count % 4 == 0:
            at += 1
            continue
        if table[data[at]] & (DIGIT | UPPER) == 0 or (2 <= count < 4 and here > 0x39):
            return NO
        value = here - 0x30 if here <= 0x39 else here - 0x37
        if count < 4:
            head = head * (10 if value < 10 else 100) + value
        else:
            rest = (rest * (10 if value < 10 else 100) + value) % 97
        count, at = count + 1, at + 1
    if want == 0 or count < want or not free(data, at, stop, table):
        return NO
    return at if (rest * 1000000 + head) % 97 == 1 else NO


@njit(cache=True, nogil=True, _nrt=False)
def world_phone(data: Any, at: Any, stop: Any, table: Any) -> Any:
    """End of +, a country code and a number of 8 to 15 digits in all, or -1; groups by one mark, (0) among them."""
    count, end, most = 0, NO, min(stop, at + 3 * MOST_PHONE)
    at += 1
    if digit_at(data, at, most) <= 0:
        return NO
    while at < most and count <= MOST_PHONE:
        if digit_at(data, at, most) >= 0:
            count, at = count + 1, at + 1
            end = at
            continue
        here = data[at]
        if here == 0x28 or (here == 0x20 and at + 1 < most and data[at + 1] == 0x28):  # an area in brackets
            at += 1 + (here == 0x20)
            inside = at
            while at < most and at - inside < 5 and digit_at(data, at, most) >= 0:
                at += 1
            if at == inside or at >= most or data[at] != 0x29:
                break
            count += at - inside
            at += 1
            at += at < most and data[at] == 0x20
        elif here in (0x20, 0x2D, 0x2E, 0x2F) and digit_at(data, at + 1, most) >= 0:
            at += 1
        else:
            break
    return end if 8 <= count <= MOST_PHONE and free(data, end, stop, table) else NO


@njit(cache=True, nogil=True, _nrt=False)
def us_phone(data: Any, at: Any, stop: Any, table: Any, bare: Any) -> Any:
    """End of a number of the North American plan, or -1: (212) 555-0123, 212.555.0123, 1-212-555-0123."""
    marks = 0
    if digit_at(data, at, stop) == 1 and at + 1 < stop and digit_at(data, at + 1, stop) < 0:
        at += 2 if data[at + 1] != 0x28 else 1
        marks += 1
    inside = at < stop and data[at] == 0x28
    at += inside
    for group in range(3):
        size = 4 if group == 2 else 3
        if group < 2 and digit_at(data, at, stop) < 2:
            return NO
        for k in range(size):
            if digit_at(data, at + k, stop) < 0:
                return NO
        at += size
        if group == 0 and inside:
            if at >= stop or data[at] != 0x29:
                return NO
            at, marks = at + 1, marks + 1
        if group < 2 and at < stop and (data[at] == 0x20 or data[at] == 0x2D or data[at] == 0x2E):
            at, marks = at + 1, marks + 1
    return at if (marks >= 2 or bare) and free(data, at, stop, table) else NO
