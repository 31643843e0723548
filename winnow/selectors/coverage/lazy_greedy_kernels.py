"""Compiled greedy facility location over compressed sparse rows; an entry is `target << 32 | similarity`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.selectors.coverage.walk_kernels import ENDED, PASSED, TAKEN, verdict

_LOW = np.int64(0xFFFFFFFF)
_SMALL = 64  # lists up to this long are sorted by insertion


@njit(cache=True, nogil=True)
def copy_lists(at: Any, offsets: Any, ids: Any, values: Any, number: Any, starts: Any, to: Any, by: Any) -> None:
    """List i of a part goes to row `at[i]`; ids become row numbers by table `number` (-1: no candidate)."""
    for item in range(at.size):
        write = starts[at[item]]
        for read in range(offsets[item], offsets[item + 1]):
            to[write] = number[ids[read]] if ids[read] < number.size else -1
            by[write] = values[read]
            write += 1


@njit(cache=True, nogil=True)
def unlisted(starts: Any, to: Any, by: Any, one: Any) -> Any:
    """The most that a row outside a row's list can resemble it, i32[rows]; lists are in falling order."""
    rows = starts.size - 1
    out = np.zeros(rows, dtype=np.int32)
    for row in range(rows):
        low, high = starts[row], starts[row + 1]
        if high == low:
            out[row] = one if rows > 1 else 0
            continue
        own = 0
        for at in range(low, high):
            own += to[at] >= 0
        if own < rows - 1:
            out[row] = min(max(by[high - 1], 0), one)
    return out


@njit(cache=True, nogil=True)
def _sort(entries: Any, low: Any, high: Any) -> None:
    if high - low > _SMALL:
        entries[low:high].sort()
        return
    for at in range(low + 1, high):
        entry, to = entries[at], at
        while to > low and entries[to - 1] > entry:
            entries[to] = entries[to - 1]
            to -= 1
        entries[to] = entry


@njit(cache=True, nogil=True)
def _distinct(ends: Any, entries: Any) -> Any:
    """(starts, entries) of the lists sorted, one entry per target: the largest; in place."""
    out = np.zeros(ends.size, dtype=np.int64)
    kept = 0
    for item in range(ends.size - 1):
        low, high = ends[item], ends[item + 1]
        _sort(entries, low, high)
        for at in range(low, high):
            if at + 1 == high or entries[at + 1] >> 32 != entries[at] >> 32:  # the last of equals is the largest
                entries[kept] = entries[at]
                kept += 1
        out[item + 1] = kept
    return out, entries[:kept]


@njit(cache=True, nogil=True)
def both_ways(starts: Any, neighbours: Any, similarities: Any, one: int, facility: Any, facilities: int) -> Any:
    """(starts, entries) of the facilities: edges in both directions, ascending, the larger of each pair.

    `facility[row]` is the number of a row among the facilities, or -1.
    """
    ends = np.zeros(facilities + 1, dtype=np.int64)
    for row in range(starts.size - 1):
        for at in range(starts[row], starts[row + 1]):
            other = neighbours[at]
            if other >= 0 and other != row and similarities[at] > 0:
                if facility[row] >= 0:
                    ends[facility[row] + 1] += 1
                if facility[other] >= 0:
                    ends[facility[other] + 1] += 1
    ends = np.cumsum(ends)
    fill = ends[:-1].copy()
    entries = np.empty(ends[-1], dtype=np.int64)
    for row in range(starts.size - 1):
        for at in range(starts[row], starts[row + 1]):
            other = neighbours[at]
            if other >= 0 and other != row and similarities[at] > 0:
                similarity = np.int64(min(similarities[at], one))
                mine, its = facility[row], facility[other]
                if mine >= 0:
                    entries[fill[mine]] = (np.int64(other) << 32) | similarity
                    fill[mine] += 1
                if its >= 0:
                    entries[fill[its]] = (np.int64(row) << 32) | similarity
                    fill[its] += 1
    return _distinct(ends, entries)


@njit(cache=True, nogil=True)
def _gain(item: Any, starts: Any, entries: Any, owner: Any, one: Any, coverage: Any, weight: Any) -> Any:
    """What the facility adds to the coverage, each row as often as its weight says (no weights: once)."""
    gain = np.int64(max(one - coverage[owner[item]], 0))
    if weight.size == 0:
        for at in range(starts[item], starts[item + 1]):
            more = (entries[at] & _LOW) - coverage[entries[at] >> 32]
            if more > 0:
                gain += more
        return gain
    gain *= weight[owner[item]]
    for at in range(starts[item], starts[item + 1]):
        row = entries[at] >> 32
        more = (entries[at] & _LOW) - coverage[row]
        if more > 0:
            gain += more * weight[row]
    return gain


@njit(cache=True, nogil=True)
def _take(item: Any, starts: Any, entries: Any, owner: Any, one: Any, coverage: Any) -> None:
    coverage[owner[item]] = one
    for at in range(starts[item], starts[item + 1]):
        row = entries[at] >> 32
        coverage[row] = max(coverage[row], np.int32(entries[at] & _LOW))


