"""Fold: a summary per part, merged 64 at a time, in rounds; then a decision per part.

Where few narrow rows are all there is, one task does it (`fold_at_once`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.operators import Fold
from winnow.core.operators.notes import merged
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.names import data_folders
from winnow.core.store.parts import find_receipt, frame_of, read_file, save_file, table_content
from winnow.core.store.schema import canonical, conform, contiguous, to_table, write_ipc
from winnow.dags.shapes.arrivals import RowCount
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.fold_at_once import AT_ONCE_ROWS, FoldAtOnceTask
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.whole import take_all, unanswered
from winnow.dags.shapes.work import Work, context, in_mask, make_work, operator_of, part_rows

FAN_IN = 64
ROUNDS = ("summary-", "merge-", "state-")  # phases that only the stage's own tasks read

Piece = tuple[str, str, str]  # (phase, unit, key) of a committed summary or state


class FoldRun(MapRun):
    """Summaries per part, merged 64 at a time, in rounds; then a decision per part."""

    operator: Fold

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: set[str] = set()  # parts that have come and were not asked for a summary yet
        self._rows = RowCount(self.inputs[0])

    def ready(self) -> list[Item]:
        """Whatever can start in the current round; one item for all rounds where rows are few."""
        self._waiting |= self._arrivals.fresh()
        if self._at_once():
            return self._all_at_once()
        if not self.refs_ready():
            return []
        self.known = len(self.inputs[0].parts)
        items, _ = self._summaries(0, None, sorted(self._waiting))
        self._waiting = set()
        if items or self.busy or not self._inputs_closed():
            return items  # what is under way decides what comes next
        state: Receipt | None = None
        for number in range(1000):
            step = self._round(number, state)
            if isinstance(step, list):
                return step
            state = step
            if state.extra["done"]:
                return self._decisions(state)
        raise AssertionError("a Fold needs more than 1000 rounds")

    def _at_once(self) -> bool:
        return self.operator.at_once and self._rows.total() <= AT_ONCE_ROWS

    def _all_at_once(self) -> list[Item]:
        """The one item, once all rows are known."""
        solving = unanswered(self, "fold")
        if solving is None:
            return []
        return [Item(run=self, task=FoldAtOnceTask(**self.common("solved", "all", solving)))]

    def arrived(self, item: Item) -> None:
        """One more unit, or every part."""
        if isinstance(item.task, FoldAtOnceTask):
            take_all(self, item)
        super().arrived(item)

    def _left_overs(self) -> list[str]:
        """Also what rounds have left."""
        found = [(data, phase) for data in data_folders(self.node.folder) for phase in self.store.folders(data)]
        return [*super()._left_overs(), *(f"{data}/{phase}" for data, phase in found if phase.startswith(ROUNDS))]

    def _round(self, number: int, state: Receipt | None) -> list[Item] | Receipt:
        """This round's work, or the state it ended with."""
        units = sorted(self.inputs[0].parts)  # never in order of arrival: the pieces' order is in the keys
        items, pieces = self._summaries(number, state, units)
        if items or len(pieces) < len(units):
            return items
        return self._merge(number, pieces, _name(state) if state else None)

    def _summaries(self, number: int, state: Receipt | None, units: list[str]) -> tuple[list[Item], list[Receipt]]:
        """(what is to be summarised in a round, the summaries that are there) of parts whose inputs are there."""
        items, pieces = [], []
        named = _name(state) if state else None
        for unit in units:
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            key = self.part_key("summary", receipts, number, state.digest if state else "")
            phase = f"summary-{number:02d}"
            receipt = self.receipt_of(phase, unit, key)
            if receipt is None:
                task = SummariseTask(**self.common(phase, unit, key, receipts), state=named)
                items.append(Item(run=self, task=task))
            else:
                pieces.append(receipt)
        return items, pieces

    def _merge(self, number: int, pieces: list[Receipt], state: Piece | None) -> list[Item] | Receipt:
        """The tree: groups of 64 until one is left, which advances the state."""
        level = 0
        while len(pieces) > FAN_IN:
            items, merged = [], []
            for i in range(0, len(pieces), FAN_IN):
                group = pieces[i : i + FAN_IN]
                step = self._merged(f"merge-{number:02d}-{level}", f"{i // FAN_IN:05d}", group, state, last=False)
                if isinstance(step, Item):
                    items.append(step)
                elif step:
                    merged.append(step)
            if items or len(merged) < -(-len(pieces) // FAN_IN):
                return items
            pieces, level = merged, level + 1
        step = self._merged(f"state-{number:02d}", "all", pieces, state, last=True)
        if isinstance(step, Item):
            return [step]
        return step or []

    def _merged(
        self, phase: str, unit: str, group: list[Receipt], state: Piece | None, *, last: bool
    ) -> Item | Receipt | None:
        key = unit_key(self.node.family, phase, [r.digest for r in group], self.refs_digest(), state)
        receipt = self.receipt_of(phase, unit, key)
        if receipt or (phase, unit) in self._scheduled:
            return receipt
        pieces = tuple((r.phase, r.unit, r.key) for r in group)
        return Item(run=self, task=MergeTask(**self.common(phase, unit, key), pieces=pieces, last=last, state=state))

    def _decisions(self, state: Receipt) -> list[Item]:
        items = []
        for unit in list(self.inputs[0].parts):
            receipts = self.inputs_of(unit)
            assert receipts is not None
            key = self.part_key("part", receipts, state.digest)
            receipt = self.receipt_of("part", unit, key)
            if receipt is None:
                task = DecideTask(**self.common("part", unit, key, receipts), state=_name(state))
                items.append(Item(run=self, task=task))
            elif unit not in self.parts:
                self.parts[unit] = receipt
                self.version += 1
        return items

    def noted(self) -> dict[str, Any]:
        """What every round noted; of one name the later one, of remarks all."""
        states = [r for (phase, _), r in self._receipts.items() if phase.startswith("state-")]
        states.sort(key=lambda r: int(r.phase.removeprefix("state-")))
        return merged(r.notes for r in states) if states else super().noted()


@dataclass(frozen=True, kw_only=True)
class SummariseTask(UnitTask):
    """The summary of one part in one round."""

    state: Piece | None = None  # what the round before ended with

    def run(self) -> dict[str, Any]:
        """Commit the summary."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work)
        with context(work) as ctx:
            summary = operator_of(work, Fold).summarise(frame_of(in_mask(table, keep)), _state(work, self.state), ctx)
        _commit_frame(work, summary)
        return {}


@dataclass(frozen=True, kw_only=True)
class MergeTask(UnitTask):
    """One summary of up to FAN_IN; the last one of a round also advances the state."""

    urgency: ClassVar[Urgency] = Urgency.FIRST

    pieces: tuple[Piece, ...]
    last: bool
    state: Piece | None = None

    def run(self) -> dict[str, Any]:
        """Commit the merged summary, or the state that the round ends with."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Fold)
        merged = operator.merge([_read(work, piece) for piece in self.pieces])
        if not self.last:
            _commit_frame(work, merged)
            return {}
        notes: dict[str, Any] = {}
        with context(work, notes=notes) as ctx:
            state, done = operator.advance(merged, _state(work, self.state), ctx)
        _commit_frame(work, state, extra={"done": bool(done)}, notes=notes)
        return {}


@dataclass(frozen=True, kw_only=True)
class DecideTask(UnitTask):
    """The columns of one part."""

    state: Piece

    def run(self) -> dict[str, Any]:
        """Commit the part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work)
        asked = in_mask(table, keep)
        with context(work) as ctx:
            answers = operator_of(work, Fold).decide(frame_of(asked), _read(work, self.state), ctx)
        commit_columns(work, table, keep, conform(answers, work.stage.outputs, rows=asked.num_rows))
        return {}


def _name(receipt: Receipt) -> Piece:
    return receipt.phase, receipt.unit, receipt.key


def _state(work: Work, state: Piece | None) -> pl.DataFrame | None:
    return _read(work, state) if state else None


def _read(work: Work, piece: Piece) -> pl.DataFrame:
    receipt = find_receipt(work.store, work.stage.folder, *piece)
    return frame_of(read_file(work.store, receipt.files[0]))


def _commit_frame(
    work: Work, frame: pl.DataFrame, extra: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    table = to_table(frame)
    table = table.from_arrays([canonical(contiguous(c)) for c in table.columns], names=table.column_names)
    write = functools.partial(write_ipc, table=table, compress=False)
    ref = save_file(work.stage.dir, work.task.phase, work.unit, ".arrow", write, columns=tuple(table.column_names))
    work.commit(rows=table.num_rows, content=table_content(table), files=[ref], extra=extra, notes=notes)
