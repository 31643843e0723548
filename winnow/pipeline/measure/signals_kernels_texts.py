"""Kernels of three other sets of counts: RedPajama-V2's words, MADLAD-400's sentences, Data-Juicer's repetition."""

from __future__ import annotations

import functools
import math
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from winnow.pipeline.measure import signals_kernels_words as wd
from winnow.pipeline.measure.signals_kernels_breaks import ALNUM, ATTACHED, CLASS
from winnow.pipeline.measure.signals_kernels_bytes import K2, decode, finish, mix
from winnow.pipeline.measure.signals_kernels_ngrams import LARGEST, climb, intern, intern_words, open_slots
from winnow.pipeline.measure.signals_kernels_unicode import LOWER, UPPER, flags

# Counters of one document, i64[NUM_TEXTS].
(
    RAW_WORDS,
    CAPITAL_WORDS,
    LETTERED_WORDS,
    RAW_SENTENCES,
    NORMAL_WORDS,
    NORMAL_CHARS,
    NORMAL_UNIQUE,
    LOREM_WORDS,
    SENTENCES,
    CAPITALISED,
    ODD_LENGTH,
    TECHNICAL,
    CURSED,
    QUESTIONABLE,
    REPEATED_10GRAMS,
    ALL_10GRAMS,
    REPEATED_CHAR_10GRAMS,
    ALL_CHAR_10GRAMS,
    NUM_TEXTS,
) = range(19)

LIST_WORDS = 12
SHORT_SENTENCE, LONG_SENTENCE = 20, 500
BASE = np.uint64(0x9E3779B97F4A7C15)
LOREM, IPSUM = (np.frombuffer(word, dtype=np.uint8) for word in (b"lorem", b"ipsum"))

# Substrings that stand in much of what MADLAD-400's auditors rejected (Kudugunta et al. 2023, data card).
_CURSED = (
    " №|���| nr.$|aute irure dolor | sunt in culpa qui |orem ipsum | quis nostrud | adipisicing | dolore eu "
    "| cupidatat |autem vel eum|wisi enim ad| sex | porn |黄色电影|mp3|ownload|Vol.| Ep.|Episode| г.$| кг.$"
    "| шт.|Develop|Facebook| crusher | xxx | ... ... ... ...| .... .... .... ...."
)
CURSED_SUBSTRINGS = (*_CURSED.split("|"), "|$")
SINGLE_IN_A_ROW = 8  # and a ninth word: letters spelled out one by one


@functools.cache
def lower_case() -> npt.NDArray[np.int32]:
    """Lower case of every code point that has one of its own, else itself, i32[0x110000]; Unicode 14.0."""
    table = np.arange(0x110000, dtype=np.int32)
    for point in np.flatnonzero(flags() & UPPER):
        small = chr(point).lower()
        table[point] = ord(small) if len(small) == 1 else point
    return table


@functools.cache
def decomposed_sizes() -> npt.NDArray[np.uint8]:
    """Characters of the canonical decomposition of every code point, u8[0x110000]."""
    table = np.ones(0x110000, dtype=np.uint8)
    for point in [*range(0xC0, 0x3400), *range(0xAC00, 0xD7A4), *range(0xF900, 0xFB50)]:
        table[point] = len(unicodedata.normalize("NFD", chr(point)))
    return table


@functools.cache
def cursed_table() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(bytes of all substrings, their ends and whether they close the line i64[n, 2], first two bytes u8[65536])."""
    joined, ends, pairs = b"", [], np.zeros(65536, dtype=np.uint8)
    for text in CURSED_SUBSTRINGS:
        raw = text.removesuffix("$").encode()
        joined += raw
        ends.append((len(joined), int(text.endswith("$"))))
        pairs[np.array([raw[0] << 8 | (raw[1] if len(raw) > 1 else byte) for byte in range(256)])] = 1
    return np.frombuffer(joined, dtype=np.uint8), np.array(ends, dtype=np.int64), pairs


@njit(cache=True, nogil=True, _nrt=False)
def note_raw_word(kinds: Any, texts: Any) -> Any:
    """Count one of NLTK's WordPunct words by what it has in it: 1 a capital, 2 a small letter, 4 A-Z or a-z."""
    texts[RAW_WORDS] += 1
    texts[CAPITAL_WORDS] += kinds & 3 == 1
    texts[LETTERED_WORDS] += kinds & 4 != 0


@njit(cache=True, nogil=True, _nrt=False)
def note_raw_words(data: Any, spans: Any, runs: Any, flags_of: Any, breaks: Any, texts: Any) -> Any:
    r"""Count RedPajama-V2's raw words (`\w+` or a run of other marks) and its sentences (by . ! ? alone)."""
    in_sentence = False
    for k in range(runs):
        at, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        inside, kinds = -1, 0
        while at < stop:
            point, size = np.int64(data[at]), 1
            if point >= 0x80:
                point, size = decode(data, at, stop)
            here = breaks[point] & ALNUM != 0 or point == 0x5F
            if inside >= 0 and here != (inside == 1):
                note_raw_word(kinds, texts)
                kinds = 0
            inside = 1 if here else 0
            flag = flags_of[point]
            kinds |= (flag & UPPER != 0) | 2 * (flag & LOWER != 0)
            kinds |= 4 * (0x61 <= point | 0x20 <= 0x7A and point < 0x80)
            in_sentence |= here
            if in_sentence and point in (0x2E, 0x21, 0x3F):
                texts[RAW_SENTENCES] += 1
                in_sentence = False
            at += size
        if inside >= 0:
            note_raw_word(kinds, texts)
    texts[RAW_SENTENCES] += in_sentence


