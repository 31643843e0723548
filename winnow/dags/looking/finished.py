"""A finished run as data: its stages opened from disk, their row spaces and what decides for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from winnow.core.errors import StoreError, WinnowError
from winnow.core.operators import Kind, Operator, Rewrite
from winnow.core.store.manifest import Manifest, Receipt, StageDir
from winnow.dags.looking.row_index import RowIndex, values_at
from winnow.dags.recipe.records import RunRecord
from winnow.dags.shapes.stage_file import StageFile, read_stage


class StageView:
    """One stage of a recorded run."""

    def __init__(self, life: Life, name: str, shown: str, entry: Mapping[str, Any]) -> None:
        self.life, self.name, self.shown, self.store = life, name, shown, life.store
        self.folder, self.kind = str(entry["dir"]), Kind(entry["kind"])
        self.hidden, self.operator_name = bool(entry.get("hidden")), str(entry.get("operator", ""))

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest, or None while the stage is incomplete."""
        return StageDir(self.store, self.folder).manifest()

    @property
    def complete(self) -> bool:
        """True when the stage is committed."""
        return self.manifest is not None

    @cached_property
    def stage(self) -> StageFile | None:
        """`stage.json`, or None where it cannot be read."""
        try:
            return read_stage(self.store.location, self.folder)
        except (WinnowError, KeyError, AttributeError, ImportError):
            return None

    @property
    def operator(self) -> Operator | None:
        """The operator."""
        return self.stage.operator if self.stage else None

    @cached_property
    def parts(self) -> dict[str, Receipt]:
        """Unit -> receipt."""
        return self.manifest.named("part") if self.manifest else {}

    @cached_property
    def index(self) -> RowIndex:
        """Where documents lie (row spaces only)."""
        return RowIndex(self.store, self.folder)

    @cached_property
    def space(self) -> str:
        """Folder of the row space that this stage's rows are those of; '' for row spaces and what has none."""
        if self.kind in (Kind.ROWS, Kind.ARTEFACT, Kind.RESULT):
            return ""
        return self.source_space

    @cached_property
    def source_space(self) -> str:
        """Folder of the row space of the inputs; '' where there is none."""
        for folder in self.stage.inputs if self.stage else ():
            view = self.life.maybe(folder)
            if view is not None:
                return view.folder if view.kind is Kind.ROWS else view.source_space
        return ""

    @property
    def where(self) -> str | None:
        """The stage's own condition."""
        return self.stage.where if self.stage else None

    def deciding(self) -> list[str]:
        """Folders of the stages whose decisions choose this stage's rows: its population and its `where`."""
        if self.stage is None:
            return []
        pairs = [*self.stage.population, *self.stage.where_columns.values()]
        return list(dict.fromkeys(self.stage.inputs[i] for i, column in pairs if column == "kept"))

    def population_names(self) -> list[str]:
        """Names of the stages that must have kept a row for this stage to ask about it."""
        return [self.life.name_of(f) for f in self.deciding()]

    def input_values(self, names: Sequence[str], unit: str, row: int) -> dict[str, Any]:
        """Name as this stage says it -> value of one row, read from the stage that has it; {} if unreadable."""
        by_stage: dict[str, dict[str, str]] = {}
        for name in names if self.stage else ():
            if self.stage and name in self.stage.columns:
                number, on_disk = self.stage.columns[name]
                by_stage.setdefault(self.stage.inputs[number], {})[name] = on_disk
        found: dict[str, Any] = {}
        for folder, columns in by_stage.items():
            source = self.life.at(folder)
            values = values_at(source.store, source.parts[unit], list(columns.values()), row)
            found |= {name: values.get(on_disk) for name, on_disk in columns.items()}
        return {name: found[name] for name in names if name in found}

    @property
    def is_write(self) -> bool:
        """True for stages that write shards."""
        return isinstance(self.operator, Rewrite)


class Life:
    """All stages of one recorded run."""

    def __init__(self, record: RunRecord) -> None:
        self.record, self.store = record, record.store
        shown = record.shown_names()
        self.stages = [StageView(self, name, shown[name], entry) for name, entry in record.stages.items()]
        self._by_folder = {v.folder: v for v in reversed(self.stages)}

    def spaces(self) -> list[StageView]:
        """Complete row spaces in order of the data."""
        return [v for v in self._by_folder_in_order() if v.kind is Kind.ROWS and v.complete]

    def at(self, folder: str) -> StageView:
        """The stage in a folder. Raises StoreError where the run has none."""
        found = self.maybe(folder)
        if found is None:
            raise StoreError("a stage of this run is not in its record", where=folder, hint="run the recipe again")
        return found

    def maybe(self, folder: str) -> StageView | None:
        """The stage in a folder, or None."""
        return self._by_folder.get(folder)

    def name_of(self, folder: str) -> str:
        """The name a person knows a folder by."""
        found = self.maybe(folder)
        return found.shown if found else folder

    def decisions_behind(self, view: StageView) -> set[str]:
        """Folders of all stages whose decisions a stage's rows depend on, and its own."""
        out: set[str] = set()
        todo = [view.folder]
        while todo:
            folder = todo.pop()
            found = self.maybe(folder)
            if folder not in out and found is not None:
                out.add(folder)
                todo += found.deciding()
        return out

    def tables_of(self, view: StageView) -> list[Manifest]:
        """Manifests of the keyed tables that a stage refers to (verified pairs of a dedup)."""
        refs = view.stage.refs if view.stage else {}
        folders = [v["folder"] for v in refs.values() if isinstance(v, Mapping) and v.get("kind") == Kind.TABLE.value]
        views = [self.maybe(f) for f in folders]
        return [v.manifest for v in views if v is not None and v.manifest is not None]

    def _by_folder_in_order(self) -> list[StageView]:
        return [v for v in self.stages if self._by_folder[v.folder] is v]
