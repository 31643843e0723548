"""Interpolated modified Kneser-Ney: counts of the n-grams of texts to a back-off model, as KenLM's `lmplz` makes it.

With a(g) the count of an n-gram g of the highest order, or of one that begins a sentence, and else the number of
distinct words that precede it (its adjusted count), n_j how many n-grams of its order have a = j, and

    Y = n_1 / (n_1 + 2 n_2),   D_j = j - (j + 1) Y n_(j+1) / n_j  for j = 1, 2, 3 (all above 3 as 3)
    p(w | h) = (a(hw) - D(a(hw))) / sum_v a(hv) + gamma(h) p(w | h without its first word)
    gamma(h) = sum_v D(a(hv)) / sum_v a(hv)

down to unigrams, which share what is discounted evenly over the vocabulary with <unk> and </s> in it and without <s>.
Every history's probabilities add up to 1. `prune` leaves n-grams out of the model that occur at most so often; what
they had goes to gamma, and discounts and adjusted counts are still those of all n-grams.

Source: Kneser and Ney 1995; Chen and Goodman 1999 (modified, interpolated); Heafield et al. 2013 (lmplz) for adjusted
counts at <s>, <unk> and pruning. Differs: where a D_j cannot be estimated lmplz stops, and here 0.5, 1, 1.5 are taken
and said (its --discount_fallback); words that are markers are left out (its --skip_symbols); sums are not in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.numerics import numeric
from winnow.core.words import backoff_model
from winnow.core.words.backoff_model import LN_10, BackoffModel, TextForm

FALLBACK = (0.5, 1.0, 1.5)
BLOCK = 4096  # tokens counted at a time: their keys stay in the nearest caches
MOST_NGRAMS = 2**32 - 2
FIRST_ROOM = 1 << 16  # n-grams
FILLED = 0.6  # of the slots at most
Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Every n-gram's numbers, arrays over the n-grams in no order that means anything.

    `records` as in `kneser_ney_kernels`; `prob` and `backoff` f64; `kept` is False for those that are pruned and for
    none else. `discounts` f64[order, 3]; `estimated`, for each order: no fallback.
    """

    records: Keys
    prob: Floats
    backoff: Floats
    kept: npt.NDArray[np.bool_]
    discounts: Floats
    estimated: tuple[bool, ...]

    def counts(self) -> list[int]:
        """Numbers of n-grams in the model of order 1, 2, ..."""
        order = (self.records[self.kept, 2] >> np.uint64(32)).astype(np.int64)
        return [int(number) for number in np.bincount(order, minlength=len(self.discounts) + 1)[1:]]

    def model(self, form: TextForm) -> BackoffModel:
        """The model of those that are kept."""
        probs, weights = (log10(one[self.kept]) for one in (self.prob, self.backoff))
        about = {"source": "modified Kneser-Ney", "ngrams": self.counts(), "discounts": self.discounts.tolist()}
        keys = self.records[self.kept, 0]
        return backoff_model.model_of(keys, probs, weights, order=len(self.discounts), form=form, about=about)


