"""One pass over the rows that a `write` stage wrote: documents, bytes and tokens per source, language, licence, domain.

Read from the columns of the rows that it chose from, so that nothing has to be carried into the shards to be told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators import Rewrite
from winnow.core.store.schema import contiguous
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage
from winnow.dags.looking.report.amounts import TOKENS, counting_stage
from winnow.dags.looking.report.grouping import Groups
from winnow.dags.looking.report.values import MOST_CHARS, is_text
from winnow.dags.recipe.meanings import tokenizer_of
from winnow.dags.shapes.work import mask

SPOKEN = {"language": ("language", "lang"), "licence": ("licence", "license"), "domain": ("url_domain",)}
_SUMS = ("documents", "bytes", "tokens")
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one value has: `name` is None for rows without one; tokens are None where nobody counted them."""

    name: str | None
    documents: int
    bytes: int
    tokens: int | None


@dataclass(kw_only=True)
class Written:
    """The written rows, grouped. A group is None where the run has no such column; the largest part comes first."""

    documents: int
    bytes: int
    tokens: int | None
    tokens_by: str  # what estimates them; '' for a tokenizer
    sources: list[Part]
    groups: dict[str, list[Part] | None]  # language, licence, domain
    columns: dict[str, str]  # group -> the column that it is by
    remarks: list[str]


def written_rows(run: FinishedRun, view: FinishedStage) -> Written:
    """Count what a `write` stage wrote. Raises: StoreError where a committed file is gone.

    Cost: one pass over the named columns of its rows; memory of one part, and of every different value.
    """
    return _Pass(run, view).found()


class _Pass:
    """The pass over one stage."""

    def __init__(self, run: FinishedRun, view: FinishedStage) -> None:
        self.run, self.view, self.remarks = run, view, list[str]()
        self.space = run.at(view.source_space)
        self.sources = Groups(run, self.space)
        self.counting = self._tokens()
        self.size = view.read_as("text_bytes") or Column(stage=self.space, name="text_bytes")
        self.columns = {group: found for group in SPOKEN if (found := self._column(group)) is not None}
        self.frames: dict[str, pl.DataFrame] = {}

    def found(self) -> Written:
        """Everything, once all parts are counted."""
        for unit in self.space.parts:
            self._add(unit)
        names = [" / ".join(part for part in pair if part) for pair in self.sources.names]
        sources = [Part(name=names[int(one.name or 0)], documents=one.documents, bytes=one.bytes, tokens=one.tokens)
                   for one in self._parts("source")]  # fmt: skip
        groups = {group: self._parts(group) if group in self.columns else None for group in SPOKEN}
        tokens = sum(one.tokens or 0 for one in sources) if self.counting else None
        by = tokenizer_of(self.counting.stage.operator) if self.counting else ""
        return Written(
            documents=sum(one.documents for one in sources), bytes=sum(one.bytes for one in sources), tokens=tokens,
            tokens_by=by, sources=sources, groups=groups, remarks=self.remarks,
            columns={group: f"{column.stage.shown}.{column.name}" for group, column in self.columns.items()},
        )  # fmt: skip

    def _tokens(self) -> Column | None:
        read = self.view.read_as(TOKENS)
        if read is not None and pa.types.is_integer(read.type):
            return read
        stage = counting_stage(self.run, self.space)
        return Column(stage=stage, name=TOKENS) if stage else None

    def _column(self, group: str) -> Column | None:
        """The text column of a group; None, with a remark where several could be meant."""
        for name in SPOKEN[group]:
            try:
                column = self.view.find(name)
            except ConfigError as error:
                self.remarks.append(f"{group} is not told: {error.what}; `carry` the one that is meant")
                return None
            if column is not None and is_text(column.type) and set(self.space.parts) <= set(column.stage.parts):
                return column
        return None

    def _add(self, unit: str) -> None:
        """One part: how often each row was written, then the sums per value."""
        file = self.view.file
        if file is None:
            raise StoreError(f"stage {self.view.shown!r} has no record", where=self.view.folder, hint="run it again")
        receipts = [self.run.at(folder).parts[unit] for folder in file.inputs]
        keep = mask(file, self.view.store, receipts)
        rows = len(self.space.array("doc_id", unit))
        times = np.ones(rows, dtype=np.int64) if keep is None else keep.astype(np.int64)
        times *= self._copies(unit, rows)
        chosen = np.flatnonzero(times)
        held = {"documents": times, "bytes": times * _numbers(self.size, unit)}
        held["tokens"] = times * _numbers(self.counting, unit) if self.counting else np.zeros(rows, dtype=np.int64)
        sums = {name: values[chosen] for name, values in held.items()}
        self._sum("source", pl.Series("name", self.sources.codes(unit)[chosen]).cast(pl.String), sums)
        for group, column in self.columns.items():
            values = pl.Series("name", contiguous(column.part(unit)).cast(pa.large_string())).str.slice(0, MOST_CHARS)
            self._sum(group, values.gather(chosen), sums)

    def _copies(self, unit: str, rows: int) -> Numbers:
        operator = self.view.operator
        repeat = getattr(operator, "repeat", None)
        if repeat is None or not isinstance(operator, Rewrite):
            return np.ones(rows, dtype=np.int64)
        column = self.view.read_as(repeat)
        assert column is not None  # `write` reads what it repeats by
        table = pa.table({"doc_id": self.space.array("doc_id", unit), repeat: column.part(unit)})
        return np.asarray(operator.copies(table), dtype=np.int64)

    def _sum(self, group: str, names: pl.Series, sums: dict[str, Numbers]) -> None:
        frame = pl.DataFrame({"name": names, **sums})
        before = [self.frames[group]] if group in self.frames else []
        self.frames[group] = pl.concat([*before, frame]).group_by("name").agg(pl.col(*_SUMS).sum())

    def _parts(self, group: str) -> list[Part]:
        if group not in self.frames:
            return []
        ordered = self.frames[group].sort(["bytes", "name"], descending=[True, False], nulls_last=True)
        return [
            Part(name=row["name"], documents=row["documents"], bytes=row["bytes"],
                 tokens=row["tokens"] if self.counting else None)
            for row in ordered.iter_rows(named=True)
        ]  # fmt: skip


def _numbers(column: Column, unit: str) -> Numbers:
    return np.asarray(contiguous(column.part(unit)).cast(pa.int64()).fill_null(0), dtype=np.int64)
