"""A page's bytes to blocks of text and the elements that they stand in: one pass, and no tree of objects.

Not a browser's parser: end tags close the nearest element of their name, `p`, `li`, cells and options end where HTML
says so, and what is left open ends with the page. Texts are written as they are met, white space folded and character
references resolved; a block is a stretch of text that no block-level tag breaks.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from winnow.pipeline.extract.page_tables import (
    BLOCK,
    CLOSES_P,
    CODES,
    DOES,
    FOUND,
    LETTER,
    NAME_OF,
    NUMBERS,
    STEP,
    TAGS,
)

DEEPEST = 500  # elements that are open at once; deeper ones are read, and stand in the last of these
TEXT, BLOCKS, ELEMENTS, DEPTH, LINKS, PRE, GAP, OPEN, BEGIN, LINKED, SINCE, ANCHORS = range(12)  # of the state
TITLE, TITLE_END = 12, 13
STACK = 16  # where the numbers of open elements begin in the state
START, STOP, ELEMENT, LINK, ANCHOR, ROW = range(6)  # columns of a block
PARENT, TAG, ABOVE, FLAGS = range(
    4
)  # columns of an element; ABOVE: elements it stands in; FLAGS: groups of words in class, id ...
HIDDEN = np.uint64(1) << np.uint64(34)  # its group of `page_tables.WORDS`
_A, BR, _P, _LI, _TR, _PRE = (TAGS.index(tag) for tag in ("a", "br", "p", "li", "tr", "pre"))
TITLE_TAG, _TEXTAREA, _HR = (TAGS.index(tag) for tag in ("title", "textarea", "hr"))
_TD, _TH, _DT, _DD, _OPTION, _UL, _OL, _TABLE, _DL = (
    TAGS.index(tag) for tag in ("td", "th", "dt", "dd", "option", "ul", "ol", "table", "dl")
)
_CLASS, _ID, _ROLE = (np.uint64(int.from_bytes(name, "big")) for name in (b"class", b"id", b"role"))
_ITEMPROP, _STYLE, _HIDDEN = (np.uint64(int.from_bytes(name, "big")) for name in (b"itemprop", b"style", b"hidden"))


Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int32]  # [blocks, 6]
Longs = npt.NDArray[np.int64]  # the state, and behind it the open elements
Longs2 = npt.NDArray[np.int64]  # [elements, 4]


def new_page(data: Bytes, start: int, stop: int) -> tuple[Longs, Bytes, Numbers, Longs2]:
    """(state, text, blocks, elements) for what data[start:stop] could hold at most."""
    tags = 2 + int(np.count_nonzero(data[start:stop] == 60))
    return (
        np.zeros(STACK + DEEPEST + 1, np.int64), np.empty(2 * (stop - start) + 64, np.uint8),
        np.empty((tags, 6), np.int32), np.zeros((tags, 4), np.int64),
    )  # fmt: skip


@nb.njit(cache=True)
def tag_number(code: np.uint64) -> int:
    """Number of the tag with this code, 0 for one that says nothing."""
    at = np.int64((code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(54))
    while CODES[at] != 0:
        if CODES[at] == code:
            return int(NUMBERS[at])
        at = (at + 1) & 1023
    return 0


@nb.njit(cache=True)
def flush_block(s: Longs, text: Bytes, block: Numbers, element: Longs2) -> None:
    """End the block that is open."""
    if s[OPEN]:
        if s[LINKS]:
            s[LINKED] += s[TEXT] - s[SINCE]
        row = block[s[BLOCKS]]
        row[START], row[STOP], row[LINK], row[ANCHOR] = s[BEGIN], s[TEXT], s[LINKED], s[ANCHORS]
        s[BLOCKS] += 1
    s[OPEN], s[GAP] = 0, 0


@nb.njit(cache=True)
def open_element(s: Longs, text: Bytes, block: Numbers, element: Longs2) -> None:
    """Begin a block in the innermost element that breaks text."""
    depth = s[DEPTH]
    while depth > 0 and not DOES[element[s[STACK + depth], TAG]] & BLOCK:
        depth -= 1
    row = block[s[BLOCKS]]
    row[ELEMENT], row[ROW] = s[STACK + depth], -1
    while depth > 0:
        if element[s[STACK + depth], TAG] == _TR:
            row[ROW] = s[STACK + depth]
            break
        depth -= 1
    s[OPEN], s[BEGIN], s[LINKED], s[SINCE], s[ANCHORS] = 1, s[TEXT], 0, s[TEXT], int(s[LINKS] > 0)


@nb.njit(cache=True)
def push_element(s: Longs, text: Bytes, block: Numbers, element: Longs2, number: int, flags: np.uint64) -> None:
    """Put an element on the stack of those that are open, where there is room."""
    if s[DEPTH] == DEEPEST:
        return
    made = s[ELEMENTS]
    s[ELEMENTS] += 1
    element[made, PARENT], element[made, TAG] = s[STACK + s[DEPTH]], number
    element[made, ABOVE] = s[DEPTH]
    element[made, FLAGS] = np.int64(flags)
    s[DEPTH] += 1
    s[STACK + s[DEPTH]] = made
    if number == _A:
        if s[LINKS] == 0:
            s[SINCE] = s[TEXT]
        s[LINKS] += 1
        s[ANCHORS] += 1
    s[PRE] += number == _PRE


@nb.njit(cache=True)
def pop_to(s: Longs, text: Bytes, block: Numbers, element: Longs2, depth: int) -> None:
    """Close elements until `depth` of them are open."""
    while s[DEPTH] > depth:
        tag = element[s[STACK + s[DEPTH]], TAG]
        if tag == _A:
            s[LINKS] -= 1
            if s[LINKS] == 0 and s[OPEN]:
                s[LINKED] += s[TEXT] - s[SINCE]
        s[PRE] -= tag == _PRE
        s[DEPTH] -= 1


@nb.njit(cache=True)
def close_element(s: Longs, text: Bytes, block: Numbers, element: Longs2, number: int) -> None:
    """An end tag: the nearest element of its name ends, and those within; an inline one only within its block."""
    breaks = DOES[number] & BLOCK
    depth = s[DEPTH]
    while depth > 0:
        tag = element[s[STACK + depth], TAG]
        if tag == number:
            pop_to(s, text, block, element, depth - 1)
            return
        if not breaks and DOES[tag] & BLOCK:
            return
        depth -= 1


@nb.njit(cache=True)
def _ends_item(number: int, tag: int) -> bool:
    """Whether an open element `tag` ends where `number` begins."""
    if number in (_LI, _OPTION, _TR):
        return tag == number
    if number in (_TD, _TH):
        return tag in (_TD, _TH)
    return (number in (_DT, _DD)) and (tag in (_DT, _DD))


@nb.njit(cache=True)
def close_implied(s: Longs, text: Bytes, block: Numbers, element: Longs2, number: int) -> None:
    """Close what ends by itself where element `number` begins."""
    depth = s[DEPTH]
    if DOES[number] & CLOSES_P or number in (_P, _LI):
        while depth > 0 and not DOES[element[s[STACK + depth], TAG]] & BLOCK:
            depth -= 1
        if depth > 0 and element[s[STACK + depth], TAG] == _P:
            pop_to(s, text, block, element, depth - 1)
        depth = s[DEPTH]
    if number in (_LI, _OPTION, _TR, _TD, _TH, _DT, _DD):
        while depth > 0:
            tag = element[s[STACK + depth], TAG]
            if _ends_item(number, tag):
                pop_to(s, text, block, element, depth - 1)
                return
            if tag in (_UL, _OL, _TABLE, _DL) or (tag == _TR and number != _TR):
                return
            depth -= 1
    elif number == _A:
        while depth > 0 and not DOES[element[s[STACK + depth], TAG]] & BLOCK:
            if element[s[STACK + depth], TAG] == _A:
                pop_to(s, text, block, element, depth - 1)
                return
            depth -= 1


@nb.njit(cache=True)
def _words_of(data: Bytes, at: int, stop: int) -> np.uint64:
    """Groups of words in a value, which is taken as if it stood between separators."""
    state, found = STEP[0, 0], np.uint64(0)
    for i in range(at, stop):
        state = STEP[state, LETTER[data[i]]]
        found |= FOUND[state]
    return found | FOUND[STEP[state, 0]]  # type: ignore[no-any-return]


@nb.njit(cache=True)
def _says_hidden(data: Bytes, at: int, stop: int) -> bool:
    """Whether a style says `display:none` or `visibility:hidden`: looks for `:n`on or `:h`id."""
    for i in range(at, stop - 4):
        if data[i] == 58:  # :
            j = i + 1
            while j < stop and data[j] == 32:
                j += 1
            if j + 3 < stop:
                a, b, c = data[j] | 32, data[j + 1] | 32, data[j + 2] | 32
                display = i >= at + 7 and data[i - 1] | 32 == 121 and data[i - 2] | 32 == 97  # displ-ay
                seen = i >= at + 10 and data[i - 1] | 32 == 121 and data[i - 2] | 32 == 116  # visibili-ty
                if (display and a == 110 and b == 111 and c == 110) or (seen and a == 104 and b == 105):
                    return True
    return False


@nb.njit(cache=True)
def read_attributes(data: Bytes, at: int, stop: int) -> tuple[int, np.uint64]:
    """(place behind the tag, groups of words) from behind a tag's name."""
    flags = np.uint64(0)
    while at < stop:
        c = data[at]
        if c == 62:  # >
            return at + 1, flags
        if c <= 32 or c in (47, 61):
            at += 1
            continue
        name, length = np.uint64(0), 0
        while at < stop and data[at] > 32 and data[at] != 61 and data[at] != 62 and data[at] != 47:
            name = (name << np.uint64(8)) | np.uint64(data[at] | 32)
            length += 1
            at += 1
        while at < stop and data[at] <= 32:
            at += 1
        first, last = at, at
        if at < stop and data[at] == 61:
            first, last, at = _value(data, at + 1, stop)
        if name in (_CLASS, _ID, _ITEMPROP, _ROLE):
            flags |= _words_of(data, first, last)
        elif (name == _HIDDEN and length == 6) or (name == _STYLE and _says_hidden(data, first, last)):
            flags |= HIDDEN
    return stop, flags


