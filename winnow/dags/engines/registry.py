"""Names of engines -> where they live; nothing is imported until it is chosen. A new engine is a line here."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winnow.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from winnow.dags.engines.base import Engine

AUTO = "auto"
WORKERS_VARIABLE = "WINNOW_WORKERS"
MANY_PARTS = 256  # where a Ray start of 5 to 13 s stops mattering


def _never(pending: int, workers: int | None) -> bool:
    return False


def _always(pending: int, workers: int | None) -> bool:
    return True


def _ray_pays(pending: int, workers: int | None) -> bool:
    """Ray, where a cluster is named or many units wait; `workers=0` means this process."""
    if not pending or workers == 0:
        return False
    return bool(os.environ.get("RAY_ADDRESS")) or (
        pending >= MANY_PARTS and importlib.util.find_spec("ray") is not None
    )


@dataclass(frozen=True)
class Entry:
    """One engine: `module:Class`, what it is, and whether `auto` takes it for units that wait and CPUs given."""

    place: str
    what: str
    suits: Callable[[int, int | None], bool] = _never


ENGINES: dict[str, Entry] = {  # `auto` asks them in this order
    "ray": Entry("winnow.dags.engines.on_ray:RayEngine", "the cluster of RAY_ADDRESS, or one started here", _ray_pays),
    "local": Entry("winnow.dags.engines.local:LocalEngine", "processes of this machine", _always),
}


def engine_names() -> list[str]:
    """Every name that may be chosen."""
    return [AUTO, *ENGINES]


def engine_help() -> str:
    """What each name means, for `--help`."""
    return "; ".join(f"{name}: {entry.what}" for name, entry in ENGINES.items()) + "; auto: the first that suits"


def workers_given(workers: int | None) -> int | None:
    """The number of CPUs that was asked for: as given, else as WINNOW_WORKERS says, else None (all there are).

    Raises: ConfigError where the variable is no whole number.
    """
    told = os.environ.get(WORKERS_VARIABLE, "").strip()
    if workers is not None or not told:
        return workers
    try:
        return int(told)
    except ValueError:
        hint = "a whole number, 0 for this process; or leave it out for all CPUs"
        raise ConfigError(f"{told!r} is no number of workers", where=WORKERS_VARIABLE, hint=hint) from None


def check_engine(name: str, workers: int | None) -> None:
    """Check a choice before anything runs. Raises: ConfigError for an unknown name or negative `workers`."""
    names = engine_names()
    if name not in names:
        raise ConfigError(f"unknown engine {name!r}", where="--engine", hint=did_you_mean(name, names))
    if workers is not None and workers < 0:
        hint = "0 runs in this process; leave it out for all CPUs"
        raise ConfigError(f"workers must be 0 or more, not {workers}", where="--workers", hint=hint)


def choose_engine(name: str, *, pending: int, workers: int | None = None, memory_gb: float | None = None) -> Engine:
    """The engine for a run with `pending` units of work; engines start nothing before their first task.

    `auto`, and any name where no unit waits, is the first engine that suits.
    `workers` is the number of CPUs to use (default: all that are available); 0 runs tasks in this process.
    `memory_gb` is what tasks may have together on this machine, or one task on a cluster (default: what is free).

    Raises: ConfigError as `check_engine`.
    """
    check_engine(name, workers)
    if name == AUTO or not pending:
        name = next(known for known, entry in ENGINES.items() if entry.suits(pending, workers))
    module, _, attribute = ENGINES[name].place.partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)(workers=workers, memory_gb=memory_gb)
    return engine
