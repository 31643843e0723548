"""Group: keys to buckets, whole key groups resolved, answers collected back to their rows (or kept as a table)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Group, Kind
from winnow.core.store.manifest import FileRef, Receipt, unit_key
from winnow.core.store.no_value import without_nan
from winnow.core.store.parts import concat_tables, frame_of, save_file, table_content
from winnow.core.store.schema import conform, to_table, write_ipc
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.exchange import (
    FORM,
    MOST_PIECES,
    TO,
    File,
    Levels,
    dealt,
    levels_of,
    read_exchange,
    save_exchange,
    save_pieces,
)
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.unit_task import UnitTask
from winnow.dags.shapes.work import Work, access_to, context, in_mask, make_work, operator_of, part_rows, read_list

ROWS_PER_BUCKET = 500_000
MOST_BUCKETS, MOST_LOOKING = 1 << 17, 4096  # where each bucket may look into every part, fewer and larger ones


class DealtRun(StageRun):
    """A stage whose tasks send rows to each other."""

    def _levels(self, senders: int, receivers: int) -> Levels:
        return levels_of(senders, receivers, self.options.pieces or MOST_PIECES)

    def _dealt(self, phase: str, sent: list[Receipt], levels: Levels) -> list[Item] | Parcels:
        """What was sent, for its receivers; with two levels, first the tasks that deal it to them."""
        if not levels.two:
            return Parcels(levels, [sent])
        groups = [sent[at : at + levels.group] for at in range(0, levels.senders, levels.group)]
        parcels = Parcels(Levels(senders=levels.senders, receivers=1), groups)
        steps = [self._deal(phase, bundle, number, parcels, levels)
                 for bundle in range(levels.bundles) for number in range(levels.groups)]  # fmt: skip
        done = self._phase(steps)
        if isinstance(done, list):
            return done
        dealt = list(done.values())
        return Parcels(levels, [dealt[at : at + levels.groups] for at in range(0, len(dealt), levels.groups)])

    def _deal(self, phase: str, bundle: int, number: int, groups: Parcels, levels: Levels) -> Item | Receipt | None:
        unit = f"{numbered(bundle, levels.bundles)}.{numbered(number, levels.groups)}"
        key = unit_key(self.node.family, phase, bundle, number, levels.width, levels.group, groups.keys[number])
        receipt = self.receipt_of(phase, unit, key)
        if receipt or (phase, unit) in self._scheduled:
            return receipt
        task = DealTask(**self.common(phase, unit, key), senders=groups.listed(number, self.put_list), piece=bundle,
                        of=levels.bundles, width=levels.width, first=number * levels.group)  # fmt: skip
        return Item(run=self, task=task)

    def _phase(self, steps: list[Item | Receipt | None]) -> list[Item] | dict[str, Receipt]:
        """The items of a phase that is not through, else its receipts."""
        if all(isinstance(s, Receipt) for s in steps):
            return {s.unit: s for s in steps if isinstance(s, Receipt)}
        return [s for s in steps if isinstance(s, Item)]


class GroupRun(DealtRun, MapRun):
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
        levels = self._levels(len(units), self._buckets())
        self.known = levels.receivers if self.node.kind is Kind.TABLE else len(units)
        sent = self._sent(units, levels)
        if isinstance(sent, list) or not all(r.manifest for r in self.inputs):
            return sent if isinstance(sent, list) else []
        back = self._levels(levels.receivers, len(units))
        resolved = self._phase([self._resolve(b, sent, back) for b in range(levels.receivers)])
        if isinstance(resolved, list) or self.node.kind is Kind.TABLE:
            return resolved if isinstance(resolved, list) else []
        answered = self._dealt("return", list(resolved.values()), back)
        if isinstance(answered, list):
            return answered
        collected = self._phase([self._collect(n, u, answered) for n, u in enumerate(units)])
        if isinstance(collected, list):
            return collected
        if set(collected) != set(self.parts):
            self.parts = dict(collected)
            self.version += 1
        return []

    def _sent(self, units: list[str], levels: Levels) -> list[Item] | Parcels:
        """What still has to be sent or dealt, or all that was, for the receivers."""
        sent = self._phase([self._send(u, levels) for u in units])
        return sent if isinstance(sent, list) else self._dealt("deal", list(sent.values()), levels)

    def _buckets(self) -> int:
        if self.options.buckets:
            return self.options.buckets
        parts = self.inputs[0].parts.values()
        operator = self.node.operator
        rows = sum(r.rows for r in parts) * (operator.keys_per_row if isinstance(operator, Group) else 1)
        most = MOST_LOOKING if isinstance(operator, Group) and operator.looks_up() else MOST_BUCKETS
        return max(1, min(most, max(-(-rows // ROWS_PER_BUCKET), min(4, len(parts)))))

    def _send(self, unit: str, levels: Levels) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("send", receipts, levels.receivers, levels.width, FORM)
        receipt = self.receipt_of("send", unit, key)
        if receipt or ("send", unit) in self._scheduled:
            return receipt
        return Item(run=self, task=self.send_task(levels, self.common("send", unit, key, receipts)))

    def send_task(self, levels: Levels, common: dict[str, Any]) -> UnitTask:
        """The task that deals the rows of a part to buckets."""
        return SendKeysTask(**common, buckets=levels.receivers, width=levels.width)

    def _resolve(self, bucket: int, sent: Parcels, back: Levels) -> Item | Receipt | None:
        phase = "table" if self.node.kind is Kind.TABLE else "resolve"
        unit = numbered(bucket, back.senders)
        form = () if self.node.kind is Kind.TABLE else (back.receivers, back.width, FORM)
        key = unit_key(self.node.family, phase, bucket, sent.named(bucket), self.refs_digest(), *form)
        receipt = self.receipt_of(phase, unit, key)
        if receipt or (phase, unit) in self._scheduled:
            return receipt
        task = ResolveTask(**self.common(phase, unit, key), **sent.fields(bucket, self.put_list),
                           parts=back.receivers, width=back.width)  # fmt: skip
        return Item(run=self, task=task)

    def _collect(self, number: int, unit: str, answered: Parcels) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("part", receipts, answered.named(number))
        receipt = self.receipt_of("part", unit, key)
        if receipt or ("part", unit) in self._scheduled:
            return receipt
        common = self.common("part", unit, key, receipts)
        return Item(run=self, task=CollectTask(**common, **answered.fields(number, self.put_list)))

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


class Parcels:
    """What lies ready for every receiver: the files of its bundle, and which of their pieces is its own."""

    def __init__(self, levels: Levels, bundles: Sequence[list[Receipt]]) -> None:
        self._levels, self._bundles = levels, bundles
        self.keys = [_names(bundle) for bundle in bundles]  # what each bundle is a function of
        self._listed: dict[int, str] = {}

    def named(self, receiver: int) -> str:
        """Digest of what lies ready for a receiver."""
        return self.keys[receiver // self._levels.width if self._levels.two else 0]

    def listed(self, bundle: int, put_list: Callable[[list[File]], str]) -> str:
        """Name of the committed list of the files of a bundle."""
        if bundle not in self._listed:
            self._listed[bundle] = put_list(_files(self._bundles[bundle]))
        return self._listed[bundle]

    def fields(self, receiver: int, put_list: Callable[[list[File]], str]) -> dict[str, Any]:
        """Fields of the task of a receiver: where its pieces are."""
        two, width = self._levels.two, self._levels.width
        listed = self.listed(receiver // width if two else 0, put_list)
        piece, of = (receiver % width, width) if two else (receiver, self._levels.receivers)
        return {"senders": listed, "piece": piece, "of": of}


def _names(receipts: Sequence[Receipt]) -> str:
    """Digest of what units are functions of."""
    return unit_key([(r.unit, r.key) for r in receipts])


def _files(receipts: Sequence[Receipt]) -> list[File]:
    return [(r.files[0].key, r.files[0].size) for r in receipts]


def numbered(number: int, of: int) -> str:
    """Name of unit `number`, so that names have the order of numbers."""
    return f"{number:0{max(5, len(str(of - 1)))}d}"


@dataclass(frozen=True, kw_only=True)
class DealTask(UnitTask):
    """Pieces of one bundle from a group of senders, dealt to the receivers of the bundle; about one part's bytes."""

    senders: str  # name of the list of their files
    piece: int  # number of the bundle
    of: int  # pieces in each file
    width: int  # receivers in a bundle
    first: int  # number of the first sender

    def run(self) -> dict[str, Any]:
        """Commit one file with a piece per receiver."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        pieces = read_sent(work, self)
        if self.phase == "deal" and work.stage.operator.shape_name in ("Group", "Derive"):
            pieces = [_of_part(table, self.first + number) for number, table in enumerate(pieces)]
        schema = pieces[0].select([name for name in pieces[0].column_names if name != TO]).schema
        compress = any(pa.types.is_large_string(kind) for kind in schema.types)
        ref = save_pieces(work.stage.dir, self.phase, work.unit, dealt(pieces, self.width), schema, compress=compress)
        rows = sum(table.num_rows for table in pieces)
        work.commit(rows=rows, content={"rows": f"{rows:032x}"}, files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class SendKeysTask(UnitTask):
    """The keys of one part, one piece per bucket or bundle of buckets."""

    buckets: int
    width: int = 1  # buckets in a bundle

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
        ref = save_exchange(
            work.stage.dir, self.phase, work.unit, sent, receiver, self.buckets, width=self.width, compress=False
        )
        work.commit(rows=sent.num_rows, content=table_content(sent), files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class ResolveTask(UnitTask):
    """One bucket: every key group it holds, whole and sorted."""

    senders: str  # name of the list of files that hold what was sent
    piece: int  # which piece of them
    of: int  # pieces in each file
    parts: int  # that answers go to
    width: int = 1  # of them in a bundle

    def run(self) -> dict[str, Any]:
        """Commit the table of the bucket, or the answers addressed to each part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Group)
        pieces = read_sent(work, self)
        located = [t if "_part" in t.column_names else _of_part(t, number) for number, t in enumerate(pieces)]
        rows = frame_of(concat_tables(located, {}))
        rows = rows.sort(["key", "doc_id", *operator.key_schema()]) if operator.sorts else rows
        counts: dict[str, int] = {}
        with context(work, access=access_to(work), counts=counts) as ctx:
            answers = operator.resolve(rows, ctx)
        if operator.kind is Kind.TABLE:
            _commit_table(work, rows, answers, counts)
        else:
            _send_back(work, rows, answers, self)
        return {}


