"""Filtering by a score: documents above a threshold are left out of an arm's data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Columns, Context, Schema
from winnow.trainers.data.pack import Documents
from winnow.trainers.online.by_score import ByScore, Floats, Tasks, column_of, missing, silent
from winnow.trainers.online.policy import Acting
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Filtering(ByScore):
    """Documents of a score up to `tau` alone: `kept`, and `weight` 1 or 0, the same at every step.

    As an arm's policy the others are left out of what is packed: they are not read, and the token budget is spent on
    the rest, more often. The figures count the documents left out. A document without a score is left out too,
    and counted, as by `threshold`. The stage by itself is a selection for any trainer.

    Raises:
        DataError: no document has a score up to `tau`.
    Cost: none while training.
    Source: Korbak et al. 2023, section 2.1; `tau` per task is the median of the authors' scores
    """

    name: ClassVar[str] = "filtering"
    does: ClassVar[str] = "by a threshold"
    blind: ClassVar[bool] = True
    informs: ClassVar[tuple[str, ...]] = ("score",)
    feeds: ClassVar[bool] = True
    presets: ClassVar[Tasks] = {
        "task": {"toxicity": {"tau": 7.8e-4}, "pii": {"tau": 2.86e-4}, "pep8": {"tau": 2.361e-3}}
    }

    tau: float | None = None  # the largest score that is kept; .inf: all that have one

    def validate(self) -> None:
        """Raise ConfigError without a threshold."""
        if self.tau is None or np.isnan(self.tau):
            raise ConfigError("no threshold", where="tau", hint="give `tau:`, or `task: toxicity`, `pii` or `pep8`")

    def outputs(self) -> Schema:
        """The score, and the selection that it makes."""
        return {"score": pa.float64(), "kept": pa.bool_(), "weight": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> score, verdict, weight."""

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            out = self.scored(rows)
            kept = (pl.col("score") <= self.tau).fill_null(value=False)
            return out.select("score", kept=kept, weight=kept.cast(pl.Float64))

        return columns

    def keeps(self, score: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether scores are kept, bool[documents]; NaN is not."""
        assert self.tau is not None
        return np.asarray(score <= self.tau)

    def feed(self, documents: Documents, told: Told) -> Documents:
        """The documents with weight 0 for what is left out; themselves where nothing is."""
        kept = self.keeps(column_of(told, "score"))
        if kept.all():
            return documents
        weights = kept.astype(np.float64) if documents.weights is None else documents.weights * kept
        if not weights.any():
            least = np.nanmin(column_of(told, "score"), initial=np.inf)
            raise DataError(f"no document has a score up to {self.tau:g}: the least is {least:g}", where="policy.tau",
                            hint="raise `tau`; a threshold belongs to its scorer")  # fmt: skip
        return replace(documents, weights=weights)

    def begin(self, told: Told) -> Acting:
        """What tells of the documents left out."""
        return Filtered(policy=self, score=column_of(told, "score"))


@dataclass(kw_only=True)
class Filtered(Acting):
    """A run on filtered documents: it changes nothing more."""

    policy: Filtering
    score: Floats

    def figures(self) -> dict[str, Any]:
        """Documents left out, and those among them without a score."""
        out = int((~self.policy.keeps(self.score)).sum())
        return {**missing(self.score, "they are left out"), "left_out": out, "tau": self.policy.tau}

    def idle(self) -> str:
        """That nothing is left out."""
        if not self.policy.keeps(self.score).all():
            return ""
        most = float(self.score.max(initial=-np.inf))
        told = f"all {len(self.score):,} documents are kept: the highest score is {most:g}, and tau {self.policy.tau:g}"
        return f"{told}; lower `tau`, or leave it out"

    def remarks(self) -> tuple[str, ...]:
        """Documents without a score."""
        return silent(self.figures(), "score")
