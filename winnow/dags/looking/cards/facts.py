"""Everything that the cards of a written set say, from the record of its run; what the record does not say is None."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow.compute as pc

from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators import Kind
from winnow.core.operators.retext import Retext
from winnow.core.terminal import counted
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.address import readable, refuse_incomplete
from winnow.dags.looking.cards.machine_paths import without_machine_paths
from winnow.dags.looking.cards.shards import Shards
from winnow.dags.looking.cards.told import Told
from winnow.dags.looking.cards.written_rows import Written, written_rows
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage
from winnow.dags.looking.metrics import own_line
from winnow.dags.looking.report.amounts import Amount
from winnow.dags.looking.report.clusters import Duplicates, duplicate_counts
from winnow.dags.looking.report.data import Step, step_of
from winnow.dags.looking.report.effects import Effect, effects
from winnow.dags.looking.report.rows_pass import decisions_of, scan
from winnow.dags.looking.report.sources import Sources, sources_of
from winnow.dags.recipe.records import RunRecord
from winnow.dags.shapes.stage_file import raw_stage

Found = TypeVar("Found")
FINISHED = "finished"  # the outcome of a run that did all that it was asked for
PII = "pii_"  # begins the columns of what was masked
CONTAMINATED = "contaminated_"  # begins those of what was looked for in evaluation data


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Where documents come from: the files of one reader."""

    name: str
    operator: str
    source: str  # as the recipe calls it; '' where it does not
    files: tuple[tuple[str, str], ...]  # name, digest
    documents: int
    bytes: int  # of text
    bad: int


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """The decisions over one row space that lead to the set, in order."""

    space: str
    documents: int
    steps: list[Step]
    amounts: list[Amount]
    sources: Sources


@dataclass(frozen=True, kw_only=True)
class StageFact:
    """One stage that the set depends on."""

    name: str
    operator: str
    version: str
    kind: str
    role: str
    about: str  # its own line, '' where it has none
    fingerprint: str
    digest: str  # content digest
    inputs: tuple[str, ...]
    documents: int | None


@dataclass(frozen=True, kw_only=True)
class Masked:
    """What an editor took out of the text: documents that it changed of those that it read, and findings by kind."""

    stage: str
    documents: int
    edited: int
    found: dict[str, int]  # kind -> in all documents that it read


@dataclass(frozen=True, kw_only=True)
class Decontaminated:
    """What was looked for in the documents, and how many were dropped for it."""

    stage: str
    against: tuple[str, ...]
    asked: int
    dropped: int
    summary: str


@dataclass(kw_only=True)
class Facts:
    """All that the cards show."""

    run: str
    stage: str
    told: Told
    recipe: str
    recipe_text: str  # without the machine's paths
    recipe_sha256: str  # of the text as it was run
    sets: dict[str, str]
    seed: str
    began: str
    ended: str
    versions: dict[str, str]
    fingerprint: str
    documents: int
    text_bytes: int
    written: Written
    shards: Shards
    readers: list[Reader]
    stages: list[StageFact]
    funnels: list[Funnel]
    duplicates: list[Duplicates]
    decontaminated: list[Decontaminated]
    masked: list[Masked]
    effects: list[Effect]
    remarks: list[tuple[str, str]] = field(default_factory=list)  # stage, sentence

    @property
    def title(self) -> str:
        """What a person calls it, else recipe and stage."""
        return self.told.title or f"{self.recipe or self.run}-{self.stage}"