@nb.njit(cache=True)
def _value(data: Bytes, at: int, stop: int) -> tuple[int, int, int]:
    """(first, behind the last, place to go on) of an attribute's value."""
    while at < stop and data[at] <= 32:
        at += 1
    if at < stop and (data[at] == 34 or data[at] == 39):
        quote, first = data[at], at + 1
        at = first
        while at < stop and data[at] != quote:
            at += 1
        return first, at, min(at + 1, stop)
    first = at
    while at < stop and data[at] > 32 and data[at] != 62:
        at += 1
    return first, at, at


@nb.njit(cache=True)
def behind_raw(data: Bytes, at: int, stop: int, number: int) -> tuple[int, int]:
    """(start of the end tag, place behind it) of an element whose content is not read."""
    wanted = NAME_OF[number]
    while at < stop - 1:
        if data[at] == 60 and data[at + 1] == 47:
            code, j = np.uint64(0), at + 2
            while j < stop and j < at + 10 and 97 <= data[j] | 32 <= 122:
                code = (code << np.uint64(8)) | np.uint64(data[j] | 32)
                j += 1
            if code == wanted:
                end = j
                while end < stop and data[end] != 62:
                    end += 1
                return at, min(end + 1, stop)
        at += 1
    return stop, stop


@nb.njit(cache=True)
def behind_comment(data: Bytes, at: int, stop: int) -> int:
    """The place behind a comment, a doctype or a processing instruction that begins at `at`, its `<`."""
    if at + 3 < stop and data[at + 1] == 33 and data[at + 2] == 45 and data[at + 3] == 45:
        i = at + 4
        while i < stop - 2:
            if data[i] == 45 and data[i + 1] == 45 and data[i + 2] == 62:
                return i + 3
            i += 1
        return stop
    while at < stop and data[at] != 62:
        at += 1
    return min(at + 1, stop)
