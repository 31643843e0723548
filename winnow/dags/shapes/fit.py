"""Fit: a sample of every part, then one fit of the artefact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.operators import Fit
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.parts import (
    concat_tables,
    find_receipt,
    frame_of,
    read_file,
    save_table,
    sort_by_id,
    table_content,
)
from winnow.core.store.schema import to_table
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import Work, commit_folder, context, in_mask, make_work, operator_of, part_rows, read_list


class FitRun(StageRun):
    """Samples part by part, then one fit."""

    final_phase = "artefact"

    def ready(self) -> list[Item]:
        """Samples of the parts that are there; the fit when all are."""
        if not self.refs_ready():
            return []
        items, samples = [], []
        for unit in sorted(self.inputs[0].parts):
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            key = self.part_key("sample", receipts)
            receipt = self.receipt_of("sample", unit, key)
            if receipt is None:
                items.append(Item(run=self, task=SampleTask(**self.common("sample", unit, key, receipts))))
            else:
                samples.append(receipt)
        if items or not all(r.closed for r in self.inputs) or len(samples) < len(self.inputs[0].parts):
            return items
        key = unit_key(self.node.family, "fit", self.refs_digest(), [s.digest for s in samples])
        if self.receipt_of("artefact", "all", key) is not None:
            return []
        units = [(s.unit, s.key) for s in samples]
        task = FitTask(**self.common("artefact", "all", key), samples=self.put_list(units))
        return [Item(run=self, task=task)]

    def finished(self) -> bool:
        """True when fitted."""
        return ("artefact", "all") in self._receipts

    def final_receipts(self) -> list[Receipt]:
        """The artefact."""
        return [self._receipts["artefact", "all"]]


@dataclass(frozen=True, kw_only=True)
class SampleTask(UnitTask):
    """The sampled rows of one part."""

    def run(self) -> dict[str, Any]:
        """Commit the sample."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work)
        with context(work) as ctx:
            chosen = to_table(operator_of(work, Fit).sample(frame_of(in_mask(table, keep)), ctx))
        files = save_table(work.stage.dir, self.phase, work.unit, chosen)
        work.commit(rows=chosen.num_rows, content=table_content(chosen), files=files)
        return {}


@dataclass(frozen=True, kw_only=True)
class FitTask(UnitTask):
    """The artefact from all samples, in ascending doc_id order."""

    urgency: ClassVar[Urgency] = Urgency.FIRST

    samples: str  # name of the list of samples

    def run(self) -> dict[str, Any]:
        """Commit the files of the artefact and the metrics of the fit."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        pieces = [_sample(work, unit, key) for unit, key in read_list(work, self.samples)]
        rows = sort_by_id(concat_tables(pieces, {"doc_id": pa.binary(16)}))
        notes: dict[str, Any] = {}
        with context(work, notes=notes) as ctx:
            if not rows.num_rows:
                ctx.remark("is fitted on no rows: none passes its `where` and the decisions before it")
            metrics = operator_of(work, Fit).fit(frame_of(rows), ctx)
            commit_folder(work, ctx.work, metrics, notes)
        return {}


def _sample(work: Work, unit: str, key: str) -> pa.Table:
    receipt = find_receipt(work.store, work.stage.folder, "sample", unit, key)
    tables = [read_file(work.store, ref) for ref in receipt.files]
    out = tables[0]
    for extra in tables[1:]:
        for name in extra.column_names:
            out = out.append_column(name, extra.column(name))
    return out
