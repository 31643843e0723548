"""Driver of all counts at once: the usual columns, those of other projects (`MORE`), other dialects, other words.

It is compiled and called only where a recipe asks for more than the usual columns, so that pass stays what it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.pipeline.measure import signals_kernels_breaks as br
from winnow.pipeline.measure import signals_kernels_code as code
from winnow.pipeline.measure import signals_kernels_dialects as dia
from winnow.pipeline.measure import signals_kernels_lines as ln
from winnow.pipeline.measure import signals_kernels_marks as mk
from winnow.pipeline.measure import signals_kernels_texts as tx
from winnow.pipeline.measure import signals_kernels_words as wd
from winnow.pipeline.measure.signals_kernels import (
    TABLES,
    put_ints,
    put_repetition,
    put_shares,
    ratio,
)
from winnow.pipeline.measure.signals_kernels_bytes import decode, first_bytes
from winnow.pipeline.measure.signals_kernels_ngrams import DCLM, DUP_SIZES, LARGEST, TOP_SIZES, intern_words, repetition
from winnow.pipeline.measure.signals_kernels_unicode import ALPHA, PUNCT

_MORE = (
    "stop_word_total mean_raw_word_length alphabetic_share alphanumeric_share special_char_share max_line_length "
    "nemo_non_alphanumeric_share nemo_whitespace_share nemo_bracket_share nemo_url_share nemo_symbol_word_share "
    "nemo_boilerplate_share nemo_bullet_line_share nemo_unmarked_line_share nemo_ellipsis_line_share "
    "dclm_word_count dclm_stop_word_total dclm_symbol_ratio dclm_bullet_line_share dclm_ellipsis_line_share "
    "dolma_median_word_length dolma_symbol_word_share dolma_bullet_line_share dolma_ellipsis_line_share "
    "mean_line_length has_xml_start comment_share html_visible_share html_visible_chars "
    "rpv2_curly_share rpv2_symbol_ratio rpv2_ellipsis_line_share rpv2_upper_word_share rpv2_no_alpha_word_share "
    "rpv2_sentence_count rpv2_word_count rpv2_mean_word_length rpv2_unique_word_share rpv2_unigram_entropy "
    "rpv2_lorem_ipsum_share "
    "madlad_sentence_count madlad_list_case_share madlad_odd_length_share madlad_technical_share "
    "madlad_cursed_share madlad_questionable_share "
    "word_10gram_repetition char_10gram_repetition"
)
MORE = tuple(_MORE.split())

# What is measured, as bits; a group of columns needs some of them.
MARKS, DCLM_WORDS, CODE, RPV2, MADLAD, JUICER = (1 << bit for bit in range(6))

NEEDED = {
    "nemo": MARKS,
    "dclm": MARKS | DCLM_WORDS,
    "dolma": MARKS,
    "code": MARKS | CODE,
    "redpajama_v2": MARKS | RPV2,
    "madlad": MADLAD,
    "data_juicer": MARKS | JUICER,
}

MORE_TABLES = types.Tuple(
    (
        types.Array(types.uint8, 1, "C", readonly=True),
        types.Array(types.uint8, 1, "C"),
        types.Array(types.int32, 1, "C"),
        types.Array(types.uint8, 1, "C"),
        types.Array(types.uint8, 1, "C", readonly=True),
        types.Array(types.int64, 2, "C"),
        types.Array(types.uint8, 1, "C"),
    )
)
SIGNATURE = types.void(
    types.Array(types.int64, 1, "C", readonly=True),
    types.Array(types.uint8, 1, "C", readonly=True),
    types.Array(types.boolean, 1, "C", readonly=True),
    TABLES,
    MORE_TABLES,
    types.UniTuple(types.int64, 3),
    types.Tuple(
        (types.Array(types.int32, 2, "C"), types.Array(types.float64, 2, "C"), types.Array(types.float64, 2, "C"))
    ),
)


def more_tables() -> tuple[Any, ...]:
    """(word boundaries, ASCII classes, lower case, sizes when decomposed, MADLAD's substrings, their ends, starts)."""
    return (br.breaks(), mk.classes(), tx.lower_case(), tx.decomposed_sizes(), *tx.cursed_table())


@njit(cache=True, nogil=True, _nrt=False)
def recount_words(data: Any, pieces: Any, words: Any, tables_of: Any, counts: Any) -> Any:
    """Put the counts of `words` pieces in place of those of the runs between white space."""
    starts, ends, _, chars_to = pieces
    flags, _, listed, _ = tables_of
    for field in (wd.PLAIN_WORDS, wd.PLAIN_CHARS, wd.ALPHA_WORDS, wd.LONGEST):
        counts[field] = 0
    for field in (wd.STOP_MASK, wd.STOP_HITS, wd.COMMON_MASK, wd.COMMON_HITS):
        counts[field] = 0
    counts[wd.WORDS] = words
    for k in range(words):
        at, stop = np.int64(starts[k]), np.int64(ends[k])
        chars, size = np.int64(chars_to[k + 1]) - np.int64(chars_to[k]), stop - at
        if size <= 8:
            wd.note_stop_word(first_bytes(data, at, size), size, listed, counts)
        plain, letter = False, False
        while at < stop and not (plain and letter):
            point, size = decode(data, at, stop)
            plain |= flags[point] & PUNCT == 0
            letter |= flags[point] & ALPHA != 0
            at += size
        counts[wd.PLAIN_WORDS] += plain
        counts[wd.PLAIN_CHARS] += chars if plain else 0
        counts[wd.ALPHA_WORDS] += letter
        counts[wd.LONGEST] = max(counts[wd.LONGEST], chars)


@njit(cache=True, nogil=True, _nrt=False)
def median_length(words: Any, chars_to: Any, longest: Any, room: Any) -> Any:
    """Median length of the words, the mean of the middle two of an even number; `room` is overwritten."""
    if words == 0:
        return 0.0
    room[: longest + 1] = 0
    for k in range(words):
        room[chars_to[k + 1] - chars_to[k]] += 1
    low, high, seen, length = np.int64(-1), np.int64(-1), np.int64(0), np.int64(0)
    while high < 0:
        seen += room[length]
        if low < 0 and seen >= (words + 1) // 2:
            low = length
        if seen >= words // 2 + 1:
            high = length
        length += 1
    return (low + high) / 2.0


@njit(cache=True, nogil=True, _nrt=False)
def put_marks(chars: Any, c: Any, n: Any, m: Any, lines: Any, dclm_words: Any, out: Any) -> Any:
    """Columns that need the characters, runs and lines alone (`MORE` up to Dolma's)."""
    words, filled = c[wd.WORDS], n[ln.FILLED]
    out[0] = c[wd.STOP_HITS]
    out[1] = ratio(chars - c[wd.SPACES], words)
    out[2], out[3], out[4] = ratio(m[mk.ALPHAS], chars), ratio(m[mk.ALNUMS], chars), ratio(m[mk.SPECIALS], chars)
    out[5] = m[mk.LONGEST_LINE]
    out[6] = ratio(chars - m[mk.NEMO_KEPT], chars)
    out[7], out[8] = ratio(m[mk.NEMO_BLANKS], chars), ratio(m[mk.NEMO_BRACKETS], chars)
    out[9], out[10] = ratio(m[mk.URL_CHARS], chars), ratio(m[mk.NEMO_SYMBOL_WORDS], words)
    out[11], out[12] = ratio(m[mk.BOILERPLATE], m[mk.NEMO_PARAGRAPHS]), ratio(m[mk.NEMO_BULLETS], filled)
    out[13], out[14] = ratio(m[mk.NO_END_MARK], filled), ratio(m[mk.NEMO_ELLIPSES], filled)
    out[15], out[16] = dclm_words, m[mk.FOLDED_STOP_WORDS]
    out[17] = ratio(c[wd.HASHES] + c[wd.ELLIPSES] + m[mk.SPACED_DOTS], words)
    out[18], out[19] = ratio(m[mk.DCLM_BULLETS], filled), ratio(m[mk.DCLM_ELLIPSES], filled)
    out[21] = ratio(m[mk.DOLMA_SYMBOL_WORDS], words)
    out[22], out[23] = ratio(m[mk.DOLMA_BULLETS], lines), ratio(m[mk.DOLMA_ELLIPSES], lines)


@njit(cache=True, nogil=True, _nrt=False)
def measure_marks(data: Any, start: Any, stop: Any, doc: Any, more: Any, histogram: Any, m: Any) -> Any:
    """Fill the marks of a document; `doc` is (counts, feeds, words_at, spans, tables, ascii_only)."""
    c, feeds, words_at, spans, tables_of, ascii_only = doc
    m[:] = 0
    mk.note_bytes(data, start, stop, (tables_of[0], more[0], more[1], histogram), m)
    some = (histogram[0x23] > 0, c[wd.ELLIPSES] > 0, histogram[0x3A] > 0)
    mk.note_runs(data, spans, c[wd.WORDS], tables_of[2], more[1], some, m)
    if histogram[0x2E] > 2:
        m[mk.SPACED_DOTS] = mk.spaced_dots(data, start, stop)
    mk.note_boilerplate(data, start, stop, (c, feeds, spans), c[wd.LOREM], m)
    mk.note_lines(data, start, stop, (c, feeds, words_at, spans), ascii_only, m)


@njit(cache=True, nogil=True, _nrt=False)
def measure_code(data: Any, start: Any, stop: Any, doc: Any, chars: Any, out: Any) -> Any:
    """Columns of source code; `doc` as of `measure_marks`."""
    c, spans = doc[0], doc[3]
    out[24] = ratio(chars - c[wd.FEEDS], c[wd.FEEDS] + 1)
    out[25] = code.starts_as_xml(data, start, stop)
    out[26] = ratio(code.comment_chars(data, start, stop, spans, c[wd.WORDS]), chars)
    visible = code.visible_chars(data, start, stop)
    out[27], out[28] = ratio(visible, chars), visible


@njit(cache=True, nogil=True, _nrt=False)
def measure_rpv2(data: Any, stop: Any, doc: Any, more: Any, room: Any, chars: Any, marks: Any, t: Any, out: Any) -> Any:
    """Columns of RedPajama-V2; `room` is (hashes, scratch), `marks` is (curly braces, dotted lines)."""
    c, spans, tables_of = doc[0], doc[3], doc[4]
    hashes, scratch = room
    t[:] = 0
    tx.note_raw_words(data, spans, c[wd.WORDS], tables_of[0], more[0], t)
    words = tx.normal_words(data, spans, c[wd.WORDS], more[2], more[3], hashes, t)
    raw, feeds = t[tx.RAW_WORDS], c[wd.FEEDS]
    ends_open = feeds == 0 or data[stop - 1] != 0x0A
    out[29] = ratio(marks[0], chars)
    out[30] = ratio(c[wd.HASHES] + c[wd.ELLIPSES], raw)
    out[31] = ratio(marks[1], feeds + (ends_open and chars > 0))
    out[32], out[33] = ratio(t[tx.CAPITAL_WORDS], raw), ratio(raw - t[tx.LETTERED_WORDS], raw)
    out[34], out[35] = t[tx.RAW_SENTENCES], words
    out[36] = ratio(t[tx.NORMAL_CHARS], words)
    out[38] = tx.entropy(words, hashes, scratch, t)
    out[37] = ratio(t[tx.NORMAL_UNIQUE], words)
    out[39] = ratio(t[tx.LOREM_WORDS], t[tx.NORMAL_CHARS] + max(words - 1, 0))


@njit(cache=True, nogil=True, _nrt=False)
def measure_sentences(data: Any, start: Any, stop: Any, doc: Any, more: Any, t: Any, out: Any) -> Any:
    """Columns of MADLAD-400."""
    c, feeds, words_at, spans, tables_of, _ = doc
    t[:] = 0
    tx.note_sentences(data, start, stop, (c, feeds, words_at, spans), (tables_of[0], more[4:7]), t)
    out[40] = t[tx.SENTENCES]
    for k in range(5):
        out[41 + k] = ratio(t[tx.CAPITALISED + k], t[tx.SENTENCES])


@njit(cache=True, nogil=True, _nrt=False)
def measure_juicer(
    data: Any, start: Any, stop: Any, doc: Any, more: Any, room: Any, chars: Any, t: Any, out: Any
) -> Any:
    """Columns of Data-Juicer's two repetition filters."""
    c, spans = doc[0], doc[3]
    hashes, scratch = room
    t[:] = 0
    words = tx.stripped_words(data, spans, c[wd.WORDS], more[2], more[0], hashes)
    tx.note_word_10grams(words, hashes, scratch, t)
    tx.note_char_10grams(data, start, stop, chars, scratch, t)
    out[46] = ratio(t[tx.REPEATED_10GRAMS], t[tx.ALL_10GRAMS])
    out[47] = ratio(t[tx.REPEATED_CHAR_10GRAMS], t[tx.ALL_CHAR_10GRAMS])


@njit(cache=True, nogil=True, _nrt=False)
def put_dialect(data: Any, start: Any, stop: Any, found: Any, grams: Any, room: Any, dialect: Any, out: Any) -> Any:
    """Number of distinct words; fills the repetition columns. `grams` is (words, hashes, chars_to, chars, spans) of
    the words that the columns are about, `room` is (scratch, line counters, top, duplicate).
    """
    scratch, n, top, duplicate = room
    words, hashes, chars_to, chars, _ = grams
    if dialect >= dia.DOLMA:
        dia.measure_pieces(data, start, stop, found, scratch, dialect, n)
        dia.piece_shares(n, np.int64(chars_to[words]), dialect, out)
        return dia.repetition_shares(data, start, stop, grams, scratch, dialect, out[4:])
    unique = repetition(words, hashes, chars_to, scratch, dialect, top, duplicate)
    put_repetition(chars, np.int64(chars_to[words]), n, top, duplicate, dialect, out)
    return unique


@njit(cache=True, nogil=True, _nrt=False)
def measure_groups(data: Any, start: Any, stop: Any, doc: Any, more: Any, room: Any, found: Any, out: Any) -> Any:
    """Fill the columns of `MORE` that are wanted; `found` is (wanted, line counters, characters, DCLM's words,
    chars_to), `room` is (scratch, spare hashes, marks, texts, histogram).
    """
    wanted, n, chars, cut, chars_to = found
    scratch, spare, m, t, histogram = room
    c = doc[0]
    if wanted & MARKS:
        measure_marks(data, start, stop, doc, more, histogram, m)
        put_marks(chars, c, n, m, c[wd.FEEDS] + (chars > 0), cut, out)
        out[20] = median_length(c[wd.WORDS], chars_to, c[wd.LONGEST], scratch[0])
    if wanted & CODE:
        measure_code(data, start, stop, doc, chars, out)
    if wanted & RPV2:
        measure_rpv2(data, stop, doc, more, (spare, scratch), chars, (m[mk.CURLIES], m[mk.DOTTED_LINES]), t, out)
    if wanted & MADLAD:
        measure_sentences(data, start, stop, doc, more, t, out)
    if wanted & JUICER:
        measure_juicer(data, start, stop, doc, more, (spare, scratch), chars, t, out)


@njit(cache=True, nogil=True)
def open_room(longest: Any) -> Any:
    """Scratch for documents of up to `longest` bytes: (scan's, pieces of words, repetition's, groups')."""
    most = longest + 2
    scan = (np.empty(most, np.uint64), np.empty(most + LARGEST, np.int32), np.empty(most, np.int32),
            np.empty(most, np.int32), np.empty((2, most), np.int64))  # fmt: skip
    pieces = (np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64),
              np.empty(most + LARGEST, np.int32))  # fmt: skip
    scratch = (np.empty(4 * (most + 8), np.int32), np.empty(most, np.uint64), np.empty(most, np.int32),
               np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32))  # fmt: skip
    lines = np.zeros(ln.NUM_LINE_COUNTERS, np.int64)
    grams = (scratch, lines, np.zeros(TOP_SIZES, np.int64), np.zeros(DUP_SIZES, np.int64))
    groups = (scratch, np.empty(most, np.uint64), np.zeros(mk.NUM_MARKS, np.int64),
              np.zeros(tx.NUM_TEXTS, np.int64), np.zeros(256, np.int64))  # fmt: skip
    return scan, pieces, grams, groups


