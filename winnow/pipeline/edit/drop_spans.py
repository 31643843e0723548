"""Spans that another stage found, taken out of the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.operators.edit import Edit, Edited
from winnow.core.words.splice import Spans, replaced, united
from winnow.core.words.text import valid_mask


@dataclass(frozen=True, kw_only=True)
class DropSpans(Edit):
    """The text without the byte spans that other columns list; `dropped_share`, of its bytes, in [0, 1].

    `stops` is a column of lists: the byte behind each span; `starts` the first bytes. Without `starts` the spans are
    segments of which each begins where the one before it ends, as in `segment_ends`. With `scores`, a list beside them,
    only spans of a score of `at_least` or more go (null: stays). Spans may touch, overlap and come in any order.

    Raises:
        ConfigError: `at_least` without `scores` or the other way round; a column that is no list of numbers.
    Cost: O(bytes of changed documents + spans log spans).
    Source: own; sentences dropped by score as in Dolma 1.6's mixer (Soldaini et al. 2024)
    """

    name: ClassVar[str] = "drop_spans"
    columns_from: ClassVar[tuple[str, ...]] = ("starts", "stops", "scores")
    meaning: ClassVar[Mapping[str, Meaning]] = {"by": "free"}

    stops: str
    starts: str | None = None
    scores: str | None = None
    at_least: float | None = None
    by: str = ""  # what stands there then

    def validate(self) -> None:
        """Raise ConfigError where only one of `scores` and `at_least` is given."""
        if (self.scores is None) != (self.at_least is None):
            where = "at_least" if self.at_least is None else "scores"
            raise ConfigError("`scores` and `at_least` go together", where=where,
                              hint="for example `scores: segment_scores, at_least: 0.01`")  # fmt: skip

    def beside(self) -> tuple[str, ...]:
        """The lists."""
        return tuple(dict.fromkeys(name for name in (self.starts, self.stops, self.scores) if name))

    def measures(self) -> Schema:
        """How many spans went, and their share of the bytes."""
        return {"dropped_spans": pa.int32(), "dropped_share": pa.float64()}

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column holds no lists of numbers."""
        for name in self.beside():
            kind = types[name]
            lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
            inner = kind.value_type if lists else kind
            wanted = pa.types.is_integer(inner) or (name == self.scores and pa.types.is_floating(inner))
            if not lists or not wanted:
                raise ConfigError(f"{name!r} is {kind}, not a list of numbers", where="stops",
                                  hint="for example `segment_ends` of `segment_scores`")  # fmt: skip

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Batch -> its listed spans."""

        def edit(batch: pa.RecordBatch) -> Edited:
            text, given = batch.column("text"), self._spans(batch)
            rows, starts, stops = _apart(*given)
            zeros = np.zeros(len(starts), dtype=np.int64)
            spans = replaced(rows, starts, stops, zeros, [self.by])
            return Edited(spans=spans, columns=_measured(text, batch.column("text_bytes"), given[0], spans))

        return edit

    def _spans(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, start, stop) of every span to drop, in the order of rows."""
        rows, stops = _flat(batch.column(self.stops))
        if self.starts is not None:
            beside, starts = _flat(batch.column(self.starts))
            _check_alike(rows, beside, self.stops, self.starts)
        else:
            starts = np.concatenate([np.zeros(1, dtype=np.int64), stops[:-1]]) if len(stops) else stops
            first = np.ones(len(rows), dtype=bool)
            first[1:] = rows[1:] != rows[:-1]
            starts = np.where(first, 0, starts)
        wanted = stops > starts
        if self.scores is not None:
            beside, scores = _flat(batch.column(self.scores))
            _check_alike(rows, beside, self.stops, self.scores)
            wanted &= scores >= self.at_least
        wanted &= valid_mask(batch.column("text"))[rows]
        counted = np.zeros(batch.num_rows + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows[wanted], minlength=batch.num_rows), out=counted[1:])
        return counted, starts[wanted], stops[wanted]


def _flat(lists: pa.Array) -> tuple[np.ndarray, Any]:
    """(row of each value, the values); a null list has none, a null value is NaN or refused."""
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise DataError(f"spans are lists of numbers, and this column is {lists.type}")
    lists = lists.cast(pa.large_list(lists.type.value_type))
    sizes = np.asarray(lists.value_lengths().fill_null(0), dtype=np.int64)
    values = lists.flatten()
    if pa.types.is_floating(values.type):
        return np.repeat(np.arange(len(lists)), sizes), values.to_numpy(zero_copy_only=False)
    if values.null_count:
        raise DataError("a list of spans holds a null", hint="every span needs a number")
    return np.repeat(np.arange(len(lists)), sizes), np.asarray(values, dtype=np.int64)


def _check_alike(rows: np.ndarray, others: np.ndarray, name: str, other: str) -> None:
    if not np.array_equal(rows, others):
        raise DataError(f"the lists {name!r} and {other!r} of a document differ in length")


def _apart(rows: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same bytes as spans in order that neither touch nor overlap; `rows` counts the spans before each row."""
    row, starts, stops = united(np.repeat(np.arange(len(rows) - 1), np.diff(rows)), starts, stops)
    counted = np.zeros(len(rows), dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=len(rows) - 1), out=counted[1:])
    return counted, starts, stops


def _measured(text: pa.Array, size: pa.Array, rows: np.ndarray, spans: Spans) -> dict[str, pa.Array]:
    null = ~valid_mask(text)
    gone = np.zeros(len(text), dtype=np.int64)
    np.add.at(gone, np.repeat(np.arange(len(text)), np.diff(spans.rows)), spans.stops - spans.starts)
    share = gone / np.maximum(np.asarray(size.fill_null(0), dtype=np.int64), 1)
    return {
        "dropped_spans": pa.array(np.diff(rows).astype(np.int32), mask=null),
        "dropped_share": pa.array(share, mask=null),
    }
