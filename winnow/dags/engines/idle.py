"""Worker processes between two tasks: which one the next task gets, and how they end."""

from __future__ import annotations

from winnow.dags.engines.base import Task
from winnow.dags.engines.child import Child


class IdleChildren:
    """Workers that wait for a task."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __len__(self) -> int:
        return len(self._children)

    def take(self, task: Task, *, threads: int, devices: tuple[str, ...] | None, plain: bool) -> Child | None:
        """The worker that suits a task best: one that has run its heavy operator before, else the least warm."""
        for dead in [child for child in self._children if not child.alive()]:
            self._children.remove(dead)
            dead.kill()
        alike = (c for c in self._children if (c.threads, c.devices) == (threads, devices) and (plain or not c.plain))
        child = min(alike, key=lambda c: (task.warm not in c.warmed, len(c.warmed)), default=None)
        if child is None or task.isolate:
            return None
        self._children.remove(child)
        return child

    def put(self, child: Child, task: Task) -> None:
        """Keep a worker that has run a task; one that was only for that task ends."""
        if task.isolate:
            child.kill()
            return
        child.warmed.add(task.warm)
        self._children.append(child)

    def drop_oldest(self) -> None:
        """End the worker that has waited longest, so that another fits."""
        if self._children:
            self._children.pop(0).close(grace_s=0)

    def give_up(self) -> list[Child]:
        """All of them; they are the caller's from now on."""
        children, self._children = self._children, []
        return children
