"""From what a person types to a plan and a finished run: roots, run names, and the records of earlier runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from winnow.core.errors import ConfigError, StoreError, did_you_mean
from winnow.core.store import Store, attempt_id
from winnow.dags.plan import Node, Plan, make_plan
from winnow.dags.runner import Runner, RunResult, RunSettings, Watcher
from winnow.dags.spec import load_recipe

RUNS = Path("runs")
ALIVE_S = 300.0  # a driver on another host whose heartbeat is older than this is gone


@dataclass(frozen=True, kw_only=True)
class Session:
    """A recipe planned for one run root."""

    name: str
    root: Path
    store: Store
    plan: Plan

    def nodes(self, until: str | None = None) -> list[Node]:
        """All nodes, or those that stage `until` needs. Raises ConfigError for an unknown stage."""
        return self.plan.nodes if until is None else self.plan.until(until)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """`runs/{name}.json` of a root: the stages of the last run of that name, by name."""

    name: str
    store: Store
    stages: Mapping[str, Mapping[str, Any]]

    def shown_names(self) -> dict[str, str]:
        """Stage as recorded -> the name a person knows: a composite's face has the name of its stage."""
        return {n: _shown(n, str(s.get("face_of", "")), hidden=bool(s.get("hidden"))) for n, s in self.stages.items()}


def shown_name(node: Node) -> str:
    """The name under which a stage is reported: a composite's last sub-stage stands for the whole."""
    return _shown(node.name, node.face_of, hidden=node.hidden)


def parse_sets(pairs: Sequence[str]) -> dict[str, str]:
    """`k=v` texts as a mapping. Raises ConfigError where one is not of this form."""
    out = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {pair!r} is not KEY=VALUE", hint="for example --set seed=8 or --set clean.preset=c4"
            )
        out[key.strip()] = value
    return out


def prepare(
    source: str, *, out: str | None = None, sets: Mapping[str, str] | None = None, name: str | None = None,
    until: str | None = None, write: bool = False,
) -> Session:  # fmt: skip
    """A recipe (path or built-in name) planned for root `out` (default: `runs/{recipe name}`), up to stage `until`.

    `write`: the root is created and must be writable; else nothing is created.
    Raises: ConfigError on anything that cannot work; nothing has run.
    """
    recipe = load_recipe(source, sets=sets)
    root = (Path(out) if out else RUNS / recipe.name).absolute()
    store = Store(root)
    if write:
        check_writable(root)
    cache = store if write or (root.is_dir() and os.access(root, os.W_OK)) else None
    return Session(
        name=_run_name(name or recipe.name), root=root, store=store, plan=make_plan(recipe, cache, until=until)
    )


def run_recipe(
    source: str, *, out: str | None = None, sets: Mapping[str, str] | None = None, name: str | None = None,
    until: str | None = None, engine: str = "auto", workers: int | None = None,
) -> RunResult:  # fmt: skip
    """A recipe brought up to date below `out`, as `winnow run` does it; finished stages are reused.

    Raises: ConfigError before anything has run; DataError, EngineError after everything else has run.
    """
    session = prepare(source, out=out, sets=sets, name=name, until=until, write=True)
    runner = make_runner(session, engine=engine, workers=workers, partial=until is not None)
    return runner.run(session.plan, session.nodes(until))


def make_runner(
    session: Session, *, engine: str, workers: int | None, watcher: Watcher | None = None, partial: bool = False
) -> Runner:
    """A runner for a session. Raises ConfigError for an engine or a number of workers that cannot be."""
    if engine not in ("auto", "local", "ray"):
        raise ConfigError(
            f"unknown engine {engine!r}", where="--engine", hint=did_you_mean(engine, ["auto", "local", "ray"])
        )
    if workers is not None and workers < 0:
        raise ConfigError(
            f"{workers} workers", where="--workers", hint="0 runs in this process; leave it out for all CPUs"
        )
    return Runner(
        session.store, RunSettings(name=session.name, engine=engine, workers=workers, partial=partial), watcher
    )


