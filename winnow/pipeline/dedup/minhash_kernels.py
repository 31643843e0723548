"""Compiled kernels of near-duplicate search: shingle sets with signatures, verified pairs.

Shingles and signatures of other parts are read where they lie (memory-mapped files), by address: a pair
costs no copy and no Python. Callers keep the Arrow arrays alive while a kernel runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import P1, SEED_0, ZERO, absorb, avalanche
from winnow.core.words.normal_form_kernels import NO_ROOM, first_change
from winnow.core.words.word_kernels import MOST_ENDS, ROOM, formed, most_words, row_ngrams

I64 = types.Array(types.int64, 1, "C", readonly=True)
U8 = types.Array(types.uint8, 1, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
U32_2D = types.Array(types.uint32, 2, "C", readonly=True)
LANES = types.Array(types.uint64, 2, "C", readonly=True)
U32_OUT, I64_OUT, U64_OUT = types.uint32[::1], types.int64[::1], types.uint64[::1]

SIGNATURE_SEED = np.uint64(0x6D696E68617368)  # part of Signatures.version
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
SMALL = 48  # rows up to this size are sorted by insertion


@intrinsic
def peek(typing_context: Any, address: Any, index: Any) -> Any:
    """A numba intrinsic (address u64, index i64) -> the u32 at address + 4 * index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.add(args[0], builder.shl(args[1], ir.Constant(ir.IntType(64), 2)))
        pointer = builder.inttoptr(at, ir.IntType(32).as_pointer())
        return builder.load(pointer, align=1, typ=ir.IntType(32))

    return types.uint32(types.uint64, types.int64), codegen


@njit(cache=True, nogil=True, _nrt=False)
def _insertion_sort(values: Any, size: Any) -> None:
    for at in range(1, size):
        value, gap = values[at], np.int64(at)
        while gap > 0 and values[gap - 1] > value:
            values[gap] = values[gap - 1]
            gap -= 1
        values[gap] = value


@njit(cache=True, nogil=True, _nrt=False)
def _radix_sort(values: Any, spare: Any, counts: Any, size: Any) -> None:
    """Sorts values[:size] in four passes over 8 bits; `spare` is as long, `counts` is i64[4, 256]."""
    for digit in range(4):
        for slot in range(256):
            counts[digit, slot] = 0
    for at in range(size):
        value = np.int64(values[at])
        for digit in range(4):
            counts[digit, (value >> (8 * digit)) & 255] += 1
    for digit in range(4):
        total = np.int64(0)
        for slot in range(256):
            total, counts[digit, slot] = total + counts[digit, slot], total
        source, target = (values, spare) if digit & 1 == 0 else (spare, values)
        for at in range(size):
            byte = (np.int64(source[at]) >> (8 * digit)) & 255
            target[counts[digit, byte]] = source[at]
            counts[digit, byte] += 1


@njit(cache=True, nogil=True, _nrt=False)
def _signature(shingles: Any, size: Any, mixed: Any, minima: Any, out: Any) -> None:
    """Fills `out`, the row of a signature, from the distinct shingles[:size]; `mixed` and `minima` are scratch.

    A shingle's hash chooses a bin and a value, a bin keeps its smallest value. A bin that stays empty takes
    the minimum of its own hash function, so that each slot of two rows agrees with probability J.
    """
    minima[:] = EMPTY
    for at in range(size):
        word = avalanche(SIGNATURE_SEED ^ (np.uint64(shingles[at]) * P1))
        mixed[at] = word
        home = np.int64(((word >> np.uint64(32)) * np.uint64(minima.size)) >> np.uint64(32))
        minima[home] = min(minima[home], word & np.uint64(0xFFFFFFFF))
    for slot in range(minima.size):
        if minima[slot] == EMPTY:
            salt = avalanche(SIGNATURE_SEED + np.uint64(slot + 1) * P1)
            best = EMPTY
            for at in range(size):
                best = min(best, (mixed[at] ^ salt) * P1)
            minima[slot] = best >> np.uint64(32)
        out[slot] = np.uint32(minima[slot])


