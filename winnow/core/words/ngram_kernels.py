"""Word n-grams as 64-bit rolling hashes of 32-bit word hashes, and their membership in a small set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

EMPTY = np.uint64(0)
BASE = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _spread(word: Any) -> Any:
    """A 32-bit hash as 64 well-mixed bits."""
    x = (np.uint64(word) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(29))


@njit(cache=True, nogil=True)
def _finish(rolling: Any) -> Any:
    """Bits of the rolling sum mixed; never 0, which marks an empty slot."""
    x = (rolling ^ (rolling >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return max(x ^ (x >> np.uint64(32)), np.uint64(1))


@njit(cache=True, nogil=True)
def _top_power(n: Any) -> Any:
    """BASE to the power n - 1, modulo 2^64."""
    power = np.uint64(1)
    for _ in range(n - 1):
        power *= BASE
    return power


@njit(cache=True, nogil=True)
def all_ngrams(offsets: Any, words: Any, n: Any) -> Any:
    """Hashes u64[...] of every n-gram of every row; rows of fewer than n words have none."""
    total = 0
    for row in range(len(offsets) - 1):
        total += max(0, offsets[row + 1] - offsets[row] - n + 1)
    out, at, top = np.empty(total, dtype=np.uint64), 0, _top_power(n)
    for row in range(len(offsets) - 1):
        rolling = np.uint64(0)
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] >= n - 1:
                out[at] = _finish(rolling)
                at += 1
    return out


@njit(cache=True, nogil=True)
def build_table(hashes: Any) -> Any:
    """Open addressing: a table u64[2^k >= 4 x n] that holds every hash."""
    size = 8
    while size < 4 * len(hashes):
        size *= 2
    mask = np.uint64(size - 1)
    table = np.zeros(size, dtype=np.uint64)
    for i in range(len(hashes)):
        slot = hashes[i] & mask
        while table[slot] != EMPTY and table[slot] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = hashes[i]
    return table


@njit(cache=True, nogil=True)
def count_members(offsets: Any, words: Any, n: Any, table: Any) -> Any:
    """How many n-grams of each row lie in the table, i32[rows]; one that repeats counts each time."""
    mask, top = np.uint64(len(table) - 1), _top_power(n)
    out = np.zeros(len(offsets) - 1, dtype=np.int32)
    for row in range(len(out)):
        rolling, count = np.uint64(0), 0
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] >= n - 1:
                word = _finish(rolling)
                slot = word & mask
                while table[slot] != EMPTY and table[slot] != word:
                    slot = (slot + np.uint64(1)) & mask
                count += table[slot] == word
        out[row] = count
    return out


@njit(cache=True, nogil=True)
def table_slots(hashes: Any, table: Any) -> Any:
    """Where `build_table` put every hash, i64[...]; each must be in the table."""
    mask = np.uint64(len(table) - 1)
    out = np.empty(len(hashes), dtype=np.int64)
    for i in range(len(hashes)):
        slot = hashes[i] & mask
        while table[slot] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        out[i] = slot
    return out


@njit(cache=True, nogil=True)
def member_slots(offsets: Any, words: Any, n: Any, table: Any, total: Any) -> Any:
    """(row i64[total], slot i64[total]) of every n-gram that lies in the table; `total` as `count_members` adds up."""
    mask, top = np.uint64(len(table) - 1), _top_power(n)
    rows, slots, at = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64), 0
    for row in range(len(offsets) - 1):
        rolling = np.uint64(0)
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] >= n - 1:
                word = _finish(rolling)
                slot = word & mask
                while table[slot] != EMPTY and table[slot] != word:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == word:
                    rows[at], slots[at] = row, slot
                    at += 1
    return rows, slots


@njit(cache=True, nogil=True)
def longest_runs(offsets: Any, words: Any, n: Any, table: Any) -> Any:
    """(n-grams in the table i32[rows], the most of them in a row i32[rows])."""
    mask, top = np.uint64(len(table) - 1), _top_power(n)
    hits = np.zeros(len(offsets) - 1, dtype=np.int32)
    longest = np.zeros(len(offsets) - 1, dtype=np.int32)
    for row in range(len(hits)):
        rolling, run = np.uint64(0), 0
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] >= n - 1:
                word = _finish(rolling)
                slot = word & mask
                while table[slot] != EMPTY and table[slot] != word:
                    slot = (slot + np.uint64(1)) & mask
                run = run + 1 if table[slot] == word else 0
                hits[row] += run > 0
                longest[row] = max(longest[row], run)
    return hits, longest


@njit(cache=True, nogil=True)
def contained(
    offsets: Any, words: Any, n: Any, table: Any, starts: Any, owners: Any, need: Any, seen: Any, before: Any
) -> Any:
    """(rows i64[...], owners i64[...]): which owners have at least `need` of their distinct n-grams in a row.

    owners[starts[slot] : starts[slot + 1]] are those of the n-gram in a slot of the table. `seen` u32[slots] is used
    again by the next call, with `before` the number of rows of all calls so far.
    """
    mask, top = np.uint64(len(table) - 1), _top_power(n)
    counts = np.zeros(len(need), dtype=np.int32)
    touched = np.empty(len(need), dtype=np.int64)
    found, at = np.empty((64, 2), dtype=np.int64), 0
    for row in range(len(offsets) - 1):
        rolling, num = np.uint64(0), 0
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] < n - 1:
                continue
            word = _finish(rolling)
            slot = word & mask
            while table[slot] != EMPTY and table[slot] != word:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] != word or seen[slot] == before + row + 1:
                continue
            seen[slot] = before + row + 1
            for k in range(starts[slot], starts[slot + 1]):
                if counts[owners[k]] == 0:
                    touched[num] = owners[k]
                    num += 1
                counts[owners[k]] += 1
        for k in range(num):
            if counts[touched[k]] >= need[touched[k]]:
                if at == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                found[at, 0], found[at, 1] = row, touched[k]
                at += 1
            counts[touched[k]] = 0
    return found[:at, 0].copy(), found[:at, 1].copy()


@njit(cache=True, nogil=True)
def mark_members(offsets: Any, words: Any, n: Any, table: Any, marks: Any) -> None:
    """Set marks[i] where word i lies in an n-gram of its row that the table holds."""
    mask, top = np.uint64(len(table) - 1), _top_power(n)
    for row in range(len(offsets) - 1):
        rolling, done = np.uint64(0), offsets[row]
        for i in range(offsets[row], offsets[row + 1]):
            if i - offsets[row] >= n:
                rolling -= _spread(words[i - n]) * top
            rolling = rolling * BASE + _spread(words[i])
            if i - offsets[row] >= n - 1:
                word = _finish(rolling)
                slot = word & mask
                while table[slot] != EMPTY and table[slot] != word:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == word:
                    for k in range(max(done, i - n + 1), i + 1):
                        marks[k] = True
                    done = i + 1


@njit(cache=True, nogil=True)
def stretches(offsets: Any, marks: Any) -> Any:
    """(marked words i32[rows], the most of them in a row i32[rows])."""
    total, longest = np.zeros(len(offsets) - 1, dtype=np.int32), np.zeros(len(offsets) - 1, dtype=np.int32)
    for row in range(len(total)):
        run = 0
        for i in range(offsets[row], offsets[row + 1]):
            run = run + 1 if marks[i] else 0
            total[row] += run > 0
            longest[row] = max(longest[row], run)
    return total, longest
