"""fastText models that come out the same: training lines in a keyed order, one thread, a process of its own.

With one thread fastText initialises a tenth of its input matrix (facebookresearch/fastText #1061); the
rest is what the allocator returns, so a fit ends in NaN or in another model. The fit runs in a fresh process
whose allocator fills every block with zeros (glibc's perturb byte), and the model is a function of its lines.
Fresh pages for large blocks alone are not enough: a matrix of less than 128 KB still came from the used heap.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError, EngineError
from winnow.core.numerics import rng
from winnow.core.operators import Context, Fit, port

POSITIVE, NEGATIVE = "positive", "negative"
MODEL = "model.bin"
WORD = r"\w+|[^\w\s]"
_MARK = "__label__"
# glibc fills a new block with the complement of the perturb byte; its thread cache would not fill at all.
_ZEROED = {
    "MALLOC_PERTURB_": "255",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0",
}
CHILD = """
import json, sys
import fasttext
job = json.loads(sys.argv[1])
fasttext.train_supervised(**job["settings"]).save_model(job["model"])
"""


def tokenised(text: pl.Expr) -> pl.Expr:
    r"""One line per text whose words, as fastText splits them, are the matches of `\w+|[^\w\s]`."""
    spaced = text.str.replace_all(r"([^\w\s])|[\s&&[^ \t]]", " ${1} ")
    return _without_marks(spaced)


def cut(text: pl.Expr, at: pl.Expr, words: int) -> pl.Expr:
    """`words` consecutive words of each text (all where it has fewer), at `at` in (0, 1), as one line."""
    tokens = text.str.extract_all(WORD)
    places = (tokens.list.len().cast(pl.Int64) - words).clip(0) + 1
    start = (at * places).floor().cast(pl.Int64).clip(0, places - 1)
    return _without_marks(tokens.list.slice(start, words).list.join(" "))


def chunks(texts: pl.Series, words: int) -> list[str]:
    """All of the texts in pieces of about `words` words (equal within a text up to one word), as lines."""
    frame = pl.DataFrame({"text": texts}).select(tokens=_without_marks(pl.col("text")).str.extract_all(WORD))
    lines = []
    for tokens in frame["tokens"].to_list():
        pieces = max(1, round(len(tokens or ()) / words))
        bounds = [len(tokens or ()) * at // pieces for at in range(pieces + 1)]
        lines += [" ".join(tokens[a:b]) for a, b in pairwise(bounds) if b > a]
    return lines


def balanced_lines(positives: Sequence[str], negatives: Sequence[str], *, seed: int) -> list[str]:
    """Labelled lines, as many of each label: the smaller side repeats. In the order of a hash with `seed`."""
    size = max(len(positives), len(negatives))
    keyed = []
    for label, lines in ((POSITIVE, positives), (NEGATIVE, negatives)):
        for at in range(size):
            line = f"{_MARK}{label} {lines[at % len(lines)]}"
            digest = hashlib.blake2b(f"{seed}\0{at // len(lines)}\0{line}".encode(), digest_size=8).digest()
            keyed.append((digest, line))
    return [line for _, line in sorted(keyed)]


def fit_model(lines: Sequence[str], settings: Mapping[str, float], model: Path) -> None:
    """Write the classifier of `lines` to `model`: the same bytes for the same lines and settings.

    Where the C library is not glibc the zeroed memory is not ours to ask for: the fit runs twice there and
    must agree.

    Raises: DataError where the fit diverges; EngineError where its process ends otherwise.
    Cost: one process start (about 0.3 s) and the fit itself, one thread.
    """
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        source = Path(folder) / "lines.txt"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        _run_child(source, settings, model)
        if platform.libc_ver()[0] == "glibc":
            return
        again = Path(folder) / "again.bin"
        _run_child(source, settings, again)
        if again.read_bytes() != model.read_bytes():
            raise EngineError(
                "two fastText fits of the same lines differ on this platform",
                hint="fit on Linux with glibc, or score with a model file (fasttext_model)",
            )


def _run_child(source: Path, settings: Mapping[str, float], model: Path) -> None:
    arguments = {"input": str(source), "thread": 1, "verbose": 0, "minCount": 1, **settings}
    job = json.dumps({"settings": arguments, "model": str(model)})
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, job],
        env=child_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0 and model.is_file():
        return
    said = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if "NaN" in said:
        raise DataError(
            f"the fastText fit diverged: {said}", hint="lower lr, or give more and longer positive documents"
        )
    raise EngineError(
        f"the fastText fit ended with status {done.returncode}: {said[:300]}",
        hint="a negative status is a signal; -9 means that memory ran out: lower bucket or dim",
    )


def child_environment() -> dict[str, str]:
    """This process' variables with allocator settings of its own: every new block is filled with zeros."""
    foreign = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, **_ZEROED}


