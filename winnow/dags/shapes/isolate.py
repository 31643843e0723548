"""A poison part, row by row: which documents kill, hang or break an operator, found in a process of their own.

A child answers ranges of rows; when it dies or stops answering, the range is halved, down to the row that is to
blame. That row is quarantined and counted; its neighbours get their answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.core.errors import WinnowError
from winnow.core.store.parts import concat_tables
from winnow.core.store.schema import masked_out
from winnow.dags.engines.base import WORK, Outcome, Task
from winnow.dags.engines.time_limits import beat, watchdog
from winnow.dags.shapes.columns import BadRows, commit_columns
from winnow.dags.shapes.work import Work, in_mask, make_work, part_rows

FAIR_WAIT_S = 10.0


def map_isolated(payload: Mapping[str, Any]) -> dict[str, Any]:
    """One part of one Map, with the operator in a child process."""
    from winnow.dags.engines.local import LocalEngine

    work = make_work(payload)
    if work.done("part"):
        return {}
    table, keep, _ = part_rows(work, work.payload["inputs"], work.unit, ["doc_id"])
    rows = in_mask(table, keep).num_rows
    bad = BadRows()
    engine = LocalEngine(workers=1, function=WORK)
    try:
        with watchdog(0), tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
            step = work.batch_rows
            pieces = []
            for start in range(0, rows, step):
                pieces += _answer(engine, work, (start, min(start + step, rows)), bad, Path(scratch))
            answers = concat_tables(pieces, work.stage.outputs)
            commit_columns(work, table, keep, answers, bad)
    finally:
        engine.cancel()
        engine.close()
    return {}


def _answer(engine: Any, work: Work, span: tuple[int, int], bad: BadRows, scratch: Path) -> list[pa.Table]:
    """Answers for rows [start, stop), halving where the child does not come back."""
    start, stop = span
    beat()
    out = scratch / f"{start}-{stop}.arrow"
    share = (stop - start) / work.batch_rows  # fewer rows get less time, but never less than a fair wait
    limit = min(work.stage.timeout_s, max(FAIR_WAIT_S, work.stage.timeout_s * share))
    payload = {**work.payload, "do": "answer_range", "start": start, "stop": stop, "out": str(out)}
    engine.submit(Task(id=f"{start}-{stop}", payload=payload, timeout_s=limit, user_code=True))
    outcome = _outcome(engine)
    if outcome.status == "ok":
        value = outcome.value
        for row, error, message in zip(value["rows"], value["errors"], value["messages"], strict=True):
            bad.add(row, error, message)
        with pa.OSFile(str(out), "rb") as source:
            return [pa.ipc.open_file(source).read_all()]
    if outcome.status == "error":
        assert outcome.error is not None
        failure = outcome.error.exception()
        raise failure if isinstance(failure, WinnowError) else RuntimeError(str(failure))
    if stop - start == 1:
        said = outcome.error.what if outcome.error else outcome.status
        bad.add(start, outcome.status, f"its worker {said}")
        return [masked_out(work.stage.outputs, 1)]
    half = (start + stop) // 2
    return [
        *_answer(engine, work, (start, half), bad, scratch),
        *_answer(engine, work, (half, stop), bad, scratch),
    ]


def _outcome(engine: Any) -> Outcome:
    while True:
        found: list[Outcome] = engine.wait(1.0)
        if found:
            return found[0]
