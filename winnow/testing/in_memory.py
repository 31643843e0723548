"""The seven shapes run in memory: what contract checks and tests drive operators with.

No store, no receipts, no masks: parts are frames, results are frames. What the engines promise is kept: an
operator sees exactly the columns it needs, strings come as large_string, key groups are sorted and whole, and
answers go back to the part of their document. `Context(notes={})` collects what an operator notes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ContractError, DataError
from winnow.core.numerics.components import components
from winnow.core.operators import Context, Fit, Fold, Group, Kind, Linked, Map, MapArrow, Operator, Whole
from winnow.core.operators.notes import add
from winnow.core.words.distinct import distinct

Table: TypeAlias = pl.DataFrame | pa.Table | pa.RecordBatch
Parts: TypeAlias = Table | Sequence[Table]
Merge: TypeAlias = Callable[[Fold, list[pl.DataFrame]], pl.DataFrame]

_MAX_ROUNDS = 100


@dataclass(frozen=True, kw_only=True)
class MemoryRows:
    """Random access to the columns of parts held in memory (`Context.access`)."""

    parts: Sequence[pl.DataFrame]

    def column(self, name: str, part: int) -> pa.Array:
        """Column `name` of part number `part` as one Arrow array."""
        return arrow_batch(self.parts[part].select(name)).column(0)


@dataclass(frozen=True, kw_only=True)
class MemorySource:
    """A stage held in memory, for reference ports (`Context.refs`)."""

    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    paths: Mapping[str, Path] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = Kind.ROWS
    digest: str = "0" * 32
    counts: Mapping[str, int] = field(default_factory=dict)

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        """`columns` of all rows, or of the `kept` ones, in ascending doc_id order (tables: in their own)."""
        narrow = where_kept and "kept" in self.rows.columns
        rows = self.rows.filter(pl.col("kept").fill_null(value=False)) if narrow else self.rows
        return (rows.sort("doc_id") if "doc_id" in rows.columns else rows).select(columns)

    def frames(self, *columns: str, where_kept: bool = False) -> Iterator[pl.DataFrame]:
        """The same rows, one by one."""
        yield from self.frame(*columns, where_kept=where_kept).iter_slices(1)

    def files(self) -> dict[str, Path]:
        """File name -> path."""
        return dict(self.paths)

    def result(self) -> dict[str, Any]:
        """The metrics."""
        return dict(self.metrics)


def run_map(op: Map | MapArrow, table: Table, ctx: Context, batch_rows: int | None = None) -> pl.DataFrame:
    """The operator's columns for all rows of `table`, cut in batches of `batch_rows`."""
    return pl.concat([frame_of(batch) for batch in map_batches(op, table, ctx, batch_rows)], how="vertical")


def map_batches(
    op: Map | MapArrow, table: Table, ctx: Context, batch_rows: int | None = None
) -> list[pl.DataFrame] | list[pa.RecordBatch]:
    """What the operator returned for each batch, untouched; an empty table is one empty batch.

    Batches are `batch_rows` high, else the operator's own `batch_rows`, else all rows at once.
    """
    rows, ctx = needed(op, frame_of(table)), _per_part(ctx)
    size = batch_rows or op.batch_rows or max(rows.height, 1)
    cuts = [rows.slice(start, size) for start in range(0, max(rows.height, 1), size)]
    answer = opened(op, ctx)
    return [answer(cut) for cut in cuts]


def opened(op: Map | MapArrow, ctx: Context) -> Callable[[pl.DataFrame], Any]:
    """The opened operator, which takes Polars frames in any case and answers as it does."""
    if isinstance(op, MapArrow):
        kernel = op.open(ctx)
        return lambda rows: kernel(arrow_batch(rows))
    return op.open(ctx)