def write_stage(record: RunRecord, stage: str | None) -> tuple[FinishedRun, FinishedStage]:
    """The finished run, and the stage of it that wrote shards; the only one where none is named.

    Raises: ConfigError for a stage that writes none, or where several do and none is named; StoreError for a run that
    has not finished.
    """
    run = FinishedRun(record)
    outcome = str(record.body.get("outcome") or "begun, and not ended")
    if outcome != FINISHED or not all(view.complete for view in run.stages):
        if all(view.complete for view in run.stages):
            hint = "run its recipe again: finished stages are reused, and the record is completed"
            raise StoreError(f"run {record.name!r} is {outcome}", where=record.store.location, hint=hint)
        raise refuse_incomplete(run, f"run {record.name!r} is {outcome}")
    writers = [view for view in run.distinct() if readable(view).is_write]
    names = ", ".join(view.shown for view in writers)
    if stage is not None:
        view = run.stage(stage)
        if not view.is_write:
            hint = f"stages that write shards: {names or 'none; add one: `corpus: {use: write, inputs: [...]}`'}"
            raise ConfigError(f"stage {stage!r} ({view.operator_name}) writes no shards", where="STAGE", hint=hint)
        return run, view
    if len(writers) != 1:
        what = f"run {record.name!r} has {counted(len(writers), '`write` stage')}"
        hint = f"name one: {names}" if writers else "add one to its recipe: `corpus: {use: write, inputs: [...]}`"
        raise ConfigError(what, where=record.store.location, hint=hint)
    return run, writers[0]


def facts_of(run: FinishedRun, view: FinishedStage, shards: Shards, told: Told) -> Facts:
    """Read the record. Cost: the columns that decide and those that `written_rows` names, one part in memory."""
    assert view.manifest is not None
    body = run.record.body
    behind = _behind(run, view)
    decisions = {folder for one in behind if one.kind is Kind.ROWS for folder in run.decisions_behind(one)}
    deciding = [one for one in behind if one.folder in decisions]
    text = without_machine_paths(str(body.get("recipe_text", "")))
    out = Facts(
        run=run.record.name, stage=view.shown, told=told, recipe=str(body.get("recipe", "")), recipe_text=text,
        recipe_sha256=hashlib.sha256(str(body.get("recipe_text", "")).encode()).hexdigest(),
        sets={str(k): without_machine_paths(str(v)) for k, v in dict(body.get("sets") or {}).items()},
        seed=str(body.get("seed", "")), began=str(body.get("began") or ""), ended=str(body.get("ended") or ""),
        versions={str(k): str(v) for k, v in dict(body.get("versions") or {}).items()},
        fingerprint=view.fingerprint, documents=view.manifest.rows,
        text_bytes=view.manifest.counts.get("text_bytes", 0), written=written_rows(run, view), shards=shards,
        readers=[_reader(one) for one in behind if one.is_reader], stages=[_stage(run, one) for one in behind],
        funnels=_known(_funnel(run, space, deciding) for space in behind),
        duplicates=_known(duplicate_counts(one) for one in deciding),
        decontaminated=_known(_decontaminated(run, one) for one in deciding),
        masked=_known(_masked(one) for one in _editors(run, view)), effects=effects(run),
    )  # fmt: skip
    out.remarks = list(_remarks(out, behind))
    return out


def _known(found: Iterable[Found | None]) -> list[Found]:
    return [one for one in found if one is not None]


def _behind(run: FinishedRun, view: FinishedStage) -> list[FinishedStage]:
    """The stages that a set depends on by their rows and columns, itself included, in the order of the data."""
    found, todo = set[str](), [view.folder]
    while todo:
        one = run.maybe(todo.pop())
        if one is not None and one.folder not in found:
            found.add(one.folder)
            todo += one.file.inputs if one.file else ()
    return [one for one in run.distinct() if one.folder in found]


def _reader(view: FinishedStage) -> Reader:
    assert view.manifest is not None
    identity = (raw_stage(view.store, view.folder) or {}).get("identity", {})
    files = tuple((str(name), str(digest)) for port in identity.get("files", {}).values() for name, digest in port)
    counts = view.manifest.counts
    return Reader(
        name=view.shown, operator=view.operator_name, source=str(getattr(view.operator, "source", "") or ""),
        files=files, documents=view.manifest.rows, bytes=counts.get("text_bytes", 0), bad=counts.get("bad", 0),
    )  # fmt: skip


def _stage(run: FinishedRun, view: FinishedStage) -> StageFact:
    assert view.manifest is not None
    identity = (raw_stage(view.store, view.folder) or {}).get("identity", {})
    line = own_line(view.manifest.metrics)
    return StageFact(
        name=view.shown, operator=view.operator_name, version=str(identity.get("version", "")), kind=view.kind.value,
        role=view.role, about=line[0] if line else "", fingerprint=view.fingerprint,
        digest=view.manifest.content_digest, documents=view.manifest.rows if view.kind is Kind.ROWS else None,
        inputs=tuple(run.name_of(folder) for folder in (view.file.inputs if view.file else ())),
    )  # fmt: skip


