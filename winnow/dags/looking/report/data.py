"""A finished run as the report tells it: plain values, gathered from receipts, sidecar columns and a few sampled texts.

Counts come from manifests; histograms, sources and samples from one or two passes over memory-mapped columns, part
by part. Text is read for the shown rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators import summary_of
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.looking.metrics import table_rows
from winnow.dags.looking.report.amounts import Amounts
from winnow.dags.looking.report.clusters import Duplicates, duplicates
from winnow.dags.looking.report.drawing import Dag, dag_of
from winnow.dags.looking.report.effects import Effect, effects
from winnow.dags.looking.report.grouping import check_by
from winnow.dags.looking.report.provenance import Provenance, provenance
from winnow.dags.looking.report.rows_pass import decisions_of, scan
from winnow.dags.looking.report.samples import Group, groups_of
from winnow.dags.looking.report.scores import Histogram, histograms
from winnow.dags.looking.report.since import Since, since_of
from winnow.dags.looking.report.sources import Sources, sources_of
from winnow.dags.looking.report.values import TextColumn, text_columns
from winnow.dags.recipe.meanings import tokenizer_of
from winnow.dags.recipe.records import RunRecord, units_done
from winnow.dags.shapes.quarantine import quarantine_of

SAMPLES = 8  # per reason


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A clause of a filter: rows it refuses, rows that only it refuses, rows where it has no value."""

    name: str
    rule: str
    refuses: int
    alone: int
    null: int

    @property
    def jointly(self) -> int:
        """Rows that it refuses together with others."""
        return self.refuses - self.alone


@dataclass(kw_only=True)
class Step:
    """A decision in the funnel: rows asked about and kept, of `total` in the row space."""

    name: str
    operator: str
    about: str
    role: str
    asked: int
    kept: int
    total: int
    failed: int
    tokens: int | None
    tokens_by: str  # what estimates them
    after: list[str]  # stages that must have kept a row
    where: str
    clauses: list[Clause] = field(default_factory=list)
    population: str = ""  # the rows that it is about, in words
    missing: str = ""  # the cleaning above it that did not count

    @property
    def dropped(self) -> int:
        """Rows asked about and not kept."""
        return self.asked - self.kept


@dataclass(kw_only=True)
class Written:
    """Documents that a stage wrote."""

    name: str
    rows: int
    text_bytes: int
    shards: int
    population: str = ""
    missing: str = ""


@dataclass(kw_only=True)
class Space:
    """A row space and all that was decided in it."""

    name: str
    rows: int
    text_bytes: int
    tokens: int | None
    tokens_by: str  # what estimates them
    steps: list[Step]
    written: list[Written]
    scores: list[Histogram]
    bounds: list[Histogram]  # columns that clauses cut
    duplicates: list[Duplicates]
    groups: list[Group]
    sources: Sources
    amounts: Amounts  # the funnel in documents, tokens and bytes
    texts: list[TextColumn]  # text columns that decisions read


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A stage that is not complete."""

    name: str
    operator: str
    units_done: int
    quarantine: str  # folder, where rows failed


@dataclass(frozen=True, kw_only=True)
class AsExpected:
    """What the recipe expects of a stage, beside what was found."""

    stage: str
    what: str
    found: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Noted:
    """What a stage's operator found once: (name, value as text)."""

    stage: str
    operator: str
    values: list[tuple[str, str]]
    hidden: bool = False  # a sub-stage of a composite


@dataclass(kw_only=True)
class Report:
    """All that the page shows."""

    run: str
    root: str
    spaces: list[Space]
    effects: list[Effect]
    provenance: Provenance
    missing: list[Missing]
    dag: Dag
    since: Since | None  # the run of this name before
    metrics: list[Noted] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)  # stage, sentence: what went wrong
    expected: list[AsExpected] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)  # stage, sentence: what probably is not meant

    def alarms_by_stage(self) -> list[tuple[str, list[str]]]:
        """Stage -> its sentences, in order of the first."""
        found: dict[str, list[str]] = {}
        for stage, sentence in self.alarms:
            found.setdefault(stage, []).append(sentence)
        return list(found.items())


