"""Fold: a summary per part, merged 64 at a time, in rounds; then a decision per part."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import polars as pl

from winnow.core.operators import Fold
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.parts import find_receipt, frame_of, read_file, save_file, table_content
from winnow.core.store.schema import canonical, conform, contiguous, to_table, write_ipc
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.work import Work, context, in_mask, make_work, part_rows

FAN_IN = 64


class FoldRun(MapRun):
    """Summaries per part, merged 64 at a time, in rounds; then a decision per part."""

    def ready(self) -> list[Item]:
        """Whatever can start in the current round."""
        parts = len(self.inputs[0].parts)
        if not self.refs_ready() or (self.busy and parts == self.known):
            return []  # what is under way decides what comes next
        self.known = parts
        state: Receipt | None = None
        for number in range(1000):
            step = self._round(number, state)
            if isinstance(step, list):
                return step
            state = step
            if state.extra["done"]:
                return self._decisions(state)
        raise AssertionError("a Fold needs more than 1000 rounds")

    def _round(self, number: int, state: Receipt | None) -> list[Item] | Receipt:
        """This round's work, or the state it ended with."""
        items, pieces = [], []
        told = self._told(state)
        for unit in sorted(self.inputs[0].parts):  # never in order of arrival: the pieces' order is in the keys
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            key = self.part_key("summary", receipts, number, state.digest if state else "")
            phase = f"summary-{number:02d}"
            found = self.found(phase, unit, key)
            if found is None:
                payload = self.part_payload(receipts)
                items.append(self.item("summarise", phase, unit, key, round=number, state=told, **payload))
            else:
                pieces.append(found)
        if items or len(pieces) < len(self.inputs[0].parts) or not self._inputs_closed():
            return items
        return self._merge(number, pieces, told)

    def _merge(self, number: int, pieces: list[Receipt], told: Any) -> list[Item] | Receipt:
        """The tree: groups of 64 until one is left, which advances the state."""
        level = 0
        while len(pieces) > FAN_IN:
            items, merged = [], []
            for i in range(0, len(pieces), FAN_IN):
                group = pieces[i : i + FAN_IN]
                found = self._merged(f"merge-{number:02d}-{level}", f"{i // FAN_IN:05d}", group, told, last=False)
                if isinstance(found, Item):
                    items.append(found)
                elif found:
                    merged.append(found)
            if items or len(merged) < -(-len(pieces) // FAN_IN):
                return items
            pieces, level = merged, level + 1
        found = self._merged(f"state-{number:02d}", "all", pieces, told, last=True)
        if isinstance(found, Item):
            return [found]
        return found or []

    def _merged(self, phase: str, unit: str, group: list[Receipt], told: Any, *, last: bool) -> Item | Receipt | None:
        key = unit_key(self.node.family, phase, [r.digest for r in group], self.refs_digest(), told)
        found = self.found(phase, unit, key)
        if found or (phase, unit) in self._scheduled:
            return found
        named = [(r.phase, r.unit, r.key) for r in group]
        return self.item("merge", phase, unit, key, pieces=named, last=last, state=told)

    def _decisions(self, state: Receipt) -> list[Item]:
        items = []
        for unit in list(self.inputs[0].parts):
            receipts = self.inputs_of(unit)
            assert receipts is not None
            key = self.part_key("part", receipts, state.digest)
            found = self.found("part", unit, key)
            if found is None:
                payload = self.part_payload(receipts)
                items.append(self.item("decide", "part", unit, key, state=self._told(state), **payload))
            elif unit not in self.parts:
                self.parts[unit] = found
                self.version += 1
        return items

    def noted(self) -> dict[str, Any]:
        """What every round noted; the later one where both did."""
        states = [r for (phase, _), r in self._receipts.items() if phase.startswith("state-")]
        states.sort(key=lambda r: int(r.phase.removeprefix("state-")))
        return {name: value for r in states for name, value in r.notes.items()}

    def _told(self, state: Receipt | None) -> list[str] | None:
        return [state.phase, state.unit, state.key] if state else None


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
    table = to_table(frame)
    table = table.from_arrays([canonical(contiguous(c)) for c in table.columns], names=table.column_names)
    write = functools.partial(write_ipc, table=table, compress=False)
    ref = save_file(work.stage.dir, phase, work.unit, ".arrow", write, columns=tuple(table.column_names))
    work.commit(phase, rows=table.num_rows, content=table_content(table), files=[ref], extra=extra, notes=notes)
