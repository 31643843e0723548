"""Rewrite: count what is kept, send it to its shard, write each shard in its final order, publish the shards."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.numerics.costs import total
from winnow.core.operators import ROW_COLUMNS, Rewrite
from winnow.core.store.formats import format_named
from winnow.core.store.ids import as_fixed, content_ids
from winnow.core.store.manifest import FileRef, Manifest, Receipt, unit_key
from winnow.core.store.names import CARDS, INDEX, index_of, meta_of
from winnow.core.store.parts import check_unchanged, concat_tables, content_of, save_file, save_table
from winnow.core.store.schema import contiguous, is_count
from winnow.core.store.shard_format import IDS, hex_of
from winnow.dags.shapes.exchange import Levels, save_exchange
from winnow.dags.shapes.group import GroupRun, Parcels, numbered, read_sent
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask
from winnow.dags.shapes.work import Work, in_mask, make_work, operator_of, part_rows


class RewriteRun(GroupRun):
    """Count, send, write: the shards of a new row space, then published under plain names."""

    final_phase = "part"  # type: ignore[assignment]
    operator: Rewrite

    def ready(self) -> list[Item]:
        """Counts, then sends, then shards."""
        if self.busy or not self.refs_ready() or not self._inputs_closed():
            return []
        operator = self.operator
        units = sorted(self.inputs[0].parts)
        if operator.by_source():
            self.known = len(units)
            return self._take(self._phase([self._shard(u) for u in units]))
        counted = self._phase([self._count(u) for u in units])
        if isinstance(counted, list):
            return counted
        rows = sum(r.extra["rows"] for r in counted.values())
        size = sum(r.extra["bytes"] for r in counted.values())
        self.known = shards = operator.num_shards(rows, size)
        sent = self._sent(units, self._levels(len(units), shards))
        if isinstance(sent, list):
            return sent
        return self._take(self._phase([self._shard(numbered(n, shards), n, sent) for n in range(shards)]))

    def _take(self, shards: list[Item] | dict[str, Receipt]) -> list[Item]:
        if isinstance(shards, list):
            return shards
        if set(shards) != set(self.parts):
            self.parts = dict(shards)
            self.version += 1
        return []

    def _count(self, unit: str) -> Item | Receipt | None:
        receipts = self.inputs_of(unit)
        assert receipts is not None
        key = self.part_key("count", receipts)
        receipt = self.receipt_of("count", unit, key)
        if receipt or ("count", unit) in self._scheduled:
            return receipt
        return Item(run=self, task=CountTask(**self.common("count", unit, key, receipts)))

    def send_task(self, levels: Levels, common: dict[str, Any]) -> UnitTask:
        """The task that deals the rows of a part to shards."""
        return SendRowsTask(**common, shards=levels.receivers, width=levels.width)

    def _shard(self, unit: str, number: int = 0, sent: Parcels | None = None) -> Item | Receipt | None:
        """One shard of what was sent; without that, of the part of its name."""
        receipts: list[Receipt] = []
        if sent:
            key = unit_key(self.node.family, "shard", number, self.known, sent.named(number))
        else:
            receipts = self.inputs_of(unit) or []
            key = self.part_key("shard", receipts)
        receipt = self.receipt_of("part", unit, key)
        if receipt or ("part", unit) in self._scheduled:
            return receipt
        places = sent.fields(number, self.put_list) if sent else {}
        return Item(run=self, task=ShardTask(**self.common("part", unit, key, receipts), **places))

    @property
    def closed(self) -> bool:
        """True when every shard is written."""
        return self.manifest is not None or self.finished()

    def finished(self) -> bool:
        """True when every shard is written."""
        return self.known > 0 and len(self.parts) == self.known

    def final_receipts(self) -> list[Receipt]:
        """The shards."""
        return [self.parts[u] for u in sorted(self.parts)]

    def after_commit(self) -> None:
        """Publish the shards under plain names, with an index."""
        super().after_commit()
        publish(self)

    def unfinished(self) -> bool:
        """True where the shards are not all published."""
        index = index_of(shards_of(self))
        return super().unfinished() or None in self.store.stats((index, *self._published())).values()

    def _refuse_tampered(self, manifest: Manifest) -> None:
        """As everywhere, and the shards under their plain names too: trainers read those."""
        super()._refuse_tampered(manifest)
        plain = {k: dataclasses.replace(ref, key=k) for k, ref in self._published(manifest).items()}
        index = index_of(shards_of(self))  # written when all were published, which may have made copies
        seen = self.store.stats([index, *plain])
        since = index if seen[index] is not None else f"{self.node.folder}/manifest.json"
        check_unchanged(self.store, (ref for k, ref in plain.items() if seen[k] is not None), since=since)

    def _published(self, manifest: Manifest | None = None) -> dict[str, FileRef]:
        """Plain name of every shard -> the file that was committed."""
        manifest = manifest or self.manifest or self.dir.manifest()
        parts = manifest.named("part") if manifest else {}
        return {shard_key(self, n, len(parts)): parts[u].files[0] for n, u in enumerate(sorted(parts))}

    def retract(self) -> None:
        """Shards of other inputs must not stay under the plain names, nor cards that describe them."""
        self.store.delete(shards_of(self))
        self.store.delete(meta_of(shards_of(self)))
        for name in CARDS:
            self.store.delete(f"{self.node.folder}/{name}")


def shards_of(run: RewriteRun) -> str:
    """The folder of the published shards, which holds nothing else."""
    return f"{run.node.folder}/shards"


def shard_key(run: RewriteRun, number: int, shards: int) -> str:
    """The plain name of a shard."""
    suffix = format_named(run.operator.shard_format()).suffix
    return f"{shards_of(run)}/shard-{number:05d}-of-{shards:05d}{suffix}"


def publish(run: RewriteRun) -> None:
    """`shards/shard-00000-of-00004.parquet` as links to the committed files, and `shards.meta/index.json`."""
    index = []
    for number, receipt in enumerate(run.final_receipts()):
        key, ref = shard_key(run, number, run.known), receipt.files[0]
        run.store.publish(ref.key, key)
        index.append({"file": key.rpartition("/")[2], "rows": receipt.rows, "bytes": ref.size, "xxh3_128": ref.digest,
                      "text_bytes": receipt.counts["text_bytes"], "tokens": receipt.counts.get("tokens")})  # fmt: skip
    body = {"shards": index, "content_digest": run.manifest.content_digest if run.manifest else ""}
    run.store.put_new(index_of(shards_of(run)), orjson.dumps(body, option=orjson.OPT_INDENT_2))
    run.store.delete(f"{shards_of(run)}/{INDEX}")  # where earlier versions put it


@dataclass(frozen=True, kw_only=True)
class CountTask(UnitTask):
    """Kept rows and text bytes of one part: how many shards there are follows from their sums."""

    def run(self) -> dict[str, Any]:
        """Commit a receipt with both numbers."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table, keep = part_rows(work, ["text_bytes"])
        sizes = np.asarray(contiguous(in_mask(table, keep).column("text_bytes")), dtype=np.int64)
        work.commit(extra={"rows": len(sizes), "bytes": int(sizes.sum())})
        return {}


