"""What every task in a worker shares: its stage, its input columns, its context, and committing what it made."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Operator, port_fields, sql
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.no_value import frame_without_nan
from winnow.core.store.parts import (
    Memo,
    PartColumns,
    committed,
    find_receipt,
    frame_of,
    mask_of,
    read_columns,
    save_file,
)
from winnow.core.store.small_records import StoreRecords
from winnow.core.store.store import Store
from winnow.dags.engines import machine
from winnow.dags.engines.failures import conceal
from winnow.dags.engines.time_limits import beat
from winnow.dags.recipe.input_stamps import Watch, from_plain
from winnow.dags.shapes.references import open_refs
from winnow.dags.shapes.stage_file import StageFile, read_stage, references_of
from winnow.dags.shapes.unit_task import UnitTask

Op = TypeVar("Op", bound=Operator)
Units = list[tuple[Any, ...]]  # (unit, key), or (store key, bytes) of files


@dataclass(kw_only=True)
class Work:
    """A task that is being done: its stage, its fields and its clock."""

    stage: StageFile
    task: UnitTask
    watch: Watch  # over the files outside the store that the task reads
    started: float = field(default_factory=time.perf_counter)

    @property
    def store(self) -> Store:
        """The run root."""
        return self.stage.store

    @property
    def unit(self) -> str:
        """Name of the unit."""
        return self.task.unit

    @property
    def key(self) -> str:
        """Digest of everything the unit's result is a function of."""
        return self.task.key

    @property
    def batch_rows(self) -> int:
        """Rows per batch: the operator's own for bounded ones, else the runner's (never identity)."""
        return self.stage.operator.batch_rows or self.task.batch_rows

    def done(self, phase: str = "") -> Receipt | None:
        """The receipt, where another attempt has committed this unit; `phase` where it is not the task's own."""
        return self.stage.dir.receipt(phase or self.task.phase, self.unit, self.key)

    def on_unit(self, unit: str, key: str, inputs: Sequence[str] = ()) -> Work:
        """The same work on another unit, where one task commits several."""
        return replace(self, task=replace(self.task, unit=unit, key=key, inputs=tuple(inputs)))

    def commit(
        self, phase: str = "", *, rows: int = 0, row_digest: str = "", content: Mapping[str, str] | None = None,
        files: Sequence[FileRef] = (), counts: Mapping[str, int] | None = None,
        extra: Mapping[str, Any] | None = None, quarantine: FileRef | None = None, unit: str = "",
        notes: Mapping[str, Any] | None = None,
    ) -> Receipt:  # fmt: skip
        """Commit the receipt of the task's unit, or of another one (first writer wins), and return what counts.

        Raises: DataError, and commits nothing, where an input file is no longer what was planned.
        """
        self.watch.check()
        receipt = Receipt(
            phase=phase or self.task.phase,
            unit=unit or self.unit,
            key=self.key,
            rows=rows,
            row_digest=row_digest,
            content=content or {},
            files=tuple(files),
            consumed=self.task.consumed,
            counts=counts or {},
            extra=extra or {},
            notes=notes or {},
            quarantine=quarantine,
            run={
                "seconds": time.perf_counter() - self.started,
                "host": socket.gethostname(),
                "peak_bytes": machine.peak_bytes(),
                **versions(),
            },
        )
        return self.stage.dir.commit(receipt)


def make_work(task: UnitTask) -> Work:
    """The work that a task asks for; its clock starts. Raises: DataError where a file that it reads has changed."""
    stage = read_stage(task.root, task.folder)
    if task.listed:
        held = orjson.loads(stage.store.get(task.listed))
        task = replace(task, files={port: tuple(paths) for port, paths in held["files"].items()}, seen=held["seen"])
    return Work(stage=stage, task=task, watch=Watch(from_plain(task.seen)))


def operator_of(work: Work, shape: type[Op]) -> Op:
    """The operator of the stage, which is of this shape."""
    operator = work.stage.operator
    assert isinstance(operator, shape)
    return operator


@functools.cache
def versions() -> dict[str, str]:
    """Versions that a later reader may want to know; not identity."""
    import winnow

    return {"winnow": winnow.__version__, "python": platform.python_version(), "polars": pl.__version__,
            "pyarrow": pa.__version__, "numpy": np.__version__}  # fmt: skip


@contextlib.contextmanager
def context(
    work: Work, *, access: PartColumns | None = None, notes: dict[str, Any] | None = None,
    counts: dict[str, int] | None = None,
) -> Iterator[Context]:  # fmt: skip
    """The operator's context with a scratch folder that is removed afterwards; `notes` collects its metrics, `counts`
    what a Map counts.
    """
    stage = work.stage
    refs = open_refs(work.store, stage.refs, {port: list(paths) for port, paths in work.task.files.items()})
    _conceal_secrets(stage.operator)
    with work.store.temporary() as scratch:
        yield Context(
            seed=stage.seed,
            work=scratch,
            refs=refs,
            access=access,
            code=stage.code,
            step=functools.partial(step, work),
            notes=notes,
            counts=counts,
            records=StoreRecords(work.store),
            beat=beat,
        )


