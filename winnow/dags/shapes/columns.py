"""Committing one part of a columns stage: answers, the rows that have none, and what the receipt counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import DataError
from winnow.core.operators.retext import Retext
from winnow.core.operators.useranswers import line_of
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.no_value import without_nan
from winnow.core.store.parts import content_of, save_table
from winnow.core.store.schema import (
    STATE,
    STATE_FAILED,
    STATE_MASKED,
    STATE_NULL,
    STATE_OK,
    contiguous,
    scatter,
)
from winnow.dags.shapes import edited_text
from winnow.dags.shapes.quarantine import MESSAGE_CHARS, save_quarantine
from winnow.dags.shapes.tally import tally
from winnow.dags.shapes.work import Work

MAX_BAD_ROWS = 5  # of the first LOOKED_AT rows of a part: more is a bug of the operator, not bad data
LOOKED_AT = 1000


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
        line = "" if isinstance(error, str) else line_of(error, self.code)
        text = (message or str(error))[: MESSAGE_CHARS - len(line)] + line
        self.rows.append(row)
        self.errors.append(kind)
        self.messages.append(text)
        if sum(r < LOOKED_AT for r in self.rows) > MAX_BAD_ROWS:
            among = LOOKED_AT if self.doc_id is None else min(LOOKED_AT, len(self.doc_id))
            named = "" if self.doc_id is None else f"; document {self.doc_id[row].as_py().hex()}"
            raise DataError(
                f"more than {MAX_BAD_ROWS} of the first {among} rows failed, last with {kind}: "
                + text[: len(text) - len(line)][:200] + line + named,
                hint="this looks like a bug in the operator; `winnow check` runs its contract suite, "
                "`winnow why DOCUMENT` shows the row",
            )  # fmt: skip


def commit_columns(
    work: Work, table: pa.Table, keep: np.ndarray | None, answers: pa.Table, bad: BadRows | None = None,
    extra: Mapping[str, Any] | None = None, notes: Mapping[str, Any] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Receipt:  # fmt: skip
    """Commit one part of a columns stage: answers scattered back to all rows, `state`, digests, counts.

    `counts` are the operator's own; those of rows come first.
    """
    rows = table.num_rows
    answers, odd = without_nan(answers)
    index = np.arange(rows) if keep is None else np.flatnonzero(keep)
    state = np.full(rows, STATE_MASKED, dtype=np.uint8)
    state[index] = _states(answers, bad)
    out = scatter(answers, index, rows).append_column(STATE, pa.array(state, pa.uint8()))
    retext = work.stage.operator if isinstance(work.stage.operator, Retext) else None
    out = edited_text.with_all_rows(out, table, whole=retext.whole) if retext else out
    more = edited_text.counts_of(out, table, whole=retext.whole) if retext else {}
    files = save_table(work.stage.dir, "part", work.unit, out, packed=work.stage.operator.packed)
    doc_id = contiguous(table.column("doc_id"))
    from winnow.core.words.hashing import row_digest

    return work.commit(
        "part",
        rows=rows,
        row_digest=row_digest(doc_id),
        content=content_of(doc_id, out),
        files=edited_text.over_the_text(work, files, out, whole=retext.whole) if retext else files,
        counts={**(counts or {}), **tally(out, table), **more, **odd},
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
    return save_quarantine(work.stage.dir, work.unit, table)
