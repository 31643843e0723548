"""`winnow sample`: documents to look at, chosen by a keyed hash of their doc_id.

    {"run", "root", "stage", "shown": "kept" | "dropped" | "clusters", "by", "rule", "of", "only", "null", "incomplete",
     "documents": [{"doc_id", "origin", "bytes", "text", "cut", "stage", "verdict", "values", "clauses",
     "edits": [{"stage", ...}]}], "clusters": [...]}

`of` is how many documents the sample stands for, `only` how many of them nothing but the named clause refuses, and
`null` those for which it has no value. `text` is the start of the document, its control characters as their pictures
(U+241B for ESC); the terminal form escapes what else a terminal would obey or hide, such as U+202E. `edits` is what
editors changed in it.
The same documents come out for any layout of the data, and a longer sample begins with the shorter one.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.numerics import rng
from winnow.core.store.parts import mask_of
from winnow.core.terminal import Lines, escaped, listed
from winnow.dags.looking.address import (
    TEXT_CHARS,
    chain_to,
    deciding_values,
    decision_of,
    decisions,
    incomplete,
    last_decision,
    readable,
)
from winnow.dags.looking.edits import change_lines, edits_behind, told
from winnow.dags.looking.excerpts import excerpts
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.looking.matching import Condition
from winnow.dags.looking.sample_clusters import cluster_lines, clusters_of
from winnow.dags.recipe.names import find_column
from winnow.dags.recipe.records import RunRecord
from winnow.dags.shapes.tally import CLAUSE

SALT = "looking"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which rows are wanted: those `view` kept, those it dropped, or those that its `clause` refuses."""

    view: FinishedStage
    kept: bool
    clause: str = ""
    chain: tuple[FinishedStage, ...] = ()  # dropped by any of these


@dataclass(kw_only=True)
class Chosen:
    """The rows with the smallest keys of all that were offered."""

    most: int
    of: int = 0
    only: int = 0
    null: int = 0
    rows: list[tuple[int, str, int, str]] = field(default_factory=list)  # key, unit, row, deciding folder

    def offer(self, keys: npt.NDArray[np.uint64], mask: Mask, unit: str, stage: str) -> None:
        """Take the rows of a part where `mask` is true into account."""
        index = np.flatnonzero(mask)
        self.of += len(index)
        if len(index) > self.most:
            index = index[np.argpartition(keys[index], self.most - 1)[: self.most]]
        fresh = [(int(keys[i]), unit, int(i), stage) for i in index]
        self.rows = sorted([*self.rows, *fresh])[: self.most]


def sample_json(
    record: RunRecord, *, kept: bool = False, dropped: bool = False, by: str | None = None, cluster: bool = False,
    largest: bool = False, stage: str | None = None, where: str | None = None, full: bool = False, n: int = 5,
) -> dict[str, Any]:  # fmt: skip
    """`n` documents of a run: kept ones (the default), dropped ones, or duplicate clusters; see the module.

    `by` names a clause, `stage.clause` or a stage, and means dropped ones; `largest` shows the largest clusters
    instead of a random choice. `where` is SQL over any columns of the rows; `full` gives texts whole.
    Raises: ConfigError where flags contradict each other or a name is unknown; StoreError where a stage that is needed
    is not complete or of another version. Cost: one pass over the sidecars of the deciding stages; text of `n` rows.
    """
    dropped = dropped or by is not None
    if kept + dropped + cluster > 1:
        raise ConfigError("--kept, --dropped (--by) and --cluster exclude each other", hint="name one of them")
    if n < 1:
        raise ConfigError(f"cannot show {n} documents", where="-n", hint="1 or more")
    run = FinishedRun(record)
    head = {"run": record.name, "root": record.store.location}
    if cluster:
        if where is not None or full:
            raise ConfigError("--where and --full are for documents, not for clusters", hint="leave --cluster out")
        clusters = clusters_of(run, stage, n, largest=largest, salt=SALT)
        return {**head, **clusters, "incomplete": incomplete(run), "documents": []}
    asked = _asked(run, dropped=dropped, by=by, stage=stage)
    matching = None if where is None else Condition(run, run.at(asked.view.space), where)
    found = _choose(run, asked, n, matching)
    return {
        **head, "stage": asked.view.shown, "shown": "kept" if asked.kept else "dropped", "by": by, "where": where,
        "rule": asked.view.rules.get(asked.clause), "of": found.of,
        "only": found.only if asked.clause else None, "null": found.null if asked.clause else None,
        "incomplete": incomplete(run), "documents": list(_documents(run, asked, found, full=full)), "clusters": [],
    }  # fmt: skip


