"""What has come since the last look: a stage over a million parts looks at each once, not at all of them each time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from winnow.core.store.manifest import Receipt
    from winnow.dags.shapes.stage_run import StageRun


class Arrivals:
    """New parts of several stages. Parts are only added, so the new ones are the last of their dictionary."""

    def __init__(self, runs: Sequence[StageRun]) -> None:
        self._runs = runs
        self._parts: list[Mapping[str, Receipt]] = [{} for _ in runs]
        self._seen = [0] * len(runs)

    def fresh(self) -> set[str]:
        """Names that any of the stages has got since the last call; all of a stage whose parts were replaced.

        Cost: O(names that are given).
        """
        names: set[str] = set()
        for number, run in enumerate(self._runs):
            if run.parts is not self._parts[number]:
                self._parts[number], self._seen[number] = run.parts, 0
            names.update(itertools.islice(reversed(run.parts), len(run.parts) - self._seen[number]))
            self._seen[number] = len(run.parts)
        return names


class RowCount:
    """Rows of a stage's parts so far."""

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self._parts: Mapping[str, Receipt] = {}
        self._seen = self._rows = 0

    def total(self) -> int:
        """Their number. Cost: O(parts that are new)."""
        parts = self._run.parts
        if parts is not self._parts:
            self._parts, self._seen, self._rows = parts, 0, 0
        fresh = itertools.islice(reversed(parts.values()), len(parts) - self._seen)
        self._rows += sum(receipt.rows for receipt in fresh)
        self._seen = len(parts)
        return self._rows
