"""Texts that others must not repeat, found in three ways: `decontaminate` and the overlap check of an ablation.

| an item of | is found by |
|---|---|
| `ngram` words (13) or more | any `ngram` words of it in a row, as in Brown et al. 2020 |
| `shortest` (5) to `ngram` - 1 words | all of it, word for word |
| `ngram` words or more, changed here and there | `near` (0.35) of the 5-grams of a passage of it, in one text |

Fewer words are too common to tell: such items are counted as unprotected, as are those without a word. Words are in
normal form (`normal_form_kernels`); of scripts written without spaces every character is one, so that Chinese and
Japanese items work alike. A passage is a whole item, or of a longer one than 60 words a piece of about 40, so that a
text may hold a near copy of any part. 5-grams of more than 32 passages say nothing about any and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.words.distinct import distinct as sorted_distinct
from winnow.core.words.hashing import ngram_hashes

Ints = npt.NDArray[np.int64]
Hashed = tuple[Ints, npt.NDArray[np.uint32]]

NGRAM, SHORTEST, NEAR = 13, 5, 0.35
GRAM = 5  # words of the n-grams that near copies have in common with an item
PASSAGE, MOST_PASSAGE = 40, 60  # words
MOST_OWNERS = 32
LEAST = 4  # 5-grams in common, however short the passage


@dataclass(frozen=True, kw_only=True)
class Protection:
    """How items are looked for: fields of the operators that do."""

    ngram: int = NGRAM  # words in a row that tell an item
    shortest: int = SHORTEST  # items of fewer words than this are not looked for, and counted
    near: float = NEAR  # share of a passage's 5-grams that makes a near copy; 0: near copies are not looked for

    def check(self) -> None:
        """Raise ConfigError where nothing could be found."""
        if self.ngram < 1:
            raise ConfigError(f"ngram is {self.ngram}, and must be at least 1", where="ngram")
        if not self.shortest >= 1:
            raise ConfigError(f"shortest is {self.shortest}, and must be at least 1", where="shortest")
        if not 0 <= self.near <= 1:
            raise ConfigError(f"near is {self.near}, not in [0, 1]", where="near", hint="0 looks for no near copies")

    @property
    def gram(self) -> int:
        """Words of the n-grams by which texts are first looked through: everything that is found has one."""
        return min(GRAM, self.ngram, self.shortest)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What texts repeat: per text the n-grams, and the items of all ways of finding them."""

    ngrams: npt.NDArray[np.int32]  # [rows]: runs of `ngram` words, and whole shorter items
    offsets: Ints  # [rows + 1]
    items: npt.NDArray[np.int32]  # ascending, distinct per row
    runs: npt.NDArray[np.int32]  # [rows]: runs of `ngram` words alone
    only_runs: npt.NDArray[np.bool_]  # [rows]: no whole shorter item and no near copy
    longest: npt.NDArray[
        np.int32
    ]  # [rows]: words in a row that lie in what was found; of near copies, in their 5-grams
    share: npt.NDArray[np.float64]  # [rows]: of a text's words that do, in [0, 1]


