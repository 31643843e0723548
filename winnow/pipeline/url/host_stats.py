"""How much of a corpus comes from each site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Fold, Schema
from winnow.core.terminal import percent
from winnow.pipeline.url.url_parts import check_text

_SHOWN = 20  # sites in the metrics
_LARGE = 0.2  # share of the documents that one site has, from which that is remarked


@dataclass(frozen=True, kw_only=True)
class HostStats(Fold):
    """Of the site of every document: `host_documents`, `host_bytes` of text and, with `tokens`, `host_tokens`.

    Sites are the values of `column`, the registered domains of `url_parts`. The metrics hold the number of sites, the
    20 largest with their documents, and the effective number of sites (the inverse of the sum of squared shares).
    Null where a document has no site.

    Cost: one pass over the columns; about 100 bytes of memory per site.
    Source: own
    """

    name: ClassVar[str] = "host_stats"
    role: ClassVar[str] = "signal"
    at_once: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("column",)

    column: str = "url_domain"
    tokens: bool = False  # also count `token_count`

    def validate(self) -> None:
        """Raise ConfigError without a column."""
        if not self.column:
            raise ConfigError("no column", where="column", hint="`url_domain`, or `url_host`")

    def needs(self) -> tuple[str, ...]:
        """The site, and what is counted."""
        return (self.column, "text_bytes", *(("token_count",) if self.tokens else ()))

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column holds no text."""
        check_text(types, self.column)

    def outputs(self) -> Schema:
        """Sums over the corpus."""
        sums = ("host_documents", "host_bytes", *(("host_tokens",) if self.tokens else ()))
        return {name: pa.int64() for name in sums}

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """Site -> its sums in this part."""
        sums = [
            pl.lit(1, dtype=pl.Int64).alias("host_documents"),
            pl.col("text_bytes").cast(pl.Int64).alias("host_bytes"),
        ]
        sums += [pl.col("token_count").cast(pl.Int64).fill_null(0).alias("host_tokens")] if self.tokens else []
        return self.merge([rows.select(pl.col(self.column).alias("site"), *sums).drop_nulls("site")])

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Summed."""
        return pl.concat(summaries).group_by("site").agg(pl.exclude("site").sum()).sort("site")

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """The sums; the largest sites are noted."""
        documents = int(summary["host_documents"].sum())
        ctx.note("sites", summary.height)
        if not documents:
            ctx.remark(f"no document has a {self.column!r}: look at `url_problem` of `url_parts`")
            return summary, True
        largest = summary.sort("host_documents", "site", descending=[True, False]).head(_SHOWN)
        ctx.note("largest", dict(largest.select("site", "host_documents").iter_rows()))
        squares = sum(int(n) ** 2 for n in summary["host_documents"])
        ctx.note("effective_sites", round(documents**2 / squares, 3))
        name, most = largest.row(0)[:2]
        ctx.note(
            "summary", f"{summary.height:,} sites, largest {name} with {percent(most / documents)} of the documents"
        )
        if summary.height > 1 and most > _LARGE * documents:
            ctx.remark(f"{name} has {most:,} of {documents:,} documents ({percent(most / documents)}): `quota` or a "
                       "clause over `host_documents` bounds it")  # fmt: skip
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The sums of every row's site."""
        site = rows.select(pl.col(self.column).alias("site"))
        return site.join(state, on="site", how="left", maintain_order="left").select(list(self.outputs()))