def only_bad(*others: object) -> None:
    """Check that no other choice stands beside --bad. Raises ConfigError where one does."""
    if any(others):
        raise ConfigError("--bad goes with --stage and -n alone", hint="leave the others out")


def _asked(run: FinishedRun, *, dropped: bool, by: str | None, stage: str | None) -> Asked:
    if by is not None:
        view, clause = _named(run, by, stage)
        return Asked(view=view, kept=False, clause=clause)
    view = last_decision(run) if stage is None else decision_of(run, stage)
    chain = tuple(chain_to(run, view)) if dropped and stage is None else (view,)
    return Asked(view=view, kept=not dropped, chain=chain)


def _named(run: FinishedRun, by: str, stage: str | None) -> tuple[FinishedStage, str]:
    """The stage and clause ('' for the whole stage) that `by` means."""
    views = [decision_of(run, stage)] if stage is not None else decisions(run)
    if not views:
        last_decision(run)  # says what is missing
    names: dict[str, list[tuple[FinishedStage, str]]] = {}
    for view in views:
        names.setdefault(view.shown, []).append((view, ""))
        for clause in view.rules:
            names.setdefault(clause, []).append((view, clause))
            names.setdefault(f"{view.shown}.{clause}", []).append((view, clause))
    found = names.get(by) or _by_column(by, views)
    if len(found) > 1:
        options = ", ".join(f"{v.shown}.{c}" if c else v.shown for v, c in found)
        raise ConfigError(f"{by!r} could be any of {options}", where="--by", hint="name one of them")
    if not found:
        for view in run.stages:
            if view.complete:
                readable(view)  # the clause may be one of a stage that only another version can read
        missing = [m["stage"] for m in incomplete(run)]
        more = f"; not complete: {', '.join(missing)}" if missing else ""
        raise ConfigError(f"no clause or deciding stage {by!r}", where="--by", hint=did_you_mean(by, names) + more)
    return found[0]


def _by_column(by: str, views: Sequence[FinishedStage]) -> list[tuple[FinishedStage, str]]:
    """The decision or clause whose verdict a column is, by the rule of names; empty for other columns."""
    place = find_column(by, [views], where="--by")
    if place is None or not (place[1] == "kept" or place[1].startswith(CLAUSE)):
        return []
    return [(place[0], place[1].removeprefix(CLAUSE) if place[1] != "kept" else "")]


def _choose(run: FinishedRun, asked: Asked, n: int, matching: Condition | None) -> Chosen:
    """One pass over the parts of the row space."""
    space = run.at(asked.view.space)
    out = Chosen(most=n)
    for unit in space.parts:
        keys = rng.keys(space.array("doc_id", unit), seed=0, salt=SALT)
        here = np.ones(len(keys), dtype=bool) if matching is None else matching.mask(unit)
        if asked.clause:
            refused, only, null = _refused(asked.view, unit, asked.clause)
            out.only, out.null = out.only + int((only & here).sum()), out.null + int((null & here).sum())
            out.offer(keys, refused & here, unit, asked.view.folder)
        elif asked.kept:
            out.offer(keys, asked.view.kept(unit) & here, unit, asked.view.folder)
        else:
            gone = np.zeros(len(keys), dtype=bool)
            for view in asked.chain or (asked.view,):
                dropped = view.asked(unit) & ~view.kept(unit)
                out.offer(keys, dropped & here & ~gone, unit, view.folder)
                gone |= dropped
    return out


def _refused(view: FinishedStage, unit: str, clause: str) -> tuple[Mask, Mask, Mask]:
    """Rows that a clause refuses, those that only it refuses, those where it has no value."""
    here = view.asked(unit)
    columns = {c: view.array(f"pass_{c}", unit) for c in view.rules}
    fails = {c: ~mask_of(column) & here for c, column in columns.items()}
    others = np.zeros(len(here), dtype=bool)
    for name, failing in fails.items():
        others |= failing & (name != clause)
    null = ~np.asarray(columns[clause].is_valid(), dtype=bool) & here
    return fails[clause], fails[clause] & ~others, null