@njit(cache=True, nogil=True)
def gains(starts: Any, entries: Any, owner: Any, one: int, coverage: Any, weight: Any) -> Any:
    """What every facility would add, i64[facilities]."""
    out = np.empty(starts.size - 1, dtype=np.int64)
    for item in range(out.size):
        out[item] = _gain(item, starts, entries, owner, one, coverage, weight)
    return out


@njit(cache=True, nogil=True)
def gains_of_lists(starts: Any, neighbours: Any, similarities: Any, one: int, coverages: Any, weight: Any) -> Any:
    """`gains` of every row at each coverage from one-way lists, i64[coverages, rows]: each pair is met once.

    Nothing is held in both directions: an edge is looked up in the other row's list instead.
    """
    rows = starts.size - 1
    out = np.empty(coverages.shape, dtype=np.int64)
    for case in range(coverages.shape[0]):
        for row in range(rows):
            out[case, row] = max(one - coverages[case, row], 0) * (weight[row] if weight.size else 1)
    for row in range(rows):
        for at in range(starts[row], starts[row + 1]):
            other = neighbours[at]
            if other < 0 or other == row or similarities[at] <= 0:
                continue
            similarity, met = similarities[at], False
            for back in range(starts[other], starts[other + 1]):
                if neighbours[back] == row and similarities[back] > 0:
                    met = met or other < row  # its list has counted the pair
                    similarity = max(similarity, similarities[back])
            for twin in range(starts[row], starts[row + 1]):
                if neighbours[twin] == other:
                    met = met or (twin < at and similarities[twin] > 0)
                    similarity = max(similarity, similarities[twin])
            if not met:
                similarity = min(similarity, one)
                mine = np.int64(weight[row]) if weight.size else np.int64(1)
                its = np.int64(weight[other]) if weight.size else np.int64(1)
                for case in range(coverages.shape[0]):
                    out[case, row] += its * max(similarity - coverages[case, other], 0)
                    out[case, other] += mine * max(similarity - coverages[case, row], 0)
    return out


@njit(cache=True, nogil=True)
def cover(starts: Any, entries: Any, owner: Any, one: int, rows: int, chosen: Any) -> Any:
    """Similarity of every row to the nearest chosen facility, i32[rows]."""
    coverage = np.zeros(rows, dtype=np.int32)
    for item in chosen:
        _take(item, starts, entries, owner, one, coverage)
    return coverage


@njit(cache=True, nogil=True)
def _ahead(key: Any, item: Any, other_key: Any, other: Any) -> Any:
    return key > other_key or (key == other_key and item < other)


@njit(cache=True, nogil=True)
def sink(keys: Any, items: Any, at: Any, size: Any) -> None:
    """Let the entry at `at` sink to its place in a heap by (key down, item up).

    Four children each, keys beside keys: a step reads one line of the cache, and there are half as many steps.
    """
    key, item = keys[at], items[at]
    while 4 * at + 1 < size:
        best = 4 * at + 1
        for child in range(best + 1, min(4 * at + 5, size)):
            if _ahead(keys[child], items[child], keys[best], items[best]):
                best = child
        if not _ahead(keys[best], items[best], key, item):
            break
        keys[at], items[at] = keys[best], items[best]
        at = best
    keys[at], items[at] = key, item


