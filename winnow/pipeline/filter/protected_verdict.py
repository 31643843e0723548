"""What is dropped of documents that hold protected items, and what is told of the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Context, Fold, Schema
from winnow.core.words.protected import Protection, facts_of
from winnow.pipeline.filter.protected_matches import MATCHES, Against, items_of
from winnow.pipeline.filter.semantic_matches import LIKE, Likeness

OUTPUTS: Schema = {"kept": pa.bool_(), **{n: kind for n, kind in MATCHES.items() if n != "contaminated_otherwise"}}
MOST_NAMED = 50
MOST_TASKS = 1000
BY: Schema = {"contaminated_by": pa.large_string()}  # words, text or vectors; null where a document is kept
BY_VECTORS = -1  # in the place of an item: documents that vectors alone find
FOUND = pl.Schema({"item": pl.Int32, "documents": pl.Int64})


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How much of the protected items a document may hold."""

    max_ngrams: int = 0  # documents with more contaminated n-grams are dropped


@dataclass(frozen=True, kw_only=True)
class Verdict(Tolerance, Likeness, Against, Protection, Fold):
    """Documents without protected items are kept; which items were found, and in how many documents, is noted.

    Source: own
    """

    name: ClassVar[str] = "protected_verdict"
    version: ClassVar[int] = 2  # 2: tasks and extent of what was found
    role: ClassVar[str] = "filter"
    texts_of: ClassVar[tuple[str, ...]] = ("against",)

    by_vectors: bool = False

    def needs(self) -> tuple[str, ...]:
        """The matches."""
        return ("doc_id", *MATCHES, *(LIKE if self.by_vectors else ()))

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return outputs_of(self.by_vectors)

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Item -> documents that hold it; those that vectors alone find under `BY_VECTORS`."""
        items = rows["contaminated_items"].drop_nulls().explode(empty_as_null=False)
        found = [pl.DataFrame({"item": items, "documents": 1}, schema=FOUND)]
        if self.by_vectors:
            alone = rows.filter(self._reason() == "vectors").height
            found.append(pl.DataFrame({"item": [BY_VECTORS], "documents": [alone]}, schema=FOUND))
        return self.merge(found)

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed counts."""
        return pl.concat(summaries).group_by("item").agg(pl.col("documents").sum()).match_to_schema(FOUND).sort("item")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The counts; items are named, and what protects nothing is remarked."""
        items = items_of(ctx.ref("against"))
        alone = int(summary.filter(pl.col("item") == BY_VECTORS)["documents"].sum())
        summary = summary.filter(pl.col("item") != BY_VECTORS)
        if self.by_vectors:
            ctx.note("found_by_vectors", alone)
            self._none_by_vectors(alone, ctx)
        facts = facts_of(items["text"], self)
        ctx.note("items", facts | {"items_found": summary.height})
        most = summary.sort(["documents", "item"], descending=[True, False]).head(MOST_NAMED)
        names = items["name"].gather(most["item"])
        ctx.note("found", dict(zip(names.to_list(), most["documents"].to_list(), strict=True)))
        tasks = _by_task(items["task"], summary["item"])
        ctx.note("tasks", dict(list(tasks.items())[:MOST_TASKS]))
        more = f", {alone:,} documents by vectors alone" if self.by_vectors else ""
        ctx.note("summary", f"{summary.height:,} of {facts['items']:,} items found{more}")
        for line in self._unprotected(facts):
            ctx.remark(line)
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Kept, and the matches behind it."""
        clean = (pl.col("contaminated_ngrams") <= self.max_ngrams) & ~pl.col("contaminated_otherwise")
        if self.by_vectors:
            rows = rows.with_columns(self._reason().alias("contaminated_by"))
            clean &= pl.col("contaminated_by").is_null()
        return rows.select(clean.alias("kept"), *(name for name in self.outputs() if name != "kept"))

    def _reason(self) -> pl.Expr:
        """Why a document goes, null where it does not."""
        by_words = pl.when(pl.col("contaminated_ngrams") > self.max_ngrams).then(pl.lit("words"))
        by_text = by_words.when(pl.col("contaminated_otherwise")).then(pl.lit("text"))
        return (
            by_text.when(pl.col("contaminated_similarity") >= self.similarity).then(pl.lit("vectors")).otherwise(None)
        )

    def _none_by_vectors(self, alone: int, ctx: Context) -> None:
        if not alone:
            ctx.remark(f"no document has a similarity of {self.similarity:g} to an item that its words do not tell "
                       "already: look at `contaminated_similarity`, and lower `similarity` if it should")  # fmt: skip

    def _unprotected(self, facts: Mapping[str, Any]) -> list[str]:
        short, empty, all_of = facts["items_too_short"], facts["items_empty"], facts["items"]
        least = min(self.shortest, self.ngram)
        them = "items of `against`"
        lines = []
        if short:
            lines.append(f"{short:,} of {all_of:,} {them} have fewer than {least} words and protect nothing: "
                         "`shortest` looks for shorter ones whole, or give them with their context")  # fmt: skip
        if empty:
            lines.append(f"{empty:,} of {all_of:,} {them} are without a word and protect nothing: look at "
                         "their `text_field`")  # fmt: skip
        return lines


def outputs_of(by_vectors: object) -> Schema:
    """The columns of a verdict, with or without vectors."""
    return {**OUTPUTS, **LIKE, **BY} if by_vectors else OUTPUTS


def _by_task(task: pl.Series, found: pl.Series) -> dict[str, dict[str, int]]:
    """Task -> its items and how many of them were found, the largest share first."""
    rows = pl.DataFrame({"task": task}).with_row_index("item")
    rows = rows.with_columns(found=pl.col("item").cast(pl.Int64).is_in(found.cast(pl.Int64).implode()))
    table = rows.group_by("task").agg(items=pl.len(), found=pl.col("found").sum())
    table = table.sort(pl.col("found") / pl.col("items"), "task", descending=[True, False])
    return {name: {"items": items, "found": found} for name, items, found in table.iter_rows()}
