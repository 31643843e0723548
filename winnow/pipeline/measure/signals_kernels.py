"""Driver of the `signals` kernels: documents in, one row of integers and one row of shares out.

Counts are integers; a share is one f64 division at the end (0.0 where the denominator is 0), so every bit is
the same on every machine, whatever vector units it has.

numba's cache watches the file of the compiled function alone: whoever edits one of the kernel modules removes
`__pycache__/signals_kernels*.nb?` of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types

from winnow.core.quick_start import quick_numba
from winnow.pipeline.measure import signals_kernels_lines as ln
from winnow.pipeline.measure import signals_kernels_words as wd
from winnow.pipeline.measure.signals_kernels_ngrams import DCLM, DUP_SIZES, LARGEST, TOP_SIZES, repetition
from winnow.pipeline.measure.signals_kernels_unicode import flags

quick_numba()

_INTS = (
    "byte_count char_count word_count plain_word_count longest_word stop_word_count common_word_count "
    "line_count nonblank_line_count sentence_count terminal_line_count javascript_line_count "
    "policy_line_count c4_line_count c4_sentence_count third_longest_line has_curly has_lorem_ipsum"
)
INTS = tuple(_INTS.split())
_SHARES = (
    "mean_word_length hash_word_ratio ellipsis_word_ratio bullet_line_share ellipsis_line_share "
    "alpha_word_share stop_word_share common_word_share unique_word_share unique_line_share "
    "words_per_line digit_share upper_share whitespace_share line_punct_ratio short_line_ratio "
    "char_dup_ratio list_ratio dup_line_share dup_line_char_share dup_paragraph_share "
    "dup_paragraph_char_share top_2gram_char_share top_3gram_char_share top_4gram_char_share "
    "dup_5gram_char_share dup_6gram_char_share dup_7gram_char_share dup_8gram_char_share "
    "dup_9gram_char_share dup_10gram_char_share"
)
SHARES = tuple(_SHARES.split())

GOPHER_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_COMMON_WORDS = "the of and to a in is that it for was on as with be by this are or not"
COMMON_WORDS = tuple(_COMMON_WORDS.split())  # twenty frequent English words
_ABBREVIATIONS = "mr. mrs. ms. dr. prof. st. jr. sr. vs. etc. e.g. i.e. cf. fig. no. inc. ltd. co. u.s. al."
ABBREVIATIONS = tuple(_ABBREVIATIONS.split())


def tail_table() -> npt.NDArray[np.uint8]:
    """Bits per last byte of a word (first 256) and per last but one (second 256), u8[512].

    Bit 0: the word may close a sentence. Bits 1-4: a word ending in m, s, y or e may open a listed phrase, if
    the byte before it fits: ms es, em, cy, ie se.
    """
    table = np.zeros(512, dtype=np.uint8)
    table[[ord(mark) for mark in ".?!\"')]}"]] = 1
    table[128:256] = 1
    for pair in ("ms", "es", "em", "cy", "ie", "se"):
        bit = 2 << "msye".index(pair[1])
        for case in (str.lower, str.upper):
            table[ord(case(pair[1]))] |= bit
            table[256 + ord(case(pair[0]))] |= bit
    return table


def word_table() -> npt.NDArray[np.uint64]:
    """Listed words by their hash slot, u64[256, 5]: folded key, size, exact key, Gopher bit, common bit."""
    table = np.zeros((256, 5), dtype=np.uint64)
    for word in sorted({*GOPHER_STOP_WORDS, *COMMON_WORDS}):
        key = int.from_bytes(word.encode(), "little")
        folded = key | int(wd.FOLD)
        slot = (folded * int(wd.K_LISTED) & (1 << 64) - 1) >> 56
        assert table[slot, 1] == 0, f"two listed words share slot {slot}; {word!r} is the second"
        stop = 1 << GOPHER_STOP_WORDS.index(word) if word in GOPHER_STOP_WORDS else 0
        common = 1 << COMMON_WORDS.index(word) if word in COMMON_WORDS else 0
        table[slot] = (folded, len(word), key, stop, common)
    return table


def tables() -> tuple[npt.NDArray[Any], ...]:
    """(code points u8[0x110000], tails u8[512], words u64[256, 5], abbreviations u64[n])."""
    short = np.array([int.from_bytes(word.encode(), "little") for word in ABBREVIATIONS], dtype=np.uint64)
    return flags(), tail_table(), word_table(), short


@njit(cache=True, nogil=True, _nrt=False)
def ratio(part: Any, whole: Any) -> Any:
    """Part / whole as f64; 0.0 of nothing."""
    return np.float64(part) / np.float64(whole) if whole != 0 else 0.0


@njit(cache=True, nogil=True, _nrt=False)
def bits_set(mask: Any) -> Any:
    """Number of one bits."""
    found = 0
    while mask:
        mask &= mask - 1
        found += 1
    return found


@njit(cache=True, nogil=True, _nrt=False)
def put_ints(size: Any, chars: Any, c: Any, n: Any, out: Any) -> Any:
    """One row of `INTS`."""
    out[0], out[1], out[2], out[3] = size, chars, c[wd.WORDS], c[wd.PLAIN_WORDS]
    out[4], out[5], out[6] = c[wd.LONGEST], bits_set(c[wd.STOP_MASK]), bits_set(c[wd.COMMON_MASK])
    out[7], out[8], out[9] = c[wd.LINES], n[ln.FILLED], c[wd.SENTENCES]
    out[10], out[11], out[12] = c[wd.MARKED_LINES], c[wd.JAVASCRIPT_LINES], c[wd.POLICY_LINES]
    out[13], out[14], out[15] = c[wd.C4_LINES], c[wd.C4_SENTENCES], n[ln.LONG_3]
    out[16], out[17] = c[wd.CURLY], c[wd.LOREM]


@njit(cache=True, nogil=True, _nrt=False)
def put_shares(chars: Any, unique: Any, c: Any, n: Any, out: Any) -> Any:
    """The first 18 of one row of `SHARES`: words, lines, FineWeb."""
    words, text_lines, filled = c[wd.WORDS], c[wd.LINES], n[ln.FILLED]
    out[0] = ratio(c[wd.PLAIN_CHARS], c[wd.PLAIN_WORDS])
    out[1] = ratio(c[wd.HASHES], words)
    out[2] = ratio(c[wd.ELLIPSES], words)
    out[3] = ratio(c[wd.BULLET_LINES], text_lines)
    out[4] = ratio(c[wd.ELLIPSIS_LINES], text_lines)
    out[5] = ratio(c[wd.ALPHA_WORDS], words)
    out[6] = ratio(c[wd.STOP_HITS], words)
    out[7] = ratio(c[wd.COMMON_HITS], words)
    out[8] = ratio(unique, words)
    out[9] = ratio(filled - n[ln.FILLED_COPIES], filled)
    out[10] = ratio(words, filled)
    out[11] = ratio(c[wd.DIGITS], chars)
    out[12] = ratio(c[wd.UPPERS], chars)
    out[13] = ratio(c[wd.SPACES], chars)
    out[14] = ratio(n[ln.PUNCTUATED], filled)
    out[15] = ratio(n[ln.SHORT], filled)
    out[16] = ratio(n[ln.FILLED_COPY_CHARS], chars - c[wd.FEEDS])
    out[17] = ratio(c[wd.FEEDS], words)


@njit(cache=True, nogil=True, _nrt=False)
def put_repetition(chars: Any, word_chars: Any, n: Any, top: Any, duplicate: Any, dialect: Any, out: Any) -> Any:
    """The last 13 of one row of `SHARES`: what of the document repeats, in the dialect's terms."""
    line_chars, paragraph_chars, gram_chars = chars, chars, chars
    if dialect == DCLM:
        line_chars, paragraph_chars, gram_chars = n[ln.LINE_CHARS], n[ln.PARAGRAPH_CHARS], word_chars
    out[0] = ratio(n[ln.LINE_COPIES], n[ln.SEGMENTS])
    out[1] = ratio(n[ln.LINE_COPY_CHARS], line_chars)
    out[2] = ratio(n[ln.PARAGRAPH_COPIES], n[ln.PARAGRAPHS])
    out[3] = ratio(n[ln.PARAGRAPH_COPY_CHARS], paragraph_chars)
    for k in range(TOP_SIZES):
        out[4 + k] = ratio(top[k], gram_chars)
    for k in range(DUP_SIZES):
        out[4 + TOP_SIZES + k] = ratio(duplicate[k], gram_chars)


