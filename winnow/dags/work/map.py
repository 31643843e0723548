"""Map tasks: one part through one or several operators, batch by batch, with bad rows found and counted."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, ContractError, DataError, EngineError
from winnow.core.operators import Map, MapArrow
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.parts import Memo, concat_tables, content_of, frame_of, save_file, save_table
from winnow.core.store.schema import (
    STATE,
    STATE_FAILED,
    STATE_MASKED,
    STATE_NULL,
    STATE_OK,
    conform,
    contiguous,
    scatter,
    write_ipc,
)
from winnow.dags.engines.base import beat
from winnow.dags.work.stage_file import StageFile
from winnow.dags.work.tally import tally
from winnow.dags.work.task import Work, context, in_mask, make_work, part_rows, refs_digest

NEVER_DATA = (MemoryError, ImportError, OSError, ConfigError, ContractError, EngineError)
MAX_BAD_ROWS = 5  # of the first LOOKED_AT rows of a part: more is a bug of the operator, not bad data
LOOKED_AT = 1000
MESSAGE_CHARS = 500

Answer = Callable[[pa.Table], pa.Table]


@dataclass
class BadRows:
    """Rows an operator could not answer: row number among those it was asked about, error class, message.

    `code` is the folder below which the user's modules lie: a message ends with the line of theirs that raised.
    """

    rows: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    doc_id: pa.Array | None = None  # of the rows that are asked about, where they are known
    code: str = ""

    def add(self, row: int, error: BaseException | str, message: str = "") -> None:
        """One more; more than MAX_BAD_ROWS among the first rows fail the unit."""
        kind = error if isinstance(error, str) else type(error).__name__
        line = "" if isinstance(error, str) else _line_of(error, self.code)
        text = (message or str(error))[: MESSAGE_CHARS - len(line)] + line
        self.rows.append(row)
        self.errors.append(kind)
        self.messages.append(text)
        if sum(r < LOOKED_AT for r in self.rows) > MAX_BAD_ROWS:
            among = LOOKED_AT if self.doc_id is None else min(LOOKED_AT, len(self.doc_id))
            named = "" if self.doc_id is None else f"; document {self.doc_id[row].as_py().hex()}"
            raise DataError(
                f"{len(self.rows)} of the first {among} rows failed, last with {kind}: "
                + text[: len(text) - len(line)][:200] + line + named,
                hint="this looks like a bug in the operator; `winnow check` runs its contract suite, "
                "`winnow why DOCUMENT` shows the row",
            )  # fmt: skip


def _line_of(error: BaseException, folder: str) -> str:
    """` (module.py:7)`: the innermost line of a module in `folder` that an exception came from; '' where none did."""
    frames = reversed(traceback.extract_tb(error.__traceback__)) if folder else ()
    path = next((f for f in frames if f.filename.startswith(folder)), None)
    return f" ({Path(path.filename).name}:{path.lineno})" if path else ""


def run_map(payload: Mapping[str, Any]) -> dict[str, Any]:
    """One part through sibling operators ("members"); each commits by itself."""
    out = {}
    memo: Memo = {}
    for member in payload["members"]:
        work = make_work({**payload, **member}, member["folder"])
        receipt = work.done("part") or _map_part(work, open_map(work), memo)
        out[work.stage.folder] = {"seconds": receipt.run.get("seconds", 0.0)}
    return out


def _map_part(work: Work, answer: Answer, memo: Memo) -> Receipt:
    stage = work.stage
    needed = list(dict.fromkeys(["doc_id", *stage.operator.needs()]))
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit, needed, memo)
    rows = in_mask(table, keep)
    asked = rows.select(list(stage.operator.needs()) or ["doc_id"])
    bad = BadRows(doc_id=contiguous(rows.column("doc_id")), code=str(stage.code or ""))
    pieces = []
    for start in range(0, asked.num_rows, work.batch_rows):
        batch = asked.slice(start, work.batch_rows)
        pieces.append(answer_rows(answer, batch, start, bad, stage))
    return commit_columns(work, table, keep, concat_tables(pieces, stage.outputs), bad)


def answer_rows(answer: Answer, batch: pa.Table, start: int, bad: BadRows, stage: StageFile) -> pa.Table:
    """The operator's answer for a batch; where it raises, halves, down to the rows that are to blame."""
    if batch.num_rows == 0:
        return pa.table({name: pa.array([], kind) for name, kind in stage.outputs.items()})
    beat()
    try:
        return answer(batch)
    except NEVER_DATA:
        raise
    except Exception as error:  # noqa: BLE001 - a row may raise anything; what is no row is re-raised above
        if batch.num_rows == 1:
            bad.add(start, error)
            return pa.table({name: pa.nulls(1, kind) for name, kind in stage.outputs.items()})
    half = batch.num_rows // 2
    left = answer_rows(answer, batch.slice(0, half), start, bad, stage)
    right = answer_rows(answer, batch.slice(half), start + half, bad, stage)
    return pa.concat_tables([left, right])