@njit(cache=True, nogil=True, _nrt=False)
def is_ascii_mark(byte: Any) -> Any:
    """Whether the byte is one of the 32 ASCII punctuation marks."""
    return 0x21 <= byte <= 0x2F or 0x3A <= byte <= 0x40 or 0x5B <= byte <= 0x60 or 0x7B <= byte <= 0x7E


@njit(cache=True, nogil=True, _nrt=False)
def hash_word(word: Any, size: Any) -> Any:
    """Hash of the code points that `normal_words` would give the bytes `word`."""
    state = K2
    for k in range(size):
        state = mix(state, np.uint64(word[k]))
    return finish(state)


@njit(cache=True, nogil=True, _nrt=False)
def normal_words(data: Any, spans: Any, runs: Any, lower: Any, sizes: Any, hashes: Any, texts: Any) -> Any:
    """Fill the hashes of RedPajama-V2's normalised words: ASCII punctuation left out, lower case, NFD lengths."""
    lorem, ipsum = hash_word(LOREM, 5), hash_word(IPSUM, 5)
    found = 0
    for k in range(runs):
        at, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        state, chars = K2, 0
        while at < stop:
            point, size = np.int64(data[at]), 1
            if point >= 0x80:
                point, size = decode(data, at, stop)
            if not is_ascii_mark(point):
                point = np.int64(lower[point])
                state = mix(state, np.uint64(point))
                chars += sizes[point]
            at += size
        if chars:
            hashes[found] = finish(state)
            texts[LOREM_WORDS] += found > 0 and hashes[found] == ipsum and hashes[found - 1] == lorem
            texts[NORMAL_CHARS] += chars
            found += 1
    texts[NORMAL_WORDS] = found
    return found


@njit(cache=True, nogil=True, _nrt=False)
def entropy(words: Any, hashes: Any, scratch: Any, texts: Any) -> Any:
    """Entropy of the words in nats, rounded to eight decimals; leaves the number of different ones in `texts`."""
    if words == 0:
        return 0.0
    unique, _ = intern_words(words, hashes, scratch)
    texts[NORMAL_UNIQUE] = unique
    counts, total = scratch[2], 0.0
    for k in range(unique):
        share = np.float64(counts[k]) / np.float64(words)
        total -= share * math.log(share)
    return np.floor(total * 1e8 + 0.5) / 1e8


@njit(cache=True, nogil=True, _nrt=False)
def is_cursed(data: Any, first: Any, last: Any, table: Any) -> Any:
    """Whether a line (white space at its end left out) has one of MADLAD-400's substrings."""
    joined, ends, pairs = table
    for at in range(first, last):
        after = data[at + 1] if at + 1 < last else np.uint8(0)
        if pairs[np.int64(data[at]) << 8 | np.int64(after)] == 0:
            continue
        begin = 0
        for k in range(ends.shape[0]):
            size = ends[k, 0] - begin
            if at + size <= last and (ends[k, 1] == 0 or at + size == last):
                equal = 0
                while equal < size and data[at + equal] == joined[begin + equal]:
                    equal += 1
                if equal == size:
                    return True
            begin = ends[k, 0]
    return False


@njit(cache=True, nogil=True, _nrt=False)
def spelled_out(data: Any, spans: Any, word: Any, stop_word: Any, line: Any) -> Any:
    """Whether nine words follow each other by one blank, the first eight of one character."""
    single = 0
    for k in range(word, stop_word):
        start, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        blank = start > line and data[start - 1] == 0x20
        follows = blank and k > word and spans[1, k - 1] == start - 1
        if follows and single >= SINGLE_IN_A_ROW:
            return True
        if stop - start != decode(data, start, stop)[1]:
            single = 0
        elif follows and single > 0:
            single += 1
        else:
            single = 1 if blank else 0
    return False


