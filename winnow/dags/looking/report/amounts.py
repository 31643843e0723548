"""What every decision asked about and kept, in documents, bytes of text and tokens: the funnel as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.meanings import tokenizer_of

BYTES, TOKENS = "text_bytes", "token_count"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """One decision; bytes and tokens are None where no stage of the run has them for its rows."""

    stage: str
    asked: int
    kept: int
    asked_bytes: int | None
    kept_bytes: int | None
    asked_tokens: int | None
    kept_tokens: int | None


@dataclass(kw_only=True)
class Amounts:
    """One line per decision; `tokens_by` says what estimates the tokens ('' where a tokenizer counted them)."""

    lines: list[Amount]
    tokens_by: str = ""

    @property
    def has_tokens(self) -> bool:
        """Whether any line has tokens."""
        return any(line.asked_tokens is not None for line in self.lines)


class Measuring:
    """Sums over the rows of a space, part by part."""

    def __init__(self, run: FinishedRun, space: FinishedStage, decisions: Sequence[FinishedStage]) -> None:
        self.space, self.decisions = space, decisions
        self.counting = counting_stage(run, space)
        self.sums = np.zeros((len(decisions), 2, 3), dtype=np.int64)  # decision; asked, kept; rows, bytes, tokens

    def add(self, unit: str) -> None:
        """Take a part into account. Cost: its `text_bytes`, its `token_count` and every decision on it."""
        sizes = _numbers(self.space, BYTES, unit)
        tokens = _numbers(self.counting, TOKENS, unit) if self.counting else None
        for number, view in enumerate(self.decisions):
            if unit in view.parts:
                for side, rows in enumerate((view.asked(unit), view.kept(unit))):
                    self.sums[number, side, 0] += int(rows.sum())
                    self.sums[number, side, 1] += int(sizes[rows].sum()) if sizes is not None else 0
                    self.sums[number, side, 2] += int(tokens[rows].sum()) if tokens is not None else 0

    def amounts(self) -> Amounts:
        """The table."""
        whole = all(r.file_of(BYTES) for r in self.space.parts.values())
        lines = []
        for view, (asked, kept) in zip(self.decisions, self.sums.tolist(), strict=True):
            lines.append(Amount(
                stage=view.shown, asked=asked[0], kept=kept[0],
                asked_bytes=asked[1] if whole else None, kept_bytes=kept[1] if whole else None,
                asked_tokens=asked[2] if self.counting else None, kept_tokens=kept[2] if self.counting else None,
            ))  # fmt: skip
        return Amounts(lines=lines, tokens_by=tokenizer_of(self.counting.operator) if self.counting else "")


def counting_stage(run: FinishedRun, space: FinishedStage) -> FinishedStage | None:
    """The stage that counts the tokens of all rows of a space, where there is one."""
    for view in (space, *run.distinct()):
        kind = view.outputs.get(TOKENS)
        here = view is space or (view.space == space.folder and view.complete)
        whole = view.manifest is not None and not view.manifest.counts.get("masked")
        if here and whole and kind is not None and pa.types.is_integer(kind) and set(space.parts) <= set(view.parts):
            return view
    return None


def _numbers(view: FinishedStage, column: str, unit: str) -> npt.NDArray[np.int64] | None:
    """A column of whole numbers, 0 for null; None where the part has none."""
    if view.parts[unit].file_of(column) is None:
        return None
    values = view.array(column, unit).cast(pa.int64()).fill_null(0)
    return np.asarray(values)
