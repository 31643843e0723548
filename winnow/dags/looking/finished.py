"""The one model of a finished run: its stages, their columns and cells, and what decides for what.

    run = FinishedRun(record)
    stage = run.stage("clean")          # a stage by the name a person knows
    column = stage.find("words")        # the column that a name means to it: `.stage`, `.name`, `.part(unit)`
    stage.cell("words", unit, row)      # one of its own values, for a document's place: `stage.index.find(doc_id)`
    clusters_in(stage)                  # the duplicate clusters that a dedup found, with their keepers: `duplicates`

Everything is read when it is asked for: opening a run reads its record alone, and an operator is imported for what only
it can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError, StoreError, WinnowError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind, Operator, Rewrite
from winnow.core.store.committed_stage import CommittedStage
from winnow.core.store.manifest import Manifest, Receipt
from winnow.core.store.parts import committed, mask_of
from winnow.core.store.schema import STATE, STATE_FAILED, STATE_MASKED
from winnow.dags.looking.cells import cell, light_column, values_at
from winnow.dags.looking.row_index import RowIndex
from winnow.dags.recipe.names import find_column, spellings
from winnow.dags.recipe.records import RunRecord
from winnow.dags.recipe.registry import class_named
from winnow.dags.shapes.stage_file import StageFile, read_stage

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a row space: the stage that holds it, and its name there."""

    stage: FinishedStage
    name: str

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the values."""
        return {**ROW_COLUMNS, **self.stage.columns}[self.name]

    def part(self, unit: str) -> pa.Array:
        """The values of one part. Raises StoreError where its file is gone."""
        return self.stage.array(self.name, unit)


class FinishedStage:
    """One stage of a recorded run."""

    def __init__(self, run: FinishedRun, name: str, shown: str, entry: Mapping[str, Any]) -> None:
        self.run, self.name, self.shown, self.store = run, name, shown, run.store
        self.folder, self.kind = str(entry["dir"]), Kind(entry["kind"])
        self.hidden, self.operator_name = bool(entry.get("hidden")), str(entry.get("operator", ""))
        self.fingerprint = str(entry.get("fingerprint", ""))
        self.expect: Sequence[Mapping[str, Any]] = entry.get("expect") or ()  # beside what was found: `checked_json`
        self._manifest: Manifest | None = None
        self._file: StageFile | None = None
        self._held: tuple[str, dict[str, pa.Array]] = "", {}  # unit -> columns that were read of it

    # -- what is on disk ---------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, or None while the stage is incomplete. Raises StoreError for one of another version."""
        if self._manifest is None and self.store.exists(f"{self.folder}/manifest.json"):
            self._manifest = committed(self.store, self.folder)
        return self._manifest

    @property
    def complete(self) -> bool:
        """True when the stage is committed."""
        return self.manifest is not None

    @property
    def file(self) -> StageFile | None:
        """`stage.json`; None where the stage was never begun, or in a form that cannot be read."""
        if self._file is None and self.store.exists(f"{self.folder}/stage.json"):
            try:
                self._file = read_stage(self.store.location, self.folder)
            except (WinnowError, KeyError, TypeError, ValueError, AttributeError):
                return None
        return self._file

    @cached_property
    def committed(self) -> CommittedStage:
        """The stage's rows and files. Raises StoreError where it is not complete."""
        return CommittedStage(self.store, self.folder, self.kind, self.space)

    @cached_property
    def parts(self) -> Mapping[str, Receipt]:
        """Unit -> receipt; empty where the stage is not complete or has no rows."""
        return self.manifest.named("part") if self.manifest else {}

    @cached_property
    def index(self) -> RowIndex:
        """Where documents lie (row spaces only)."""
        return RowIndex(self.store, self.folder)

    @cached_property
    def operator(self) -> Operator | None:
        """The operator; None where this version of winnow has it no longer, or its fields have changed."""
        try:
            return self.file.operator if self.file else None
        except (WinnowError, KeyError, AttributeError, ImportError):
            return None

    @property
    def declared(self) -> type[Operator] | None:
        """The operator's class, also of a stage that was never begun; None where this version has none of its name."""
        try:
            return class_named(self.operator_name)
        except (WinnowError, ImportError):
            return None

    @property
    def in_comparison(self) -> str:
        """What the operator does in a measured comparison: '', 'run' or 'comparison'."""
        return self.declared.in_comparison if self.declared else ""

    @property
    def role(self) -> str:
        """The role that the operator declares; '' where it cannot be read."""
        return self.operator.role if self.operator else ""

    @property
    def is_write(self) -> bool:
        """True for stages that write the documents of a run as shards; new documents are what a run goes on with."""
        return isinstance(self.operator, Rewrite) and not self.operator.new_ids

    @property
    def is_reader(self) -> bool:
        """True for stages that read documents from files."""
        return self.operator is not None and self.operator.shape_name == "Derive"

    # -- rows and who decides over them ------------------------------------------------------------------

    @property
    def source_space(self) -> str:
        """Folder of the row space of the inputs; '' where there is none."""
        return self.file.space if self.file else ""

    @property
    def space(self) -> str:
        """Folder of the row space that this stage's rows are those of; '' for row spaces and what has none."""
        return "" if self.kind in (Kind.ROWS, Kind.ARTEFACT, Kind.RESULT) else self.source_space

    @property
    def where(self) -> str | None:
        """The stage's own condition."""
        return self.file.where if self.file else None

    @property
    def decides(self) -> bool:
        """True for a complete stage that keeps or drops rows."""
        return self.kind is Kind.COLUMNS and self.complete and self.operator is not None and "kept" in self.outputs

    @cached_property
    def rules(self) -> Mapping[str, str]:
        """Clause -> SQL; empty for stages without clauses."""
        clauses = getattr(self.operator, "clauses", None)
        return dict(clauses()) if callable(clauses) else {}

    def deciding(self) -> list[str]:
        """Folders of the stages whose decisions choose this stage's rows: its population and its `where`."""
        if self.file is None:
            return []
        pairs = [*self.file.population, *self.file.where_columns.values()]
        return list(dict.fromkeys(self.file.inputs[i] for i, column in pairs if column == "kept"))

    def population_names(self) -> list[str]:
        """Names of the stages that must have kept a row for this stage to ask about it."""
        return [self.run.name_of(f) for f in self.deciding()]

    def asked(self, unit: str) -> Mask:
        """Rows of a part that the stage was asked about."""
        asked: Mask = np.asarray(self.array(STATE, unit)) != STATE_MASKED
        return asked

    def failed(self, unit: str) -> Mask:
        """Rows of a part that the stage could not answer."""
        failed: Mask = np.asarray(self.array(STATE, unit)) == STATE_FAILED
        return failed

    def kept(self, unit: str) -> Mask:
        """Rows of a part that the stage was asked about and kept."""
        return mask_of(self.array("kept", unit)) & self.asked(unit)

    # -- columns -----------------------------------------------------------------------------------------

    @property
    def spoken(self) -> str:
        """The stage's name as a person writes it."""
        return self.shown

    @property
    def outputs(self) -> Mapping[str, pa.DataType]:
        """Columns that the stage adds."""
        return self.file.outputs if self.file else {}

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """All columns of the stage on disk; empty where it was never begun."""
        if self.file is None:
            return {}
        if self.kind is Kind.ROWS:
            return {**ROW_COLUMNS, **self.outputs}
        return {**self.outputs, STATE: pa.uint8()} if self.kind is Kind.COLUMNS else dict(self.outputs)

    def read_as(self, name: str) -> Column | None:
        """The column that the stage read under this name, or None."""
        place = self.file.columns.get(name) if self.file else None
        if self.file is None or place is None:
            return None
        return Column(stage=self.run.at(self.file.inputs[place[0]]), name=place[1])

    def find_here(self, name: str) -> Column | None:
        """The stage's own column that a name means, or None. Raises ConfigError where it could be several."""
        found = find_column(name, [[self]], where=self.shown)
        return Column(stage=self, name=found[1]) if found else None

    def find(self, name: str, *, where: str = "") -> Column | None:
        """The column that a name means to this stage, or None.

        That is what it read under the name, what every row has, else what the rule of names finds among its inputs,
        then among the other stages of its rows. Raises ConfigError where several stages have such a column.
        """
        known = self.read_as(name)
        if known is not None:
            return known
        if name in ROW_COLUMNS:
            return Column(stage=self.run.at(self.space or self.folder), name=name)
        found = find_column(name, self._nearest_first(), where=where, same=lambda s: s.folder)
        return Column(stage=found[0], name=found[1]) if found else None

    def known_names(self) -> set[str]:
        """Every name that `find` may be asked for."""
        stages = [s for many in self._nearest_first() for s in many]
        return {name for s in stages for name in (*s.outputs, *spellings(s))}

    def _nearest_first(self) -> Iterable[Sequence[FinishedStage]]:
        inputs = [self.run.maybe(f) for f in self.file.inputs] if self.file else []
        beside = [s for s in self.run.beside(self) if s.folder != self.folder]
        return (
            [s for s in inputs if s is not None], [s for s in beside if not s.hidden], [s for s in beside if s.hidden],
        )  # fmt: skip

    def array(self, column: str, unit: str) -> pa.Array:
        """One column of one part; those of the part that was read last are held. Raises StoreError where it is gone."""
        if self._held[0] != unit:
            self._held = unit, {}
        held = self._held[1]
        if column not in held:
            held[column] = light_column(self.store, self.parts[unit], column)
        return held[column]

    def cell(self, column: str, unit: str, row: int) -> Any:
        """One of the stage's own values; nothing beside it is read. Raises StoreError where its file is gone."""
        return cell(self.store, self.parts[unit], column, row)

    def values(self, columns: Sequence[str], unit: str, row: int) -> dict[str, Any]:
        """The stage's own columns of one row; those that it has not are left out."""
        return values_at(self.store, self.parts[unit], columns, row)

    def input_values(self, names: Sequence[str], unit: str, row: int) -> dict[str, Any]:
        """Name as this stage read it -> value of one row, in the order of `names`; others are left out."""
        read = {name: column for name in names if (column := self.read_as(name)) is not None}
        by_stage: dict[str, list[str]] = {}
        for column in read.values():
            by_stage.setdefault(column.stage.folder, []).append(column.name)
        cells = {folder: self.run.at(folder).values(columns, unit, row) for folder, columns in by_stage.items()}
        return {name: cells[column.stage.folder].get(column.name) for name, column in read.items()}


