"""A finished run as Python sees it: `w.open("runs/web").frame("clean")` is a Polars LazyFrame over committed parts.

Frames are read part by part, only the columns that a query uses, and every file is checked against its receipt; rows
come in the order of the parts. A query that filters or aggregates holds a part or two in memory, not the corpus.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, StoreError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.core.operators.notes import metrics_alone
from winnow.core.store.committed_stage import Places
from winnow.core.store.manifest import Manifest
from winnow.core.store.parts import frame_of, read_columns
from winnow.core.store.store import Store
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.address import find_record
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage
from winnow.dags.looking.notebook import funnel_html, verdicts_html
from winnow.dags.recipe.records import RunRecord


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
        if self.run.run.stage(self.stage).in_comparison == "comparison":
            from winnow.trainers.compare.comparison_text import render

            return "\n".join(render(dict(self.metrics)))
        return "\n".join(f"{k}: {v}" for k, v in self.metrics.items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook, a comparison as its table of verdicts; nothing in it is markup."""
        if self.run.run.stage(self.stage).in_comparison == "comparison":
            return verdicts_html(self.metrics)
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True, kw_only=True, repr=False)
class OpenedRun:
    """One recorded run of a root: its stages, their columns, texts and results."""

    record: RunRecord

    @cached_property
    def run(self) -> FinishedRun:
        """The model that all views of a finished run share."""
        return FinishedRun(self.record)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.record.name

    @property
    def about(self) -> dict[str, Any]:
        """When and how it ran: "number", "began", "ended" (UTC), "seconds", "outcome", "recipe", "versions", ..."""
        from winnow.dags.recipe.history import outcome

        names = ("ended", "seconds", "error", "recipe", "seed", "sets", "until", "versions")
        facts = {name: self.record.body.get(name) for name in names}
        return {"number": self.record.number, "began": self.record.began, "outcome": outcome(self.record), **facts}

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
        """Stage -> {"operator", "kind", "fingerprint", "complete", "rows", "kept", "columns", "metrics", "remarks"}.

        In plan order. A composite's last sub-stage has the name of the stage; the others are `stage.sub`.
        """
        return {stage.shown: _facts(stage) for stage in self.run.stages}

    def frame(
        self, stage: str, columns: str | Sequence[str] | None = None, *, doc_id: Literal["binary", "hex"] = "hex"
    ) -> pl.LazyFrame:
        """`doc_id` and `columns` (default: all that the stage has) of every row; `text` and the like may be named too.

        `doc_id`: 32 hex digits as everywhere outside, or the 16 bytes.
        Rows that a stage was not asked about have nulls and say so in `state`.
        Columns of other stages of the same rows are named as in a recipe: `stage.column`, `kept_stage`, ...
        Raises: ConfigError for an unknown stage or column; StoreError where the stage is not complete.
        """
        found = self.run.stage(stage)
        if found.kind not in (Kind.ROWS, Kind.COLUMNS, Kind.TABLE):
            raise ConfigError(f"stage {stage!r} has no rows", where=stage, hint=f"use `.result({stage!r})`")
        names = list(found.columns) if columns is None else [columns] if isinstance(columns, str) else list(columns)
        held = {name: _column(found, name) for name in names}
        _complete(found)
        if found.kind is not Kind.TABLE:
            held = {"doc_id": _column(found, "doc_id"), **held}
        schema = {name: column.type for name, column in held.items()}
        places = [_places(held, unit) for unit in found.committed.parts]
        frame = _scan(self.record.store, places, schema)
        ids = [name for name, column in held.items() if column.name == "doc_id"]  # however it is spelled
        return frame.with_columns(pl.col(ids).bin.encode("hex")) if doc_id == "hex" and ids else frame

    def head(self, stage: str, n: int = 10, columns: str | Sequence[str] | None = None) -> pl.DataFrame:
        """The first `n` rows of a stage, as `frame` has them: no part is read further than that.

        Raises: ConfigError for an unknown stage or column, or a negative `n`; StoreError where it is not complete.
        """
        if n < 0:
            raise ConfigError(f"n is {n}, and cannot be negative", where="n")
        return self.frame(stage, columns).head(n).collect()

    def text(self, stage: str | None = None) -> pl.LazyFrame:
        """`doc_id` and `text` of the rows a stage speaks of; without one, of the run's only rows that stages describe.

        Raises: ConfigError where the run has several such rows and no stage is named.
        """
        if stage is not None:
            return self.frame(stage, ["text"])
        described = {s.space for s in self.run.stages if s.kind is Kind.COLUMNS}
        opened = {s.folder: s for s in reversed(self.run.stages) if s.kind is Kind.ROWS}
        chosen = described & set(opened) or set(opened)
        if len(chosen) != 1:
            names = [s.shown for s in self.run.stages if s.folder in chosen]
            hint = "name a stage of the rows you mean: " + ", ".join(names)
            raise ConfigError(f"this run has {len(chosen)} sets of rows", hint=hint)
        return self.frame(opened[chosen.pop()].shown, ["text"])

    def result(self, stage: str | None = None) -> Result:
        """Metrics of a result or artefact stage; without one, of the run's only result.

        Raises: ConfigError where it is not clear which; StoreError where the stage is not complete.
        """
        if stage is None:
            results = [s.shown for s in self.run.stages if s.kind is Kind.RESULT and not s.hidden]
            if len(results) != 1:
                raise ConfigError(f"this run has {len(results)} results", hint=did_you_mean("", results))
            stage = results[0]
        found = self.run.stage(stage)
        manifest = _complete(found)
        for phase in ("result", "artefact"):
            for receipt in manifest.named(phase).values():
                metrics = receipt.extra.get("metrics", {})
                return Result(stage=stage, operator=found.operator_name, metrics=metrics, run=self)
        raise ConfigError(f"stage {stage!r} has rows, not metrics", where=stage, hint=f"use `.frame({stage!r})`")

    def metrics(self, stage: str) -> dict[str, Any]:
        """What the stage's operator noted; empty where it notes nothing.

        Raises: ConfigError for an unknown stage; StoreError where it is not complete.
        """
        return metrics_alone(_complete(self.run.stage(stage)).metrics)

    def sample(self, **asked: Any) -> dict[str, Any]:
        """Documents as `winnow sample --json` gives them.

        `asked`: `kept`, `dropped`, `by`, `cluster`, `largest`, `stage`, `where` (SQL over any columns), `full`, `n`.
        Raises: ConfigError where they contradict each other or name what is not there; StoreError where a stage that is
        needed is not complete.
        """
        from winnow.dags.looking.samples import sample_json

        return sample_json(self.record, **asked)

    def why(self, doc: str = "", *, where: str | None = None, full: bool = False) -> dict[str, Any]:
        """The life of one document as `winnow why --json` gives it.

        `doc`: a doc_id, your own id, an origin, or COLUMN=VALUE; or `where`: SQL that is true for it alone.
        Raises: ConfigError where no document, or more than one, is meant.
        """
        from winnow.dags.looking.why import explain

        return explain(self.record, doc, where=where, full=full)

    def remarks(self, stage: str) -> list[str]:
        """What probably is not meant of this stage, a sentence each.

        Raises: ConfigError for an unknown stage; StoreError where it is not complete.
        """
        found = self.run.stage(stage)
        return list(remarks_of(found.operator, _complete(found)))

    def shards(self, stage: str) -> Path:
        """The folder of the files that a `write` or `write_tokens` stage left: nothing else lies in it.

        Any tool opens it, `ShardDataset(run.shards("corpus"), ...)` too. It is part of the run root: do not change it.
        Raises: ConfigError where the stage writes no files; StoreError where it is not complete.
        """
        found = self.run.stage(stage)
        inner = "shards" if found.is_write else getattr(found.operator, "publishes", "")
        if not inner:
            raise ConfigError(f"stage {stage!r} writes no files", where=stage,
                              hint=f"`run.export({stage!r}, folder)` lays its rows out")  # fmt: skip
        _complete(found)
        return self.record.store.local_copy(f"{found.folder}/{inner}")

    def export(self, stage: str, to: str | Path, *, format: str = "") -> dict[str, Any]:  # noqa: A002 (as on the CLI)
        """As `winnow export`: the stage's files, or the rows it keeps, in the new folder `to`; all of it or nothing.

        Returns what `winnow export --json` says: "to", "files", "format", "documents", "tokens", "bytes", "digest", ...
        Raises: ConfigError where the folder holds something or the stage has no files or rows; DataError where no row
        is kept; StoreError where the stage is not complete or was changed.
        """
        from winnow.dags.looking.export import export

        return export(self.record, self.run.stage(stage).shown, str(to), format)

    def _repr_html_(self) -> str:
        """The funnel for a notebook; nothing in it is markup."""
        return funnel_html(self.run, self.location)

    def __repr__(self) -> str:
        stages = self.stages
        lines = [f"run {self.name!r} in {self.root}"]
        for name, s in stages.items():
            counted = f" {s['rows']:,} rows" if s["complete"] and s["kind"] in (Kind.ROWS, Kind.COLUMNS) else ""
            counted += f", kept {s['kept']:,}" if s["kept"] is not None and s["kind"] == Kind.COLUMNS else ""
            lines.append(f"  {name}: {s['operator']} ({s['kind']}){counted if s['complete'] else ' not complete'}")
        lines += [f"! {name}: {remark}" for name, s in stages.items() for remark in s["remarks"]]
        return "\n".join(lines)


