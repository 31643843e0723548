"""What scores of documents by the vectors of a target share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.numerics.target_vectors import on_disk
from winnow.core.operators import Schema, Whole, port


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
