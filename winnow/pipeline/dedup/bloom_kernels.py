"""Compiled: keys to Bloom filters of 64-byte blocks, and documents met in order, each told by what came before.

A key's upper bits choose its block, other hashes of it the bits of the block, nine bits of a hash each. Keys of other
parts are read where they lie, by address (`minhash_kernels.peek`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.hashing_kernels import avalanche
from winnow.core.words.normal_form_kernels import first_change
from winnow.core.words.prefetch_kernels import prefetch
from winnow.core.words.word_kernels import MOST_ENDS, ROOM, formed, most_words, row_ngrams
from winnow.pipeline.dedup.minhash_kernels import I64, U8, U64, U64_OUT, peek

AHEAD = 16  # keys whose blocks are brought closer before they are read
SALT = np.uint64(0x626C6F6F6D)  # part of the `version` of what fills a filter
SHIFT, SEVEN = np.uint64(9), np.int64(7)  # bits of a place in a block; places that a hash has
ONE, LOW_32 = np.uint64(1), np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True)
def key_at(address: Any, at: Any, salt: Any) -> Any:
    """Key `at` of those that lie at an address, mixed with the salt of their group (0: there are no groups)."""
    key = np.uint64(peek(address, 2 * at)) | (np.uint64(peek(address, 2 * at + 1)) << np.uint64(32))
    return avalanche(key ^ salt) if salt else key


@njit(cache=True, nogil=True)
def _first_word(key: Any, words: Any) -> Any:
    """Where the block of a key begins in `words`."""
    blocks = np.uint64(words.size >> 3)
    high, low = key >> np.uint64(32), key & LOW_32
    return np.int64((high * blocks + ((low * blocks) >> np.uint64(32))) >> np.uint64(32)) << 3


@njit(cache=True, nogil=True)
def holds(words: Any, key: Any, probes: Any) -> Any:
    """Whether all bits of a key are set."""
    first, hashed, state = _first_word(key, words), key, key
    for probe in range(probes):
        if probe % SEVEN == 0:
            hashed = avalanche(hashed + SALT)
            state = hashed
        place = state & np.uint64(511)
        state >>= SHIFT
        if (words[first + np.int64(place >> np.uint64(6))] >> (place & np.uint64(63))) & ONE == 0:
            return False
    return True


@njit(cache=True, nogil=True)
def put(words: Any, key: Any, probes: Any) -> None:
    """Sets the bits of a key."""
    first, hashed, state = _first_word(key, words), key, key
    for probe in range(probes):
        if probe % SEVEN == 0:
            hashed = avalanche(hashed + SALT)
            state = hashed
        place = state & np.uint64(511)
        state >>= SHIFT
        words[first + np.int64(place >> np.uint64(6))] |= ONE << (place & np.uint64(63))


@njit(cache=True, nogil=True)
def _seen(address: Any, first: Any, stop: Any, salt: Any, words: Any, probes: Any) -> Any:
    """How many of the keys first .. stop at an address the filter holds."""
    found = np.int64(0)
    for at in range(first, min(first + AHEAD, stop)):
        prefetch(words, _first_word(key_at(address, at, salt), words))
    for at in range(first, stop):
        if at + AHEAD < stop:
            prefetch(words, _first_word(key_at(address, at + AHEAD, salt), words))
        found += np.int64(holds(words, key_at(address, at, salt), probes))
    return found


@njit(
    types.int64(
        I64, U64, U64, I64, I64, types.float64, types.uint64[::1], types.int64, types.int64[::1], types.boolean[::1]
    ),
    cache=True,
    nogil=True,
)
def pass_over(
    order: Any, address: Any, salt: Any, pieces: Any, sizes: Any, most: float, words: Any, probes: int, seen: Any,
    gone: Any,
) -> Any:  # fmt: skip
    """How many keys were put into the filter; documents are met in `order`.

    Pieces of row r are pieces[r] .. pieces[r + 1], with sizes[p] keys each, which lie behind each other at the row's
    address. `seen` of a piece is how many of its keys the filter holds; it is `gone` where that is more than the share
    `most` of them. The keys of a piece that stays are put into the filter before the next piece is looked at.
    """
    kept = np.int64(0)
    for number in range(order.size):
        row, at = order[number], np.int64(0)
        for piece in range(pieces[row], pieces[row + 1]):
            stop = at + sizes[piece]
            seen[piece] = _seen(address[row], at, stop, salt[row], words, probes)
            gone[piece] = np.float64(seen[piece]) > most * np.float64(sizes[piece])
            if not gone[piece]:
                for key in range(at, stop):
                    put(words, key_at(address[row], key, salt[row]), probes)
                kept += sizes[piece]
            at = stop
    return kept


@njit(cache=True, nogil=True)
def _piece(data: Any, at: Any, stop: Any, scratch: Any, single: Any, least: Any, out: Any, filled: Any) -> Any:
    """End of `out` with the n-grams of data[at:stop] from out[filled] on; none where there are under `least` words."""
    before = filled
    filled = row_ngrams(data, at, stop, scratch, out, filled)
    if filled == before + 1 and least > 1:
        words = row_ngrams(data, at, stop, (single[0], single[1], single[2]), single[3], np.int64(0))
        filled = before if words < least else filled
    return filled


@njit(types.Tuple((types.int64[::1], U64_OUT))(I64, U8, types.int64, types.int64), cache=True, nogil=True)
def piece_keys(offsets: Any, data: Any, n: int, least: int) -> Any:
    """(offsets i64[pieces + 1], u64[...]): the word n-grams of every piece's normal form, in order, with repeats.

    A piece of `least` to n - 1 words has one, of all its words; one of fewer has none.
    """
    pieces = offsets.size - 1
    starts = np.zeros(pieces + 1, dtype=np.int64)
    out = np.empty((offsets[pieces] - offsets[0]) // 2 + pieces + 1, dtype=np.uint64)
    scratch = (np.empty(n, np.uint64), np.empty(ROOM, np.uint8), np.empty(MOST_ENDS, np.int64))
    single = (np.empty(1, np.uint64), scratch[1], scratch[2], np.empty(n, dtype=np.uint64))
    form, filled = np.empty(0, dtype=np.uint8), np.int64(0)
    for piece in range(pieces):
        at, stop = offsets[piece], offsets[piece + 1]
        if first_change(data, at, stop) < 0:
            filled = _piece(data, at, stop, scratch, single, least, out, filled)
        else:
            form, size = formed(data, at, stop, form)
            left = (offsets[pieces] - stop) // 2 + pieces - piece + 1
            if filled + most_words(size) + left > out.size:
                wider = np.empty(2 * (filled + most_words(size) + left), dtype=np.uint64)
                wider[:filled] = out[:filled]
                out = wider
            filled = _piece(form, np.int64(0), size, scratch, single, least, out, filled)
        starts[piece + 1] = filled
    return starts, out[:filled].copy()
