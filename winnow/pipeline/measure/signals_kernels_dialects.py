"""Kernels of the repetition columns as Dolma and NeMo Curator define them; datatrove's and DCLM's are the usual ones.

Dolma counts every copy of what repeats, and n-grams against n-grams, so one word counts up to n times. NeMo counts
later copies, and the most frequent n-gram by searching the text for it, joined by single blanks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.measure.signals_kernels_lines import (
    LINE_CHARS,
    LINE_COPIES,
    LINE_COPY_CHARS,
    PARAGRAPH_CHARS,
    PARAGRAPH_COPIES,
    PARAGRAPH_COPY_CHARS,
    PARAGRAPHS,
    PIECES,
    SEGMENTS,
    count_chars,
    note_piece,
)
from winnow.pipeline.measure.signals_kernels_ngrams import (
    DUP_SIZES,
    LARGEST,
    TOP_SIZES,
    climb,
    intern_words,
    open_slots,
)
from winnow.pipeline.measure.signals_kernels_words import FEEDS, WORDS

DOLMA, NEMO = 2, 3
ROLL = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, _nrt=False)
def whole_lines(data: Any, start: Any, stop: Any, found: Any, table: Any, filled: Any, out: Any) -> Any:
    """Fill the line repetition counters with lines as they stand; `filled`: those with a word."""
    counts, feeds, words_at, ascii_only, _ = found
    first, before = start, np.int64(0)
    for k in range(counts[FEEDS] + 1):
        last = start + feeds[k] if k < counts[FEEDS] else stop
        here = np.int64(words_at[k]) if k < counts[FEEDS] else counts[WORDS]
        if here > before or not filled:
            note_piece(data, first, last, count_chars(data, first, last, ascii_only), table, out, SEGMENTS)
        first, before = last + 1, here


@njit(cache=True, nogil=True, _nrt=False)
def whole_paragraphs(data: Any, start: Any, stop: Any, found: Any, table: Any, out: Any) -> Any:
    """Fill the paragraph counters with what every pair of line feeds from the left separates, empty pieces included."""
    counts, feeds, _, ascii_only, _ = found
    num_feeds = counts[FEEDS]
    first, k = start, 0
    while True:
        while k + 1 < num_feeds and feeds[k + 1] != feeds[k] + 1:
            k += 1
        last = start + feeds[k] if k + 1 < num_feeds else stop
        note_piece(data, first, last, count_chars(data, first, last, ascii_only), table, out, PARAGRAPHS)
        if last == stop:
            return
        first = last + 2
        k += 2


@njit(cache=True, nogil=True, _nrt=False)
def measure_pieces(data: Any, start: Any, stop: Any, found: Any, scratch: Any, dialect: Any, out: Any) -> Any:
    """Fill the line and paragraph repetition counters in the terms of Dolma (no paragraphs) or NeMo."""
    slots, keys, copies, _, _, _ = scratch
    entries = found[0][FEEDS] + 1
    out[SEGMENTS : PARAGRAPH_CHARS + 1] = 0
    out[PIECES] = 0
    table = (slots, keys, copies, open_slots(slots, entries), dialect == DOLMA)
    whole_lines(data, start, stop, found, table, dialect == NEMO, out)
    if dialect == NEMO:
        out[PIECES] = 0
        whole_paragraphs(data, start, stop, found, (slots, keys, copies, open_slots(slots, entries), False), out)


@njit(cache=True, nogil=True, _nrt=False)
def top_place(distinct: Any, scratch: Any) -> Any:
    """(word at which the most frequent n-gram first stands, its count); the first of tied ones; (0, 1) without."""
    _, _, counts, first, _, _ = scratch
    place, most = np.int64(0), np.int64(1)
    for ident in range(distinct):
        if counts[ident] > most:
            place, most = np.int64(first[ident]), np.int64(counts[ident])
    return place, most


@njit(cache=True, nogil=True, _nrt=False)
def joined_copies(data: Any, start: Any, stop: Any, spans: Any, place: Any, n: Any) -> Any:
    """Copies, without overlap, of n words joined by single blanks in data[start:stop], as text.

    A rolling hash says where to look, so a text of one long word is read once and not once per character.
    """
    size: Any = 0
    wanted, power = np.uint64(0), np.uint64(1)
    for k in range(place, place + n):
        if k > place:
            wanted = wanted * ROLL + np.uint64(0x20)
        for at in range(np.int64(spans[0, k]), np.int64(spans[1, k])):
            wanted = wanted * ROLL + np.uint64(data[at])
        size += np.int64(spans[1, k]) - np.int64(spans[0, k])
    size += n - 1
    for _ in range(size):
        power *= ROLL
    found, free, state = 0, start, np.uint64(0)
    for at in range(start, stop):
        state = state * ROLL + np.uint64(data[at])
        begin = at - size + 1
        if begin > start:
            state -= np.uint64(data[begin - 1]) * power
        if state == wanted and begin >= free and stands_joined(data, begin, spans, place, n):
            found += 1
            free = at + 1
    return found


@njit(cache=True, nogil=True, _nrt=False)
def stands_joined(data: Any, at: Any, spans: Any, place: Any, n: Any) -> Any:
    """Whether n words joined by single blanks stand at data[at:], which is long enough."""
    for k in range(place, place + n):
        if k > place:
            if data[at] != 0x20:
                return False
            at += 1
        for byte in range(np.int64(spans[0, k]), np.int64(spans[1, k])):
            if data[at] != data[byte]:
                return False
            at += 1
    return True


@njit(cache=True, nogil=True, _nrt=False)
def later_chars(n: Any, active: Any, chars_to: Any, scratch: Any) -> Any:
    """NeMo: characters and blanks of the second and later copies of n-grams, each once."""
    _, _, _, first, places, ids = scratch
    total, free = np.int64(0), np.int64(0)
    for k in range(active):
        at = np.int64(places[k])
        if first[ids[k]] == at:
            continue
        begin = max(at, free)
        total += np.int64(chars_to[at + n]) - np.int64(chars_to[begin]) + min(at + n - begin, n - 1)
        free = at + n
    return total


@njit(cache=True, nogil=True, _nrt=False)
def gram_chars(n: Any, words: Any, chars_to: Any) -> Any:
    """Characters of all n-grams together."""
    total = np.int64(0)
    for at in range(words - n + 1):
        total += np.int64(chars_to[at + n]) - np.int64(chars_to[at])
    return total


@njit(cache=True, nogil=True, _nrt=False)
def repeated_gram_chars(n: Any, active: Any, chars_to: Any, scratch: Any) -> Any:
    """Characters of the n-grams that occur more than once, every copy, overlaps counted again."""
    places, total = scratch[4], np.int64(0)
    for k in range(active):
        total += np.int64(chars_to[places[k] + n]) - np.int64(chars_to[places[k]])
    return total


@njit(cache=True, nogil=True, _nrt=False)
def repetition_shares(data: Any, start: Any, stop: Any, found: Any, scratch: Any, dialect: Any, out: Any) -> Any:
    """Number of distinct words; fills the nine n-gram shares. `found` is (words, hashes, chars_to, chars, spans)."""
    words, hashes, chars_to, chars, spans = found
    unique, active = intern_words(words, hashes, scratch)
    for n in range(2, LARGEST + 1):
        distinct, active = climb(active, scratch)
        part, whole = np.int64(0), chars
        if words < n:
            part = chars if dialect == NEMO else np.int64(0)
        elif n - 2 < TOP_SIZES:
            place, times = top_place(distinct, scratch)
            part = (np.int64(chars_to[place + n]) - np.int64(chars_to[place])) * times
            if dialect == NEMO:
                part = np.int64(chars_to[place + n]) - np.int64(chars_to[place]) + n - 1
                part *= joined_copies(data, start, stop, spans, place, n)
        elif dialect == NEMO:
            part = later_chars(n, active, chars_to, scratch)
        elif active:
            part = repeated_gram_chars(n, active, chars_to, scratch)
        if dialect == DOLMA:
            top = n - 2 < TOP_SIZES
            whole = np.int64(chars_to[words]) if top or part == 0 else gram_chars(n, words, chars_to)
        out[n - 2] = np.float64(part) / np.float64(whole) if whole else 0.0
    return unique


@njit(cache=True, nogil=True, _nrt=False)
def piece_shares(n: Any, word_chars: Any, dialect: Any, out: Any) -> Any:
    """Fill the four line and paragraph shares from the counters of `measure_pieces`."""
    line_chars = word_chars if dialect == DOLMA else n[LINE_CHARS]
    out[0] = np.float64(n[LINE_COPIES]) / np.float64(n[SEGMENTS]) if n[SEGMENTS] else 0.0
    out[1] = np.float64(n[LINE_COPY_CHARS]) / np.float64(line_chars) if line_chars else 0.0
    out[2] = np.float64(n[PARAGRAPH_COPIES]) / np.float64(n[PARAGRAPHS]) if n[PARAGRAPHS] else 0.0
    out[3] = np.float64(n[PARAGRAPH_COPY_CHARS]) / np.float64(n[PARAGRAPH_CHARS]) if n[PARAGRAPH_CHARS] else 0.0


assert TOP_SIZES + DUP_SIZES == LARGEST - 1