@dataclass(frozen=True, kw_only=True)
class SendRowsTask(UnitTask):
    """The kept rows of one part, one piece per shard or bundle of shards."""

    shards: int
    width: int = 1  # shards in a bundle

    def run(self) -> dict[str, Any]:
        """Commit one file with the rows, grouped by shard."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        table = _kept_rows(work)
        receiver, _ = operator_of(work, Rewrite).place(contiguous(table.column("doc_id")), self.shards)
        placed = np.asarray(receiver)
        ref = save_exchange(
            work.stage.dir, self.phase, work.unit, table, placed, self.shards, width=self.width, compress=True
        )
        work.commit(rows=table.num_rows, content={"rows": f"{table.num_rows:032x}"}, files=[ref])
        return {}


@dataclass(frozen=True, kw_only=True)
class ShardTask(UnitTask):
    """One shard: its rows in their final order."""

    senders: str = ""  # name of the list of files that hold what was sent; empty where a shard is a part of the input
    piece: int = 0  # which piece of them
    of: int = 0  # pieces in each file

    def run(self) -> dict[str, Any]:
        """Commit the shard."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        operator = operator_of(work, Rewrite)
        if operator.by_source():
            table = _kept_rows(work)
        else:
            table = _in_final_order(operator, concat_tables(read_sent(work, self), {}))
        _commit_shard(work, operator, table)
        return {}


