"""Whole: one task over the sidecars of all rows, which commits every part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators import Whole
from winnow.core.store.manifest import Receipt, solved_key, unit_key
from winnow.core.store.parts import committed, concat_tables, frame_of, sort_by_id
from winnow.core.store.schema import conform
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.published import PublishingRun
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import Work, access_to, all_units, context, in_mask, make_work, operator_of, part_rows


class WholeRun(PublishingRun):
    """One task over all sidecars that commits every part, and the step that its operator publishes."""

    step: Receipt | None = None

    @property
    def closed(self) -> bool:
        """True when solved."""
        return self.manifest is not None or (bool(self.parts) and self.finished())

    def ready(self) -> list[Item]:
        """The one item, when all inputs are complete."""
        key = unanswered(self, "solve", also=self._left)
        return [] if key is None else [Item(run=self, task=SolveTask(**self.common("solved", "all", key)))]

    def arrived(self, item: Item) -> None:
        """Every part has been committed by the one task."""
        take_all(self, item)
        super().arrived(item)
        self._left(item.task.key)

    def final_receipts(self) -> list[Receipt]:
        """The parts, and the step."""
        return [*super().final_receipts(), *([self.step] if self.step else [])]

    def _left(self, key: str) -> bool:
        """Whether the step that the operator publishes is there, if it does."""
        name = self.publishes()
        if name and self.step is None:
            self.step = self.dir.receipt("step", name, key)
        return not name or self.step is not None

    def finished(self) -> bool:
        """True when every part is there."""
        rows = self.inputs[0].parts
        answered = len(self.parts) == len(rows) and self.parts.keys() == rows.keys()
        return answered and (self.step is not None or not self.publishes()) and all(r.closed for r in self.inputs)


def unanswered(run: StageRun, what: str, also: Callable[[str], bool] = bool) -> str | None:
    """The key of the task that answers all parts at once; None where inputs are incomplete, or all of it is there.

    `also` tells of a key whether what there is besides parts is there.
    """
    if not run.refs_ready() or not all(r.manifest for r in run.inputs):
        return None
    units = sorted(run.inputs[0].parts)
    run.known = len(units)
    rows = [[r.row_digest for r in run.inputs_of(u) or ()] for u in units]
    digests = [r.manifest.content_digest for r in run.inputs if r.manifest]
    key = unit_key(run.node.family, what, run.refs_digest(), digests, rows)
    held = {u: run.receipt_of("part", u, solved_key(key, n)) for n, u in enumerate(units)}
    run.parts = {u: r for u, r in held.items() if r}
    return key if len(run.parts) < len(units) or not also(key) else None


def take_all(run: StageRun, item: Item) -> None:
    """Take in every part that the one task has committed."""
    keys = {u: solved_key(item.task.key, n) for n, u in enumerate(sorted(run.inputs[0].parts))}
    for receipt in run.dir.receipts("part"):
        if receipt.key == keys.get(receipt.unit) and receipt.unit not in run.parts:
            run.took(receipt)
            run.parts[receipt.unit] = receipt
            run.seconds = max(run.seconds, float(receipt.run.get("seconds", 0.0)))


@dataclass(frozen=True, kw_only=True)
class SolveTask(UnitTask):
    """The rows of every part at once."""

    urgency: ClassVar[Urgency] = Urgency.FIRST
    all_rows: ClassVar[bool] = True

    def run(self) -> dict[str, Any]:
        """Commit every part; those already there are kept. What the operator notes is kept with the first part."""
        work = make_work(self)
        units = all_units(work)
        loaded = [_sidecars(work, number, unit) for number, unit in enumerate(units)]
        asked = concat_tables([in_mask(table, keep) for table, keep in loaded], {})
        rows = sort_by_id(asked) if units else asked
        notes: dict[str, Any] = {}
        with context(work, access=access_to(work), notes=notes) as ctx:
            solved = operator_of(work, Whole).solve(frame_of(rows), ctx)
        answers = conform(solved, work.stage.outputs, rows=rows.num_rows)
        place = np.lexsort((_ints(rows, "_row"), _ints(rows, "_part")))  # back to (part, row) order
        answers = answers.take(pa.array(place))
        starts = np.cumsum([0, *(len(table) if keep is None else int(keep.sum()) for table, keep in loaded)])
        for number, unit in enumerate(units):
            table, keep = loaded[number]
            piece = work.on_unit(unit, solved_key(work.key, number))
            if piece.done("part") is None:
                answer = answers.slice(starts[number], starts[number + 1] - starts[number])
                commit_columns(piece, table, keep, answer, notes={} if number else notes)
        return {}


def _sidecars(work: Work, number: int, unit: str) -> tuple[pa.Table, np.ndarray | None]:
    keys = [committed(work.store, folder).named("part")[unit].key for folder in work.stage.inputs]
    table, keep = part_rows(work.on_unit(unit, work.key, keys))
    rows = pa.array(np.arange(table.num_rows), pa.uint32())
    part = pa.array(np.full(table.num_rows, number), pa.uint32())
    return table.append_column("_row", rows).append_column("_part", part), keep


def _ints(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name))