def _documents(run: FinishedRun, asked: Asked, found: Chosen, *, full: bool) -> Iterator[dict[str, Any]]:
    space = run.at(asked.view.space)
    by_unit: dict[str, list[int]] = {}
    for _, unit, row, _ in found.rows:
        by_unit.setdefault(unit, []).append(row)
    texts = {
        (unit, row): text
        for unit, rows in by_unit.items()
        for row, text in excerpts(space.store, space.parts[unit], sorted(rows), TEXT_CHARS).items()
    }
    for _, unit, row, folder in found.rows:
        view, text = run.at(folder), texts[unit, row]
        if full:
            text = dataclasses.replace(text, text=str(space.cell("text", unit, row) or ""), cut=False)
        yield {
            "doc_id": text.doc_id, "origin": text.origin, "bytes": text.num_bytes, "text": text.text, "cut": text.cut,
            "stage": view.shown, "verdict": asked.kept, "full": full, **deciding_values(view, unit, row),
            "edits": list(edits_behind(view, unit, row)),
        }  # fmt: skip


def sample_lines(answer: Mapping[str, Any], *, width: int) -> Lines:
    """(style, line) of a sample for a terminal."""
    yield "bold", f"{answer['run']}  {answer['root']}"
    if answer["incomplete"]:
        names = ", ".join(m["stage"] for m in answer["incomplete"])
        yield "yellow", f"this run is not complete: {names} without a manifest"
    if answer["shown"] == "clusters":
        yield from cluster_lines(answer, width=width)
        return
    yield "", _headline(answer)
    if answer["rule"]:
        yield "dim", f"  {answer['by']}: {answer['rule']}"
    for document in answer["documents"]:
        yield "", ""
        yield from _document_lines(document, width)


def _headline(answer: Mapping[str, Any]) -> str:
    docs, all_of = len(answer["documents"]), f"{answer['of']:,}"
    where = f", of those where {answer['where']}" if answer["where"] else ""
    if answer["shown"] == "kept":
        return f"{docs} of the {all_of} documents that {answer['stage']} kept{where}"
    by = f"{answer['by']} refuses" if answer["rule"] else f"{answer['stage'] if answer['by'] else 'the run'} dropped"
    extra = f"; {answer['only']:,} by nothing else" if answer["only"] is not None else ""
    extra += f"; {answer['null']:,} have no value" if answer["null"] else ""
    return f"{docs} of the {all_of} documents that {by}{extra}{where}"


def _document_lines(document: Mapping[str, Any], width: int) -> Lines:
    origin = escaped(document["origin"])
    yield "bold", f"{document['doc_id']}  {origin}  {document['bytes']:,} bytes"
    style, word = ("green", "kept") if document["verdict"] else ("red", "dropped")
    refusing = [c for c in document["clauses"] if c["passed"] is not True]
    for clause in refusing:
        null = " (no value)" if clause["passed"] is None else ""
        name = f"{document['stage']}.{clause['clause']}"
        yield style, f"  {name}: {clause['rule']}  with {listed(clause['values'])}{null}"
    if not refusing:
        values = f": {listed(document['values'])}" if document["values"] else ""
        yield style, f"  {document['stage']} {word}{values}"
    if document["full"]:
        yield from whole_text_lines(document["text"])
    else:
        yield from text_lines(document["text"], cut=document["cut"], width=width)
    for found in document["edits"]:
        yield "", f"  {found['stage']}: {told(found)}"
        yield from change_lines(found, "    ")


def whole_text_lines(text: str) -> Lines:
    """All lines of a document as they are, indented; what a terminal would obey is escaped."""
    yield from (("", f"    {line}") for line in text.split("\n") or ["(no text)"])


def text_lines(text: str, *, cut: bool, width: int) -> Lines:
    """The start of a document, indented, nothing in it that a terminal would obey."""
    shown = escaped(text).splitlines() or ["(no text)"]
    lines = [piece for line in shown for piece in textwrap.wrap(line, max(width - 8, 40)) or [""]]
    for number, line in enumerate(lines):
        more = "..." if cut and number == len(lines) - 1 else ""
        yield "dim", f"    {line}{more}"


__all__: Sequence[str] = ["sample_json", "sample_lines", "text_lines", "whole_text_lines"]
