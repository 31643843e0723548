"""A finished run as Python sees it: `w.open("runs/web").frame("clean")` is a Polars LazyFrame over committed parts.

Frames are read part by part, only the columns that a query uses, and every file is checked against its receipt; rows
come in the order of the parts. A query that filters or aggregates holds a part or two in memory, not the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, StoreError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import Manifest, Receipt
from winnow.core.store.parts import committed, frame_of, read_columns
from winnow.core.store.schema import STATE
from winnow.core.store.store import Store
from winnow.dags.recipe.records import RunRecord, find_root, latest_record
from winnow.dags.shapes.stage_file import raw_stage

Places = list[dict[str, tuple[Receipt, str]]]  # part -> column -> (receipt, column on disk)


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """Metrics of a result stage; `str()` is the table of an ablation, or the metrics line by line."""

    stage: str
    operator: str
    metrics: Mapping[str, Any]
    run: OpenedRun

    def __getitem__(self, key: str) -> Any:
        """One metric. Raises KeyError where there is none of that name."""
        return self.metrics[key]

    def __str__(self) -> str:
        if self.operator == "compare_arms":
            from winnow.trainers.compare.comparison_text import render

            return "\n".join(render(dict(self.metrics)))
        return "\n".join(f"{k}: {v}" for k, v in self.metrics.items())

    __repr__ = __str__


@dataclass(frozen=True, kw_only=True, repr=False)
class OpenedRun:
    """One recorded run of a root: its stages, their columns, texts and results."""

    record: RunRecord

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.record.name

    @property
    def root(self) -> Path:
        """Folder of the run root."""
        return Path(self.location)

    @property
    def location(self) -> str:
        """The run root as text that `winnow.open` takes."""
        return self.record.store.location

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Stage -> {"operator", "kind", "fingerprint", "complete", "rows", "columns", "metrics"}, in plan order.

        A composite's last sub-stage has the name of the stage; the others are `stage.sub`.
        """
        out = {}
        for recorded, shown in self.record.shown_names().items():
            entry = self.record.stages[recorded]
            manifest = self._manifest(entry["dir"])
            out[shown] = {
                "operator": entry.get("operator", ""),
                "kind": entry["kind"],
                "fingerprint": entry.get("fingerprint", ""),
                "complete": manifest is not None,
                "rows": manifest.rows if manifest else None,
                "columns": [c for c in self._schema(entry) if c != "doc_id"],
                "metrics": dict(manifest.metrics) if manifest else {},
            }
        return out

    def frame(
        self, stage: str, columns: str | Sequence[str] | None = None, *, doc_id: Literal["binary", "hex"] = "binary"
    ) -> pl.LazyFrame:
        """`doc_id` and `columns` (default: all that the stage has) of every row; `text` and the like may be named too.

        `doc_id`: 16 bytes, or 32 hex digits. Rows that a stage was not asked about have nulls and say so in `state`.
        Raises: ConfigError for an unknown stage or column; StoreError where the stage is not complete.
        """
        entry = self._entry(stage)
        kind = Kind(entry["kind"])
        if kind not in (Kind.ROWS, Kind.COLUMNS, Kind.TABLE):
            raise ConfigError(f"stage {stage!r} has no rows", where=stage, hint=f"use `.result({stage!r})`")
        own, extra = self._schema(entry), ROW_COLUMNS if kind is Kind.COLUMNS else {}
        wanted = list(own) if columns is None else [columns] if isinstance(columns, str) else list(columns)
        for name in wanted:
            if name not in own and name not in extra:
                raise ConfigError(
                    f"stage {stage!r} has no column {name!r}",
                    where=stage, hint=did_you_mean(name, {*own, *extra}),
                )  # fmt: skip
        if kind is not Kind.TABLE:
            wanted = list(dict.fromkeys(["doc_id", *wanted]))
        schema = {name: {**extra, **own}[name] for name in wanted}
        frame = _scan(self.record.store, self._places(entry, stage, schema), schema)
        if doc_id == "hex" and "doc_id" in schema:
            return frame.with_columns(pl.col("doc_id").bin.encode("hex"))
        return frame

    def text(self, stage: str | None = None) -> pl.LazyFrame:
        """`doc_id` and `text` of the rows a stage speaks of; without one, of the run's only rows that stages describe.

        Raises: ConfigError where the run has several such rows and no stage is named.
        """
        if stage is not None:
            return self.frame(stage, ["text"])
        spaces = {self._space(e) for e in self.record.stages.values() if e["kind"] == Kind.COLUMNS}
        readers = {e["dir"] for e in self.record.stages.values() if e["kind"] == Kind.ROWS}
        chosen = spaces & readers or readers
        names = [n for n, s in self.record.shown_names().items() if self.record.stages[n]["dir"] in chosen]
        if len(chosen) != 1:
            hint = "name a stage of the rows you mean: " + ", ".join(names)
            raise ConfigError(f"this run has {len(chosen)} sets of rows", hint=hint)
        return self.frame(self.record.shown_names()[names[0]], ["text"])

    def result(self, stage: str | None = None) -> Result:
        """Metrics of a result or artefact stage; without one, of the run's only result.

        Raises: ConfigError where it is not clear which; StoreError where the stage is not complete.
        """
        if stage is None:
            names = self.record.shown_names()
            results = {n for n, s in self.record.stages.items() if s["kind"] == Kind.RESULT and not s.get("hidden")}
            found = [shown for recorded, shown in names.items() if recorded in results]
            if len(found) != 1:
                raise ConfigError(f"this run has {len(found)} results", hint=did_you_mean("", found))
            stage = found[0]
        entry = self._entry(stage)
        manifest = self._complete(entry, stage)
        for phase in ("result", "artefact"):
            for receipt in manifest.named(phase).values():
                metrics = receipt.extra.get("metrics", {})
                return Result(stage=stage, operator=entry.get("operator", ""), metrics=metrics, run=self)
        raise ConfigError(f"stage {stage!r} has rows, not metrics", where=stage, hint=f"use `.frame({stage!r})`")

    def metrics(self, stage: str) -> dict[str, Any]:
        """What the stage's operator noted; empty where it notes nothing.

        Raises: ConfigError for an unknown stage; StoreError where it is not complete.
        """
        return dict(self._complete(self._entry(stage), stage).metrics)

    def __repr__(self) -> str:
        stages = self.stages
        lines = [f"run {self.name!r} in {self.root}"]
        for name, s in stages.items():
            counted = f" {s['rows']:,} rows" if s["complete"] and s["kind"] in (Kind.ROWS, Kind.COLUMNS) else ""
            lines.append(f"  {name}: {s['operator']} ({s['kind']}){counted if s['complete'] else ' not complete'}")
        return "\n".join(lines)

    def _entry(self, stage: str) -> Mapping[str, Any]:
        shown = {s: n for n, s in self.record.shown_names().items()}
        found = shown.get(stage, stage)
        if found not in self.record.stages:
            raise ConfigError(f"this run has no stage {stage!r}", where=self.name, hint=did_you_mean(stage, shown))
        return self.record.stages[found]

    def _manifest(self, folder: str) -> Manifest | None:
        try:
            return committed(self.record.store, folder)
        except StoreError:
            return None

    def _complete(self, entry: Mapping[str, Any], stage: str) -> Manifest:
        found = self._manifest(entry["dir"])
        if found is None:
            raise StoreError(
                f"stage {stage!r} of run {self.name!r} is not complete",
                where=self.record.store.where(entry["dir"]), hint="run it again: finished units are reused",
            )  # fmt: skip
        return found

    def _space(self, entry: Mapping[str, Any]) -> str:
        raw = raw_stage(self.record.store, entry["dir"])
        return str((raw or {}).get("space", ""))

    def _schema(self, entry: Mapping[str, Any]) -> dict[str, pa.DataType]:
        """Columns of a stage with their types; empty where it was never begun."""
        raw = raw_stage(self.record.store, entry["dir"])
        if raw is None:
            return {}
        own = {f.name: f.type for f in pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(raw["outputs"])))}
        if entry["kind"] == Kind.ROWS:
            return {**ROW_COLUMNS, **own}
        return {**own, STATE: pa.uint8()} if entry["kind"] == Kind.COLUMNS else own

    def _places(self, entry: Mapping[str, Any], stage: str, columns: Mapping[str, Any]) -> Places:
        manifest = self._complete(entry, stage)
        if entry["kind"] == Kind.TABLE:
            return [{c: (r, c) for c in columns} for r in manifest.named("table").values() if r.files]
        own = manifest.named("part")
        rows = own if entry["kind"] == Kind.ROWS else committed(self.record.store, self._space(entry)).named("part")
        return [{c: (r if r.file_of(c) else rows[unit], c) for c in columns} for unit, r in own.items()]


def open(run: str | Path, *, name: str | None = None) -> OpenedRun:  # noqa: A001 (winnow.open)
    """The latest run of a root (a path, or the name of a folder below ./runs), or its run `name`.

    Raises: ConfigError where there is none; StoreError where another version of winnow wrote it.
    """
    return OpenedRun(record=latest_record(open_store(find_root(str(run))), name))


def _scan(store: Store, places: Places, schema: Mapping[str, pa.DataType]) -> pl.LazyFrame:
    """A lazy frame that reads one part at a time, and of it only the columns that are used."""
    from polars.io.plugins import register_io_source

    empty = frame_of(pa.table({name: pa.array([], kind) for name, kind in schema.items()}))

    def parts(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        names = list(schema) if columns is None else columns
        left = rows
        for place in places:
            if left is not None and left <= 0:
                return
            read = names or list(schema)[:1]
            frame = frame_of(read_columns(store, {n: place[n] for n in read})).select(pl.col(read))
            frame = frame if left is None else frame.head(left)
            left = None if left is None else left - frame.height
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(parts, schema=empty.schema, is_pure=True)