def _without_marks(text: pl.Expr) -> pl.Expr:
    """The texts with fastText's label mark broken up: a document that quotes it is text, not a label."""
    return text.str.replace_all(_MARK, "__label_ _", literal=True)


@dataclass(frozen=True, kw_only=True)
class FastTextSettings:
    """How a fastText classifier is fitted."""

    positive: str = port("ref")
    negative: str = port("ref", default="")  # documents of the other side; "": a sample of the population
    dim: int = 32
    word_ngrams: int = 2
    bucket: int = 200_000
    epoch: int = 3
    lr: float = 0.2
    negatives: int = 2000
    chunk_words: int = 120

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


@dataclass(frozen=True, kw_only=True)
class FastTextFit(FastTextSettings, Fit):
    """A fastText classifier (`model.bin`) of positive documents against others, or a sample of the population.

    The same documents, seed and settings give the same bytes (one machine type): see `fit_model`.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "fasttext_fit"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)
    seeded: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether and where a document is sampled, and the text."""
        return ("doc_id", "text")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The text of what is wanted, and of what is not."""
        return {"positive": ("text",), **({"negative": ("text",)} if self.negative else {})}

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """At most `negatives` documents, those of the smallest keys, a chunk of each: doc_id, key, chunk."""
        worded = rows.filter(pl.col("text").str.contains(r"\S"))  # null and blank texts hold nothing to learn
        keys = rng.keys(worded["doc_id"], seed=ctx.seed, salt="fasttext.negatives")
        chosen = worded[np.sort(np.argsort(keys, kind="stable")[: self.negatives])]
        place = rng.uniform(chosen["doc_id"], seed=ctx.seed, salt="fasttext.chunk")
        return chosen.select(
            "doc_id",
            key=pl.Series(rng.keys(chosen["doc_id"], seed=ctx.seed, salt="fasttext.negatives"), dtype=pl.UInt64),
            chunk=cut(pl.col("text"), pl.lit(pl.Series(place)), self.chunk_words),
        )

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `model.bin`; the counts of what it was fitted on.

        Raises: DataError where a class is empty or the fit diverges; EngineError where its process dies.
        """
        documents = _texts_of(ctx, "positive")
        positives = chunks(documents, self.chunk_words)
        if self.negative:
            negatives, other = chunks(_texts_of(ctx, "negative"), self.chunk_words), "negative"
        else:
            negatives, other = sample.sort("key", "doc_id").head(self.negatives)["chunk"].to_list(), "sampled"
        for count, kind in ((len(positives), "positive"), (len(negatives), other)):
            if not count:
                named = "`positive:`, `negative:`" if self.negative else "`positive:`"
                raise DataError(f"no {kind} document holds a word", where="fasttext.fit",
                                hint=f"check {named} and `where:`")  # fmt: skip
        lines = balanced_lines(positives, negatives, seed=ctx.seed)
        settings = {
            "dim": self.dim,
            "wordNgrams": self.word_ngrams,
            "bucket": self.bucket,
            "epoch": self.epoch,
            "lr": self.lr,
            "seed": ctx.seed % 2**31,
        }
        fit_model(lines, settings, ctx.work / MODEL)
        return {
            "positive_documents": len(documents),
            "positive_chunks": len(positives),
            "negative_chunks": len(negatives),
            "lines": len(lines),
        }


def _texts_of(ctx: Context, name: str) -> pl.Series:
    """The texts of a reference's kept documents."""
    return ctx.ref(name).frame("text", where_kept=True)["text"].drop_nulls()