def check_writable(root: Path) -> None:
    """Nothing, where files can be made below `root` (which is created). Raises ConfigError otherwise."""
    probe = root / f".probe.{attempt_id()}.tmp"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"cannot write to the run root: {error.strerror or error}", where=str(root), hint="choose another --out"
        ) from error


def find_root(run: str) -> Path:
    """The run root that a path or the name of a folder below ./runs means. Raises ConfigError otherwise."""
    for path in (Path(run), RUNS / run):
        if (path / "runs").is_dir():
            return path.absolute()
    near = [p.name for p in RUNS.glob("*") if (p / "runs").is_dir()] if RUNS.is_dir() else []
    hint = did_you_mean(run, near) if near else "give the --out of a run: it holds a folder `runs`"
    raise ConfigError(f"no run at {run!r}", where=str(Path.cwd()), hint=hint)


def latest_record(store: Store, name: str | None = None) -> RunRecord:
    """The record of run `name`, or of the latest run of this root. Raises ConfigError where there is none."""
    keys = store.list("runs")
    names = [Path(k).stem for k in keys if k.endswith(".json")]
    if not names:
        raise ConfigError(
            "this root has no run", where=str(store.root), hint="`winnow run RECIPE --out ROOT` makes one"
        )
    if name is not None and name not in names:
        raise ConfigError(f"no run {name!r} in this root", where=str(store.root), hint=did_you_mean(name, names))
    found = name or max(names, key=lambda n: (store.path(f"runs/{n}.json").stat().st_mtime_ns, n))
    return read_record(store, found)


def read_record(store: Store, name: str) -> RunRecord:
    """`runs/{name}.json`. Raises StoreError where it is not what this version of winnow writes."""
    key = f"runs/{name}.json"
    try:
        body = orjson.loads(store.get(key))
        stages = body["stages"]
        good = body.get("format", 1) == 1 and all(
            isinstance(s["dir"], str) and isinstance(s["kind"], str) for s in stages.values()
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        good, stages = False, {}
    if not good:
        raise StoreError(
            "this run was recorded in a form that this version of winnow does not read",
            where=str(store.path(key)), hint="run the recipe again into this root: finished stages are reused",
        )  # fmt: skip
    return RunRecord(name=name, store=store, stages=stages)


def record_or_none(store: Store, name: str) -> RunRecord | None:
    """The record of run `name`; None where it was never run or was recorded in another form."""
    if not store.exists(f"runs/{name}.json"):
        return None
    with suppress(StoreError):
        return read_record(store, name)
    return None


def living_drivers(store: Store) -> list[str]:
    """Heartbeats (`host-pid`) of drivers that may still be running.

    On this host the process decides; of another host a heartbeat younger than five minutes does.
    """
    alive = []
    for key in store.list("alive"):
        name = Path(key).stem
        host, _, pid = name.rpartition("-")
        try:
            beat = store.path(key).stat().st_mtime
        except FileNotFoundError:
            continue
        here = host == socket.gethostname() and pid.isdigit()
        if _was_running(int(pid), beat) if here else time.time() - beat < ALIVE_S:
            alive.append(name)
    return alive


def _was_running(pid: int, at: float) -> bool:
    """True where process `pid` lives and is the one that lived at that time."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= at + 1.0)
    except psutil.Error:
        return False


def entered(watcher: Watcher | None) -> AbstractContextManager[Any]:
    """A context that shows and takes away what the watcher draws."""
    return watcher if isinstance(watcher, AbstractContextManager) else nullcontext()


def _run_name(name: str) -> str:
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"{name!r} cannot name a run", where="--name", hint="letters, digits, - and _")
    return name


def _shown(name: str, face_of: str, *, hidden: bool) -> str:
    return face_of if face_of and not hidden else name
