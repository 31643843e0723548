"""Records of earlier runs: which roots hold runs, what `runs/{name}.json` says, who is still at work there.

Importing this module is cheap: what only looks at a finished run needs neither plans nor engines.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError, StoreError, did_you_mean
from winnow.core.store.locations import SCHEMES, open_store, scheme_of
from winnow.core.store.store import Store

RUNS = Path("runs")
ALIVE_S = 300.0  # a driver on another host whose heartbeat is older than this is gone


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a root recorded of one run: its stages by name, and when and how it ran.

    `name` is that of the run, for an earlier run of it NAME@NUMBER: what addresses it in every verb.
    """

    name: str
    store: Store
    stages: Mapping[str, Mapping[str, Any]]
    body: Mapping[str, Any] = field(default_factory=dict)  # all that was written

    @property
    def number(self) -> int:
        """Its number among the runs of its name; 0 where an earlier version recorded it."""
        return int(self.body.get("number") or 0)

    @property
    def began(self) -> str:
        """When the run began, ISO 8601 in UTC; '' where an earlier version recorded it."""
        return str(self.body.get("began") or "")

    def shown_names(self) -> dict[str, str]:
        """Stage as recorded -> the name a person knows: a composite's face has the name of its stage."""
        return {n: shown(n, str(s.get("face_of", "")), hidden=bool(s.get("hidden"))) for n, s in self.stages.items()}


def find_root(run: str) -> str:
    """The location that a path, a `scheme://...` or the name of a folder below ./runs means.

    Raises: ConfigError where no run lies there.
    """
    if scheme_of(run):
        if scheme_of(run) in SCHEMES and not open_store(run).exists("runs"):
            raise ConfigError(f"no run at {run!r}", hint="give the --out of a run: it holds a folder `runs`")
        return run
    for path in (Path(run), RUNS / run):
        if (path / "runs").is_dir():
            return str(path.absolute())
    near = [p.name for p in RUNS.glob("*") if (p / "runs").is_dir()] if RUNS.is_dir() else []
    hint = did_you_mean(run, near) if near else "give the --out of a run: it holds a folder `runs`"
    raise ConfigError(f"no run at {run!r}", where=str(Path.cwd()), hint=hint)


def latest_record(store: Store, name: str | None = None) -> RunRecord:
    """The record of run `name`, or of the latest run of this root. Raises ConfigError where there is none."""
    keys = store.list("runs")
    names = [Path(k).stem for k in keys if k.endswith(".json")]
    if not names:
        raise ConfigError("this root has no run", where=store.where(), hint="`winnow run RECIPE --out ROOT` makes one")
    if name is not None and name not in names:
        raise ConfigError(f"no run {name!r} in this root", where=store.where(), hint=did_you_mean(name, names))
    latest = name or max(names, key=lambda n: (_modified_ns(store, f"runs/{n}.json") or 0, n))
    return read_record(store, latest)


def read_record(store: Store, name: str) -> RunRecord:
    """`runs/{name}.json`, the latest of its name. Raises StoreError where it is of another version of winnow."""
    return record_in(store, f"runs/{name}.json", name)


def record_in(store: Store, key: str, name: str) -> RunRecord:
    """The record in the file `key`. Raises StoreError where it is not what this version of winnow writes."""
    try:
        body = orjson.loads(store.get(key))
        stages = body["stages"]
        good = body.get("format", 1) == 1 and all(
            isinstance(s["dir"], str) and isinstance(s["kind"], str) for s in stages.values()
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        good, body, stages = False, {}, {}
    if not good:
        raise StoreError(
            "this run was recorded in a form that this version of winnow does not read",
            where=store.where(key), hint="run the recipe again into this root: finished stages are reused",
        )  # fmt: skip
    return RunRecord(name=name, store=store, stages=stages, body=body)


def record_or_none(store: Store, name: str) -> RunRecord | None:
    """The record of run `name`; None where it was never run or was recorded in another form."""
    if not store.exists(f"runs/{name}.json"):
        return None
    with suppress(StoreError):
        return read_record(store, name)
    return None


def living_drivers(store: Store) -> list[str]:
    """Heartbeats (`host-pid`) of drivers that may still be running.

    On this host the process decides; of another host a heartbeat younger than five minutes does, by the store's clock.
    """
    alive, now = [], 0.0
    for key in store.list("alive"):
        name = Path(key).stem
        host, _, pid = name.rpartition("-")
        beat_ns = _modified_ns(store, key)
        if beat_ns is None:
            continue
        if host == socket.gethostname() and pid.isdigit():
            living = _was_running(int(pid), _own_time(store, key) or beat_ns / 1e9)
        else:
            now = now or store.clock()
            living = now - beat_ns / 1e9 < ALIVE_S
        if living:
            alive.append(name)
    return alive


def _own_time(store: Store, key: str) -> float:
    """The time of a heartbeat by the clock of the host that made it; 0 where it does not say."""
    try:
        return float(orjson.loads(store.find(key) or b"{}").get("time", 0.0))
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return 0.0


def _modified_ns(store: Store, key: str) -> int | None:
    stat = store.stat(key)
    return None if stat is None else stat.modified_ns


def _was_running(pid: int, at: float) -> bool:
    """True where process `pid` lives and is the one that lived at that time."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= at + 1.0)
    except psutil.Error:
        return False


def units_done(store: Store, folder: str) -> int:
    """Receipts of an unfinished stage."""
    return sum(len(store.list(f"{folder}/receipts/{phase}")) for phase in store.folders(f"{folder}/receipts"))


def shown(name: str, face_of: str, *, hidden: bool) -> str:
    """The name under which a stage is reported, from what its record says."""
    return face_of if face_of and not hidden else name