@dataclass(frozen=True, kw_only=True)
class CollectTask(UnitTask):
    """The columns of one part from the answers addressed to it."""

    senders: str  # name of the list of files that hold what was resolved
    piece: int  # which piece of them
    of: int  # pieces in each file

    def run(self) -> dict[str, Any]:
        """Commit the part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work, list(dict.fromkeys(["doc_id", *operator_of(work, Group).collects()])))
        asked = in_mask(table, keep)
        pieces = read_sent(work, self)
        answers = frame_of(concat_tables(pieces, {})).sort("doc_id")
        counts: dict[str, int] = {}
        with context(work, counts=counts) as ctx:
            out = operator_of(work, Group).collect(frame_of(asked), answers, ctx)
        commit_columns(work, table, keep, conform(out, work.stage.outputs, rows=asked.num_rows), counts=counts)
        return {}


def read_sent(work: Work, task: Any) -> list[pa.Table]:
    """What lies ready for a receiver: the pieces that its task names, in the order of their senders."""
    return read_exchange(work.store, [(key, size) for key, size in read_list(work, task.senders)], task.piece, task.of)


def _of_part(table: pa.Table, number: int) -> pa.Table:
    return table.append_column("_part", pa.array(np.full(table.num_rows, number), pa.uint32()))


def _send_back(work: Work, rows: pl.DataFrame, answers: pl.DataFrame, task: ResolveTask) -> None:
    schema = {"doc_id": pa.binary(16), **operator_of(work, Group).answer_schema()}
    placed = answers
    if "_part" not in answers.columns:
        place = rows.select("doc_id", "_part").unique(subset="doc_id", keep="first", maintain_order=True)
        placed = answers.join(place, on="doc_id", how="left", maintain_order="left")
    table = conform(placed.drop("_part"), schema, rows=placed.height)
    receiver = placed["_part"].to_numpy().astype(np.int64)
    ref = save_exchange(
        work.stage.dir, task.phase, work.unit, table, receiver, task.parts, width=task.width, compress=False
    )
    work.commit(rows=table.num_rows, content=table_content(table), files=[ref])


def _commit_table(work: Work, rows: pl.DataFrame, answers: pl.DataFrame, told: Mapping[str, int]) -> None:
    table, odd = without_nan(conform(to_table(answers), work.stage.outputs, rows=answers.height))
    files = [_saved(work, table)]
    if operator_of(work, Group).locates:
        files.append(_saved(work, _places(rows, answers, operator_of(work, Group).locates)))
    counts = {**told, "rows": table.num_rows} | odd
    work.commit(rows=table.num_rows, content=table_content(table), files=files, counts=counts)


def _saved(work: Work, table: pa.Table) -> FileRef:
    write = functools.partial(write_ipc, table=table, compress=False)
    return save_file(work.stage.dir, work.task.phase, work.unit, ".arrow", write, columns=tuple(table.column_names))


def _places(rows: pl.DataFrame, answers: pl.DataFrame, names: Sequence[str]) -> pa.Table:
    """Column -> where the rows are that it names, as one number: the part's in the upper half, the row's in the lower.

    No part of the table's content: another cut into parts has other places.
    """
    known = rows.select("doc_id", place=pl.col("_part").cast(pl.UInt64) * 2**32 + pl.col("_row")).unique("doc_id")
    found = {f"{n}_at": answers.select(doc_id=n).join(known, on="doc_id", how="left", maintain_order="left")["place"]
             for n in names}  # fmt: skip
    return pa.table({name: pa.array(place.to_numpy(), pa.uint64()) for name, place in found.items()})
