"""Compiled look-up of addresses in lists: every ending of a host, every beginning of an address, every word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at, put_byte
from winnow.pipeline.url.parse_url_kernels import MOST_HOST, N_HOST, N_HOST_END
from winnow.pipeline.url.suffix_kernels import domain_of, labels_of
from winnow.pipeline.url.text_table_kernels import START, find_text, hash_text, mixed, step

AS_HOST, AS_DOMAIN, AS_URL, AS_PARENT, AS_PREFIX = range(5)
MOST = 64  # entries of one address that are noted
LETTER = np.frombuffer(b"\0abcdefghijklmnopqrstuvwxyz0123456789", dtype=np.uint8).copy()  # by sign
SIGNS, MOST_SIZE = len(LETTER), 16
GRAMS, FORMS = SIGNS**3, (MOST_SIZE + 1) * SIGNS**2


def _signs() -> Any:
    """Number of a letter or digit among LETTER, capitals as small ones, u8[256]; 0: it is none."""
    table = np.zeros(256, dtype=np.uint8)
    table[LETTER[1:]] = np.arange(1, SIGNS)
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1]
    return table


SIGN = _signs()


@njit(cache=True, nogil=True, _nrt=False)
def _endings(data: Any, stop: Any, domain: Any, places: Any, codes: Any, labels: Any, table: Any, ways: Any,
             entries: Any) -> Any:  # fmt: skip
    """How many endings of the host are listed, the longest last."""
    num = 0
    for k in range(labels):
        found = find_text(data, places[k], stop, codes[k], table[0], table[1], table[2], table[3])
        if found >= 0 and num < MOST:
            ways[num] = AS_HOST if k == labels - 1 else AS_DOMAIN if places[k] == domain else AS_PARENT
            entries[num] = found
            num += 1
    return num


@njit(cache=True, nogil=True, _nrt=False)
def _beginnings(data: Any, start: Any, stop: Any, longest: Any, table: Any, ways: Any, entries: Any, num: Any) -> Any:
    """How many beginnings of data[start:stop] are listed, after `num`; they end before `/`, `?`, `&` or all."""
    code = START
    for i in range(start, min(stop, start + longest)):
        code = step(code, byte_at(data, i))
        after = i + 1
        last = after == stop or (after == stop - 1 and byte_at(data, after) == 47)
        if last or byte_at(data, after) in (47, 63, 38):
            found = find_text(data, start, after, mixed(code), table[0], table[1], table[2], table[3])
            if found >= 0 and num < MOST:
                ways[num], entries[num] = AS_URL if last else AS_PREFIX, found
                num += 1
    return num


@njit(cache=True, nogil=True, _nrt=False)
def _has_www(data: Any, start: Any, stop: Any) -> Any:
    """Whether the host begins with `www.`, and more follows."""
    if stop - start <= 4:
        return False
    w = byte_at(data, start) == 119 and byte_at(data, start + 1) == 119 and byte_at(data, start + 2) == 119
    return w and byte_at(data, start + 3) == 46


@njit(cache=True, nogil=True)
def listed(offsets: Any, data: Any, spans: Any, is_ip: Any, valid: Any, hosts: Any, urls: Any, longest: Any,
           suffixes: Any, bits: Any) -> Any:  # fmt: skip
    """(rows, ways, entries), i64 each: what is listed of every address, by host from short to long, then by address.

    The registered domain is looked up with the same hashes as the host, among `suffixes` and the bits of their rules.
    """
    ways, entries = np.zeros(2 * MOST, dtype=np.int64), np.zeros(2 * MOST, dtype=np.int64)
    places, codes = np.empty(MOST_HOST, dtype=np.int64), np.empty(MOST_HOST, dtype=np.uint64)
    out, at = np.empty((256, 3), dtype=np.int64), 0
    for row in range(valid.size):
        if not valid[row]:
            continue
        start, stop, end = spans[row, N_HOST], spans[row, N_HOST_END], offsets[row + 1]
        labels, domain = labels_of(data, start, stop, places, codes), stop
        if not is_ip[row]:
            domain = domain_of(data, stop, places, codes, labels, suffixes[0], suffixes[1], suffixes[2], suffixes[3],
                               bits)  # fmt: skip
        num = _endings(data, stop, domain, places, codes, labels, hosts, ways, entries)
        if longest > 0:
            num = _beginnings(data, start, end, longest, urls, ways, entries, num)
            if _has_www(data, start, stop):
                num = _beginnings(data, start + 4, end, longest, urls, ways, entries, num)
        if at + num > len(out):
            wider = np.empty((2 * len(out), 3), dtype=np.int64)
            for k in range(at):  # by hand: an assignment of slices takes seconds to compile
                wider[k, 0], wider[k, 1], wider[k, 2] = out[k, 0], out[k, 1], out[k, 2]
            out = wider
        for k in range(num):
            out[at, 0], out[at, 1], out[at, 2] = row, ways[k], entries[k]
            at += 1
    return out[:at, 0].copy(), out[:at, 1].copy(), out[:at, 2].copy()


@njit(cache=True, nogil=True, _nrt=False)
def gram(first: Any, second: Any, third: Any) -> Any:
    """Number of three signs in a row, below GRAMS."""
    return (first * SIGNS + second) * SIGNS + third


@njit(cache=True, nogil=True, _nrt=False)
def word_form(signs: Any, start: Any, size: Any) -> Any:
    """Number of what a word begins with and how long it is, below FORMS."""
    second = np.int64(byte_at(signs, start + 1)) if size > 1 else 0
    return (min(size, MOST_SIZE) * SIGNS + second) * SIGNS + np.int64(byte_at(signs, start))


@njit(cache=True, nogil=True, _nrt=False)
def signs_of(data: Any, start: Any, stop: Any, signs: Any, bounds: Any) -> Any:
    """(signs, words): the letters and digits of data[start:stop] one after another by number, and where each run ends.

    Without a branch: whatever is no sign is overwritten by the next one. `signs` holds two bytes more, which are 0.
    """
    at, words = np.int64(0), np.int64(0)
    for i in range(start, stop):
        sign = SIGN[byte_at(data, i)]
        put_byte(signs, at, sign)
        bounds[np.uint64(words)] = at
        is_sign = np.int64(sign != 0)
        at += is_sign
        words += 1 - is_sign
    bounds[words] = at
    put_byte(signs, at, 0)
    put_byte(signs, at + 1, 0)
    return at, words + 1


@njit(cache=True, nogil=True, _nrt=False)
def may_have(signs: Any, size: Any, grams: Any) -> Any:
    """Whether any three signs in a row begin a listed text."""
    found = np.uint64(0)
    first, second = np.int64(byte_at(signs, 0)), np.int64(byte_at(signs, 1))
    for i in range(size):
        third = np.int64(byte_at(signs, i + 2))
        number = np.uint64(gram(first, second, third))
        found |= grams[number >> np.uint64(6)] >> (number & np.uint64(63))
        first, second = second, third
    return (found & np.uint64(1)) != 0


@njit(cache=True, nogil=True, _nrt=False)
def note_words(row: Any, signs: Any, bounds: Any, words: Any, table: Any, forms: Any, longest: Any, bits: Any,
               seen: Any, letters: Any, found: Any) -> None:  # fmt: skip
    """Different hard words, the number of the first or -1, different soft words: into found i64[3].

    Only a word of a length and with a beginning that a listed one has is hashed. `seen`: last row with each entry.
    """
    found[0], found[1], found[2] = 0, -1, 0
    start = np.int64(0)
    for k in range(words):
        stop = bounds[np.uint64(k)]
        size = stop - start
        if 0 < size <= longest and forms[np.uint64(word_form(signs, start, size))]:
            for i in range(size):
                put_byte(letters, i, LETTER[byte_at(signs, start + i)])
            code = hash_text(letters, 0, size, False)
            one = find_text(letters, 0, size, code, table[0], table[1], table[2], table[3])
            if one >= 0 and seen[one] != row:
                seen[one] = row
                found[2] += (bits[one] & 2) != 0
                if bits[one] & 1:
                    found[0] += 1
                    found[1] = one if found[1] < 0 else found[1]
        start = stop


@njit(cache=True, nogil=True)
def words_of(offsets: Any, data: Any, spans: Any, valid: Any, table: Any, forms: Any, longest: Any, bits: Any,
             grams: Any) -> Any:  # fmt: skip
    """(words i64[rows, 3] as `note_words` has them, rows i64, offsets i64[rows + 1], bytes).

    A word is a run of letters and digits of host, path and query, in small letters. The last three are the rows that
    may have one of the texts of `grams`, with all their letters and digits.
    """
    rows, most = valid.size, np.int64(0)
    for row in range(rows):
        most = max(most, offsets[row + 1] - offsets[row])
    signs, bounds = np.empty(most + 2, dtype=np.uint8), np.empty(most + 1, dtype=np.int64)
    found, seen = np.zeros((rows, 3), dtype=np.int64), np.full(bits.size, -1, dtype=np.int64)
    letters = np.empty(longest, dtype=np.uint8)
    kept, ends, many, at = np.empty(rows, dtype=np.int64), np.zeros(rows + 1, dtype=np.int64), 0, 0
    out = np.empty(offsets[-1] if grams.size else 0, dtype=np.uint8)
    for row in range(rows):
        found[row, 1] = -1
        if not valid[row]:
            continue
        size, words = signs_of(data, spans[row, N_HOST], offsets[row + 1], signs, bounds)
        if bits.size:
            note_words(row, signs, bounds, words, table, forms, longest, bits, seen, letters, found[row])
        if grams.size and may_have(signs, size, grams):
            for i in range(size):
                put_byte(out, at + i, LETTER[byte_at(signs, i)])
            at += size
            kept[many], ends[many + 1] = row, at
            many += 1
    return found, kept[:many].copy(), ends[: many + 1].copy(), out[:at].copy()