def _facts(stage: FinishedStage) -> dict[str, Any]:
    manifest = _manifest(stage)
    return {
        "operator": stage.operator_name,
        "kind": stage.kind.value,
        "fingerprint": stage.fingerprint,
        "complete": manifest is not None,
        "rows": manifest.rows if manifest else None,
        "kept": manifest.counts.get("kept") if manifest else None,
        "columns": [c for c in stage.columns if c != "doc_id"],
        "metrics": metrics_alone(manifest.metrics) if manifest else {},
        "remarks": list(remarks_of(stage.operator, manifest)) if manifest else [],
    }


def _manifest(stage: FinishedStage) -> Manifest | None:
    """The stage's manifest; None where there is none, or one of another version."""
    try:
        return stage.manifest
    except StoreError:
        return None


def _complete(stage: FinishedStage) -> Manifest:
    found = _manifest(stage)
    if found is None:
        raise StoreError(
            f"stage {stage.shown!r} of run {stage.run.record.name!r} is not complete",
            where=stage.store.where(stage.folder), hint="run it again: finished units are reused",
        )  # fmt: skip
    return found


def _column(stage: FinishedStage, name: str) -> Column:
    """One of the stage's own columns, or what else the name means to it. Raises ConfigError where that is nothing."""
    if name in stage.columns:
        return Column(stage=stage, name=name)
    found = None if stage.kind is Kind.TABLE else stage.find_here(name) or stage.find(name, where=stage.shown)
    if found is None:
        known = {*stage.columns, *(ROW_COLUMNS if stage.kind is Kind.COLUMNS else ())}
        raise ConfigError(
            f"stage {stage.shown!r} has no column {name!r}", where=stage.shown, hint=did_you_mean(name, known)
        )
    return found


def _places(held: Mapping[str, Column], unit: str) -> Places:
    """Column as it is named -> where it lies, of one part."""
    return {name: column.stage.committed.places(unit, [column.name])[column.name] for name, column in held.items()}


def open(run: str | Path | None = None, *, name: str | None = None) -> OpenedRun:  # noqa: A001 (winnow.open)
    """The run that a person means, as on the command line: a root, `ROOT:NAME`, a run's name; without one the latest.

    `@prev`, `@2` or `@2026-11-29` behind it is an earlier one of that name. `name` picks one of the root's runs.
    Raises: ConfigError where there is none; StoreError where another version of winnow wrote it.
    """
    return OpenedRun(record=find_record(None if run is None else str(run), name))


def _scan(store: Store, places: Sequence[Places], schema: Mapping[str, pa.DataType]) -> pl.LazyFrame:
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