def gather(record: RunRecord, *, by: str = "") -> Report:
    """Everything the page of a run shows; incomplete stages are listed as missing.

    `by` is a column that tells sources apart. Raises: ConfigError where no stage is complete or none has that column;
    StoreError where a stage was made in a form that this version does not read, or a committed file is gone. Cost: two
    passes over the sidecars that decide, one part in memory.
    """
    run = opened(record)
    missing = list(_missing(run))
    if not any(view.complete for view in run.stages):
        raise ConfigError(
            f"no stage of run {record.name!r} is complete", where=record.store.location,
            hint="run it first, or name another run with --name",
        )  # fmt: skip
    check_by(run, run.spaces(), by)
    spaces = [s for view in run.spaces() if (s := _space(run, view, by)) is not None]
    out = Report(run=record.name, root=record.store.location, spaces=spaces, effects=effects(run),
                 provenance=provenance(run), missing=missing, dag=dag_of(run), since=since_of(run))  # fmt: skip
    out.metrics = list(_metrics(run))
    out.expected = [AsExpected(stage=v.shown, what=f"{c['expect']}: {c['what']}", found=c["found"], met=c["met"])
                    for v in run.stages for c in v.expect]  # fmt: skip
    out.alarms, out.remarks = list(_alarms(out)), list(_remarks(run))
    return out


def opened(record: RunRecord) -> FinishedRun:
    """The run with all its manifests and stage files read. Raises StoreError for those of another version."""
    run = FinishedRun(record)
    for view in run.stages:
        problem, hint = None, "run the recipe again into this root, then report"
        try:
            problem = "its stage.json cannot be read" if view.complete and view.operator is None else None
        except StoreError as error:
            problem, hint = f"its manifest cannot be read: {error.what}", error.hint
        if problem:
            raise StoreError(
                f"stage {view.shown!r} was made by another version of winnow, or from code that is gone: {problem}",
                where=record.store.where(view.folder), hint=hint,
            )  # fmt: skip
    return run


def _missing(run: FinishedRun) -> Iterator[Missing]:
    for view in {v.folder: v for v in reversed(run.stages)}.values():
        if not view.complete:
            bad = quarantine_of(run.store, view.folder)
            yield Missing(
                name=view.shown, operator=view.operator_name, units_done=units_done(run.store, view.folder),
                quarantine=run.store.where(bad) if run.store.exists(bad) else "",
            )  # fmt: skip


def _space(run: FinishedRun, space: FinishedStage, by: str) -> Space | None:
    """A row space with what was decided in it; None where nothing was."""
    decisions = decisions_of(run, space)
    if not decisions or space.manifest is None:
        return None
    found = scan(run, space, decisions, most=SAMPLES, by=by)
    scores, bounds = histograms(run, list(space.parts), decisions)
    counting = [v for v in run.stages if "token_count" in v.outputs and v.space == space.folder and v.manifest]
    tokens = [v.manifest.counts["tokens"] for v in counting if v.manifest and "tokens" in v.manifest.counts]
    by = next((tokenizer_of(v.operator) for v in counting), "")
    return Space(
        name=space.shown, rows=space.manifest.rows, text_bytes=space.manifest.counts.get("text_bytes", 0),
        tokens=tokens[0] if tokens else None, tokens_by=by,
        steps=[step_of(run, v, space.manifest.rows) for v in decisions],
        written=[_written(v) for v in run.stages if v.is_write and v.complete and v.source_space == space.folder],
        scores=scores, bounds=bounds, duplicates=[d for v in decisions if (d := duplicates(v))],
        groups=groups_of(found), sources=sources_of(found), amounts=found.amounts,
        texts=text_columns(list(space.parts), decisions),
    )  # fmt: skip


def _tokens_by(view: FinishedStage) -> str:
    """What estimates the tokens that a decision counted; '' where nothing does."""
    read = view.read_as("token_count")
    return tokenizer_of(read.stage.operator) if read else ""


