"""Compiled search for the registered domain, by the rules of the public suffix list; and pieces of many texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, put_byte
from winnow.pipeline.url.parse_url_kernels import MOST_HOST, N_DOMAIN, N_HOST, N_HOST_END, OKAY
from winnow.pipeline.url.text_table_kernels import START, find_text, mixed, step

EXACT, WILDCARD, EXCEPTION = 1, 2, 4  # bits of a rule


@njit(cache=True, nogil=True, _nrt=False)
def labels_of(out: Any, start: Any, stop: Any, places: Any, codes: Any) -> Any:
    """Number of labels of the host out[start:stop]; fills where each begins, the last one first, and the hash from it.

    `places` i64 and `codes` u64 hold MOST_HOST entries.
    """
    num, code = 0, START
    for i in range(stop - 1, start - 1, -1):
        byte = byte_at(out, i)
        if byte == 46:
            places[num], codes[num] = i + 1, mixed(code)
            num += 1
        code = step(code, byte)
    places[num], codes[num] = start, mixed(code)
    return num + 1


@njit(cache=True, nogil=True, _nrt=False)
def domain_of(out: Any, stop: Any, places: Any, codes: Any, num: Any, slots: Any, hashes: Any, starts: Any,
              texts: Any, bits: Any) -> Any:  # fmt: skip
    """Where the registered domain of the host begins whose labels `labels_of` found; `stop` where there is none."""
    suffix = -1  # number of the first label of the suffix
    wild = True
    for k in range(num):
        if wild:
            suffix = k
        rule = find_text(out, places[k], stop, codes[k], slots, hashes, starts, texts)
        found = bits[rule] if rule >= 0 else np.uint8(0)
        if found & EXCEPTION:
            suffix = k - 1
            break
        if found & (EXACT | WILDCARD):  # nobody registers the name of a wildcard itself
            suffix = k
        wild = (found & WILDCARD) != 0
    return places[suffix + 1] if suffix + 1 < num else stop


@njit(cache=True, nogil=True)
def domains(out: Any, problem: Any, is_ip: Any, spans: Any, slots: Any, hashes: Any, starts: Any, texts: Any,
            bits: Any) -> None:  # fmt: skip
    """Fill where the registered domain begins; at the end of the host where there is none."""
    places, codes = np.empty(MOST_HOST, dtype=np.int64), np.empty(MOST_HOST, dtype=np.uint64)
    for row in range(problem.size):
        stop = spans[row, N_HOST_END]
        spans[row, N_DOMAIN] = stop
        if problem[row] == OKAY and not is_ip[row]:
            num = labels_of(out, spans[row, N_HOST], stop, places, codes)
            spans[row, N_DOMAIN] = domain_of(out, stop, places, codes, num, slots, hashes, starts, texts, bits)


@njit(cache=True, nogil=True)
def gathered(out: Any, starts: Any, stops: Any) -> Any:
    """(offsets i64[rows + 1], bytes): out[start:stop] of every row, one after another."""
    offsets = np.zeros(starts.size + 1, dtype=np.int64)
    for row in range(starts.size):
        offsets[row + 1] = offsets[row] + stops[row] - starts[row]
    taken = np.empty(offsets[-1], dtype=np.uint8)
    for row in range(starts.size):
        at = offsets[row]
        for i in range(stops[row] - starts[row]):
            put_byte(taken, at + i, byte_at(out, starts[row] + i))
    return offsets, taken
