"""Rewrite tasks: count what is kept, send it to its shard, write the shard sorted by a keyed hash."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core.operators import ROW_COLUMNS, Rewrite
from winnow.core.store.formats import format_named
from winnow.core.store.ids import as_fixed, content_ids
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import concat_tables, content_of, find_receipt, save_file, save_table
from winnow.core.store.schema import contiguous
from winnow.dags.work.exchange import read_exchange, save_exchange
from winnow.dags.work.task import Work, in_mask, make_work, part_rows, read_list


def count(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Kept rows and text bytes of one part."""
    work = make_work(payload)
    if work.done("count"):
        return {}
    table, keep, _ = part_rows(work, payload["inputs"], work.unit, ["text_bytes"])
    sizes = np.asarray(contiguous(in_mask(table, keep).column("text_bytes")), dtype=np.int64)
    work.commit("count", extra={"rows": len(sizes), "bytes": int(sizes.sum())})
    return {}


def send(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The kept rows of one part, one batch per shard."""
    work = make_work(payload)
    if work.done("send"):
        return {}
    operator = _operator(work)
    shards = int(payload["buckets"])
    table = _kept_rows(work)
    receiver, _ = operator.place(contiguous(table.column("doc_id")), shards)
    ref = save_exchange(work.stage.dir, "send", work.unit, table, np.asarray(receiver), shards, compress=True)
    work.commit("send", rows=table.num_rows, content={"rows": f"{table.num_rows:032x}"}, files=[ref])
    return {}


def shard(payload: Mapping[str, Any]) -> dict[str, Any]:
    """One shard in its final order."""
    work = make_work(payload)
    operator = _operator(work)
    receipt = work.done("part")
    if receipt is None:
        if operator.by_source():
            table = _kept_rows(work)
        else:
            senders = read_list(work, payload["list"])
            refs = [find_receipt(work.store, work.stage.folder, "send", u, k).files[0] for u, k in senders]
            table = _in_final_order(operator, concat_tables(read_exchange(work.store, refs, payload["shard"]), {}))
        receipt = _commit_shard(work, operator, table)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def _kept_rows(work: Work) -> pa.Table:
    """The population's rows of one part with all columns that cross over, repeated by weight where asked."""
    operator = _operator(work)
    names = list(dict.fromkeys([*ROW_COLUMNS, *operator.needs()]))
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit, names)
    rows = in_mask(table, keep)
    copies = operator.copies(rows)
    crossing = [*ROW_COLUMNS, *operator.carried()]
    out = rows.select(crossing).rename_columns([n.replace(".", "_") for n in crossing])
    return out if copies is None else _repeated(out, np.asarray(copies, dtype=np.int64))


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


def _commit_shard(work: Work, operator: Rewrite, table: pa.Table) -> Receipt:
    from winnow.core.words.hashing import row_digest

    doc_id = as_fixed(table.column("doc_id"))
    form = format_named(operator.shard_format())
    in_file = form.in_file(table.column_names)
    write = functools.partial(form.write, table=table.select(in_file))
    whole = save_file(work.stage.dir, "part", work.unit, form.suffix, write, columns=tuple(form.exact(in_file)))
    beside = [n for n in table.column_names if n not in whole.columns]
    files = [whole, *(save_table(work.stage.dir, "part", work.unit, table.select(beside)) if beside else ())]
    counts = {"rows": table.num_rows, "kept": table.num_rows, "text_bytes": _total(table, "text_bytes")}
    if "token_count" in table.column_names:
        counts["tokens"] = _total(table, "token_count")
    return work.commit(
        "part",
        rows=table.num_rows,
        row_digest=row_digest(doc_id),
        content=content_of(doc_id, table),
        files=files,
        counts=counts,
    )


def _total(table: pa.Table, name: str) -> int:
    return int(np.asarray(contiguous(table.column(name)).fill_null(0), dtype=np.int64).sum())


def _operator(work: Work) -> Rewrite:
    assert isinstance(work.stage.operator, Rewrite)
    return work.stage.operator
