"""`winnow runs` and `winnow forget`: every run that a root recorded, and which of them it need not know any longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from winnow.core.errors import ConfigError, WinnowError
from winnow.core.store.locations import open_store
from winnow.core.store.store import Store
from winnow.core.terminal import Lines, counted, duration, escaped, grid
from winnow.dags.looking.address import find_record, is_root, last_decision, roots_here
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.recipe import history
from winnow.dags.recipe.records import RunRecord, find_root

MOST = 20


def runs_json(run: str | None, *, n: int = MOST) -> dict[str, Any]:
    """{"roots": [{"root", "of", "runs": [...]}]}: of each root the `n` latest runs, oldest first.

    `run`: a root, or ROOT:NAME for the runs of one name; None: every root below ./runs. A run has "run" (NAME@NUMBER),
    "began", "ended", "seconds", "outcome" (finished, failed, interrupted, running), "error", "recipe", "sets", "until",
    "versions", "stages", "complete", "decision", "kept", "of" and "same_as" (an earlier run of the same stages).
    Raises: ConfigError where there is none.
    """
    if n < 1:
        raise ConfigError(f"{n} runs", where="-n", hint="1 or more")
    roots = []
    for store, name in _meant(run):
        names = [name] if name else history.names(store)
        held = [r for one in names for r in _with_same(list(history.records(store, one)))]
        held.sort(key=lambda pair: (pair[0].began, pair[0].name))
        roots.append({"root": store.location, "of": len(held), "runs": [_facts(r, same) for r, same in held[-n:]]})
    return {"roots": roots}


def runs_lines(answer: dict[str, Any], *, width: int) -> Lines:
    """The same for a terminal: (style, line)."""
    for root in answer["roots"]:
        yield "bold", root["root"]
        rows = [["run", "began", "outcome", "took", "stages", "kept", ""]]
        for run in root["runs"]:
            kept = "" if run["kept"] is None else f"{run['kept']:,} of {run['of']:,} ({run['decision']})"
            more = [f"as {run['same_as']}"] if run["same_as"] else []
            more += [f"--set {k}={v}" for k, v in run["sets"].items()]
            more += [f"--until {run['until']}"] if run["until"] else []
            more += [str(run["error"]["what"])[:60]] if run["error"] else []
            rows.append([
                run["run"], run["began"].replace("T", " ").removesuffix("+00:00") or "no date", run["outcome"] or "?",
                "" if run["seconds"] is None else duration(run["seconds"]), f"{run['complete']}/{run['stages']}", kept,
                escaped("; ".join(more)),
            ])  # fmt: skip
        yield from (("dim" if number == 0 else "", line) for number, line in enumerate(grid(rows, left=7)))
        if root["of"] > len(root["runs"]):
            yield "dim", f"  the latest {len(root['runs'])} of {root['of']}: -n {root['of']} shows all"
    yield (
        "dim",
        "times are UTC; `winnow diff RUN@2 RUN` compares two, `winnow forget RUN@2` and `gc` free what it needs",
    )


def forget_json(run: str, *, keep: int | None = None) -> dict[str, Any]:
    """Remove records: one (RUN@2), all of a name (ROOT:NAME), or all but the newest `keep` of each name.

    {"root", "removed": [NAME@NUMBER], "left"}. Raises: ConfigError for a root without a name or `keep`; StoreError
    where one of them is going on.
    """
    if is_root(run):
        store = open_store(find_root(run))
        if keep is None:
            few = ", ".join(f"{run}:{name}" for name in history.names(store)[:5])
            raise ConfigError(f"{run!r} is a root, not a run", hint=f"name one: {few}; or `--keep 3` for all of them")
        done = [history.forget(find_record(run, name), whole=True, keep=keep) for name in history.names(store)]
    else:
        record = find_record(run)
        if "@" in run and keep is not None:
            raise ConfigError("`--keep` is for all runs of a name", where="--keep", hint="leave @... out")
        store, done = record.store, [history.forget(record, whole="@" not in run, keep=keep or 0)]
    removed = [name for one in done for name in one.removed]
    return {"root": store.location, "removed": removed, "left": sum(one.left for one in done)}


def forgotten_lines(answer: dict[str, Any], *, width: int) -> Lines:
    """The same for a terminal."""
    yield from (("", f"forgotten: {name}") for name in answer["removed"])
    what = f"{counted(len(answer['removed']), 'record')} removed, {answer['left']} left; no stage was touched"
    yield "bold", f"{what}: `winnow gc {answer['root']}` frees what no other run needs"


def _meant(run: str | None) -> list[tuple[Store, str]]:
    """(root, name of a run or '' for all)."""
    if run is None:
        found = roots_here()
        if not found:
            raise ConfigError("there is no run below ./runs", hint="`winnow run RECIPE` makes one, or name a run root")
        return [(store, "") for store in found]
    if is_root(run):
        return [(open_store(find_root(run)), "")]
    record = find_record(run)
    return [(record.store, record.name.partition("@")[0])]


def _with_same(found: Sequence[RunRecord]) -> Iterator[tuple[RunRecord, str]]:
    """Every record with the name of the first earlier one of the same stages, '' where there is none."""
    seen: dict[tuple[Any, ...], str] = {}
    for record in found:
        stages = tuple(sorted((name, str(stage["dir"])) for name, stage in record.stages.items()))
        yield record, seen.get(stages, "")
        seen.setdefault(stages, f"@{record.number}")


def _facts(record: RunRecord, same_as: str) -> dict[str, Any]:
    body, run = record.body, FinishedRun(record)
    out = {
        "run": record.name, "began": record.began, "ended": body.get("ended"), "seconds": body.get("seconds"),
        "outcome": history.outcome(record), "error": body.get("error"), "recipe": body.get("recipe", ""),
        "sets": body.get("sets") or {}, "until": body.get("until"), "versions": body.get("versions") or {},
        "stages": len(run.stages), "complete": sum(view.complete for view in run.stages),
        "decision": None, "kept": None, "of": None, "same_as": same_as,
    }  # fmt: skip
    with suppress(WinnowError):
        view = last_decision(run)
        counts = view.manifest.counts if view.manifest else {}
        out |= {"decision": view.shown, "kept": counts.get("kept"), "of": counts.get("rows")}
    return out
