"""Compiled search for the registered domain, by the rules of the public suffix list; and pieces of many texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.url.parse_url_kernels import N_DOMAIN, N_HOST, N_HOST_END, OKAY
from winnow.pipeline.url.text_table_kernels import find_text, mixed, step

EXACT, WILDCARD, EXCEPTION = 1, 2, 4  # bits of a rule


@njit(cache=True, nogil=True)
def domains(out: Any, problem: Any, is_ip: Any, spans: Any, slots: Any, hashes: Any, starts: Any, texts: Any,
            bits: Any) -> None:  # fmt: skip
    """Fill where the registered domain begins; at the end of the host where there is none."""
    for row in range(problem.size):
        start, stop = spans[row, N_HOST], spans[row, N_HOST_END]
        spans[row, N_DOMAIN] = stop
        if problem[row] != OKAY or is_ip[row]:
            continue
        code, suffix, at = np.uint64(0), stop, stop
        first, wild = True, False
        while at > start:  # from the last label to the first
            label = at
            while label > start and out[label - 1] != 46:
                code = step(code, out[label - 1])
                label -= 1
            if first or wild:
                suffix = label
            rule = find_text(out, label, stop, mixed(code), slots, hashes, starts, texts)
            found = bits[rule] if rule >= 0 else np.uint8(0)
            if found & EXCEPTION:
                suffix = at + 1
                break
            if found & (EXACT | WILDCARD):  # nobody registers the name of a wildcard itself
                suffix = label
            wild, first = (found & WILDCARD) != 0, False
            code, at = step(code, 46), label - 1
        if suffix > start:
            label = suffix - 1
            while label > start and out[label - 1] != 46:
                label -= 1
            spans[row, N_DOMAIN] = label


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
            taken[at + i] = out[starts[row] + i]
    return offsets, taken
