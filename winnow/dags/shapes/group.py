"""Group: keys to buckets, whole key groups resolved, answers collected back to their rows (or kept as a table)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Group, Kind
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.no_value import without_nan
from winnow.core.store.parts import concat_tables, find_receipt, frame_of, save_file, table_content
from winnow.core.store.schema import conform, to_table, write_ipc
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.exchange import read_exchange, save_exchange
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask
from winnow.dags.shapes.work import Work, access_to, context, in_mask, make_work, operator_of, part_rows, read_list

ROWS_PER_BUCKET = 500_000


class GroupRun(MapRun):
    """Keys to buckets, buckets resolved, answers collected (or kept as a table)."""

    @property
    def final_phase(self) -> str:  # type: ignore[override]
        """`table` or `part`."""
        return "table" if self.node.kind is Kind.TABLE else "part"

    def ready(self) -> list[Item]:
        """Sends; then resolves; then collects. Starts when the rows are known (bucket count follows from them)."""
        if self.busy or not self.refs_ready() or not self._inputs_closed():
            return []
        units = sorted(self.inputs[0].parts)
        buckets = self._buckets()
        self.known = buckets if self.node.kind is Kind.TABLE else len(units)
        sent = self._phase([self._send(u, buckets) for u in units])
        if isinstance(sent, list):
            return sent
        if not all(r.manifest for r in self.inputs):
            return []
        senders = [(r.unit, r.key) for r in sent.values()]
        listed = unit_key(senders)
        resolved = self._phase([self._resolve(b, listed, senders) for b in range(buckets)])
        if isinstance(resolved, list) or self.node.kind is Kind.TABLE:
            return resolved if isinstance(resolved, list) else []
        answers = [(r.unit, r.key) for r in resolved.values()]
        answered = unit_key(answers)
        collected = self._phase([self._collect(n, u, answers, answered) for n, u in enumerate(units)])
        if isinstance(collected, list):
            return collected
        if set(collected) != set(self.parts):
            self.parts = dict(collected)
            self.version += 1
        return []

    def _phase(self, steps: list[Item | Receipt | None]) -> list[Item] | dict[str, Receipt]:
        """The items of a phase that is not through, else its receipts."""
        if all(isinstance(s, Receipt) for s in steps):
            return {s.unit: s for s in steps if isinstance(s, Receipt)}
        return [s for s in steps if isinstance(s, Item)]

    def _buckets(self) -> int:
        if self.options.buckets:
            return self.options.buckets
        parts = self.inputs[0].parts.values()
        operator = self.node.operator
        rows = sum(r.rows for r in parts) * (operator.keys_per_row if isinstance(operator, Group) else 1)
        return max(1, min(4096, max(-(-rows // ROWS_PER_BUCKET), min(4, len(parts)))))

    def _send(self, unit: str, buckets: int) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("send", receipts, buckets)
        receipt = self.receipt_of("send", unit, key)
        if receipt or ("send", unit) in self._scheduled:
            return receipt
        return Item(run=self, task=self.send_task(buckets, self.common("send", unit, key, receipts)))

    def send_task(self, buckets: int, common: dict[str, Any]) -> UnitTask:
        """The task that deals the rows of a part to buckets."""
        return SendKeysTask(**common, buckets=buckets)

    def _resolve(self, bucket: int, listed: str, senders: list[tuple[str, str]]) -> Item | Receipt | None:
        phase = "table" if self.node.kind is Kind.TABLE else "resolve"
        unit = f"{bucket:05d}"
        key = unit_key(self.node.family, phase, bucket, listed, self.refs_digest())
        receipt = self.receipt_of(phase, unit, key)
        if receipt or (phase, unit) in self._scheduled:
            return receipt
        senders_list = self.put_list(senders, listed)
        return Item(run=self, task=ResolveTask(**self.common(phase, unit, key), bucket=bucket, senders=senders_list))

    def _collect(self, number: int, unit: str, answers: list[tuple[str, str]], listed: str) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("part", receipts, listed)
        receipt = self.receipt_of("part", unit, key)
        if receipt or ("part", unit) in self._scheduled:
            return receipt
        common = self.common("part", unit, key, receipts)
        return Item(run=self, task=CollectTask(**common, part=number, answers=self.put_list(answers, listed)))

    @property
    def closed(self) -> bool:
        """True when every part is collected."""
        return self.manifest is not None or (self.node.kind is not Kind.TABLE and MapRun.closed.fget(self))  # type: ignore[attr-defined]

    def finished(self) -> bool:
        """True when all buckets (table) or parts are there."""
        if self.node.kind is not Kind.TABLE:
            return super().finished()
        return self.known > 0 and len(self._tables()) == self.known

    def final_receipts(self) -> list[Receipt]:
        """Bucket tables or parts."""
        return self._tables() if self.node.kind is Kind.TABLE else list(self.parts.values())

    def _tables(self) -> list[Receipt]:
        return [r for (phase, _), r in sorted(self._receipts.items()) if phase == "table"]


@dataclass(frozen=True, kw_only=True)
class SendKeysTask(UnitTask):
    """The keys of one part, one batch per bucket."""

    buckets: int

    def run(self) -> dict[str, Any]:
        """Commit one file with the keys of the part, grouped by bucket."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Group)
        table, keep = part_rows(work)
        index = np.arange(table.num_rows) if keep is None else np.flatnonzero(keep)
        rows = frame_of(in_mask(table, keep))
        schema = {"key": pa.uint64(), "doc_id": pa.binary(16), **operator.key_schema()}
        with context(work) as ctx:
            keys = operator.keys(rows, ctx)
        if "_at" in keys.columns:
            keys = keys.with_columns(pl.Series("_row", index[keys["_at"].to_numpy()].astype(np.uint32))).drop("_at")
        else:
            located = rows.select("doc_id").with_columns(pl.Series("_row", index.astype(np.uint32)))
            keys = keys.join(located, on="doc_id", how="left", maintain_order="left")
        sent = conform(keys, {**schema, "_row": pa.uint32()}, rows=keys.height)
        receiver = (keys["key"].to_numpy() % np.uint64(self.buckets)).astype(np.int64)
        ref = save_exchange(work.stage.dir, self.phase, work.unit, sent, receiver, self.buckets, compress=False)
        work.commit(rows=sent.num_rows, content=table_content(sent), files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class ResolveTask(UnitTask):
    """One bucket: every key group it holds, whole and sorted."""

    bucket: int
    senders: str  # name of the list of what was sent

    def run(self) -> dict[str, Any]:
        """Commit the table of the bucket, or the answers addressed to each part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Group)
        pieces = read_sent(work, self.senders, "send", self.bucket)
        located = [
            t.append_column("_part", pa.array(np.full(t.num_rows, i), pa.uint32())) for i, t in enumerate(pieces)
        ]
        rows = frame_of(concat_tables(located, {}))
        rows = rows.sort(["key", "doc_id", *operator.key_schema()]) if operator.sorts else rows
        counts: dict[str, int] = {}
        with context(work, access=access_to(work), counts=counts) as ctx:
            answers = operator.resolve(rows, ctx)
        if operator.kind is Kind.TABLE:
            _commit_table(work, answers, counts)
        else:
            _send_back(work, rows, answers, len(pieces))
        return {}


@dataclass(frozen=True, kw_only=True)
class CollectTask(UnitTask):
    """The columns of one part from the answers addressed to it."""

    part: int  # its number
    answers: str  # name of the list of what was resolved

    def run(self) -> dict[str, Any]:
        """Commit the part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work, list(dict.fromkeys(["doc_id", *operator_of(work, Group).collects()])))
        asked = in_mask(table, keep)
        pieces = read_sent(work, self.answers, "resolve", self.part)
        answers = frame_of(concat_tables(pieces, {})).sort("doc_id")
        counts: dict[str, int] = {}
        with context(work, counts=counts) as ctx:
            out = operator_of(work, Group).collect(frame_of(asked), answers, ctx)
        commit_columns(work, table, keep, conform(out, work.stage.outputs, rows=asked.num_rows), counts=counts)
        return {}


