"""One pass over the sidecars of a row space: what every decision kept per source, and which rows to show.

Samples are the rows with the smallest keyed hash of their doc_id, so that they are the same for every layout of
the data and do not change when another stage does. Memory is that of one part; text is not read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.numerics import rng
from winnow.core.operators import Kind
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import mask_of
from winnow.dags.looking.finished import FinishedRun, FinishedStage, Mask
from winnow.dags.looking.report.amounts import Amounts, Measuring
from winnow.dags.shapes.tally import CLAUSE

Keys = npt.NDArray[np.uint64]

SALT = "report"
MOST_GROUPS = 2000  # folders kept apart per row space; the rest is one group
OTHERS = "(other folders)"


@dataclass(kw_only=True)
class Picked:
    """The rows with the smallest keys of all that were offered, in key order."""

    most: int
    num_rows: int = 0
    rows: list[tuple[int, str, int]] = field(default_factory=list)  # key, unit, row

    def offer(self, keys: Keys, mask: Mask, unit: str) -> None:
        """Take the rows of a part where `mask` is true into account."""
        index = np.flatnonzero(mask)
        self.num_rows += len(index)
        if len(index) > self.most:
            index = index[np.argpartition(keys[index], self.most - 1)[: self.most]]
        self.rows = sorted([*self.rows, *((int(keys[i]), unit, int(i)) for i in index)])[: self.most]


@dataclass(kw_only=True)
class Shares:
    """Rows per source: asked by and kept by each decision, i64[groups, decisions]."""

    names: list[tuple[str, str]]  # reader, folder
    rows: npt.NDArray[np.int64]
    asked: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]


@dataclass(kw_only=True)
class RowsPass:
    """What the pass found in one row space."""

    space: FinishedStage
    decisions: list[FinishedStage]
    picked: dict[tuple[str, str], Picked]  # (stage folder, reason) -> rows
    shares: Shares
    amounts: Amounts


def decisions_of(run: FinishedRun, space: FinishedStage) -> list[FinishedStage]:
    """The complete stages that decide over the rows of a space, as people see them, in order of the data."""
    found: dict[str, FinishedStage] = {}
    for view in run.stages:
        if view.kind is not Kind.COLUMNS or view.hidden or not view.complete or view.space != space.folder:
            continue
        if any(r.file_of("kept") for r in list(view.parts.values())[:1]):
            found.setdefault(view.folder, view)
    return list(found.values())


def scan(run: FinishedRun, space: FinishedStage, decisions: Sequence[FinishedStage], *, most: int) -> RowsPass:
    """Samples (at most `most` per reason) and counts per source. Cost: every decision column once, origins once."""
    picked: dict[tuple[str, str], Picked] = {}
    groups, measuring = _Groups(run, space), Measuring(run, space, decisions)
    asked = np.zeros((MOST_GROUPS + 1, len(decisions)), dtype=np.int64)
    kept = np.zeros_like(asked)
    rows = np.zeros(MOST_GROUPS + 1, dtype=np.int64)
    for unit in space.parts:
        keys = rng.keys(space.array("doc_id", unit), seed=0, salt=SALT)
        codes = groups.codes(unit)
        rows += np.bincount(codes, minlength=len(rows))
        measuring.add(unit)
        for number, view in enumerate(decisions):
            if unit not in view.parts:
                continue
            asked[:, number] += np.bincount(codes[view.asked(unit)], minlength=len(rows))
            kept[:, number] += np.bincount(codes[view.kept(unit)], minlength=len(rows))
            for reason, mask in _reasons(view, unit):
                picked.setdefault((view.folder, reason), Picked(most=most)).offer(keys, mask, unit)
    num = len(groups.names)
    shares = Shares(names=list(groups.names), rows=rows[:num], asked=asked[:num], kept=kept[:num])
    return RowsPass(space=space, decisions=list(decisions), picked=picked, shares=shares, amounts=measuring.amounts())


def _reasons(view: FinishedStage, unit: str) -> Iterator[tuple[str, Mask]]:
    """Reason -> rows: `kept`, `failed`, one per clause and `null:clause`, or `dropped`."""
    kept, asked, failed = view.kept(unit), view.asked(unit), view.failed(unit)
    yield "kept", kept
    yield "failed", failed
    clauses = [c for f in view.parts[unit].files for c in f.columns if c.startswith(CLAUSE)]
    for column in clauses:
        passed = view.array(column, unit)
        valid = np.asarray(passed.is_valid())
        refused = ~mask_of(passed) & asked & ~failed
        yield column.removeprefix(CLAUSE), refused & valid
        yield f"null:{column.removeprefix(CLAUSE)}", refused & ~valid
    if not clauses:
        yield "dropped", ~kept & asked & ~failed


class _Groups:
    """Numbers for (reader, top folder of origin), given in order of appearance."""

    def __init__(self, run: FinishedRun, space: FinishedStage) -> None:
        self.run, self.space = run, space
        self.names: dict[tuple[str, str], int] = {}

    def codes(self, unit: str) -> npt.NDArray[np.int64]:
        """The group of every row of a part, i64[rows]."""
        reader = self._reader(self.space.parts[unit])
        tops = top_folder(self.space.array("origin", unit)).dictionary_encode()
        numbers = [self._number(reader, str(top)) for top in tops.dictionary.to_pylist()]
        return (
            np.asarray(numbers, dtype=np.int64)[np.asarray(tops.indices, dtype=np.int64)]
            if numbers
            else np.zeros(0, np.int64)
        )

    def _number(self, reader: str, top: str) -> int:
        if (reader, top) in self.names or len(self.names) < MOST_GROUPS:
            return self.names.setdefault((reader, top), len(self.names))
        return self.names.setdefault(("", OTHERS), len(self.names))

    def _reader(self, receipt: Receipt) -> str:
        ref = receipt.file_of("origin")
        folder = ref.key.partition("/")[0] if ref else self.space.folder
        found = self.run.maybe(folder)
        return found.shown if found else self.space.shown


def top_folder(origin: pa.Array) -> pa.Array:
    """First folder of every origin; the host of an address; the file's name where it lies in no folder."""
    text = pl.Series("origin", origin.fill_null("")).str.replace(r"^[A-Za-z][A-Za-z0-9+.-]*://", "")
    top = pl.when(pl.col("origin").str.contains("/", literal=True)).then(pl.col("origin").str.extract(r"^([^/]*)"))
    frame = text.to_frame().select(top.otherwise(pl.col("origin").str.extract(r"^([^#]*)")).fill_null(""))
    return frame.to_series().to_arrow(compat_level=pl.CompatLevel.oldest())