def open_map(work: Work) -> Answer:
    """The operator opened (once per process and stage): table -> conforming table."""
    files = tuple((port, tuple(paths)) for port, paths in work.payload.get("files", {}).items())
    return _opened(str(work.store.root), work.stage.folder, files, refs_digest(work))


@functools.lru_cache(maxsize=16)
def _opened(root: str, folder: str, files: tuple[tuple[str, tuple[str, ...]], ...], refs: tuple[str, ...]) -> Answer:
    work = make_work({"root": root, "folder": folder, "unit": "", "key": "", "files": {p: list(v) for p, v in files}})
    operator, outputs = work.stage.operator, work.stage.outputs
    with context(work) as ctx:
        if isinstance(operator, MapArrow):
            kernel = operator.open(ctx)
            return lambda table: conform(kernel(_batch(table)), outputs, rows=table.num_rows)
        assert isinstance(operator, Map)
        columns = operator.open(ctx)
        return lambda table: conform(columns(frame_of(table)), outputs, rows=table.num_rows)


def _batch(table: pa.Table) -> pa.RecordBatch:
    arrays = [contiguous(table.column(name)) for name in table.column_names]
    return pa.RecordBatch.from_arrays(arrays, names=table.column_names)


def commit_columns(
    work: Work, table: pa.Table, keep: np.ndarray | None, answers: pa.Table, bad: BadRows | None = None,
    extra: Mapping[str, Any] | None = None, notes: Mapping[str, Any] | None = None,
) -> Receipt:  # fmt: skip
    """Commit one part of a columns stage: answers scattered back to all rows, `state`, digests, counts."""
    rows = table.num_rows
    index = np.arange(rows) if keep is None else np.flatnonzero(keep)
    state = np.full(rows, STATE_MASKED, dtype=np.uint8)
    state[index] = _states(answers, bad)
    out = scatter(answers, index, rows).append_column(STATE, pa.array(state, pa.uint8()))
    doc_id = contiguous(table.column("doc_id"))
    from winnow.core.words.hashing import row_digest

    return work.commit(
        "part",
        rows=rows,
        row_digest=row_digest(doc_id),
        content=content_of(doc_id, out),
        files=save_table(work.stage.dir, "part", work.unit, out),
        counts=tally(out, table),
        quarantine=_quarantine(work, doc_id, index, bad),
        extra=extra,
        notes=notes,
    )


def _states(answers: pa.Table, bad: BadRows | None) -> np.ndarray:
    state = np.full(answers.num_rows, STATE_OK, dtype=np.uint8)
    if answers.num_columns:
        empty = np.ones(answers.num_rows, dtype=bool)
        for column in answers.columns:
            empty &= ~np.asarray(pc.is_valid(contiguous(column)))
        state[empty] = STATE_NULL
    if bad and bad.rows:
        state[np.asarray(bad.rows)] = STATE_FAILED
    return state


def _quarantine(work: Work, doc_id: pa.Array, index: np.ndarray, bad: BadRows | None) -> FileRef | None:
    if not bad or not bad.rows:
        return None
    table = pa.table(
        {
            "doc_id": doc_id.take(pa.array(index[np.asarray(bad.rows)])),
            "error": pa.array(bad.errors, pa.large_string()),
            "message": pa.array(bad.messages, pa.large_string()),
        }
    )
    return save_quarantine(work, table)


def save_quarantine(work: Work, table: pa.Table) -> FileRef:
    """Quarantined rows or records of one unit as a file named by its receipt."""
    write = functools.partial(write_ipc, table=table, compress=True)
    return save_file(work.stage.dir, "quarantine", work.unit, ".arrow", write, columns=tuple(table.column_names))


def answer_range(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Isolated: rows [start, stop) of those a part asks about, written to `out` (an Arrow file, not committed)."""
    work = make_work(payload)
    needed = list(dict.fromkeys(["doc_id", *work.stage.operator.needs()]))
    table, keep, _ = part_rows(work, payload["inputs"], work.unit, needed)
    asked = in_mask(table, keep).select(list(work.stage.operator.needs()) or ["doc_id"])
    bad, pieces = BadRows(), []
    for start in range(payload["start"], payload["stop"], work.batch_rows):
        batch = asked.slice(start, min(work.batch_rows, payload["stop"] - start))
        pieces.append(answer_rows(open_map(work), batch, start, bad, work.stage))
    with pa.OSFile(payload["out"], "wb") as sink:
        write_ipc(sink, concat_tables(pieces, work.stage.outputs), compress=False)
    return {"rows": bad.rows, "errors": bad.errors, "messages": bad.messages}


def asked_rows(work: Work) -> tuple[pa.Table, np.ndarray | None]:
    """(doc_id and counted columns of all rows, mask) of a part, without reading text."""
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit, ["doc_id"])
    return table, keep
