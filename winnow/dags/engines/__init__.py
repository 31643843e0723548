"""Engines: where tasks run. `choose_engine` picks one; `base` is the seam all of them keep."""

from __future__ import annotations

import importlib.util
import os

from winnow.core.errors import ConfigError
from winnow.dags.engines import machine
from winnow.dags.engines.base import WORK, Engine, Failure, Outcome, Task, beat, conceal, describe, watchdog
from winnow.dags.engines.local import LocalEngine

__all__ = [
    "Engine",
    "Failure",
    "LocalEngine",
    "Outcome",
    "Task",
    "beat",
    "choose_engine",
    "conceal",
    "describe",
    "watchdog",
]

MANY_PARTS = 256  # where a Ray start of 5 to 13 s stops mattering


def choose_engine(
    name: str, *, workers: int | None = None, pending: int, function: str = WORK, memory_gb: float | None = None
) -> Engine:
    """The engine for a run with `pending` units of work; engines start nothing before their first task.

    `auto` is Ray where RAY_ADDRESS is set or at least MANY_PARTS units wait, and else the local pool.
    `workers` is the number of CPUs to use (default: all that are available); 0 runs tasks in this process.
    `memory_gb` is what tasks may have together on this machine, or one task on a cluster (default: what is free).

    Raises: ConfigError for an unknown name or a negative number of workers.
    """
    if name not in {"auto", "local", "ray"}:
        raise ConfigError(f"unknown engine {name!r}", hint="known: auto, local, ray")
    if workers is not None and workers < 0:
        raise ConfigError(f"workers must be 0 or more, not {workers}")
    if pending and (name == "ray" or (name == "auto" and workers != 0 and _ray_pays(pending))):
        from winnow.dags.engines.on_ray import RayEngine

        return RayEngine(workers=workers or None, function=function, memory_gb=memory_gb)
    many = machine.available_cpus() if workers is None else workers
    return LocalEngine(workers=many, function=function, memory_gb=memory_gb)


def _ray_pays(pending: int) -> bool:
    if os.environ.get("RAY_ADDRESS"):
        return True
    return pending >= MANY_PARTS and importlib.util.find_spec("ray") is not None
