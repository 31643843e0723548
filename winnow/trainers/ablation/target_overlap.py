"""Does an arm hold what it is evaluated on? Shared word n-grams, found once per pool and target.

`target_overlap` marks the pool's documents that repeat an item: one pass over the text per target, reused by every
arm and seed. `overlap_of` joins those marks with a selection by doc_id. So a new arm reads no text, and a new
target reads it once.

What an item protects is its context with the right answer. It is found by its runs of 13 words, a shorter one of
at least 8 words as a whole; items of fewer words are too common to tell and are counted as unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, Source, port
from winnow.core.words.hashing import ngram_hashes
from winnow.core.words.text import valid_mask
from winnow.trainers.evaluate.suites import Suite, suite_of

Ints = npt.NDArray[np.int64]
MOST_NAMED = 10
SHORTEST = 8  # words of an item that is looked for


@dataclass(frozen=True, kw_only=True)
class TargetOverlap(MapArrow):
    """How many word n-grams of an evaluation target a document repeats, and of which items.

    Null where the text is null. An n-gram of several items counts for the first of them.

    Cost: one pass of hashing, and one look-up per word for each length of item from `shortest` to `ngram`.
    Source: 13-word overlap as in Brown et al. 2020 (appendix C); whole short items are own
    """

    name: ClassVar[str] = "target_overlap"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "trainer"

    target: str = port("ref", default="")  # rows, or a `target_file`
    ngram: int = 13
    shortest: int = SHORTEST  # items of fewer words are not looked for

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: 1 <= shortest <= ngram does not hold.
        """
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
        tables = _tables(suite_of(ctx.ref("target")), ngram=self.ngram, shortest=self.shortest)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            counts, offsets, items = _found(ngram_hashes(text, 1), tables)
            absent = ~valid_mask(text)
            lists = pa.LargeListArray.from_arrays(
                pa.array(offsets), pa.array(items), mask=pa.array(absent) if absent.any() else None
            )
            return pa.record_batch({"overlap_ngrams": pa.array(counts, mask=absent), "overlap_items": lists})

        return columns


def marked_in(marks: Source) -> pl.DataFrame:
    """The documents that a target's `target_overlap` marks: doc_id, overlap_ngrams, overlap_items."""
    return marks.frame("doc_id", "overlap_ngrams", "overlap_items").filter(pl.col("overlap_ngrams") > 0)


def overlap_of(
    selected: pl.DataFrame, marked: pl.DataFrame, suite: Suite, *, shortest: int = SHORTEST
) -> dict[str, Any]:
    """What a selection (column doc_id) repeats of a target: documents, items, names of some, items not looked for."""
    hit = marked.join(selected.select("doc_id"), on="doc_id", how="semi").sort("doc_id")
    items = hit["overlap_items"].explode(empty_as_null=False).unique().sort().to_numpy()
    words = np.diff(_words(suite)[0])
    return {
        "documents": len(hit),
        "items": len(items),
        "names": suite.names.gather(items[:MOST_NAMED]).to_list(),
        "items_unchecked": int((words < shortest).sum()),
        "first_document": hit["doc_id"][0].hex() if len(hit) else None,
    }


def _words(suite: Suite) -> tuple[Ints, npt.NDArray[np.uint32]]:
    return ngram_hashes(suite.protected.to_arrow(compat_level=pl.CompatLevel.oldest()), 1)


def _tables(suite: Suite, *, ngram: int, shortest: int) -> list[tuple[int, Any, Ints]]:
    """(n, hash table, item of every slot) for each n that some item is looked for by."""
    from winnow.core.words import ngram_kernels as kernels

    offsets, words = _words(suite)
    sizes = np.minimum(np.diff(offsets), ngram)
    out = []
    for n in range(shortest, ngram + 1):
        mine = np.flatnonzero(sizes == n)
        if not len(mine):
            continue
        counts = np.diff(offsets)[mine]
        bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        flat = words[np.repeat(offsets[mine] - bounds[:-1], counts) + np.arange(bounds[-1])]
        hashes = kernels.all_ngrams(bounds, flat, n)
        owner = np.repeat(mine, counts - n + 1)
        distinct, first = np.unique(hashes, return_index=True)
        table = kernels.build_table(distinct)
        owners = np.full(len(table), -1, dtype=np.int64)
        owners[kernels.table_slots(distinct, table)] = owner[first]
        out.append((n, table, owners))
    if not out:
        raise DataError(f"no item of the target has {shortest} words", hint="lower `shortest`")
    return out


def _found(
    hashed: tuple[Ints, npt.NDArray[np.uint32]], tables: list[tuple[int, Any, Ints]]
) -> tuple[npt.NDArray[np.int32], Ints, npt.NDArray[np.int32]]:
    """(n-grams in the tables i32[rows], offsets i64[rows + 1] into items, their distinct items i32[...])."""
    from winnow.core.words import ngram_kernels as kernels

    offsets, words = hashed
    num_rows = len(offsets) - 1
    counts = np.zeros(num_rows, dtype=np.int32)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for n, table, owners in tables:
        mine = kernels.count_members(offsets, words, n, table)
        counts += mine
        if mine.any():
            rows, slots = kernels.member_slots(offsets, words, n, table, int(mine.sum(dtype=np.int64)))
            pairs.append(np.stack((rows, owners[slots]), axis=1))
    distinct = np.unique(np.concatenate(pairs), axis=0)
    ends = np.searchsorted(distinct[:, 0], np.arange(num_rows + 1)).astype(np.int64)
    return counts, ends, distinct[:, 1].astype(np.int32)
