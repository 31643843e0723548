"""Compiled counts of n-grams: texts to a table of every n-gram of every order, each with its ending and its beginning.

One open hash table holds the n-grams of all orders under the keys of `core.words.backoff_kernels`. A slot is 64 bits:
half the key above, the n-gram's number below, 0 where it is free. What is known of an n-gram lies in a record u64[3]:
its key; how often it occurs, and the number of its ending (all words but the first) above; the number of its beginning
(all words but the last), and its order above. The slots of coming tokens are prefetched, so that the looks into memory
overlap.

numba's cache watches this file alone: whoever changes what a key is removes `__pycache__/*_kernels*.nb?`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.backoff_kernels import BOS, EOS, HALF, LINE, UNK, longer, next_token, token_key
from winnow.core.words.hashing_kernels import I64, U8
from winnow.core.words.prefetch_kernels import prefetch

SLOTS, RECORDS, KEYS = types.uint64[::1], types.uint64[:, ::1], types.Array(types.uint64, 1, "C", readonly=True)
AHEAD = 8  # tokens whose slots are on their way
LOW = np.uint64(0xFFFF_FFFF)
HIGH = np.uint64(0xFFFF_FFFF_0000_0000)
ONE, NONE = np.uint64(1), np.uint64(0)
KEY, COUNT, BEGINNING = 0, 1, 2
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2  # numbers of the markers


@njit(types.Tuple((types.uint64[::1], types.int64))(I64, U8, types.int64, types.int64, types.int64),
      cache=True, nogil=True)  # fmt: skip
def keys_of_texts(offsets: Any, data: Any, unit: Any, per: Any, most: Any) -> Any:
    """(keys u64[...], markers left out): tokens of all texts, EOS behind each sentence; at most `most` keys."""
    out, filled, skipped, inside_is = np.empty(most, dtype=np.uint64), 0, np.int64(0), 1 if per == LINE else 2
    for row in range(len(offsets) - 1):
        at, stop, inside = offsets[row], offsets[row + 1], 0
        while True:
            start, at, lines = next_token(data, at, stop, unit, inside)
            over = start >= stop
            if inside and (over or (per == LINE and lines)):
                out[filled] = EOS
                filled += 1
            if over:
                break
            inside, key = inside_is, token_key(data, start, at)
            if key == UNK:
                skipped += 1
            else:
                out[filled] = key
                filled += 1
    return out[:filled].copy(), skipped


@njit(cache=True, nogil=True)
def home(key: Any, slots: Any) -> Any:
    """The slot where the search for a key begins."""
    return np.int64(((key >> HALF) * np.uint64(len(slots))) >> HALF)


@njit(cache=True, nogil=True)
def number_of(key: Any, slots: Any, records: Any, used: Any) -> Any:
    """(number of the n-gram of a key, how many n-grams there are after it); one that was not there gets a record."""
    tag, slot = key << HALF, home(key, slots)
    while slots[slot] != NONE:
        held = slots[slot]
        if held & HIGH == tag:
            number = np.int64(held & LOW) - 1
            if records[number, KEY] == key:
                return number, used
        slot = slot + 1 if slot + 1 < len(slots) else np.int64(0)
    slots[slot] = tag | np.uint64(used + 1)
    records[used, KEY] = key
    return np.int64(used), used + 1


@njit(cache=True, nogil=True)
def chained_keys(keys: Any, start: Any, stop: Any, order: Any, before: Any, known: Any, out: Any) -> Any:
    """Words of history after keys[start:stop]: out[i, n] are the keys of the n-grams that end there, 0 where none is.

    before[:known] are the words before, the nearest first, and become those after.
    """
    for i in range(start, stop):
        key = keys[i]
        out[i - start, 0] = key
        for n in range(1, order):
            key = longer(key, before[n - 1]) if n <= known else NONE
            out[i - start, n] = key
        if keys[i] == EOS:
            before[0], known = BOS, min(order - 1, 1)
        else:
            known = min(known + 1, order - 1)
            for n in range(known - 1, 0, -1):
                before[n] = before[n - 1]
            before[0] = keys[i]
    return known


@njit(types.int64(KEYS, types.int64, types.int64, SLOTS, RECORDS, types.int64, types.uint64[::1], types.int64[::1],
                  types.int64[::1]), cache=True, nogil=True)  # fmt: skip
def count(
    keys: Any, start: Any, stop: Any, slots: Any, records: Any, used: Any, before: Any, numbers: Any, known: Any
) -> Any:
    """How many n-grams there are after those that end at keys[start:stop] are counted; there is room for all.

    before u64[order], numbers i64[2, order] flat, known i64[1]: the history, its n-grams, and its length; kept for
    the next call.
    """
    order = len(before)
    chained = np.empty((stop - start, order), dtype=np.uint64)
    known[0] = chained_keys(keys, start, stop, order, before, known[0], chained)
    last, now = numbers[:order], numbers[order:]
    for i in range(stop - start):
        for n in range(order if i + AHEAD < stop - start else 0):
            prefetch(slots, home(chained[i + AHEAD, n], slots))
        for n in range(order):
            if chained[i, n] == NONE:
                break
            now[n], total = number_of(chained[i, n], slots, records, used)
            if total > used:
                records[now[n], COUNT] = np.uint64(now[n - 1]) << HALF if n else NONE
                records[now[n], BEGINNING] = np.uint64(n + 1) << HALF | (np.uint64(last[n - 1]) if n else NONE)
                used = total
            records[now[n], COUNT] += ONE
        for n in range(order):
            last[n] = now[n]
        if chained[i, 0] == EOS:
            last[0] = BOS_ID
    return used


@njit(types.int64[:, ::1](I64, U8, types.int64, types.int64, SLOTS, RECORDS, types.boolean[::1]),
      cache=True, nogil=True)  # fmt: skip
def new_words(offsets: Any, data: Any, unit: Any, per: Any, slots: Any, records: Any, named: Any) -> Any:
    """(number, start, end) i64[..., 3] of the words of counted texts that are not in `named`; they are then."""
    out, filled = np.empty((1024, 3), dtype=np.int64), 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while True:
            start, at, _ = next_token(data, at, stop, unit, 0)
            if start >= stop:
                break
            key = token_key(data, start, at)
            number = np.int64(UNK_ID) if key == UNK else number_of(key, slots, records, len(named))[0]
            if number > EOS_ID and not named[number]:
                if filled == len(out):
                    out = np.concatenate((out, np.empty_like(out)))
                out[filled, 0], out[filled, 1], out[filled, 2] = number, start, at
                named[number], filled = True, filled + 1
    return out[:filled].copy()


@njit(types.void(RECORDS, types.int64, SLOTS), cache=True, nogil=True)
def rehash(records: Any, used: Any, slots: Any) -> None:
    """Put the first `used` n-grams into empty slots."""
    for number in range(used):
        if number + AHEAD < used:
            prefetch(slots, home(records[number + AHEAD, KEY], slots))
        key = records[number, KEY]
        slot = home(key, slots)
        while slots[slot] != NONE:
            slot = slot + 1 if slot + 1 < len(slots) else np.int64(0)
        slots[slot] = key << HALF | np.uint64(number + 1)


@njit(types.int64[::1](RECORDS, types.int64), cache=True, nogil=True)
def adjusted_counts(records: Any, order: Any) -> Any:
    """Of every n-gram: how often it occurs, or how many distinct words precede it, i64[n-grams].

    An n-gram's ending and beginning have lower numbers than itself.
    """
    out = np.zeros(len(records), dtype=np.int64)
    begins = np.zeros(len(records), dtype=np.bool_)
    begins[BOS_ID] = True
    for number in range(len(records)):
        length = records[number, BEGINNING] >> HALF
        if length > 1:
            begins[number] = begins[records[number, BEGINNING] & LOW]
            out[records[number, COUNT] >> HALF] += 1
    for number in range(len(records)):
        if begins[number] or np.int64(records[number, BEGINNING] >> HALF) == order:
            out[number] = records[number, COUNT] & LOW
    out[BOS_ID] = 0
    return out


@njit(types.int64[:, ::1](RECORDS, types.int64[::1], types.int64), cache=True, nogil=True)
def counts_of_counts(records: Any, adjusted: Any, order: Any) -> Any:
    """How many n-grams of each order have an adjusted count of 0 to 4, i64[order, 5]; <s> is none."""
    out = np.zeros((order, 5), dtype=np.int64)
    for number in range(len(records)):
        if adjusted[number] < 5 and number != BOS_ID:
            out[np.int64(records[number, BEGINNING] >> HALF) - 1, adjusted[number]] += 1
    return out


@njit(cache=True, nogil=True)
def is_kept(records: Any, number: Any, least: Any) -> Any:
    """Whether an n-gram occurs more often than what is pruned of its order."""
    length = np.int64(records[number, BEGINNING] >> HALF)
    return length == 1 or np.int64(records[number, COUNT] & LOW) > least[length - 1]


@njit(types.UniTuple(types.int64[:, ::1], 2)(RECORDS, types.int64[::1], types.int64[::1]), cache=True, nogil=True)
def histories(records: Any, adjusted: Any, least: Any) -> Any:
    """What is behind every n-gram as a history, and (one row) behind none: (i64[n-grams, 5], i64[1, 5]).

    The sum of adjusted counts; how many n-grams that are kept have one of 1, of 2, of 3 and more; the sum of those
    that are pruned. The integers are the same however the texts were cut.
    """
    out, none = np.zeros((len(records), 5), dtype=np.int64), np.zeros((1, 5), dtype=np.int64)
    for number in range(len(records)):
        a = adjusted[number]
        if a == 0:
            continue
        lone = records[number, BEGINNING] >> HALF == ONE
        into, row = (none, 0) if lone else (out, np.int64(records[number, BEGINNING] & LOW))
        into[row, 0] += a
        if is_kept(records, number, least):
            into[row, min(a, 3)] += 1
        else:
            into[row, 4] += a
    return out, none


@njit(
    types.void(RECORDS, types.int64[::1], types.int64[::1], types.float64[:, ::1], types.int64[:, ::1],
               types.float64[::1], types.float64[::1], types.float64, types.float64, types.boolean[::1]),
    cache=True, nogil=True,
)  # fmt: skip
def interpolate(
    records: Any, adjusted: Any, least: Any, discounts: Any, behind: Any, gamma: Any, prob: Any, total: Any,
    uniform: Any, kept: Any,
) -> None:  # fmt: skip
    """Fill `prob` and `kept` of every n-gram, from the shortest; `total` and `uniform` are those of unigrams."""
    for number in range(len(records)):
        length = np.int64(records[number, BEGINNING] >> HALF)
        history = np.int64(records[number, BEGINNING] & LOW)
        kept[number], a = is_kept(records, number, least), adjusted[number]
        own = np.float64(a) - discounts[length - 1, min(a, 3) - 1] if a and kept[number] else 0.0
        if length == 1:
            prob[number] = own / total + uniform
        else:
            ending = np.int64(records[number, COUNT] >> HALF)
            prob[number] = own / np.float64(behind[history, 0]) + gamma[history] * prob[ending]
    prob[BOS_ID] = 1.0  # as lmplz writes it
