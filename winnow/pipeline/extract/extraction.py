"""What every extractor shares: the column it reads, those it makes, pages it is not given, and what is counted."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.budget import parse_bytes
from winnow.core.operators.contract import Meaning
from winnow.core.terminal import percent

NOTHING, TOO_LARGE, TOO_DEEP = "nothing_found", "too_large", "too_deep"  # names of counts
DEEPEST = 1000  # nested elements that extractors are given: browsers stop at 512, and some of these are quadratic in it
_TITLE = r"(?is)<title(?:\s[^>]{0,500})?>([^<]{1,1000})"
_SPACE = re.compile(r"\s+")

Extract = Callable[[str], str | None]  # a page -> its main text; None or "" where it has none


@dataclass(frozen=True, kw_only=True)
class Extraction(Map):
    """Fields and columns that extractors have in common.

    Source: own.
    """

    role: ClassVar[str] = "extractor"
    columns_from: ClassVar[tuple[str, ...]] = ("html",)
    meaning: ClassVar[Mapping[str, Meaning]] = {"html": "columns", "output": "free", "max_page": "closed"}
    batch_rows: ClassVar[int | None] = 64  # a batch that fails is tried in halves: not too many pages twice

    html: str = "html"  # the column that holds pages, as text
    output: str = "text"  # the column of the main text
    max_page: str = "20MB"  # a larger page is not given to the extractor, and counted

    def needs(self) -> tuple[str, ...]:
        """The pages."""
        return (self.html,)

    def outputs(self) -> Schema:
        """The main text, null where none was found; `title`, what the page calls itself, null where it does not."""
        return {self.output: pa.large_string(), "title": pa.large_string()}

    def validate(self) -> None:
        """Raises: ConfigError where `max_page` is no size, or `output` no name of a column of its own."""
        parse_bytes(self.max_page)
        if not self.output.isidentifier() or self.output.startswith("_") or self.output in {"title", "state", "kept"}:
            raise ConfigError(f"the text cannot be called {self.output!r}", where="output", hint="text")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the pages are no text."""
        kind = types.get(self.html, pa.large_string())
        if not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
            hint = "the readers `warc` and `html_files` decode pages; name the column that holds them: `html: column`"
            raise ConfigError(f"{self.html!r} is {kind}, not pages as text", where="html", hint=hint)

    def extractor(self) -> Extract:
        """Build what is heavy and return page -> main text. What it raises is counted against its page alone."""
        raise NotImplementedError

    def open(self, ctx: Context) -> Columns:
        """Batch of pages -> main text and title, one page at a time; what was not extracted is counted."""
        extract, largest = self.extractor(), parse_bytes(self.max_page)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            pages = batch[self.html]
            given = _given(pages, largest, ctx)
            texts = [extract(page) or None if page is not None else None for page in given.to_list()]
            ctx.count(NOTHING, sum(1 for page, text in zip(given, texts, strict=True) if page and text is None))
            return pl.DataFrame({self.output: pl.Series(texts, dtype=pl.String), "title": titles(pages)})

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Pages that no text was found in, or that were not tried."""
        asked = counts.get("rows", 0) - counts.get("masked", 0)
        said = {
            TOO_LARGE: f"are larger than max_page ({self.max_page}) and were not read: raise it",
            TOO_DEEP: f"nest more than {DEEPEST:,} elements and were not read: they are made to break readers",
            NOTHING: "have no main text that this extractor finds: look at them with `winnow sample`, or try another",
        }
        least = {TOO_LARGE: 1, TOO_DEEP: 1, NOTHING: max(1, asked // 10)}
        return tuple(
            f"{n:,} of {asked:,} pages ({percent(n / asked)}) {words}"
            for name, words in said.items()
            if asked and (n := counts.get(name, 0)) >= least[name]
        )


def _given(pages: pl.Series, largest: int, ctx: Context) -> pl.Series:
    """The pages that an extractor is given: null where one is too large or too deep."""
    from winnow.core.words.text import utf8_buffers
    from winnow.pipeline.extract.depth_kernels import depths

    large = (pages.str.len_bytes() > largest).fill_null(False)
    if large.any():
        ctx.count(TOO_LARGE, int(large.sum()))
        pages = pages.set(large, None)
    offsets, data = utf8_buffers(pages.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest()))
    deep = pl.Series(depths(offsets, data) > DEEPEST)
    if deep.any():
        ctx.count(TOO_DEEP, int(deep.sum()))
        pages = pages.set(deep, None)
    return pages


def titles(pages: pl.Series) -> pl.Series:
    """What each page calls itself in its first `<title>`: at most 1,000 characters, on one line; null where nothing.

    Cost: one pass up to the title, by an expression that is linear in the page.
    """
    found = pages.str.extract(_TITLE).to_list()
    plain = [_SPACE.sub(" ", entities.unescape(title)).strip() or None if title else None for title in found]
    return pl.Series(plain, dtype=pl.String)
