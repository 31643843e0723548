"""Group tasks: keys to buckets, whole key groups resolved, answers collected back to their rows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Group, Kind
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import concat_tables, find_receipt, frame_of, save_file, table_content
from winnow.core.store.schema import conform, to_table, write_ipc
from winnow.dags.work.exchange import read_exchange, save_exchange
from winnow.dags.work.map import commit_columns
from winnow.dags.work.task import Work, access_to, context, in_mask, make_work, part_rows, read_list


def send(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of one part, one batch per bucket."""
    work = make_work(payload)
    if work.done("send"):
        return {}
    table, keep, _ = part_rows(work, payload["inputs"], work.unit)
    index = np.arange(table.num_rows) if keep is None else np.flatnonzero(keep)
    rows = frame_of(in_mask(table, keep))
    schema = {"key": pa.uint64(), "doc_id": pa.binary(16), **_operator(work).key_schema()}
    with context(work) as ctx:
        keys = _operator(work).keys(rows, ctx)
    located = rows.select("doc_id").with_columns(pl.Series("_row", index.astype(np.uint32)))
    keys = keys.join(located, on="doc_id", how="left", maintain_order="left")
    sent = conform(keys, {**schema, "_row": pa.uint32()}, rows=keys.height)
    buckets = int(payload["buckets"])
    receiver = (keys["key"].to_numpy() % np.uint64(buckets)).astype(np.int64)
    ref = save_exchange(work.stage.dir, "send", work.unit, sent, receiver, buckets, compress=False)
    work.commit("send", rows=sent.num_rows, content=table_content(sent), files=[ref])
    return {}


def resolve(payload: Mapping[str, Any]) -> dict[str, Any]:
    """One bucket: every key group it holds, whole and sorted."""
    work = make_work(payload)
    operator = _operator(work)
    phase = "table" if operator.kind is Kind.TABLE else "resolve"
    if work.done(phase):
        return {}
    senders = read_list(work, payload["list"])
    refs = [find_receipt(work.store, work.stage.folder, "send", u, k).files[0] for u, k in senders]
    pieces = read_exchange(work.store, refs, int(payload["bucket"]))
    located = [t.append_column("_part", pa.array(np.full(t.num_rows, i), pa.uint32())) for i, t in enumerate(pieces)]
    rows = frame_of(concat_tables(located, {}))
    rows = rows.sort(["key", "doc_id", *operator.key_schema()])
    with context(work, access=access_to(work)) as ctx:
        answers = operator.resolve(rows, ctx)
    if operator.kind is Kind.TABLE:
        _commit_table(work, answers)
    else:
        _send_back(work, rows, answers, len(senders))
    return {}


def collect(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one part from the answers addressed to it."""
    work = make_work(payload)
    receipt = work.done("part") or _collect(work)
    return {"seconds": receipt.run.get("seconds", 0.0)}


def _collect(work: Work) -> Receipt:
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit)
    asked = in_mask(table, keep)
    resolved = read_list(work, work.payload["list"])
    refs = [find_receipt(work.store, work.stage.folder, "resolve", u, k).files[0] for u, k in resolved]
    pieces = read_exchange(work.store, refs, int(work.payload["part"]))
    answers = frame_of(concat_tables(pieces, {})).sort("doc_id")
    with context(work) as ctx:
        out = _operator(work).collect(frame_of(asked), answers, ctx)
    return commit_columns(work, table, keep, conform(out, work.stage.outputs, rows=asked.num_rows))


def _send_back(work: Work, rows: pl.DataFrame, answers: pl.DataFrame, parts: int) -> None:
    schema = {"doc_id": pa.binary(16), **_operator(work).answer_schema()}
    place = rows.select("doc_id", "_part").unique(subset="doc_id", keep="first", maintain_order=True)
    placed = answers.join(place, on="doc_id", how="left", maintain_order="left")
    table = conform(placed.drop("_part"), schema, rows=placed.height)
    receiver = placed["_part"].to_numpy().astype(np.int64)
    ref = save_exchange(work.stage.dir, "resolve", work.unit, table, receiver, parts, compress=False)
    work.commit("resolve", rows=table.num_rows, content=table_content(table), files=[ref])


def _commit_table(work: Work, answers: pl.DataFrame) -> None:
    table = conform(to_table(answers), work.stage.outputs, rows=answers.height)
    write = functools.partial(write_ipc, table=table, compress=False)
    ref = save_file(work.stage.dir, "table", work.unit, ".arrow", write, columns=tuple(table.column_names))
    counts = {"rows": table.num_rows}
    work.commit("table", rows=table.num_rows, content=table_content(table), files=[ref], counts=counts)


def _operator(work: Work) -> Group:
    assert isinstance(work.stage.operator, Group)
    return work.stage.operator