class FinishedRun:
    """All stages of one recorded run, in order of the data."""

    def __init__(self, record: RunRecord) -> None:
        self.record, self.store = record, record.store
        shown = record.shown_names()
        self.stages = [FinishedStage(self, name, shown[name], entry) for name, entry in record.stages.items()]
        self._by_folder = {s.folder: s for s in reversed(self.stages)}

    def stage(self, name: str) -> FinishedStage:
        """A stage, complete or not, by the name that a person knows. Raises ConfigError where there is none."""
        for stage in (*(s for s in self.stages if s.shown == name), *(s for s in self.stages if s.name == name)):
            return stage
        hint = did_you_mean(name, [s.shown for s in self.stages])
        raise ConfigError(f"run {self.record.name!r} has no stage {name!r}", hint=hint)

    def distinct(self) -> list[FinishedStage]:
        """The stages, each folder once, under its first name."""
        return [s for s in self.stages if self._by_folder[s.folder] is s]

    def spaces(self) -> list[FinishedStage]:
        """Complete row spaces."""
        return [s for s in self.distinct() if s.kind is Kind.ROWS and s.complete]

    def beside(self, stage: FinishedStage) -> list[FinishedStage]:
        """The complete stages over the rows of a stage, and what opened these."""
        space = stage.folder if stage.kind is Kind.ROWS else stage.space
        return [
            s for s in self.stages
            if s.complete and (s.folder == space or (s.kind is Kind.COLUMNS and s.space == space))
        ]  # fmt: skip

    def at(self, folder: str) -> FinishedStage:
        """The stage in a folder. Raises StoreError where the run has none."""
        found = self.maybe(folder)
        if found is None:
            raise StoreError("a stage of this run is not in its record", where=folder, hint="run the recipe again")
        return found

    def maybe(self, folder: str) -> FinishedStage | None:
        """The stage in a folder, or None."""
        return self._by_folder.get(folder)

    def name_of(self, folder: str) -> str:
        """The name a person knows a folder by."""
        found = self.maybe(folder)
        return found.shown if found else folder

    def decisions_behind(self, stage: FinishedStage) -> set[str]:
        """Folders of all stages whose decisions a stage's rows depend on, and its own."""
        out: set[str] = set()
        todo = [stage.folder]
        while todo:
            folder = todo.pop()
            found = self.maybe(folder)
            if folder not in out and found is not None:
                out.add(folder)
                todo += found.deciding()
        return out