@dataclass(kw_only=True)
class Protected:
    """Items that are looked for in texts. Memory: 150 to 300 bytes per word of the items."""

    items: pl.Series
    protection: Protection
    words: Ints = field(init=False)  # per item

    def __post_init__(self) -> None:
        from winnow.core.words import ngram_kernels as kernels

        self._hashed = _hashed(self.items)
        self.words = np.diff(self._hashed[0])
        if not (self.words >= min(self.protection.shortest, self.protection.ngram)).any():
            least = min(self.protection.shortest, self.protection.ngram)
            raise DataError(f"no item has {least} words in a row, and nothing is protected", hint="lower `shortest`")
        wanted = np.flatnonzero(self.words >= self._least)
        grams = kernels.all_ngrams(*_rows(self._hashed, wanted), self.protection.gram)
        self._grams = kernels.build_table(sorted_distinct(grams))
        self._exact = list(self._tables())
        self._near = self._passages() if self.protection.near else None
        self._seen, self._met = np.zeros(len(self._grams) if self._near else 0, dtype=np.uint32), 0

    @property
    def _least(self) -> int:
        return min(self.protection.shortest, self.protection.ngram)

    def find(self, text: pa.Array) -> Found:
        """What of the items every text holds.

        Cost: one pass of hashing and a look-up per word; texts that share enough with an item are looked at closely.
        """
        from winnow.core.words import ngram_kernels as kernels

        hashed = ngram_hashes(text, 1)
        rows = len(text)
        hits, longest = kernels.longest_runs(*hashed, self.protection.gram, self._grams)
        counts, runs = np.zeros(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
        odd = np.zeros(rows, dtype=np.bool_)
        pairs = [np.zeros((0, 2), dtype=np.int64)]
        for n, table, owners in self._exact:
            close = np.flatnonzero(longest > n - self.protection.gram)  # n words in a row are so many grams in a row
            some = _rows(hashed, close)
            mine = kernels.count_members(*some, n, table)
            counts[close] += mine
            if n == self.protection.ngram:
                runs[close] += mine
            else:
                odd[close] |= mine > 0
            if mine.any():
                at, slots = kernels.member_slots(*some, n, table, int(mine.sum(dtype=np.int64)))
                pairs.append(np.stack((close[at], owners[slots]), axis=1))
        if self._near is not None:
            close = np.flatnonzero(hits >= LEAST)
            starts, owners, need, item = self._near
            if self._met + len(close) >= 2**32 - 1:
                self._seen[:], self._met = 0, 0
            some = _rows(hashed, close)
            at, passage = kernels.contained(
                *some, GRAM, self._grams, starts, owners, need, self._seen, np.int64(self._met)
            )
            self._met += len(close)
            odd[close[at]] = True
            pairs.append(np.stack((close[at], item[passage]), axis=1))
        distinct = np.unique(np.concatenate(pairs), axis=0)
        ends = np.searchsorted(distinct[:, 0], np.arange(rows + 1)).astype(np.int64)
        longest, share = self._extent(hashed, np.unique(distinct[:, 0]), odd)
        return Found(ngrams=counts, offsets=ends, items=distinct[:, 1].astype(np.int32), runs=runs, only_runs=~odd,
                     longest=longest, share=share)  # fmt: skip

    def _extent(
        self, hashed: Hashed, found: Ints, odd: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """(longest stretch of found words i32[rows], share of the words that are found f64[rows])."""
        from winnow.core.words import ngram_kernels as kernels

        words = np.diff(hashed[0])
        longest, share = np.zeros(len(words), dtype=np.int32), np.zeros(len(words))
        some = _rows(hashed, found)
        marks = np.zeros(len(some[1]), dtype=np.bool_)
        for n, table, _ in self._exact:
            kernels.mark_members(*some, n, table, marks)
        total, stretch = kernels.stretches(some[0], marks)
        longest[found], share[found] = stretch, total / np.maximum(words[found], 1)
        near = found[odd[found] & (stretch == 0)]  # found by 5-grams alone
        some = _rows(hashed, near)
        marks = np.zeros(len(some[1]), dtype=np.bool_)
        kernels.mark_members(*some, self.protection.gram, self._grams, marks)
        total, stretch = kernels.stretches(some[0], marks)
        longest[near], share[near] = stretch, total / np.maximum(words[near], 1)
        return longest, share

    def _tables(self) -> Any:
        """(n, hash table, item of every slot) for each n that some item is looked for by."""
        from winnow.core.words import ngram_kernels as kernels

        sizes = np.minimum(self.words, self.protection.ngram)
        for n in range(self._least, self.protection.ngram + 1):
            mine = np.flatnonzero(sizes == n)
            if not len(mine):
                continue
            hashes = kernels.all_ngrams(*_rows(self._hashed, mine), n)
            owner = np.repeat(mine, self.words[mine] - n + 1)
            distinct, first = np.unique(hashes, return_index=True)
            table = kernels.build_table(distinct)
            owners = np.full(len(table), -1, dtype=np.int64)
            owners[kernels.table_slots(distinct, table)] = owner[first]
            yield n, table, owners

    def _passages(self) -> tuple[npt.NDArray[np.int32], Ints, npt.NDArray[np.int32], Ints] | None:
        """(start of the owners of every slot, owners, 5-grams that a passage needs, item of every passage)."""
        from winnow.core.words import ngram_kernels as kernels

        long = np.flatnonzero(self.words >= max(self.protection.ngram, GRAM + LEAST))
        if not len(long) or self.protection.gram < GRAM:
            return None
        grams = self.words[long] - GRAM + 1
        pieces = np.where(self.words[long] <= MOST_PASSAGE, 1, np.maximum(self.words[long] // PASSAGE, 1))
        first = np.concatenate(([0], np.cumsum(pieces)))[:-1]
        place = np.arange(int(grams.sum())) - np.repeat(np.cumsum(grams) - grams, grams)
        passage = np.repeat(first, grams) + place * np.repeat(pieces, grams) // np.repeat(grams, grams)
        slots = kernels.table_slots(kernels.all_ngrams(*_rows(self._hashed, long), GRAM), self._grams)
        pairs = np.unique(np.stack((slots, passage), axis=1), axis=0)
        many = np.bincount(pairs[:, 0], minlength=len(self._grams))
        pairs = pairs[many[pairs[:, 0]] <= MOST_OWNERS]
        starts = np.searchsorted(pairs[:, 0], np.arange(len(self._grams) + 1)).astype(np.int32)
        size = np.bincount(pairs[:, 1], minlength=int(pieces.sum()))
        need = np.maximum(np.ceil(size * self.protection.near - 1e-9), LEAST).astype(np.int32)
        return starts, np.ascontiguousarray(pairs[:, 1]), need, np.repeat(long, pieces)


def facts_of(items: pl.Series, protection: Protection) -> dict[str, int]:
    """Items in all, those found as a whole alone, those too short to be looked for, and those without a word."""
    words = np.diff(_hashed(items)[0])
    least = min(protection.shortest, protection.ngram)
    return {
        "items": len(words), "items_whole": int(((words >= least) & (words < protection.ngram)).sum()),
        "items_too_short": int(((words > 0) & (words < least)).sum()), "items_empty": int((words == 0).sum()),
    }  # fmt: skip


def _hashed(items: pl.Series) -> Hashed:
    return ngram_hashes(items.to_arrow(compat_level=pl.CompatLevel.oldest()), 1)


def _rows(hashed: Hashed, rows: Ints) -> Hashed:
    """The words of some rows."""
    offsets, words = hashed
    counts = np.diff(offsets)[rows]
    bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return bounds, words[np.repeat(offsets[rows] - bounds[:-1], counts) + np.arange(bounds[-1])]