def _funnel(run: FinishedRun, space: FinishedStage, deciding: list[FinishedStage]) -> Funnel | None:
    """The decisions over a row space that lead to the set; None where nothing was decided."""
    if space.kind is not Kind.ROWS or space.manifest is None:
        return None
    folders = {one.folder for one in deciding}
    decisions = [one for one in decisions_of(run, space) if one.folder in folders]
    if not decisions:
        return None
    found = scan(run, space, decisions, most=1)
    return Funnel(
        space=space.shown, documents=space.manifest.rows, amounts=found.amounts.lines, sources=sources_of(found),
        steps=[step_of(run, one, space.manifest.rows) for one in decisions],
    )  # fmt: skip


def _decontaminated(run: FinishedRun, view: FinishedStage) -> Decontaminated | None:
    read = view.file.columns if view.file else {}
    if view.manifest is None or not any(name.startswith(CONTAMINATED) for name in read):
        return None
    counts, refs = view.manifest.counts, (view.file.refs if view.file else {})
    asked, line = counts["rows"] - counts.get("masked", 0), own_line(view.manifest.metrics)
    names = tuple(run.name_of(ref["folder"]) for ref in refs.values() if isinstance(ref, dict) and "folder" in ref)
    return Decontaminated(
        stage=view.shown, against=names, asked=asked, dropped=asked - counts.get("kept", 0),
        summary=line[0] if line else "",
    )  # fmt: skip


def _editors(run: FinishedRun, view: FinishedStage) -> list[FinishedStage]:
    """The editors that the written text went through, in the order of the data; of an earlier set its own too."""
    found, todo = set[str](), [view]
    while todo:
        one = todo.pop()
        if one.folder in found:
            continue
        found.add(one.folder)
        read = one.file.columns if one.file else {}
        names = [name for name, (_, column) in read.items() if column == "text"]
        todo += [column.stage for name in names if (column := one.read_as(name)) is not None]
        if one.kind is Kind.ROWS and not one.is_write and one.file:  # rows put together from others
            todo += [run.at(folder) for folder in one.file.inputs if run.maybe(folder)]
    return [one for one in run.distinct() if one.folder in found and isinstance(one.operator, Retext)]


def _masked(view: FinishedStage) -> Masked | None:
    names = [name for name in view.outputs if name.startswith(PII) and name != f"{PII}count"]
    if not names or view.manifest is None:
        return None
    counts = view.manifest.counts
    found = {name.removeprefix(PII): _total(Column(stage=view, name=name)) for name in names}
    return Masked(stage=view.shown, documents=counts["rows"] - counts.get("masked", 0),
                  edited=counts.get("edited", 0), found=found)  # fmt: skip


def _total(column: Column) -> int:
    """Sum of a column of whole numbers, one part in memory."""
    return sum(int(pc.sum(column.part(unit)).as_py() or 0) for unit in column.stage.parts)


def _remarks(facts: Facts, behind: list[FinishedStage]) -> Iterator[tuple[str, str]]:
    """What the stages remark, what could not be told, and where the figures of the card do not meet."""
    for view in behind:
        if view.manifest is not None:
            yield from ((view.shown, without_machine_paths(line)) for line in remarks_of(view.operator, view.manifest))
    yield from ((facts.stage, line) for line in (*facts.written.remarks, *unequal(facts)))


def unequal(facts: Facts) -> Iterator[str]:
    """Where what was counted by source is not what was written."""
    if facts.written.documents != facts.documents:
        told = f"{facts.written.documents:,} documents are counted by source, {facts.documents:,} were written"
        yield f"{told}: shares of sources are those of the first"
    if facts.written.bytes != facts.text_bytes:
        told = f"{facts.text_bytes:,} bytes of text were written for {facts.written.bytes:,} bytes that were chosen"
        yield f"{told}: labels were put before texts, or texts were changed on the way"