@njit(cache=True, nogil=True)
def heaped(keys: Any) -> Any:
    """All numbers, i32[len(keys)], and `keys`, which is reordered, as a heap."""
    items = np.arange(keys.size).astype(np.int32)
    for at in range((keys.size + 2) // 4 - 1, -1, -1):
        sink(keys, items, at, keys.size)
    return items


@njit(cache=True, nogil=True)
def drop(keys: Any, items: Any, size: Any) -> Any:
    """Take the top off a heap of `size`; the new size."""
    keys[0], items[0] = keys[size - 1], items[size - 1]
    sink(keys, items, 0, size - 1)
    return size - 1


@njit(cache=True, nogil=True)
def key_of(gain: Any, cost: Any, per_cost: Any) -> Any:
    """Gain, or gain per cost with a cost of 0 as 1."""
    return gain / np.float64(max(cost, 1)) if per_cost else np.float64(gain)


@njit(cache=True, nogil=True)
def _first_keys(
    starts: Any, entries: Any, owner: Any, one: Any, coverage: Any, weight: Any, cost: Any, per_cost: Any
) -> Any:
    keys = np.empty(starts.size - 1, dtype=np.float64)
    for item in range(keys.size):
        keys[item] = key_of(_gain(item, starts, entries, owner, one, coverage, weight), cost[item], per_cost)
    return keys


@njit(cache=True, nogil=True)
def lazy(
    starts: Any, entries: Any, owner: Any, one: int, coverage: Any, weight: Any, cost: Any, per_cost: bool, budget: int
) -> Any:
    """(order, gains, coverage, evaluations, the first that did not fit or -1): a walk until nothing adds.

    `coverage` is what the rows begin with, and is changed. A facility that is looked at again and stays on top is
    the best: the others' true keys are at most their old ones, and division and rounding keep that order.
    """
    keys = _first_keys(starts, entries, owner, one, coverage, weight, cost, per_cost)
    items = heaped(keys)
    order = np.empty(keys.size, dtype=np.int64)
    picked = np.empty(keys.size, dtype=np.int64)
    num, spent, limit, size, evaluations, over = 0, 0, budget, keys.size, keys.size, -1
    while size > 0:
        item = items[0]
        gain = _gain(item, starts, entries, owner, one, coverage, weight)
        keys[0] = key_of(gain, cost[item], per_cost)
        evaluations += 1
        sink(keys, items, 0, size)
        if items[0] != item:
            continue
        if gain == 0:
            break
        said, limit = verdict(cost[item], spent, limit, budget)
        if said != TAKEN and over < 0:
            over = item
        if said == ENDED:
            break
        size = drop(keys, items, size)
        if said == PASSED:
            continue
        spent += cost[item]
        order[num], picked[num] = item, gain
        num += 1
        _take(item, starts, entries, owner, one, coverage)
    return order[:num].copy(), picked[:num].copy(), coverage, evaluations, over


@njit(cache=True, nogil=True)
def threshold(
    starts: Any, entries: Any, owner: Any, one: int, coverage: Any, weight: Any, cost: Any, per_cost: bool,
    budget: int, epsilon: float,
) -> Any:  # fmt: skip
    """As `lazy`, but anything within 1 - epsilon of the level is taken, level by level, in order of number."""
    keys = _first_keys(starts, entries, owner, one, coverage, weight, cost, per_cost)
    order = np.empty(keys.size, dtype=np.int64)
    picked = np.empty(keys.size, dtype=np.int64)
    num, spent, limit, evaluations, over = 0, 0, budget, keys.size, -1
    best = keys.max() if keys.size else 0.0
    level = best
    while best > 0.0:
        while level > best:
            level *= 1.0 - epsilon
        best = 0.0
        for item in range(keys.size):
            if keys[item] >= level:
                gain = _gain(item, starts, entries, owner, one, coverage, weight)
                evaluations += 1
                keys[item] = key_of(gain, cost[item], per_cost)
                if keys[item] >= level and gain > 0:
                    said, limit = verdict(cost[item], spent, limit, budget)
                    if said != TAKEN and over < 0:
                        over = item
                    if said == ENDED:
                        return order[:num].copy(), picked[:num].copy(), coverage, evaluations, over
                    keys[item] = 0.0
                    if said == TAKEN:
                        spent += cost[item]
                        order[num], picked[num] = item, gain
                        num += 1
                        _take(item, starts, entries, owner, one, coverage)
            best = max(best, keys[item])
    return order[:num].copy(), picked[:num].copy(), coverage, evaluations, over


@njit(cache=True, nogil=True)
def _lot(seed: Any, counter: Any, below: Any) -> Any:
    """A uniform integer in [0, below) from the finaliser of SplitMix64; `below` < 2^32."""
    x = seed + counter * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.int64(((x >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def _sample(alive: Any, size: Any, sample: Any, seed: Any, counter: Any) -> None:
    """Bring a sample of the first `size` to the front."""
    for at in range(sample):
        other = at + _lot(seed, counter + np.uint64(at), size - at)
        alive[at], alive[other] = alive[other], alive[at]


@njit(cache=True, nogil=True)
def sampled(
    starts: Any, entries: Any, owner: Any, one: int, coverage: Any, weight: Any, cost: Any, per_cost: bool,
    budget: int, sample: int, seed: Any,
) -> Any:  # fmt: skip
    """As `lazy`, but each pick is the best of `sample` random ones; those that add nothing leave."""
    keys = _first_keys(starts, entries, owner, one, coverage, weight, cost, per_cost)
    alive = np.arange(keys.size).astype(np.int32)
    order = np.empty(keys.size, dtype=np.int64)
    picked = np.empty(keys.size, dtype=np.int64)
    num, spent, limit, over = 0, 0, budget, -1
    size, evaluations, counter = keys.size, keys.size, np.uint64(0)
    while size > 0:
        some = min(sample, size)
        _sample(alive, size, some, seed, counter)
        counter += np.uint64(some)
        best, gained, place = -1, np.int64(0), 0
        for at in range(some):
            item = alive[at]
            if best >= 0 and not _ahead(keys[item], item, keys[best], best):
                continue
            gain = _gain(item, starts, entries, owner, one, coverage, weight)
            evaluations += 1
            keys[item] = key_of(gain, cost[item], per_cost)
            if gain > 0 and (best < 0 or _ahead(keys[item], item, keys[best], best)):
                best, gained, place = item, gain, at
        if best < 0:  # what adds nothing now never will
            for at in range(some):
                alive[some - 1 - at] = alive[size - 1 - at]
            size -= some
            continue
        said, limit = verdict(cost[best], spent, limit, budget)
        if said != TAKEN and over < 0:
            over = best
        if said == ENDED:
            break
        alive[place] = alive[size - 1]
        size -= 1
        if said == PASSED:
            continue
        spent += cost[best]
        order[num], picked[num] = best, gained
        num += 1
        _take(best, starts, entries, owner, one, coverage)
    return order[:num].copy(), picked[:num].copy(), coverage, evaluations, over
