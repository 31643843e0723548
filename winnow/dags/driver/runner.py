"""The runner: submits a task when the receipts it needs exist, owns retries, and holds nothing that is not on disk.

Branches run side by side and chains of Maps stream part by part; Maps over one part share a task, those behind one
another too; at most twice the engine's capacity is in flight. A unit is tried again after a lost worker or memory
(twice) and after an unexpected exception (once), never after bad data; then a Map's part is taken apart row by row in
a process of its own, and every other unit fails alone while the rest goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from winnow.core.errors import (
    ConfigError,
    DataError,
    EngineError,
    Interrupted,
    StoreError,
    UnansweredError,
    WinnowError,
)
from winnow.core.operators import Resources
from winnow.core.store.store import Store
from winnow.core.terminal import counted
from winnow.dags.driver import memory as memory_need
from winnow.dags.driver.chains import Chains
from winnow.dags.driver.expected import Checks, await_columns
from winnow.dags.driver.recording import Recording, driver_name
from winnow.dags.driver.remarks import refused_remarks
from winnow.dags.driver.work_queue import WorkQueue
from winnow.dags.engines.base import Engine, Outcome, Task
from winnow.dags.engines.registry import choose_engine
from winnow.dags.recipe.expected import of_equal_stages
from winnow.dags.recipe.plan import Node, Plan
from winnow.dags.shapes.options import Options
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.table import shape_of
from winnow.dags.shapes.unit_task import to_wire

HEARTBEAT_S = 30.0
MOST_FAILED = 3  # stages named beside the first failure
RETRIES = {"lost": 2, "oom": 2, "timeout": 0, "error": 1}
FINAL = (DataError, ConfigError, StoreError, UnansweredError)  # errors that another try cannot cure


class Watcher(Protocol):
    """Shows a run to a person."""

    def update(self, runs: Sequence[StageRun], *, force: bool = False) -> None:
        """Called after every change and at least once a second."""


@dataclass(kw_only=True)
class RunSettings:
    """Where and how a plan is run; nothing here changes a result."""

    name: str
    engine: str = "auto"
    workers: int | None = None
    memory_gb: float | None = None  # what tasks may have; default: what is free
    options: Options = field(default_factory=Options)
    partial: bool = False  # only some stages of the recipe: the record keeps what it says of the others
    sets: Mapping[str, str] = field(default_factory=dict)  # for the record: what was set on the command line
    until: str | None = None  # for the record


@dataclass(kw_only=True)
class RunResult:
    """What a run left: one entry per stage, in plan order."""

    name: str
    root: str
    runs: list[StageRun]
    seconds: float

    def run_of(self, node: Node) -> StageRun:
        """The stage run of a node (stages of equal fingerprint share one)."""
        return next(r for r in self.runs if r.node.folder == node.folder)


class Runner:
    """Brings the nodes of a plan up to date."""

    def __init__(self, store: Store, settings: RunSettings, watcher: Watcher | None = None) -> None:
        self.store, self.settings, self.watcher = store, settings, watcher
        self.queue, self.chains = WorkQueue({}), Chains([])
        self.flying: dict[str, list[Item]] = {}
        self.engine: Engine | None = None
        self.runs: list[StageRun] = []
        self.checks = Checks(expected={}, runs={})
        self.last_beat = 0.0
        self.tasks = 0
        self.number = 0  # of the record

    def run(self, plan: Plan, nodes: Sequence[Node]) -> RunResult:
        """Every node complete, or the first error after everything else has run.

        Raises: DataError, EngineError; Interrupted on Ctrl-C (finished units are committed).
        """
        begun = time.monotonic()
        self.runs = self._stage_runs(nodes)
        by_folder = {r.node.folder: r for r in self.runs}
        await_columns(by_folder, nodes)
        self.checks = Checks(expected=of_equal_stages(nodes), runs=by_folder)
        self.chains = Chains(self.runs)
        self.queue = WorkQueue({r.node.folder: place for place, r in enumerate(self.runs)})
        recording = Recording(store=self.store, name=self.settings.name, plan=plan, nodes=nodes, runs=self.runs,
                              partial=self.settings.partial, sets=self.settings.sets,
                              until=self.settings.until)  # fmt: skip
        recording.begin()
        self.number = recording.number
        try:
            self._work(nodes)
        except (Exception, KeyboardInterrupt) as error:
            with suppress(StoreError):  # what stopped the run is the news
                recording.end(error)
            raise
        recording.end()
        return RunResult(
            name=self.settings.name, root=self.store.location, runs=self.runs, seconds=time.monotonic() - begun
        )

    def _work(self, nodes: Sequence[Node]) -> None:
        """All that can be done; raises the first error after everything else has run."""
        self._beat()
        try:
            self._loop()
        except KeyboardInterrupt:
            raise Interrupted(
                "stopped; every finished unit is committed",
                where=self.store.where(), hint="run the same command again to go on",
            ) from None  # fmt: skip
        finally:
            self._shut_down()
        self._raise_failures()
        refused = refused_remarks(self.runs, nodes)
        if refused is not None:
            raise refused

    def _stage_runs(self, nodes: Sequence[Node]) -> list[StageRun]:
        by_folder: dict[str, StageRun] = {}
        for node in nodes:
            if node.folder not in by_folder:
                by_folder[node.folder] = shape_of(node.operator).run_class()(
                    node, self.store, by_folder, self.settings.options
                )
        for node in nodes:  # stages of equal fingerprint share a run, which waits for what any of them waits for
            by_folder[node.folder].after += [by_folder[n.folder] for n in node.after]
        return list(by_folder.values())

    def _loop(self) -> None:
        while True:
            progress = True
            while progress:
                before = sum(r.version for r in self.runs)
                for run in self.runs:
                    for item in run.poll():
                        self.queue.add(item)
                    self.checks.look(run)  # before those that build on it are asked
                progress = sum(r.version for r in self.runs) != before
            self._submit()
            if self.watcher:
                self.watcher.update(self.runs)
            if not self.flying:
                if self.queue or sum(run.overtaken() for run in self.runs):
                    continue
                break
            assert self.engine is not None
            for outcome in self.engine.wait(0.5):
                self._settle(outcome)
            self._beat()
        if self.watcher:
            self.watcher.update(self.runs, force=True)

    def _submit(self) -> None:
        if not self.queue:
            return
        if self.engine is None:
            self.engine = choose_engine(
                self.settings.engine, workers=self.settings.workers, pending=self._pending(),
                memory_gb=self.settings.memory_gb,
            )  # fmt: skip
            self.engine.probe(self.store)
        while self.queue and len(self.flying) < 2 * max(1, self.engine.capacity()):
            items = self.queue.take()
            if not items:
                break
            items = self._still_wanted(items)
            if not items:
                continue
            refused = memory_need.refusal(items[0], self.engine.memory_gb)
            if refused is not None:
                items[0].run.gave_up(items[0], refused)
                continue
            items += self.chains.behind(items)
            self.tasks += 1
            task = _task(f"{self.tasks}:{items[0].id}", items)
            self.engine.submit(task)
            self.flying[task.id] = items

    def _still_wanted(self, items: Sequence[Item]) -> list[Item]:
        """Items of stages that have not found out that nobody answers: the others would wait for that once more."""
        idle = [i for i in items if any(isinstance(error, UnansweredError) for error in i.run.failures)]
        for item in idle:
            item.run.released(item)
        return [i for i in items if not any(i is one for one in idle)]

    def _pending(self) -> int:
        return max([len(self.queue), *(len(r.inputs[0].parts) if r.inputs else 0 for r in self.runs if not r.manifest)])

    def _settle(self, outcome: Outcome) -> None:
        items = self.flying.pop(outcome.id)
        if outcome.status == "ok":
            for item in items:
                item.run.arrived(item)
            return
        error = outcome.error.exception() if outcome.error else EngineError(f"a worker was {outcome.status}")
        for item in items:
            if item.behind:
                item.run.released(item)
            else:
                self._again(item, outcome, error, alone=len(items) == 1)

    def _again(self, item: Item, outcome: Outcome, error: WinnowError, *, alone: bool) -> None:
        """Decide what is tried again, and how."""
        item.attempts += 1
        final = outcome.status == "error" and isinstance(error, FINAL)
        if not alone:  # which sibling is to blame shows when each runs by itself
            self.queue.add(item, first=True)
        elif not final and item.attempts <= RETRIES[outcome.status]:
            item.memory_scale = 2.0 if outcome.status == "oom" else item.memory_scale
            self.queue.add(item, first=True)
        elif outcome.status != "error" and (slower := item.task.row_by_row()) is not None:
            item.task, item.isolate, item.attempts = slower, True, 0
            self.queue.add(item)
        else:
            name = item.run.node.name
            where = error.where or f"stage {name}, unit {item.task.unit}"
            if name not in where and not where.startswith("/"):
                where = f"stage {name}: {where}"
            cls = DataError if isinstance(error, ConfigError) else type(error)
            item.run.gave_up(item, cls(error.what, where=where, hint=error.hint))

    def _beat(self) -> None:
        """A heartbeat that keeps gc away while this driver lives."""
        now = time.monotonic()
        if self.last_beat and now - self.last_beat < HEARTBEAT_S:
            return
        self.last_beat = now
        beat = {"time": time.time(), "run": self.settings.name, "number": self.number}
        self.store.put(self._alive_key(), orjson.dumps(beat))

    def _alive_key(self) -> str:
        return f"alive/{driver_name()}.json"

    def _shut_down(self) -> None:
        if self.engine is not None:
            if self.flying:
                self.engine.cancel()
            self.engine.close()
        with suppress(StoreError):  # of a store that is down; `gc` knows old heartbeats
            self.store.delete(self._alive_key())

    def _raise_failures(self) -> None:
        failures = [(r, e) for r in self.runs for e in r.failures]
        if not failures:
            stuck = [r.node.name for r in self.runs if r.manifest is None]
            if stuck:
                raise EngineError(
                    f"nothing is left to do and {len(stuck)} stages are not complete, first {stuck[0]!r}",
                    where=self.store.where(), hint="run again; if it stays so, it is a bug of winnow",
                )  # fmt: skip
            return
        run, error = max(failures, key=lambda pair: pair[1].exit_code == 4)
        names = list(dict.fromkeys(r.node.name for r, e in failures if e is not error))
        shown = f"{', '.join(names[:MOST_FAILED])}{', ...' if len(names) > MOST_FAILED else ''}"
        more = counted(len(failures) - 1, "more failed unit")
        what = error.what + (f" (and {more}: {shown})" if names else "")
        raise type(error)(what, where=error.where or f"stage {run.node.name}", hint=error.hint)


def _task(name: str, items: Sequence[Item]) -> Task:
    first, *others = items
    node = first.run.node
    return Task(
        id=name,
        payload=to_wire(first.task.together_with([item.task for item in others])),
        resources=_resources(first),
        warm=node.fingerprint if node.operator.warm else "",
        isolate=first.isolate,
        timeout_s=node.timeout_s if first.task.per_row else 0,
        user_code=node.user is not None,
    )


def _resources(item: Item) -> Resources:
    """What the operator asks for; a Whole one also the memory of as many rows as there are."""
    resources = item.run.node.operator.resources
    if item.task.all_rows:
        resources = dataclasses.replace(resources, memory_gb=max(resources.memory_gb, memory_need.wanted_gb(item.run)))
    if item.memory_scale != 1.0:
        resources = dataclasses.replace(resources, memory_gb=resources.memory_gb * item.memory_scale)
    return resources
