"""Fold tasks: summarise a part, merge summaries (fan-in 64), advance the round, decide a part."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import polars as pl

from winnow.core.operators import Fold
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import find_receipt, frame_of, read_file, save_file
from winnow.core.store.schema import canonical, conform, contiguous, to_table, write_ipc
from winnow.dags.work.map import commit_columns
from winnow.dags.work.task import Work, context, in_mask, make_work, part_rows


def summarise(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The committed summary of one part in one round."""
    work = make_work(payload)
    phase = f"summary-{payload['round']:02d}"
    if work.done(phase):
        return {}
    table, keep, _ = part_rows(work, payload["inputs"], work.unit)
    with context(work) as ctx:
        summary = _operator(work).summarise(frame_of(in_mask(table, keep)), _state(work), ctx)
    _commit_frame(work, phase, summary)
    return {}


def merge(payload: Mapping[str, Any]) -> dict[str, Any]:
    """One summary of up to 64; the last one of a round also advances the state."""
    work = make_work(payload)
    phase = str(payload["phase"])
    if work.done(phase):
        return {}
    pieces = [_read(work, from_phase, unit, key) for from_phase, unit, key in payload["pieces"]]
    merged = _operator(work).merge(pieces)
    if not payload["last"]:
        _commit_frame(work, phase, merged)
        return {}
    notes: dict[str, Any] = {}
    with context(work, notes=notes) as ctx:
        state, done = _operator(work).advance(merged, _state(work), ctx)
    _commit_frame(work, phase, state, extra={"done": bool(done)}, notes=notes)
    return {}


def decide(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one part."""
    work = make_work(payload)
    receipt = work.done("part") or _decide(work)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def _decide(work: Work) -> Receipt:
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit)
    asked = in_mask(table, keep)
    state = _state(work)
    assert state is not None
    with context(work) as ctx:
        answers = _operator(work).decide(frame_of(asked), state, ctx)
    return commit_columns(work, table, keep, conform(answers, work.stage.outputs, rows=asked.num_rows))


def _operator(work: Work) -> Fold:
    assert isinstance(work.stage.operator, Fold)
    return work.stage.operator


def _state(work: Work) -> pl.DataFrame | None:
    found = work.payload.get("state")
    return _read(work, *found) if found else None


def _read(work: Work, phase: str, unit: str, key: str) -> pl.DataFrame:
    receipt = find_receipt(work.store, work.stage.folder, phase, unit, key)
    return frame_of(read_file(work.store, receipt.files[0]))


def _commit_frame(
    work: Work, phase: str, frame: pl.DataFrame, extra: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    from winnow.core.store.parts import table_content

    table = to_table(frame)
    table = table.from_arrays([canonical(contiguous(c)) for c in table.columns], names=table.column_names)
    write = functools.partial(write_ipc, table=table, compress=False)
    ref = save_file(work.stage.dir, phase, work.unit, ".arrow", write, columns=tuple(table.column_names))
    work.commit(phase, rows=table.num_rows, content=table_content(table), files=[ref], extra=extra, notes=notes)
