"""Map: one part at a time through one or several operators, batch by batch, as soon as every input has that part.

The driver makes one item per part; items of sibling Maps over a part share a task, and Maps that read what these make
follow in it. The worker answers batches, halves a batch that raises down to the rows that are to blame, and commits
each operator's columns by themselves.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.errors import ConfigError, ContractError, EngineError
from winnow.core.operators import Map, MapArrow
from winnow.core.operators.retext import TEXTS, Retext
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import Memo, concat_tables, find_receipt, frame_of
from winnow.core.store.schema import conform, contiguous, write_ipc
from winnow.dags.engines.time_limits import beat, watchdog
from winnow.dags.recipe.input_stamps import Stamp
from winnow.dags.shapes.arrivals import Arrivals
from winnow.dags.shapes.columns import BadRows, commit_columns
from winnow.dags.shapes.isolate import answers_of_child
from winnow.dags.shapes.part_keys import part_key
from winnow.dags.shapes.stage_file import StageFile, read_stage
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.unit_task import UnitTask
from winnow.dags.shapes.work import Work, context, in_mask, make_work, operator_of, part_rows, refs_digest

NEVER_DATA = (MemoryError, ImportError, OSError, ConfigError, ContractError, EngineError)
Answer = Callable[[pa.Table], pa.Table]


class MapRun(StageRun):
    """One item per part, as soon as every input has that part; sibling Maps over a part share a task.

    A Map whose inputs another one makes in the same task may follow there.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._looked: set[str] = set()  # parts that are done or under way
        self._again: set[str] = set()  # parts whose task has failed before their turn
        self._arrivals = Arrivals(self.inputs)

    @property
    def closed(self) -> bool:
        """True when the inputs are and every part has been done."""
        return self.manifest is not None or self.finished()

    def ready(self) -> list[Item]:
        """Parts whose inputs are there."""
        if not self.refs_ready():
            return []
        items = []
        self.known = max(self.known, len(self.inputs[0].parts))
        fresh, self._again = self._arrivals.fresh() | self._again, set()
        for unit in sorted(fresh - self._looked):  # whose last input has come, or which wait for another
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            self._looked.add(unit)
            key = self.part_key("part", receipts)
            receipt = self.receipt_of("part", unit, key)
            if receipt is not None:
                self.parts[unit] = receipt
                self.version += 1
                continue
            items.append(self._make(unit, key, receipts))
        return items

    def _make(self, unit: str, key: str, receipts: list[Receipt]) -> Item:
        space = self.node.space.folder if self.node.space else ""
        task = MapTask(**self.common("part", unit, key, receipts))
        return Item(run=self, task=task, fuse=f"{space}/{unit}")

    def following(self, unit: str, made: Container[str]) -> Item | None:
        """The item of a part some of whose inputs the stages in the folders `made` make in one task.

        None where that is not all that is missing, where another run's units may be taken over instead, or where the
        part is under way.
        """
        if not self.started or self.manifest or self.failures or self.blocked or unit in self._looked:
            return None
        receipts = [run.parts.get(unit) for run in self.inputs]
        there = all(r or run.node.folder in made for run, r in zip(self.inputs, receipts, strict=True))
        if all(receipts) or not there or not self.refs_ready() or self._held():
            return None
        keys = tuple(r.key if r else "" for r in receipts)
        task = MapTask(**{**self.common("part", unit, ""), "inputs": keys}, refs=tuple(self.refs_digest()))
        self._looked.add(unit)
        self.busy += 1
        return Item(run=self, task=task, behind=True)

    def released(self, item: Item) -> None:
        """The task of those that it follows failed: the part comes again when its inputs are there."""
        super().released(item)
        self._looked.discard(item.task.unit)
        self._again.add(item.task.unit)

    def arrived(self, item: Item) -> None:
        """One more part."""
        if item.behind:
            receipts = self.inputs_of(item.task.unit)
            if receipts is None:
                self.released(item)
                return
            item.task = replace(item.task, key=self.part_key("part", receipts))
        super().arrived(item)
        task = item.task
        receipt = self._receipts.get(("part", task.unit))
        if task.phase == "part" and receipt is not None and not self.manifest:
            self.parts[task.unit] = receipt

    def _inputs_closed(self) -> bool:
        return all(r.closed for r in self.inputs)

    def finished(self) -> bool:
        """True when every part of the row space is done."""
        return self._inputs_closed() and len(self.parts) == len(self.inputs[0].parts)