def read_sent(work: Work, listed: str, phase: str, receiver: int) -> list[pa.Table]:
    """What every sender of a committed list sent to one receiver, in the order of the list."""
    folder = work.stage.folder
    refs = [find_receipt(work.store, folder, phase, unit, key).files[0] for unit, key in read_list(work, listed)]
    return read_exchange(work.store, refs, receiver)


def _send_back(work: Work, rows: pl.DataFrame, answers: pl.DataFrame, parts: int) -> None:
    schema = {"doc_id": pa.binary(16), **operator_of(work, Group).answer_schema()}
    placed = answers
    if "_part" not in answers.columns:
        place = rows.select("doc_id", "_part").unique(subset="doc_id", keep="first", maintain_order=True)
        placed = answers.join(place, on="doc_id", how="left", maintain_order="left")
    table = conform(placed.drop("_part"), schema, rows=placed.height)
    receiver = placed["_part"].to_numpy().astype(np.int64)
    ref = save_exchange(work.stage.dir, work.task.phase, work.unit, table, receiver, parts, compress=False)
    work.commit(rows=table.num_rows, content=table_content(table), files=[ref])


def _commit_table(work: Work, answers: pl.DataFrame, told: Mapping[str, int]) -> None:
    table, odd = without_nan(conform(to_table(answers), work.stage.outputs, rows=answers.height))
    write = functools.partial(write_ipc, table=table, compress=False)
    ref = save_file(work.stage.dir, work.task.phase, work.unit, ".arrow", write, columns=tuple(table.column_names))
    counts = {**told, "rows": table.num_rows} | odd
    work.commit(rows=table.num_rows, content=table_content(table), files=[ref], counts=counts)
