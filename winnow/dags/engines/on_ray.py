"""The engine on Ray: joins the cluster that RAY_ADDRESS names, or starts one on this machine.

Ray runs each task once (`max_retries=0`): the runner owns retries, and Ray's own would repeat a task that
kills its node without end. The engine admits only what the cluster has room for, so that nothing piles up
in the driver and idle actors of a finished stage can be let go when others wait. `warm` tasks run on
actors, one task at a time, so a dead actor costs one task. What a worker says while dying (stacks of a time
limit, of a crash) stays in a file on its node and is fetched when its task is lost.

Limit: when a Ray worker is killed, Ray kills its direct children only. Processes that an operator's own
processes started may outlive a cancelled task; `LocalEngine` kills them too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from winnow.core.errors import ConfigError, EngineError
from winnow.core.operators import Resources
from winnow.core.store.store import Store
from winnow.dags.engines import machine
from winnow.dags.engines.admission import Admission, Reply, Room, fits
from winnow.dags.engines.base import WORK, Task
from winnow.dags.engines.last_words import read_words, words_file
from winnow.dags.engines.ray_cluster import RayCluster, death_from
from winnow.dags.engines.ray_node import WarmWorker, perform_here, read_probe

_PROBE_S = 60.0  # a busy node takes long to start its first process
_WORDS_S = 10.0
_IDLE_ACTOR_S = 5.0  # an actor without work gives its resources back after this time


@dataclass(eq=False)
class _Actor:
    handle: Any
    warm: str
    need: Resources
    idle_since: float = math.inf  # inf: it has a task


@dataclass(frozen=True, eq=False)
class _Call:
    """A task that Ray was given."""

    ref: Any
    token: str  # names the file of last words
    actor: _Actor | None


class RayEngine(Admission[_Call]):
    """Runs tasks on a Ray cluster; joins or starts it with the first task."""

    name = "ray"

    def __init__(self, *, workers: int | None = None, function: str = WORK, memory_gb: float | None = None) -> None:
        super().__init__()
        self._workers, self._function, self._given_gb = workers or None, function, memory_gb
        self._cluster = RayCluster(self._workers)
        self._actors: list[_Actor] = []
        self._stale: list[str] = []  # last words of cancelled tasks, to be removed

    def room(self) -> Room:
        """The cluster's, or `workers` CPUs of it; twice that on one that was joined, which may be scaled."""
        self._cluster.connect()
        total, largest, joined = self._cluster.total, self._cluster.largest, not self._cluster.owned
        if joined:  # what waits in Ray makes an autoscaler add nodes
            total = Resources(cpus=2 * total.cpus, gpus=2 * total.gpus, memory_gb=2 * total.memory_gb)
        if self._workers:
            total = dataclasses.replace(total, cpus=min(total.cpus, self._workers))
        return Room(together=total, single=largest, may_grow=joined)

    def capacity(self) -> int:
        """CPUs of the cluster now, or `workers` if that is less; at least 1."""
        self._cluster.connect()
        cpus = int(self._cluster.total.cpus)
        return max(1, min(cpus, self._workers or cpus))

    def memory_gb(self) -> float:
        """What the node with the most memory offers, or was given; all that is free where the cluster is ours."""
        self._cluster.connect()
        here = machine.available_memory_gb() if self._cluster.owned else 0.0
        return self._given_gb or max(self._cluster.largest.memory_gb, here) or math.inf

    def start(self, task: Task, wire: bytes, need: Resources) -> _Call:
        """Hand a task to Ray, or to the actor that is warm for it; idle actors make room."""
        threads = max(1, math.ceil(need.cpus))
        options: dict[str, Any] = {
            "num_cpus": need.cpus,
            "num_gpus": need.gpus,
            "memory": int(need.memory_gb * 1e9),
        }
        if threads > 1 or not self._cluster.owned:  # workers of our own begin with one thread
            options["runtime_env"] = {"env_vars": machine.thread_variables(threads)}
        warm = task.warm and not task.isolate
        actor = self._idle_actor(task.warm, need) if warm else None
        if actor is None:
            self._make_room(need)
        token = uuid.uuid4().hex
        spec = {
            "function": self._function,
            "path": machine.import_path(),
            "token": token,
            "isolate_threads": threads if task.isolate else 0,
        }
        if not warm:
            remote = self._cluster.remote(perform_here).options(max_retries=0, name=task.id, **options)
            return _Call(ref=remote.remote(spec, wire), token=token, actor=None)
        if actor is None:
            remote = self._cluster.remote(WarmWorker).options(max_restarts=0, max_task_retries=0, **options)
            actor = _Actor(handle=remote.remote(), warm=task.warm, need=need)
            self._actors.append(actor)
        actor.idle_since = math.inf
        return _Call(ref=actor.handle.run.remote(spec, wire), token=token, actor=actor)

    def poll(self, timeout: float) -> list[tuple[_Call, Reply]]:
        """Replies, and deaths with the last words of their workers."""
        ray = self._cluster.connect()
        self._release_idle()
        calls = {call.ref: call for call in self.running}
        ready, rest = ray.wait(list(calls), num_returns=1, timeout=timeout)
        if ready and rest:
            ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        ended: list[tuple[_Call, Reply]] = []
        fallen: list[tuple[_Call, Exception]] = []
        for call in (calls[ref] for ref in ready):
            try:
                ended.append((call, ray.get(call.ref)))
            except Exception as exc:  # noqa: BLE001 - whatever Ray raises is how the task ended
                fallen.append((call, exc))
                if call.actor is not None:
                    self._release(call.actor)
            else:
                if call.actor is not None:
                    call.actor.idle_since = time.monotonic()
        words = self._last_words([call.token for call, _ in fallen]) if fallen else {}
        return ended + [(call, death_from(exc, words.get(call.token, ""))) for call, exc in fallen]

    def kill(self, handles: Collection[_Call]) -> None:
        """Kill the processes of these tasks and of all actors."""
        for call in handles:
            self._stale.append(call.token)
            if call.actor is None:
                with contextlib.suppress(Exception):
                    self._cluster.ray.cancel(call.ref, force=True)
        for actor in list(self._actors):
            self._release(actor)

    def close(self) -> None:
        """Release actors; leave the cluster, or stop it if this engine started it."""
        super().close()
        self._cluster.leave()
        for token in self._stale:
            words_file(token).unlink(missing_ok=True)
        self._stale.clear()

    def probe(self, store: Store) -> None:
        """Check that every node reads what the driver has just written into the store.

        Raises: ConfigError naming the nodes that do not; EngineError naming those that say nothing for a minute.
        """
        nonce, key = uuid.uuid4().hex, f".probe-{uuid.uuid4().hex}"
        store.put_new(key, nonce.encode())
        try:
            answers = self._cluster.ask_nodes(read_probe, store.location, key, within=_PROBE_S)
        finally:
            store.delete(key)
        late = sorted(name for name, answer in answers.items() if answer is None)
        blind = sorted(name for name, answer in answers.items() if answer not in (nonce, None))
        if blind:
            raise ConfigError(
                f"{len(blind)} of {len(answers)} nodes do not see the output folder",
                where=f"{store.where()} on {', '.join(blind[:5])}",
                hint="choose a folder on a file system that all nodes share",
            )
        if late:
            silent = f"{len(late)} of {len(answers)} nodes did not say within {_PROBE_S:.0f} s"
            raise EngineError(
                f"{silent} whether they see the output folder",
                where=f"{store.where()} on {', '.join(late[:5])}",
                hint="they are busy or lost (`ray status`): run it again, which goes on where it was",
            )

    # --- actors ---

    def _idle_actor(self, warm: str, need: Resources) -> _Actor | None:
        alike = (a for a in self._actors if a.warm == warm and a.need == need and a.idle_since < math.inf)
        return next(alike, None)

    def _make_room(self, need: Resources) -> None:
        """Release actors that wait for work, oldest first, until the task fits beside the rest."""
        room = self.room().together
        idle = sorted((a for a in self._actors if a.idle_since < math.inf), key=lambda actor: actor.idle_since)
        busy = [run.need for run in self.running.values()]
        while idle and not fits(need, [*busy, *(actor.need for actor in idle)], room):
            self._release(idle.pop(0))

    def _release_idle(self) -> None:
        now = time.monotonic()
        for actor in list(self._actors):
            if now - actor.idle_since > _IDLE_ACTOR_S:
                self._release(actor)

    def _release(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        with contextlib.suppress(Exception):
            self._cluster.ray.kill(actor.handle, no_restart=True)

    def _last_words(self, tokens: list[str]) -> dict[str, str]:
        words: dict[str, str] = {}
        for answer in self._cluster.ask_nodes(read_words, tokens, within=_WORDS_S).values():
            words |= {token: text for token, text in answer.items() if text} if answer else {}
        return words
