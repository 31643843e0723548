"""Which entries of a dictionary a text holds, as whole tokens: exact, and no slower for a larger dictionary.

A text is a sequence of tokens, and an entry is found where its tokens follow each other. White space (ASCII,
U+00A0, U+3000) separates. The characters of `punctuation`, and punctuation beyond ASCII, are tokens of their own;
so is every character of a script written without spaces (Thai to Tibetan, Myanmar, Khmer, kana, Han), whose
entries are therefore found inside a text without blanks. Everything else between separators is one token. Letter
case counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.words.text import utf8_buffers

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

PUNCTUATION = ",.;:?!`"
_BLANKS = "\t\n\v\f\r "


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Of row r: `ids[starts[r]:starts[r + 1]]`, ascending and different, and how often each occurs in `hits`."""

    starts: Longs
    ids: Ints
    hits: Ints


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """A dictionary ready to be matched: tables of tokens and a trie of their sequences."""

    num_ids: int
    num_tokens: int
    num_nodes: int
    classes: Bytes
    words: Bytes
    slots: Ints
    hashes: npt.NDArray[np.uint64]
    places: Longs
    first: Ints
    keys: npt.NDArray[np.uint64]
    children: Ints
    entry: Ints

    def match(self, texts: pa.Array, *, head: int = 0) -> Matches:
        """The entries of every text (of its first `head` tokens where that is above 0); none for a null.

        Cost: one pass over the bytes and two look-ups per token, whatever the number of entries.
        """
        from winnow.pipeline.measure import concept_matcher_kernels as kernels

        offsets, data = utf8_buffers(texts.fill_null("") if texts.null_count else texts)
        starts, packed = kernels.match_rows(
            np.require(offsets, dtype=np.int64, requirements=["C", "A"]), data, head, self.num_ids, self.classes,
            self.words, self.slots, self.hashes, self.places, self.first, self.keys, self.children, self.entry,
        )  # fmt: skip
        return Matches(starts=starts, ids=(packed >> 32).astype(np.int32), hits=(packed & 0x7FFFFFFF).astype(np.int32))


def build(entries: Sequence[str] | pa.Array, ids: Longs | None = None, *, punctuation: str = PUNCTUATION) -> Matcher:
    """The matcher of these entries; their ids default to their places, and several may share one.

    An entry with the tokens of an earlier one is the earlier one; one without a token is never found.
    Raises: DataError where no entry has a token. ConfigError for punctuation that is not ASCII or blank.
    Cost: about 1 us and 100 bytes per entry.
    """
    from winnow.pipeline.measure import concept_matcher_kernels as kernels

    array = entries if isinstance(entries, pa.Array) else pa.array(entries, pa.large_string())
    ids = np.arange(len(array), dtype=np.int64) if ids is None else ids
    offsets, data = utf8_buffers(array)
    offsets, data = np.array(offsets, dtype=np.int64), np.array(data, dtype=np.uint8)
    classes = classes_of(punctuation)
    total = kernels.count_tokens(offsets, data, classes)
    if not total:
        raise DataError("no concept in the dictionary", hint="one entry per line")
    slots, hashes, places = _tables(total)
    num = kernels.number_tokens(offsets, data, classes, slots, hashes, places)
    if _power(num) < len(slots):  # the table by what it holds: fewer cache misses
        slots, hashes, places = _tables(num)
        kernels.number_tokens(offsets, data, classes, slots, hashes, places)
    first = np.full(num, -1, dtype=np.int32)
    keys, children = np.zeros(_power(total), dtype=np.uint64), np.zeros(_power(total), dtype=np.int32)
    entry = np.full(total, -1, dtype=np.int32)
    nodes = kernels.grow_trie(offsets, data, ids, classes, slots, hashes, places, first, keys, children, entry)
    return Matcher(
        num_ids=int(ids.max()) + 1, num_tokens=num, num_nodes=nodes, classes=classes, words=data, slots=slots,
        hashes=hashes, places=places, first=first, keys=keys, children=children, entry=entry[:nodes].copy(),
    )  # fmt: skip


def read_entries(paths: Sequence[Path]) -> tuple[list[str], Longs]:
    """(entries, ids i64): the id is the number of the line, from 0, through all files; a tab separates synonyms.

    Raises: DataError where a file is not UTF-8.
    """
    entries: list[str] = []
    ids: list[int] = []
    number = 0
    for path in paths:
        try:
            lines = path.read_bytes().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} is not UTF-8: {error}", where="files") from error
        for line in lines:
            names = line.split("\t")
            entries += names
            ids += [number] * len(names)
            number += 1
        number -= not lines[-1]  # what follows the last line's end is no line
    return entries, np.array(ids, dtype=np.int64)


def classes_of(punctuation: str) -> Bytes:
    """The class of every ASCII character, u8[128].

    Raises: ConfigError for punctuation that is not ASCII, or white space.
    """
    from winnow.pipeline.measure import concept_matcher_kernels as kernels

    if not punctuation.isascii() or set(punctuation) & set(_BLANKS):
        raise ConfigError(f"{punctuation!r} are not ASCII signs", where="punctuation")
    out = np.full(128, kernels.INSIDE, dtype=np.uint8)
    out[[ord(sign) for sign in _BLANKS]] = kernels.BLANK
    out[[ord(sign) for sign in punctuation]] = kernels.ALONE
    return out


def _tables(tokens: int) -> tuple[Ints, npt.NDArray[np.uint64], Longs]:
    """Empty (slots, hashes, places) for so many tokens."""
    size = _power(tokens)
    return (
        np.full(size, -1, dtype=np.int32), np.zeros(size, dtype=np.uint64), np.zeros((tokens, 2), dtype=np.int64)
    )  # fmt: skip


def _power(num: int) -> int:
    """A power of two, twice the number or more."""
    return 1 << max(3, (2 * num - 1).bit_length())
