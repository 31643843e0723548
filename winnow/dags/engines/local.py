"""The engine of one machine: in this process, or on a pool of worker processes.

`LocalEngine(workers=0)` runs one task at a time inside `wait`; tasks that ask for isolation or run user
code go to a child process even then, and only there a time limit holds. `LocalEngine(workers=N)` has N
slots and starts worker processes when tasks need them. A dead worker takes its own task with it and nothing
else.

A task takes `resources.cpus` slots (at most all), its declared memory out of what was free when the engine
began, and whole or shared GPUs; one task always runs, whatever it asks for.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from winnow.dags.engines import machine
from winnow.dags.engines.base import WORK, Outcome, Task, engine_failure, outcome_from, perform
from winnow.dags.engines.child import Child

_GLANCE_S = 0.25  # how often to look for workers that died while something they started holds their pipe open


@dataclass
class _Run:
    task: Task
    child: Child
    slots: float
    kills: int  # machine.oom_kills() when it began
    began: float = field(default_factory=time.monotonic)


class LocalEngine:
    """Runs tasks on this machine; nothing starts before the first task."""

    name = "local"

    def __init__(self, *, workers: int, function: str = WORK, memory_gb: float | None = None) -> None:
        self._function, self._given_gb = function, memory_gb
        self._inline = workers == 0
        self._slots = max(workers, 1)
        self._queue: deque[tuple[Task, bytes]] = deque()
        self._running: dict[int, _Run] = {}  # by the child's file descriptor
        self._idle: list[Child] = []
        self._done: list[Outcome] = []
        self._memory_gb = math.inf  # measured with the first task
        self._devices: tuple[str, ...] = ()

    def capacity(self) -> int:
        """Number of worker slots; 1 in process."""
        return self._slots

    def memory_gb(self) -> float:
        """What was free with the first task, or is free now where that is more; what was given instead."""
        self._look()
        return self._given_gb or max(self._memory_gb, machine.available_memory_gb())

    def submit(self, task: Task) -> None:
        """Queue a task and start what fits. Raises: EngineError if the task cannot be sent."""
        wire = task.wire()
        self._look()
        self._queue.append((task, wire))
        self._dispatch()

    def wait(self, timeout: float) -> list[Outcome]:
        """Outcomes so far; blocks until there is one, `timeout` seconds passed or nothing runs.

        In process, one queued task runs here, however long it takes.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._dispatch()
            if not self._done and self._queue and not self._running:
                self._done.append(self._run_here())
            left = deadline - time.monotonic()
            if self._running:
                self._collect(0 if self._done else min(max(left, 0), _GLANCE_S))
            if self._done or not self._running or left <= 0:
                done, self._done = self._done, []
                self._dispatch()
                return done

    def cancel(self) -> None:
        """Kill every worker and what it started; forget queued tasks and outcomes."""
        children = [run.child for run in self._running.values()] + self._idle
        self._queue.clear()
        self._done.clear()
        self._running.clear()
        self._idle.clear()
        for child in children:
            child.signal_kill()
        for child in children:
            child.kill()

    def close(self) -> None:
        """End the workers: idle ones by themselves within two seconds, busy ones at once."""
        idle, self._idle = self._idle, []
        self.cancel()
        for child in idle:
            child.hang_up()
        for child in idle:
            child.close()

    def probe(self, root: Path) -> None:
        """Nothing: every worker sees this machine's files."""

    def _look(self) -> None:
        """See once what this machine has."""
        if self._memory_gb == math.inf:
            self._memory_gb = self._given_gb or machine.available_memory_gb()
            self._devices = machine.gpu_devices()

    def _dispatch(self) -> None:
        while self._queue:
            task, wire = self._queue[0]
            if self._here(task) or not self._fits(task):
                return
            self._queue.popleft()
            if task.resources.gpus > 0 and not self._devices:
                self._done.append(_no_gpu(task))
            else:
                self._start(task, wire)

    def _here(self, task: Task) -> bool:
        return self._inline and not (task.isolate or task.user_code)

    def _run_here(self) -> Outcome:
        task, wire = self._queue.popleft()
        return outcome_from(task.id, perform(self._function, wire))

    def _fits(self, task: Task) -> bool:
        if not self._running:
            return True
        wants, runs = task.resources, self._running.values()
        slots = sum(run.slots for run in runs) + self._slots_of(task)
        memory_gb = sum(run.task.resources.memory_gb for run in runs) + wants.memory_gb
        gpus = sum(run.task.resources.gpus for run in runs) + wants.gpus
        room_for_gpus = wants.gpus == 0 or not self._devices or gpus <= len(self._devices)
        return slots <= self._slots + 1e-9 and memory_gb <= self._memory_gb and room_for_gpus

    def _slots_of(self, task: Task) -> float:
        return min(task.resources.cpus, self._slots)

    def _start(self, task: Task, wire: bytes) -> None:
        child, kills = self._child_for(task), machine.oom_kills()
        with contextlib.suppress(OSError):  # it is dying: `_collect` says how
            child.send(wire)
        self._running[child.fileno()] = _Run(task=task, child=child, slots=self._slots_of(task), kills=kills)

    def _child_for(self, task: Task) -> Child:
        most = machine.available_cpus() if self._inline else self._slots
        threads = max(1, min(math.ceil(task.resources.cpus), most))
        devices = self._choose_devices(task.resources.gpus)
        self._bury_idle()
        plain = self._function == WORK and not task.user_code
        fitting = [c for c in self._idle if (c.threads, c.devices) == (threads, devices) and (plain or not c.plain)]
        if fitting and not task.isolate:
            child = min(fitting, key=lambda c: (task.warm not in c.warmed, len(c.warmed)))
            self._idle.remove(child)
            return child
        if self._idle and len(self._idle) + len(self._running) >= self._slots:
            self._idle.pop(0).close(grace_s=0)
        return Child(self._function, threads=threads, devices=devices, plain=plain)

    def _bury_idle(self) -> None:
        for child in [child for child in self._idle if not child.alive()]:
            self._idle.remove(child)
            child.kill()

    def _choose_devices(self, gpus: float) -> tuple[str, ...] | None:
        if gpus <= 0:
            return None  # what the driver sees
        load = dict.fromkeys(self._devices, 0.0)
        for run in self._running.values():
            for name in run.child.devices or ():
                load[name] += min(run.task.resources.gpus, 1)
        count = min(math.ceil(gpus), len(self._devices))
        return tuple(sorted(sorted(load, key=lambda name: load[name])[:count]))

    def _collect(self, timeout: float) -> None:
        for fd in _readable(self._running, timeout):
            run = self._running[fd]
            body = run.child.receive()
            if body == b"":
                continue  # it has only started
            del self._running[fd]
            if body is None:
                self._done.append(_buried(run))
                continue
            self._done.append(outcome_from(run.task.id, body))
            self._put_back(run)
        for fd, run in list(self._running.items()):
            if not run.child.alive() and not _readable([fd], 0):
                del self._running[fd]
                self._done.append(_buried(run))

    def _put_back(self, run: _Run) -> None:
        if run.task.isolate:
            run.child.kill()
        else:
            run.child.warmed.add(run.task.warm)
            self._idle.append(run.child)


def _readable(fds: Iterable[int], timeout: float) -> list[int]:
    """Descriptors with something to read, or whose writer is gone; waits up to `timeout` seconds for one."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(math.ceil(timeout * 1000))]


def _buried(run: _Run) -> Outcome:
    status, error = run.child.autopsy(run.kills)
    return Outcome(id=run.task.id, status=status, error=error, seconds=time.monotonic() - run.began)


def _no_gpu(task: Task) -> Outcome:
    what = f"the task asks for {task.resources.gpus:g} GPU and this machine has none"
    return Outcome(id=task.id, status="error", error=engine_failure(what, hint="override the stage's resources"))
