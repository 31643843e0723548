"""Which protected items every document holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import feather

from winnow.core.errors import DataError
from winnow.core.operators import ArrowColumns, Context, Kind, MapArrow, Schema, Source, port
from winnow.core.words.protected import Protected, Protection
from winnow.core.words.text import valid_mask

MATCHES: Schema = {
    "contaminated_ngrams": pa.int32(),  # runs of `ngram` words
    "contaminated_items": pa.large_list(pa.int32()),  # numbers of the items, ascending
    "contaminated_words": pa.int32(),  # the most words in a row that lie in what was found
    "contaminated_share": pa.float64(),  # of the text's words that do, in [0, 1]
    "contaminated_tasks": pa.large_list(pa.large_string()),  # of the items, in order of their names
    "contaminated_otherwise": pa.bool_(),  # holds a short item whole, or a near copy
}
ITEMS = "protected.arrow"  # of a parsed target: name and text of what must not be trained on


@dataclass(frozen=True, kw_only=True)
class Against:
    """Where the protected items come from."""

    against: str = port("ref")  # rows, or a `target_file`


@dataclass(frozen=True, kw_only=True)
class ProtectedMatches(Against, Protection, MapArrow):
    """Runs of protected words in every document, the items found in it, and whether there is more than such runs.

    Null where the text is null.
    Source: own
    """

    name: ClassVar[str] = "protected_matches"
    version: ClassVar[int] = 2  # 2: tasks and extent of what was found
    role: ClassVar[str] = "signal"

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """The items' text."""
        return {"against": ("text",)}

    def outputs(self) -> Schema:
        """Count, items, and what else there is."""
        return MATCHES

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> matches."""
        items = items_of(ctx.ref("against"))
        protected = Protected(items=items["text"], protection=self)
        names = items["task"].unique().sort()
        task = items["task"].replace_strict(names, np.arange(len(names))).to_numpy()

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            found = protected.find(text)
            absent = ~valid_mask(text)
            lists = pa.LargeListArray.from_arrays(
                pa.array(found.offsets), pa.array(found.items), mask=pa.array(absent) if absent.any() else None
            )
            row = np.repeat(np.arange(len(text)), np.diff(found.offsets))
            pairs = np.unique(np.stack((row, task[found.items]), axis=1), axis=0)
            ends = np.searchsorted(pairs[:, 0], np.arange(len(text) + 1)).astype(np.int64)
            tasks = names.gather(pairs[:, 1]).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
            return pa.record_batch({
                "contaminated_ngrams": pa.array(found.runs, mask=absent), "contaminated_items": lists,
                "contaminated_words": pa.array(found.longest, mask=absent),
                "contaminated_share": pa.array(found.share, mask=absent),
                "contaminated_tasks": pa.LargeListArray.from_arrays(
                    pa.array(ends), tasks, mask=pa.array(absent) if absent.any() else None
                ),
                "contaminated_otherwise": pa.array(~found.only_runs, mask=absent),
            })  # fmt: skip

        return columns


def items_of(source: Source) -> pl.DataFrame:
    """Columns name, text, task of the protected items: rows in the order of their ids, or those of a parsed target.

    The task of a row is its file, that of an item of a target what its name says before `:`.

    Raises: DataError where the stage holds no items.
    """
    if source.kind in (Kind.ROWS, Kind.COLUMNS):
        rows = source.frame("doc_id", "origin", "text", where_kept=True)
        return rows.select(pl.col("origin").alias("name"), pl.col("text").fill_null(""), task=_task(pl.col("origin")))
    files = source.files()
    if ITEMS not in files:
        raise DataError("this stage holds nothing to protect", where="against", hint="name rows, or a `target_file`")
    table = feather.read_table(files[ITEMS], memory_map=False)
    items = pl.DataFrame({name: pl.Series(table.column(name)) for name in table.column_names})
    return items if "task" in items.columns else items.with_columns(task=_task(pl.col("name")))


def _task(name: pl.Expr) -> pl.Expr:
    """`arc` of `evals/arc.jsonl#120` and of `arc.jsonl:7`."""
    return name.str.replace(r"[#:]\d+(:\d+)?$", "").str.extract(r"([^/]*?)(\.[^/]*)?$", 1)
