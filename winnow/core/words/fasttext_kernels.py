"""Compiled fastText prediction over Arrow buffers: the library's sums and products, in its order and precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.prefetch_kernels import prefetch

I64 = types.Array(types.int64, 1, "C", readonly=True)
I32 = types.Array(types.int32, 1, "C", readonly=True)
I8 = types.Array(types.int8, 1, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
U8 = types.Array(types.uint8, 1, "C", readonly=True)
MATRIX = types.Array(types.float32, 2, "C", readonly=True)
OUT = types.Array(types.float32, 2, "C")
LABELS = types.Array(types.int32, 1, "C")
HS, NS, SOFTMAX, OVA = 1, 2, 3, 4  # args.loss of a model file
LABEL_MARK = b"__label__"
EOS = b"</s>"  # ends a line, as the library's own mark of a line break
NWORDS, BUCKET, MINN, MAXN, NGRAMS, END_WORD = range(6)  # places in `numbers`
END_HASH = 3617362777  # of EOS
MAX_SIGMOID = 8
AHEAD = 16  # rows that are on their way


@njit(types.uint32(U8, types.int64, types.int64), cache=True, nogil=True)
def hashed(data: Any, start: int, stop: int) -> Any:
    """FNV-1a of bytes, each taken as a signed char (Dictionary::hash)."""
    h = np.uint32(2166136261)
    for at in range(start, stop):
        h = np.uint32(np.uint32(h ^ np.uint32(np.int32(np.int8(data[at])))) * np.uint32(16777619))
    return h


@njit(types.boolean(U8, types.int64, types.int64, U8, types.int64, types.int64), cache=True, nogil=True)
def _same(data: Any, start: int, stop: int, other: Any, first: int, last: int) -> Any:
    if stop - start != last - first:
        return False
    for at in range(stop - start):  # noqa: SIM110 - numba
        if data[start + at] != other[first + at]:
            return False
    return True


@njit(types.Tuple((types.int64[::1], types.int64[::1], types.int8[::1], types.int64))(U8, types.int64, types.int64),
      cache=True, nogil=True)  # fmt: skip
def read_entries(data: Any, at: int, size: int) -> Any:
    """(first and last byte of every word i64[2 * size], counts, kinds, where they end or -1) of a dictionary."""
    limits, counts = np.zeros(2 * size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    kinds = np.zeros(size, dtype=np.int8)
    for word in range(size):
        limits[2 * word] = at
        while at < len(data) and data[at] != 0:
            at += 1
        limits[2 * word + 1] = at
        if at + 10 > len(data):
            return limits, counts, kinds, np.int64(-1)
        value = np.uint64(0)
        for byte in range(8):
            value |= np.uint64(data[at + 1 + byte]) << np.uint64(8 * byte)
        counts[word] = np.int64(value)
        kinds[word] = np.int8(data[at + 9])
        at += 10
    return limits, counts, kinds, np.int64(at)


@njit(cache=True, nogil=True)
def _slot(data: Any, start: int, stop: int, h: Any, words: Any, limits: Any, slots: Any) -> Any:
    """Where a word stands, or would stand, in the open addresses."""
    slot = np.int64(h) & (len(slots) - 1)
    while slots[slot]:
        if np.uint32(slots[slot] >> np.uint64(32)) == h:
            word = np.int64(slots[slot] & np.uint64(0xFFFFFFFF)) - 1
            if _same(data, start, stop, words, limits[2 * word], limits[2 * word + 1]):
                return slot
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@njit(types.uint64[::1](U8, I64), cache=True, nogil=True)
def index_words(data: Any, limits: Any) -> Any:
    """Open addresses of the words: hash << 32 | number + 1, 0 where free; of equal words the last."""
    size = len(limits) // 2
    capacity = 16
    while capacity < 2 * size:
        capacity *= 2
    slots = np.zeros(capacity, dtype=np.uint64)
    for word in range(size):
        h = hashed(data, limits[2 * word], limits[2 * word + 1])
        slots[_slot(data, limits[2 * word], limits[2 * word + 1], h, data, limits, slots)] = (
            np.uint64(h) << np.uint64(32)
        ) | np.uint64(word + 1)
    return slots


@njit(cache=True, nogil=True, error_model="numpy")
def _subwords(
    word: Any, size: int, ids: Any, held: int, minn: int, maxn: int, bucket: int, first: int, pruned: Any
) -> Any:
    """Rows of the character n-grams of word[:size], `<word>` (Dictionary::computeSubwords); `ids` has room."""
    kept, buckets = len(pruned) > 0, np.uint32(bucket)
    for i in range(size):
        if (word[i] & 0xC0) == 0x80:
            continue
        h, j, n = np.uint32(2166136261), i, 0
        while j < size and n < maxn:
            h = np.uint32(np.uint32(h ^ np.uint32(np.int32(np.int8(word[j])))) * np.uint32(16777619))
            j += 1
            while j < size and (word[j] & 0xC0) == 0x80:
                h = np.uint32(np.uint32(h ^ np.uint32(np.int32(np.int8(word[j])))) * np.uint32(16777619))
                j += 1
            n += 1
            if n < minn or (n == 1 and (i == 0 or j == size)):
                continue
            row = np.int64(h % buckets)
            if kept:
                row = np.int64(pruned[row])
            if row >= 0:
                ids[held] = np.int32(first + row)
                held += 1
    return held


@njit(cache=True, nogil=True)
def _between_marks(token: Any, data: Any, start: int, stop: int) -> Any:
    """The length of `<word>`, put into `token`."""
    token[0] = 60
    for n in range(stop - start):
        token[n + 1] = data[start + n]
    token[stop - start + 1] = 62
    return stop - start + 2


@njit(types.Tuple((types.int64[::1], types.int32[::1]))(U8, I64, I32, I64), cache=True, nogil=True)
def subword_rows(words: Any, limits: Any, pruned: Any, numbers: Any) -> Any:
    """(starts i64[words + 1], rows) of every word's character n-grams, one after the other (Dictionary::initNgrams)."""
    nwords, room, longest = numbers[NWORDS], 8, 0
    grams = max(0, numbers[MAXN] - max(1, numbers[MINN]) + 1)
    for word in range(nwords):
        size = limits[2 * word + 1] - limits[2 * word] + 2
        longest, room = max(longest, size), room + size * grams
    starts, rows = np.zeros(nwords + 1, dtype=np.int64), np.empty(room if grams else 0, dtype=np.int32)
    token, held = np.empty(longest, dtype=np.uint8), 0
    for word in range(nwords if grams else 0):
        if word != numbers[END_WORD]:
            size = _between_marks(token, words, limits[2 * word], limits[2 * word + 1])
            held = _subwords(token, size, rows, held, numbers[MINN], numbers[MAXN], numbers[BUCKET], nwords, pruned)
        starts[word + 1] = held
    return starts, rows[:held].copy()


