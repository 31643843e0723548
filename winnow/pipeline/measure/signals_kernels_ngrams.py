"""Kernel of word repetition: a ladder of interned n-grams, linear in words.

An n-gram can only repeat where the (n-1)-grams at its two ends repeat. So words are interned by hash (one
probe per word), 2-grams only where both words repeat, 3-grams only where both 2-grams repeat, and so on; a
pair of ids is an exact key, so the only hash that could collide is the 64-bit hash of a word. On prose the
ladder makes about two probes per word for all of n = 1..10 where ten separate tables would make ten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

ONE = np.uint64(1)  # indices are u64: finding out whether one is negative takes longer than reading there
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
TOP_SIZES = 3  # n = 2, 3, 4
DUP_SIZES = 6  # n = 5 .. 10
LARGEST = 10

DATATROVE, DCLM = 0, 1


@njit(cache=True, nogil=True, _nrt=False)
def open_slots(slots: Any, entries: Any) -> Any:
    """Shift of an emptied table for `entries` keys: 2**(64 - shift) slots, at most half full."""
    bits = 4
    while (1 << bits) < 2 * entries:
        bits += 1
    slots[: 1 << bits] = -1
    return np.uint64(64 - bits)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def intern(slots: Any, shift: Any, keys: Any, used: Any, key: Any) -> Any:
    """Id of `key`, ids being dense from 0 in order of arrival; `used` (then stored at keys[used]) if it is new."""
    mask = (ONE << (np.uint64(64) - shift)) - ONE
    slot = (key * GOLDEN) >> shift
    while True:
        found = slots[slot]
        if found < 0:
            slots[slot] = used
            keys[np.uint64(used)] = key
            return used
        if keys[np.uint64(found)] == key:
            return np.int64(found)
        slot = (slot + ONE) & mask


@njit(cache=True, nogil=True, _nrt=False)
def intern_words(words: Any, hashes: Any, scratch: Any) -> Any:
    """(distinct words, repeated positions): leaves the positions of repeated words and their ids in `scratch`."""
    slots, keys, counts, _, places, ids = scratch
    shift = open_slots(slots, words)
    used = np.int64(0)
    for at in range(words):
        place = np.uint64(at)
        ident = np.uint64(intern(slots, shift, keys, used, hashes[place]))
        new = ident == np.uint64(used)
        counts[ident] = 1 if new else counts[ident] + 1
        used += new
        ids[place] = ident
    kept = np.uint64(0)
    for at in range(words):
        ident = np.uint64(ids[np.uint64(at)])
        places[kept] = at
        ids[kept] = ident
        kept += np.uint64(counts[ident] > 1)
    return used, np.int64(kept)


@njit(cache=True, nogil=True, _nrt=False)
def climb(active: Any, scratch: Any) -> Any:
    """(distinct candidates, repeated positions) one rung up; `places` and `ids` are rewritten in place."""
    slots, keys, counts, first, places, ids = scratch
    shift = open_slots(slots, active)
    used, tried = np.int64(0), np.uint64(0)
    for k in range(active - 1):
        this, after = np.uint64(k), np.uint64(k + 1)
        if places[after] != places[this] + 1:
            continue
        key = np.uint64(ids[this]) << np.uint64(32) | np.uint64(ids[after])
        ident = np.uint64(intern(slots, shift, keys, used, key))
        if ident == np.uint64(used):
            counts[ident] = 0
            first[ident] = places[this]
            used += 1
        counts[ident] += 1
        places[tried] = places[this]
        ids[tried] = ident
        tried += ONE
    kept = np.uint64(0)
    for k in range(np.int64(tried)):
        place, ident = places[np.uint64(k)], np.uint64(ids[np.uint64(k)])
        places[kept] = place
        ids[kept] = ident
        kept += np.uint64(counts[ident] > 1)
    return used, np.int64(kept)


@njit(cache=True, nogil=True, _nrt=False)
def top_chars(n: Any, words: Any, distinct: Any, chars_to: Any, scratch: Any, dialect: Any) -> Any:
    """Characters of the most frequent n-gram times its count.

    datatrove: the first to appear among tied ones, blanks between its words counted, and the document's first
    n-gram where nothing repeats. DCLM: the longest among tied ones, no blanks, 0 where nothing repeats.
    """
    _, _, counts, first, _, _ = scratch
    if words < n:
        return np.int64(0)
    blanks = n - 1 if dialect == DATATROVE else 0
    most, longest = 1, np.int64(chars_to[n] + blanks if dialect == DATATROVE else 0)
    for ident in range(distinct):
        if counts[ident] < most or counts[ident] == 1:
            continue
        chars = np.int64(chars_to[first[ident] + n] - chars_to[first[ident]] + blanks)
        if counts[ident] > most or (dialect == DCLM and chars > longest):
            longest = chars
        most = counts[ident]
    return longest * most


@njit(cache=True, nogil=True, _nrt=False)
def repeated_chars(n: Any, active: Any, chars_to: Any, scratch: Any, dialect: Any) -> Any:
    """Characters (without blanks) in repeated n-grams.

    datatrove: walk the words; an n-gram seen at an earlier stop of the walk adds its characters and is jumped
    over.
    DCLM: all words that lie in any repeated n-gram, first copies included, each once.
    """
    _, _, counts, _, places, ids = scratch
    total, free = np.int64(0), 0
    for k in range(active):
        at = places[k]
        if dialect == DCLM:
            total += chars_to[at + n] - chars_to[max(at, free)]
            free = at + n
        elif at >= free:
            if counts[ids[k]] < 0:
                total += chars_to[at + n] - chars_to[at]
                free = at + n
            else:
                counts[ids[k]] = -1
    return total


@njit(cache=True, nogil=True, _nrt=False)
def repetition(words: Any, hashes: Any, chars_to: Any, scratch: Any, dialect: Any, top: Any, duplicate: Any) -> Any:
    """Number of distinct words; fills `top` (n = 2, 3, 4) and `duplicate` (n = 5 .. 10) with character counts."""
    unique, active = intern_words(words, hashes, scratch)
    top[:] = 0
    duplicate[:] = 0
    for n in range(2, LARGEST + 1):
        distinct, active = climb(active, scratch)
        if n - 2 < TOP_SIZES:
            top[n - 2] = top_chars(n, words, distinct, chars_to, scratch, dialect)
        else:
            if active == 0:
                break
            duplicate[n - 2 - TOP_SIZES] = repeated_chars(n, active, chars_to, scratch, dialect)
    return unique
