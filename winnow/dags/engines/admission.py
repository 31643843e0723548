"""The loop that engines share: which task starts when, and how its outcome comes back.

Tasks start in the order of submission as soon as they fit: CPUs, GPUs and memory of all that run stay within what
the engine has. A task that does not fit yet holds back those behind it; one task always runs, whatever it asks for.

An engine adds what differs: `room` (what there is), `start` (one task), `poll` (replies) and `kill`. A task is known
between these by its handle, which is whatever `start` returns.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from winnow.core.operators import Resources
from winnow.dags.engines.base import Death, Outcome, Task
from winnow.dags.engines.failures import engine_failure
from winnow.dags.engines.perform import outcome_from

if TYPE_CHECKING:
    from winnow.core.store.store import Store

Handle = TypeVar("Handle", bound=Hashable)
Reply = bytes | Death  # of `perform`, or how the process ended that should have made one

_GLANCE_S = 0.25  # how often to look at the queue, the room and silent deaths while nothing comes back
_SLACK = 1e-6  # sums of shares of a CPU are not exact


@dataclass(frozen=True, kw_only=True)
class Room:
    """What an engine has for tasks at this moment."""

    together: Resources  # for all that run
    single: Resources  # for one task: the largest node
    may_grow: bool = False  # nodes may join with what no node has yet


class Running(NamedTuple):
    """A task that was started."""

    task: Task
    need: Resources  # what it asks for, at most what one node has
    began: float


class Admission(ABC, Generic[Handle]):
    """The part of an engine that is the same wherever tasks run."""

    name: str

    def __init__(self) -> None:
        self.running: dict[Handle, Running] = {}
        self._queue: deque[tuple[Task, bytes]] = deque()
        self._done: list[Outcome] = []

    # --- what an engine adds ---

    @abstractmethod
    def room(self) -> Room:
        """What there is for tasks now; asked often. Raises: EngineError if there are no workers to be had."""

    @abstractmethod
    def start(self, task: Task, wire: bytes, need: Resources) -> Handle:
        """Begin a task that fits, and return what names it from now on; `perform` makes its reply out of `wire`."""

    @abstractmethod
    def poll(self, timeout: float) -> list[tuple[Handle, Reply]]:
        """Running tasks that have ended; blocks until there is one or `timeout` seconds (a fraction) passed."""

    @abstractmethod
    def kill(self, handles: Collection[Handle]) -> None:
        """End the processes of these tasks, and idle ones, at once."""

    # --- what follows from that: the engine as the runner sees it ---

    def capacity(self) -> int:
        """Tasks of one CPU that run side by side now, at least 1."""
        return max(1, int(self.room().together.cpus))

    def memory_gb(self) -> float:
        """Memory in 1e9 bytes that one task may have at most."""
        return self.room().single.memory_gb

    def submit(self, task: Task) -> None:
        """Queue a task and start what fits.

        Raises: EngineError if the task cannot be sent or workers cannot be reached; it is not queued then.
        """
        wire = task.wire()
        self.room()
        self._queue.append((task, wire))
        self._admit()

    def wait(self, timeout: float) -> list[Outcome]:
        """Outcomes so far; blocks until there is one, `timeout` seconds passed or nothing runs.

        Nothing is queued here unless something runs: `submit` and the end of each round start what fits.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0)
            if self.running:
                self._collect(0 if self._done else min(left, _GLANCE_S))
            self._admit()
            if self._done or not self.running or left <= 0:
                done, self._done = self._done, []
                return done

    def cancel(self) -> None:
        """Kill and forget every task at once; the engine can be used again."""
        self._queue.clear()
        self._done.clear()
        handles = list(self.running)
        self.running.clear()
        self.kill(handles)

    def close(self) -> None:
        """Release what the engine started."""
        self.cancel()

    def probe(self, store: Store) -> None:
        """Accept the store: workers of this machine see its files."""

    # --- the loop ---

    def _admit(self) -> None:
        while self._queue:
            task, wire = self._queue[0]
            room = self.room()
            need = _at_most(task.resources, room.single)
            if self.running and not fits(need, [run.need for run in self.running.values()], room.together):
                return
            self._queue.popleft()
            if need.gpus > 0 and not room.single.gpus and not room.may_grow:
                self._done.append(_no_gpu(task))
                continue
            began = time.monotonic()
            self.running[self.start(task, wire, need)] = Running(task=task, need=need, began=began)

    def _collect(self, timeout: float) -> None:
        for handle, reply in self.poll(timeout):
            run = self.running.pop(handle)
            if isinstance(reply, bytes):
                self._done.append(outcome_from(run.task.id, reply))
            else:
                status, error = reply
                seconds = time.monotonic() - run.began
                self._done.append(Outcome(id=run.task.id, status=status, error=error, seconds=seconds))


def fits(need: Resources, held: Iterable[Resources], room: Resources) -> bool:
    """Whether a task may start beside what is `held`; only what it wants itself counts."""
    cpus, gpus, memory_gb = need.cpus, need.gpus, need.memory_gb
    for one in held:
        cpus += one.cpus
        gpus += one.gpus
        memory_gb += one.memory_gb
    return (
        (not need.cpus or cpus <= room.cpus + _SLACK)
        and (not need.gpus or gpus <= room.gpus + _SLACK)
        and (not need.memory_gb or memory_gb <= room.memory_gb + _SLACK)
    )


def _at_most(wants: Resources, single: Resources) -> Resources:
    """What to ask for: never more than one node has, so that every task can start somewhere."""
    if wants.cpus <= single.cpus and wants.gpus <= single.gpus and wants.memory_gb <= single.memory_gb:
        return wants
    return Resources(
        cpus=min(wants.cpus, single.cpus or wants.cpus),
        gpus=min(wants.gpus, single.gpus or wants.gpus),
        memory_gb=min(wants.memory_gb, single.memory_gb or wants.memory_gb),
    )


def _no_gpu(task: Task) -> Outcome:
    what = f"the task asks for {task.resources.gpus:g} GPU and this machine has none"
    return Outcome(id=task.id, status="error", error=engine_failure(what, hint="override the stage's resources"))
