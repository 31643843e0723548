"""Does an arm hold what it is evaluated on? Shared word n-grams, found once per pool and target.

`target_overlap` marks the pool's documents that repeat an item: one pass over the text per target, reused by every
arm and seed. `overlap_of` joins those marks with a selection by doc_id. So a new arm reads no text, and a new
target reads it once.

What an item protects is its context with the right answer. How it is found: `core/words/protected.py`, as by
`decontaminate`; items that cannot be looked for are counted as unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, Source, port
from winnow.core.words.protected import Protected, Protection, facts_of
from winnow.core.words.text import valid_mask
from winnow.trainers.evaluate.suites import Suite, protected_of, suite_of

MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class TargetOverlap(Protection, MapArrow):
    """How many word n-grams of an evaluation target a document repeats, and which items, near copies of them too.

    Null where the text is null. An n-gram of several items counts for the first of them.

    Cost: one pass of hashing, and a look-up per word.
    Source: 13-word overlap as in Brown et al. 2020 (appendix C); whole short items and near copies are own
    """

    name: ClassVar[str] = "target_overlap"
    version: ClassVar[int] = 2  # 2: words in normal form, near copies, whole items from 5 words on
    role: ClassVar[str] = "trainer"
    texts_of: ClassVar[tuple[str, ...]] = ("target",)

    target: str = port("ref", default="")  # rows, or a `target_file`

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: 1 <= shortest <= ngram does not hold.
        """
        self.check()
        if not 1 <= self.shortest <= self.ngram:
            raise ConfigError(f"shortest is {self.shortest}, not in [1, {self.ngram}]", where="shortest")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Count of repeated n-grams, and numbers of the items they come from, ascending."""
        return {"overlap_ngrams": pa.int32(), "overlap_items": pa.large_list(pa.int32())}

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> counts and items."""
        target = ctx.ref("target")
        protected = Protected(items=protected_of(target, suite_of(target)), protection=self)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            found = protected.find(text)
            absent = ~valid_mask(text)
            lists = pa.LargeListArray.from_arrays(
                pa.array(found.offsets), pa.array(found.items), mask=pa.array(absent) if absent.any() else None
            )
            return pa.record_batch({"overlap_ngrams": pa.array(found.ngrams, mask=absent), "overlap_items": lists})

        return columns


def marked_in(marks: Source) -> pl.DataFrame:
    """The documents that a target's `target_overlap` marks: doc_id, overlap_ngrams, overlap_items."""
    return marks.frame("doc_id", "overlap_ngrams", "overlap_items").filter(pl.col("overlap_items").list.len() > 0)


def unchecked_of(target: Source, suite: Suite, protection: Protection) -> int:
    """Items of a target that are too short or too empty to be looked for."""
    facts = facts_of(protected_of(target, suite), protection)
    return facts["items_too_short"] + facts["items_empty"]


def overlap_of(selected: pl.DataFrame, marked: pl.DataFrame, suite: Suite, *, unchecked: int = 0) -> dict[str, Any]:
    """What a selection (column doc_id) repeats of a target: documents, items, names of some, items not looked for."""
    hit = marked.join(selected.select("doc_id"), on="doc_id", how="semi").sort("doc_id")
    items = hit["overlap_items"].explode(empty_as_null=False).unique().sort().to_numpy()
    return {
        "documents": len(hit),
        "items": len(items),
        "names": suite.names.gather(items[:MOST_NAMED]).to_list(),
        "items_unchecked": unchecked,
        "first_document": hit["doc_id"][0].hex() if len(hit) else None,
    }
