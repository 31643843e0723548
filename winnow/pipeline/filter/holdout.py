"""Held-out text that stays held out: documents set aside, a pool cleaned of them, and a reader of references.

A held-out set is protected by removing from the *pool* what repeats it, because the set is small and declared
beforehand, and dropping hard parts of it would change the target after the fact.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import (
    ArrowColumns,
    Bad,
    Columns,
    Context,
    Derive,
    FileSlice,
    Map,
    MapArrow,
    Schema,
    port,
)
from winnow.core.words.hashing import ngram_hashes
from winnow.core.words.text import valid_mask

Half = Literal["a", "b", "all"]


@dataclass(frozen=True, kw_only=True)
class Holdout(Map):
    """Sets a share of the documents aside: `kept` is what stays in the pool, `held_out` what does not.

    A pure function of (doc_id, seed, salt): the share is met on average, not as a count. Name this stage
    among the inputs of a selector and its population excludes the held-out documents; `filter` on `held_out`
    names them.

    Source: own
    """

    name: ClassVar[str] = "holdout"
    role: ClassVar[str] = "filter"
    seeded: ClassVar[bool] = True

    share: float  # of the documents within the sizes
    min_bytes: int = 0
    max_bytes: int | None = None
    salt: str = "holdout"

    def validate(self) -> None:
        """Nothing, where documents can be set aside.

        Raises:
            ConfigError: the share is not in (0, 1), or the sizes leave nothing.
        """
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}, not in (0, 1)", where="share")
        if self.min_bytes < 0 or (self.max_bytes is not None and self.max_bytes < self.min_bytes):
            raise ConfigError(f"no size is in [{self.min_bytes}, {self.max_bytes}]", where="max_bytes")

    def needs(self) -> tuple[str, ...]:
        """Identity and size."""
        return ("doc_id", "text_bytes")

    def outputs(self) -> Schema:
        """Two verdicts that are never both true."""
        return {"kept": pa.bool_(), "held_out": pa.bool_()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> verdicts."""
        largest = np.iinfo(np.int64).max if self.max_bytes is None else self.max_bytes

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            drawn = uniform(batch["doc_id"], seed=ctx.seed, salt=self.salt) < self.share
            fits = batch["text_bytes"].is_between(self.min_bytes, largest).fill_null(value=False)
            held = pl.Series("held_out", drawn) & fits
            return pl.DataFrame({"kept": ~held, "held_out": held})

        return columns


@dataclass(frozen=True, kw_only=True)
class Decontaminate(MapArrow):
    """Drops documents that repeat word n-grams of other rows, such as held-out text.

    Words as in `core.hashing.ngram_hashes`. A document shorter than `ngram` words repeats nothing. N-grams
    are hashed to 64 bits: 10^7 of them meet 10^5 others by chance with probability 1e-7.

    Raises:
        DataError: the other rows hold no n-gram at all, so that nothing would be protected.
    Cost: one pass of hashing; memory 32 to 64 bytes per n-gram of the other rows.
    Source: 13-word overlap as in Brown et al. 2020 (appendix C); the direction (the pool is cleaned) is own
    """

    name: ClassVar[str] = "decontaminate"
    role: ClassVar[str] = "filter"

    against: str = port("ref")
    ngram: int = 13
    max_ngrams: int = 0  # documents with more contaminated n-grams are dropped

    def validate(self) -> None:
        """Nothing, where the numbers can be counted with.

        Raises:
            ConfigError: an n-gram has no words, or the limit is negative.
        """
        if self.ngram < 1:
            raise ConfigError(f"ngram is {self.ngram}, and must be at least 1", where="ngram")
        if self.max_ngrams < 0:
            raise ConfigError(f"max_ngrams is {self.max_ngrams}, and must not be negative", where="max_ngrams")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The protected text."""
        return {"against": ("text",)}

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return {"kept": pa.bool_(), "contaminated_ngrams": pa.int32()}

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> verdict and count."""
        from winnow.core.words import ngram_kernels as kernels

        protected = ctx.ref("against").frame("text", where_kept=True)["text"].drop_nulls()
        words = ngram_hashes(protected.to_arrow(compat_level=pl.CompatLevel.oldest()), 1)
        hashes = kernels.all_ngrams(*words, self.ngram)
        if not len(hashes):
            raise DataError(f"`against` has no {self.ngram} words in a row", hint="lower `ngram`")
        table = kernels.build_table(np.unique(hashes))

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            counts = kernels.count_members(*ngram_hashes(text, 1), self.ngram, table)
            absent = ~valid_mask(text)
            kept = pa.array(counts <= self.max_ngrams, mask=absent)
            return pa.record_batch({"kept": kept, "contaminated_ngrams": pa.array(counts, mask=absent)})

        return columns


@dataclass(frozen=True, kw_only=True)
class PythonTopics(Derive):
    """The Python language reference that ships with Python, in halves that share almost no text.

    Many topics repeat sections of others, so halves by name would leak. Paragraphs seen before are dropped
    first, the largest topic first; what is left of at least `min_bytes` is dealt to the lighter half, largest
    first. The file is parsed and never executed. `origin` is the topic.

    Source: own
    """

    name: ClassVar[str] = "python_topics"

    files: tuple[str, ...] = port("files")
    base: str = ""
    source: str = ""
    id: str = "position"
    half: Half = "all"
    min_bytes: int = 200  # a topic that repeats others is a title and nothing else

    def read(self, unit: Sequence[FileSlice], bad: Callable[[Bad], None]) -> Iterator[pa.Table]:
        """One table per file, topics in order of their names."""
        for piece in unit:
            try:
                found = topics_of(Path(piece.path).read_text("utf-8"))
            except (SyntaxError, ValueError) as error:
                bad(Bad(origin=piece.rel, error="not_topics", message=str(error)))
                continue
            fresh = without_repeats(found)
            long = {name: text for name, text in fresh.items() if len(text.encode()) >= self.min_bytes}
            chosen = sorted(halves(long)[self.half].items())
            names = [name for name, _ in chosen]
            columns = {
                "text": [text for _, text in chosen],
                "origin": names,
                "locator": names,
                "rel": [piece.rel] * len(names),
            }
            yield pa.table({key: pa.array(value, pa.large_string()) for key, value in columns.items()})


def topics_of(source: str) -> dict[str, str]:
    """Topic -> text, from the source of `pydoc_data/topics.py`.

    Raises:
        ValueError: no dictionary of texts named `topics` is assigned; SyntaxError: this is not Python.
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            names = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            names = [statement.target]
        else:
            continue
        if any(isinstance(name, ast.Name) and name.id == "topics" for name in names):
            found = ast.literal_eval(statement.value or ast.Constant(None))
            if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()):
                return found
    raise ValueError("no dictionary of texts named `topics`")


def without_repeats(topics: dict[str, str]) -> dict[str, str]:
    """Topics without paragraphs that a larger topic has; emptied topics are gone."""
    seen: set[str] = set()
    out = {}
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1].encode()), item[0])):
        fresh = []
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                fresh.append(paragraph.strip("\n"))
        if fresh:
            out[name] = "\n\n".join(fresh) + "\n"
    return out


def halves(topics: dict[str, str]) -> dict[str, dict[str, str]]:
    """{"a", "b", "all"} -> topics: dealt largest first to the half with fewer bytes so far, a on ties."""
    dealt: dict[str, dict[str, str]] = {"a": {}, "b": {}, "all": topics}
    held = {"a": 0, "b": 0}
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1].encode()), item[0])):
        half = "a" if held["a"] <= held["b"] else "b"
        dealt[half][name] = text
        held[half] += len(text.encode())
    return dealt
