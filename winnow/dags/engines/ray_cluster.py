"""The cluster of a Ray engine: joined or started, looked at, asked, left; and what its exceptions mean."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from typing import Any

from winnow.core.errors import EngineError
from winnow.core.installing import install_extra
from winnow.core.operators import Resources
from winnow.dags.engines import machine
from winnow.dags.engines.base import Death
from winnow.dags.engines.failures import describe, engine_failure, failure_from
from winnow.dags.engines.time_limits import timed_out

_LOOK_S = 2.0  # how long a view of the cluster's resources is believed
_OBJECT_STORE_BYTES = 128 << 20  # payloads are paths: nothing large goes through it


class RayCluster:
    """The cluster that RAY_ADDRESS names, or one of this machine; nothing happens before `connect`."""

    def __init__(self, workers: int | None) -> None:
        self._workers = workers
        self.ray: Any = None
        self._remotes: dict[Any, Any] = {}
        self.owned = False  # we started it
        self._attached = False  # we called ray.init
        self._looked = -math.inf
        self.total = Resources(cpus=0, memory_gb=0)
        self.largest = Resources(cpus=0, memory_gb=0)  # of one node, each by itself

    def connect(self) -> Any:
        """Ray, joined to the cluster, with a view of its resources that is at most seconds old.

        Raises: EngineError if Ray is missing or does not start.
        """
        if self.ray is None:
            machine.refuse_package_folder()
            try:
                import ray
            except ImportError as exc:
                raise EngineError("Ray is not installed", hint=f"{install_extra('ray')}, or --engine local") from exc
            if not ray.is_initialized():
                self.owned = not os.environ.get("RAY_ADDRESS")
                _init(ray, owned=self.owned, cpus=self._workers or machine.available_cpus())
                self._attached = True
            self.ray = ray
        if time.monotonic() - self._looked > _LOOK_S:
            self._look()
        return self.ray

    def _look(self) -> None:
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        columns = {name: [node.get(name, 0) for node in nodes] or [0] for name in ("CPU", "GPU", "memory")}
        cpus, gpus, memory = columns.values()
        self.total = Resources(cpus=sum(cpus), gpus=sum(gpus), memory_gb=sum(memory) / 1e9)
        self.largest = Resources(cpus=max(cpus), gpus=max(gpus), memory_gb=max(memory) / 1e9)
        self._looked = time.monotonic()

    def remote(self, what: Any) -> Any:
        """A function or class as Ray runs it; it is sent to the cluster once."""
        if what not in self._remotes:
            self._remotes[what] = self.connect().remote(what)
        return self._remotes[what]

    def ask_nodes(self, function: Any, *args: Any, within: float) -> dict[str, Any]:
        """Node name -> what `function(*args)` returns there, '' where it fails, None after `within` seconds."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self.connect()
        remote = self.remote(function)
        names: dict[Any, str] = {}
        answers: dict[str, Any] = {}
        for node in ray.nodes():
            if node["Alive"]:
                here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ref = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(*args)
                names[ref] = f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"
        ready, late = ray.wait(list(names), num_returns=len(names), timeout=within)
        for ref in ready:
            try:
                answers[names[ref]] = ray.get(ref)
            except ray.exceptions.RayError:  # the node went, or the function failed there
                answers[names[ref]] = ""
        for ref in late:
            ray.cancel(ref, force=True)
            answers[names[ref]] = None
        return answers

    def leave(self) -> None:
        """Leave the cluster, or stop it if it was started here."""
        if self._attached:
            self.ray.shutdown()
        self.ray, self.owned, self._attached = None, False, False
        self._remotes.clear()


def death_from(exc: Exception, words: str) -> Death:
    """How a task ended for which `ray.get` raises; `words` are the last ones of its worker."""
    from ray import exceptions as of_ray

    message = str(exc).strip()
    if death := timed_out(words):
        return death
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
        **(machine.thread_variables(1) if owned else {}),
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
