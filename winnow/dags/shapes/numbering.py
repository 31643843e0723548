"""Ids that depend on all records (content ordinals, unique fields), found in buckets of equal hashes.

Up to ONE_TASK_ROWS records one task numbers all of them, in 40 bytes each; above, every raw part sends the hashes of
its records to buckets, each bucket numbers equal ones in the order of parts and rows, and what is not the first of its
kind is answered. The ids are the same, and so are the keys of the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Derive
from winnow.core.store.ids import content_ids, ordinals
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.parts import concat_tables, find_receipt, read_columns, table_content
from winnow.core.store.schema import contiguous
from winnow.dags.shapes.exchange import FORM, save_exchange
from winnow.dags.shapes.group import DealtRun, numbered, read_sent
from winnow.dags.shapes.reader_parts import SHOWN, commit_numbered, id_rule, lanes_of, repeats
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.work import Work, operator_of

ONE_TASK_ROWS = 20_000_000
ROWS_PER_BUCKET = 4_000_000


class NumberedApart(DealtRun):
    """What drives numbering in buckets."""

    @property
    def rule(self) -> str:
        """How documents are named."""
        raise NotImplementedError

    def step(self, phase: str, unit: str, key: str, **fields: Any) -> Item | Receipt | None:
        """One step, or its receipt; None while it is under way."""
        raise NotImplementedError

    def number_apart(self, raws: list[Receipt], key: str) -> list[Item]:
        """The phases one after the other: hashes to buckets, ordinals, ids."""
        buckets = self.options.buckets or -(-sum(r.rows for r in raws) // ROWS_PER_BUCKET)
        levels = self._levels(len(raws), buckets)
        sent = self._phase([
            self.step("send", r.unit, unit_key(key, "send", r.key, r.unit, buckets, levels.width, FORM), raw=r.key,
                      buckets=buckets, width=levels.width) for r in raws
        ])  # fmt: skip
        dealt = sent if isinstance(sent, list) else self._dealt("deal", list(sent.values()), levels)
        if isinstance(dealt, list):
            return dealt
        back = self._levels(levels.receivers, len(raws))
        steps = [self.step("resolve", numbered(b, back.senders), unit_key(key, "resolve", dealt.named(b), back.width),
                            **dealt.fields(b, self.put_list), buckets=back.receivers, width=back.width)
                 for b in range(levels.receivers)]  # fmt: skip
        found = self._phase(steps)
        wrong = None if isinstance(found, list) or self.rule == "content" else repeated(
            self.store, raws, list(found.values()))  # fmt: skip
        if wrong:
            self.failures.append(wrong)
            return []
        answered = found if isinstance(found, list) else self._dealt("return", list(found.values()), back)
        if isinstance(answered, list):
            return answered
        return [item for n, r in enumerate(raws)
                if isinstance(item := self.step("part", r.unit, key, raw=r.key, **answered.fields(n, self.put_list)),
                              Item)]  # fmt: skip


def send_names(work: Work, raw: Receipt, buckets: int, width: int) -> None:
    """Commit the hashes of one raw part, grouped by bucket."""
    lanes = lanes_of(work, raw)
    columns = {"high": lanes[:, 1], "low": lanes[:, 0], "_row": np.arange(len(lanes), dtype=np.uint32)}
    table = pa.table({name: pa.array(np.ascontiguousarray(values)) for name, values in columns.items()})
    receiver = (lanes[:, 0] % np.uint64(buckets)).astype(np.int64)
    ref = save_exchange(work.stage.dir, "send", work.unit, table, receiver, buckets, width=width, compress=False)
    work.commit("send", rows=raw.rows, content={"rows": f"{raw.rows:032x}"}, files=[ref])


def number_names(work: Work, sent: Any, parts: int, width: int) -> None:
    """Commit the ordinals of records of one bucket that are not the first of their hash, addressed to their parts."""
    pieces = read_sent(work, sent)
    located = [t if "_part" in t.column_names else _of_part(t, number) for number, t in enumerate(pieces)]
    rows = concat_tables(located, {})
    lanes = np.stack([np.asarray(contiguous(rows.column(name))) for name in ("low", "high")], axis=1)
    ordinal = ordinals(lanes)
    later = np.flatnonzero(ordinal)
    row, part = (np.asarray(contiguous(rows.column(name))) for name in ("_row", "_part"))
    part = part.astype(np.int64)
    table = pa.table({"_row": pa.array(row[later]), "ordinal": pa.array(ordinal[later])})
    ref = save_exchange(work.stage.dir, "resolve", work.unit, table, part[later], parts, width=width, compress=False)
    extra: dict[str, Any] = {"repeated": len(later), "same": []}
    if len(later):
        same = np.flatnonzero((lanes == lanes[later[0]]).all(axis=1))[:SHOWN]
        extra |= {"first": _place(part, row, later[0]), "same": [_place(part, row, at) for at in same]}
    work.commit("resolve", rows=table.num_rows, content=table_content(table), files=[ref], extra=extra)


def name_part(work: Work, raw: Receipt, sent: Any) -> None:
    """Commit one part with its ids."""
    from winnow.core.words.hashing import from_lanes

    lanes = lanes_of(work, raw)
    operator = operator_of(work, Derive)
    ids = from_lanes(lanes)
    if id_rule(operator) == "content":
        answers = concat_tables(read_sent(work, sent), {})
        ordinal = np.zeros(raw.rows, dtype=np.uint64)
        ordinal[np.asarray(contiguous(answers.column("_row")))] = np.asarray(contiguous(answers.column("ordinal")))
        ids = content_ids(lanes, ordinal, str(getattr(operator, "source", "")))
    commit_numbered(work, raw, ids)


def raw_receipt(work: Work, key: str) -> Receipt:
    """The raw part of the same name."""
    return find_receipt(work.store, work.stage.folder, "raw", work.unit, key)


def repeated(store: Any, raws: Sequence[Receipt], buckets: Sequence[Receipt]) -> DataError | None:
    """The error of ids that should be unique and are not; None where they are."""
    number = sum(r.extra["repeated"] for r in buckets)
    if not number:
        return None
    first = min((r.extra for r in buckets if r.extra["repeated"]), key=lambda extra: extra["first"])
    origins = [_origin(store, raws[part], row) for part, row in first["same"]]
    return repeats(number, origins)


def _place(part: np.ndarray, row: np.ndarray, at: int) -> list[int]:
    return [int(part[at]), int(row[at])]


def _origin(store: Any, raw: Receipt, row: int) -> str:
    return str(contiguous(read_columns(store, {"o": (raw, "origin")}).column("o"))[row])


def _of_part(table: pa.Table, number: int) -> pa.Table:
    return table.append_column("_part", pa.array(np.full(table.num_rows, number), pa.uint32()))
