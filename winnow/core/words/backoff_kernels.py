"""Compiled lookups of back-off n-gram models: texts (or ids) to log probabilities, without a row in Python.

A model is one open hash table over the n-grams of all orders. An n-gram's key is folded from its last word to its
first, each word a 64-bit hash, so that the key of a longer n-gram is one step from that of its ending: a token costs
one look per order until the first n-gram that is not there. A slot is two 64-bit words, 16 bytes: the key, then log10
of the probability and of the back-off weight as float32.

Source: probing models of KenLM (Heafield 2011), layout own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import I64, P5, U8, absorb, avalanche, xxh64

U64_2 = types.Array(types.uint64, 2, "C", readonly=True)
F32_2 = types.Array(types.float32, 2, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
F32_OUT = types.float32[::1]
MODEL = (U64_2, F32_2, types.int64, types.boolean)  # table, its float32 values, order, closed
OUT = (types.float64[::1], types.int64[::1], types.int64[::1], F32_OUT)  # log10, tokens, unknown, each

SEED = np.uint64(0x6E67_7261_6D5F_6C6D)
UNK, BOS, EOS = np.uint64(1), np.uint64(2), np.uint64(3)  # their keys; no word has these
SPACE = np.uint64(4)  # key of white space between characters
FIRST_FREE = np.uint64(16)  # keys of words are at least this
PROB, BACKOFF = 2, 3  # where a slot's float32 values lie
WORDS, CHARACTERS = 0, 1
LINE, DOCUMENT = 0, 1
EMPTY, HALF = np.uint64(0), np.uint64(32)


@njit(cache=True, nogil=True)
def is_space(byte: Any) -> Any:
    r"""White space as C's isspace and KenLM have it: blank, \t \n \v \f \r and NUL."""
    return byte <= 32 and (byte == 32 or 9 <= byte <= 13 or byte == 0)


@njit(cache=True, nogil=True)
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
    key = xxh64(data, start, stop, SEED)
    return key if key >= FIRST_FREE else key + FIRST_FREE


@njit(cache=True, nogil=True)
def id_key(number: Any) -> Any:
    """The key of a token id."""
    key = avalanche(absorb(P5, np.uint64(number) + np.uint64(1)))
    return key if key >= FIRST_FREE else key + FIRST_FREE


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
        while end < stop and not is_space(data[end]):
            end += 1
    return at, end, lines


@njit(cache=True, nogil=True)
def token_key(data: Any, start: Any, end: Any) -> Any:
    """The key of a token that `next_token` found."""
    return word_key(data, start, end) if end > start else SPACE


@njit(cache=True, nogil=True)
def find(table: Any, key: Any) -> Any:
    """Slot of a key, -1 where it is not there."""
    slot = np.int64(((key >> HALF) * np.uint64(len(table))) >> HALF)
    while table[slot, 0] != key:
        if table[slot, 0] == EMPTY:
            return np.int64(-1)
        slot = slot + 1 if slot + 1 < len(table) else np.int64(0)
    return slot


@njit(cache=True, nogil=True)
def begin(table: Any, values: Any, order: Any, words: Any, weights: Any) -> Any:
    """Number of words of history at the beginning of a sentence, which `words` and `weights` then hold."""
    slot = find(table, BOS)
    words[0] = BOS
    weights[0, 0] = values[slot, BACKOFF] if slot >= 0 else np.float32(0)
    return min(order - 1, 1)


