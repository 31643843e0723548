"""A Fold over few narrow rows: every round and every decision in one task, which commits every part.

Rounds of units cost a task, a file and a receipt per part and round; where all rows together are few, that is nearly
all of their time. What comes out is what rounds give: the summary of many parts' rows is their merged summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators import Fold
from winnow.core.operators.notes import merged
from winnow.core.store.manifest import solved_key
from winnow.core.store.parts import committed, concat_tables, frame_of
from winnow.core.store.schema import conform
from winnow.dags.shapes.columns import commit_columns
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import Work, all_units, context, in_mask, make_work, operator_of, part_rows

AT_ONCE_ROWS = 10_000_000  # of a stage, masked ones too: more go in rounds of units, side by side
CHUNK_ROWS = 1_000_000  # rows in memory at a time; a part is never cut


@dataclass(kw_only=True)
class Chunk:
    """The rows of parts that stand one behind the other."""

    first: int  # number of its first part
    tables: list[pa.Table] = field(default_factory=list)
    keeps: list[np.ndarray | None] = field(default_factory=list)

    def asked(self) -> pa.Table:
        """The rows that the operator is asked about."""
        return concat_tables([in_mask(*pair) for pair in zip(self.tables, self.keeps, strict=True)], {})


@dataclass(frozen=True, kw_only=True)
class FoldAtOnceTask(UnitTask):
    """All rounds, and the columns of every part."""

    urgency: ClassVar[Urgency] = Urgency.FIRST

    def run(self) -> dict[str, Any]:
        """Commit every part; those already there are kept. What the operator notes is kept with the first part."""
        work = make_work(self)
        operator, units = operator_of(work, Fold), all_units(work)
        if all(_piece(work, number, unit).done("part") for number, unit in enumerate(units)):
            return {}
        chunks = _chunks(work, units)
        held = list(chunks) if _few(work) else None
        state, done = None, False
        told: list[dict[str, Any]] = []
        while not done:
            told.append({})
            with context(work, notes=told[-1]) as ctx:
                every = held if held is not None else _chunks(work, units)
                summaries = [operator.summarise(frame_of(chunk.asked()), state, ctx) for chunk in every]
                state, done = operator.advance(operator.merge(summaries), state, ctx)
        assert state is not None
        with context(work) as ctx:
            for chunk in held if held is not None else _chunks(work, units):
                asked = chunk.asked()
                answers = operator.decide(frame_of(asked), state, ctx)
                _commit(work, units, chunk, conform(answers, work.stage.outputs, rows=asked.num_rows), merged(told))
        return {}


def _piece(work: Work, number: int, unit: str) -> Work:
    keys = [committed(work.store, folder).named("part")[unit].key for folder in work.stage.inputs]
    return work.on_unit(unit, solved_key(work.key, number), keys)


def _few(work: Work) -> bool:
    return committed(work.store, work.stage.inputs[0]).rows <= CHUNK_ROWS


def _chunks(work: Work, units: list[str]) -> Iterator[Chunk]:
    """All rows, about CHUNK_ROWS at a time."""
    chunk, rows = Chunk(first=0), 0
    for number, unit in enumerate(units):
        table, keep = part_rows(_piece(work, number, unit))
        if rows and rows + table.num_rows > CHUNK_ROWS:
            yield chunk
            chunk, rows = Chunk(first=number), 0
        chunk.tables.append(table)
        chunk.keeps.append(keep)
        rows += table.num_rows
    if chunk.tables:
        yield chunk


def _commit(work: Work, units: list[str], chunk: Chunk, answers: pa.Table, notes: dict[str, Any]) -> None:
    start = 0
    for at, (table, keep) in enumerate(zip(chunk.tables, chunk.keeps, strict=True)):
        number = chunk.first + at
        rows = table.num_rows if keep is None else int(keep.sum())
        piece = _piece(work, number, units[number])
        if piece.done("part") is None:
            commit_columns(piece, table, keep, answers.slice(start, rows), notes={} if number else notes)
        start += rows
