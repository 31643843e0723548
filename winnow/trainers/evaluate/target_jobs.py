"""Targets as stages: a file of questions parsed once, and a target in tokens, for any number of models."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.trainers.data.tokens import FILE, Encoder
from winnow.trainers.evaluate import suites
from winnow.trainers.evaluate.target_formats import NAMES, QUESTION, parse_files


@dataclass(frozen=True, kw_only=True)
class TargetFile(Job):
    """A target from JSON Lines: multiple choice, minimal pairs, continuations, questions or labelled texts.

    Name it under `eval:` of an ablation. The forms, and the fields read of each, stand in
    `winnow.trainers.evaluate.target_formats`; a line of no known form is an error that names it.

    Source: own; forms of LLM Foundry's gauntlet, BLiMP (Warstadt et al. 2020) and lm-evaluation-harness documents
    """

    name: ClassVar[str] = "target_file"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    files: tuple[str, ...] = port("files")
    format: str = "auto"
    delimiter: str = " "  # between context and answer, where no white space is there
    question: str = QUESTION
    max_items: int = 0  # a keyed sample of that many items; 0: all

    def validate(self) -> None:
        """Nothing, where lines can be read.

        Raises:
            ConfigError: the format is unknown, the template has no place for the question, or a number is negative.
        """
        if self.format not in NAMES:
            raise ConfigError(f"no format is called {self.format!r}", where="format",
                              hint=did_you_mean(self.format, NAMES))  # fmt: skip
        if "{question}" not in self.question:
            raise ConfigError("the template has no `{question}`", where="question")
        if self.max_items < 0:
            raise ConfigError(f"max_items is {self.max_items}, and must not be negative", where="max_items")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the parsed target; metrics: its kind, sizes, chance, and the fields that were not read.

        Raises:
            DataError: a line cannot be read.
        """
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        suite, told = parse_files(paths, kind=self.format, delimiter=self.delimiter, question=self.question)
        found = len(suite)
        if self.max_items and self.max_items < found:
            suite = suites.take(suite, _sample(suite, self.max_items))
        suites.save_suite(suite, ctx.work)
        metrics = {
            "kind": suite.kind,
            "items": len(suite),
            "items_found": found,
            "requests": int(suite.first[-1]),
            "scored_bytes": int(suite.scored.str.len_bytes().sum()),
            "chance": float(suite.chance.mean()),
            **told,
        }
        ctx.note("summary", f"{len(suite):,} items of kind {suite.kind}, chance {metrics['chance']:.3f}")
        return metrics


@dataclass(frozen=True, kw_only=True)
class TargetTokens(Job):
    """A target in the measuring tokenizer's ids, made once for all models that are evaluated on it.

    Source: own
    """

    name: ClassVar[str] = "target_tokens"
    role: ClassVar[str] = "trainer"
    version: ClassVar[int] = 2
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    most_bytes: int = 0  # a keyed sample of items that reads about so much text; 0: all
    target: str = port("ref", default="")  # rows, or a `target_file`
    tokenizer: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write target.npz; metrics: kind, items, tokens, bytes, digest.

        Raises:
            DataError: the target has no text.
        """
        suite = suites.suite_of(ctx.ref("target"))
        found = len(suite)
        if self.most_bytes:
            suite = suites.take(suite, _within(suite, self.most_bytes))
        tokenised = suites.tokenise(suite, Encoder(ctx.ref("tokenizer").files()[FILE]))
        if len(suite) < found:
            tokenised = dataclasses.replace(tokenised, items_found=found)
        suites.save_tokens(tokenised, ctx.work / suites.TOKENS)
        return {
            "kind": tokenised.kind,
            "items": len(suite),
            "items_found": found,
            "requests": len(tokenised.context_tokens),
            "tokens": len(tokenised.ids),
            "scored_bytes": int(tokenised.num_bytes.sum()),
            "digest": tokenised.digest,
        }


def _sample(suite: suites.Suite, count: int) -> np.ndarray:
    """Numbers of the items with the smallest draws keyed by their names, in the order of the file."""
    return np.sort(_drawn(suite)[:count])


def _within(suite: suites.Suite, most_bytes: int) -> np.ndarray:
    """Numbers of the items with the smallest draws until they read `most_bytes`; more bytes hold all of fewer."""
    each = (suite.context.str.len_bytes() + suite.scored.str.len_bytes()).cast(pl.Int64).to_numpy()
    ends = np.concatenate(([0], np.cumsum(each)))
    sizes = np.diff(ends[suite.first])[_drawn(suite)]
    return np.sort(_drawn(suite)[np.cumsum(sizes) - sizes < most_bytes])


def _drawn(suite: suites.Suite) -> np.ndarray:
    """Numbers of all items in the order of their draws."""
    from winnow.core.numerics.rng import uniform
    from winnow.core.words.hashing import as_lanes, text_hash

    lanes = as_lanes(text_hash(pa.array(suite.names.to_list(), pa.large_string())))
    return np.argsort(uniform(lanes, seed=0, salt="target items"), kind="stable")
