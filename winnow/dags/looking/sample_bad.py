"""What was put aside: records that a reader could not read, and rows that an operator had no answer for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.store.manifest import Receipt, StageDir
from winnow.core.store.store import Store
from winnow.core.terminal import Lines, escaped
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.records import RunRecord
from winnow.dags.shapes.quarantine import put_aside

PHASES = ("unit", "part")  # that may put something aside


def bad_json(record: RunRecord, *, stage: str | None = None, n: int = 5) -> dict[str, Any]:
    """{"run", "root", "shown": "bad", "of", "stages": [{"stage", "complete", "of", "records"}]}: at most `n` a stage.

    A stage that failed, or that is not complete, tells what it has put aside so far.
    Raises: ConfigError for an unknown stage; StoreError where a file is gone.
    """
    if n < 1:
        raise ConfigError(f"cannot show {n} records", where="-n", hint="1 or more")
    run = FinishedRun(record)
    views = list({v.folder: v for v in run.stages if stage is None or v.shown == stage}.values())
    if not views:
        known = {v.shown for v in run.stages}
        raise ConfigError(f"this run has no stage {stage!r}", where=record.name, hint=did_you_mean(str(stage), known))
    stages = [entry for view in views if (entry := _stage(run.store, view, n))["of"]]
    total = sum(answer["of"] for answer in stages)
    return {"run": record.name, "root": record.store.location, "shown": "bad", "of": total, "stages": stages}


def _stage(store: Store, view: FinishedStage, n: int) -> dict[str, Any]:
    receipts = _receipts(store, view)
    found = list(put_aside(store, receipts))
    of = max(len(found), sum(r.counts.get("bad", 0) + r.counts.get("failed", 0) for r in receipts if r.quarantine))
    return {"stage": view.shown, "complete": view.complete, "of": of, "records": found[:n]}


def _receipts(store: Store, view: FinishedStage) -> Sequence[Receipt]:
    if view.manifest is not None:
        return view.manifest.receipts
    folder = StageDir(store, view.folder)
    return [receipt for phase in PHASES for receipt in folder.receipts(phase)]


def bad_lines(answer: Mapping[str, Any], *, width: int) -> Lines:
    """(style, line) of what was put aside, for a terminal."""
    yield "bold", f"{answer['run']}  {answer['root']}"
    if not answer["of"]:
        yield "", "nothing was put aside"
    for stage in answer["stages"]:
        state = "" if stage["complete"] else "  (not complete)"
        yield "", ""
        yield "bold", f"{len(stage['records']):,} of the {stage['of']:,} that {stage['stage']} put aside{state}"
        for bad in stage["records"]:
            yield "", f"  {escaped(bad['place'])}  {escaped(bad['error'])}"
            yield "dim", f"    {escaped(' '.join(bad['message'].split()))[: max(width - 6, 40)]}"
