"""What policies that read a score have in common: the column, what its absence means, and the published tasks.

A score is a misalignment, as a classifier's probability of toxicity or hits per character: the lower, the better, and
the reward of a text is minus its score (`score: "-quality"` turns the column round).

Source: Pretraining Language Models with Human Preferences (Korbak et al. 2023); thresholds and rates per task as in the
configurations that the authors published. A threshold belongs to its scorer: with another scorer, set your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.operators import sql
from winnow.core.terminal import counted
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.policy import Seam
from winnow.trainers.online.told import Told

Task = Literal["", "toxicity", "pii", "pep8"]
Tasks = Mapping[str, Mapping[str, Mapping[str, Any]]]
MOST, LEAST = 1000.0, 1e-30  # of a weight: the paper's cap, and what f32 still holds
_ROW = "winnow_row"  # keeps the height where SQL says the same of all rows
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ByScore(ColumnPolicy):
    """A policy of the weights seam that reads a score of each document."""

    seam: ClassVar[Seam] = "weights"
    columns_from: ClassVar[tuple[str, ...]] = ("score",)
    tells_missing: ClassVar[bool] = True

    score: str  # SQL: the misalignment
    task: Task = ""  # published numbers of this task for the fields that are left out

    def numbers(self) -> Mapping[str, str]:
        """The score."""
        return {"score": self.score}

    def scored(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The score of each row, null where it has none."""
        score = sql.expression(self.score, where="score").cast(pl.Float64).fill_nan(None).alias("score")
        return rows.with_row_index(_ROW).select(_ROW, score).drop(_ROW)


def column_of(told: Told, name: str) -> Floats:
    """A column of the policy's stage, f64[documents], NaN where it has no value.

    Raises:
        ConfigError: the run's documents have no numbers of their own, or there is no such column.
    """
    if told.doc_id is None:
        hint = "leave out `replay` and `phases`, or give the policy to an arm without them"
        raise ConfigError("the run mixes documents of several sources: a column says nothing of them",
                          where=f"policy.{name}", hint=hint)  # fmt: skip
    return told.column(name)


def missing(values: Floats, treated: str) -> dict[str, Any]:
    """Figures about documents without a value: how many, and what became of them."""
    number = int(np.isnan(values).sum())
    return {"documents": len(values), "without_value": number} | ({"treated": treated} if number else {})


def silent(figures: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The remark that documents have no value, where some have none."""
    number, every = int(figures.get("without_value", 0)), int(figures.get("documents", 0))
    if not number or number == every:  # of none: `alike`
        return ()
    told = f"{number:,} of {every:,} documents have no `{name}`: {figures['treated']}"
    return (f"{told}; fill it in SQL, `COALESCE({name}, 0)`, or leave such documents out of the arm",)


def alike(values: Floats, name: str) -> str:
    """Why a column of scores tells no document from another; "" where it does."""
    known = values[np.isfinite(values)]
    if not len(values):
        return ""
    if not len(known):
        return f"none of {counted(len(values), 'document')} has a `{name}`; name a column that has values"
    if known.min() != known.max():
        return ""
    some = f"all {counted(len(values), 'document')}" if len(known) == len(values) else (
        f"all {len(known):,} of {counted(len(values), 'document')} that have one")  # fmt: skip
    return f"{some} have the same `{name}`, {known[0]:g}; name a column that tells them apart, or leave it out"


def advantage_weights(advantage: Floats, *, beta: float, most: float = MOST) -> Floats:
    """min(exp(advantage / beta), most), at least 1e-30 so that a step of bad documents alone still has a loss.

    NaN gives 1.
    """
    with np.errstate(over="ignore"):
        weights = np.clip(np.exp(advantage / beta), LEAST, most)
    return np.where(np.isnan(advantage), 1.0, weights)