def run_fold(op: Fold, parts: Parts, ctx: Context, merge: Merge | None = None) -> list[pl.DataFrame]:
    """The operator's columns, one frame per part. `merge` may group the summaries in another way."""
    frames = [needed(op, part) for part in frames_of(parts)]
    state = fold_state(op, frames, ctx, merge)
    return [op.decide(rows, state, _per_part(ctx)) for rows in frames]


def fold_state(op: Fold, parts: Parts, ctx: Context, merge: Merge | None = None) -> pl.DataFrame:
    """The state after the last round: what `decide` is given."""
    frames = [needed(op, part) for part in frames_of(parts)]
    state: pl.DataFrame | None = None
    for _ in range(_MAX_ROUNDS):
        noted: dict[str, Any] = {}
        summaries = [op.summarise(rows, state, _per_part(ctx)) for rows in frames]
        summary = merge(op, summaries) if merge else op.merge(summaries)
        state, done = op.advance(summary, state, dataclasses.replace(ctx, notes=noted))
        if ctx.notes is not None:
            add(ctx.notes, noted)
        if done:
            return state
    raise ContractError(f"{op.name!r} wants more than {_MAX_ROUNDS} rounds", hint="`advance` must return done")


def run_group(op: Group, parts: Parts, buckets: int, ctx: Context) -> list[pl.DataFrame]:
    """COLUMNS: the operator's columns, one frame per part. TABLE: one frame, sorted by all its columns."""
    frames = frames_of(parts)
    ctx = _per_part(_with_access(ctx, frames))
    keyed = pl.concat([located(op.keys(needed(op, frame), ctx), frame, number) for number, frame in enumerate(frames)])
    order = ["key", "doc_id", *op.key_schema()]
    resolved = [
        op.resolve(keyed.filter(pl.col("key") % buckets == bucket).sort(order, maintain_order=True), ctx)
        for bucket in range(buckets)
    ]
    answers = pl.concat(resolved).drop("_part", strict=False)
    answers = answers.sort([c for c in answers.columns if not answers.schema[c].is_nested()])
    if op.kind is Kind.TABLE:
        return [answers]
    strangers = answers.join(pl.concat([f.select("doc_id") for f in frames]), on="doc_id", how="anti")
    if strangers.height:
        raise ContractError(f"{op.name!r} answered {strangers.height} doc_id that no part holds")
    read = list(dict.fromkeys(["doc_id", *op.collects()]))
    return [op.collect(needed(op, f).select(read), answers.join(f, on="doc_id", how="semi"), ctx) for f in frames]


def run_whole(op: Whole, parts: Parts, ctx: Context) -> list[pl.DataFrame]:
    """The operator's columns, one frame per part."""
    frames = frames_of(parts)
    ctx = _with_access(ctx, frames)
    numbered = [
        frame.with_columns(pl.lit(number, pl.UInt32).alias("_part")).with_row_index("_row")
        for number, frame in enumerate(frames)
    ]
    rows = pl.concat(numbered).sort("doc_id")
    solved = op.solve(rows.select(*op.needs(), "_part", "_row"), ctx)
    if solved.height != rows.height:
        raise ContractError(f"{op.name!r} returned {solved.height} rows for {rows.height}")
    placed = solved.with_columns(rows["_part"], rows["_row"])
    return [
        placed.filter(pl.col("_part") == number).sort("_row").drop("_part", "_row") for number in range(len(frames))
    ]


