"""Importance resampling: how much likelier a text is under a target than under the pool, by hashed n-grams."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import numeric
from winnow.core.operators import Context, Fold, Schema, port
from winnow.core.terminal import percent
from winnow.core.words.hashing import ngram_hashes

EPSILON = 1e-8  # added to both shares before the logarithm, as in data-selection 1.0.3
GRID_BITS = 32  # of the log ratios: sums of integers are the same in any order
MAX_ORDER = 3
MAX_KNOWN = 2_000_000  # n-grams whose bucket is remembered
TEXTS, WEIGHED = -2, -1  # counted beside the buckets: texts, and those with enough words
MOST_SHORT = 0.5  # share of the texts without a weight from which that is remarked
COUNTS = pl.Schema({"bucket": pl.Int32, "count": pl.Int64})
STATE = pl.Schema({"bucket": pl.Int32, "ratio": pl.Int64})
_WORD_PUNCT = re.compile(r"\w+|[^\w\s]+")

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Dsir(Fold):
    """Log importance weight of each text toward a target: `dsir_log_weight` f64, `dsir_words` int32.

    The sum over a text's word n-grams (orders 1 to `ngrams`) of ln(p + 1e-8) - ln(q + 1e-8), where p and q are
    the n-gram's shares among the target's and the pool's n-grams, hashed into `num_buckets`. Above 0: likelier
    under the target. `smoothing` is added to each bucket's count on both sides; without it, an n-gram that the
    target never shows costs 18.4 nats, which small targets feel. The sum grows with the text; `per: ngram`
    divides by the number of n-grams. Null where the text is null or has fewer than `min_words` words.

    `hash: fast` takes winnow's words (`core.words.hashing.ngram_hashes`: lower-cased, no punctuation). `hash: sha256`
    gives the buckets and the tokens of data-selection (runs of word characters, runs of punctuation) and takes
    a hundred times as long.

    Raises:
        DataError: the target has no n-gram.
    Cost: each text is hashed twice, once to count and once to weigh; 16 bytes per bucket.
    Source: Xie et al. 2023 (arXiv 2302.03169), hashed n-gram features; fast hash, `per` and `smoothing` own.
    """

    name: ClassVar[str] = "dsir"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "scorer"

    target: str = port("ref")
    num_buckets: int = 10_000
    ngrams: int = 2
    hash: Literal["fast", "sha256"] = "fast"
    per: Literal["document", "ngram"] = "document"
    min_words: int = 100
    smoothing: float = 0.0

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The target's text."""
        return {"target": ("text",)}

    def outputs(self) -> Schema:
        """Nats, and the number of words."""
        return {"dsir_log_weight": pa.float64(), "dsir_words": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for sizes that make no distribution."""
        if not 2 <= self.num_buckets <= 1 << 24:
            raise ConfigError(f"num_buckets is {self.num_buckets}, not in [2, 16777216]", where="num_buckets")
        if not 1 <= self.ngrams <= MAX_ORDER:
            raise ConfigError(f"ngrams is {self.ngrams}, not in [1, {MAX_ORDER}]", where="ngrams")
        if self.min_words < 0:
            raise ConfigError(f"min_words is {self.min_words}, and must be 0 or more", where="min_words")
        if not 0 <= self.smoothing < float("inf"):
            raise ConfigError(f"smoothing is {self.smoothing}, and must be 0 or more", where="smoothing")

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """How often each bucket occurs in this part, and how many texts there are and get a weight."""
        counts = np.zeros(self.num_buckets, dtype=np.int64)
        words = self._visit(rows["text"], None, counts)
        texts = rows["text"].is_not_null().to_numpy()
        beside = [int(texts.sum()), int((texts & (words >= max(self.min_words, 1))).sum())]
        seen = np.flatnonzero(counts)
        return pl.DataFrame({"bucket": [TEXTS, WEIGHED, *seen], "count": [*beside, *counts[seen]]}, schema=COUNTS)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return pl.concat(summaries).group_by("bucket").agg(pl.col("count").sum()).sort("bucket")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The log ratio of every bucket, in units of 2^-32."""
        target = self._shares(self._counted(ctx.ref("target").frame("text")["text"]))
        if not target.any():
            hint = "look at its texts with `winnow sample`"
            raise DataError("the target has no n-grams", where="target", hint=hint)
        pool = self._shares(summary.filter(pl.col("bucket") >= 0))
        self._note_short(dict(summary.filter(pl.col("bucket") < 0).iter_rows()), ctx)
        log_ratio = numeric.log(target + EPSILON) - numeric.log(pool + EPSILON)
        ctx.note("kl_target_pool_nats", float((target * log_ratio).sum().round(6)))
        ratio = np.rint(np.ldexp(log_ratio, GRID_BITS)).astype(np.int64)
        return pl.DataFrame({"bucket": np.arange(self.num_buckets), "ratio": ratio}, schema=STATE), True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The sums of the log ratios."""
        totals = np.zeros(rows.height, dtype=np.int64)
        words = self._visit(rows["text"], state["ratio"].to_numpy(), totals)
        values = np.ldexp(totals.astype(np.float64), -GRID_BITS)
        if self.per == "ngram":
            values /= np.maximum(sum(np.maximum(words - n, 0) for n in range(self.ngrams)), 1)
        some = rows["text"].is_not_null() & pl.Series(words >= max(self.min_words, 1))
        return pl.DataFrame(
            {
                "dsir_log_weight": pl.Series(values).set(~some, None),
                "dsir_words": pl.Series(words.astype(np.int32)).set(rows["text"].is_null(), None),
            }
        )

    def _note_short(self, beside: Mapping[int, int], ctx: Context) -> None:
        """Note how many texts are too short, and remark where that is most of them."""
        texts, short = beside.get(TEXTS, 0), beside.get(TEXTS, 0) - beside.get(WEIGHED, 0)
        ctx.note("too_few_words", short)
        if texts and short >= MOST_SHORT * texts:
            told = f"{short:,} of {texts:,} texts ({percent(short / texts)}) have fewer than {max(self.min_words, 1):,}"
            ctx.remark(f"{told} words and get no weight: lower `min_words`, or score longer texts")

    def _counted(self, text: pl.Series) -> pl.DataFrame:
        counts = np.zeros(self.num_buckets, dtype=np.int64)
        self._visit(text, None, counts)
        seen = np.flatnonzero(counts)
        return pl.DataFrame({"bucket": seen, "count": counts[seen]}, schema=COUNTS)

    def _visit(self, text: pl.Series, values: Longs | None, out: Longs) -> Longs:
        """Words per row i64[rows]. Counts buckets into `out`, or with `values` sums them per row into `out`."""
        return (_fast if self.hash == "fast" else _exact)(text, self.ngrams, self.num_buckets, values, out)

    def _shares(self, counted: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Each bucket's share of all n-grams; zeros where there are none."""
        counts = np.zeros(self.num_buckets)
        counts[counted["bucket"].to_numpy()] = counted["count"].to_numpy()
        if not counts.any():
            return counts
        counts += self.smoothing
        return np.asarray(counts / counts.sum())


def _fast(text: pl.Series, ngrams: int, num_buckets: int, values: Longs | None, out: Longs) -> Longs:
    from winnow.scorers.target import dsir_kernels as kernels

    array = text.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    words = np.zeros(len(text), dtype=np.int64)
    for order in range(1, ngrams + 1):
        starts, hashes = ngram_hashes(array, order)
        if order == 1:
            words = np.diff(starts)
        if values is None:
            kernels.count_into(starts, hashes, words, order, out)
        else:
            kernels.sum_into(starts, hashes, words, order, values, out)
    return words


def _exact(text: pl.Series, ngrams: int, num_buckets: int, values: Longs | None, out: Longs) -> Longs:
    """The reference's tokens and buckets: per n-gram in Python, each distinct one hashed once."""
    known: dict[str, int] = {}
    words = np.zeros(len(text), dtype=np.int64)
    for row, document in enumerate(text):
        tokens = _WORD_PUNCT.findall((document or "").lower())
        words[row] = len(tokens)
        for order in range(1, ngrams + 1):
            for at in range(len(tokens) - order + 1):
                gram = " ".join(tokens[at : at + order])
                bucket = known.get(gram)
                if bucket is None:
                    if len(known) >= MAX_KNOWN:
                        known.clear()
                    bucket = known[gram] = int(hashlib.sha256(gram.encode()).hexdigest(), 16) % num_buckets
                if values is None:
                    out[bucket] += 1
                else:
                    out[row] += values[bucket]
    return words
