"""What selections on vectors alone share: their columns, their checks and their memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.numerics import selections
from winnow.core.operators import Schema, Whole
from winnow.core.operators.budget import Budget
from winnow.selectors.coverage import picking


@dataclass(frozen=True, kw_only=True)
class VectorSelection(Whole):
    """Documents chosen by their vectors within a budget; subclasses say how.

    Source: own.
    """

    less_memory: ClassVar[str] = "vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "selector"
    informs: ClassVar[tuple[str, ...]] = ("rank_selected", "gain")
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
