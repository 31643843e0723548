"""Kernel of the line pass: lines between line feeds and paragraphs, their copies and lengths, in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.words.hashing_kernels import byte_at
from winnow.pipeline.measure.signals_kernels_bytes import decode, decode_last, hash_bytes
from winnow.pipeline.measure.signals_kernels_ngrams import DCLM, intern, open_slots
from winnow.pipeline.measure.signals_kernels_unicode import SPACE, TERMINAL
from winnow.pipeline.measure.signals_kernels_words import FEEDS, FIRST_WORD, LAST_END, WORDS

# Counters of one document, i64[NUM_LINE_COUNTERS].
(
    SEGMENTS,  # lines as the dialect's repetition rule counts them; four counters in `note_piece`'s order
    LINE_COPIES,
    LINE_COPY_CHARS,
    LINE_CHARS,
    PARAGRAPHS,
    PARAGRAPH_COPIES,
    PARAGRAPH_COPY_CHARS,
    PARAGRAPH_CHARS,
    FILLED,  # lines with a word in them
    FILLED_COPIES,
    FILLED_COPY_CHARS,
    PUNCTUATED,
    SHORT,
    LONG_1,
    LONG_2,
    LONG_3,
    PIECES,  # distinct pieces in the table
    NUM_LINE_COUNTERS,
) = range(18)

SHORT_LINE = 30
CONTINUATION = np.uint8(0xC0)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def count_chars(data: Any, start: Any, stop: Any, ascii_only: Any) -> Any:
    """Characters in data[start:stop]."""
    if ascii_only:
        return stop - start
    found = 0
    for at in range(start, stop):
        found += byte_at(data, at) & CONTINUATION != 0x80
    return found


@njit(cache=True, nogil=True, _nrt=False)
def trim(data: Any, start: Any, stop: Any, flags: Any) -> Any:
    """(start, stop) of data[start:stop] without white space at its ends."""
    while start < stop:
        point, size = decode(data, start, stop)
        if flags[point] & SPACE == 0:
            break
        start += size
    while stop > start and flags[decode_last(data, start, stop)] & SPACE:
        stop -= 1
        while byte_at(data, stop) & 0xC0 == 0x80:
            stop -= 1
    return start, stop


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def note_piece(data: Any, start: Any, stop: Any, chars: Any, table: Any, out: Any, field: Any) -> Any:
    """Earlier pieces that equal data[start:stop], 0 the first time; adds to the four counters from `field`
    on.

    `table` is (slots, keys, copies, shift, all_copies): all_copies also counts a repeated piece's first copy.
    """
    slots, keys, copies, shift, all_copies = table
    used = out[PIECES]
    ident = intern(slots, shift, keys, used, hash_bytes(data, start, stop))
    if ident == used:
        copies[used] = 0
        out[PIECES] += 1
    earlier = np.int64(copies[ident])
    copies[ident] += 1
    times = 0 if earlier == 0 else 2 if all_copies and earlier == 1 else 1
    out[field] += 1
    out[field + 1] += times
    out[field + 2] += times * chars
    out[field + 3] += chars
    return earlier


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def note_length(chars: Any, out: Any) -> Any:
    """Keep the three longest lines."""
    if chars > out[LONG_1]:
        out[LONG_3], out[LONG_2], out[LONG_1] = out[LONG_2], out[LONG_1], chars
    elif chars > out[LONG_2]:
        out[LONG_3], out[LONG_2] = out[LONG_2], chars
    elif chars > out[LONG_3]:
        out[LONG_3] = chars


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def note_filled(data: Any, start: Any, stop: Any, chars: Any, flags: Any, out: Any) -> Any:
    """Count a line with a word in it the way FineWeb does: as it stands, blanks at its end included."""
    out[FILLED] += 1
    out[SHORT] += chars <= SHORT_LINE
    last = byte_at(data, stop - 1)
    point = decode_last(data, start, stop) if last >= 0x80 else np.int64(last)
    out[PUNCTUATED] += flags[point] & TERMINAL != 0


@njit(cache=True, nogil=True, _nrt=False)
def lines(data: Any, start: Any, stop: Any, found: Any, table: Any, out: Any) -> Any:
    """Fill the line counters of data[start:stop]; a line is what stands between line feeds, white space and
    all.

    Runs of line feeds count once (datatrove splits at them), a document that opens or closes with one has an
    empty line there. `found` is (counts, feeds, words_at, ascii_only, flags).
    """
    counts, feeds, words_at, ascii_only, flags = found
    num_feeds = counts[FEEDS]
    first, words_before = start, np.int64(0)
    for k in range(num_feeds + 1):
        last = start + feeds[k] if k < num_feeds else stop
        words_here = np.int64(words_at[k]) if k < num_feeds else counts[WORDS]
        if last > first:
            chars = count_chars(data, first, last, ascii_only)
            earlier = note_piece(data, first, last, chars, table, out, SEGMENTS)
            note_length(chars, out)
            if words_here > words_before:
                note_filled(data, first, last, chars, flags, out)
                if earlier:
                    out[FILLED_COPIES] += 1
                    out[FILLED_COPY_CHARS] += chars
        first, words_before = last + 1, words_here
    opens = num_feeds > 0 and byte_at(data, start) == 0x0A
    closes = num_feeds > 0 and byte_at(data, stop - 1) == 0x0A
    out[SEGMENTS] += opens + closes
    out[LINE_COPIES] += opens and closes


@njit(cache=True, nogil=True, _nrt=False)
def trimmed_lines(data: Any, start: Any, stop: Any, found: Any, table: Any, out: Any) -> Any:
    """Fill the line repetition counters with DCLM's lines: trimmed, empty ones left out."""
    counts, feeds, words_at, ascii_only, flags = found
    num_feeds = counts[FEEDS]
    first, words_before = start, np.int64(0)
    for k in range(num_feeds + 1):
        last = start + feeds[k] if k < num_feeds else stop
        words_here = np.int64(words_at[k]) if k < num_feeds else counts[WORDS]
        if words_here > words_before:
            left, right = trim(data, first, last, flags)
            note_piece(data, left, right, count_chars(data, left, right, ascii_only), table, out, SEGMENTS)
        first, words_before = last + 1, words_here


