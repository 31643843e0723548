"""Chains: Maps that read what other Maps over the same part make follow them in one task.

Nothing else about them changes: each commits a unit of its own under the key that it would have by itself, in the order
of the plan, so that a kill between two of them loses nothing. Where the task fails, those behind wait for their inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from winnow.dags.driver.work_queue import alike
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.stage_run import Item, StageRun

MOST_BEHIND = 8  # units: a task stays small on the wire


class Chains:
    """Which Maps of a run may follow which."""

    def __init__(self, runs: Sequence[StageRun]) -> None:
        self.by_space: dict[str, list[MapRun]] = {}
        for run in runs:  # in the order of the plan: inputs first
            if type(run) is MapRun and run.node.space is not None:
                self.by_space.setdefault(run.node.space.folder, []).append(run)

    def behind(self, heads: Sequence[Item]) -> list[Item]:
        """Items that follow the heads, which are one part's; none behind what is tried again. Cost: O(stages)."""
        first = heads[0]
        if not first.fuse or any(item.attempts or item.isolate for item in heads):
            return []
        node = first.run.node
        made = {item.run.node.folder for item in heads}
        items: list[Item] = []
        for run in self.by_space.get(node.space.folder if node.space else "", ()):
            if len(items) == MOST_BEHIND:
                break
            if run.node.folder in made or run.node.timeout_s != node.timeout_s or not alike(node, run.node):
                continue
            item = run.following(first.task.unit, made)
            if item is not None:
                items.append(item)
                made.add(run.node.folder)
        return items
