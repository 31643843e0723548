"""Compiled look-up of addresses in lists: every ending of a host, every beginning of an address, every word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.url.parse_url_kernels import (
    ALPHA,
    CLASSES,
    DIGIT,
    N_DOMAIN,
    N_HOST,
    N_HOST_END,
    lowered,
)
from winnow.pipeline.url.text_table_kernels import find_text, mixed, step

AS_HOST, AS_DOMAIN, AS_URL, AS_PARENT, AS_PREFIX = range(5)
_MOST = 64  # entries of one address that are noted


@njit(cache=True, nogil=True)
def _endings(data: Any, start: Any, stop: Any, domain: Any, slots: Any, hashes: Any, starts: Any, texts: Any,
             ways: Any, entries: Any) -> Any:  # fmt: skip
    """How many endings of the host are listed, the longest last."""
    code, at, num = np.uint64(0), stop, 0
    while at > start:
        label = at
        while label > start and data[label - 1] != 46:
            code = step(code, data[label - 1])
            label -= 1
        found = find_text(data, label, stop, mixed(code), slots, hashes, starts, texts)
        if found >= 0 and num < _MOST:
            ways[num] = AS_HOST if label == start else AS_DOMAIN if label == domain else AS_PARENT
            entries[num] = found
            num += 1
        code, at = step(code, 46), label - 1
    return num


@njit(cache=True, nogil=True)
def _beginnings(data: Any, start: Any, stop: Any, longest: Any, slots: Any, hashes: Any, starts: Any, texts: Any,
                ways: Any, entries: Any, num: Any) -> Any:  # fmt: skip
    """How many beginnings of data[start:stop] are listed, after `num`; they end before `/`, `?`, `&` or all."""
    code = np.uint64(0)
    for i in range(start, min(stop, start + longest)):
        code = step(code, data[i])
        after = i + 1
        last = after == stop or (after == stop - 1 and data[after] == 47)
        if last or data[after] == 47 or data[after] == 63 or data[after] == 38:
            found = find_text(data, start, after, mixed(code), slots, hashes, starts, texts)
            if found >= 0 and num < _MOST:
                ways[num], entries[num] = AS_URL if last else AS_PREFIX, found
                num += 1
    return num


@njit(cache=True, nogil=True)
def listed(offsets: Any, data: Any, spans: Any, valid: Any, hosts: Any, urls: Any, longest: Any) -> Any:
    """(rows, ways, entries), i64 each: what is listed of every address, by host from short to long, then by address."""
    ways, entries = np.zeros(2 * _MOST, dtype=np.int64), np.zeros(2 * _MOST, dtype=np.int64)
    out, at = np.empty((256, 3), dtype=np.int64), 0
    for row in range(valid.size):
        if not valid[row]:
            continue
        start, stop = spans[row, N_HOST], spans[row, N_HOST_END]
        num = _endings(data, start, stop, spans[row, N_DOMAIN], hosts[0], hosts[1], hosts[2], hosts[3], ways, entries)
        if longest > 0:
            end = offsets[row + 1]
            num = _beginnings(data, start, end, longest, urls[0], urls[1], urls[2], urls[3], ways, entries, num)
            if (
                stop - start > 4
                and data[start] == 119
                and data[start + 1] == 119
                and data[start + 2] == 119
                and (data[start + 3] == 46)
            ):
                num = _beginnings(data, start + 4, end, longest, urls[0], urls[1], urls[2], urls[3], ways, entries, num)
        if at + num > len(out):
            wider = np.empty((2 * len(out), 3), dtype=np.int64)
            wider[:at] = out[:at]
            out = wider
        for k in range(num):
            out[at, 0], out[at, 1], out[at, 2] = row, ways[k], entries[k]
            at += 1
    return out[:at, 0].copy(), out[:at, 1].copy(), out[:at, 2].copy()


@njit(cache=True, nogil=True)
def words_of(offsets: Any, data: Any, spans: Any, valid: Any, slots: Any, hashes: Any, starts: Any, texts: Any,
             bits: Any) -> Any:  # fmt: skip
    """(different hard words i32[rows], number of the first i64[rows] or -1, different soft words i32[rows]).

    A word is a run of letters and digits of host, path and query, in small letters.
    """
    rows = valid.size
    hard, soft = np.zeros(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
    first = np.full(rows, -1, dtype=np.int64)
    seen = np.full(bits.size, -1, dtype=np.int64)  # last row that has the word
    longest = 0
    for i in range(bits.size):
        longest = max(longest, starts[i + 1] - starts[i])
    word = np.empty(longest + 1, dtype=np.uint8)
    for row in range(rows):
        if not valid[row] or not bits.size:
            continue
        code, size = np.uint64(0), 0
        for i in range(spans[row, N_HOST], offsets[row + 1] + 1):
            if i < offsets[row + 1] and CLASSES[data[i]] & (ALPHA | DIGIT):
                if size < longest:
                    word[size] = lowered(data[i])
                    code = step(code, word[size])
                size += 1
                continue
            if 0 < size <= longest:
                found = find_text(word, 0, size, mixed(code), slots, hashes, starts, texts)
                if found >= 0 and seen[found] != row:
                    seen[found] = row
                    soft[row] += (bits[found] & 2) != 0
                    if bits[found] & 1:
                        hard[row] += 1
                        first[row] = found if first[row] < 0 else first[row]
            code, size = np.uint64(0), 0
    return hard, first, soft


@njit(cache=True, nogil=True)
def squashed(offsets: Any, data: Any, spans: Any) -> Any:
    """(offsets i64[rows + 1], bytes): letters and digits of host, path and query alone, in small letters."""
    out, at = np.empty(offsets[-1], dtype=np.uint8), 0
    ends = np.zeros(offsets.size, dtype=np.int64)
    for row in range(offsets.size - 1):
        for i in range(spans[row, N_HOST] if offsets[row + 1] > offsets[row] else offsets[row], offsets[row + 1]):
            if CLASSES[data[i]] & (ALPHA | DIGIT):
                out[at] = lowered(data[i])
                at += 1
        ends[row + 1] = at
    return ends, out[:at].copy()
