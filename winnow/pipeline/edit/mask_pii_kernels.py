"""Kernel of `mask_pii`: the spans of a batch, and how many there are of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.edit.id_kernels import national
from winnow.pipeline.edit.pii_kernels import (
    CARD,
    DIGIT,
    EMAIL,
    HEX,
    IBAN,
    ID,
    IP,
    LETTER,
    MOST_TOKEN,
    NO,
    PHONE,
    UPPER,
    card,
    host_end,
    iban,
    ipv4,
    ipv6,
    local_start,
    us_phone,
    world_phone,
)

OFF, PUBLIC, ALL = 0, 1, 2  # which addresses of machines


@njit(cache=True, nogil=True, _nrt=False)
def token_start(data: Any, at: Any, first: Any, table: Any) -> Any:
    """Where the letters and digits before the digit at `at` begin; -1 where they are too many."""
    start = at
    while start > first and table[data[start - 1]] & (LETTER | DIGIT):
        start -= 1
        if at - start > MOST_TOKEN:
            return NO
    return start


@njit(cache=True, nogil=True, _nrt=False)
def numbered(data: Any, token: Any, first: Any, stop: Any, tables: Any) -> Any:
    """(start, end) of the national number of a token and its first digit; capitals before a mark belong to it."""
    table, _, shapes, v = tables
    start, at = token
    end = national(data, start, stop, table, shapes, v)
    if end > 0 or start < at or start - 2 < first or table[data[start - 2]] & UPPER == 0:
        return start, end
    if data[start - 1] not in (0x20, 0x2D, 0x2E, 0x2F):
        return start, NO
    letters = token_start(data, start - 1, first, table)
    return letters, (national(data, letters, stop, table, shapes, v) if letters >= 0 else NO)


@njit(cache=True, nogil=True, _nrt=False)
def phone(data: Any, start: Any, before: Any, stop: Any, table: Any, bare: Any) -> Any:
    """(start, end) of the phone number of a digit, with the + or the bracket before it."""
    if before == 0x2B:
        return start - 1, world_phone(data, start - 1, stop, table)
    if before == 0x28:
        end = us_phone(data, start - 1, stop, table, bare)
        if end > 0:
            return start - 1, end
    return start, us_phone(data, start, stop, table, bare)


@njit(cache=True, nogil=True, _nrt=False)
def at_digit(data: Any, at: Any, first: Any, stop: Any, tables: Any, options: Any) -> Any:
    """(start, end, kind) of what begins with the token of the digit at `at`, end -1 where nothing does."""
    table, lengths, _, v = tables
    start = token_start(data, at, first, table)
    if start < 0:
        return start, NO, 0
    if options[IBAN] and start + 2 == at:
        end = iban(data, start, stop, table, lengths)
        if end > 0:
            return start, end, IBAN
    before = data[start - 1] if start > first else np.uint8(0x20)
    dotted = before == 0x2E and start - 2 >= first and table[data[start - 2]] & DIGIT
    if options[IP] != OFF and start == at and not dotted:
        end = ipv4(data, start, stop, table, options[IP] == PUBLIC)
        if end > 0:
            return start, end, IP
    if options[CARD] and start == at and not dotted:
        end = card(data, start, stop, table, v)
        if end > 0:
            return start, end, CARD
    begins, end = numbered(data, (start, at), first, stop, tables)
    if end > 0:
        return begins, end, ID
    if options[PHONE] and start == at and not dotted:
        begins, end = phone(data, start, before, stop, table, options[PHONE] == ALL)
        return begins, end, PHONE
    return start, NO, 0


@njit(cache=True, nogil=True, _nrt=False)
def at_colon(data: Any, at: Any, first: Any, stop: Any, tables: Any, options: Any) -> Any:
    """(start, end) of an IPv6 address whose first colon stands at `at`, end -1 without one."""
    table, _, _, v = tables
    start = at
    while start > first and at - start < 5 and table[data[start - 1]] & HEX:
        start -= 1
    before = data[start - 1] if start > first else np.uint8(0x20)
    if at - start > 4 or before == 0x3A or table[before] & (LETTER | DIGIT):
        return start, NO
    return start, ipv6(data, start, stop, table, options[IP] == PUBLIC, v)


@njit(cache=True, nogil=True, _nrt=False)
def note(start: Any, end: Any, kind: Any, first: Any, out: Any) -> None:
    """Note a span, in place of earlier ones of the document that it covers; it begins behind those that it touches."""
    starts, stops, kinds, used = out
    while used[0] > first and starts[used[0] - 1] >= start:
        used[0] -= 1
    if used[0] > first:
        start = max(start, stops[used[0] - 1])
    if start < end:
        one = used[0]
        starts[one], stops[one], kinds[one] = start, end, kind
        used[0] = one + 1


@njit(cache=True, nogil=True, _nrt=False)
def spans_of(texts: Any, tables: Any, options: Any, rows: Any, out: Any, counts: Any) -> None:
    """Fill the spans of a batch and one row of counts per document; `rows` counts the spans before each row."""
    offsets, data, valid = texts
    table = tables[0]
    for row in range(offsets.size - 1):
        base, stop, at, after = offsets[row], offsets[row + 1], offsets[row], offsets[row]
        first = out[3][0]
        rows[row] = first
        while valid[row] and at < stop:
            byte = data[at]
            start, end, kind = at, NO, 0
            if byte == 0x40 and options[EMAIL]:
                start = local_start(data, at, after, table)
                end, kind = (host_end(data, at + 1, stop, table) if start < at else NO), EMAIL
            elif 0x30 <= byte <= 0x39:
                start, end, kind = at_digit(data, at, base, stop, tables, options)
            elif byte == 0x3A and options[IP] != OFF:
                start, end = at_colon(data, at, base, stop, tables, options)
                kind = IP
            if end > 0:
                note(start - base, end - base, kind, first, out)
                after = end if kind == EMAIL else after
                at = end
                continue
            at += 1
            while 0x30 <= byte <= 0x39 and at < stop and table[data[at]] & DIGIT:
                at += 1
        for one in range(first, out[3][0]):
            counts[row, out[2][one]] += 1
    rows[offsets.size - 1] = out[3][0]


@njit(cache=True, nogil=True, _nrt=False)
def most_spans(texts: Any) -> Any:
    """Spans that a batch may have at most: places where one can be found."""
    offsets, data, _ = texts
    found = 0
    for at in range(offsets[0], offsets[offsets.size - 1]):
        byte = data[at]
        digit = 0x30 <= byte <= 0x39
        found += byte in (0x3A, 0x40) or digit
    return found


@njit(cache=True, nogil=True, _nrt=False)
def same_form(texts: Any, spans: Any, ends: Any, new: Any, table: Any) -> None:
    """Write each span with 0 for digits, x and X for letters; everything else stays. Span k ends at ends[k + 1]."""
    offsets, data, _ = texts
    rows, starts, stops = spans
    for row in range(offsets.size - 1):
        for one in range(rows[row], rows[row + 1]):
            to = ends[one]
            for at in range(offsets[row] + starts[one], offsets[row] + stops[one]):
                what, byte = table[data[at]], data[at]
                letter = what & LETTER != 0 and byte < 0x80 and byte != 0x5F
                new[to] = 0x30 if what & DIGIT else (0x58 if what & UPPER else 0x78) if letter else byte
                to += 1
