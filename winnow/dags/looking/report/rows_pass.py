"""One pass over the sidecars of a row space: what every decision kept per source, and which rows to show.

Samples are the rows with the smallest keyed hash of their doc_id, so that they are the same for every layout of
the data and do not change when another stage does. Memory is that of one part; text is not read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from winnow.core.numerics import rng
from winnow.core.operators import Kind
from winnow.core.store.parts import mask_of
from winnow.dags.looking.finished import FinishedRun, FinishedStage, Mask
from winnow.dags.looking.report.amounts import Amounts, Measuring
from winnow.dags.looking.report.grouping import MOST_GROUPS, Groups
from winnow.dags.shapes.tally import CLAUSE

Keys = npt.NDArray[np.uint64]

SALT = "report"


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

    by: str  # what tells sources apart, in words
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


def scan(
    run: FinishedRun, space: FinishedStage, decisions: Sequence[FinishedStage], *, most: int, by: str = ""
) -> RowsPass:
    """Samples (at most `most` per reason) and counts per source, or per value of the column `by`.

    Cost: every decision column once, origins or `by` once.
    """
    picked: dict[tuple[str, str], Picked] = {}
    groups, measuring = Groups(run, space, by), Measuring(run, space, decisions)
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
    shares = Shares(by=groups.by, names=list(groups.names), rows=rows[:num], asked=asked[:num], kept=kept[:num])
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