@njit(cache=True, nogil=True)
def step(table: Any, values: Any, order: Any, closed: Any, word: Any, known: Any, words: Any, weights: Any) -> Any:
    """(log10 probability, words of history after it, whether it is unknown) of one word behind `known` others.

    words[:known] is the history, the nearest first, and weights[0, k - 1] the back-off weight of its last k words;
    both become those after this word. weights[1] is room. `closed`: the ending of every n-gram is an n-gram too, so
    that nothing longer is there than the first that is not.
    """
    slot = find(table, word)
    unknown = slot < 0 or word == UNK
    if slot < 0:
        word = UNK
        slot = find(table, UNK)
    prob, key, size = np.float64(values[slot, PROB]), word, 1
    weights[1, 0] = values[slot, BACKOFF]
    for k in range(1, known + 1):
        key = longer(key, words[k - 1])
        slot = find(table, key)
        if slot >= 0:
            prob, size = np.float64(values[slot, PROB]), k + 1
            weights[1, k] = values[slot, BACKOFF]
        elif closed:
            break
        else:
            weights[1, k] = 0
    for k in range(size - 1, known):
        prob += np.float64(weights[0, k])
    size = min(size, order - 1)
    for k in range(size - 1, 0, -1):
        words[k] = words[k - 1]
        weights[0, k] = weights[1, k]
    words[0] = word
    weights[0, 0] = weights[1, 0]
    return prob, size, unknown


@njit(types.void(I64, U8, *MODEL, types.int64, types.int64, *OUT), cache=True, nogil=True)
def score_texts(
    offsets: Any, data: Any, table: Any, values: Any, order: Any, closed: Any, unit: Any, per: Any,
    log10: Any, tokens: Any, unknown: Any, each: Any,
) -> None:  # fmt: skip
    """Fill log10 f64, tokens i64 and unknown i64 of every row; with room in `each`, log10 of every token in order."""
    words, weights = np.zeros(order, dtype=np.uint64), np.zeros((2, order), dtype=np.float32)
    filled, inside_is = np.int64(0), 1 if per == LINE else 2
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        total, count, missed, known, inside = np.float64(0), np.int64(0), np.int64(0), np.int64(0), 0
        while True:
            start, at, lines = next_token(data, at, stop, unit, inside)
            over = start >= stop
            if inside and (over or (per == LINE and lines)):
                prob, known, _ = step(table, values, order, closed, EOS, known, words, weights)
                total, count, inside = total + prob, count + 1, 0
                if len(each):
                    each[filled] = prob
                    filled += 1
            if over:
                break
            if not inside:
                known, inside = begin(table, values, order, words, weights), inside_is
            prob, known, miss = step(table, values, order, closed, token_key(data, start, at), known, words, weights)
            total, count, missed = total + prob, count + 1, missed + miss
            if len(each):
                each[filled] = prob
                filled += 1
        log10[row], tokens[row], unknown[row] = total, count, missed


@njit(types.void(I64, I64, *MODEL, *OUT), cache=True, nogil=True)
def score_ids(
    offsets: Any,
    ids: Any,
    table: Any,
    values: Any,
    order: Any,
    closed: Any,
    log10: Any,
    tokens: Any,
    unknown: Any,
    each: Any,
) -> None:
    """`score_texts` for rows of token ids, a sentence each: ids[offsets[row] : offsets[row + 1]]."""
    words, weights = np.zeros(order, dtype=np.uint64), np.zeros((2, order), dtype=np.float32)
    filled = np.int64(0)
    for row in range(len(offsets) - 1):
        size = offsets[row + 1] - offsets[row]
        total, missed, known = np.float64(0), np.int64(0), begin(table, values, order, words, weights)
        for place in range(size + 1 if size else 0):
            word = id_key(ids[offsets[row] + place]) if place < size else EOS
            prob, known, miss = step(table, values, order, closed, word, known, words, weights)
            total, missed = total + prob, missed + miss
            if len(each):
                each[filled] = prob
                filled += 1
        log10[row], tokens[row], unknown[row] = total, size + 1 if size else 0, missed


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
    """Put n-grams into an empty table; False where a key repeats. Keys that ascend fill it from end to end."""
    for i in range(len(keys)):
        slot = np.int64(((keys[i] >> HALF) * np.uint64(len(table))) >> HALF)
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
        missing += find(table, keys[i]) < 0
    return missing == 0