@njit(cache=True, nogil=True)
def _begins(data: Any, start: int, stop: int, mark: Any) -> Any:
    if stop - start < len(mark):
        return False
    for at in range(len(mark)):  # noqa: SIM110 - numba
        if data[start + at] != mark[at]:
            return False
    return True


@njit(cache=True, nogil=True)
def _mean(matrix: Any, ids: Any, held: int, out: Any, line: int) -> None:
    """out[line] = the mean of rows ids[:held]; NaN without one. The rows that come are on their way."""
    dim = matrix.shape[1]
    for cell in range(dim):
        out[line, cell] = 0
    for at in range(held):
        if at + AHEAD < held:
            place = np.int64(ids[at + AHEAD]) * dim
            for cell in range(0, dim, 16):
                prefetch(matrix, np.int64(place + cell))
        row = np.int64(ids[at])
        for cell in range(dim):
            out[line, cell] += matrix[row, cell]
    share = np.float32(1.0 / held) if held else np.float32(np.nan)
    for cell in range(dim):
        out[line, cell] *= share


@njit(cache=True, nogil=True)
def _split(data: Any, at: int, stop: int, slots: Any, places: Any, marks: Any) -> Any:
    """How many words a line has before its end: first byte and byte behind the last of each into `places`, their hashes
    into `marks`. What the dictionary has of them is on its way.
    """
    seen, last = 0, len(slots) - 1
    while True:
        while at < stop and data[at] <= 32 and (data[at] == 32 or 9 <= data[at] <= 13 or data[at] == 0):
            at += 1
        begin, h = at, np.uint32(2166136261)
        while at < stop and not (data[at] <= 32 and (data[at] == 32 or 9 <= data[at] <= 13 or data[at] == 0)):
            h = np.uint32(np.uint32(h ^ np.uint32(np.int32(np.int8(data[at])))) * np.uint32(16777619))
            at += 1
        if begin == at or (at - begin == len(EOS) and _begins(data, begin, at, EOS)):
            return seen
        prefetch(slots, np.int64(h) & last)
        places[2 * seen], places[2 * seen + 1], marks[seen] = begin, at, np.int32(h)
        seen += 1