U8 = types.Array(types.uint8, 1, "C", readonly=True)
I64 = types.Array(types.int64, 1, "C", readonly=True)
U64 = types.Array(types.uint64, 1, "C", readonly=True)
WORDS_TABLE = types.Array(types.uint64, 2, "C", readonly=True)
TABLES = types.Tuple((U8, U8, WORDS_TABLE, U64))
SIGNATURE = types.void(
    I64,
    U8,
    types.Array(types.boolean, 1, "C", readonly=True),
    TABLES,
    types.int64,
    types.int32[:, ::1],
    types.float64[:, ::1],
)


@njit(SIGNATURE, cache=True, nogil=True)
def measure(offsets: Any, data: Any, valid: Any, tables: Any, dialect: Any, ints: Any, shares: Any) -> Any:
    """Fill ints i32[rows, len(INTS)] and shares f64[rows, len(SHARES)] for the documents of one batch.

    Rows that are not `valid` stay as they are. Cost: linear in bytes; scratch is about 50 bytes per word of
    the longest document (pages of the rest are never touched).
    """
    longest = np.int64(0)
    for row in range(valid.size):
        longest = max(longest, offsets[row + 1] - offsets[row])
    most_words = longest // 2 + 2
    hashes, chars_to = np.empty(most_words, np.uint64), np.empty(most_words + LARGEST, np.int32)
    feeds, words_at = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    slots = np.empty(4 * (longest + 8), np.int32)
    keys, copies = np.empty(longest + 2, np.uint64), np.empty(longest + 2, np.int32)
    first, places, ids = (
        np.empty(most_words, np.int32),
        np.empty(most_words, np.int32),
        np.empty(most_words, np.int32),
    )
    scratch = (slots, keys, copies, first, places, ids)
    c, n = np.zeros(wd.NUM_COUNTERS, np.int64), np.zeros(ln.NUM_LINE_COUNTERS, np.int64)
    top, duplicate = np.zeros(TOP_SIZES, np.int64), np.zeros(DUP_SIZES, np.int64)
    no_spans = np.empty((2, 0), np.int64)
    for row in range(valid.size):
        if not valid[row]:
            continue
        start, stop = offsets[row], offsets[row + 1]
        wd.scan(data, start, stop, tables, c, hashes, chars_to, feeds, words_at, no_spans)
        words = c[wd.WORDS]
        chars = np.int64(chars_to[words]) + c[wd.SPACES]
        found = (c, feeds, words_at, chars == stop - start, tables[0])
        ln.measure_lines(data, start, stop, found, scratch, dialect, n)
        unique = repetition(words, hashes, chars_to, scratch, dialect, top, duplicate)
        put_ints(stop - start, chars, c, n, ints[row])
        put_shares(chars, unique, c, n, shares[row])
        put_repetition(chars, np.int64(chars_to[words]), n, top, duplicate, dialect, shares[row, 18:])
