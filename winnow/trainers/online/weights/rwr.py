"""Reward-weighted regression: documents with a better score count more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Schema
from winnow.trainers.online.by_score import (
    MOST,
    ByScore,
    Floats,
    Tasks,
    advantage_weights,
    alike,
    column_of,
    missing,
    silent,
)
from winnow.trainers.online.policy import Acting
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

TREATED = "they have the weight 1"


@dataclass(frozen=True, kw_only=True)
class Rwr(ByScore):
    """Weights of documents by their reward: min(exp(-score / beta), 1000), the same at every step: `weight`.

    The stage's columns are `score`, `weight` and `kept` (all): without a policy, a selection of the same weights for
    any trainer. The weights multiply the loss as they are, so they scale the learning rate too; `keep_sum` scales each
    step's to the sum it has without them. A document without a score has weight 1, and is counted.

    Cost: one exponential per document, before the first step.
    Source: Korbak et al. 2023, section 2.1 (RWR: alpha = 1 and no value head; Peters and Schaal 2007). Their code takes
        the output of a value head that is never trained off the reward; here the advantage is the reward
    """

    name: ClassVar[str] = "rwr"
    does: ClassVar[str] = "weighed by their score"
    blind: ClassVar[bool] = True
    informs: ClassVar[tuple[str, ...]] = ("score",)
    presets: ClassVar[Tasks] = {"task": {name: {"beta": 10.0} for name in ("toxicity", "pii", "pep8")}}

    beta: float = 10.0  # temperature; .inf: all weights 1
    most: float = MOST  # no weight is larger
    keep_sum: bool = False

    def validate(self) -> None:
        """Raise ConfigError for a temperature or a cap that is none."""
        if not self.beta > 0:
            raise ConfigError(f"beta is {self.beta}, and must be above 0", where="beta", hint="as 10")
        if not 0 < self.most < float("inf"):
            raise ConfigError(f"most is {self.most}, and must be a number above 0", where="most")

    def outputs(self) -> Schema:
        """The score, and the selection that it makes."""
        return {"score": pa.float64(), "kept": pa.bool_(), "weight": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> score and weight."""

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            out = self.scored(rows)
            ctx.count("without_score", out["score"].null_count())
            weights = self.weights(out["score"].fill_null(float("nan")).to_numpy())
            out = out.with_columns(kept=pl.lit(value=True), weight=pl.Series(weights, dtype=pl.Float64))
            return out.select(list(self.outputs()))

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Rows without a score, which the weights do not show."""
        number, asked = counts.get("without_score", 0), counts.get("rows", 0) - counts.get("masked", 0)
        if not number:
            return ()
        told = f"no answer of `score` for {number:,} of {asked:,} rows, which have weight 1"
        return (f"{told}: fill it in SQL, `COALESCE(score, 0)`, or leave such rows out with `where:`",)

    def weights(self, score: Floats) -> Floats:
        """Weights of scores, f64[documents]."""
        return advantage_weights(-score, beta=self.beta, most=self.most)

    def begin(self, told: Told) -> Acting:
        """What weighs the documents of a run."""
        return RewardWeighted(policy=self, score=column_of(told, "score"))


@dataclass(kw_only=True)
class RewardWeighted(Acting):
    """The weights in a run; nothing of them changes."""

    policy: Rwr
    score: Floats
    weights: Floats = field(init=False)

    weighs = True
    todo = "lower `beta`, or leave it out"

    def __post_init__(self) -> None:
        self.weights = self.policy.weights(self.score)

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens, or of samples where their sum is kept."""
        if self.policy.keep_sum:
            return seen.spread(self.weights[seen.documents])
        own, documents = seen.rows.weights, seen.rows.documents
        each = np.where(documents >= 0, self.weights[np.maximum(documents, 0)], 1.0)
        return own if (each[own > 0] == 1.0).all() else (own * each).astype(np.float32)

    def idle(self) -> str:
        """That all scores are one."""
        return alike(self.score, "score")

    def figures(self) -> dict[str, Any]:
        """Documents without a score, the range of weights, documents at the cap."""
        capped = int((self.weights >= self.policy.most).sum())
        return {**missing(self.score, TREATED), "least_weight": float(self.weights.min(initial=np.inf)),
                "largest_weight": float(self.weights.max(initial=0.0)), "capped": capped}  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Documents without a score."""
        return silent(self.figures(), "score")
