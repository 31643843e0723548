"""What a finished run shows: the funnel per stage and clause, duplicates, selections, bad rows, results, shards.

`run_json` is the form for programs: one object with `run`, `root` and `stages`; each stage has `dir` (absolute),
`kind`, `fingerprint`, `content_digest`, `rows`, `kept` and `tokens` (null where there are none),
`tokens_estimated_by` (`bytes/4`, `words`; null where a tokenizer counted), `seconds` (of this run's tasks),
`cached_units`, `computed_units`, `metrics` (what its operator noted; of a result what it says)
`remarks` (sentences on what probably is not meant), `expect` (a list of `expect`, `what`, `found`, `met`),
`population` (the rows that the stage is about, in words; empty for one that measures all) and `not_respected` (the
cleaning above that did not count).
A composite is reported under the name of its stage, its hidden sub-stages as `stage.sub`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from winnow.core.operators import Job, Kind, Whole
from winnow.core.operators.duplicates import EARLIER, WEIGHED, cluster_columns
from winnow.core.operators.notes import metrics_alone
from winnow.core.store.manifest import Manifest, Receipt
from winnow.core.store.store import Store
from winnow.core.terminal import counted, duration, escaped, grid, percent, say, tokens_text
from winnow.dags.driver.expected import checked_json
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.driver.session import Session, shown_name
from winnow.dags.looking.metrics import own_line, short_facts
from winnow.dags.recipe.meanings import estimated_by
from winnow.dags.recipe.plan import Node
from winnow.dags.shapes.declared_columns import absent_columns, left_out
from winnow.dags.shapes.quarantine import counts_by_error, first_record, quarantine_of
from winnow.dags.shapes.stage_run import StageRun
from winnow.dags.shapes.tally import LARGEST

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


@dataclass(kw_only=True)
class Clause:
    """One clause of a filter: rows it refuses, rows only it refuses, rows where its value is null."""

    name: str
    refuses: int
    alone: int
    null: int


@dataclass(kw_only=True)
class StageSummary:
    """One row of the funnel."""

    name: str
    operator: str
    asked: int | None = None
    kept: int | None = None
    tokens: int | None = None
    facts: list[str] = field(default_factory=list)
    clauses: list[Clause] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)  # what went wrong
    remarks: list[str] = field(default_factory=list)  # what probably is not meant
    lines: list[str] = field(default_factory=list)
    shards: str = ""


def run_json(session: Session, runs: Sequence[StageRun], nodes: Sequence[Node]) -> dict[str, Any]:
    """The object of `winnow run --json`; see the module."""
    by_folder = {r.node.folder: r for r in runs}
    stages = {shown_name(n): _stage_json(n, by_folder[n.folder], session.store) for n in nodes}
    for remark in session.plan.remarks:
        if remark.stage in stages:
            stages[remark.stage]["remarks"].insert(0, remark.text)
    return {"run": session.name, "root": session.store.location, "stages": stages}


def _stage_json(node: Node, run: StageRun, store: Store) -> dict[str, Any]:
    manifest = run.manifest
    counts: Mapping[str, int] = manifest.counts if manifest else {}
    return {
        "dir": store.where(node.folder),
        "kind": node.kind.value,
        "fingerprint": node.fingerprint,
        "content_digest": manifest.content_digest if manifest else None,
        "rows": manifest.rows if manifest else None,
        "kept": counts.get("kept"),
        "tokens": counts.get("tokens"),
        "tokens_estimated_by": estimated_by(node) or None if "tokens" in counts else None,
        "seconds": round(run.seconds, 3),
        "cached_units": run.cached,
        "computed_units": run.computed,
        "metrics": {**_result_metrics(manifest), **metrics_alone(manifest.metrics)} if manifest else {},
        "remarks": list(remarks_of(node.operator, manifest)) if manifest else [],
        "expect": checked_json(run, node.name),
        "population": node.about.words if node.about else "",
        "not_respected": node.about.missing if node.about else "",
    }


def _result_metrics(manifest: Manifest) -> dict[str, Any]:
    """What a result says, as `winnow.open(RUN).result(STAGE)` has it; nothing for other kinds."""
    return next((dict(r.extra.get("metrics", {})) for r in manifest.named("result").values()), {})


def summarise(session: Session, runs: Sequence[StageRun], nodes: Sequence[Node]) -> list[StageSummary]:
    """What is worth telling of each committed stage, in plan order; hidden stages only where they alarm or remark."""
    uses = {s.name: s.use for s in session.plan.recipe.stages}
    by_folder = {r.node.folder: r for r in runs}
    out, below = [], dict[str, list[str]]()
    for node in nodes:
        run = by_folder[node.folder]
        if run.manifest is None:
            continue
        manifest = run.manifest
        summary = _summary(node, manifest, session.store)
        summary.facts += _as_expected(summary, checked_json(run, node.name))
        if node.hidden:  # what a sub-stage says of itself stands with its face
            below.setdefault(node.face_of, []).extend(own_line(manifest.metrics))
        else:
            summary.facts += short_facts(manifest.metrics) + below.pop(summary.name, [])
            summary.remarks[:0] = [r.text for r in session.plan.remarks if r.stage == summary.name]
        summary.operator = uses.get(summary.name, summary.operator)
        telling = summary.kept is not None or summary.facts or summary.lines or summary.shards
        if summary.alarms or summary.remarks or (telling and not node.hidden):
            out.append(summary)
    return out


def _summary(node: Node, manifest: Manifest, store: Store) -> StageSummary:
    counts = manifest.counts
    out = StageSummary(name=shown_name(node), operator=node.called, tokens=counts.get("tokens"))
    if node.kind is Kind.ROWS:
        _opened_rows(out, node, manifest, store)
    elif "kept" in counts and node.kind is Kind.COLUMNS:
        out.asked, out.kept = counts["rows"] - counts.get("masked", 0), counts["kept"]
        out.clauses = list(_clauses(counts))
        if cluster_columns(node.outputs) is not None:
            out.facts.append(_duplicates(counts, removed=out.asked - out.kept))
        elif out.tokens is not None and node.operator.role == "selector":
            out.facts.append(tokens_text(out.tokens, estimated_by(node)))
    elif node.kind is Kind.RESULT:
        out.lines = _result_lines(node, manifest, store)
    elif isinstance(node.operator, Job | Whole) and node.operator.publishes:
        out.shards = store.where(f"{node.folder}/{node.operator.publishes}")
    elif node.operator.role == "scorer" and counts.get("null"):
        out.facts.append(f"{counts['null']:,} of {counts['rows'] - counts.get('masked', 0):,} without a score")
    out.alarms += _alarms(node, counts, store, manifest.receipts)
    out.remarks += remarks_of(node.operator, manifest)
    return out


def _as_expected(out: StageSummary, checked: Sequence[Mapping[str, Any]]) -> list[str]:
    """`as expected (2)`, where all is; what is not becomes an alarm."""
    out.alarms += [f"{c['found']}, expected {c['what']}" for c in checked if not c["met"]]
    return [f"as expected ({len(checked)})"] if checked and all(c["met"] for c in checked) else []


def _opened_rows(out: StageSummary, node: Node, manifest: Manifest, store: Store) -> None:
    size = manifest.counts.get("text_bytes", 0)
    files = sum(len(f) for f in node.files.values())
    shards = f"{node.folder}/shards"
    if store.exists(shards):
        num = len(manifest.named("part"))
        out.shards = store.where(shards)
        out.facts.append(
            f"{counted(manifest.rows, 'document')}, {size / 1e6:,.1f} MB of text in {counted(num, 'shard')}"
        )
    else:
        source = f" from {counted(files, 'file')}" if files else ""
        out.facts.append(f"{counted(manifest.rows, 'document')}, {size / 1e6:,.1f} MB of text{source}")
        lacking = absent_columns(manifest.counts)
        if lacking:
            columns = ", ".join(f"{column} {count:,}" for column, count in lacking.items())
            out.facts.append(f"null where the record has no such name: {columns}")
        reasons = left_out(manifest.counts)
        if reasons:
            by = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            out.facts.append(f"{counted(sum(reasons.values()), 'record')} left out: {by}")


def _clauses(counts: Mapping[str, int]) -> Iterable[Clause]:
    for key in counts:
        if key.startswith("clause:") and key.endswith(":fail"):
            label = key.removesuffix(":fail")
            yield Clause(
                name=label.removeprefix("clause:"), refuses=counts[key],
                alone=counts.get(f"{label}:only", 0), null=counts.get(f"{label}:null", 0),
            )  # fmt: skip


def _duplicates(counts: Mapping[str, int], *, removed: int) -> str:
    """`97 duplicates removed, 80 clusters, largest 5`."""
    facts = [f"{counted(removed, 'duplicate')} removed"]
    if WEIGHED in counts:
        facts = [f"{counted(counts[WEIGHED], 'duplicate')} kept, each cluster weighs as one document"]
    if EARLIER in counts:
        facts.append(f"{counts[EARLIER]:,} of them for earlier documents")
    if "clusters" in counts:
        facts.append(counted(counts["clusters"], "cluster"))
    if counts.get(LARGEST, 0) > 1:
        facts.append(f"largest {counts[LARGEST]:,}")
    if counts.get("chained"):
        facts.append(f"{counts['chained']:,} only through a chain")
    return ", ".join(facts)


def _result_lines(node: Node, manifest: Manifest, store: Store) -> list[str]:
    metrics = _result_metrics(manifest)
    if not metrics:
        return []
    if node.operator.in_comparison == "comparison":
        from winnow.dags.looking.selection_cost import cost_lines, machine_lines, machine_time, selection_costs
        from winnow.trainers.compare.comparison_text import render

        lines = [*render(metrics), *cost_lines(selection_costs(store, node.folder), metrics)]
        return [*lines, *machine_lines(machine_time(store, node.folder), metrics)]
    return [f"{k}: {v}" for k, v in metrics.items() if isinstance(v, str | int | float)]


def _alarms(node: Node, counts: Mapping[str, int], store: Store, receipts: Sequence[Receipt]) -> list[str]:
    where = store.where(quarantine_of(store, node.folder))
    first, out = first_record(store, receipts), []
    if counts.get("bad"):
        kinds = counts_by_error(counts)
        out.append(f"{counted(counts['bad'], 'record')} in quarantine ({kinds}): {where}{first}")
    if counts.get("failed"):
        out.append(f"{counted(counts['failed'], 'row')} failed, without an answer: {where}{first}")
    silent = [c for c in _clauses(counts) if c.null]
    return out + [f"clause {c.name!r} has no value for {counted(c.null, 'row')}: not kept" for c in silent]


def failed_folders(runs: Sequence[StageRun]) -> list[str]:
    """Alarms of stages that did not commit but left quarantined rows."""
    out = []
    for run in runs:
        folder = quarantine_of(run.store, run.node.folder)
        if run.manifest is None and run.failures and run.store.exists(folder):
            out.append(f"{shown_name(run.node)}: quarantine: {run.store.where(folder)}")
    return out


def print_summary(
    console: Console, session: Session, runs: Sequence[StageRun], nodes: Sequence[Node], *, seconds: float
) -> None:
    """The funnel, the results and where the shards are, on a console."""
    summaries = summarise(session, runs, nodes)
    done = sum(r.manifest is not None for r in runs)
    cached = sum(r.manifest is not None and not r.computed for r in runs)
    console.print()
    told = f"{session.name}  {done} of {len(runs)} stages, {cached} of them cached, {duration(seconds)}"
    say(console, [("bold", told)])
    for line in _funnel([s for s in summaries if not s.lines], console.width):
        console.print(line, soft_wrap=True)
    for summary in summaries:
        if summary.lines:
            _print_result(console, summary)
    print_told(console, summaries, runs)
    say(console, [("bold", f"{s.name}: {s.shards}") for s in summaries if s.shards])


def print_told(console: Console, summaries: Sequence[StageSummary], runs: Sequence[StageRun]) -> None:
    """`! stage: ...` of each alarm and remark."""
    alarms = [(s.name, a) for s in summaries for a in s.alarms]
    alarms += [("", a) for a in failed_folders(runs)]
    alarms += [(s.name, r) for s in summaries for r in s.remarks]
    say(console, [("bold yellow", f"! {name}: {alarm}" if name else f"! {alarm}") for name, alarm in alarms])


def _funnel(summaries: Sequence[StageSummary], width: int) -> Iterator[Text]:
    """The funnel line by line; what a stage or clause tells stands beside its numbers, or below where it is narrow."""
    from rich.text import Text

    rows: list[tuple[str, str, str, str, str]] = [("stage", "operator", "in", "kept", "share")]
    said = [""]
    for s in summaries:
        share = percent(s.kept / s.asked) if s.kept is not None and s.asked else ""
        asked, kept = ("" if n is None else f"{n:,}" for n in (s.asked, s.kept))
        rows.append((s.name, s.operator, asked, kept, share))
        said.append(escaped("; ".join(s.facts)))
        telling = [c for c in s.clauses if c.refuses or c.null]
        for clause in telling:
            loud = f"  null {clause.null:,}" if clause.null else ""
            rows.append((f"  {clause.name}", "", "", "", ""))
            said.append(f"refuses {clause.refuses:,}, alone {clause.alone:,}{loud}")
        if len(telling) < len(s.clauses):
            rows.append((f"  {counted(len(s.clauses) - len(telling), 'clause')}", "", "", "", ""))
            said.append("refuse nothing" if len(s.clauses) - len(telling) > 1 else "refuses nothing")
    lines = [line.ljust(max(map(len, lines))) for lines in [grid(rows, indent=0, left=2)] for line in lines]
    for number, (line, note) in enumerate(zip(lines, said, strict=True)):
        name = rows[number][0]
        style = "dim" if number == 0 or name.startswith(" ") else "bold"
        text = Text(escaped(line.rstrip()))
        text.stylize("dim" if number == 0 else style, 0, len(line) if number == 0 else len(name))
        if note and len(line) + 2 + len(note) <= width:
            text = text + Text(" " * (len(line) - len(text) + 2) + note)
            note = ""
        if note and not any(rows[number][1:]) and len(name) + 2 + len(note) <= width:
            text = text + Text(f"  {note}")
            note = ""
        yield text
        yield from (Text(f"    {part}") for part in textwrap.wrap(note, max(24, width - 4)))


def _print_result(console: Console, summary: StageSummary) -> None:
    console.print()
    say(console, [("bold", summary.name), *(("", f"  {line}") for line in summary.lines)])