@njit(cache=True, nogil=True, _nrt=False)
def note_sentence(data: Any, line: Any, spans: Any, word: Any, stop_word: Any, found: Any, texts: Any) -> Any:
    """Count a line with the words [word, stop_word) by what makes it questionable to MADLAD-400."""
    flags_of, table = found
    first, last = np.int64(spans[0, word]), np.int64(spans[1, stop_word - 1])
    chars, technical = 0, 0
    for at in range(first, last):
        byte = data[at]
        chars += byte & 0xC0 != 0x80
        technical += 0x30 <= byte <= 0x39 or byte in (0x7B, 0x7D, 0x2B, 0x2F, 0x28, 0x29, 0x3E)
    capitals, words = 0, stop_word - word
    if words >= LIST_WORDS:
        for k in range(word, stop_word):
            capitals += flags_of[decode(data, np.int64(spans[0, k]), last)[0]] & UPPER != 0
    listed = words >= LIST_WORDS and 2 * capitals > words
    odd = chars < SHORT_SENTENCE or chars > LONG_SENTENCE
    code = 5 * technical > chars
    cursed = is_cursed(data, line, last, table) or spelled_out(data, spans, word, stop_word, line)
    texts[SENTENCES] += 1
    texts[CAPITALISED] += listed
    texts[ODD_LENGTH] += odd
    texts[TECHNICAL] += code
    texts[CURSED] += cursed
    texts[QUESTIONABLE] += listed or odd or code or cursed


@njit(cache=True, nogil=True, _nrt=False)
def note_sentences(data: Any, start: Any, stop: Any, doc: Any, found: Any, texts: Any) -> Any:
    """Count the lines with a word in them as MADLAD-400's sentences; `doc` is (counts, feeds, words_at, spans)."""
    counts, feeds, words_at, spans = doc
    num_feeds = counts[wd.FEEDS]
    first, before = start, np.int64(0)
    for k in range(num_feeds + 1):
        last = start + feeds[k] if k < num_feeds else stop
        here = np.int64(words_at[k]) if k < num_feeds else counts[wd.WORDS]
        if here > before:
            note_sentence(data, first, spans, before, here, found, texts)
        first, before = last + 1, here


@njit(cache=True, nogil=True, _nrt=False)
def is_special(point: Any, breaks: Any) -> Any:
    """Whether a character is stripped from words: no letter, no mark on one, or an ASCII digit."""
    flag = breaks[point]
    return (flag & ALNUM == 0 and ATTACHED >> np.int64(flag & CLASS) & 1 == 0) or 0x30 <= point <= 0x39


@njit(cache=True, nogil=True, _nrt=False)
def stripped_words(data: Any, spans: Any, runs: Any, lower: Any, breaks: Any, hashes: Any) -> Any:
    """Number of runs that are left without special characters at their ends; fills their hashes in lower case."""
    found = 0
    for k in range(runs):
        at, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        state, kept, begun = K2, K2, False
        while at < stop:
            point, size = np.int64(data[at]), 1
            if point >= 0x80:
                point, size = decode(data, at, stop)
            special = is_special(point, breaks)
            begun |= not special
            if begun:
                state = mix(state, np.uint64(lower[point]))
                kept = kept if special else state
            at += size
        if begun:
            hashes[found] = finish(kept)
            found += 1
    return found


@njit(cache=True, nogil=True, _nrt=False)
def note_word_10grams(words: Any, hashes: Any, scratch: Any, texts: Any) -> Any:
    """Count the 10-grams of words, and those that occur more than once, every copy."""
    texts[ALL_10GRAMS] = max(words - LARGEST + 1, 0)
    if words < LARGEST:
        return
    _, active = intern_words(words, hashes, scratch)
    for _ in range(2, LARGEST + 1):
        _, active = climb(active, scratch)
    texts[REPEATED_10GRAMS] = active


@njit(cache=True, nogil=True, _nrt=False)
def note_char_10grams(data: Any, start: Any, stop: Any, chars: Any, scratch: Any, texts: Any) -> Any:
    """Count the 10-grams of characters, and the copies of the most frequent sqrt(distinct) ones that repeat."""
    slots, keys, counts, _, _, _ = scratch
    if chars < LARGEST:
        return
    power = np.uint64(1)
    for _ in range(LARGEST):
        power *= BASE
    shift = open_slots(slots, chars)
    state, used, seen = np.uint64(0), np.int64(0), 0
    at, tail = start, start
    while at < stop:
        point, size = decode(data, at, stop)
        state = state * BASE + np.uint64(point + 1)
        at += size
        seen += 1
        if seen > LARGEST:
            point, size = decode(data, tail, stop)
            state -= np.uint64(point + 1) * power
            tail += size
        if seen >= LARGEST:
            ident = intern(slots, shift, keys, used, finish(mix(K2, state)))
            if ident == used:
                counts[used] = 0
                used += 1
            counts[ident] += 1
    texts[ALL_CHAR_10GRAMS] = chars - LARGEST + 1
    texts[REPEATED_CHAR_10GRAMS] = most_frequent(used, counts, slots)


@njit(cache=True, nogil=True, _nrt=False)
def most_frequent(used: Any, counts: Any, room: Any) -> Any:
    """Sum of the largest floor(sqrt(used)) counts that are above one; `room` is overwritten."""
    most = np.int64(0)
    for k in range(used):
        most = max(most, np.int64(counts[k]))
    room[: most + 1] = 0
    for k in range(used):
        room[counts[k]] += 1
    left, total = np.int64(math.sqrt(np.float64(used))), np.int64(0)
    while most > 1 and left > 0:
        taken = min(left, np.int64(room[most]))
        total += taken * most
        left -= taken
        most -= 1
    return total
