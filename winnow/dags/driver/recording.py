"""What a driver records of its run: when it began, with what, and how it ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from winnow.core.errors import Interrupted, StoreError
from winnow.core.store.store import Store
from winnow.dags.driver.expected import checked_json
from winnow.dags.recipe import history
from winnow.dags.recipe.plan import Node, Plan
from winnow.dags.shapes.stage_run import StageRun
from winnow.dags.shapes.work import versions


def driver_name() -> str:
    """Host and process of this driver: the name of its heartbeat."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(kw_only=True)
class Recording:
    """The record of one run. It is written first, so that gc keeps what the run is about to make."""

    store: Store
    name: str
    plan: Plan
    nodes: Sequence[Node]
    runs: Sequence[StageRun]
    partial: bool = False  # only some stages of the recipe: the record keeps what the latest one says of the others
    sets: Mapping[str, str] = field(default_factory=dict)
    until: str | None = None
    number: int = 0
    began: str = ""
    started: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Say that the run begins."""
        self.began = history.now()
        self.number = history.begin(self.store, self.name, self._body())

    def end(self, error: BaseException | None = None) -> None:
        """Say how the run ended. Where it failed, what the store says of this record does not hide why."""
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        facts: dict[str, Any] = {"ended": history.now(), "seconds": round(time.monotonic() - self.started, 3)}
        facts["outcome"] = "finished" if error is None else "interrupted" if stopped else "failed"
        if error is None:
            history.end(self.store, self.name, self.number, self._body() | facts)
            return
        facts["error"] = {"kind": type(error).__name__, "what": " ".join(str(error).split())[:1000]}
        with suppress(StoreError, OSError):
            history.end(self.store, self.name, self.number, self._body() | facts)

    def _body(self) -> dict[str, Any]:
        recipe = self.plan.recipe
        return {
            "format": 1, "run": self.name, "recipe": recipe.name, "seed": recipe.seed, "began": self.began,
            "driver": driver_name(), "versions": versions(), "sets": dict(self.sets), "until": self.until,
            "recipe_text": recipe.text, "stages": self._stages(),
            "remarks": [{"stage": r.stage, "text": r.text} for r in self.plan.remarks],
        }  # fmt: skip

    def _stages(self) -> dict[str, Any]:
        runs = {r.node.folder: r for r in self.runs}
        metrics = {r.node.folder: r.manifest.metrics for r in self.runs if r.manifest}
        stages = {n.name: {"dir": n.folder, "kind": n.kind.value, "face_of": n.face_of, "hidden": n.hidden,
                           "implicit": n.implicit, "operator": n.operator.name, "fingerprint": n.fingerprint,
                           "metrics": metrics.get(n.folder, {}), "expect": checked_json(runs[n.folder], n.name),
                           **({"rows": n.about.words, "missing": n.about.missing} if n.about else {})}
                  for n in self.nodes}  # fmt: skip
        key = f"runs/{self.name}.json"
        if self.partial and self.store.exists(key):
            stages = orjson.loads(self.store.get(key)).get("stages", {}) | stages
        return stages
