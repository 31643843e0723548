"""Compiled lookups of back-off n-gram models: texts to log probabilities, without a row in Python.

A model is one open hash table over the n-grams of all orders. An n-gram's key is folded from its last word to its
first, each word a 64-bit hash, so that the key of a longer n-gram is one step from that of its ending: a token costs
one look per order until the first n-gram that is not there. A slot is two 64-bit words, 16 bytes: the key, then log10
of the probability and of the back-off weight as float32.

Source: probing models of KenLM (Heafield 2011), layout own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from winnow.core.words.hashing_kernels import I64, U8, absorb, xxh64

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
AHEAD = 8  # tokens whose slots are on their way
BLOCK = 2048  # tokens looked up at a time: their keys stay in the nearest caches
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


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """A numba intrinsic (u64[...], index): bring the cache line of an element closer; nothing else."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@njit(cache=True, nogil=True)
def home(key: Any, table: Any) -> Any:
    """The slot where the search for a key begins."""
    return np.int64(((key >> HALF) * np.uint64(len(table))) >> HALF)


@njit(cache=True, nogil=True)
def find(table: Any, key: Any) -> Any:
    """Slot of a key, -1 where it is not there."""
    slot = home(key, table)
    while table[slot, 0] != key:
        if table[slot, 0] == EMPTY:
            return np.int64(-1)
        slot = slot + 1 if slot + 1 < len(table) else np.int64(0)
    return slot


@njit(cache=True, nogil=True)
def begin(table: Any, values: Any, order: Any, weights: Any) -> Any:
    """Number of words of history at the beginning of a sentence, whose weight is then in `weights`."""
    slot = find(table, BOS)
    weights[0, 0] = values[slot, BACKOFF] if slot >= 0 else np.float32(0)
    return min(order - 1, 1)


@njit(cache=True, nogil=True)
def step(table: Any, values: Any, order: Any, closed: Any, slot: Any, keys: Any, known: Any, weights: Any) -> Any:
    """(log10 probability, words of history after it) of the word in `slot` behind `known` others.

    keys[k] is the key of the word with the k words before it, and weights[0, k - 1] the back-off weight of those k; the
    weights become those after this word, weights[1] is room. `closed`: the ending of every n-gram is an n-gram too, so
    that nothing longer is there than the first that is not.
    """
    prob, size = np.float64(values[slot, PROB]), 1
    weights[1, 0] = values[slot, BACKOFF]
    for k in range(1, known + 1):
        slot = find(table, keys[k])
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
    for k in range(size):
        weights[0, k] = weights[1, k]
    return prob, size


@njit(cache=True, nogil=True)
def known_words(table: Any, words: Any, slots: Any, count: Any) -> None:
    """Fill `slots` with those of words[:count]; a word that the table does not have becomes UNK."""
    unknown = find(table, UNK)
    for i in range(count):
        if i + AHEAD < count:
            prefetch(table, 2 * home(words[i + AHEAD], table))
        slots[i] = find(table, words[i])
        if slots[i] < 0:
            slots[i], words[i] = unknown, UNK


@njit(cache=True, nogil=True)
def chained(words: Any, count: Any, order: Any, before: Any, keys: Any) -> None:
    """Fill keys[i, k] with the key of word i and the k words before it, as far as its sentence reaches.

    before u64[order] are the words before, the nearest first, BOS and then what does not matter at the beginning of a
    sentence; they become those after.
    """
    for i in range(count):
        key = words[i]
        keys[i, 0] = key
        for k in range(1, order):
            key = longer(key, before[k - 1])
            keys[i, k] = key
        for k in range(order - 1, 0, -1):
            before[k] = before[k - 1]
        before[0] = words[i] if words[i] != EOS else BOS


@njit(cache=True, nogil=True)
def score_block(
    table: Any, values: Any, order: Any, closed: Any, words: Any, rows: Any, count: Any, before: Any, weights: Any,
    known: Any, log10: Any, tokens: Any, unknown: Any, each: Any, filled: Any,
) -> Any:  # fmt: skip
    """(words of history, filled tokens of `each`) after words[:count] of rows[:count] are added to their rows."""
    slots, keys = np.empty(count, dtype=np.int64), np.empty((count, order), dtype=np.uint64)
    known_words(table, words, slots, count)
    chained(words, count, order, before, keys)
    for i in range(count):
        if i + AHEAD < count:
            for k in range(1, order):
                prefetch(table, 2 * home(keys[i + AHEAD, k], table))
        prob, known = step(table, values, order, closed, slots[i], keys[i], known, weights)
        row = rows[i]
        log10[row] += prob
        tokens[row] += 1
        unknown[row] += words[i] == UNK
        if len(each):
            each[filled + i] = prob
        if words[i] == EOS:
            known = begin(table, values, order, weights)
    return known, filled + count


@njit(types.void(I64, U8, *MODEL, types.int64, types.int64, *OUT), cache=True, nogil=True)
def score_texts(
    offsets: Any, data: Any, table: Any, values: Any, order: Any, closed: Any, unit: Any, per: Any,
    log10: Any, tokens: Any, unknown: Any, each: Any,
) -> None:  # fmt: skip
    """Add to log10 f64, tokens i64 and unknown i64 of every row; with room in `each`, log10 of every token in order."""
    words, rows, count = np.empty(BLOCK + 2, dtype=np.uint64), np.empty(BLOCK + 2, dtype=np.int64), 0
    before, weights = np.full(order, BOS, dtype=np.uint64), np.zeros((2, order), dtype=np.float32)
    known, filled, inside_is = begin(table, values, order, weights), np.int64(0), 1 if per == LINE else 2
    for row in range(len(offsets) - 1):
        at, stop, inside = offsets[row], offsets[row + 1], 0
        over = False
        while not over:
            start, at, lines = next_token(data, at, stop, unit, inside)
            over = start >= stop
            if inside and (over or (per == LINE and lines)):
                words[count], rows[count], count, inside = EOS, row, count + 1, 0
            if not over:
                words[count], rows[count], count, inside = token_key(data, start, at), row, count + 1, inside_is
            if count >= BLOCK:
                known, filled = score_block(
                    table, values, order, closed, words, rows, count, before, weights, known,
                    log10, tokens, unknown, each, filled,
                )  # fmt: skip
                count = 0
    score_block(
        table, values, order, closed, words, rows, count, before, weights, known, log10, tokens, unknown, each, filled
    )


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
        slot = home(keys[i], table)
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
