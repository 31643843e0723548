"""What the looking verbs share: which run is meant, what of it is complete, which stage decides, what a person may see.

A run is addressed by its root (a path, or the name of a folder below ./runs: the latest run of it), by `ROOT:NAME`,
or by the name of any run recorded below ./runs; without a word it is the latest of them all. `@prev`, `@2` or the
beginning of a date (`@2026-11-29`) behind it is an earlier run of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, StoreError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, sql
from winnow.core.store.locations import open_store
from winnow.core.store.store import Store
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.history import PREVIOUS, earlier
from winnow.dags.recipe.records import RUNS, RunRecord, find_root, latest_record, living_drivers, units_done

TEXT_CHARS = 400


def find_record(run: str | None, name: str | None = None) -> RunRecord:
    """The run that a person means; see the module. `name` picks one of its root.

    Raises: ConfigError where there is none, or where two roots hold one of that name; StoreError where another version
    of winnow recorded it.
    """
    at = ""
    if name is not None and "@" in name:
        name, _, at = name.partition("@")
    elif run is not None and "@" in run and not is_root(run):
        run, _, at = run.rpartition("@")
    record = _latest_record(run or None, name)
    return earlier(record, at) if at else record


def before_and_after(record: RunRecord) -> tuple[RunRecord, RunRecord]:
    """(the earlier, the later) run that `winnow diff RUN` compares: RUN and the one before it, RUN@2 and the latest.

    Raises: ConfigError where there is no other one.
    """
    if "@" in record.name:
        return record, latest_record(record.store, record.name.partition("@")[0])
    return earlier(record, PREVIOUS), record


def _latest_record(run: str | None, name: str | None) -> RunRecord:
    if run is None:
        return _latest_of_all(name)
    root, colon, inner = run.rpartition(":")
    if colon and name is None and is_root(root):
        return latest_record(open_store(find_root(root)), inner)
    if is_root(run):
        return latest_record(open_store(find_root(run)), name)
    found = _roots_with(run) if name is None else []
    if len(found) > 1:
        options = ", ".join(f"{store.location}:{run}" for store in found)
        raise ConfigError(f"{len(found)} roots have a run {run!r}", hint=f"name one: {options}")
    if not found:
        raise _no_run(root if colon else run)
    return latest_record(found[0], run)


def _no_run(run: str) -> ConfigError:
    """The error for a word that is neither a root nor a run: it names both."""
    roots = {p.parent.name for p in RUNS.glob("*/runs")} if RUNS.is_dir() else set()
    names = {p.stem for p in RUNS.glob("*/runs/*.json")} if RUNS.is_dir() else set()
    hint = did_you_mean(run, roots | names) if roots else "give the --out of a run: it holds a folder `runs`"
    return ConfigError(f"no run at {run!r}", where=str(Path.cwd()), hint=hint)


def run_and_doc(words: Sequence[str], where: str | None = None) -> tuple[str | None, str]:
    """(run or None for the latest, document) of `winnow why [RUN] DOC`. Raises ConfigError where one is missing.

    With `where` the words are the run alone.
    """
    if where is not None:
        if len(words) > 1:
            raise ConfigError(f"--where says which document, and {words[-1]!r} too", hint="leave one of them out")
        return words[0] if words else None, ""
    if not words:
        raise ConfigError("no document is named", hint="winnow why [RUN] DOC, or --where SQL")
    if len(words) > 2:
        raise ConfigError(f"{len(words)} words, and one document", hint="winnow why [RUN] DOC; quote what has spaces")
    if len(words) == 2:
        return words[0], words[1]
    if is_root(words[0]):
        hint = f"winnow why {words[0]} DOC; `winnow sample {words[0]}` shows some"
        raise ConfigError(f"{words[0]!r} is a run, and no document is named", hint=hint)
    return None, words[0]


def is_root(run: str) -> bool:
    """True where a word means a run root, by its path or its name below ./runs."""
    try:
        find_root(run)
    except ConfigError:
        return False
    return True


def roots_here() -> list[Store]:
    """Every run root below ./runs."""
    roots = sorted(p for p in RUNS.glob("*") if (p / "runs").is_dir()) if RUNS.is_dir() else []
    return [open_store(p.absolute()) for p in roots]


def _roots_with(name: str) -> list[Store]:
    return [s for s in roots_here() if "/" not in name and s.exists(f"runs/{name}.json")]


def _latest_of_all(name: str | None) -> RunRecord:
    files = sorted(RUNS.glob(f"*/runs/{name or '*'}.json")) if RUNS.is_dir() else []
    if not files:
        raise ConfigError("there is no run below ./runs", hint="`winnow run RECIPE` makes one, or name a run root")
    newest = max(files, key=lambda p: (p.stat().st_mtime_ns, str(p)))
    return latest_record(open_store(newest.parent.parent.absolute()), newest.stem)


def incomplete(run: FinishedRun) -> list[dict[str, Any]]:
    """Stages without a manifest, in order of the data: {"stage", "units_done"}."""
    return [
        {"stage": v.shown, "units_done": units_done(run.store, v.folder)} for v in run.stages if not v.complete
    ]  # fmt: skip


def refuse_incomplete(run: FinishedRun, what: str) -> StoreError:
    """The error for something that needs stages which are not complete: it names them and the next action."""
    missing = incomplete(run)
    done = {m["stage"]: f" ({m['units_done']} units done)" if m["units_done"] else "" for m in missing}
    names = ", ".join(f"{stage}{units}" for stage, units in done.items())
    running = living_drivers(run.store)
    hint = f"it is still running ({', '.join(running)}): wait" if running else "run it again: finished units are reused"
    deciding = [v.shown for v in decisions(run)]
    hint += f"; or --stage, one of: {', '.join(deciding)}" if deciding else ""
    return StoreError(
        f"{what}: {len(missing)} of {len(run.stages)} stages of run {run.record.name!r} have no manifest: {names}",
        where=run.store.location, hint=hint,
    )  # fmt: skip


def stage_of(run: FinishedRun, name: str) -> FinishedStage:
    """A complete stage by the name a person knows, readable by this version of winnow.

    Raises: ConfigError for an unknown name; StoreError where it is not complete or was recorded by another version.
    """
    view = run.stage(name)
    if not view.complete:
        raise refuse_incomplete(run, f"stage {name!r} is not complete")
    return readable(view)


def readable(view: FinishedStage) -> FinishedStage:
    """The same stage. Raises StoreError where this version of winnow cannot read what it was."""
    if view.operator is None:
        raise StoreError(
            f"stage {view.shown!r} was recorded in a form that this version of winnow does not read",
            where=view.store.where(view.folder), hint="run the recipe again into this root",
        )  # fmt: skip
    return view


def decisions(run: FinishedRun) -> list[FinishedStage]:
    """Complete stages that keep or drop rows, without sub-stages, in order of the data."""
    return list({v.folder: v for v in run.stages if not v.hidden and v.decides}.values())


def decision_of(run: FinishedRun, name: str) -> FinishedStage:
    """A complete stage that decides. Raises ConfigError for any other stage; like `stage_of`."""
    view = stage_of(run, name)
    if not view.decides:
        names = ", ".join(v.shown for v in decisions(run))
        raise ConfigError(f"stage {name!r} keeps and drops nothing", hint=f"stages that decide: {names or 'none'}")
    return view


def last_decision(run: FinishedRun) -> FinishedStage:
    """The decision that the last `write` follows; without one, the last decision.

    Raises: StoreError where no decision is complete; ConfigError where the run has none.
    """
    found = decisions(run)
    if not found:
        for view in run.stages:
            if view.complete:
                readable(view)
        if incomplete(run):
            raise refuse_incomplete(run, "nothing has decided yet")
        raise ConfigError("no stage of this run keeps or drops anything", hint="add a `filter` or a selector")
    for view in reversed([v for v in run.stages if v.is_write]):
        behind = [v for v in found if v.folder in view.deciding()]
        if behind:
            return behind[-1]
    return found[-1]


def chain_to(run: FinishedRun, view: FinishedStage) -> list[FinishedStage]:
    """The decisions that a stage's rows depend on, itself included where it decides, in order of the data."""
    behind = run.decisions_behind(view)
    return [v for v in decisions(run) if v.folder in behind]


