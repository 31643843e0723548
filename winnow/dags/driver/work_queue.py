"""Work that waits: what much depends on first, chains part by part, long jobs last, siblings over a part together.

A single task that a whole stage waits for (a fit, a solve, a merge) goes first. Of the tasks over one part, the one
furthest down the recipe goes first, so that chains of Maps follow a part while it is warm and stream behind the
reader. Jobs (training runs) come last: they must not hold up the selection that another branch still needs. Taking
an item costs O(stages), not O(items).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from winnow.dags.recipe.nodes import Node
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import Urgency

MAX_FUSED = 8


class WorkQueue:
    """Items in order of urgency, then of arrival."""

    def __init__(self, ranks: Mapping[str, int]) -> None:
        self.ranks = ranks  # stage folder -> place in the plan
        self.waiting: dict[tuple[int, int], deque[Item]] = {}
        self.siblings: dict[str, list[Item]] = {}
        self.taken: set[int] = set()
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def add(self, item: Item, *, first: bool = False) -> None:
        """Take an item in; `first` puts a retry before its stage's others."""
        line = self.waiting.setdefault(self._urgency(item), deque())
        if first:
            line.appendleft(item)
        else:
            line.append(item)
        if _may_share(item):
            self.siblings.setdefault(item.fuse, []).append(item)
        self.size += 1

    def take(self) -> list[Item]:
        """The next item, with ready siblings over the same part; [] where nothing waits.

        Items whose stage another runner has completed meanwhile are dropped.
        """
        while (item := self._next()) is not None:
            if item.run.manifest:
                item.run.busy -= 1
                continue
            return [item, *self._sharing(item)]
        return []

    def _urgency(self, item: Item) -> tuple[int, int]:
        place = self.ranks[item.run.node.folder]
        urgency = item.task.urgency
        return urgency, -place if urgency is Urgency.CHAIN else place  # what is furthest down its chain goes first

    def _next(self) -> Item | None:
        for rank in sorted(self.waiting):
            line = self.waiting[rank]
            while line:
                item = line.popleft()
                if id(item) in self.taken:
                    self.taken.discard(id(item))
                    continue
                self.size -= 1
                return item
            del self.waiting[rank]
        return None

    def _sharing(self, first: Item) -> list[Item]:
        if not _may_share(first):
            return []
        others = [i for i in self.siblings.pop(first.fuse, []) if i is not first and id(i) not in self.taken]
        chosen = [i for i in others if alike(first.run.node, i.run.node) and not i.run.manifest][: MAX_FUSED - 1]
        rest = [i for i in others if not any(i is c for c in chosen)]
        if rest:
            self.siblings[first.fuse] = rest
        self.taken |= {id(i) for i in chosen}
        self.size -= len(chosen)
        return chosen


def _may_share(item: Item) -> bool:
    return bool(item.fuse) and not item.isolate and not item.attempts


def alike(x: Node, y: Node) -> bool:
    """True where two Maps may share a process: same needs of the machine, same trust."""
    return x.operator.resources == y.operator.resources and (x.user is None) == (y.user is None)
