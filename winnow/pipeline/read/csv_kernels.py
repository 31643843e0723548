"""Compiled reading of delimited text: where records and their fields lie, and fields as Arrow buffers.

No library says where a row lies in the file or goes on behind a quote that is never closed; both are needed to put bad
rows aside one by one. What is no fault is read as pyarrow, Polars and Python's `csv` read it.

Source: RFC 4180; own code. Beyond it: a quote within a field that does not begin with one is a character, a carriage
return alone ends a record, and a field may escape characters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

WHOLE, FIELDS, QUOTES = 0, 1, 2  # what a record is: right, with another number of fields, with a quote out of place
IS_QUOTED, IS_ESCAPED = 1, 2  # how a field is written
_LF, _CR = 10, 13


@njit(cache=True, nogil=True)
def _after_line(raw: Any, at: Any, stop: Any) -> Any:
    while at < stop and raw[at] != _LF:
        at += 1
    return min(at + 1, stop)


@njit(cache=True, nogil=True)
def _quoted(raw: Any, at: Any, stop: Any, quote: Any, escape: Any) -> Any:
    """(the closing quote of a field whose first byte is `at`, how it is written); -1 where there is none."""
    how = IS_QUOTED
    while at < stop:
        byte = raw[at]
        if byte == escape:
            how, at = how | IS_ESCAPED, at + 2
        elif byte != quote:
            at += 1
        elif at + 1 < stop and raw[at + 1] == quote:
            how, at = how | IS_ESCAPED, at + 2
        else:
            return at, how
    return -1, how


@njit(cache=True, nogil=True)
def _bare(raw: Any, at: Any, stop: Any, delimiter: Any, quote: Any, escape: Any) -> Any:
    """(where a field without quotes ends, how it is written, whether a quote is in it)."""
    how, quotes = 0, False
    while at < stop:
        byte = raw[at]
        if byte == delimiter or byte == _LF or byte == _CR:  # noqa: PLR1714, SIM109 - a set costs
            break
        quotes = quotes or byte == quote
        if byte == escape:
            how, at = IS_ESCAPED, at + 1
        at += 1
    return min(at, stop), how, quotes


@njit(cache=True, nogil=True)
def read_records(
    raw: Any, at: Any, stop: Any, final: Any, marks: Any, width: Any, slots: Any, strict: Any, starts: Any, states: Any,
    spans: Any, hows: Any,
) -> Any:  # fmt: skip
    """Records of raw[at:stop]: (how many, where the next begins, up to where lines are suspected).

    `marks`: delimiter, quote and escape, -1 for none. `width`: fields of a record, -1 for any. `slots[field]`: the
    column of `spans` (i64[rows, columns, 2]) and `hows` (u8[rows, columns]) for a field, -1 for none. `starts`
    (i64[rows, 2]) take the records' ends too. A record that may go on behind `stop` is left unless `final`; so is what
    no row is left for. A record with a quote out of place ends with its first line, and where it was read further, to
    `strict`, a quote within a field without quotes is out of place too: it may be the rest of that record.
    Cost: a byte is looked at once, and again where a quote is out of place.
    """
    delimiter, quote, escape = marks[0], marks[1], marks[2]
    rows = 0
    while at < stop and rows < len(starts):
        if raw[at] == _LF or raw[at] == _CR:
            at += 1
            continue
        begin, field, state, ended = at, 0, WHOLE, False
        while not ended:
            how, quotes, closed = 0, False, at
            if at < stop and raw[at] == quote:
                closed, how = _quoted(raw, at + 1, stop, quote, escape)
                first, last, at = at + 1, closed, closed + 1
                ends = closed >= 0 and (at == stop or raw[at] == delimiter or raw[at] == _LF or raw[at] == _CR)
                if not ends or (at == stop and not final):
                    if not final and (closed < 0 or at == stop):
                        return rows, begin, strict
                    state, strict = QUOTES, max(strict, stop if closed < 0 else at)
                    break
            else:
                first = at
                at, how, quotes = _bare(raw, at, stop, delimiter, quote, escape)
                last = at
                if at == stop and not final:
                    return rows, begin, strict
                if quotes and begin < strict:
                    state = QUOTES
                    break
            if field < len(slots) and slots[field] >= 0:
                spans[rows, slots[field], 0], spans[rows, slots[field], 1] = first, last
                hows[rows, slots[field]] = how
            field += 1
            ended = at == stop or raw[at] != delimiter
            at += np.int64(not ended)
        starts[rows, 0], starts[rows, 1] = begin, at
        if state == QUOTES:
            at = _after_line(raw, begin, stop)
            starts[rows, 1] = at
        elif 0 <= width != field:
            state = FIELDS
        states[rows] = state
        rows += 1
    return rows, at, strict


@njit(cache=True, nogil=True)
def gather(raw: Any, spans: Any, hows: Any, quote: Any, escape: Any, out: Any, ends: Any) -> Any:
    """The fields raw[spans[row]] one after the other in `out`, without what escapes; `ends` (i64[rows + 1]) from 0."""
    to = 0
    ends[0] = 0
    for row in range(len(spans)):
        at, last = spans[row, 0], spans[row, 1]
        if not hows[row] & IS_ESCAPED:
            out[to : to + last - at] = raw[at:last]
            to += last - at
        else:
            while at < last:
                if raw[at] == escape or (raw[at] == quote and hows[row] & IS_QUOTED):
                    at += np.int64(at + 1 < last)
                out[to] = raw[at]
                to, at = to + 1, at + 1
        ends[row + 1] = to
    return to