def step_of(run: FinishedRun, view: FinishedStage, total: int) -> Step:
    """A decision over a row space of `total` rows, with its clauses."""
    assert view.manifest is not None
    counts = view.manifest.counts
    about = summary_of(type(view.operator)) if view.operator else ""
    return Step(
        name=view.shown, operator=view.operator_name, about=about, role=view.role,
        asked=counts["rows"] - counts.get("masked", 0), kept=counts.get("kept", 0), total=total,
        failed=counts.get("failed", 0), tokens=counts.get("tokens"), tokens_by=_tokens_by(view), where=view.where or "",
        after=list(dict.fromkeys(view.population_names())), **_population(view), clauses=list(_clauses(view, counts)),
    )  # fmt: skip


def _population(view: FinishedStage) -> dict[str, str]:
    """The rows that a stage is about and the cleaning that did not count, as the run's record says them."""
    entry = view.run.record.stages.get(view.name, {})
    return {"population": str(entry.get("rows", "")), "missing": str(entry.get("missing", ""))}


def _clauses(view: FinishedStage, counts: Mapping[str, int]) -> Iterator[Clause]:
    rules = view.rules
    named = [
        k.removeprefix("clause:").removesuffix(":fail")
        for k in counts
        if k.startswith("clause:") and k.endswith(":fail")
    ]
    for name in sorted(named, key=lambda n: list(rules).index(n) if n in rules else len(rules)):
        yield Clause(
            name=name, rule=rules.get(name, ""), refuses=counts[f"clause:{name}:fail"],
            alone=counts.get(f"clause:{name}:only", 0), null=counts.get(f"clause:{name}:null", 0),
        )  # fmt: skip


def _metrics(run: FinishedRun) -> Iterator[Noted]:
    """What operators noted, stage by stage in the order of the data."""
    for view in reversed({v.folder: v for v in reversed(run.stages)}.values()):
        if view.manifest is not None and (rows := table_rows(view.manifest.metrics)):
            yield Noted(stage=view.shown, operator=view.operator_name, values=rows, hidden=view.hidden)


def _remarks(run: FinishedRun) -> Iterator[tuple[str, str]]:
    """Remarks of the plan, then those of every complete stage, in plan order."""
    for remark in run.record.body.get("remarks", ()):
        yield str(remark["stage"]), str(remark["text"])
    for view in reversed({v.folder: v for v in reversed(run.stages)}.values()):
        if view.manifest is not None:
            yield from ((view.shown, line) for line in remarks_of(view.operator, view.manifest))


def _written(view: FinishedStage) -> Written:
    assert view.manifest is not None
    size = view.manifest.counts.get("text_bytes", 0)
    return Written(
        name=view.shown, rows=view.manifest.rows, text_bytes=size, shards=len(view.parts), **_population(view)
    )


def _alarms(report: Report) -> Iterator[tuple[str, str]]:
    """What a reader must not miss, worst first."""
    for gone in report.missing:
        yield gone.name, "not complete: its numbers are missing from this page"
    yield from ((one.stage, f"not as expected: {one.found}; {one.what}") for one in report.expected if not one.met)
    for stage in report.provenance.stages:
        if stage.num_bad:
            what = "record or row" if stage.num_bad == 1 else "records or rows"
            first = f"; first: {stage.bad[0].where}: {stage.bad[0].error}" if stage.bad else ""
            yield stage.name, f"{stage.num_bad:,} {what} in quarantine, without an answer{first}"
    for space in report.spaces:
        for step in space.steps:
            for clause in step.clauses:
                if clause.null:
                    yield step.name, f"clause {clause.name} has no value for {clause.null:,} rows: they are not kept"
        for found in space.duplicates:
            if found.chained:
                yield (
                    found.stage,
                    f"{found.chained:,} of {found.removed:,} removals are only explained by a chain of others",
                )
        for alarm in space.sources.alarms:
            yield alarm.stage, alarm.sentence
    for effect in report.effects:
        if effect.missing:
            yield effect.stage, f"{effect.missing} training runs are not complete"
        yield from ((effect.stage, note) for note in effect.notes)
