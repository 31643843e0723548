"""What is known of each block of a page, as whole numbers, and what trees make of it: is it main text?

All features, thresholds and scores are integers, so that a page gives the same text on any machine. Shares are in
thousandths.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from winnow.pipeline.extract.page_scan_kernels import (
    ANCHOR,
    ELEMENT,
    FLAGS,
    LINK,
    PARENT,
    ROW,
    START,
    STOP,
    TAG,
    Bytes,
    Longs2,
    Numbers,
)  # fmt: skip
from winnow.pipeline.extract.page_tables import BLOCK, COMMA, DIGIT, DOES, END, INSIDE, KIND, LEAD, LOWER, TAGS, UPPER

CHARS, WORDS, COMMAS, ENDS, LAST, DIGITS, CAPITALS, TWICE, TITLED = range(9)  # columns of a block's measures
A_CHARS, A_LINK, A_LONG, A_BLOCKS, A_SCORE, A_KEPT = range(6)  # columns of what an element holds
OWN, DISTANCES, HOLDERS, BEST, AROUND, PAGE, SECOND, FEATURES = 0, 17, 109, 125, 129, 145, 149, 165  # where they begin
FAR, LONG = 99, 80
H1_TAG = TAGS.index("h1")
Measures = npt.NDArray[np.int32]  # [blocks, 9]
Sums = npt.NDArray[np.int64]  # [elements, 6]
Row = npt.NDArray[np.int32]  # [FEATURES]
Nodes = npt.NDArray[np.int32]  # [nodes, 2]: cut; number of the feature, and the ways for at most the cut and for more
LEAF = 128  # ways from here on lead to leaves


@nb.njit(cache=True)
def _measure(text: Bytes, start: int, stop: int, row: npt.NDArray[np.int32]) -> np.uint64:
    """Count what a block's text is made of; its hash, in which case and spaces do not count."""
    row[:] = 0
    chars, words, commas, ends, digits, capitals, far, before = 0, 0, 0, 0, 0, 0, 0, False
    value = np.uint64(0xCBF29CE484222325)
    for at in range(start, stop):
        kind = KIND[text[at]]
        letter = kind in (LOWER, UPPER, DIGIT, LEAD, INSIDE)
        chars += kind != INSIDE
        commas += kind == COMMA
        ends += kind == END and (at + 1 == stop or text[at + 1] <= 34)
        digits += kind == DIGIT
        far += kind == LEAD and text[at] >= 0xE3
        if letter:
            words += not before
            capitals += not before and kind == UPPER
            value = (value ^ np.uint64(text[at] | 32)) * np.uint64(0x100000001B3)
        before = letter or (before and text[at] == 39)
    row[CHARS], row[COMMAS], row[DIGITS], row[CAPITALS] = chars, commas, digits, capitals
    row[WORDS] = max(words, far // 2)  # scripts without spaces
    at = stop - 1
    while at > start and (text[at] == 34 or text[at] == 39 or text[at] == 41 or text[at] >= 0x80) and stop - at < 4:
        at -= 1
    last = KIND[text[at]] == END
    if stop - start >= 3 and text[stop - 3] == 0xE3 and text[stop - 2] == 0x80 and text[stop - 1] == 0x82:
        last, ends = True, ends + 1
    row[LAST], row[ENDS] = last, ends
    return value


@nb.njit(cache=True)
def _titled(text: Bytes, start: int, stop: int, data: Bytes, first: int, last: int) -> int:
    """Share of a block's letters, from its first on, with which the page's title begins too."""
    same, at, place = 0, start, first
    while at < stop and place < last:
        if KIND[text[at]] > DIGIT:
            at += 1
        elif KIND[data[place]] > DIGIT:
            place += 1
        elif text[at] | 32 == data[place] | 32:
            same, at, place = same + 1, at + 1, place + 1
        else:
            break
    return 1000 * same // max(1, stop - start) if stop - start < 300 else 0


@nb.njit(cache=True)
def measured(text: Bytes, block: Numbers, num: int, data: Bytes, first: int, last: int) -> Measures:
    """Measures of all blocks; data[first:last] is the title."""
    out = np.empty((num, 9), np.int32)
    size = 4
    while size < 2 * num:
        size *= 2
    seen = np.zeros(size, np.uint64)
    for i in range(num):
        value = _measure(text, block[i, START], block[i, STOP], out[i])
        slot = np.int64(value & np.uint64(size - 1))
        while seen[slot] != 0 and seen[slot] != value:
            slot = (slot + 1) & (size - 1)
        out[i, TWICE] = seen[slot] == value
        seen[slot] = value
        out[i, TITLED] = _titled(text, block[i, START], block[i, STOP], data, first, last)
    return out


@nb.njit(cache=True)
def _up(element: Longs2, at: int) -> int:
    """The nearest element above that breaks text; 0 is the page."""
    at = element[at, PARENT]
    while at > 0 and not DOES[element[at, TAG]] & BLOCK:
        at = element[at, PARENT]
    return int(at)


@nb.njit(cache=True)
def _link(block: Numbers, i: int) -> int:
    return 1000 * block[i, LINK] // max(1, block[i, STOP] - block[i, START])  # type: ignore[no-any-return]


@nb.njit(cache=True)
def held(block: Numbers, num: int, element: Longs2, elements: int, m: Measures) -> Sums:
    """What each element holds: characters, of them in links and in long blocks, blocks, and a score by paragraphs."""
    out = np.zeros((elements, 6), np.int64)
    for i in range(num):
        at, chars, link = block[i, ELEMENT], m[i, CHARS], _link(block, i)
        out[at, A_CHARS] += chars
        out[at, A_LINK] += chars * link // 1000
        out[at, A_BLOCKS] += 1
        if chars >= LONG and link < 500:
            out[at, A_LONG] += chars
    for at in range(elements - 1, 0, -1):
        for column in range(4):
            out[element[at, PARENT], column] += out[at, column]
    for i in range(num):  # the score is no sum over all below: half of it counts one level up
        if m[i, CHARS] >= 25 and _link(block, i) < 500:
            score = 100 * (1 + m[i, COMMAS]) + min(m[i, CHARS], 300)
            above = _up(element, block[i, ELEMENT])
            out[above, A_SCORE] += score
            out[_up(element, above), A_SCORE] += score // 2
    return out


@nb.njit(cache=True)
def marked_best(element: Longs2, elements: int, sums: Sums) -> npt.NDArray[np.int32]:
    """i32[elements]: 1 + levels from the element with most paragraphs up to each element above it, 0 at others."""
    best, most = 0, np.int64(-1)
    for at in range(1, elements):
        score = sums[at, A_SCORE] * (1000 - 1000 * sums[at, A_LINK] // max(1, sums[at, A_CHARS]))
        if score > most:
            best, most = at, score
    mark, level = np.zeros(elements, np.int32), 1
    while best > 0:
        mark[best] = level
        best, level = element[best, PARENT], level + 1
    mark[0] = level
    return mark


@nb.njit(cache=True)
def _distances(element: Longs2, at: int, mark: npt.NDArray[np.int32], f: Row) -> None:
    """How far above the block words of class names and watched tags stand, and the way to the best element."""
    f[DISTANCES:HOLDERS] = FAR
    level, met = 0, False
    while at > 0:
        if mark[at] and not met:
            f[BEST], f[BEST + 1], met = level, mark[at] - 1, True
        flags, group = np.uint64(element[at, FLAGS]), 0
        while flags:
            if flags & np.uint64(1) and f[DISTANCES + group] == FAR:
                f[DISTANCES + group] = level
            flags >>= np.uint64(1)
            group += 1
        tag = element[at, TAG]
        if 1 <= tag <= 28 and f[DISTANCES + 63 + tag] == FAR:
            f[DISTANCES + 63 + tag] = level
        at, level = element[at, PARENT], level + 1
    f[OWN + 10] = level
    if not met:
        f[BEST], f[BEST + 1] = level, mark[0] - 1


@nb.njit(cache=True)
def _holders(element: Longs2, at: int, sums: Sums, f: Row) -> None:
    for level in range(4):
        chars, here = max(1, sums[at, A_CHARS]), HOLDERS + 4 * level
        f[here], f[here + 1] = min(chars, 1 << 30), 1000 * sums[at, A_LINK] // chars
        f[here + 2], f[here + 3] = 1000 * sums[at, A_LONG] // chars, sums[at, A_BLOCKS]
        if level < 2:
            f[BEST + 2 + level] = 1000 * sums[at, A_CHARS] // max(1, sums[0, A_CHARS])
        at = _up(element, at) if at > 0 else 0


@nb.njit(cache=True)
def features(
    i: int, num: int, block: Numbers, element: Longs2, m: Measures, sums: Sums, mark: npt.NDArray[np.int32],
    place: int, since_h1: int, f: Row,
) -> None:  # fmt: skip
    """Fill in what is known of block `i` before any score."""
    words = max(1, m[i, WORDS])
    f[0], f[1], f[2], f[3], f[4] = m[i, CHARS], m[i, WORDS], _link(block, i), m[i, COMMAS], m[i, ENDS]
    f[5], f[6] = m[i, LAST], 1000 * m[i, DIGITS] // max(1, m[i, CHARS])
    f[7], f[8] = 1000 * m[i, CAPITALS] // words, 10 * m[i, CHARS] // words
    f[9], f[11], f[12] = element[block[i, ELEMENT], TAG], 1000 * place // max(1, sums[0, A_CHARS]), block[i, ANCHOR]
    f[13], f[14], f[15], f[16] = m[i, TWICE], m[i, TITLED], since_h1, num - i
    _distances(element, block[i, ELEMENT], mark, f)
    _holders(element, block[i, ELEMENT], sums, f)
    for k in range(4):
        j, here = i + (-2, -1, 1, 2)[k], AROUND + 4 * k
        if 0 <= j < num:
            f[here], f[here + 1], f[here + 2] = m[j, CHARS], _link(block, j), element[block[j, ELEMENT], TAG]
            f[here + 3] = m[j, ENDS]
        else:
            f[here : here + 4] = -1
    chars = max(1, sums[0, A_CHARS])
    f[PAGE], f[PAGE + 1] = min(chars, 1 << 30), num
    f[PAGE + 2], f[PAGE + 3] = 1000 * sums[0, A_LINK] // chars, 1000 * sums[0, A_LONG] // chars


@nb.njit(cache=True)
def all_features(
    block: Numbers, num: int, element: Longs2, m: Measures, sums: Sums, mark: npt.NDArray[np.int32]
) -> Row:
    """i32[blocks, FEATURES], of which those behind SECOND are 0: for training and for looking."""
    out, place, since = np.zeros((num, FEATURES), np.int32), 0, -1
    for i in range(num):
        since = 0 if element[block[i, ELEMENT], TAG] == H1_TAG else since + (since >= 0)
        features(i, num, block, element, m, sums, mark, place, since, out[i])
        place += m[i, CHARS]
    return out


@nb.njit(cache=True)
def _next(f: Row, node: Nodes, base: int, at: int) -> int:
    """Where to go from a node of the tree that begins at `base`. Indices without a sign are not looked at twice."""
    ways = node[np.uint32(base + at), 1]
    more = f[np.uint32(ways & 255)] > node[np.uint32(base + at), 0]
    return (ways >> (8 + 8 * more)) & 255  # type: ignore[no-any-return]


@nb.njit(cache=True)
def scored(f: Row, node: Nodes, roots: npt.NDArray[np.int32], leaf: npt.NDArray[np.int32]) -> int:
    """The sum of the leaves that a block falls into, one of each tree; trees as `main_text.packed` lays them out.

    Four trees are walked at once, because each step of one waits for the step before.
    """
    total, tree, num = 0, 0, len(roots) - 1
    while tree + 3 < num:
        r, s, t, u = roots[tree], roots[tree + 1], roots[tree + 2], roots[tree + 3]
        a, b, c, d = 0, 0, 0, 0
        while (a | b | c | d) < LEAF:
            a, b, c, d = _next(f, node, r, a), _next(f, node, s, b), _next(f, node, t, c), _next(f, node, u, d)
        while a < LEAF:
            a = _next(f, node, r, a)
        while b < LEAF:
            b = _next(f, node, s, b)
        while c < LEAF:
            c = _next(f, node, t, c)
        while d < LEAF:
            d = _next(f, node, u, d)
        total += leaf[np.uint32(r + tree + a - LEAF)] + leaf[np.uint32(s + tree + 1 + b - LEAF)]
        total += leaf[np.uint32(t + tree + 2 + c - LEAF)] + leaf[np.uint32(u + tree + 3 + d - LEAF)]
        tree += 4
    while tree < num:
        a = 0
        while a < LEAF:
            a = _next(f, node, roots[tree], a)
        total += leaf[np.uint32(roots[tree] + tree + a - LEAF)]
        tree += 1
    return total


@nb.njit(cache=True)
def second(
    i: int, num: int, block: Numbers, element: Longs2, m: Measures, sums: Sums, first: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64], near: npt.NDArray[np.int64], f: Row,
) -> None:  # fmt: skip
    """Fill in what the scores of the first trees say of block `i`, of its neighbours and of what holds it.

    `kept`: characters in front of each block that the first trees keep; `near`: number of the last such block.
    """
    for k in range(7):
        j = i + k - 3
        f[SECOND + k] = first[j] if 0 <= j < num else -(1 << 20)
    at = np.int64(block[i, ELEMENT])
    for level in range(4):
        f[SECOND + 7 + level] = 1000 * sums[at, A_KEPT] // max(1, sums[at, A_CHARS])
        at = _up(element, at) if at > 0 else 0  # type: ignore[assignment]
    f[SECOND + 11] = 1000 * kept[num] // max(1, sums[0, A_CHARS])
    f[SECOND + 12] = 1000 * kept[i] // max(1, kept[num])
    f[SECOND + 13] = i - near[i] if near[i] >= 0 else 1000
    f[SECOND + 14] = near[num + 1 + i] - i if near[num + 1 + i] < num else 1000
    f[SECOND + 15] = min(kept[num], 1 << 30)


@nb.njit(cache=True)
def keeping(
    num: int, block: Numbers, element: Longs2, elements: int, m: Measures, sums: Sums, first: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(`kept`, `near`) as `second` reads them; what each element holds of kept text goes into `sums`."""
    kept, near = np.zeros(num + 1, np.int64), np.full(2 * num + 2, -1, np.int64)
    sums[:, A_KEPT] = 0
    last = np.int64(-1)
    for i in range(num):
        near[i] = last
        keeps = first[i] > 0
        kept[i + 1] = kept[i] + (m[i, CHARS] if keeps else 0)
        if keeps:
            sums[block[i, ELEMENT], A_KEPT] += m[i, CHARS]
            last = i  # type: ignore[assignment]
    last = num  # type: ignore[assignment]
    for i in range(num - 1, -1, -1):
        near[num + 1 + i] = last
        if first[i] > 0:
            last = i  # type: ignore[assignment]
    for at in range(elements - 1, 0, -1):
        sums[element[at, PARENT], A_KEPT] += sums[at, A_KEPT]
    return kept, near


@nb.njit(cache=True)
def joined(text: Bytes, block: Numbers, num: int, score: npt.NDArray[np.int64], least: int) -> Bytes:
    """The texts of blocks above `least`, each on a line of its own; cells of one row stand behind tabs."""
    size = 0
    for i in range(num):
        size += block[i, STOP] - block[i, START] + 1
    out, at, row = np.empty(size, np.uint8), 0, -1
    for i in range(num):
        if score[i] <= least:
            continue
        if at:
            out[at] = 9 if block[i, ROW] >= 0 and block[i, ROW] == row else 10
            at += 1
        row = block[i, ROW]
        for place in range(block[i, START], block[i, STOP]):
            out[at] = text[place]
            at += 1
    return out[:at]
