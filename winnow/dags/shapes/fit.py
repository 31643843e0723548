"""Fit: a sample of every part, then one fit of the artefact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from winnow.dags.shapes.work import Work, commit_files, context, in_mask, make_work, part_rows, read_list, save_folder


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
            found = self.found("sample", unit, key)
            if found is None:
                items.append(self.item("sample", "sample", unit, key, **self.part_payload(receipts)))
            else:
                samples.append(found)
        if items or not all(r.closed for r in self.inputs) or len(samples) < len(self.inputs[0].parts):
            return items
        key = unit_key(self.node.family, "fit", self.refs_digest(), [s.digest for s in samples])
        if self.found("artefact", "all", key) is not None:
            return []
        units = [(s.unit, s.key) for s in samples]
        return [self.item("fit", "artefact", "all", key, list=self.put_list(units))]

    def finished(self) -> bool:
        """True when fitted."""
        return ("artefact", "all") in self._receipts

    def final_receipts(self) -> list[Receipt]:
        """The artefact."""
        return [self._receipts["artefact", "all"]]


def sample(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The sampled rows of one part."""
    work = make_work(payload)
    operator = work.stage.operator
    assert isinstance(operator, Fit)
    if work.done("sample"):
        return {}
    table, keep, _ = part_rows(work, payload["inputs"], work.unit)
    with context(work) as ctx:
        chosen = to_table(operator.sample(frame_of(in_mask(table, keep)), ctx))
    files = save_table(work.stage.dir, "sample", work.unit, chosen)
    work.commit("sample", rows=chosen.num_rows, content=table_content(chosen), files=files)
    return {}


def fit(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The artefact from all samples, in ascending doc_id order."""
    work = make_work(payload)
    operator = work.stage.operator
    assert isinstance(operator, Fit)
    receipt = work.done("artefact")
    if receipt is None:
        pieces = [_sample(work, unit, key) for unit, key in read_list(work, payload["list"])]
        rows = sort_by_id(concat_tables(pieces, {"doc_id": pa.binary(16)}))
        notes: dict[str, Any] = {}
        with context(work, notes=notes) as ctx:
            metrics = operator.fit(frame_of(rows), ctx)
            files = save_folder(work, "artefact", work.unit, ctx.work)
            receipt = commit_files(work, "artefact", metrics, files, notes)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def _sample(work: Work, unit: str, key: str) -> pa.Table:
    receipt = find_receipt(work.store, work.stage.folder, "sample", unit, key)
    tables = [read_file(work.store, ref) for ref in receipt.files]
    out = tables[0]
    for extra in tables[1:]:
        for name in extra.column_names:
            out = out.append_column(name, extra.column(name))
    return out
