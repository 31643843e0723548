"""The engine of one machine: in this process, or on a pool of worker processes.

`LocalEngine(workers=0)` runs one task at a time inside `wait`; tasks that ask for isolation or run user
code go to a child process even then, and only there a time limit holds. `LocalEngine(workers=N)` has N
slots and starts worker processes when tasks need them. A dead worker takes its own task with it and nothing
else. Memory is what was free when the engine began; GPUs are whole or shared.
"""

from __future__ import annotations

import contextlib
import math
import select
from collections.abc import Collection, Iterable

from winnow.core.operators import Resources
from winnow.dags.engines import machine
from winnow.dags.engines.admission import Admission, Reply, Room
from winnow.dags.engines.base import WORK, Task
from winnow.dags.engines.child import Child
from winnow.dags.engines.idle import IdleChildren
from winnow.dags.engines.perform import perform


class _Here:
    """A task that the next `poll` performs in this process."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire


class LocalEngine(Admission[Child | _Here]):
    """Runs tasks on this machine; nothing starts before the first task."""

    name = "local"

    def __init__(self, *, workers: int | None = None, function: str = WORK, memory_gb: float | None = None) -> None:
        super().__init__()
        self._function, self._given_gb = function, memory_gb
        self._inline = workers == 0
        self._slots = machine.available_cpus() if workers is None else max(workers, 1)
        self._idle = IdleChildren()
        self._devices: tuple[str, ...] = ()
        self._room: Room | None = None

    def room(self) -> Room:
        """What this machine had at the first look."""
        if self._room is None:
            self._devices = machine.gpu_devices()
            memory_gb = self._given_gb or machine.available_memory_gb()
            there = Resources(cpus=self._slots, gpus=len(self._devices), memory_gb=memory_gb)
            self._room = Room(together=there, single=there)
        return self._room

    def memory_gb(self) -> float:
        """What was free at the first look, or is free now where that is more; what was given instead."""
        return self._given_gb or max(super().memory_gb(), machine.available_memory_gb())

    def start(self, task: Task, wire: bytes, need: Resources) -> Child | _Here:
        """Send a task to a worker process, or keep it for `poll` to run here."""
        if self._inline and not (task.isolate or task.user_code):
            return _Here(wire)
        most = machine.available_cpus() if self._inline else self._slots
        threads = max(1, min(math.ceil(task.resources.cpus), most))
        devices = self._choose_devices(need.gpus)
        plain = self._function == WORK and not task.user_code
        child = self._idle.take(task, threads=threads, devices=devices, plain=plain)
        if child is None:
            if len(self._idle) + len(self.running) >= self._slots:
                self._idle.drop_oldest()
            child = Child(self._function, threads=threads, devices=devices, plain=plain)
        with contextlib.suppress(OSError):  # it is dying: `poll` says how
            child.send(wire)
        return child

    def poll(self, timeout: float) -> list[tuple[Child | _Here, Reply]]:
        """Replies and deaths of workers; a task of this process runs now, however long it takes."""
        for handle in self.running:
            if isinstance(handle, _Here):
                return [(handle, perform(self._function, handle.wire))]
        ended: dict[Child | _Here, Reply] = {}
        children = _children(self.running)
        for child in _readable(children, timeout):
            body = child.receive()
            if body:  # b'': it has only started
                ended[child] = body
                self._idle.put(child, self.running[child].task)
            elif body is None:
                ended[child] = child.autopsy()
        for child in children:  # what it started may hold the pipe of a dead worker open
            if child not in ended and not child.alive() and not _readable([child], 0):
                ended[child] = child.autopsy()
        return list(ended.items())

    def kill(self, handles: Collection[Child | _Here]) -> None:
        """Kill every worker and what it started, idle ones as well."""
        children = _children(handles) + self._idle.give_up()
        for child in children:
            child.signal_kill()
        for child in children:
            child.kill()

    def close(self) -> None:
        """End the workers: idle ones by themselves within two seconds, busy ones at once."""
        idle = self._idle.give_up()
        super().close()
        for child in idle:
            child.hang_up()
        for child in idle:
            child.close()

    def _choose_devices(self, gpus: float) -> tuple[str, ...] | None:
        """The GPUs with the least work; None: what the driver sees."""
        if gpus <= 0:
            return None
        load = dict.fromkeys(self._devices, 0.0)
        for child in _children(self.running):
            for name in child.devices or ():
                load[name] += min(self.running[child].need.gpus, 1)
        count = min(math.ceil(gpus), len(self._devices))
        return tuple(sorted(sorted(load, key=lambda name: load[name])[:count]))


def _children(handles: Iterable[Child | _Here]) -> list[Child]:
    return [handle for handle in handles if isinstance(handle, Child)]


def _readable(children: Iterable[Child], timeout: float) -> list[Child]:
    """Workers with something to read, or that are gone; waits up to `timeout` seconds for one."""
    by_descriptor = {child.fileno(): child for child in children}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(math.ceil(timeout * 1000))]
