"""The `ngram_lm` operator, first: a model that is fitted on the documents of a stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.operators import Context, Job, Kind, Resources, Source, port
from winnow.core.words.backoff_model import MAX_ORDER
from winnow.scorers import arpa_writer, kneser_ney
from winnow.scorers.kneser_ney import Keys
from winnow.scorers.ngram_texts import NgramTexts

ARPA, FITTED = "model.arpa", "fitted_on.npy"
PIECE = 1 << 24  # bytes of text that are counted at a time


@dataclass(frozen=True, kw_only=True)
class NgramFitSettings:
    """How a model is fitted."""

    fit_on: str = port("ref", default="")
    order: int = 5
    prune: tuple[int, ...] = ()  # order 1, 2, ...: n-grams that occur at most so often are left out
    sample_bytes: int = 64_000_000  # of text at most, by lot
    arpa: bool = False  # also write model.arpa, for KenLM


@dataclass(frozen=True, kw_only=True)
class NgramFit(NgramTexts, NgramFitSettings, Job):
    """A modified Kneser-Ney model of the kept documents of a stage: `ngram.npy`, `ngram.json`, `model.arpa` if asked.

    Where they hold more than `sample_bytes` of text, documents are taken by lot until the next would pass it. Parts are
    read one by one, so that memory depends on the sample alone. `fitted_on.npy` says which documents it saw.

    Cost: at order 5 about 0.6 million words a second and core (`benchmarks/bench_ngram.py`), and 40 bytes of memory per
        byte of English text.
    Source: Chen and Goodman 1999, in the conventions of lmplz (Heafield et al. 2013); see `kneser_ney`
    """

    name: ClassVar[str] = "ngram_fit"
    role: ClassVar[str] = "scorer"
    version: ClassVar[int] = 3  # 2: the table's slots in lines; 3: keys of words
    kind: ClassVar[Kind] = Kind.ARTEFACT
    seeded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(memory_gb=3)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The texts that it is fitted on, and how long they are."""
        return {"fit_on": ("text", "text_bytes")}

    def validate(self) -> None:
        """Raises: ConfigError where no model could be fitted so."""
        if not 1 <= self.order <= MAX_ORDER:
            raise ConfigError(f"order is {self.order}, not in [1, {MAX_ORDER}]", where="order")
        if self.sample_bytes < 1:
            raise ConfigError(f"sample_bytes is {self.sample_bytes}", where="sample_bytes", hint="some megabytes")
        if any(b < a for a, b in zip((0, *self.prune), self.prune, strict=False)) or self.prune[:1] not in ((), (0,)):
            raise ConfigError(f"prune is {list(self.prune)}", where="prune",
                              hint="0 for words, then numbers that do not fall: [0, 0, 1]")  # fmt: skip
        if len(self.prune) > self.order:
            raise ConfigError(f"prune has {len(self.prune)} numbers for {self.order} orders", where="prune")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the model; metrics: documents, tokens, numbers of n-grams, discounts.

        Raises: DataError where no text holds a token.
        """
        counts = kneser_ney.Counts(order=self.order, form=self.form())
        words: dict[int, bytes] = {}
        source = ctx.ref("fit_on")
        last, taken, held = self._lot(source, ctx)
        for texts in self._texts(source, last, ctx.seed):
            counts.add(texts)
            words |= counts.vocabulary(texts) if self.arpa else {}
        estimate = counts.estimate(self.prune)
        model = estimate.model(self.form())
        model.save(ctx.work)
        if self.arpa:
            arpa_writer.write_arpa(estimate, words, ctx.work / ARPA)
        self._say(ctx, counts, estimate, taken, held)
        return {
            "seed": ctx.seed, "documents": taken[0], "text_bytes": taken[1], "tokens": counts.tokens,
            "order": self.order, "ngrams": estimate.counts(), "discounts": estimate.discounts.round(6).tolist(),
        }  # fmt: skip

    def _lot(self, source: Source, ctx: Context) -> tuple[int, tuple[int, int], tuple[int, int]]:
        """(the last key that is taken, (documents, bytes) that are taken, and of all); writes the keys."""
        keys, sizes = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
        for rows in source.frames("doc_id", "text_bytes", where_kept=True):
            keys.append(lots(rows["doc_id"], ctx.seed))
            sizes.append(rows["text_bytes"].fill_null(0).cast(pl.Int64).to_numpy())
        key, size = np.concatenate(keys), np.concatenate(sizes)
        order = np.argsort(key, kind="stable")
        within = int(np.searchsorted(np.cumsum(size[order]), self.sample_bytes, side="right"))
        num = min(max(within, 1), len(order))
        if not num:
            raise DataError("no document to fit on", where="fit_on", hint="does the stage keep any?")
        chosen = order[:num]
        np.save(ctx.work / FITTED, key[chosen], allow_pickle=False)
        return int(key[chosen[-1]]), (num, int(size[chosen].sum())), (len(key), int(size.sum()))

    def _texts(self, source: Source, last: int, seed: int) -> Iterator[Any]:
        """The texts that are taken, some megabytes at a time."""
        for rows in source.frames("doc_id", "text", where_kept=True):
            text = rows["text"].filter(pl.Series(lots(rows["doc_id"], seed) <= np.uint64(last)))
            piece = (text.str.len_bytes().fill_null(0).cum_sum() // PIECE).to_numpy()
            for start, end in zip(*_runs(piece), strict=True):
                yield text[start:end].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())

    def _say(
        self, ctx: Context, counts: kneser_ney.Counts, estimate: kneser_ney.Estimate, taken: tuple[int, int],
        held: tuple[int, int],
    ) -> None:  # fmt: skip
        """Note what was fitted, and remark what was left out or could not be estimated."""
        ctx.note("summary", f"order {self.order}, {sum(estimate.counts()):,} n-grams of {counts.tokens:,} tokens in "
                            f"{taken[0]:,} documents")  # fmt: skip
        if taken[0] < held[0]:
            of_all = f"{taken[0]:,} of {held[0]:,} documents by lot ({taken[1]:,} of {held[1]:,} bytes)"
            ctx.remark(f"is fitted on {of_all}: raise `sample_bytes` for more, at 40 bytes of memory each")
        if taken[1] > self.sample_bytes:
            ctx.remark(
                f"is fitted on one document of {taken[1]:,} bytes, more than `sample_bytes`: cut it, or raise that"
            )
        if counts.skipped:
            ctx.remark(f"left out {counts.skipped:,} words that are markers of models (<s>, </s>, <unk>): clean them "
                       "away if they are remains of another tool")  # fmt: skip
        poor = ", ".join(str(n) for n, known in enumerate(estimate.estimated, start=1) if not known)
        if poor:
            ctx.remark(f"cannot estimate the discounts of order {poor}, of which too few n-grams occur once to three "
                       f"times: {kneser_ney.FALLBACK} are taken; give more text, or a lower `order`")  # fmt: skip


def lots(doc_id: pl.Series, seed: int) -> Keys:
    """What documents are drawn by, u64[rows]: the smallest first."""
    return np.asarray(rng.keys(doc_id, seed=seed, salt="ngram_lm"), dtype=np.uint64)


def _runs(values: np.ndarray) -> tuple[list[int], list[int]]:
    """(starts, ends) of the runs of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-1)) if len(values) else np.zeros(0, dtype=np.int64)
    return starts.tolist(), [*starts[1:].tolist(), len(values)] if len(values) else []
