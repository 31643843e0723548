"""Tasks of which a stage has one: solve over all sidecars, fit a model, run a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core.operators import Fit, Job, Kind, Whole
from winnow.core.store.manifest import FileRef, Receipt, solved_key
from winnow.core.store.parts import (
    committed,
    concat_tables,
    find_receipt,
    frame_of,
    read_file,
    save_table,
    sort_by_id,
    table_content,
)
from winnow.core.store.schema import conform, to_table
from winnow.dags.work.map import commit_columns
from winnow.dags.work.task import (
    Work,
    access_to,
    all_units,
    context,
    in_mask,
    make_work,
    part_rows,
    read_list,
    save_folder,
)


def solve(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A Whole operator over the rows of every part; one commit per part, those already there are kept.

    What it notes is kept with the first part.
    """
    work = make_work(payload)
    operator = work.stage.operator
    assert isinstance(operator, Whole)
    units = all_units(work)
    loaded = [_sidecars(work, number, unit) for number, unit in enumerate(units)]
    asked = concat_tables([in_mask(table, keep) for table, keep in loaded], {})
    rows = sort_by_id(asked) if units else asked
    notes: dict[str, Any] = {}
    with context(work, access=access_to(work), notes=notes) as ctx:
        answers = conform(operator.solve(frame_of(rows), ctx), work.stage.outputs, rows=rows.num_rows)
    place = np.lexsort((_ints(rows, "_row"), _ints(rows, "_part")))  # back to (part, row) order
    answers = answers.take(pa.array(place))
    starts = np.cumsum([0, *(len(table) if keep is None else int(keep.sum()) for table, keep in loaded)])
    for number, unit in enumerate(units):
        table, keep = loaded[number]
        named = {"unit": unit, "key": solved_key(work.key, number)}
        piece = Work(stage=work.stage, payload={**payload, **named}, started=work.started)
        if piece.done("part") is None:
            answer = answers.slice(starts[number], starts[number + 1] - starts[number])
            commit_columns(piece, table, keep, answer, notes={} if number else notes)
    return {}


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
            receipt = _commit_files(work, "artefact", metrics, files, notes)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A job's files and metrics."""
    work = make_work(payload)
    operator = work.stage.operator
    assert isinstance(operator, Job)
    phase = "result" if operator.kind is Kind.RESULT else "artefact"
    receipt = work.done(phase)
    if receipt is None:
        notes: dict[str, Any] = {}
        with context(work, notes=notes) as ctx:
            metrics = operator.run(ctx)
            receipt = _commit_files(work, phase, metrics, save_folder(work, phase, work.unit, ctx.work), notes)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def _sidecars(work: Work, number: int, unit: str) -> tuple[pa.Table, np.ndarray | None]:
    keys = [committed(work.store, folder).named("part")[unit].key for folder in work.stage.inputs]
    table, keep, _ = part_rows(work, keys, unit)
    rows = pa.array(np.arange(table.num_rows), pa.uint32())
    part = pa.array(np.full(table.num_rows, number), pa.uint32())
    return table.append_column("_row", rows).append_column("_part", part), keep


def _ints(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name))


def _sample(work: Work, unit: str, key: str) -> pa.Table:
    receipt = find_receipt(work.store, work.stage.folder, "sample", unit, key)
    tables = [read_file(work.store, ref) for ref in receipt.files]
    out = tables[0]
    for extra in tables[1:]:
        for name in extra.column_names:
            out = out.append_column(name, extra.column(name))
    return out


def _commit_files(
    work: Work, phase: str, metrics: Mapping[str, Any], files: Sequence[FileRef], notes: Mapping[str, Any]
) -> Receipt:
    counts = {"files": len(files)}
    return work.commit(phase, files=files, extra={"metrics": dict(metrics)}, counts=counts, notes=notes)