@njit(
    types.int64(I64, U8, types.int64, types.int64[::1], U32_OUT, types.uint32[:, ::1]),
    cache=True,
    nogil=True,
)
def sketch(texts: Any, data: Any, n: int, offsets: Any, shingles: Any, slots: Any) -> Any:
    """Number of distinct word n-grams of all texts; a text is read, sorted and sketched while it is in cache.

    Fills `offsets` i64[rows + 1] and `shingles` with every row's distinct hashes in ascending order, and `slots`
    u32[rows, num_hashes] with one-permutation MinHash signatures (zeros for a row without shingles).
    NO_ROOM where `shingles` is too small: one hash per two bytes of text and one per row is enough but for texts whose
    normal form is longer than they are.
    """
    rows, longest = texts.size - 1, np.int64(0)
    for row in range(rows):
        longest = max(longest, texts[row + 1] - texts[row])
    most = most_words(longest)
    values, spare = np.empty(most, dtype=np.uint32), np.empty(most, dtype=np.uint32)
    mixed, minima = np.empty(most, dtype=np.uint64), np.empty(slots.shape[1], dtype=np.uint64)
    counts = np.empty((4, 256), dtype=np.int64)
    scratch = (np.empty(n, np.uint64), np.empty(ROOM, np.uint8), np.empty(MOST_ENDS, np.int64))
    form, filled = np.empty(0, dtype=np.uint8), np.int64(0)
    offsets[0] = 0
    for row in range(rows):
        if first_change(data, texts[row], texts[row + 1]) < 0:
            size = row_ngrams(data, texts[row], texts[row + 1], scratch, values, np.int64(0))
        else:
            form, length = formed(data, texts[row], texts[row + 1], form)
            if most_words(length) > values.size:
                more = 2 * most_words(length)
                values, spare = np.empty(more, dtype=np.uint32), np.empty(more, dtype=np.uint32)
                mixed = np.empty(more, dtype=np.uint64)
            size = row_ngrams(form, np.int64(0), length, scratch, values, np.int64(0))
        if filled + size > shingles.size:
            return NO_ROOM
        if size <= SMALL:
            _insertion_sort(values, size)
        else:
            _radix_sort(values, spare, counts, size)
        first = filled
        for at in range(size):
            shingles[filled] = values[at]
            filled += np.int64(at + 1 == size or values[at] != values[at + 1])  # not a branch
        offsets[row + 1] = filled
        if size:
            _signature(shingles[first:filled], filled - first, mixed, minima, slots[row])
        else:
            slots[row] = 0
    return filled


@njit(cache=True, nogil=True)
def _band_key(signature: Any, band: Any, width: Any) -> Any:
    """Key of one band of the signature at an address."""
    state = absorb(SEED_0, np.uint64(band))
    for at in range(band * width, (band + 1) * width):
        state = absorb(state, np.uint64(peek(signature, np.int64(at))))
    return avalanche(state)


@njit(types.uint64[:, ::1](U64, types.int64, types.int64), cache=True, nogil=True)
def band_keys(signature: Any, num_bands: int, width: int) -> Any:
    """Key of every band of the signatures at u64[rows] addresses, u64[rows, num_bands]."""
    out = np.empty((signature.size, num_bands), dtype=np.uint64)
    for row in range(signature.size):
        for band in range(num_bands):
            out[row, band] = _band_key(signature[row], band, width)
    return out


@njit(cache=True, nogil=True)
def _first_key(one: Any, two: Any, num_bands: Any, width: Any) -> Any:
    """(True, key) of the first band in which two signatures agree, or (False, 0)."""
    for band in range(num_bands):
        at, last = np.int64(band * width), np.int64((band + 1) * width)
        while at < last and peek(one, at) == peek(two, at):
            at += 1
        if at == last:
            return True, _band_key(one, band, width)
    return False, ZERO


@njit(cache=True, nogil=True)
def _common(one: Any, num_one: Any, two: Any, num_two: Any) -> Any:
    """How many values two sorted sets at addresses share."""
    left, right, common = np.int64(0), np.int64(0), np.int64(0)
    while left < num_one and right < num_two:
        a, b = peek(one, left), peek(two, right)
        common += np.int64(a == b)
        left += np.int64(a <= b)
        right += np.int64(b <= a)
    return common


@njit(cache=True, nogil=True)
def _jaccard(one: Any, num_one: Any, two: Any, num_two: Any) -> Any:
    """Exact Jaccard of two sorted sets at addresses: integer counts, one division; 0.0 for two empty sets."""
    common = _common(one, num_one, two, num_two)
    either = num_one + num_two - common
    return np.float64(common) / np.float64(either) if either > 0 else 0.0


@njit(types.float64[::1](U64, I64, I64, I64), cache=True, nogil=True)
def jaccards(address: Any, size: Any, left: Any, right: Any) -> Any:
    """Exact Jaccard of the sets of rows left[i] and right[i], f64[pairs] in [0, 1]."""
    out = np.empty(left.size, dtype=np.float64)
    for pair in range(left.size):
        one, two = left[pair], right[pair]
        out[pair] = _jaccard(address[one], size[one], address[two], size[two])
    return out


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    wider = np.empty(array.size * 2, dtype=array.dtype)
    wider[: array.size] = array
    return wider


