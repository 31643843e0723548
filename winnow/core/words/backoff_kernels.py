"""Compiled lookups of back-off n-gram models: texts to log probabilities, without a row in Python.

A model is one open hash table over the n-grams of all orders. An n-gram's key is folded from its last word to its
first, each word a 64-bit hash, so that the key of a longer n-gram is one step from that of its ending: a token costs
one look per order until the first n-gram that is not there. A slot is two 64-bit words, 16 bytes: the key, then log10
of the probability and of the back-off weight as float32. Four slots share a line of the cache, which is searched whole,
so that a look nearly always costs one miss. A block of tokens is looked up order by order, its lines on their way.

Source: probing models of KenLM (Heafield 2011), layout own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import (
    BYTES_01,
    BYTES_80,
    I64,
    U8,
    absorb,
    avalanche,
    load64,
    trailing_zeros,
    xxh64,
)
from winnow.core.words.prefetch_kernels import prefetch

U64_2 = types.Array(types.uint64, 2, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
F32_OUT = types.float32[::1]
MODEL = (U64_2, types.int64, types.boolean)  # table, order, closed
OUT = (types.float64[::1], types.int64[::1], types.int64[::1], F32_OUT)  # log10, tokens, unknown, each

SEED = np.uint64(0x6E67_7261_6D5F_6C6D)
UNK, BOS, EOS = np.uint64(1), np.uint64(2), np.uint64(3)  # their keys; no word has these
SPACE = np.uint64(4)  # key of white space between characters
FIRST_FREE = np.uint64(16)  # keys of words are at least this
PROB, BACKOFF = 2, 3  # where a slot's float32 values lie
BYTES_21 = BYTES_01 * np.uint64(0x21)
WORDS, CHARACTERS = 0, 1
LINE, DOCUMENT = 0, 1
AHEAD = 16  # keys whose lines are on their way where they are known from the start
BLOCK = 256  # tokens looked up at a time: their lines of one order, and what is known of them, fit the nearest cache
EIGHT = 8  # bytes of a load
MOST = 8  # words of history at most
LINE_SLOTS, LAST = 4, np.uint64(3)  # slots that share a line of the cache
EMPTY, ONE, TWO, HALF = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(32)


@njit(cache=True, nogil=True)
def is_space(byte: Any) -> Any:
    r"""White space as C's isspace and KenLM have it: blank, \t \n \v \f \r and NUL."""
    return byte <= 32 and (byte == 32 or 9 <= byte <= 13 or byte == 0)


@njit(cache=True, nogil=True)
def word_end(data: Any, at: Any, stop: Any) -> Any:
    """Place of the first white space of data[at:stop], `stop` where there is none; 8 bytes at a time."""
    while at + 8 <= stop:
        eight = load64(data, at)
        low = (eight - BYTES_21) & ~eight & BYTES_80  # its lowest bit is in the first byte that is below 33
        if low == 0:
            at += 8
            continue
        at += np.int64(trailing_zeros(low) >> np.uint64(3))
        if is_space(data[at]):
            return at
        at += 1
    while at < stop and not is_space(data[at]):
        at += 1
    return at


@njit(cache=True, nogil=True, inline="always")
def word_key(data: Any, start: Any, stop: Any) -> Any:
    """The key of a word; a marker (<unk>, <s>, </s>) that stands in a text is an unknown word."""
    if data[start] == 60 and data[stop - 1] == 62:  # < >
        size = stop - start
        if size == 3 and data[start + 1] == 115:
            return UNK
        if size == 4 and data[start + 1] == 47 and data[start + 2] == 115:
            return UNK
        if size == 5 and data[start + 1] == 117 and data[start + 2] == 110 and data[start + 3] == 107:
            return UNK
    key = hash_word(data, start, stop)
    return key if key >= FIRST_FREE else key + FIRST_FREE


@njit(cache=True, nogil=True, inline="always")
def eight_bytes(data: Any, start: Any, size: Any) -> Any:
    """The `size` (1 to 8) bytes from data[start] on as u64, zeros below them."""
    word, free = np.uint64(0), np.uint64(8 * (EIGHT - size))
    if start + EIGHT <= len(data):
        return load64(data, start) << free
    for place in range(size):
        word |= np.uint64(data[start + place]) << np.uint64(8 * place)
    return word << free


@njit(cache=True, nogil=True, inline="always")
def hash_word(data: Any, start: Any, stop: Any) -> Any:
    """64 mixed bits of data[start:stop], which is not empty.

    XXH64 goes through the end of a word byte by byte, which costs more than all else of most words: here they are one
    load or two, and one step each.
    """
    size = stop - start
    if size > 2 * EIGHT:
        return xxh64(data, start, stop, SEED)
    state = SEED + np.uint64(size)
    if size > EIGHT:
        return avalanche(absorb(absorb(state, load64(data, start)), load64(data, stop - EIGHT)))
    return avalanche(absorb(state, eight_bytes(data, start, size)))


@njit(cache=True, nogil=True)
def longer(key: Any, word: Any) -> Any:
    """The key of an n-gram with one more word before it."""
    key = absorb(key, word)
    return key if key >= FIRST_FREE else key + FIRST_FREE


