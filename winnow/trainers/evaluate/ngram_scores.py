"""What an n-gram model of a run's own training tokens makes of the targets: how much of an effect is lexical match.

The model counts the very tokens that the run is trained on, row by row and with their weights, so that whatever
decides a run's data (selection, packing, budget, seed, and a policy that asks no model) decides its counts as well. A
text that is read more than once is counted as one pass (`ngram_model.fit`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.operators import Context, Exactness, Kind, Operator, Resources, port
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.phases import Phased
from winnow.trainers.data.sequences import Interleaved
from winnow.trainers.evaluate import ngram_model, suites
from winnow.trainers.evaluate.ngram_model import ORDERS, NgramModel
from winnow.trainers.model.policed import Policed
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Size
from winnow.trainers.model.train_gpt import Train
from winnow.trainers.online.blind import rows_of

MOST_TOKENS = 8_000_000  # counted at most: about 0.8 GB, and five seconds
DATA_REFS = (
    "selection",
    "tokens",
    "selections",
    "choice",
    "replay",
    "replay_tokens",
    "policy",
)  # of a run: they decide its data
PARTS = (Recipe, Size, Policed)
NOT_DATA = {f.name for part in PARTS for f in dataclasses.fields(part)} - {"batch", "vocab", "context"} | {
    "init_seed", "device", "compiled", "save_every", "curve", "arm", "gate", "start", *DATA_REFS,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NgramScores(Train):
    """Bits per byte of smoothed unigram, bigram and trigram models of a run's training tokens, on targets.

    References: those of a training run that decide its data, and `targets` {label: `target_tokens`}. Nothing is
    trained: fields of a run that do not decide its data keep their defaults, so that two recipes of equal data share
    one job.

    Source: Witten and Bell 1991, interpolated; own
    """

    name: ClassVar[str] = "ngram_scores"
    in_comparison: ClassVar[str] = ""
    kind: ClassVar[Kind] = Kind.RESULT
    version: ClassVar[int] = 1
    exactness: ClassVar[Exactness] = Exactness(1e-9)
    uses: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    most_tokens: int = MOST_TOKENS
    targets: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `targets` {label: bits per byte at order 1, 2, 3}, `tokens` of the run, `counted` of them, `kinds`
        (distinct n-grams of each order); targets of labelled texts have no bits per byte and are left out.
        """
        if "choice" in ctx.refs and ctx.ref("choice").result()["chosen"] is None:
            return {"targets": {}, "tokens": 0, "counted": 0, "kinds": []}  # nothing was trained
        run, at = self.chosen(ctx)
        batches = run.batches(at)
        data, policy = run._policed(dataclasses.replace(at, notes=None), batches)  # the run itself says what it lacks
        counting = Counting(rows=rows_of(data, policy), most_tokens=self.most_tokens)
        events = ngram_model.events_of(counting)
        counted = counting.counted
        model = ngram_model.fit(events, vocab=self.vocab, passes=passes_of(data, counted))
        scores = {}
        for label, source in ctx.refs["targets"].items():
            target = suites.load_tokens(source.files()[suites.TOKENS])
            if target.kind != "labels":
                scores[label] = bits_per_byte(model, target, end=self.vocab - 1)
        return {
            "targets": scores,
            "tokens": data.num_tokens,
            "counted": counted,
            "kinds": [len(table.token) for table in model.tables],
        }


def data_fields(run: Operator) -> dict[str, Any]:
    """The fields of `ngram_scores` for a run: those that decide the run's data, and no initialisation."""
    kept = {f.name: getattr(run, f.name) for f in dataclasses.fields(Train) if f.name not in NOT_DATA - {"policed"}}
    cells = kept["cells"] and {cell: {} for cell in kept["cells"]}
    return {**kept, "init_seed": 0, "cells": cells}


@dataclass(kw_only=True)
class Counting:
    """The rows of the first steps of a run that hold at most `most_tokens` tokens, at least those of one step."""

    rows: Iterator[tuple[Batch, int]]
    most_tokens: int
    counted: int = 0  # tokens of the steps that were given

    def __iter__(self) -> Iterator[Batch]:
        for rows, tokens in self.rows:
            if self.counted and self.counted + tokens > self.most_tokens:
                return
            self.counted += tokens
            yield rows


def passes_of(batches: Batches, counted: int) -> float:
    """How often the first `counted` tokens of a run read its text, at least 1; of several sources, over all of them."""
    sources = batches.sources if isinstance(batches, Phased | Interleaved) else (batches,)
    once = sum(source.num_tokens / max(1.0, source.epochs) for source in sources)
    return max(1.0, counted / once)


def bits_per_byte(model: NgramModel, target: suites.Tokenised, *, end: int) -> list[float]:
    """Bits per byte of the right answers' scored tokens at order 1, 2, 3; what a model's score of a target means."""
    events = ngram_model.events_in(target.ids, target.offsets, end=end)
    owner = np.repeat(np.arange(len(target.context_tokens)), np.diff(target.offsets))
    scored = np.arange(len(owner)) - target.offsets[owner] >= target.context_tokens[owner]
    right = np.zeros(len(target.context_tokens), dtype=np.bool_)
    right[target.gold_requests] = True
    counts = scored & right[owner]
    num_bytes = math.log(2) * float(target.num_bytes[target.gold_requests].sum())
    nats = model.nats(events)
    return [float(nats[order][counts].sum() / num_bytes) for order in range(len(ORDERS))]