class Counts:
    """Counts of all n-grams up to `order` of the texts that were added.

    Cost: counting takes about 1 us per word (`benchmarks/bench_ngram.py`); 5 orders of English take 300 bytes per word
        at the end.
    """

    def __init__(self, *, order: int, form: TextForm) -> None:
        from winnow.core.words.backoff_kernels import BOS, EOS, UNK
        from winnow.scorers import kneser_ney_kernels as kernels

        self.order, self.form = order, form
        self.tokens = self.skipped = 0
        self._records = np.zeros((FIRST_ROOM, 3), dtype=np.uint64)
        self._slots = np.zeros(2 * FIRST_ROOM, dtype=np.uint64)
        self._used = 3
        self._records[:3, 0] = UNK, BOS, EOS
        self._records[:3, 2] = 1 << 32
        kernels.rehash(self._records, self._used, self._slots)
        self._before = np.full(order, BOS, dtype=np.uint64)
        self._numbers = np.full(2 * order, kernels.BOS_ID, dtype=np.int64)
        self._named = np.zeros(0, dtype=np.bool_)
        self._known = np.array([min(order - 1, 1)], dtype=np.int64)

    def add(self, texts: pa.Array | pa.ChunkedArray) -> None:
        """Count the n-grams of some texts; nulls and texts without a token add nothing.

        Raises: DataError where there are more n-grams than 32 bits can number.
        """
        from winnow.core.words import backoff_kernels
        from winnow.scorers import kneser_ney_kernels as kernels

        offsets, data = backoff_model.text_buffers(texts, self.form)
        codes = backoff_model.unit_code(self.form), backoff_model.sentence_code(self.form)
        most = int(backoff_kernels.num_tokens(offsets, data, *codes).sum())
        keys, skipped = kernels.keys_of_texts(offsets, data, *codes, most)
        self.tokens, self.skipped = self.tokens + len(keys), self.skipped + int(skipped)
        for start in range(0, len(keys), BLOCK):
            stop = min(start + BLOCK, len(keys))
            self._make_room((stop - start) * self.order)
            self._used = kernels.count(
                keys, start, stop, self._slots, self._records, self._used, self._before, self._numbers, self._known
            )

    def vocabulary(self, texts: pa.Array | pa.ChunkedArray) -> dict[int, bytes]:
        """Number -> word of the words of some counted texts that it was not asked about before."""
        from winnow.scorers import kneser_ney_kernels as kernels

        offsets, data = backoff_model.text_buffers(texts, self.form)
        if len(self._named) < self._used:
            self._named = np.concatenate([self._named, np.zeros(len(self._records), dtype=np.bool_)])
        codes = backoff_model.unit_code(self.form), backoff_model.sentence_code(self.form)
        places = kernels.new_words(offsets, data, *codes, self._slots, self._records, self._named)
        return {int(number): data[start:end].tobytes() for number, start, end in places}

    def estimate(self, prune: Sequence[int] = ()) -> Estimate:
        """Probabilities of all n-grams; `prune`: how often one of order 1, 2, ... may occur at most to be left out.

        Raises: DataError where there is no token.
        """
        if not self.tokens:
            raise DataError("no text holds a token", where="fit_on", hint="look at its texts with `winnow sample`")
        records, self._records = self._records[: self._used], np.zeros((0, 3), dtype=np.uint64)
        self._slots = np.zeros(0, dtype=np.uint64)  # not needed any more
        return _estimate(records, self.order, _thresholds(prune, self.order))

    def _make_room(self, more: int) -> None:
        from winnow.scorers import kneser_ney_kernels as kernels

        need = self._used + more
        if need > MOST_NGRAMS or self.tokens > MOST_NGRAMS:
            raise DataError(f"more than {MOST_NGRAMS:,} n-grams or tokens", where="words", hint="fit on less text")
        if need > len(self._records):
            wider = np.zeros((max(need, 3 * len(self._records) // 2), 3), dtype=np.uint64)
            wider[: self._used] = self._records[: self._used]
            self._records = wider
        if need > FILLED * len(self._slots):
            self._slots = np.zeros(max(int(need / FILLED) + 1, 2 * len(self._slots)), dtype=np.uint64)
            kernels.rehash(self._records, self._used, self._slots)


def _estimate(records: Keys, order: int, least: Longs) -> Estimate:
    from winnow.scorers import kneser_ney_kernels as kernels

    adjusted = kernels.adjusted_counts(records, order)
    found = [discounts_of(row) for row in kernels.counts_of_counts(records, adjusted, order)]
    discounts = np.array([row for row, _ in found])
    behind, none = kernels.histories(records, adjusted, least)
    gamma = np.ones(len(records))
    lengths = records[:, 2] >> np.uint64(32)
    for n in range(1, order):
        own = np.flatnonzero((lengths == n) & (behind[:, 0] > 0))
        gamma[own] = _given_up(behind[own], discounts[n])
    vocabulary = int((lengths == 1).sum()) - 1  # without <s>
    uniform = _given_up(none, discounts[0])[0] / vocabulary
    prob, kept = np.zeros(len(records)), np.zeros(len(records), dtype=np.bool_)
    kernels.interpolate(
        records, adjusted, least, discounts, behind, gamma, prob, float(none[0, 0]), float(uniform), kept
    )
    return Estimate(
        records=records, prob=prob, backoff=gamma, kept=kept, discounts=discounts,
        estimated=tuple(known for _, known in found),
    )  # fmt: skip


def _given_up(behind: Longs, discounts: Floats) -> Floats:
    """What histories leave to shorter ones, from what `histories` says of each."""
    less = discounts[0] * behind[:, 1] + discounts[1] * behind[:, 2] + discounts[2] * behind[:, 3] + behind[:, 4]
    return np.asarray(less / behind[:, 0])


def discounts_of(num: Longs) -> tuple[Floats, bool]:
    """(D1, D2, D3 where num[j] n-grams have the adjusted count j, whether they could be estimated)."""
    n1, n2, n3, n4 = (float(n) for n in num[1:5])
    if min(n1, n2, n3) > 0:
        y = n1 / (n1 + 2 * n2)
        found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if (found >= 0).all():
            return found, True
    return np.array(FALLBACK), False


def _thresholds(prune: Sequence[int], order: int) -> Longs:
    """A threshold per order; the last one given is that of all higher orders."""
    given = list(prune) or [0]
    return np.array((given + [given[-1]] * order)[:order], dtype=np.int64)


def log10(values: Floats) -> npt.NDArray[np.float32]:
    """The same number on every machine, f32."""
    return np.asarray(numeric.log(values) / LN_10, dtype=np.float32)