def _kept_rows(work: Work) -> pa.Table:
    """The population's rows of one part with all columns that cross over, repeated by weight where asked."""
    operator = operator_of(work, Rewrite)
    names = list(dict.fromkeys([*ROW_COLUMNS, *operator.needs()]))
    table, keep = part_rows(work, names)
    rows = in_mask(table, keep)
    copies = operator.copies(rows)
    out = _with_texts(rows.select(list(ROW_COLUMNS)), operator.texts(rows))
    for name, column in operator.carried().items():
        values = rows.column(column)
        out = out.append_column(name, hex_of(contiguous(values)) if column in IDS else values)
    if (ids := operator.ids(rows)) is not None:
        out = out.set_column(out.column_names.index("doc_id"), "doc_id", ids)
    return out if copies is None else _repeated(out, np.asarray(copies, dtype=np.int64))


def _with_texts(rows: pa.Table, text: pa.Array | None) -> pa.Table:
    """The rows with other texts, and the hash and bytes of these."""
    from winnow.core.words.hashing import text_hash

    if text is None:
        return rows
    made = {"text": text, "text_hash": text_hash(text), "text_bytes": pc.binary_length(text)}
    for name, values in made.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), values.cast(rows.schema.field(at).type))
    return rows


def _repeated(table: pa.Table, copies: np.ndarray) -> pa.Table:
    """Each row `copies` times; copy 0 keeps its doc_id, later ones get ids derived from it."""
    from winnow.core.words.hashing import as_lanes, from_lanes

    index = np.repeat(np.arange(len(copies)), copies)
    copy = np.arange(len(index)) - np.repeat(np.cumsum(copies) - copies, copies)
    out = table.take(pa.array(index))
    lanes = as_lanes(as_fixed(out.column("doc_id")))
    derived = as_lanes(content_ids(lanes, copy.astype(np.uint64)))
    ids = from_lanes(np.where((copy == 0)[:, None], lanes, derived))
    return out.set_column(out.column_names.index("doc_id"), "doc_id", ids)


def _in_final_order(operator: Rewrite, table: pa.Table) -> pa.Table:
    from winnow.core.words.hashing import as_lanes

    doc_id = as_fixed(table.column("doc_id"))
    _, key = operator.place(doc_id, 1)
    lanes = as_lanes(doc_id)
    return table.take(pa.array(np.lexsort((lanes[:, 1], lanes[:, 0], np.asarray(key)))))


def _commit_shard(work: Work, operator: Rewrite, table: pa.Table) -> None:
    from winnow.core.words.hashing import row_digest

    doc_id = as_fixed(table.column("doc_id"))
    form = format_named(operator.shard_format())
    in_file = form.in_file(table.column_names)
    write = functools.partial(form.write, table=table.select(in_file))
    whole = save_file(work.stage.dir, "part", work.unit, form.suffix, write, columns=tuple(form.exact(in_file)))
    beside = [n for n in table.column_names if n not in whole.columns]
    files = [whole, *(save_table(work.stage.dir, "part", work.unit, table.select(beside)) if beside else ())]
    counts = {"rows": table.num_rows, "kept": table.num_rows, "text_bytes": _total(table, "text_bytes")}
    counts |= form.unwritten(table.select(in_file))
    if is_count(table.schema, "token_count"):
        counts["tokens"] = _total(table, "token_count")
    work.commit(
        "part",
        rows=table.num_rows,
        row_digest=row_digest(doc_id),
        content=content_of(doc_id, table),
        files=files,
        counts=counts,
    )


def _total(table: pa.Table, name: str) -> int:
    return total(np.asarray(contiguous(table.column(name)).fill_null(0), dtype=np.int64), repr(name))
