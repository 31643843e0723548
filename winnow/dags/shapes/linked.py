"""Linked: pieces of the graph that pairs make, in parallel; of rows that occur in no pair only their part is told.

One task finds the pieces, from the places of the rows that occur in a pair: 16 bytes for each of them, however many
rows there are. Then every unit of the table deals its pairs to buckets of whole pieces, each is solved alone, and the
answers go back to their parts. A piece is solved in one task, so the largest one bounds that task's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.numerics.components import named_components
from winnow.core.operators import Linked
from winnow.core.store.manifest import FileRef, Receipt, unit_key
from winnow.core.store.parts import concat_tables, frame_of, read_file, table_content
from winnow.core.store.schema import conform, contiguous
from winnow.core.words.distinct import distinct
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.exchange import FORM, Levels, read_exchange, save_exchange, save_pieces
from winnow.dags.shapes.group import MOST_LOOKING, ROWS_PER_BUCKET, GroupRun, Parcels, numbered, read_sent
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import Work, access_to, context, in_mask, make_work, operator_of, part_rows, read_list

PAIRS = "pairs"  # the port
ENDS = ("a", "b")


class LinkedRun(GroupRun):
    """Label pieces; deal pairs; solve pieces; place the answers."""

    operator: Linked  # type: ignore[assignment]

    def ready(self) -> list[Item]:
        """The phases one after the other, when all inputs and the table are complete."""
        if self.busy or not self.refs_ready() or not all(r.manifest for r in self.inputs):
            return []
        units, tables = sorted(self.inputs[0].parts), self._pair_tables()
        self.known = len(units)
        labelled = self._phase([self._label(tables)])
        if isinstance(labelled, list):
            return labelled
        levels = self._levels(len(tables), self._buckets())
        sent = self._phase([self._send_links(n, t, labelled["all"], levels) for n, t in enumerate(tables)])
        dealt = sent if isinstance(sent, list) else self._dealt("deal", list(sent.values()), levels)
        if isinstance(dealt, list):
            return dealt
        back = self._levels(levels.receivers, len(units))
        solved = self._phase([self._solve(b, dealt, back) for b in range(levels.receivers)])
        answered = solved if isinstance(solved, list) else self._dealt("return", list(solved.values()), back)
        if isinstance(answered, list):
            return answered
        placed = self._phase([self._place(n, u, answered) for n, u in enumerate(units)])
        if isinstance(placed, list):
            return placed
        if set(placed) != set(self.parts):
            self.parts = dict(placed)
            self.version += 1
        return []

    def noted(self) -> dict[str, Any]:
        """What the operator makes of the notes of all buckets."""
        solved = [r.notes for (phase, _), r in sorted(self._receipts.items()) if phase == "resolve"]
        pairs = self.refs[PAIRS][0].manifest
        return self.operator.noted(solved, pairs.rows, pairs.counts) if pairs else {}

    def _pair_tables(self) -> list[Receipt]:
        manifest = self.refs[PAIRS][0].manifest
        return list(manifest.named("table").values()) if manifest else []

    def _buckets(self) -> int:
        pairs = sum(r.rows for r in self._pair_tables())
        wanted = max(1, -(-pairs // ROWS_PER_BUCKET), min(4, len(self.inputs[0].parts)))
        return self.options.buckets or min(MOST_LOOKING, wanted)

    def _space(self) -> list[list[str]]:
        """Digests of the rows of every part: places are those of this cut."""
        return [[r.row_digest for r in self.inputs_of(u) or ()] for u in sorted(self.inputs[0].parts)]

    def _label(self, tables: Sequence[Receipt]) -> Item | Receipt | None:
        files = [_file(t.files[1]) for t in tables]
        held = [(t.unit, t.key) for t in tables]
        key = unit_key(self.node.family, "label", self.refs_digest(), self._space(), held, FORM)
        receipt = self.receipt_of("label", "all", key)
        if receipt or ("label", "all") in self._scheduled:
            return receipt
        return Item(run=self, task=LabelTask(**self.common("label", "all", key), places=self.put_list(files)))

    def _send_links(self, number: int, table: Receipt, labels: Receipt, levels: Levels) -> Item | Receipt | None:
        unit = numbered(number, levels.senders)
        key = unit_key(self.node.family, "send", table.unit, labels.key, levels.receivers, levels.width, FORM)
        receipt = self.receipt_of("send", unit, key)
        if receipt or ("send", unit) in self._scheduled:
            return receipt
        held = labels.files[0]
        first, beside = (_file(f) for f in table.files)
        task = SendLinksTask(**self.common("send", unit, key), table=first, places=beside, labels=(held.key, held.size),
                             piece=number, of=levels.senders, buckets=levels.receivers, width=levels.width)  # fmt: skip
        return Item(run=self, task=task)

    def _solve(self, bucket: int, sent: Parcels, back: Levels) -> Item | Receipt | None:
        unit = numbered(bucket, back.senders)
        key = unit_key(self.node.family, "solve", bucket, sent.named(bucket), self._inputs_digest(), back.receivers,
                       back.width, FORM)  # fmt: skip
        receipt = self.receipt_of("resolve", unit, key)
        if receipt or ("resolve", unit) in self._scheduled:
            return receipt
        task = SolvePiecesTask(**self.common("resolve", unit, key), **sent.fields(bucket, self.put_list),
                               parts=back.receivers, width=back.width)  # fmt: skip
        return Item(run=self, task=task)

    def _inputs_digest(self) -> list[str]:
        return [r.manifest.content_digest for r in self.inputs if r.manifest]

    def _place(self, number: int, unit: str, answered: Parcels) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("part", receipts, answered.named(number))
        receipt = self.receipt_of("part", unit, key)
        if receipt or ("part", unit) in self._scheduled:
            return receipt
        common = self.common("part", unit, key, receipts)
        return Item(run=self, task=PlaceTask(**common, **answered.fields(number, self.put_list)))


def _file(ref: FileRef) -> tuple[str, int, str]:
    return ref.key, ref.size, ref.digest


def _read(work: Work, file: Sequence[Any]) -> pa.Table:
    key, size, digest = file
    return read_file(work.store, FileRef(key=key, size=size, digest=digest))


@dataclass(frozen=True, kw_only=True)
class LabelTask(UnitTask):
    """The piece of every pair, from the places of the rows that pairs name."""

    urgency: ClassVar[Urgency] = Urgency.FIRST

    places: str  # name of the list of files with the places, one per unit of the table

    def run(self) -> dict[str, Any]:
        """Commit one file with a piece per unit of the table: the label of each of its pairs."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        files = read_list(work, self.places)

        def edges() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for file in files:
                table = _read(work, file)
                yield _u64(table, "a_at"), _u64(table, "b_at")

        names, root = named_components(edges)

        def labels() -> Iterator[pa.Table]:
            for left, _ in edges():
                yield pa.table({"label": pa.array(names[root[np.searchsorted(names, left)]], pa.uint64())})

        schema = pa.schema({"label": pa.uint64()})
        ref = save_pieces(work.stage.dir, self.phase, work.unit, labels(), schema, compress=False)
        work.commit(rows=len(names), content={"rows": f"{len(names):032x}"}, files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class SendLinksTask(UnitTask):
    """The pairs of one unit of the table, to the buckets of their pieces."""

    table: tuple[str, int, str]  # file of the pairs: key, bytes, digest
    places: tuple[str, int, str]  # file of the places beside it
    labels: tuple[str, int]  # file of the labels
    piece: int  # of that file
    of: int
    buckets: int
    width: int = 1

    def run(self) -> dict[str, Any]:
        """Commit one file with the pairs, grouped by bucket."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        pairs, places = _read(work, self.table), _read(work, self.places)
        [labels] = read_exchange(work.store, [self.labels], self.piece, self.of)
        columns = {e: contiguous(pairs.column(e)) for e in ENDS} | {f"{e}_at": places.column(f"{e}_at") for e in ENDS}
        label = _u64(labels, "label")
        mixed = label * np.uint64(0x9E3779B97F4A7C15)
        receiver = ((mixed ^ (mixed >> np.uint64(32))) % np.uint64(self.buckets)).astype(np.int64)
        ref = save_exchange(work.stage.dir, self.phase, work.unit, pa.table(columns), receiver, self.buckets,
                            width=self.width, compress=False)  # fmt: skip
        work.commit(rows=len(label), content={"rows": f"{len(label):032x}"}, files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class SolvePiecesTask(UnitTask):
    """Some whole pieces: answers for their rows, addressed to the parts."""

    senders: str  # name of the list of files that hold what was sent
    piece: int  # which piece of them
    of: int  # pieces in each file
    parts: int  # that answers go to
    width: int = 1  # of them in a bundle

    def run(self) -> dict[str, Any]:
        """Commit the answers."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        pairs = concat_tables(read_sent(work, self), {})
        rows, left, right = _rows_of(work, pairs)
        notes: dict[str, Any] = {}
        with context(work, access=access_to(work), notes=notes) as ctx:
            solved = operator_of(work, Linked).solve(rows, left, right, ctx)
        answers = conform(solved, work.stage.outputs, rows=rows.height)
        for name in ("_row", "doc_id"):
            answers = answers.append_column(name, rows[name].to_arrow(compat_level=pl.CompatLevel.oldest()))
        part = rows["_part"].to_numpy().astype(np.int64)
        ref = save_exchange(work.stage.dir, self.phase, work.unit, answers, part, self.parts, width=self.width,
                            compress=False)  # fmt: skip
        work.commit(rows=answers.num_rows, content=table_content(answers), files=[ref], notes=notes)
        return {}


@dataclass(frozen=True, kw_only=True)
class PlaceTask(UnitTask):
    """The columns of one part: the answers that it got, and those of rows that occur in no pair."""

    senders: str  # name of the list of files that hold what was solved
    piece: int  # which piece of them
    of: int  # pieces in each file

    def run(self) -> dict[str, Any]:
        """Commit the part."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Linked)
        table, keep = part_rows(work)
        asked = in_mask(table, keep)
        answers = concat_tables(read_sent(work, self), {})
        at = np.asarray(contiguous(answers.column("_row"))).astype(np.int64)
        if keep is not None:
            if not keep[at].all():
                stranger = answers.column("doc_id")[int(np.flatnonzero(~keep[at])[0])].as_py()
                raise DataError(f"a pair names document {bytes(stranger).hex()}, which is not among the rows")
            at = (np.cumsum(keep) - 1)[at]
        alone = conform(operator.alone(frame_of(asked)), work.stage.outputs, rows=asked.num_rows)
        place = np.arange(asked.num_rows)
        place[at] = asked.num_rows + np.arange(len(at))
        both = pa.concat_tables([alone, answers.select(list(work.stage.outputs)).cast(alone.schema)])
        commit_columns(work, table, keep, both.take(pa.array(place)))
        return {}


def _rows_of(work: Work, pairs: pa.Table) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """(rows that occur in pairs with what the operator needs, by ascending doc_id; row numbers of both ends).

    Raises: DataError where a place does not hold the document that the pair names.
    """
    places = np.concatenate([_u64(pairs, f"{e}_at") for e in ENDS])
    nodes = distinct(places)
    needs = list(dict.fromkeys(["doc_id", *operator_of(work, Linked).needs()]))
    part, row = (nodes >> np.uint64(32)).astype(np.uint32), (nodes & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    taken = _taken(work, needs, part, row)
    frame = frame_of(taken).with_columns(_part=pl.Series(part, dtype=pl.UInt32), _row=pl.Series(row, dtype=pl.UInt32))
    number = np.searchsorted(nodes, places)
    named = pl.concat([frame_of(pairs.select([e]).rename_columns(["doc_id"])) for e in ENDS])["doc_id"]
    wrong = np.flatnonzero((frame["doc_id"].gather(number) != named).to_numpy()) if len(number) else number
    if len(wrong):
        raise DataError(
            f"document {bytes(named[int(wrong[0])]).hex()} of a pair is not where it was found: the rows were cut anew",
            hint="remove the folder of the stage that found the pairs, and run again",
        )
    order = frame["doc_id"].arg_sort().to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return frame[order], rank[number[: pairs.num_rows]], rank[number[pairs.num_rows :]]


def _taken(work: Work, names: Sequence[str], part: np.ndarray, row: np.ndarray) -> pa.Table:
    """Columns of rows (part, row), which are in ascending order of both."""
    access = access_to(work)
    cuts = np.flatnonzero(np.diff(part)) + 1
    runs = [(int(part[where[0]]), pa.array(row[where])) for where in np.split(np.arange(len(part)), cuts) if len(where)]
    kinds = {name: access.column(name, 0).type for name in names}
    return pa.table({n: pa.chunked_array([access.column(n, p).take(r) for p, r in runs], kinds[n]) for n in names})


def _u64(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(contiguous(table.column(name)), dtype=np.uint64)
