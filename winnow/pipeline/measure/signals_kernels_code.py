"""Kernels of what filters of source code count: comments, and the visible part of HTML, by marks in the bytes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.measure.signals_kernels_bytes import followed_by, same

XML_START = np.frombuffer(b"<?xml version=", dtype=np.uint8)
XML_WITHIN = 100
SCRIPT, STYLE = np.frombuffer(b"script", dtype=np.uint8), np.frombuffer(b"style", dtype=np.uint8)
COMMENT, COMMENT_END = np.frombuffer(b"<!--", dtype=np.uint8), np.frombuffer(b"-->", dtype=np.uint8)
BLOCK_END = np.frombuffer(b"*/", dtype=np.uint8)


@njit(cache=True, nogil=True, _nrt=False)
def starts_as_xml(data: Any, start: Any, stop: Any) -> Any:
    """Whether an XML declaration stands whole within the first hundred characters."""
    chars, at = 0, start
    while at < stop and chars + XML_START.size <= XML_WITHIN:
        if data[at] == 0x3C and at + XML_START.size <= stop and same(data, at, XML_START):
            return True
        chars += 1
        at += 1
        while at < stop and data[at] & 0xC0 == 0x80:
            at += 1
    return False


@njit(cache=True, nogil=True, _nrt=False)
def opens_comment(data: Any, at: Any, stop: Any) -> Any:
    """1 where a comment to the end of the line begins, 2 for `/*`, 3 for `<!--`, 0 for none."""
    byte = data[at]
    after = data[at + 1] if at + 1 < stop else np.uint8(0)
    if byte in (0x23, 0x25, 0x3B) or (byte in (0x2F, 0x2D) and after == byte):
        return 1
    if byte == 0x2F and after == 0x2A:
        return 2
    return 3 if byte == 0x3C and at + COMMENT.size <= stop and same(data, at, COMMENT) else 0


@njit(cache=True, nogil=True, _nrt=False)
def comment_chars(data: Any, start: Any, stop: Any, spans: Any, runs: Any) -> Any:
    """Characters of comments: from a mark (# % ; // -- /* <!--) that opens a line to its end, or to */ or -->.

    The language is not known, so a comment behind code on its line is not seen, and a line of C that begins with #
    is one.
    """
    found, free = 0, start
    for k in range(runs):
        at = np.int64(spans[0, k])
        if at < free or (k > 0 and not feed_between(data, np.int64(spans[1, k - 1]), at)):
            continue
        kind = opens_comment(data, at, stop)
        if kind == 0:
            continue
        end = at + (1 if kind == 1 else 2 if kind == 2 else COMMENT.size)
        while end < stop:
            if kind == 1 and data[end] == 0x0A:
                break
            if kind == 2 and data[end] == 0x2A and end + 1 < stop and same(data, end, BLOCK_END):
                end += 2
                break
            if kind == 3 and data[end] == 0x2D and end + 2 < stop and same(data, end, COMMENT_END):
                end += 3
                break
            end += 1
        end = min(end, stop)
        for byte in range(at, end):
            found += data[byte] & 0xC0 != 0x80
        free = end
    return found


@njit(cache=True, nogil=True, _nrt=False)
def feed_between(data: Any, start: Any, stop: Any) -> Any:
    """Whether a line feed stands in data[start:stop]."""
    found = False
    for at in range(start, stop):
        found |= data[at] == 0x0A
    return found


@njit(cache=True, nogil=True, _nrt=False)
def tag_end(data: Any, at: Any, stop: Any) -> Any:
    """End of what opens at the "<" at `at`: a comment, a script or style with all in it, a tag; `at` if none does."""
    if at + COMMENT.size <= stop and same(data, at, COMMENT):
        end = at + 4
        while end + 3 <= stop and not same(data, end, COMMENT_END):
            end += 1
        return min(end + 3, stop)
    after = data[at + 1] if at + 1 < stop else np.uint8(0)
    if not (0x61 <= after | 0x20 <= 0x7A or after in (0x2F, 0x21, 0x3F)):
        return at
    script, style = followed_by(data, at + 1, stop, SCRIPT), followed_by(data, at + 1, stop, STYLE)
    end = at + 1
    while end < stop and data[end] != 0x3E:
        end += 1
    end = min(end + 1, stop)
    if script or style:
        name = SCRIPT if script else STYLE
        while end < stop and not (data[end] == 0x3C and end + 1 < stop and data[end + 1] == 0x2F
                                  and followed_by(data, end + 2, stop, name)):  # fmt: skip
            end += 1
        while end < stop and data[end] != 0x3E:
            end += 1
        end = min(end + 1, stop)
    return end


@njit(cache=True, nogil=True, _nrt=False)
def visible_chars(data: Any, start: Any, stop: Any) -> Any:
    """Characters outside of tags, comments, scripts and styles; entities count as they are written."""
    found, at = 0, start
    while at < stop:
        if data[at] == 0x3C:
            end = tag_end(data, at, stop)
            if end > at:
                at = end
                continue
        found += data[at] & 0xC0 != 0x80
        at += 1
    return found