def _conceal_secrets(operator: Operator) -> None:
    """Keep what the environment holds for the operator's secrets out of whatever this process reports."""
    for port, kind in port_fields(operator).items():
        if kind == "secret" and getattr(operator, port):
            conceal(os.environ.get(getattr(operator, port), ""))


def step(work: Work, name: str, make: Callable[[Path], None]) -> Path:
    """A committed sub-step of a long task: `make` fills a folder once; a rerun after a kill finds it."""
    receipt = work.stage.dir.receipt("step", name, work.key)
    if receipt is None:
        with work.store.temporary() as scratch:
            make(scratch)
            files = save_folder(work, "step", name, scratch)
        receipt = work.commit("step", files=files, unit=name)
    folder = f"{work.stage.folder}/steps/{name}.{work.key[:12]}"
    for ref in receipt.files:
        work.store.publish(ref.key, f"{folder}/{ref.name}")
    return work.store.local_copy(folder)


def save_folder(work: Work, phase: str, unit: str, folder: Path) -> list[FileRef]:
    """The files of a scratch folder as committed data, in order of their names."""
    out = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        rel = path.relative_to(folder).as_posix()

        def copy(sink: Any, source: Path = path) -> None:
            with source.open("rb") as raw:
                while block := raw.read(1 << 22):
                    sink.write(block)

        out.append(save_file(work.stage.dir, phase, unit, f".{rel.replace('/', '__')}", copy, name=rel))
    return out


def commit_folder(work: Work, folder: Path, metrics: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Commit an artefact or a result: the files in a scratch folder, its metrics, and what the operator noted."""
    files = save_folder(work, work.task.phase, work.unit, folder)
    work.commit(files=files, extra={"metrics": dict(metrics)}, counts={"files": len(files)}, notes=notes)


def input_receipts(work: Work) -> list[Receipt]:
    """The inputs' receipts of the task's part, in input order."""
    pairs = zip(work.stage.inputs, work.task.inputs, strict=True)
    return [find_receipt(work.store, folder, "part", work.unit, key) for folder, key in pairs]


def wanted(stage: StageFile, receipts: Sequence[Receipt], names: Sequence[str]) -> dict[str, tuple[Receipt, str]]:
    """Name -> (receipt, column on disk) for the operator's columns."""
    return {name: (receipts[stage.columns[name][0]], stage.columns[name][1]) for name in names}


def mask(stage: StageFile, store: Store, receipts: Sequence[Receipt]) -> np.ndarray | None:
    """True for the rows this stage is asked about, bool[rows]; None where that is all of them."""
    out: np.ndarray | None = None
    if stage.population:
        columns = {f"p{n}": (receipts[i], c) for n, (i, c) in enumerate(stage.population)}
        for column in read_columns(store, columns).columns:
            kept = mask_of(column)
            out = kept if out is None else out & kept
    if stage.where:
        names = {name: f"w{n}" for n, name in enumerate(stage.where_columns)}
        table = read_columns(store, {names[n]: (receipts[i], c) for n, (i, c) in stage.where_columns.items()})
        expression = sql.expression(sql.rename_columns(stage.where, names))
        try:
            verdict = frame_without_nan(frame_of(table)).select(expression.alias("verdict"))["verdict"]
        except pl.exceptions.PolarsError as error:
            message = str(error).strip().splitlines()[0][:200]
            hint = "a CAST of what cannot be cast? TRY_CAST gives null there"
            raise DataError(f"`where: {stage.where}` cannot be worked out: {message}", hint=hint) from error
        kept = verdict.cast(pl.Boolean).fill_null(value=False).to_numpy()
        out = kept if out is None else out & kept
    return None if out is None or bool(out.all()) else out


def part_rows(
    work: Work, names: Sequence[str] | None = None, memo: Memo | None = None
) -> tuple[pa.Table, np.ndarray | None]:
    """(the operator's columns of all rows of the task's part, mask)."""
    receipts = input_receipts(work)
    chosen = list(dict.fromkeys(["doc_id", *work.stage.operator.needs()])) if names is None else list(names)
    table = read_columns(work.store, wanted(work.stage, receipts, chosen), memo)
    return table, mask(work.stage, work.store, receipts)


def in_mask(table: pa.Table, keep: np.ndarray | None) -> pa.Table:
    """The rows the operator is asked about."""
    return table if keep is None else table.take(pa.array(np.flatnonzero(keep)))


def refs_digest(work: Work) -> tuple[str, ...]:
    """Content digests of the references: an operator that was opened with others is another one."""
    return tuple(committed(work.store, ref["folder"]).content_digest for ref in references_of(work.stage.refs))


def all_units(work: Work) -> list[str]:
    """Units of the input row space in order; all inputs must be complete."""
    return list(committed(work.store, work.stage.inputs[0]).named("part"))


def access_to(work: Work) -> PartColumns:
    """Random access to the operator's columns of every part; all inputs must be complete."""
    manifests = [committed(work.store, folder).named("part") for folder in work.stage.inputs]
    parts = [{n: (manifests[i][unit], c) for n, (i, c) in work.stage.columns.items()} for unit in manifests[0]]
    return PartColumns(work.store, parts)


def read_list(work: Work, name: str) -> Units:
    """A committed list: what a task of many inputs reads instead of a long payload."""
    return [tuple(each) for each in orjson.loads(work.store.get(f"{work.stage.folder}/lists/{name}.json"))]