@njit(cache=True, nogil=True, _nrt=False)
def measure_one(data: Any, start: Any, stop: Any, all_tables: Any, how: Any, room: Any, c: Any, outs: Any) -> Any:
    """Fill one row of each of `outs` for the document data[start:stop]."""
    (tables_of, more), (dialect, unicode_words, wanted), (ints, shares, others) = all_tables, how, outs
    scan, pieces, grams_room, groups_room = room
    hashes, chars_to, feeds, words_at, spans = scan
    n = grams_room[1]
    wd.scan(data, start, stop, tables_of, c, hashes, chars_to, feeds, words_at, spans)
    runs = c[wd.WORDS]
    chars = np.int64(chars_to[runs]) + c[wd.SPACES]
    ascii_only = chars == stop - start
    found = (c, feeds, words_at, ascii_only, tables_of[0])
    ln.measure_lines(data, start, stop, found, grams_room[0], dialect, n)
    cut = 0
    if unicode_words or dialect == DCLM or wanted & DCLM_WORDS:
        cut = br.cut_words(data, spans, runs, more[0], not unicode_words, pieces)
    doc = (c, feeds, words_at, spans, tables_of, ascii_only)
    measure_groups(data, start, stop, doc, more, groups_room, (wanted, n, chars, cut, chars_to), others)
    grams = (runs, hashes, chars_to, chars, spans)
    if unicode_words:
        recount_words(data, pieces, cut, tables_of, c)
    if unicode_words or dialect == DCLM:
        grams = (np.int64(cut), pieces[2], pieces[3], chars, spans)
    put_ints(stop - start, chars, c, n, ints)
    unique = put_dialect(data, start, stop, found, grams, grams_room, dialect, shares[18:])
    if dialect == DCLM:
        unique, _ = intern_words(runs, hashes, grams_room[0])
    put_shares(chars, unique, c, n, shares)


@njit(SIGNATURE, cache=True, nogil=True)
def measure_all(offsets: Any, data: Any, valid: Any, tables_of: Any, more: Any, how: Any, outs: Any) -> Any:
    """Fill (ints i32[rows, INTS], shares f64[rows, SHARES], more f64[rows, MORE]) for the documents of one batch.

    `how` is (dialect, whether words are cut by Unicode's rules, what is measured). Rows that are not `valid` stay
    as they are, and so do columns of `MORE` that nothing measured. Cost: linear in bytes; scratch is about 90 bytes
    per byte of the longest document (pages that its words and lines do not reach are never touched).
    """
    longest = np.int64(0)
    for row in range(valid.size):
        longest = max(longest, offsets[row + 1] - offsets[row])
    room = open_room(longest)
    c = np.zeros(wd.NUM_COUNTERS, np.int64)
    for row in range(valid.size):
        if valid[row]:
            of_row = (outs[0][row], outs[1][row], outs[2][row])
            measure_one(data, offsets[row], offsets[row + 1], (tables_of, more), how, room, c, of_row)
