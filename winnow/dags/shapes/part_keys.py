"""The key of a part's unit: driver and workers make it alike, whoever knows the receipts first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from winnow.core.store.manifest import Receipt, unit_key


class Reads(Protocol):
    """A stage that reads columns of parts: a node of a plan, or its record on disk."""

    @property
    def family(self) -> str:
        """Identity of the stage without its row inputs."""

    @property
    def columns(self) -> Mapping[str, tuple[int, str]]:
        """Name -> (input, column on disk)."""

    @property
    def where_columns(self) -> Mapping[str, tuple[int, str]]:
        """The same of what `where` names."""

    @property
    def population(self) -> Sequence[tuple[int, str]]:
        """The verdicts that rows must have."""


def consumed_by(stage: Reads, receipts: Sequence[Receipt]) -> list[Any]:
    """What the operator reads of one part: digests of exactly the columns it needs."""
    used = {*stage.columns.values(), *stage.where_columns.values(), *stage.population}
    return sorted([i, receipts[i].row_digest, c, receipts[i].content.get(c, "")] for i, c in used)


def part_key(stage: Reads, phase: str, refs: Sequence[str], receipts: Sequence[Receipt], *more: Any) -> str:
    """Key of a part's unit, from the content digests of the stage's references and the receipts of its inputs."""
    return unit_key(stage.family, phase, list(refs), consumed_by(stage, receipts), *more)
