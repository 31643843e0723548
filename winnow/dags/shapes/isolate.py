"""A poison part, row by row: which documents kill, hang or break an operator, found in a process of their own.

A child answers ranges of rows; when it dies or stops answering, the range is halved, down to the row that is to
blame. That row is quarantined and counted; its neighbours get their answers.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from winnow.core.errors import WinnowError
from winnow.core.store.parts import concat_tables
from winnow.core.store.schema import masked_out
from winnow.dags.engines.base import WORK, Engine, Outcome, Task
from winnow.dags.engines.time_limits import beat
from winnow.dags.shapes.columns import BadRows
from winnow.dags.shapes.unit_task import UnitTask, to_wire
from winnow.dags.shapes.work import Work

FAIR_WAIT_S = 10.0


Range = Callable[[int, int, str], UnitTask]  # (start, stop, path for the answers) -> what the child does


def answers_of_child(work: Work, rows: int, range_of: Range, bad: BadRows, counts: Counter[str]) -> pa.Table:
    """The answers to `rows` rows, from children that may die.

    Rows without an answer are added to `bad`, and what the operator counted on the others to `counts`.
    """
    from winnow.dags.engines.local import LocalEngine

    engine = LocalEngine(workers=1, function=WORK)
    pieces = []
    try:
        with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
            child = _Child(engine=engine, work=work, range_of=range_of, bad=bad, counts=counts, scratch=Path(scratch))
            for start in range(0, rows, work.batch_rows):
                pieces += child.answers(start, min(start + work.batch_rows, rows))
    finally:
        engine.cancel()
        engine.close()
    return concat_tables(pieces, work.stage.outputs)


@dataclass(frozen=True, kw_only=True)
class _Child:
    engine: Engine
    work: Work
    range_of: Range
    bad: BadRows
    counts: Counter[str]
    scratch: Path

    def answers(self, start: int, stop: int) -> list[pa.Table]:
        """Answers for rows [start, stop), halving where the child does not come back."""
        beat()
        out = self.scratch / f"{start}-{stop}.arrow"
        outcome = self._outcome(start, stop, out)
        if outcome.status == "ok":
            value = outcome.value
            for row, error, message in zip(value["rows"], value["errors"], value["messages"], strict=True):
                self.bad.add(row, error, message)
            self.counts.update(value["counts"])
            with pa.OSFile(str(out), "rb") as source:
                return [pa.ipc.open_file(source).read_all()]
        if outcome.status == "error":
            assert outcome.error is not None
            failure = outcome.error.exception()
            raise failure if isinstance(failure, WinnowError) else RuntimeError(str(failure))
        if stop - start == 1:
            cause = outcome.error.what if outcome.error else outcome.status
            self.bad.add(start, outcome.status, f"the operator did not answer for this row alone: {cause}")
            return [masked_out(self.work.stage.outputs, 1)]
        half = (start + stop) // 2
        return [*self.answers(start, half), *self.answers(half, stop)]

    def _outcome(self, start: int, stop: int, out: Path) -> Outcome:
        timeout_s = self.work.stage.timeout_s
        share = (stop - start) / self.work.batch_rows  # fewer rows get less time, but never less than a fair wait
        limit = min(timeout_s, max(FAIR_WAIT_S, timeout_s * share))
        payload = to_wire(self.range_of(start, stop, str(out)))
        self.engine.submit(Task(id=f"{start}-{stop}", payload=payload, timeout_s=limit, user_code=True))
        while True:
            outcomes = self.engine.wait(1.0)
            if outcomes:
                return outcomes[0]