def deciding_values(view: FinishedStage, unit: str, row: int) -> dict[str, Any]:
    """What a decision looked at and answered for one row.

    {"values": {column: value}, "clauses": [{"clause", "rule", "passed", "values"}]}: refusing clauses first; for a
    decision without clauses, the columns that it read and its own ones.
    """
    rules = view.rules
    if not rules:
        own = [c for f in view.parts[unit].files for c in f.columns if c not in ("kept", "state", "weight")]
        names = [n for n in (view.file.columns if view.file else {}) if n not in ROW_COLUMNS]
        read = view.input_values(names, unit, row)
        return {"values": plain({**read, **view.values(own, unit, row)}), "clauses": []}
    passed = view.values([f"pass_{c}" for c in rules], unit, row)
    names = list(dict.fromkeys(n for rule in rules.values() for n in sql.column_names(rule)))
    values = plain(view.input_values(names, unit, row))
    clauses = [
        {"clause": c, "rule": rule, "passed": passed.get(f"pass_{c}"),
         "values": {n: values.get(n) for n in sql.column_names(rule)}}
        for c, rule in rules.items()
    ]  # fmt: skip
    clauses.sort(key=lambda c: c["passed"] is True)
    return {"values": values, "clauses": clauses}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values without the lists."""
    return {k: json_value(v) for k, v in values.items() if not isinstance(v, list)}


def json_value(value: Any) -> Any:
    """A JSON value: short bytes, such as ids, as hex; long bytes and lists as what they are."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"<{len(value)} bytes>"
    if isinstance(value, list):
        return f"<list of {len(value)}>"
    return value