def run_linked(op: Linked, parts: Parts, ctx: Context) -> list[pl.DataFrame]:
    """The operator's columns, one frame per part; every piece is solved by itself."""
    frames = frames_of(parts)
    ctx = _with_access(_per_part(ctx), frames)
    numbered = [
        frame.select(*op.needs(), _part=pl.lit(number, pl.UInt32)).with_row_index("_row")
        for number, frame in enumerate(frames)
    ]
    rows = pl.concat(numbered).sort("doc_id")
    left, right = (_numbers_of(rows["doc_id"], ctx.ref("pairs").frame("a", "b")[end]) for end in ("a", "b"))
    root = components(rows.height, left, right)
    answers, order = [op.alone(rows)], np.arange(rows.height)
    for piece in distinct(root[left]):
        members, edges = np.flatnonzero(root == piece), root[left] == piece
        one, two = (np.searchsorted(members, end[edges]) for end in (left, right))
        solved = op.solve(rows[members], one, two, ctx)
        if solved.height != len(members):
            raise ContractError(f"{op.name!r} returned {solved.height} rows for {len(members)}")
        order[members] = sum(map(len, answers)) + np.arange(len(members))
        answers.append(solved.cast(answers[0].schema))  # type: ignore[arg-type]
    placed = pl.concat(answers)[order].with_columns(rows["_part"], rows["_row"])
    return [
        placed.filter(pl.col("_part") == number).sort("_row").drop("_part", "_row") for number in range(len(frames))
    ]


def _numbers_of(ids: pl.Series, wanted: pl.Series) -> np.ndarray:
    number = {bytes(one): at for at, one in enumerate(ids)}
    strangers = [one for one in wanted if bytes(one) not in number]
    if strangers:
        raise DataError(f"a pair names document {bytes(strangers[0]).hex()}, which is not among the rows")
    return np.array([number[bytes(one)] for one in wanted], dtype=np.int64)


def run_fit(op: Fit, parts: Parts, ctx: Context) -> dict[str, Any]:
    """The fit's metrics; its files lie in `ctx.work`."""
    samples = [op.sample(needed(op, frame), _per_part(ctx)) for frame in frames_of(parts)]
    return op.fit(pl.concat(samples).sort("doc_id"), ctx)


def frame_of(table: Table) -> pl.DataFrame:
    """A Polars frame of any table."""
    if isinstance(table, pl.DataFrame):
        return table
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def frames_of(parts: Parts) -> list[pl.DataFrame]:
    """Polars frames of one table or of several."""
    if isinstance(parts, pl.DataFrame | pa.Table | pa.RecordBatch):
        return [frame_of(parts)]
    return [frame_of(part) for part in parts]


def arrow_batch(rows: pl.DataFrame) -> pa.RecordBatch:
    """One record batch with large_string and large_binary columns, never views; doc_id as 16 fixed bytes."""
    table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if "doc_id" in table.column_names:
        at = table.column_names.index("doc_id")
        table = table.set_column(at, "doc_id", table.column(at).cast(pa.binary(16)))
    if table.num_rows == 0:
        return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    return table.combine_chunks().to_batches()[0]


def needed(op: Operator, rows: pl.DataFrame) -> pl.DataFrame:
    """Exactly the columns the operator needs; doc_id for one that needs none.

    Raises: DataError naming the missing ones.
    """
    missing = [name for name in op.needs() if name not in rows.columns]
    if missing:
        raise DataError(f"{op.name!r} needs the columns {missing}", hint=f"the rows have {rows.columns}")
    return rows.select(list(dict.fromkeys(op.needs())) or ["doc_id"])


def located(keyed: pl.DataFrame, rows: pl.DataFrame, part: int) -> pl.DataFrame:
    """Key rows with `_part` and `_row` of their documents.

    Raises: ContractError where a doc_id is not among the part's rows.
    """
    where = rows.select("doc_id").with_row_index("_row").select("doc_id", "_row")
    found = keyed.drop("_at", strict=False).join(where, on="doc_id", how="left", maintain_order="left")
    if found["_row"].null_count():
        raise ContractError("`keys` gave a doc_id that is not among its rows", where=f"part {part}")
    return found.with_columns(pl.lit(part, pl.UInt32).alias("_part"))


def _per_part(ctx: Context) -> Context:
    """The context of a method that runs once per part: nothing is noted there."""
    return dataclasses.replace(ctx, notes=None)


def _with_access(ctx: Context, frames: list[pl.DataFrame]) -> Context:
    return ctx if ctx.access else dataclasses.replace(ctx, access=MemoryRows(parts=frames))
