"""What a unit's receipt counts: rows by state, kept, tokens, and every clause of a decision."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.numerics.costs import total
from winnow.core.operators.duplicates import EARLIER, WEIGHED, cluster_columns
from winnow.core.store.schema import (
    STATE,
    STATE_FAILED,
    STATE_MASKED,
    STATE_NULL,
    STATE_OK,
    contiguous,
    is_count,
    is_mark,
)

_STATES = {"ok": STATE_OK, "masked": STATE_MASKED, "failed": STATE_FAILED, "null": STATE_NULL}
CLAUSE = "pass_"
TRUE = "true:"
LARGEST = "max:cluster"  # `add_counts` takes the largest of what begins so


def tally(out: pa.Table, rows: pa.Table) -> dict[str, int]:
    """Counters of one part of a columns stage; sums over parts are the stage's.

    `clause:NAME:fail|null|only` count, per `pass_NAME` column, the rows it refuses, the rows where it has no
    value, and the rows that it alone refuses; `true:NAME` the rows where any other truth value is true.
    `clusters`, `max:cluster` and `chained` count duplicates.
    """
    state = np.asarray(contiguous(out.column(STATE)))
    counts = {name: int((state == code).sum()) for name, code in _STATES.items()}
    counts["rows"] = out.num_rows
    if is_mark(out.schema, "kept"):
        kept = _true(out, "kept")
        counts["kept"] = int(kept.sum())
        if is_count(rows.schema, "token_count"):
            counts["tokens"] = _sum(rows.column("token_count"), kept)
    truths = [f.name for f in out.schema if pa.types.is_boolean(f.type) and not f.name.startswith((CLAUSE, "kept"))]
    counts |= {f"{TRUE}{name}": int(_true(out, name).sum()) for name in truths}
    if is_count(out.schema, "token_count"):
        counts["tokens"] = _sum(out.column("token_count"), np.ones(out.num_rows, dtype=bool))
    return counts | _clusters(out, state == STATE_OK) | _clauses(out, state != STATE_MASKED)


def _clusters(out: pa.Table, answered: np.ndarray) -> dict[str, int]:
    """Duplicate clusters with a kept document here, the largest one's size, rows dropped only through a chain."""
    columns = cluster_columns(out.column_names)
    if columns is None or not is_mark(out.schema, "kept") or not is_count(out.schema, columns.size):
        return {}
    sizes = np.asarray(pc.fill_null(contiguous(out.column(columns.size)), 0)) * answered
    stand, counts = _true(out, "kept") & (sizes > 1), {LARGEST: int(sizes.max(initial=0))}
    if "weight" in out.column_names and columns.of_copies:
        copies = stand & np.asarray(pc.is_valid(contiguous(out.column(columns.of_copies))))
        stand, counts[WEIGHED] = stand & ~copies, int(copies.sum())
    counts["clusters"] = int(stand.sum())
    if columns.earlier:
        counts[EARLIER] = int((np.asarray(pc.is_valid(contiguous(out.column(columns.earlier)))) & answered).sum())
    return counts | (
        {"chained": int(_true(out, columns.chained).sum())} if is_mark(out.schema, columns.chained) else {}
    )


def _clauses(out: pa.Table, asked: np.ndarray) -> dict[str, int]:
    names = [n for n in out.column_names if n.startswith(CLAUSE) and is_mark(out.schema, n)]
    if not names:
        return {}
    failing = np.stack([~_true(out, n) & asked for n in names])
    alone = failing.sum(axis=0) == 1
    counts = {}
    for name, fails in zip(names, failing, strict=True):
        label = f"clause:{name.removeprefix(CLAUSE)}"
        counts[f"{label}:fail"] = int(fails.sum())
        counts[f"{label}:only"] = int((fails & alone).sum())
        nulls = ~np.asarray(pc.is_valid(contiguous(out.column(name)))) & asked
        counts[f"{label}:null"] = int(nulls.sum())
    return counts


def _true(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(pc.fill_null(contiguous(table.column(name)), False), dtype=bool)


def _sum(column: pa.ChunkedArray, keep: np.ndarray) -> int:
    values = np.asarray(pc.fill_null(contiguous(column), 0), dtype=np.int64)
    return total(values[keep], "'token_count'")
