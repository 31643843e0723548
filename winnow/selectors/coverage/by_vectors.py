"""What selections on vectors alone share: their columns, their checks and their memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.numerics import selections
from winnow.core.numerics.target_vectors import on_disk
from winnow.core.operators import Schema, Whole, port
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import picking


@dataclass(frozen=True, kw_only=True)
class VectorSelection(Whole):
    """Documents chosen by their vectors within a budget; subclasses say how.

    Source: own.
    """

    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    budget: Budget
    vectors: str = "vector"

    def needs(self) -> tuple[str, ...]:
        """Identity and, for tokens and bytes, the cost; vectors are read by position."""
        return selections.columns_of(*selections.cost_columns(self.budget.unit))

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """`gain` is null for rows that are no candidates."""
        return picking.RANKED

    def validate(self) -> None:
        """Raise ConfigError for a budget in epochs."""
        selections.check_budget(self.budget)

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice: the stage's and as they are read."""
        return 0.35 + rows * (200 + 2 * width) / 1e9


@dataclass(frozen=True, kw_only=True)
class TargetScore(Whole):
    """A score of documents by their vectors beside those of a target; subclasses say which.

    Source: own.
    """

    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`), or a sample that a model is distilled from"
    role: ClassVar[str] = "scorer"
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    target: str = port("ref")
    vectors: str = "vector"
    center: bool = True

    def needs(self) -> tuple[str, ...]:
        """Identity; vectors are read by position."""
        return ("doc_id",)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """The target's vectors."""
        return {"target": (on_disk(self.vectors),)}

    def outputs(self) -> Schema:
        """The score, null where a row has no vector."""
        return {self.column(): pa.float64()}

    def column(self) -> str:
        """Name of the score."""
        return self.name