@njit(cache=True, nogil=True)
def next_token(data: Any, at: Any, stop: Any, unit: Any, inside: Any) -> Any:
    """(start, end, lines that end before it) of the next token of data[at:stop]; start is `stop` where none is left.

    `unit` CHARACTERS: every character is one, and so is white space `inside` a sentence, as the empty token before
    the character that it ends at. `inside`: 0 at the beginning of a sentence, 1 where a line's end ends it, 2 where
    it does not.
    """
    lines, first = 0, at
    while at < stop and is_space(data[at]):
        lines += data[at] == 10
        at += 1
    if unit == CHARACTERS and at > first and at < stop and (inside == 2 or (inside == 1 and lines == 0)):
        return at, at, lines
    end = min(at + 1, stop)
    if unit == CHARACTERS:
        while end < stop and (data[end] & 0xC0) == 0x80:
            end += 1
    else:
        end = word_end(data, end, stop)
    return at, end, lines


@njit(cache=True, nogil=True, inline="always")
def token_key(data: Any, start: Any, end: Any) -> Any:
    """The key of a token that `next_token` found."""
    return word_key(data, start, end) if end > start else SPACE


@njit(cache=True, nogil=True, inline="always")
def home(key: Any, table: Any) -> Any:
    """The first slot of the line where the search for a key begins."""
    return (((key >> HALF) * (np.uint64(len(table)) >> TWO)) >> HALF) << TWO


@njit(cache=True, nogil=True, inline="always")
def find(table: Any, key: Any) -> Any:
    """Slot of a key, -1 where it is not there: a line is read whole, and the next only where it is full."""
    at = home(key, table)
    while True:
        slot = np.int64(-1)
        for place in range(LINE_SLOTS):
            slot = np.int64(at) + place if table[at + np.uint64(place), 0] == key else slot
        if (slot >= 0) | (table[at + LAST, 0] == EMPTY):
            return slot
        at = at + LAST + ONE if at + LAST + ONE < np.uint64(len(table)) else EMPTY


@njit(cache=True, nogil=True, inline="always")
def fetch(table: Any, key: Any) -> None:
    """Bring the line of a key closer."""
    prefetch(table, np.int64(home(key, table) << ONE))


@njit(cache=True, nogil=True, inline="always")
def numbers(table: Any, slot: Any) -> Any:
    """The float32 pair of a slot, 0 for slot -1: without a jump, which half of the looks would take."""
    found = ~(slot >> 63)
    return table[slot & found, 1] & np.uint64(found)


@njit(cache=True, nogil=True)
def known_words(table: Any, words: Any, count: Any, history: Any, masks: Any, pairs: Any, keys: Any) -> None:
    """What `look_up` says of words[:count] alone, and keys[:count] of two words, their lines on the way.

    A word that the table does not have becomes UNK.
    """
    unknown, order = find(table, UNK), pairs.shape[1]
    for i in range(count):
        slot = find(table, words[i])
        if slot < 0:
            slot, words[i] = unknown, UNK if words[i] != EOS else EOS  # an end is one in a model without it, too
        history[i + MOST] = words[i] if words[i] != EOS else BOS
        masks[i + 1], pairs[i + 1, 0] = 1, table[slot, 1]
        for k in range(1, order):
            pairs[i + 1, k] = EMPTY
        if order > 1:
            keys[i] = longer(words[i], history[i + MOST - 1])
            fetch(table, keys[i])


@njit(cache=True, nogil=True)
def look_up(
    table: Any, closed: Any, words: Any, count: Any, history: Any, masks: Any, pairs: Any, todo: Any, keys: Any
) -> None:
    """Which n-grams end at words[:count], order by order, so that the looks of a whole block overlap.

    Bit k of masks[i + 1]: the word with the k before it is an n-gram; its numbers are pairs[i + 1, k], 0 where it is
    none. history[i + MOST] is the word, BOS where it is EOS; what lies before the block is there already, as are masks
    and pairs of the last word before. `closed`: the ending of every n-gram is an n-gram too, so that nothing longer is
    looked up behind one that is not there, nor behind a history that is none.
    """
    order, left = pairs.shape[1], count if pairs.shape[1] > 1 else 0
    known_words(table, words, count, history, masks, pairs, keys)
    for i in range(left):
        todo[i] = i
    for k in range(1, order):
        going = 0
        for at in range(left):
            i, key = todo[at], keys[at]
            slot = find(table, key)
            pairs[i + 1, k] = numbers(table, slot)
            masks[i + 1] |= np.int64(slot >= 0) << k
            further = (masks[i + 1] & masks[i]) >> k & 1 if closed else 1
            todo[going], keys[going] = i, longer(key, history[i + MOST - k - 1])
            if k + 1 < order:
                fetch(table, keys[going])  # in vain where it goes no further: a jump would cost more
            going += further & (history[i + MOST - k] != BOS)
        left = going