@njit(cache=True, nogil=True)
def _near(limits: Any, slots: Any, marks: Any, count: int) -> None:
    """Have the places of the dictionary's words on their way that have the hashes of a line's."""
    for at in range(count):
        found = slots[np.int64(np.uint32(marks[at])) & (len(slots) - 1)]
        if found:
            prefetch(limits, np.int64(2 * (np.int64(found & np.uint64(0xFFFFFFFF)) - 1)))


@njit(cache=True, nogil=True, error_model="numpy")
def _words(data: Any, start: int, stop: int, words: Any, limits: Any, kinds: Any, slots: Any, starts: Any, rows: Any,
           pruned: Any, numbers: Any, ids: Any, places: Any, marks: Any, token: Any) -> Any:  # fmt: skip
    """(rows, words) of a line by its words, put into `ids` and their hashes into `marks` (Dictionary::getLine)."""
    held, seen = 0, 0
    minn, maxn, bucket, nwords = numbers[MINN], numbers[MAXN], numbers[BUCKET], numbers[NWORDS]
    count = _split(data, start, stop, slots, places, marks)
    _near(limits, slots, marks, count)
    for number in range(count):
        begin, at, h = places[2 * number], places[2 * number + 1], np.uint32(marks[number])
        slot = _slot(data, begin, at, h, words, limits, slots)
        word = np.int64(slots[slot] & np.uint64(0xFFFFFFFF)) - 1
        if kinds[word] != 0 if word >= 0 else _begins(data, begin, at, LABEL_MARK):
            continue
        if word >= 0:
            ids[held] = np.int32(word)
            held += 1
            for n in range(starts[word], starts[word + 1]):
                ids[held] = rows[n]
                held += 1
        elif maxn > 0:
            size = _between_marks(token, data, begin, at)
            held = _subwords(token, size, ids, held, minn, maxn, bucket, nwords, pruned)
        marks[seen] = np.int32(h)
        seen += 1
    if numbers[END_WORD] >= 0 and kinds[numbers[END_WORD]] == 0:
        ids[held] = np.int32(numbers[END_WORD])
        held += 1
    marks[seen] = np.int32(np.uint32(END_HASH))
    return held, seen + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _word_ngrams(marks: Any, seen: int, ids: Any, held: int, most: int, bucket: int, first: int, pruned: Any) -> Any:
    """Rows of the word n-grams behind those that are held (Dictionary::addWordNgrams)."""
    kept, buckets = len(pruned) > 0, np.uint64(bucket)
    for i in range(seen):
        h = np.uint64(np.int64(marks[i]))
        for j in range(i + 1, min(seen, i + most)):
            h = h * np.uint64(116049371) + np.uint64(np.int64(marks[j]))
            row = np.int64(h % buckets)
            if kept:
                row = np.int64(pruned[row])
            if row >= 0:
                ids[held] = np.int32(first + row)
                held += 1
    return held


