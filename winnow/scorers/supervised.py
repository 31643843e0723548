"""Scores by a linear classifier: fastText, fitted on documents one wants more of against the pool itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.operators import Columns, Composite, Context, Fit, Map, Schema, Scope, Sub, port
from winnow.scorers import fasttext_fit, fasttext_labels

MODEL = "model.bin"


@dataclass(frozen=True, kw_only=True)
class FastText(Composite):
    r"""Probability in [0, 1] that a document is like the `positive` documents rather than like the pool.

    `fit` draws at most `negatives` documents of the population, one chunk of `chunk_words` words from each,
    and sets them against all chunks of the positive documents, the smaller side repeated; `score` reads whole
    documents. The words are `\w+|[^\w\s]`, punctuation included.

    Source: Joulin et al. 2017 (fastText); Li et al. 2024 (DCLM) for positives against the pool; chunks are
    own.
    """

    name: ClassVar[str] = "fasttext"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True

    positive: str = port("ref")
    dim: int = 32
    word_ngrams: int = 2
    bucket: int = 200_000
    epoch: int = 3
    lr: float = 0.2
    negatives: int = 2000
    chunk_words: int = 120

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def validate(self) -> None:
        """Raises: ConfigError where fastText could not fit with these numbers."""
        self._fit().validate()

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (the model) and `score` (the column), so that scoring more documents does not refit."""
        inputs, where = scope.inputs, scope.where
        fit, score = self._fit(), FastTextScore(model=".fit")
        return [
            Sub(name="fit", operator=fit, inputs=inputs, where=where, refs={"positive": self.positive}),
            Sub(name="score", operator=score, inputs=inputs, where=where, refs={"model": ".fit"}),
        ]

    def _fit(self) -> FastTextFit:
        return FastTextFit(
            positive=self.positive,
            dim=self.dim,
            word_ngrams=self.word_ngrams,
            bucket=self.bucket,
            epoch=self.epoch,
            lr=self.lr,
            negatives=self.negatives,
            chunk_words=self.chunk_words,
        )


@dataclass(frozen=True, kw_only=True)
class FastTextFit(Fit):
    """A fastText classifier (`model.bin`) of positive documents against a sample of the population.

    The same documents, seed and settings give the same bytes (one machine type): see
    `fasttext_fit.fit_model`.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "fasttext_fit"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)
    seeded: ClassVar[bool] = True

    positive: str = port("ref")
    dim: int = 32
    word_ngrams: int = 2
    bucket: int = 200_000
    epoch: int = 3
    lr: float = 0.2
    negatives: int = 2000
    chunk_words: int = 120

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether and where a document is sampled, and the text."""
        return ("doc_id", "text")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The text of what is wanted."""
        return {"positive": ("text",)}

    def validate(self) -> None:
        """Raises: ConfigError where fastText could not fit with these numbers."""
        for field in ("dim", "word_ngrams", "epoch", "negatives", "chunk_words"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", where=field, hint="it must be at least 1")
        if not 0.0 < self.lr < float("inf"):
            raise ConfigError(f"lr is {self.lr}", where="lr", hint="a positive step, such as 0.2")
        if self.bucket < (1 if self.word_ngrams > 1 else 0):
            raise ConfigError(
                f"bucket is {self.bucket} with word_ngrams {self.word_ngrams}",
                where="bucket",
                hint="word n-grams are hashed into bucket rows: give some (200000), or word_ngrams: 1",
            )

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """At most `negatives` documents, those of the smallest keys, a chunk of each: doc_id, key, chunk."""
        worded = rows.filter(pl.col("text").str.contains(r"\S"))  # null and blank texts hold nothing to learn
        keys = rng.keys(worded["doc_id"], seed=ctx.seed, salt="fasttext.negatives")
        chosen = worded[np.sort(np.argsort(keys, kind="stable")[: self.negatives])]
        place = rng.uniform(chosen["doc_id"], seed=ctx.seed, salt="fasttext.chunk")
        return chosen.select(
            "doc_id",
            key=pl.Series(rng.keys(chosen["doc_id"], seed=ctx.seed, salt="fasttext.negatives"), dtype=pl.UInt64),
            chunk=fasttext_fit.cut(pl.col("text"), pl.lit(pl.Series(place)), self.chunk_words),
        )

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `model.bin`; the counts of what it was fitted on.

        Raises: DataError where a class is empty or the fit diverges; EngineError where its process dies.
        """
        negatives = sample.sort("key", "doc_id").head(self.negatives)["chunk"].to_list()
        documents = ctx.ref("positive").frame("text", where_kept=True)["text"].drop_nulls()
        positives = fasttext_fit.chunks(documents, self.chunk_words)
        for count, kind in ((len(positives), "positive"), (len(negatives), "sampled")):
            if not count:
                raise DataError(
                    f"no {kind} document holds a word",
                    where="fasttext.fit",
                    hint="check `positive:` and `where:`",
                )
        lines = fasttext_fit.balanced_lines(positives, negatives, seed=ctx.seed)
        settings = {
            "dim": self.dim,
            "wordNgrams": self.word_ngrams,
            "bucket": self.bucket,
            "epoch": self.epoch,
            "lr": self.lr,
            "seed": ctx.seed % 2**31,
        }
        fasttext_fit.fit_model(lines, settings, ctx.work / MODEL)
        return {
            "positive_documents": len(documents),
            "positive_chunks": len(positives),
            "negative_chunks": len(negatives),
            "lines": len(lines),
        }


@dataclass(frozen=True, kw_only=True)
class FastTextScore(Map):
    """Probability in [0, 1] of the positive class under a fitted fastText model; null for a null text."""

    name: ClassVar[str] = "fasttext_score"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)

    model: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once."""
        model = fasttext_labels.loaded(ctx.ref("model").files()[MODEL])
        probability = fasttext_labels.probabilities(model, [fasttext_fit.POSITIVE])
        return lambda batch: _scores(batch["text"], fasttext_fit.tokenised(pl.col("text")), probability)


@dataclass(frozen=True, kw_only=True)
class FastTextModel(Map):
    """Probability in [0, 1] of one label under any fastText classifier file; null where the text is null.

    `words: spaced` sets punctuation apart, as `fasttext` does when it fits; `words: plain` only joins the
    lines.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "fasttext_model"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)

    model_file: tuple[str, ...] = port("files")
    label: str
    words: Literal["plain", "spaced"] = "plain"

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`score`, the probability of `label`."""
        return {"score": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> score; the model is loaded once.

        Raises: ConfigError where there is not one readable model file or it lacks the label.
        """
        path = fasttext_labels.one_file(ctx.refs.get("model_file", self.model_file))
        probability = fasttext_labels.probabilities(fasttext_labels.loaded(path), [self.label])
        line = fasttext_labels.line_of(self.words)
        return lambda batch: _scores(batch["text"], line, probability)


def _scores(text: pl.Series, line: pl.Expr, probability: fasttext_labels.Probabilities) -> pl.DataFrame:
    """Column `score`: the probability of the one label, null where the text is."""
    score = pl.DataFrame({"score": probability(fasttext_labels.lines_of(text, line))[:, 0]})
    return fasttext_labels.placed(text, score)