@njit(cache=True, nogil=True, _nrt=False)
def paragraphs(data: Any, start: Any, found: Any, table: Any, out: Any) -> Any:
    """Fill the paragraph counters: pieces of the trimmed document between two or more line feeds in a row.

    DCLM's paragraphs are trimmed once more, and those without a word are left out.
    """
    counts, feeds, _, ascii_only, flags = found
    all_copies = table[4]
    first, end = counts[FIRST_WORD], counts[LAST_END]
    num_feeds = counts[FEEDS]
    k = 0
    while first < end:
        while k < num_feeds and start + feeds[k] < first:
            k += 1
        while k + 1 < num_feeds and feeds[k + 1] != feeds[k] + 1:
            k += 1
        last = min(end, start + feeds[k]) if k + 1 < num_feeds else end
        left, right = trim(data, first, last, flags) if all_copies else (first, last)
        if right > left:
            note_piece(data, left, right, count_chars(data, left, right, ascii_only), table, out, PARAGRAPHS)
        first = last
        while first < end and byte_at(data, first) == 0x0A:
            first += 1


@njit(cache=True, nogil=True, _nrt=False)
def measure_lines(data: Any, start: Any, stop: Any, found: Any, scratch: Any, dialect: Any, out: Any) -> Any:
    """Fill all line counters of one document."""
    slots, keys, copies, _, _, _ = scratch
    entries = found[0][FEEDS] + 1
    out[:] = 0
    lines(data, start, stop, found, (slots, keys, copies, open_slots(slots, entries), False), out)
    if dialect == DCLM:
        out[SEGMENTS : SEGMENTS + 4] = 0
        out[PIECES] = 0
        trimmed_lines(data, start, stop, found, (slots, keys, copies, open_slots(slots, entries), True), out)
    out[PIECES] = 0
    table = (slots, keys, copies, open_slots(slots, entries), dialect == DCLM)
    paragraphs(data, start, found, table, out)