@njit(types.void(I64, U8, U8, I64, I8, U64, I64, I32, I32, I64, MATRIX, OUT), cache=True, nogil=True)
def hidden_rows(offsets: Any, data: Any, words: Any, limits: Any, kinds: Any, slots: Any, starts: Any, rows: Any,
                pruned: Any, numbers: Any, matrix: Any, out: Any) -> None:  # fmt: skip
    """The mean of its rows of `matrix` for every line, f32[lines, dim]; NaN where a line has none.

    Cost: O(bytes + rows); the longest line's rows in memory, 4 bytes each.
    """
    longest = 0
    for line in range(len(out)):
        longest = max(longest, offsets[line + 1] - offsets[line])
    grams = max(0, numbers[MAXN] - max(1, numbers[MINN]) + 1)
    room = (longest // 2 + 3) * (1 + max(0, numbers[NGRAMS] - 1)) + 2 * (longest + 8) * grams
    ids, marks = np.empty(room, dtype=np.int32), np.empty(longest // 2 + 3, dtype=np.int32)
    places = np.empty(longest + 6, dtype=np.int64)
    token = np.empty(longest + 8, dtype=np.uint8)
    for line in range(len(out)):
        held, seen = _words(data, offsets[line], offsets[line + 1], words, limits, kinds, slots, starts, rows, pruned,
                            numbers, ids, places, marks, token)  # fmt: skip
        held = _word_ngrams(marks, seen, ids, held, numbers[NGRAMS], numbers[BUCKET], numbers[NWORDS], pruned)
        _mean(matrix, ids, held, out, line)


@njit(types.float32(types.float32), cache=True, nogil=True)
def _logged(x: Any) -> Any:
    """The library's logarithm, std_log."""
    return np.float32(math.log(np.float64(x) + 1e-5))


@njit(cache=True, nogil=True)
def _dot(row: Any, hidden: Any) -> Any:
    d = np.float32(0.0)
    for cell in range(len(hidden)):
        d += row[cell] * hidden[cell]
    return d


@njit(cache=True, nogil=True)
def _walk(hidden: Any, wo: Any, children: Any, stack: Any, levels: Any, one: bool, scores: Any) -> Any:
    """Logarithms of the leaves of a Huffman tree (HierarchicalSoftmaxLoss::dfs); the last best leaf where `one`."""
    size = len(wo)
    best, found = np.float32(-np.inf), np.int32(-1)
    floor = _logged(np.float32(0.0))
    top = 1
    stack[0], levels[0] = 2 * size - 2, np.float32(0.0)
    while top:
        top -= 1
        node, score = stack[top], levels[top]
        if score < floor or (one and found >= 0 and score < best):
            continue
        if node < size:
            if one:
                best, found = score, np.int32(node)
            else:
                scores[node] = score
            continue
        f = np.float32(1.0 / np.float64(np.float32(1) + np.float32(math.exp(-_dot(wo[node - size], hidden)))))
        left, right = children[2 * (node - size)], children[2 * (node - size) + 1]
        stack[top], levels[top] = right, score + _logged(f)
        stack[top + 1], levels[top + 1] = left, score + _logged(np.float32(1.0 - np.float64(f)))
        top += 2
    return found, best


@njit(cache=True, nogil=True)
def _activate(values: Any, sigmoids: Any, softmax: bool) -> None:
    """Probabilities of the labels' products, in place."""
    if not softmax:
        for label in range(len(values)):
            x = values[label]
            if x < -MAX_SIGMOID:
                values[label] = 0.0
            elif x > MAX_SIGMOID:
                values[label] = 1.0
            else:
                values[label] = sigmoids[
                    np.int64((x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2))
                ]
        return
    highest, total = values[0], np.float32(0.0)
    for label in range(len(values)):
        highest = max(values[label], highest)
    for label in range(len(values)):
        values[label] = np.float32(math.exp(np.float64(values[label] - highest)))
        total += values[label]
    for label in range(len(values)):
        values[label] /= total


@njit(types.void(MATRIX, MATRIX, types.int64, I32, types.Array(types.float32, 1, "C", readonly=True), OUT, LABELS),
      cache=True, nogil=True)  # fmt: skip
def answers(hidden: Any, wo: Any, loss: int, children: Any, sigmoids: Any, out: Any, labels: Any) -> None:
    """What the library reports of each line: f32[lines, labels], or f32[lines, 1] of the likeliest and which it is.

    It reports exp(log(p + 1e-5)); -1 where it reports none: of lines without a row, of leaves it does not reach.
    """
    size, one = len(wo), out.shape[1] == 1
    values, stack = np.empty(size, dtype=np.float32), np.empty(2 * size + 2, dtype=np.int64)
    levels = np.empty(2 * size + 2, dtype=np.float32)
    for line in range(len(hidden)):
        out[line] = -1.0
        labels[line] = -1
        if math.isnan(hidden[line, 0]):
            continue
        values[:] = -np.inf
        if loss == HS:
            found, best = _walk(hidden[line], wo, children, stack, levels, one, values)
        else:
            for label in range(size):
                values[label] = _dot(wo[label], hidden[line])
            _activate(values, sigmoids, loss == SOFTMAX)
            found, best = np.int32(-1), np.float32(-np.inf)
            for label in range(size):
                values[label] = _logged(values[label])
                if values[label] >= best:
                    found, best = np.int32(label), values[label]
        if one:
            labels[line] = found
            if found >= 0:
                out[line, 0] = math.exp(best)
            continue
        for label in range(size):
            if values[label] > -np.inf:
                out[line, label] = math.exp(values[label])
