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
import math
import os
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, EngineError
from winnow.core.operators import Resources
from winnow.dags.engines import machine
from winnow.dags.engines.base import (
    TIMEOUT_MARK,
    WORK,
    Failure,
    Outcome,
    Status,
    Task,
    describe,
    engine_failure,
    failure_from,
    outcome_from,
)
from winnow.dags.engines.ray_node import WarmWorker, perform_here, read_probe, read_words, words_file

_IDLE_ACTOR_S = 5.0  # an actor without work gives its resources back after this time
_LOOK_S = 2.0  # how long a view of the cluster's resources is believed
_ASK_NODES_S = 10.0
_OBJECT_STORE_BYTES = 128 << 20  # payloads are paths: nothing large goes through it

_Need = dict[str, float]


@dataclass
class _Actor:
    handle: Any
    warm: str
    need: _Need
    threads: int
    idle_since: float | None = None


@dataclass
class _Run:
    task: Task
    token: str  # names the file of last words
    need: _Need
    actor: _Actor | None
    began: float = field(default_factory=time.monotonic)


class RayEngine:
    """Runs tasks on a Ray cluster; joins or starts it with the first task."""

    name = "ray"

    def __init__(self, *, workers: int | None = None, function: str = WORK, memory_gb: float | None = None) -> None:
        self._workers, self._function, self._given_gb = workers, function, memory_gb
        self._queue: deque[tuple[Task, bytes]] = deque()
        self._running: dict[Any, _Run] = {}  # by object reference
        self._actors: list[_Actor] = []
        self._done: list[Outcome] = []
        self._ray: Any = None
        self._owned = False  # we started the cluster
        self._attached = False  # we called ray.init
        self._stale: list[str] = []  # last words of cancelled tasks, to be removed
        self._looked = -math.inf
        self._total: _Need = {}
        self._largest: _Need = {}

    def capacity(self) -> int:
        """CPUs of the cluster now, or `workers` if that is less; at least 1."""
        self._connect()
        cpus = int(self._total.get("CPU", 0))
        return max(1, min(cpus, self._workers or cpus))

    def memory_gb(self) -> float:
        """What the node with the most memory offers, or was given; all that is free where the cluster is ours."""
        self._connect()
        here = machine.available_memory_gb() if self._owned else 0.0
        return self._given_gb or max(self._largest.get("memory", 0) / 1e9, here) or math.inf

    def submit(self, task: Task) -> None:
        """Queue a task and start what fits.

        Raises: EngineError if the task cannot be sent or Ray cannot be started.
        """
        wire = task.wire()
        self._connect()
        self._queue.append((task, wire))
        self._dispatch()

    def wait(self, timeout: float) -> list[Outcome]:
        """Outcomes so far; blocks until there is one, `timeout` seconds passed or nothing runs."""
        deadline = time.monotonic() + timeout
        while True:
            self._dispatch()
            left = max(deadline - time.monotonic(), 0)
            if self._running:
                self._collect(0 if self._done else min(left, 1))
            if self._done or left <= 0 or not (self._running or self._queue):
                self._dispatch()
                done, self._done = self._done, []
                return done

    def cancel(self) -> None:
        """Kill the processes of all tasks and actors; forget queued tasks and outcomes."""
        self._queue.clear()
        self._done.clear()
        running, self._running = self._running, {}
        actors, self._actors = self._actors, []
        for ref, run in running.items():
            self._stale.append(run.token)
            if run.actor is None:
                with contextlib.suppress(Exception):
                    self._ray.cancel(ref, force=True)
        for actor in actors:
            self._kill(actor)

    def close(self) -> None:
        """Release actors; leave the cluster, or stop it if this engine started it."""
        self.cancel()
        if self._attached:
            self._ray.shutdown()
        for token in self._stale:
            words_file(token).unlink(missing_ok=True)
        self._stale.clear()
        self._ray, self._owned, self._attached = None, False, False

    def probe(self, root: Path) -> None:
        """Nothing, if every node reads a file that the driver has just written in `root`.

        Raises: ConfigError naming the nodes that do not.
        """
        self._connect()
        nonce, file = uuid.uuid4().hex, root / f".probe-{uuid.uuid4().hex}"
        file.write_text(nonce)
        try:
            answers = self._ask_nodes(read_probe, str(file))
        finally:
            file.unlink(missing_ok=True)
        blind = sorted(name for name, answer in answers.items() if answer != nonce)
        if blind:
            raise ConfigError(
                f"{len(blind)} of {len(answers)} nodes do not see the output folder",
                where=f"{root} on {', '.join(blind[:5])}",
                hint="choose a folder on a file system that all nodes share",
            )

    # --- the cluster ---

    def _connect(self) -> None:
        if self._ray is None:
            machine.refuse_package_folder()
            try:
                import ray
            except ImportError as exc:
                raise EngineError(
                    "Ray is not installed", hint="pip install 'winnow-data[ray]', or --engine local"
                ) from exc
            if not ray.is_initialized():
                self._owned = not os.environ.get("RAY_ADDRESS")
                _init(ray, owned=self._owned, cpus=self._workers or machine.available_cpus())
                self._attached = True
            self._ray = ray
            self._remote = ray.remote(perform_here)
            self._remote_actor = ray.remote(WarmWorker)
        if time.monotonic() - self._looked > _LOOK_S:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            names = ("CPU", "GPU", "memory")
            self._total = {name: sum(node.get(name, 0) for node in nodes) for name in names}
            self._largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in names}
            self._looked = time.monotonic()

    def _ask_nodes(self, function: Any, *args: Any) -> dict[str, Any]:
        """Node name -> what `function(*args)` returns there; nodes that do not answer in time say ''."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._ray.remote(function)
        names: dict[Any, str] = {}
        answers: dict[str, Any] = {}
        for node in self._ray.nodes():
            if node["Alive"]:
                here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ref = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(*args)
                names[ref] = f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"
        ready, late = self._ray.wait(list(names), num_returns=len(names), timeout=_ASK_NODES_S)
        for ref in ready:
            try:
                answers[names[ref]] = self._ray.get(ref)
            except self._ray.exceptions.RayError:  # the node went, or the function failed there
                answers[names[ref]] = ""
        for ref in late:
            self._ray.cancel(ref, force=True)
            answers[names[ref]] = ""
        return answers

    # --- admission ---

    def _dispatch(self) -> None:
        self._release_idle(_IDLE_ACTOR_S)
        while self._queue:
            self._connect()
            task, wire = self._queue[0]
            need = self._need(task.resources)
            if task.resources.gpus > 0 and self._owned and not self._total.get("GPU"):
                what = f"the task asks for {task.resources.gpus:g} GPU and this machine has none"
                self._queue.popleft()
                failure = engine_failure(what, hint="override the stage's resources")
                self._done.append(Outcome(id=task.id, status="error", error=failure))
                continue
            actor = self._idle_actor(task, need)
            if actor is None and not self._room_for(need):
                return
            self._queue.popleft()
            self._start(task, wire, need, actor)

    def _need(self, wants: Resources) -> _Need:
        """What to ask Ray for: never more than the largest node has, so that it can start somewhere."""
        asked = {"CPU": wants.cpus, "GPU": wants.gpus, "memory": wants.memory_gb * 1e9}
        return {name: min(value, self._largest.get(name) or value) for name, value in asked.items()}

    def _idle_actor(self, task: Task, need: _Need) -> _Actor | None:
        if not task.warm or task.isolate:
            return None
        fitting = (a for a in self._actors if a.warm == task.warm and a.need == need and a.idle_since is not None)
        return next(fitting, None)

    def _room_for(self, need: _Need) -> bool:
        if self._fits(need):
            return True
        while any(actor.idle_since is not None for actor in self._actors):  # of stages that have nothing to do
            oldest = min((a for a in self._actors if a.idle_since is not None), key=lambda a: a.idle_since or 0)
            self._release(oldest)
            if self._fits(need):
                return True
        return False

    def _fits(self, need: _Need) -> bool:
        held = [actor.need for actor in self._actors]
        held += [run.need for run in self._running.values() if run.actor is None]
        if not held:
            return True
        slack = 1 if self._owned else 2  # what waits in Ray tells an autoscaler to add nodes
        limit = {name: slack * value for name, value in self._total.items()}
        if self._workers:
            limit["CPU"] = min(limit["CPU"], self._workers)
        return all(sum(h[name] for h in held) + need[name] <= limit[name] + 1e-6 for name in need if need[name])

    def _start(self, task: Task, wire: bytes, need: _Need, actor: _Actor | None) -> None:
        threads = max(1, math.ceil(need["CPU"]))
        options = {
            "num_cpus": need["CPU"],
            "num_gpus": need["GPU"],
            "memory": int(need["memory"]),
            "runtime_env": {"env_vars": machine.thread_variables(threads)},
        }
        token = uuid.uuid4().hex
        spec: dict[str, Any] = {"function": self._function, "path": machine.import_path(), "token": token}
        if task.warm and not task.isolate:
            if actor is None:
                handle = self._remote_actor.options(max_restarts=0, max_task_retries=0, **options).remote()
                actor = _Actor(handle=handle, warm=task.warm, need=need, threads=threads)
                self._actors.append(actor)
            actor.idle_since = None
            ref = actor.handle.run.remote(spec, wire)
        else:
            spec |= {"isolate_threads": threads if task.isolate else 0}
            ref = self._remote.options(max_retries=0, name=task.id, **options).remote(spec, wire)
        self._running[ref] = _Run(task=task, token=token, need=need, actor=actor)

    def _release_idle(self, after_s: float) -> None:
        now = time.monotonic()
        for actor in list(self._actors):
            if actor.idle_since is not None and now - actor.idle_since > after_s:
                self._release(actor)

    def _release(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        self._kill(actor)

    def _kill(self, actor: _Actor) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(actor.handle, no_restart=True)

    # --- outcomes ---

    def _collect(self, timeout: float) -> None:
        ready, rest = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        if ready and rest:
            more, _ = self._ray.wait(rest, num_returns=len(rest), timeout=0)
            ready += more
        fallen: list[tuple[_Run, Exception]] = []
        for ref in ready:
            run = self._running.pop(ref)
            try:
                self._done.append(outcome_from(run.task.id, self._ray.get(ref)))
            except Exception as exc:  # noqa: BLE001 - whatever Ray raises is how the task ended
                fallen.append((run, exc))
                if run.actor in self._actors:
                    self._release(run.actor)
            else:
                if run.actor is not None:
                    run.actor.idle_since = time.monotonic()
        words = self._last_words([run.token for run, _ in fallen]) if fallen else {}
        self._done += [self._fallen(run, exc, words.get(run.token, "")) for run, exc in fallen]

    def _fallen(self, run: _Run, exc: Exception, words: str) -> Outcome:
        status, failure = _diagnose(exc, words)
        seconds = time.monotonic() - run.began
        return Outcome(id=run.task.id, status=status, error=failure, seconds=seconds)

    def _last_words(self, tokens: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for answer in self._ask_nodes(read_words, tokens).values():
            found |= {token: text for token, text in answer.items() if text} if answer else {}
        return found


def _diagnose(exc: Exception, words: str) -> tuple[Status, Failure]:
    """The status that an exception of `ray.get` stands for."""
    from ray import exceptions as of_ray

    message = str(exc).strip()
    if TIMEOUT_MARK in words:
        hint = "raise timeout_s, or look at the stacks"
        return "timeout", engine_failure("the time limit of a batch has passed", hint=hint, words=words)
    if isinstance(exc, of_ray.OutOfMemoryError) or "low on memory" in message:
        return "oom", engine_failure("Ray killed a worker: out of memory", hint="raise memory_gb", words=message)
    if isinstance(exc, of_ray.RayTaskError):  # raised outside the work function, which reports its own
        cause = exc.cause if isinstance(exc.cause, BaseException) else exc
        return "error", failure_from(describe(cause))
    lost = (
        of_ray.WorkerCrashedError,
        of_ray.RayActorError,
        of_ray.NodeDiedError,
        of_ray.ObjectLostError,
        of_ray.LocalRayletDiedError,
        of_ray.TaskCancelledError,
    )
    if isinstance(exc, lost):
        first = message.splitlines()[0] if message else ""
        return "lost", engine_failure(f"{type(exc).__name__}: {first}", words=words or message)
    return "error", engine_failure(f"{type(exc).__name__}: {message}"[:500], words=message)


def _init(ray: Any, *, owned: bool, cpus: int) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    with _environment(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_task_oom_retries="0",
        PYTHONPATH=os.pathsep.join(machine.import_path()),
    ):
        try:
            if owned:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **quiet,
                )
            else:
                ray.init(**quiet)
        except (OSError, RuntimeError, ValueError) as exc:
            where = "" if owned else f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}"
            raise EngineError(f"Ray did not start: {exc}", where=where, hint="try --engine local") from exc


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
