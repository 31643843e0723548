"""A target from files of questions, parsed once for any number of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.evaluate import suites
from winnow.trainers.evaluate.target_formats import NAMES, QUESTION, parse_files
from winnow.trainers.evaluate.target_sample import smallest


@dataclass(frozen=True, kw_only=True)
class TargetFile(Job):
    """A target from JSON Lines: multiple choice, minimal pairs, continuations, questions or labelled texts.

    Name it under `eval:` of an ablation. The forms, and the fields read of each, stand in
    `winnow.trainers.evaluate.target_formats`; a line of no known form is an error that names it.

    Source: own; forms of LLM Foundry's gauntlet, BLiMP (Warstadt et al. 2020) and lm-evaluation-harness documents
    """

    name: ClassVar[str] = "target_file"
    version: ClassVar[int] = 2  # 2: what `decontaminate` reads
    meaning: ClassVar[Mapping[str, Meaning]] = {"format": "closed", "delimiter": "free", "question": "free"}
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    holds: ClassVar[tuple[str, ...]] = ("text",)  # of its items, for what protects them
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    files: tuple[str, ...] = port("files")
    format: str = "auto"
    delimiter: str = " "  # between context and answer, where no white space is there
    question: str = QUESTION
    max_items: int = 0  # a keyed sample of that many items; 0: all

    def validate(self) -> None:
        """Check the fields.

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
        suite, read = parse_files(paths, kind=self.format, delimiter=self.delimiter, question=self.question)
        items = len(suite)
        if self.max_items and self.max_items < items:
            suite = suites.take(suite, smallest(suite, self.max_items))
        suites.save_suite(suite, ctx.work, template=self.question)
        metrics = {
            "kind": suite.kind,
            "items": len(suite),
            "items_found": items,
            "requests": int(suite.first[-1]),
            "scored_bytes": int(suite.scored.str.len_bytes().sum()),
            "chance": float(suite.chance.mean()),
            **read,
        }
        ctx.note("summary", f"{len(suite):,} items of kind {suite.kind}, chance {metrics['chance']:.3f}")
        return metrics
