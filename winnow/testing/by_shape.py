"""How the suite runs the operators of each shape: the answer to parts, and which ways of running must not change it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from winnow.core.operators import Context, Fold, Group, Map, MapArrow, Operator
from winnow.dags.shapes.table import SHAPES
from winnow.testing import answers
from winnow.testing import in_memory as drive

Answer = Callable[[], list[pl.DataFrame]]
Variants = Iterator[tuple[str, Answer]]  # (rule that it tries, answer)
BUCKETS = 8


def _no_variants(op: Any, rows: pl.DataFrame, ctx: Context) -> Variants:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One shape: methods of the operator run in memory."""

    answer: Callable[[Any, list[pl.DataFrame], Context], list[pl.DataFrame]]  # one frame per part
    variants: Callable[[Any, pl.DataFrame, Context], Variants] = _no_variants
    by_row: bool = False  # each row is answered by itself: the cut into parts says nothing, that into batches does
    notes: bool = True  # a method runs once per stage, and may note
    learns: bool = False  # it may refuse to learn from no rows


def answer_of(op: Operator, parts: list[pl.DataFrame], ctx: Context) -> list[pl.DataFrame]:
    """The operator's answer per part; a Fit answers with its files and metrics. Notes start anew."""
    if ctx.notes is not None:
        ctx.notes.clear()
    return DRIVES[op.shape_name].answer(op, parts, ctx)


def why_no_rows(op: Operator) -> str:
    """Why an operator cannot be tried on rows; empty where it can."""
    if op.shape_name not in SHAPES:
        return "check its sub-stages"
    return SHAPES[op.shape_name].no_rows


def variants_of(op: Operator, rows: pl.DataFrame, ctx: Context) -> Variants:
    """Every way of running that must not change the answer to `rows`."""
    driven = DRIVES[op.shape_name]
    yield "twice", lambda: answer_of(op, [rows], ctx)
    if not driven.by_row:
        yield "layout", lambda: answer_of(op, cuts_of(rows), ctx)
    yield from driven.variants(op, rows, ctx)


def cuts_of(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows as four parts, one of them empty and one of a single row."""
    third = rows.height // 3
    return [rows[:third], rows.head(0), rows[third : third + 1], rows[third + 1 :]]


def fold_states(op: Fold, rows: pl.DataFrame, ctx: Context) -> Callable[[drive.Merge | None], bytes]:
    """The bytes of the state of seven parts, one of them empty, for a way of merging."""
    edges = [0, 0, 1, *(rows.height * i // 5 for i in range(1, 5)), rows.height]
    parts = [rows.slice(a, max(b - a, 0)) for a, b in zip(sorted(edges), sorted(edges)[1:], strict=False)]
    return lambda merge: answers.frame_bytes(drive.fold_state(op, parts, ctx, merge))


def _map_answer(op: Map | MapArrow, parts: list[pl.DataFrame], ctx: Context) -> list[pl.DataFrame]:
    return [_whole_batches(op, part, ctx) for part in parts]


def _whole_batches(op: Map | MapArrow, part: pl.DataFrame, ctx: Context) -> pl.DataFrame:
    """The answer to one part, each batch checked against the declared columns."""
    out, start = [], 0
    size = op.batch_rows or max(part.height, 1)
    for answer in drive.map_batches(op, part, ctx):
        out.append(answers.conformed(op, answer, min(size, part.height - start)))
        start += size
    return pl.concat(out)


def _map_variants(op: Map | MapArrow, rows: pl.DataFrame, ctx: Context) -> Variants:
    for size in (1, 7, max(rows.height, 1)):
        yield "batch", partial(_one_map, op, rows, ctx, size)
    yield "twice", lambda: _two_open(op, rows, ctx)


def _one_map(op: Map | MapArrow, rows: pl.DataFrame, ctx: Context, size: int) -> list[pl.DataFrame]:
    return [drive.run_map(op, rows, ctx, size)]


def _two_open(op: Map | MapArrow, rows: pl.DataFrame, ctx: Context) -> list[pl.DataFrame]:
    """The second answer of the first of two opened workers, after both have worked."""
    batch = drive.needed(op, rows)
    first, second = drive.opened(op, ctx), drive.opened(op, ctx)
    first(batch)
    second(batch)
    return [drive.frame_of(first(batch))]


def _group_answer(op: Group, parts: list[pl.DataFrame], ctx: Context) -> list[pl.DataFrame]:
    return drive.run_group(op, parts, BUCKETS, ctx)


def _group_variants(op: Group, rows: pl.DataFrame, ctx: Context) -> Variants:
    for buckets in (1, BUCKETS, 64):
        yield "buckets", partial(drive.run_group, op, cuts_of(rows), buckets, ctx)


def _fit_answer(op: Any, parts: list[pl.DataFrame], ctx: Context) -> list[pl.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        metrics = drive.run_fit(op, parts, dataclasses.replace(ctx, work=Path(folder)))
        files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
    made = {**files, "metrics": json.dumps(metrics, sort_keys=True).encode()}
    return [pl.DataFrame({"file": list(made), "content": pl.Series(list(made.values()), dtype=pl.Binary)})]


DRIVES = {  # every shape of the table whose operators can be tried on rows
    "Map": Drive(answer=_map_answer, variants=_map_variants, by_row=True, notes=False),
    "Fold": Drive(answer=drive.run_fold),
    "Group": Drive(answer=_group_answer, variants=_group_variants, notes=False),
    "Whole": Drive(answer=drive.run_whole),
    "Linked": Drive(answer=drive.run_linked, notes=False),
    "Fit": Drive(answer=_fit_answer, learns=True),
}
