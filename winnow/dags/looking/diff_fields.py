"""Which fields of the recipe differ between two recorded runs, by the names of their stages; and the diff as lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from winnow.core.terminal import Lines, escaped, listed
from winnow.dags.looking.changes import (
    Change,
    Means,
    as_text,
    change,
    column_changes,
    own_changes,
    population_change,
)
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.looking.renamed import Named, names_now, same_stages
from winnow.dags.shapes.stage_file import folders_read, raw_stage


def changed_fields(a: FinishedRun, b: FinishedRun) -> dict[str, list[Change]]:
    """Stage -> [{"field", "was", "now"}] of what differs in the stage itself (not in what it reads), in plan order.

    A stage that only has another name in `b` is the same one, under the name in `b`.
    """
    one, two = ({v.shown: v for v in run.stages} for run in (a, b))
    pairs = shared_stages(a, b)
    now = names_now(pairs)
    out = {}
    for name in dict.fromkeys([*(now.get(n, n) for n in one), *two]):
        old, new = one.get(pairs.get(name, name if name not in two else "")), two.get(name)
        if old is None or new is None:
            found = [change("stage", *(side.operator_name if side else None for side in (old, new)))]
        else:
            found = list(_changes(old, new, now))
        if found:
            out[name] = found
    return out


def shared_stages(a: FinishedRun, b: FinishedRun) -> dict[str, str]:
    """Name in `b` -> name in `a` of the stages that both have."""
    one, two = ([Named(name=v.shown, folder=v.folder, operator=v.operator_name) for v in r.stages] for r in (a, b))
    return same_stages(one, two)


def _changes(a: FinishedStage, b: FinishedStage, now: Mapping[str, str]) -> Iterator[Change]:
    """Fields in which two records of one stage differ; none where one of them was never begun."""
    old, new = raw_stage(a.store, a.folder), raw_stage(b.store, b.folder)
    if old is None or new is None or a.folder == b.folder:
        return
    means = Means(was=_columns(a, old, now), now=_columns(b, new, {}))
    yield from own_changes(old, new, b.operator.columns_from if b.operator else (), means)
    yield from column_changes(means.was, means.now)
    yield from population_change(_population(a, old, now), _population(b, new, {}))


def _columns(view: FinishedStage, raw: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, str]:
    """Name in the stage -> `stage.column`, by the names that stages have now."""
    named = {**raw["columns"], **raw["where_columns"]}
    return {n: f"{_source(view, raw, i, now)}.{c}" for n, (i, c) in named.items()}


def _population(view: FinishedStage, raw: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    return [f"{_source(view, raw, i, now)}.{c}" for i, c in raw["population"]]


def _source(view: FinishedStage, raw: Mapping[str, Any], number: int, now: Mapping[str, str]) -> str:
    name = view.run.name_of(raw["inputs"][number])
    return now.get(name, name)


def stages_behind(lives: Sequence[FinishedRun], called: Collection[str]) -> set[str]:
    """Names of all stages that a stage, so called, reads in either run, however far back; sub-stages by their own."""
    out: set[str] = set()
    for run in lives:
        todo = [v for v in run.stages if v.shown in called]
        while todo:
            raw = raw_stage(run.store, todo.pop().folder) or {}
            for folder in folders_read(raw):
                view = run.maybe(folder)
                if view is not None and view.shown not in out:
                    out.add(view.shown)
                    todo.append(view)
    return out


def diff_lines(answer: Mapping[str, Any], *, width: int) -> Lines:
    """(style, line) of a diff for a terminal."""
    for side in ("a", "b"):
        run = answer[side]
        yield "bold", f"{side.upper()}  {run['run']}  {run['root']}  at {run['at']}"
    if answer["a"] == answer["b"]:
        yield "yellow", "A and B are one run; a root means its latest run, and ROOT:NAME the others"
    only = "".join(f"; {answer[f'only_{s}']:,} only in {s.upper()}" for s in ("a", "b") if answer[f"only_{s}"])
    yield "", f"{answer['both']:,} documents in both{only}"
    yield "", f"{answer['kept_in_both']:,} kept in both, {answer['dropped_in_both']:,} dropped in both"
    for to, side, style in (("kept to dropped", "B", "red"), ("dropped to kept", "A", "green")):
        yield "", ""
        yield f"bold {style}", f"{answer[to.replace(' ', '_')]:,} {to.replace(' to ', ' in A, ')} in B"
        for reason in (r for r in answer["reasons"] if r["change"] == to):
            yield style, f"  {reason['documents']:,} by {reason['stage']} of {side}"
            yield from _reason_lines(reason, side.lower(), width)
    yield from _without_effect(answer)
    if answer["moved"]:
        yield "", ""
        for moved in answer["moved"]:
            yield "dim", f"{moved['documents']:,} dropped by {moved['a']} in A and by {moved['b']} in B"


def _without_effect(answer: Mapping[str, Any]) -> Lines:
    """Fields that differ between the runs and moved no document."""
    named = {(c["stage"], c["field"]) for r in answer["reasons"] for c in (*r["fields"], *r["behind"])}
    moving = {m[side] for m in answer["moved"] for side in ("a", "b")}
    left = [(s, c) for s, changes in answer["fields"].items() for c in changes
            if (s, c["field"]) not in named and s not in moving]  # fmt: skip
    if left:
        yield "", ""
    for stage, one in left:
        yield "yellow", f"changed, and moved no document here: {stage}.{as_text(one)}"


def _reason_lines(reason: Mapping[str, Any], side: str, width: int) -> Lines:
    for clause in reason["clauses"]:
        yield "", f"    {clause['clause']}: {clause['documents']:,} ({clause['only']:,} by nothing else)"
    for one in reason["fields"]:
        sub = "" if one["stage"] == reason["stage"] else f" of {one['stage']}"
        yield "bold yellow", f"    changed{sub}: {as_text(one)}"
    for one in reason["behind"]:
        yield "yellow", f"    changed before it: {one['stage']}.{as_text(one)}"
    for example in reason["examples"]:
        yield "bold", f"    {example['doc_id']}  {escaped(example['origin'])}"
        start = " ".join(escaped(example["text"]).split())
        yield "dim", f"      {start[: max(width - 10, 30)]}"
        for name in ("a", "b"):
            if example[name] is not None:
                yield "dim", f"      {name.upper()}: {_values(example[name], refusing=name == side)}"


def _values(verdict: Mapping[str, Any], *, refusing: bool) -> str:
    """The clauses that refuse, or the values that decided."""
    clauses = [c for c in verdict["clauses"] if c["passed"] is not True]
    if refusing and clauses:
        return "; ".join(f"{c['clause']} refuses: {c['rule']} with {listed(c['values'])}" for c in clauses)
    return listed(verdict["values"]) or "nothing is stored"
