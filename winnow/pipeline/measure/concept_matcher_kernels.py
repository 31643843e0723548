"""Compiled matching of a dictionary of token sequences: tokens by exact bytes, sequences by a trie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import xxh64
from winnow.core.words.word_kernels import LETTER, character

BLANK, INSIDE, ALONE = 0, 1, 2
_SEED = np.uint64(0)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FREE = np.uint64(0)


@njit(cache=True, nogil=True)
def _kind(data: Any, at: Any, stop: Any, classes: Any) -> Any:
    """(bytes, BLANK, INSIDE or ALONE) of the character at `at`."""
    byte = np.int64(data[at])
    if byte < 128:
        return 1, np.int64(classes[byte])
    size, found = character(data, at, stop)
    if size == 2 and byte == 0xC2 and data[at + 1] == 0xA0:
        return size, BLANK
    if size == 3 and byte == 0xE3 and data[at + 1] == 0x80 and data[at + 2] == 0x80:
        return size, BLANK
    return size, INSIDE if found == LETTER else ALONE


@njit(cache=True, nogil=True)
def next_token(data: Any, at: Any, stop: Any, classes: Any) -> Any:
    """(start, end) of the next token of data[at:stop]; equal where none is left."""
    while at < stop:
        size, kind = _kind(data, at, stop, classes)
        if kind == ALONE:
            return at, at + size
        if kind == INSIDE:
            start = at
            at += size
            while at < stop:
                byte = data[at]
                if byte < 128:
                    if classes[byte] != INSIDE:
                        break
                    at += 1
                    continue
                size, kind = _kind(data, at, stop, classes)
                if kind != INSIDE:
                    break
                at += size
            return start, at
        at += size
    return stop, stop


@njit(cache=True, nogil=True)
def count_tokens(offsets: Any, data: Any, classes: Any) -> Any:
    """Number of tokens of all rows."""
    total = 0
    for row in range(offsets.size - 1):
        start, end = next_token(data, offsets[row], offsets[row + 1], classes)
        while end > start:
            total += 1
            start, end = next_token(data, end, offsets[row + 1], classes)
    return total


@njit(cache=True, nogil=True)
def _same(one: Any, a: Any, other: Any, b: Any, size: Any) -> Any:
    for at in range(size):  # noqa: SIM110
        if one[a + at] != other[b + at]:
            return False
    return True


@njit(cache=True, nogil=True)
def _token(data: Any, start: Any, end: Any, words: Any, slots: Any, hashes: Any, places: Any) -> Any:
    """(number of the token or -1, slot where it is or would be)."""
    code = xxh64(data, start, end, _SEED)
    mask = np.int64(slots.size - 1)
    slot = np.int64(code) & mask
    while slots[slot] >= 0:
        if hashes[slot] == code:
            number = slots[slot]
            low, high = places[number, 0], places[number, 1]
            if high - low == end - start and _same(words, low, data, start, end - start):
                return np.int64(number), slot
        slot = (slot + 1) & mask
    return np.int64(-1), slot


@njit(cache=True, nogil=True)
def _edge(node: Any, token: Any, keys: Any) -> Any:
    """Slot of the edge from a node by a token, or the free one where it would be; a key is never 0."""
    key = (np.uint64(node) << np.uint64(32)) | np.uint64(token + 1)
    mask = np.int64(keys.size - 1)
    mixed = key * _MIX
    slot = np.int64(mixed ^ (mixed >> np.uint64(32))) & mask
    while keys[slot] != _FREE and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot, key


@njit(cache=True, nogil=True)
def number_tokens(offsets: Any, data: Any, classes: Any, slots: Any, hashes: Any, places: Any) -> Any:
    """Fill the table of tokens; number of different ones."""
    num = 0
    for row in range(offsets.size - 1):
        start, end = next_token(data, offsets[row], offsets[row + 1], classes)
        while end > start:
            number, slot = _token(data, start, end, data, slots, hashes, places)
            if number < 0:
                slots[slot], hashes[slot] = num, xxh64(data, start, end, _SEED)
                places[num, 0], places[num, 1] = start, end
                num += 1
            start, end = next_token(data, end, offsets[row + 1], classes)
    return num


@njit(cache=True, nogil=True)
def grow_trie(
    offsets: Any, data: Any, ids: Any, classes: Any, slots: Any, hashes: Any, places: Any,
    first: Any, keys: Any, children: Any, entry: Any,
) -> Any:  # fmt: skip
    """Fill the trie: `first[token]`, edges `keys` -> `children`, `entry[node]`; number of nodes.

    An entry whose tokens are those of an earlier one has the earlier one's id.
    """
    nodes = 0
    for row in range(offsets.size - 1):
        start, end = next_token(data, offsets[row], offsets[row + 1], classes)
        node = -1
        while end > start:
            token, _ = _token(data, start, end, data, slots, hashes, places)
            if node < 0:
                if first[token] < 0:
                    first[token], nodes = nodes, nodes + 1
                node = first[token]
            else:
                slot, key = _edge(node, token, keys)
                if keys[slot] == _FREE:
                    keys[slot], children[slot], nodes = key, nodes, nodes + 1
                node = children[slot]
            start, end = next_token(data, end, offsets[row + 1], classes)
        if node >= 0 and entry[node] < 0:
            entry[node] = ids[row]
    return nodes


@njit(cache=True, nogil=True)
def _tokens_of(
    data: Any, start: Any, stop: Any, head: Any, classes: Any, words: Any, slots: Any, hashes: Any, places: Any,
    found: Any,
) -> Any:  # fmt: skip
    """Numbers of a text's tokens into `found`; how many."""
    num = 0
    low, high = next_token(data, start, stop, classes)
    while high > low and (head == 0 or num < head):
        found[num], _ = _token(data, low, high, words, slots, hashes, places)
        num += 1
        low, high = next_token(data, high, stop, classes)
    return num


@njit(cache=True, nogil=True)
def match_rows(
    offsets: Any, data: Any, head: Any, num_ids: Any, classes: Any, words: Any, slots: Any, hashes: Any, places: Any,
    first: Any, keys: Any, children: Any, entry: Any,
) -> Any:  # fmt: skip
    """(starts i64[rows + 1], i64[...] id * 2^32 + occurrences, ascending per row)."""
    rows = offsets.size - 1
    starts, out = np.zeros(rows + 1, dtype=np.int64), np.empty(1024, dtype=np.int64)
    longest = 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    found = np.empty(longest + 1, dtype=np.int64)
    where = np.zeros(num_ids, dtype=np.int64)  # 1 + place in `out` of the id, if that place is of this row
    at = 0
    for row in range(rows):
        num = _tokens_of(
            data, offsets[row], offsets[row + 1], head, classes, words, slots, hashes, places, found
        )  # fmt: skip
        for p in range(num):
            node = np.int64(first[found[p]]) if found[p] >= 0 else np.int64(-1)
            q = p
            while node >= 0:
                if entry[node] >= 0:
                    place = where[entry[node]] - 1
                    if starts[row] <= place < at and out[place] >> 32 == entry[node]:
                        out[place] += 1
                    else:
                        if at == out.size:
                            wider = np.empty(2 * at, dtype=np.int64)
                            wider[:at] = out
                            out = wider
                        out[at] = (np.int64(entry[node]) << 32) + 1
                        where[entry[node]] = at + 1
                        at += 1
                q += 1
                if q == num or found[q] < 0:
                    break
                slot, _ = _edge(node, found[q], keys)
                node = np.int64(children[slot]) if keys[slot] != _FREE else np.int64(-1)
        out[starts[row] : at].sort()
        starts[row + 1] = at
    return starts, out[:at]
