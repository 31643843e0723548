"""What tells the sources of documents apart: folders of their origin, the readers' `source`, or any text column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS
from winnow.core.store.manifest import Receipt
from winnow.core.store.schema import contiguous
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage
from winnow.dags.looking.report.values import MOST_CHARS, is_text

MOST_GROUPS = 2000  # sources kept apart per row space; the rest is one group
OTHERS, NO_VALUE = "(others)", "(no value)"
FOLDER, SOURCE = "origin", "source"
_NEVER = ("text",)  # a value per document


class Groups:
    """Numbers for (reader, folder) or ('', value), given in order of appearance."""

    def __init__(self, run: FinishedRun, space: FinishedStage, by: str = "") -> None:
        self.run, self.space = run, space
        self.names: dict[tuple[str, str], int] = {}
        self.column = None if by in ("", FOLDER) else column_by(space, by)
        self.sources = by != FOLDER and self.column is None and (by == SOURCE or _several(run))
        self.by = by if self.column else "the readers' `source`" if self.sources else "reader and folder"

    def codes(self, unit: str) -> npt.NDArray[np.int64]:
        """The group of every row of a part, i64[rows]."""
        origin = self.space.array("origin", unit)
        if self.sources:
            reader = self._reader(self.space.parts[unit])
            return np.full(len(origin), self._number(source_of(reader) or reader.shown, ""), dtype=np.int64)
        if self.column is not None:
            return self._numbers("", self._values(unit, len(origin)))
        return self._numbers(self._reader(self.space.parts[unit]).shown, top_folder(origin))

    def _values(self, unit: str, rows: int) -> pa.Array:
        assert self.column is not None
        if unit not in self.column.stage.parts:
            return pa.nulls(rows, pa.large_string())
        values = contiguous(self.column.part(unit)).cast(pa.large_string())
        return pl.Series("by", values).str.slice(0, MOST_CHARS).to_arrow(compat_level=pl.CompatLevel.oldest())

    def _numbers(self, reader: str, texts: pa.Array) -> npt.NDArray[np.int64]:
        coded = texts.fill_null(NO_VALUE).dictionary_encode()
        numbers = [self._number(reader, str(text)) for text in coded.dictionary.to_pylist()]
        if not numbers:
            return np.zeros(0, np.int64)
        return np.asarray(numbers, dtype=np.int64)[np.asarray(coded.indices, dtype=np.int64)]

    def _number(self, reader: str, top: str) -> int:
        if (reader, top) in self.names or len(self.names) < MOST_GROUPS:
            return self.names.setdefault((reader, top), len(self.names))
        return self.names.setdefault(("", OTHERS), len(self.names))

    def _reader(self, receipt: Receipt) -> FinishedStage:
        ref = receipt.file_of("origin")
        return self.run.maybe(ref.key.partition("/")[0] if ref else self.space.folder) or self.space


def column_by(space: FinishedStage, by: str) -> Column | None:
    """The text column `by` of a row space, or None. Raises ConfigError where it is no text or could be several."""
    column = space.find_here(by) or space.find(by, where="--by")
    if column is None:
        return None
    if not is_text(column.type) or column.name in _NEVER:
        raise ConfigError(
            f"column {by!r} is {'the text itself' if column.name in _NEVER else column.type}, and sources are told"
            " apart by a short text", where="--by", hint=f"one of: {', '.join(text_names(space)) or 'none'}",
        )  # fmt: skip
    return column


def check_by(run: FinishedRun, spaces: list[FinishedStage], by: str) -> None:
    """Raises ConfigError where no row space has a text column `by`, with the columns there are."""
    if by in ("", FOLDER, SOURCE) or any(column_by(space, by) for space in spaces):
        return
    names = sorted({name for space in spaces for name in text_names(space)})
    hint = did_you_mean(by, [*names, SOURCE, FOLDER])
    raise ConfigError(f"no stage of run {run.record.name!r} has a column {by!r}", where="--by", hint=hint)


def text_names(space: FinishedStage) -> list[str]:
    """The text columns that a row space and the stages over it have."""
    found = {name for view in space.run.beside(space) for name, kind in view.outputs.items() if is_text(kind)}
    return sorted(found - {name for name in ROW_COLUMNS if name != FOLDER})


def source_of(view: FinishedStage) -> str:
    """The `source` that a reader declares; '' for others."""
    return str(getattr(view.operator, SOURCE, "") or "")


def _several(run: FinishedRun) -> bool:
    """Whether the readers of a run declare different sources."""
    return len({source_of(view) for view in run.distinct() if view.is_reader} - {""}) > 1


def top_folder(origin: pa.Array) -> pa.Array:
    """First folder of every origin; the host of an address; the file's name where it lies in no folder."""
    text = pl.Series("origin", origin.fill_null("")).str.replace(r"^[A-Za-z][A-Za-z0-9+.-]*://", "")
    top = pl.when(pl.col("origin").str.contains("/", literal=True)).then(pl.col("origin").str.extract(r"^([^/]*)"))
    frame = text.to_frame().select(top.otherwise(pl.col("origin").str.extract(r"^([^#]*)")).fill_null(""))
    return frame.to_series().to_arrow(compat_level=pl.CompatLevel.oldest())
