"""From what a person types to a plan and a finished run: roots, run names, and the records of earlier runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from winnow.core.errors import ConfigError, StoreError
from winnow.core.quick_start import without_pandas_if_ours
from winnow.core.store.locations import open_store
from winnow.core.store.store import Store
from winnow.dags.driver.runner import Runner, RunResult, RunSettings, Watcher
from winnow.dags.engines.machine import available_cpus
from winnow.dags.engines.registry import check_engine, workers_given
from winnow.dags.recipe.plan import Node, Plan, make_plan
from winnow.dags.recipe.records import RUNS, shown
from winnow.dags.recipe.registry import REGISTRY
from winnow.dags.recipe.yaml_recipe import Recipe, load_recipe, run_name
from winnow.dags.shapes.options import Options

_FUNCTION = re.compile(r"[\w./-]+:\w+\Z")


@dataclass(frozen=True, kw_only=True)
class Session:
    """A recipe planned for one run root."""

    name: str
    store: Store
    plan: Plan
    sets: Mapping[str, str] = field(default_factory=dict)  # what was set on the command line

    def nodes(self, until: str | None = None) -> list[Node]:
        """All nodes, or those that stage `until` needs. Raises ConfigError for an unknown stage."""
        return self.plan.nodes if until is None else self.plan.until(until)


def shown_name(node: Node) -> str:
    """The name under which a stage is reported: a composite's last sub-stage stands for the whole."""
    return shown(node.name, node.face_of, hidden=node.hidden)


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
    if not names_user_code(recipe):
        without_pandas_if_ours()
    found = planned(recipe, out=out, name=name, until=until, write=write)
    return replace(found, sets=dict(sets or {}))


def names_user_code(recipe: Recipe) -> bool:
    """Whether a recipe uses an operator that is not winnow's, or a value in it may name a function (`module:name`)."""
    return any(
        stage.use not in REGISTRY or _names_function({k: v for k, v in stage.config.items() if k != "id"})
        for stage in recipe.stages
    )


def _names_function(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_function, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_function, value))
    return isinstance(value, str) and _FUNCTION.match(value) is not None


def planned(
    recipe: Recipe, *, out: str | None = None, name: str | None = None, until: str | None = None, write: bool = False
) -> Session:
    """A recipe planned for a root, as `prepare` does it. Raises ConfigError on anything that cannot work."""
    called = run_name(name or recipe.name, where="--name")
    store = open_store(out or RUNS / recipe.name)
    if write:
        check_writable(store)
    cache = store if write or store.writable() else None
    return Session(name=called, store=store, plan=make_plan(recipe, cache, until=until, root=store.location))


def run_recipe(
    source: str, *, out: str | None = None, sets: Mapping[str, str] | None = None, name: str | None = None,
    until: str | None = None, engine: str = "auto", workers: int | None = None, memory_gb: float | None = None,
) -> RunResult:  # fmt: skip
    """A recipe brought up to date below `out`, as `winnow run` does it; finished stages are reused.

    Raises: ConfigError before anything has run; DataError, EngineError after everything else has run.
    """
    session = prepare(source, out=out, sets=sets, name=name, until=until, write=True)
    runner = make_runner(session, engine=engine, workers=workers, memory_gb=memory_gb, until=until)
    return runner.run(session.plan, session.nodes(until))


def make_runner(
    session: Session, *, engine: str, workers: int | None, memory_gb: float | None = None,
    watcher: Watcher | None = None, until: str | None = None,
) -> Runner:  # fmt: skip
    """A runner for a session. Raises ConfigError for an engine, a number of workers or a memory that cannot be."""
    workers = workers_given(workers)
    check_engine(engine, workers)
    if memory_gb is not None and not 0 < memory_gb < float("inf"):
        hint = "gigabytes that tasks may take, as 16; leave it out for what is free"
        raise ConfigError(f"{memory_gb:g} GB of memory", where="--memory", hint=hint)
    slots = 1 if engine == "ray" else workers or (available_cpus() if workers is None else 1)
    options = Options(worker_gb=memory_gb and memory_gb / slots)  # on a cluster it is that of one task
    settings = RunSettings(name=session.name, engine=engine, workers=workers, memory_gb=memory_gb, options=options,
                           partial=until is not None, sets=session.sets, until=until)  # fmt: skip
    return Runner(session.store, settings, watcher)


def check_writable(store: Store) -> None:
    """Create the run root and check that files can be made in it. Raises ConfigError otherwise."""
    try:
        store.create()
    except StoreError as error:
        reason = error.what.removeprefix("the store failed: ")
        hint = "; ".join(dict.fromkeys(h for h in (error.hint, "choose another --out") if h))
        raise ConfigError(f"cannot write to the run root: {reason}", where=store.where(), hint=hint) from error


def entered(watcher: Watcher | None) -> AbstractContextManager[Any]:
    """A context that shows and takes away what the watcher draws."""
    return watcher if isinstance(watcher, AbstractContextManager) else nullcontext()