@dataclass(frozen=True, kw_only=True)
class MapTask(UnitTask):
    """One part through one operator, and through others in the same process; each commits by itself.

    A task without a key reads what those before it make: inputs without a key are theirs.
    """

    per_row: ClassVar[bool] = True
    nested: ClassVar[str] = "siblings"

    siblings: tuple[MapTask, ...] = ()
    refs: tuple[str, ...] = ()  # content digests of the references, where there is no key yet

    def run(self) -> dict[str, Any]:
        """Answer and commit the part, once per operator; a column that several read is read once."""
        memo: Memo = {}
        made: dict[str, Receipt] = {}
        for task in (self, *self.siblings):
            work = make_work(task if task.key else _keyed(task, made))
            made[task.folder] = work.done() or _map_part(work, open_map(work), memo)
        return {}

    def together_with(self, others: Sequence[UnitTask]) -> UnitTask:
        """This task with the others as its siblings."""
        return replace(self, siblings=tuple(other for other in others if isinstance(other, MapTask)))

    def row_by_row(self) -> UnitTask:
        """The same part with the operator in a child process."""
        common = {f.name: getattr(self, f.name) for f in fields(UnitTask)}
        return IsolatedMapTask(**common)


@dataclass(frozen=True, kw_only=True)
class IsolatedMapTask(UnitTask):
    """One part of a Map whose worker died or hung: the operator runs in a child, and rows are tried apart."""

    per_row: ClassVar[bool] = True

    def run(self) -> dict[str, Any]:
        """Commit the part; the rows that are to blame are quarantined."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        bad, counts = BadRows(), Counter[str]()
        with watchdog(0):  # the children have limits of their own; reading and a commit have none
            table, keep = part_rows(work, ["doc_id", *(TEXTS if isinstance(work.stage.operator, Retext) else ())])
            answers = answers_of_child(work, in_mask(table, keep).num_rows, self._range, bad, counts)
            commit_columns(work, table, keep, answers, bad, counts=counts)
        return {}

    def _range(self, start: int, stop: int, out: str) -> UnitTask:
        common = {f.name: getattr(self, f.name) for f in fields(UnitTask)}
        return AnswerRangeTask(**common, start=start, stop=stop, out=out)


@dataclass(frozen=True, kw_only=True)
class AnswerRangeTask(UnitTask):
    """Rows [start, stop) of those that a part asks about, in the child of an `IsolatedMapTask`; commits nothing."""

    start: int
    stop: int
    out: str  # path of an Arrow file for the answers

    def run(self) -> dict[str, Any]:
        """Write the answers to `out`; return which rows had none, and why."""
        work = make_work(self)
        needed = list(work.stage.operator.needs())
        table, keep = part_rows(work, list(dict.fromkeys(["doc_id", *needed])))
        asked = in_mask(table, keep).select(needed or ["doc_id"])
        opened, bad, pieces = open_map(work), BadRows(), []
        before = dict(opened.counts)
        for start in range(self.start, self.stop, work.batch_rows):
            batch = asked.slice(start, min(work.batch_rows, self.stop - start))
            pieces.append(answer_rows(opened.answer, batch, start, bad, work.stage))
        with pa.OSFile(self.out, "wb") as sink:
            write_ipc(sink, concat_tables(pieces, work.stage.outputs), compress=False)
        counts = _counted_since(opened, before)
        return {"rows": bad.rows, "errors": bad.errors, "messages": bad.messages, "counts": counts}


def _keyed(task: MapTask, made: Mapping[str, Receipt]) -> MapTask:
    """The task with its key and inputs, once the receipts of all inputs are there."""
    stage = read_stage(task.root, task.folder)
    receipts = [
        find_receipt(stage.store, folder, "part", task.unit, key) if key else made[folder]
        for folder, key in zip(stage.inputs, task.inputs, strict=True)
    ]
    key = part_key(stage, "part", task.refs, receipts)
    return replace(task, key=key, inputs=tuple(r.key for r in receipts), consumed=tuple(r.digest for r in receipts))


def _counted_since(opened: Opened, before: Mapping[str, int]) -> dict[str, int]:
    return {name: number - before.get(name, 0) for name, number in opened.counts.items()}


def _map_part(work: Work, opened: Opened, memo: Memo) -> Receipt:
    stage, before = work.stage, dict(opened.counts)
    needed = list(stage.operator.needs())
    table, keep = part_rows(work, list(dict.fromkeys(["doc_id", *needed])), memo)
    rows = in_mask(table, keep)
    asked = rows.select(needed or ["doc_id"])
    bad = BadRows(doc_id=contiguous(rows.column("doc_id")), code=str(stage.code or ""))
    pieces = []
    for start in range(0, asked.num_rows, work.batch_rows):
        batch = asked.slice(start, work.batch_rows)
        pieces.append(answer_rows(opened.answer, batch, start, bad, stage))
    answers = concat_tables(pieces, stage.outputs)
    return commit_columns(work, table, keep, answers, bad, counts=_counted_since(opened, before))


def answer_rows(answer: Answer, batch: pa.Table, start: int, bad: BadRows, stage: StageFile) -> pa.Table:
    """The operator's answer for a batch; where it raises, halves, down to the rows that are to blame."""
    if batch.num_rows == 0:
        return pa.table({name: pa.array([], kind) for name, kind in stage.outputs.items()})
    beat()
    try:
        return answer(batch)
    except NEVER_DATA:
        raise
    except Exception as error:  # noqa: BLE001 - a row may raise anything; what is no row is re-raised above
        if batch.num_rows == 1:
            bad.add(start, error)
            return pa.table({name: pa.nulls(1, kind) for name, kind in stage.outputs.items()})
    half = batch.num_rows // 2
    left = answer_rows(answer, batch.slice(0, half), start, bad, stage)
    right = answer_rows(answer, batch.slice(half), start + half, bad, stage)
    return pa.concat_tables([left, right])


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An operator that answers tables, and what it has counted in this process."""

    answer: Answer  # table -> conforming table
    counts: dict[str, int]


def open_map(work: Work) -> Opened:
    """The operator opened, once per process and stage."""
    files, stamps = tuple(work.task.files.items()), tuple(work.watch.stamps.items())
    said = work.store.stamp(f"{work.stage.folder}/stage.json")  # fields that are no identity may have changed
    return _opened(work.store.location, work.stage.folder, said, files, refs_digest(work), stamps)


@functools.lru_cache(maxsize=16)
def _opened(
    root: str, folder: str, said: tuple[Hashable, int] | None, files: tuple[tuple[str, tuple[str, ...]], ...],
    refs: tuple[str, ...], stamps: tuple[tuple[str, Stamp], ...],
) -> Opened:  # fmt: skip
    work = make_work(MapTask(root=root, folder=folder, phase="part", unit="", key="", files=dict(files)))
    operator, outputs = work.stage.operator, work.stage.outputs
    counts: dict[str, int] = {}
    with context(work, counts=counts) as ctx:
        if isinstance(operator, MapArrow):
            kernel = operator.open(ctx)
            answer: Answer = lambda table: conform(kernel(_batch(table)), outputs, rows=table.num_rows)  # noqa: E731
        else:
            columns = operator_of(work, Map).open(ctx)
            answer = lambda table: conform(columns(frame_of(table)), outputs, rows=table.num_rows)  # noqa: E731
        return Opened(answer=answer, counts=counts)


def _batch(table: pa.Table) -> pa.RecordBatch:
    arrays = [contiguous(table.column(name)) for name in table.column_names]
    return pa.RecordBatch.from_arrays(arrays, names=table.column_names)
