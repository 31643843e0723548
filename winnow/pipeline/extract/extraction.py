"""What every extractor shares: the pages it reads, the text it gives, pages it is not given, and what is counted."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ArrowColumns, Context, Schema
from winnow.core.operators.budget import parse_bytes
from winnow.core.operators.contract import Meaning
from winnow.core.operators.retext import Retext, asked_of, whole_texts
from winnow.core.terminal import percent
from winnow.pipeline.extract.page_markdown import KINDS, MATH, marked

WRITTEN = "written:"  # counts of formulas, code, tables, images that `markdown` wrote
NO_PAGE, NOTHING, TOO_LARGE, TOO_DEEP = "no_page", "nothing_found", "too_large", "too_deep"  # names of counts
DEEPEST = 1000  # nested elements that extractors are given: browsers stop at 512, and some of these are quadratic in it
HTML = "html"
_TITLE = r"(?is)<title(?:\s[^>]{0,500})?>([^<]{1,1000})"
_SPACE = re.compile(r"\s+")

Extract = Callable[[str], str | None]  # a page -> its main text; None or "" where it has none


@dataclass(frozen=True, kw_only=True)
class Extraction(Retext):
    """Fields and columns that extractors have in common: a page in, its main text as the text of the document out.

    Source: own.
    """

    role: ClassVar[str] = "extractor"
    whole: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("html",)
    meaning: ClassVar[Mapping[str, Meaning]] = {"html": "columns", "max_page": "closed", "markdown": "closed"}
    own_tables: ClassVar[bool] = False  # True: it writes tables in its own way, so that it is given their rows as text
    batch_rows: ClassVar[int | None] = 64  # a batch that fails is tried in halves: not too many pages twice

    html: str = ""  # the column that holds pages; "": `html` where there is one, else the text of a reader of pages
    max_page: str = "20MB"  # a larger page is not given to the extractor, and counted
    markdown: tuple[str, ...] = ()  # kept as Markdown has them: formulas, code, tables, images; math: the first three

    def __post_init__(self) -> None:
        """One kind may be given as a text, and `math` stands for three."""
        said = (self.markdown,) if isinstance(self.markdown, str) else tuple(self.markdown or ())
        wanted = {kind for one in said for kind in (KINDS[:3] if one == MATH else (one,))}
        known = tuple(kind for kind in KINDS if kind in wanted)
        object.__setattr__(self, "markdown", (*known, *sorted(wanted - {*KINDS})))

    def settled(self, columns: Collection[str], *, pages: bool) -> Self:
        """With the column of pages said. Raises: ConfigError where nothing says what holds them."""
        if self.html:
            return self
        if HTML not in columns and not pages:
            hint = "`html: COLUMN` names the column that holds them, `html: text` the text itself"
            raise ConfigError("the documents are of a reader of texts, not of pages", where="html", hint=hint)
        return replace(self, html=HTML if HTML in columns else "text")

    def beside(self) -> tuple[str, ...]:
        """The pages."""
        return (self.html or "text",)

    def measures(self) -> Schema:
        """`title`: what the page calls itself, null where it does not."""
        return {"title": pa.large_string()}

    def validate(self) -> None:
        """Raises: ConfigError where `max_page` is no size, and for an unknown kind of `markdown`."""
        parse_bytes(self.max_page)
        for kind in self.markdown:
            if kind not in KINDS:
                hint = did_you_mean(kind, (*KINDS, MATH))
                raise ConfigError(f"nothing on a page is called {kind!r}", where="markdown", hint=hint)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the pages are no text."""
        kind = types.get(self.beside()[0], pa.large_string())
        if not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
            hint = "the readers `warc` and `html_files` decode pages; name the column that holds them: `html: column`"
            raise ConfigError(f"{self.html!r} is {kind}, not pages as text", where="html", hint=hint)

    def extractor(self) -> Extract:
        """Build what is heavy and return page -> main text. What it raises is counted against its page alone."""
        raise NotImplementedError

    def extractor_of(self, ctx: Context) -> Extract:
        """`extractor`, where references decide nothing."""
        return self.extractor()

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch of pages -> main text and title, one page at a time; what was not extracted is counted."""
        extract, largest, column = self.extractor_of(ctx), parse_bytes(self.max_page), self.beside()[0]

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            pages = pl.Series(batch.column(column), dtype=pl.String)
            ctx.count(NO_PAGE, pages.null_count())
            given = _given(pages, largest, ctx)
            ready = [self._marked(page, ctx) if page is not None else None for page in given.to_list()]
            texts = [extract(page) or None if page is not None else None for page in ready]
            ctx.count(NOTHING, sum(1 for page, text in zip(given, texts, strict=True) if page and text is None))
            made = whole_texts(pa.array(texts, pa.large_string()))
            title = titles(pages).to_arrow(compat_level=pl.CompatLevel.oldest())
            return pa.record_batch({**made, "title": title})

        return columns

    def _marked(self, page: str, ctx: Context) -> str:
        """The page with formulas, code, tables and images as text, where they are asked for; they are counted."""
        if not self.markdown:
            return page
        page, found = marked(page, self.markdown, paragraphs=self.own_tables)
        for kind, number in found.items():
            ctx.count(WRITTEN + kind, number)
        return page

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Pages that no text was found in, or that were not tried, what no page has, and that documents are empty."""
        asked = asked_of(counts)
        lacking = [kind for kind in self.markdown if not counts.get(WRITTEN + kind, 0)]
        asks = f"`markdown` asks for {' and '.join(lacking)}"
        none = f"{asks}, which none of {asked:,} pages has: leave it out where none is due"
        said = {
            NO_PAGE: f"are null in {self.beside()[0]!r}: there is no answer for them, and their text is empty",
            TOO_LARGE: f"are larger than max_page ({self.max_page}) and were not read: raise it",
            TOO_DEEP: f"nest more than {DEEPEST:,} elements and were not read: they are made to break readers",
            NOTHING: "have no main text that this extractor finds: look at them with `winnow sample`, or try another",
        }
        least = {NO_PAGE: 1, TOO_LARGE: 1, TOO_DEEP: 1, NOTHING: max(1, asked // 10)}
        told = (
            f"{n:,} of {asked:,} pages ({percent(n / asked)}) {words}"
            for name, words in said.items()
            if asked and (n := counts.get(name, 0)) >= least[name]
        )
        return (*told, *([none] if asked and lacking else []), *super().remarks(counts, metrics))


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