@njit(cache=True, nogil=True)
def score_block(
    table: Any, closed: Any, words: Any, rows: Any, count: Any, history: Any, masks: Any, pairs: Any, todo: Any,
    keys: Any, known: Any, log10: Any, tokens: Any, unknown: Any, each: Any, filled: Any,
) -> Any:  # fmt: skip
    """(words of history, filled tokens of `each`) after words[:count] of rows[:count] are added to their rows."""
    look_up(table, closed, words, count, history, masks, pairs, todo, keys)
    values, order = pairs.view(np.float32), pairs.shape[1]
    for i in range(count):
        mask, size = masks[i + 1] & ((2 << known) - 1), 1
        while mask >> size:
            size += 1
        prob = np.float64(values[i + 1, 2 * size - 2])
        for k in range(size - 1, known):
            prob += np.float64(values[i, 2 * k + 1])
        row = rows[i]
        log10[row] += prob
        tokens[row] += 1
        unknown[row] += words[i] == UNK
        if len(each):
            each[filled + i] = prob
        known = min(size, order - 1)
        if words[i] == EOS:
            known = begin(table, masks, pairs, i + 1)
    masks[0], pairs[0] = masks[count], pairs[count]
    history[:MOST] = history[count : count + MOST].copy()
    return known, filled + count


@njit(cache=True, nogil=True)
def begin(table: Any, masks: Any, pairs: Any, row: Any) -> Any:
    """Number of words of history at the beginning of a sentence; `row` then says what is behind <s>."""
    slot = find(table, BOS)
    masks[row], pairs[row, 0] = 1, table[slot, 1] if slot >= 0 else EMPTY
    return min(pairs.shape[1] - 1, 1)


@njit(types.void(I64, U8, *MODEL, types.int64, types.int64, *OUT), cache=True, nogil=True)
def score_texts(
    offsets: Any, data: Any, table: Any, order: Any, closed: Any, unit: Any, per: Any,
    log10: Any, tokens: Any, unknown: Any, each: Any,
) -> None:  # fmt: skip
    """Add to log10 f64, tokens i64 and unknown i64 of every row; with room in `each`, log10 of every token in order."""
    room = BLOCK + 2
    words, rows, count = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64), 0
    keys, todo = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64)
    history = np.full(room + MOST, BOS, dtype=np.uint64)
    masks, pairs = np.zeros(room + 1, dtype=np.int64), np.zeros((room + 1, order), dtype=np.uint64)
    known, filled, inside_is = begin(table, masks, pairs, 0), np.int64(0), 1 if per == LINE else 2
    for row in range(len(offsets) - 1):
        at, stop, inside = offsets[row], offsets[row + 1], 0
        over = False
        while not over:
            start, at, lines = next_token(data, at, stop, unit, inside)
            over = start >= stop
            if inside and (over or (per == LINE and lines)):
                words[count], rows[count], count, inside = EOS, row, count + 1, 0
            if not over:
                words[count], rows[count], inside = token_key(data, start, at), row, inside_is
                fetch(table, words[count])
                count += 1
            if count >= BLOCK:
                known, filled = score_block(
                    table, closed, words, rows, count, history, masks, pairs, todo, keys, known,
                    log10, tokens, unknown, each, filled,
                )  # fmt: skip
                count = 0
    score_block(
        table, closed, words, rows, count, history, masks, pairs, todo, keys, known, log10, tokens, unknown, each,
        filled,
    )  # fmt: skip


@njit(types.int64[::1](I64, U8, types.int64, types.int64), cache=True, nogil=True)
def num_tokens(offsets: Any, data: Any, unit: Any, per: Any) -> Any:
    """Tokens of every row with the ends of its sentences, i64[rows]."""
    out, inside_is = np.zeros(len(offsets) - 1, dtype=np.int64), 1 if per == LINE else 2
    for row in range(len(out)):
        at, stop, inside = offsets[row], offsets[row + 1], 0
        while True:
            start, at, lines = next_token(data, at, stop, unit, inside)
            over = start >= stop
            if inside and (over or (per == LINE and lines)):
                out[row] += 1
            if over:
                break
            out[row] += 1
            inside = inside_is
    return out


@njit(types.boolean(U64, F32_OUT, F32_OUT, types.uint64[:, ::1], types.float32[:, ::1]), cache=True, nogil=True)
def fill_table(keys: Any, probs: Any, backoffs: Any, table: Any, values: Any) -> Any:
    """Put n-grams into an empty table of whole lines; False where a key repeats. Ascending keys fill it end to end."""
    for i in range(len(keys)):
        slot = np.int64(home(keys[i], table))
        while table[slot, 0] != EMPTY:
            if table[slot, 0] == keys[i]:
                return False
            slot = slot + 1 if slot + 1 < len(table) else np.int64(0)
        table[slot, 0] = keys[i]
        values[slot, PROB], values[slot, BACKOFF] = probs[i], backoffs[i]
    return True


@njit(types.boolean(U64, U64_2), cache=True, nogil=True)
def all_found(keys: Any, table: Any) -> Any:
    """Whether every key is in the table."""
    missing = 0
    for i in range(len(keys)):
        if i + AHEAD < len(keys):
            fetch(table, keys[i + AHEAD])
        missing += find(table, keys[i]) < 0
    return missing == 0
