"""Ground truth: the exact Jaccard index of every pair of documents that reaches a floor. Nothing is sampled.

Tokens are `re.findall(r"\\w+", text.lower())`, shingles the distinct 5-grams of tokens (a text of 1 to 4 tokens has one
shingle: all of them; a text without tokens has none and is nobody's duplicate). Shingles get numbers by exact
comparison (no hash, no collision). Pairs that cannot reach the floor are skipped by two bounds that lose nothing: the
sizes (|A| >= floor * |B|), and the prefixes (of sets sorted by rarity, two with J >= floor share a shingle among the
first |A| - ceil(floor * |A|) + 1 of each); all others are counted in full. Shares no code with winnow.
Source: prefix filter after Bayardo, Ma, Srikant 2007; own code.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from common import WORD
from numba import njit, types
from numba.typed import List

I64 = npt.NDArray[np.int64]


def shingles(texts: list[str], n: int = 5) -> tuple[I64, I64]:
    """(offsets i64[docs + 1], numbers i64[...]): ascending distinct shingle numbers of every text, rare ones first."""
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(w, len(numbers) + 1) for w in WORD.findall(text.lower())] for text in texts]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ends = np.cumsum(lengths)
    words = np.fromiter((w for row in rows for w in row), dtype=np.int64, count=int(ends[-1]) if len(ends) else 0)
    del rows, numbers
    owner = np.repeat(np.arange(len(texts)), lengths)
    grams = words
    for step in range(1, n):  # widen by one word: number of (gram, next word), 0 where the text has ended
        following = np.zeros_like(words)
        if len(words) > step:
            following[:-step] = np.where(owner[:-step] == owner[step:], words[step:], 0)
        grams = np.unique(grams * (int(words.max(initial=0)) + 1) + following, return_inverse=True)[1].astype(np.int64)
    place = np.arange(len(words)) - np.repeat(ends - lengths, lengths)
    full = (place <= lengths[owner] - n) | (place == 0)
    owner, grams = owner[full], grams[full]
    pairs = np.unique(owner * (int(grams.max(initial=0)) + 1) + grams)
    owner, grams = np.divmod(pairs, int(grams.max(initial=0)) + 1)
    frequency = np.bincount(grams) if len(grams) else np.zeros(1, dtype=np.int64)
    rank = np.empty(len(frequency), dtype=np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    grams = rank[grams]
    order = np.lexsort((grams, owner))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(texts)))])
    return offsets.astype(np.int64), grams[order]


@njit(cache=False, nogil=True)
def _overlap(a, b):
    i = j = same = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            same += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return same


@njit(cache=False, nogil=True)
def _search(offsets, grams, order, prefix, starts, floor):
    """Pairs by inverted lists over prefixes; documents come in `order` (ascending size)."""
    used = np.zeros(len(starts), np.int64)  # filled length of each inverted list
    lists = np.empty(starts[-1], np.int64)
    stamp = np.full(len(order), -1, np.int64)
    left, right, score = List.empty_list(types.int64), List.empty_list(types.int64), List.empty_list(types.float64)
    for x in order:
        mine = grams[offsets[x] : offsets[x + 1]]
        for gram in mine[: prefix[x]]:
            first = starts[gram]
            for slot in range(first, first + used[gram]):
                y = lists[slot]
                if stamp[y] == x:
                    continue
                stamp[y] = x
                others = grams[offsets[y] : offsets[y + 1]]
                if len(others) < floor * len(mine) - 1e-9:
                    continue
                same = _overlap(mine, others)
                jaccard = same / (len(mine) + len(others) - same)
                if jaccard >= floor:
                    left.append(min(x, y))
                    right.append(max(x, y))
                    score.append(jaccard)
            lists[first + used[gram]] = x
            used[gram] += 1
    return left, right, score


def similar_pairs(offsets: I64, grams: I64, floor: float) -> tuple[I64, I64, npt.NDArray[np.float64]]:
    """(left, right, jaccard) of all pairs with a Jaccard index of `floor` or more, left < right, by position."""
    sizes = np.diff(offsets)
    prefix = np.array([s - math.ceil(floor * s - 1e-9) + 1 if s else 0 for s in sizes.tolist()], dtype=np.int64)
    in_prefix = np.arange(len(grams)) - np.repeat(offsets[:-1], sizes) < np.repeat(prefix, sizes)
    counts = np.bincount(grams[in_prefix], minlength=int(grams.max(initial=0)) + 1)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order = np.argsort(sizes, kind="stable")
    left, right, score = _search(offsets, grams, order, prefix, starts, floor)
    lefts, rights = np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    sort = np.lexsort((rights, lefts))
    return lefts[sort], rights[sort], np.array(score, dtype=np.float64)[sort]