@njit(
    types.Tuple((I64_OUT, I64_OUT, types.float64[::1], types.int64))(
        U64, U64, U64, U64, I64, types.UniTuple(types.int64, 4), types.float64
    ),
    cache=True,
    nogil=True,
)
def verified_pairs(key: Any, group: Any, signature: Any, address: Any, size: Any, shape: Any, threshold: float) -> Any:
    """(left, right, jaccard, candidates) of the pairs within equal groups (side by side) that reach `threshold`.

    `key` is that of the band, one per group; the Jaccard is exact; `candidates` counts the pairs whose sets were
    compared.

    `shape` is (num_bands, rows per band, full, neighbours). In a group of up to `full` rows all pairs are
    candidates; in a larger one every row with the first row and with its next `neighbours` rows. A pair is
    verified only in the group of the first band in which its signatures agree, so it comes out once.
    """
    num_bands, width, full, neighbours = shape
    left, right = np.empty(1024, dtype=np.int64), np.empty(1024, dtype=np.int64)
    score = np.empty(1024, dtype=np.float64)
    found, start, candidates = 0, np.int64(0), np.int64(0)
    while start < key.size:
        stop = start + 1
        while stop < key.size and group[stop] == group[start]:
            stop += 1
        for one in range(start, stop):
            whole = stop - start <= full or one == start
            for two in range(one + 1, stop if whole else min(stop, one + 1 + neighbours)):
                small, large = min(size[one], size[two]), max(size[one], size[two])
                if large == 0 or np.float64(small) / np.float64(large) < threshold:
                    continue  # a Jaccard index is at most the ratio of the sizes
                agree, first = _first_key(signature[one], signature[two], num_bands, width)
                if not agree or first != key[start]:
                    continue
                candidates += 1
                value = _jaccard(address[one], size[one], address[two], size[two])
                if value < threshold:
                    continue
                if found == left.size:
                    left, right, score = _grown(left), _grown(right), _grown(score)
                left[found], right[found], score[found] = one, two, value
                found += 1
        start = stop
    return left[:found].copy(), right[:found].copy(), score[:found].copy(), candidates


@njit(I64_OUT(LANES, LANES), cache=True, nogil=True)
def positions(ascending: Any, wanted: Any) -> Any:
    """Row of every wanted id among ascending ids (both as big-endian words), i64[wanted]; -1 where absent."""
    out = np.empty(wanted.shape[0], dtype=np.int64)
    for at in range(wanted.shape[0]):
        high, low = wanted[at, 0], wanted[at, 1]
        first, last = 0, ascending.shape[0]
        while first < last:
            middle = (first + last) >> 1
            word = ascending[middle, 0]
            if word < high or (word == high and ascending[middle, 1] < low):
                first = middle + 1
            else:
                last = middle
        hit = first < ascending.shape[0] and ascending[first, 0] == high and ascending[first, 1] == low
        out[at] = first if hit else -1
    return out


@njit(types.UniTuple(I64_OUT, 2)(I64, I64), cache=True, nogil=True)
def keepers(root: Any, weight: Any) -> Any:
    """(keeper row, cluster size) of every row: the largest weight, then the smallest row, i64[rows] each."""
    rows = root.size
    best = root.copy()
    count = np.zeros(rows, dtype=np.int64)
    for row in range(rows):
        count[root[row]] += 1
        if weight[row] > weight[best[root[row]]]:
            best[root[row]] = row
    sizes = np.empty(rows, dtype=np.int64)
    chosen = np.empty(rows, dtype=np.int64)
    for row in range(rows):
        chosen[row], sizes[row] = best[root[row]], count[root[row]]
    return chosen, sizes


@njit(cache=True, nogil=True)
def _holds(address: Any, size: Any, row: Any, other: Any, contained: Any) -> Any:
    """Whether the set of row `other` has at least the share `contained` of that of `row`."""
    if contained <= 0.0:
        return True
    common = _common(address[row], size[row], address[other], size[other])
    return np.float64(common) >= contained * np.float64(size[row])


@njit(I64_OUT(I64, I64, I64, U64, I64, types.float64, types.float64), cache=True, nogil=True)
def leaders(
    order: Any, starts: Any, neighbours: Any, address: Any, size: Any, threshold: float, contained: float
) -> Any:
    """The kept row that stands for every row (itself where it is kept), i64[rows].

    Rows are met in `order`. A row is dropped for the earliest kept row among its verified pairs
    (`neighbours[starts[row] : starts[row + 1]]`); where it has none, for the earliest kept row that one of its
    dropped pairs was dropped for, if their exact Jaccard reaches `threshold` too. Either must have the share
    `contained` of its shingles (0.0: any).
    """
    rows = order.size
    place = np.empty(rows, dtype=np.int64)
    keeper = np.full(rows, -1, dtype=np.int64)
    tried = np.full(rows, -1, dtype=np.int64)
    for at in range(rows):
        place[order[at]] = at
    for at in range(rows):
        row = order[at]
        best = np.int64(-1)
        for edge in range(starts[row], starts[row + 1]):
            other = neighbours[edge]
            if keeper[other] == other and (best < 0 or place[other] < place[best]):
                best = other if _holds(address, size, row, other, contained) else best
        if best < 0:
            for edge in range(starts[row], starts[row + 1]):
                other = keeper[neighbours[edge]]
                if other < 0 or tried[other] == row or (best >= 0 and place[other] > place[best]):
                    continue
                tried[other] = row
                near = _jaccard(address[row], size[row], address[other], size[other]) >= threshold
                if near and _holds(address, size, row, other, contained):
                    best = other
        keeper[row] = row if best < 0 else best
    return keeper
