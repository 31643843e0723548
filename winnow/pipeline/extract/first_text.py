"""`first_text`: of several texts of a document the first that passes: a page stays which any extractor saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, Schema, sql
from winnow.core.operators.retext import Retext, asked_of, whole_texts
from winnow.core.operators.sql_truth import check_truth
from winnow.core.store.no_value import frame_without_nan
from winnow.core.terminal import percent

TAKEN = "taken:"  # counts of documents by the number of the text that they have now
MOST = 100  # texts to choose from


@dataclass(frozen=True, kw_only=True)
class FirstText(Retext):
    """Of several texts of each document the first that passes its rule, or the best of those that do.

    `text`, empty where none passes, and `text_choice`, its number in `texts` from 1 on, null where none passes. An
    empty text never passes. What stands below reads the text that was chosen.

    Cost: linear in the bytes of the texts.
    Source: arXiv 2602.19548, a page stays that survives the filters under any of several extractors; the rule and the
    order of preference are the recipe's here
    """

    name: ClassVar[str] = "first_text"
    role: ClassVar[str] = "extractor"
    whole: ClassVar[bool] = True
    choice: ClassVar[str] = "text_choice"
    columns_from: ClassVar[tuple[str, ...]] = ("texts", "passes", "best")

    texts: tuple[str, ...]  # columns of texts, those to be preferred first: [one.text, two.text]
    passes: tuple[str, ...] = ()  # SQL per text that is true where it may be chosen, "" or none: if it is not empty
    best: tuple[str, ...] = ()  # SQL per text, a number: the highest of those that pass is chosen; none: the first

    def beside(self) -> tuple[str, ...]:
        """The texts, and what the rules read."""
        rules = [name for rule in (*self.passes, *self.best) if rule for name in sql.column_names(rule)]
        return tuple(dict.fromkeys([*self.texts, *rules]))

    def measures(self) -> Schema:
        """`text_choice`."""
        return {self.choice: pa.int8()}

    def chooses_from(self) -> tuple[str, ...]:
        """The columns of texts."""
        return self.texts

    def validate(self) -> None:
        """Raises: ConfigError for fewer than two texts, and for rules that are not one per text."""
        if not 2 <= len(self.texts) <= MOST or len(set(self.texts)) < len(self.texts):
            hint = f"from 2 to {MOST} different columns of texts: `texts: [one.text, two.text]`"
            raise ConfigError(f"there is nothing to choose among {len(self.texts)} texts", where="texts", hint=hint)
        for name in ("passes", "best"):
            rules = getattr(self, name)
            if rules and len(rules) != len(self.texts):
                what = f"{len(rules)} rules for {len(self.texts)} texts"
                raise ConfigError(what, where=name, hint='one per text, in the order of `texts`; "" for none')
            for rule in (rule for rule in rules if rule or name == "best"):
                sql.expression(rule, where=name)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a text is none, a rule no truth value, or what is best no number."""
        for name in self.texts:
            if types.get(name, pa.large_string()) != pa.large_string():
                raise ConfigError(f"{name!r} is {types[name]}, no text", where="texts", hint="name a stage's text")
        for rule in filter(None, self.passes):
            check_truth(rule, {name: types[name] for name in sql.column_names(rule)}, where="passes")

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> the chosen texts and their numbers."""
        passes = [sql.expression(rule, where="passes") if rule else pl.lit(value=True) for rule in self.passes]
        best = [sql.expression(rule, where="best") for rule in self.best]

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows = batch.num_rows
            texts = [batch.column(name).cast(pa.large_string()).fill_null("") for name in self.texts]
            may = np.stack([_sizes(text) > 0 for text in texts])
            frame = frame_without_nan(pl.DataFrame(pl.from_arrow(pa.table(batch))))
            if passes:
                may &= _each(frame, [rule.cast(pl.Boolean).fill_null(value=False) for rule in passes])
            worth = np.zeros(may.shape)
            if best:
                worth = _each(frame, [rule.cast(pl.Float64).fill_nan(None).fill_null(-np.inf) for rule in best])
            number = chosen(may, worth)
            for i in range(len(texts) + 1):
                ctx.count(f"{TAKEN}{i + 1}", int((number == i).sum()))
            taken = pa.concat_arrays([*texts, pa.array([""], pa.large_string())])
            none = number == len(texts)
            place = np.where(none, len(taken) - 1, number * rows + np.arange(rows))
            choice = pa.array((number + 1).astype(np.int8), mask=none)
            return pa.record_batch({**whole_texts(taken.take(pa.array(place))), self.choice: choice})

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """How often each text was chosen, where one never was, and that documents are empty."""
        asked = asked_of(counts)
        taken = [counts.get(f"{TAKEN}{i + 1}", 0) for i in range(len(self.texts))]
        if not asked or all(taken):
            return super().remarks(counts, metrics)
        idle = " and ".join(f"{i + 1} ({name})" for i, name in enumerate(self.texts) if not taken[i])
        shares = ", ".join(f"{name} {percent(n / asked)}" for name, n in zip(self.texts, taken, strict=True))
        none = f"takes text {idle} for none of {asked:,} documents ({shares}): leave it out, or look at its rule"
        return (none, *super().remarks(counts, metrics))


def chosen(may: npt.NDArray[np.bool_], worth: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """i64[rows]: number of the worthiest text that may be taken, the first of equals; of none the number of texts."""
    best = np.where(may, worth, -np.inf).max(axis=0)
    first = np.argmax(may & (worth == best), axis=0)
    return np.where(may.any(axis=0), first, len(may)).astype(np.int64)


def _sizes(text: pa.Array) -> npt.NDArray[np.int64]:
    return np.diff(np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1])


def _each(frame: pl.DataFrame, rules: Sequence[pl.Expr]) -> npt.NDArray[Any]:
    """[rules, rows]: the value of each rule in each row."""
    return np.stack([frame.with_columns(rule.alias("value"))["value"].to_numpy() for rule in rules])
