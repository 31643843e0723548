"""Kernels of the language identifier: UTF-8 bytes through an automaton, sums in integers.

Weights, tables and priors are integers (sums below 2**53 in f64), so a sum is exact in any order and equal on
any machine. What costs time is memory, not arithmetic: 67 MB of tables are read at random. So texts are walked
`LANES` at a time (their cache misses overlap), and the lines of features that occur equally often are added
eight at a time in u16 before they are widened and weighted once.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
Spans = tuple[I64, I64]  # first byte, byte behind the last, of every text
Model = tuple[npt.NDArray[np.uint32], U16, I32, U16]
"""(step u32[automaton rows * 256], row_of u16[states], emits i32[states], excess u16[features + 1, classes])."""
LANES = 16
TOGETHER = 8  # lines added before they are widened: `excess` stays below 2**16 / TOGETHER
LOWER, UPPER, COMPOSES, MARK = 1, 2, 4, 8  # kinds of characters, see `language_model.kinds_of_characters`
_RARE = 16  # features that occur this often are added one by one
_SLACK = 24  # a piece starts at the first word within so many bytes


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def take(data: U8, low: Any, high: Any, limit: Any, pieces: int, out: U8) -> Any:
    """Bytes written to `out`: the text data[low:high], or `pieces` equal pieces of `limit` bytes in all.

    Pieces lie in the middle of equal parts of the text, start where a word does (or a character, where no
    space is near), end with a whole character, and are parted by a newline.
    """
    size = high - low
    if size <= limit:
        out[:size] = data[low:high]
        return size
    length = max(limit // pieces, 1)
    written = 0
    for piece in range(pieces):
        start: Any = low + (2 * piece + 1) * size // (2 * pieces) - length // 2
        end = start + length
        while end < high and (data[end] & 0xC0) == 0x80:
            end += 1
        for at in range(start, min(start + min(_SLACK, length // 2), high)):
            if data[at] <= 32:
                start = at + 1
                break
        while start < end and (data[start] & 0xC0) == 0x80:
            start += 1
        if piece:
            out[written] = 10
            written += 1
        out[written : written + end - start] = data[start:end]
        written += end - start
    return written


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def needs_form(text: U8, size: Any, kinds: U8) -> Any:
    """True where text[:size] may not be composed (NFC), or has capitals and no small letter."""
    seen: Any = 0
    mark = False
    at = 0
    while at < size:
        byte: Any = np.int64(text[at])
        if byte < 0x80:
            kind: Any = np.int64(kinds[byte])
            at += 1
        else:
            width = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            char = byte & (0x7F >> width)
            for k in range(1, width):
                char = (char << 6) | (np.int64(text[at + k]) & 0x3F)
            at += width
            kind = np.int64(kinds[char]) if char < kinds.size else 0
        if kind & COMPOSES or (kind & MARK and mark):
            return True
        mark = kind & MARK != 0
        seen |= kind
    return seen & (UPPER | LOWER) == UPPER


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_lines(total: I32, excess: U16, ids: I32, n: int) -> None:
    """Adds the lines of ids[:n] to `total`; n is a multiple of TOGETHER (the last line of `excess` is zero)."""
    for at in range(0, n, 8):
        l0, l1, l2, l3 = excess[ids[at]], excess[ids[at + 1]], excess[ids[at + 2]], excess[ids[at + 3]]
        l4, l5, l6, l7 = excess[ids[at + 4]], excess[ids[at + 5]], excess[ids[at + 6]], excess[ids[at + 7]]
        for c in range(total.size):
            total[c] += np.uint16(l0[c] + l1[c] + l2[c] + l3[c] + l4[c] + l5[c] + l6[c] + l7[c])


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_features(
    sums: F64, excess: U16, seen: I32, found: int, counts: I32, worth: F64, room: tuple[I32, I32]
) -> float:
    """The worth of all features; adds their worth times excess to `sums`, and sets `counts` back to zero.

    `seen`[:found] are the distinct features; `room` = (i32[>= found + TOGETHER], i32[classes]) is overwritten.
    """
    alike, total = room
    mass = 0.0
    times = 1
    while found and times < _RARE:
        m, rest = 0, 0
        for k in range(found):
            feature = seen[k]
            same = counts[feature] == times
            alike[m] = feature
            m += same
            seen[rest] = feature
            rest += not same
        found = rest
        if m:
            for k in range(m):
                counts[alike[k]] = 0
            alike[m : m + 8] = excess.shape[0] - 1
            total[:] = 0
            _add_lines(total, excess, alike, m + (-m) % 8)
            mass += worth[times] * m
            for c in range(total.size):
                sums[c] += worth[times] * total[c]
        times += 1
    for k in range(found):
        value = worth[counts[seen[k]]]
        counts[seen[k]] = 0
        mass += value
        line = excess[seen[k]]
        for c in range(sums.size):
            sums[c] += value * line[c]
    return mass


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(texts: U8, sizes: I64, model: Model, features: I32, found: I64, states: I64) -> None:
    """Writes the features of texts[lane, :sizes[lane]] to features[lane, :found[lane]], one per occurrence."""
    step, row_of, emits, _ = model
    states[:] = row_of[0]
    found[:] = 0
    for at in range(sizes.max()):
        for lane in range(sizes.size):
            state = np.int64(step[(states[lane] << 8) + texts[lane, at]])
            states[lane] = row_of[state]
            feature = emits[state]
            features[lane, found[lane]] = feature
            found[lane] += (feature >= 0) & (at < sizes[lane])


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _distinct(features: I32, found: int, counts: I32, seen: I32) -> Any:
    """Counts features[:found] in `counts`; the number of distinct ones, which are written to `seen`."""
    distinct = np.int64(0)
    for k in range(found):
        feature = features[k]
        seen[distinct] = feature
        distinct += counts[feature] == 0
        counts[feature] += 1
    return distinct


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _most(spans: Spans, limits: I64, pieces: int) -> Any:
    """The most bytes that `take` writes for any of these texts."""
    most: Any = 1
    for i in range(limits.size):
        most = max(most, min(spans[1][i] - spans[0][i], limits[i] + 4 * pieces))
    return most + pieces


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def look(
    spans: Spans, data: U8, limits: I64, pieces: int, kinds: U8, model: Model, worth: F64
) -> tuple[F64, F64, I64, npt.NDArray[np.bool_]]:
    """(sums f64[rows, classes], mass f64[rows], bytes read i64[rows], needs another form bool[rows]).

    About `limits` bytes of each text are read, in `pieces` (`take`). `mass` is the worth of all its features, 0
    where it has none. A text that `needs_form` is not summed, unless `kinds` is empty. Neighbours should be of
    similar size: LANES texts are walked to the end of the longest.
    """
    rows, most, excess = limits.size, _most(spans, limits, pieces), model[3]
    sums, mass = np.zeros((rows, excess.shape[1]), dtype=np.float64), np.zeros(rows, dtype=np.float64)
    read, other = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.bool_)
    counts, seen = np.zeros(excess.shape[0], dtype=np.int32), np.zeros(most + 1, dtype=np.int32)
    texts, features = np.zeros((LANES, most), dtype=np.uint8), np.zeros((LANES, most + 1), dtype=np.int32)
    room = (np.zeros(most + 9, dtype=np.int32), np.zeros(excess.shape[1], dtype=np.int32))
    sizes, found, states = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    for base in range(0, rows, LANES):
        here = min(LANES, rows - base)
        sizes[here:] = 0
        for lane in range(here):
            i = base + lane
            read[i] = take(data, spans[0][i], spans[1][i], limits[i], pieces, texts[lane])
            other[i] = kinds.size > 0 and needs_form(texts[lane], read[i], kinds)
            sizes[lane] = 0 if other[i] else read[i]
        _walk(texts, sizes, model, features, found, states)
        for lane in range(here):
            distinct = _distinct(features[lane], found[lane], counts, seen)
            mass[base + lane] = _add_features(sums[base + lane], excess, seen, distinct, counts, worth, room)
    return sums, mass, read, other


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def read_through(spans: Spans, data: U8, model: Model, worth: F64) -> tuple[F64, F64]:
    """(sums, mass) as `look`, of all bytes of every text; memory does not grow with a text's length."""
    step, row_of, emits, excess = model
    rows = spans[0].size
    sums, mass = np.zeros((rows, excess.shape[1]), dtype=np.float64), np.zeros(rows, dtype=np.float64)
    counts = np.zeros(excess.shape[0], dtype=np.int32)
    seen = np.zeros(excess.shape[0] + 1, dtype=np.int32)
    room = (np.zeros(excess.shape[0] + 9, dtype=np.int32), np.zeros(excess.shape[1], dtype=np.int32))
    for i in range(rows):
        state, distinct = np.int64(0), np.int64(0)
        for at in range(spans[0][i], spans[1][i]):
            state = np.int64(step[(np.int64(row_of[state]) << 8) + data[at]])
            feature = emits[state]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[distinct] = feature
                    distinct += 1
                counts[feature] += 1
        mass[i] = _add_features(sums[i], excess, seen, distinct, counts, worth, room)
    return sums, mass


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def samples(spans: Spans, data: U8, limits: I64, pieces: int) -> tuple[I64, U8]:
    """(offsets i64[rows + 1], bytes): what `look` reads of every text, as texts of their own."""
    rows = limits.size
    text = np.empty(_most(spans, limits, pieces), dtype=np.uint8)
    offsets = np.zeros(rows + 1, dtype=np.int64)
    for i in range(rows):
        offsets[i + 1] = offsets[i] + take(data, spans[0][i], spans[1][i], limits[i], pieces, text)
    out = np.empty(offsets[rows], dtype=np.uint8)
    for i in range(rows):
        take(data, spans[0][i], spans[1][i], limits[i], pieces, out[offsets[i] :])
    return offsets, out


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tempered(sums: F64, mass: F64, floor: F64, prior: F64, sizes: I64, scale: float) -> F64:
    """Exponents f64[rows, classes], all <= 0: how far each class is below its row's best one.

    A class has sums + mass * floor + prior, over `scale` and the square root of the text's `sizes` bytes.
    """
    rows, classes = sums.shape[0], floor.size
    out = np.empty((rows, classes), dtype=np.float64)
    for i in range(rows):
        top = -np.inf
        for c in range(classes):
            out[i, c] = sums[i, c] + mass[i] * floor[c] + prior[c]
            top = max(top, out[i, c])
        divisor = scale * np.sqrt(np.float64(max(sizes[i], 1)))
        for c in range(classes):
            out[i, c] = (out[i, c] - top) / divisor
    return out


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def best_class(likelihood: F64, alias: I64) -> tuple[I64, F64]:
    """(class i64[rows], its share of the row's sum f64[rows] in (0, 1]); columns of one `alias` add up.

    Ties go to the class that comes first.
    """
    rows, classes = likelihood.shape
    chosen = np.zeros(rows, dtype=np.int64)
    share = np.zeros(rows, dtype=np.float64)
    folded = np.zeros(classes, dtype=np.float64)
    for i in range(rows):
        folded[:] = 0.0
        total = 0.0
        for c in range(classes):
            total += likelihood[i, c]
            folded[alias[c]] += likelihood[i, c]
        best = 0
        for c in range(1, classes):
            if folded[c] > folded[best]:
                best = c
        chosen[i] = best
        share[i] = min(folded[best] / total, 1.0)
    return chosen, share


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def trimmed(spans: Spans, data: U8) -> tuple[I64, I64, I64, I64]:
    """(first bytes, bytes behind the last, characters, bytes of letters), i64[spans] each, without outer white space.

    Letters are A-Z, a-z and every character beyond ASCII.
    """
    rows = spans[0].size
    low, high = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    chars, letters = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for i in range(rows):
        start, stop = spans[0][i], spans[1][i]
        while start < stop and data[start] <= 32:
            start += 1
        while start < stop and data[stop - 1] <= 32:
            stop -= 1
        for at in range(start, stop):
            byte = data[at]
            chars[i] += (byte & 0xC0) != 0x80
            letters[i] += byte >= 0x80 or 97 <= (byte | 0x20) <= 122
        low[i], high[i] = start, stop
    return low, high, chars, letters
