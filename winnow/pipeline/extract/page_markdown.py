"""Formulas, code, tables and images of a page as text in their places, before an extractor reads it.

    <math>, KaTeX, MathJax, formula images   $TeX$, in display $$TeX$$
    <pre>                                    a fenced block, with its language where the page names it
    <table> of data                          rows `| a | b |` with a rule below the first
    <img>                                    ![alt](src)

The page stays a page: what is put in is escaped, and code and rows keep their `pre`, `table`, `tr` and `td`. Each kind
is one pass over the tags.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from winnow.pipeline.extract.page_formulas import formulas
from winnow.pipeline.extract.page_tags import Tag, attributes, pieces, plain, spliced, tags_of

FORMULAS, CODE, TABLES, IMAGES = KINDS = ("formulas", "code", "tables", "images")
MATH = "math"  # stands for the first three
LONGEST_CELL, WIDEST, SPANNED = 500, 100, 20  # characters and columns beyond which it is a layout; columns of one cell
_TRIGGER = {CODE: "<pre", TABLES: "<table", IMAGES: "<img"}
_LANGUAGE = re.compile(r"(?:^|[\s;])(?:language|lang|brush|highlight-source|sourceCode)[-:\s]\s*([\w+#.-]{1,30})")
_GUTTER = re.compile(r"(?:^|\s)(?:gutter|linenos?|line-?numbers?|rouge-gutter|blob-num|ln)(?:$|\s)", re.IGNORECASE)
_BREAKS = ("div", "p", "li", "tr")  # in code: a line of its own
_LAYOUT = ("table", "pre", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "form", "article", "section", "iframe")
_LINE_REFERENCE = re.compile(r"&#(?:0*10|x0*a);?", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s]+")


def marked(page: str, kinds: Sequence[str], *, paragraphs: bool = False) -> tuple[str, dict[str, int]]:
    """The page with these kinds as text, and how many of each were written. Cost: one pass per kind that occurs.

    `paragraphs`: rows are paragraphs and no table is left, for extractors that write tables in their own way.
    """
    low, counts = page.lower(), {}
    if FORMULAS in kinds:
        page, counts[FORMULAS] = formulas(page, low)
    tables = functools.partial(_tables, paragraphs=paragraphs)
    for kind, changed in ((CODE, _code), (IMAGES, _images), (TABLES, tables)):
        if kind in kinds:
            changes = list(changed(page)) if _TRIGGER[kind] in low else []
            page, counts[kind] = spliced(page, changes), sum(1 for one in changes if one[2])
    return page, counts


def _outermost(tags: Sequence[Tag], name: str) -> Iterator[tuple[int, Tag]]:
    """(number, start tag) of elements that end, none of them inside another."""
    behind = -1
    for i, tag in enumerate(tags):
        if tag.name == name and not tag.closing and tag.end >= 0 and i > behind:
            behind = tag.end
            yield i, tag


def _code(page: str) -> Iterator[tuple[int, int, str]]:
    tags = tags_of(page, ("pre",))
    for _, tag in _outermost(tags, "pre"):
        inner = page[tag.stop : tags[tag.end].start]
        code, language = _lines(inner)
        if _NUMBERS.fullmatch(code) and "\n" in code.strip():
            yield tag.start, tags[tag.end].stop, ""  # the numbers of lines beside code
        elif code.strip():
            named = _LANGUAGE.search(attributes(tag.inside).get("class", ""))
            language = named[1] if named else language
            fence = "```" if "```" not in code else "`````"
            yield tag.stop, tags[tag.end].start, f"{fence}{html.escape(language)}\n{code}\n{fence}"


def _lines(markup: str) -> tuple[str, str]:
    """(code of a `pre`, its language by the first class inside that names one): tags gone, line breaks kept."""
    out: list[str] = []
    language, skipped, deep = "", "", 0
    for text, tag in pieces(_LINE_REFERENCE.sub("\n", markup.replace("\r\n", "\n").replace("\r", "\n"))):
        if not skipped:
            out.append(text)
        if tag is None:
            continue
        if skipped:
            deep += (1 - 2 * tag.closing) * (tag.name == skipped)
            skipped = skipped if deep else ""
        elif not tag.closing:
            said = attributes(tag.inside).get("class", "")
            if said and _GUTTER.search(said) and tag.name in ("td", "span", "div", "a"):
                skipped, deep = tag.name, 1
            named = None if language else _LANGUAGE.search(said)
            language = named[1] if named else language
        if not skipped and (tag.name == "br" or (tag.closing and tag.name in _BREAKS)) and _open_line(out, tag.name):
            out.append("\n")
    return "".join(out).strip("\n").rstrip(), language


def _open_line(out: Sequence[str], name: str) -> bool:
    """Whether an element's end is not at the end of a line already."""
    return name == "br" or not (out and next((part for part in reversed(out[-4:]) if part), "").endswith("\n"))


def _images(page: str) -> Iterator[tuple[int, int, str]]:
    for tag in tags_of(page, ("img",)):
        given = attributes(tag.inside)
        named = (given.get(name, "").strip() for name in ("data-src", "data-original", "data-lazy-src", "src"))
        source = next((url for url in named if url and not url.lower().startswith("data:")), "")
        if source and not {given.get("width"), given.get("height")} & {"0", "1"}:
            alt = " ".join(given.get("alt", "").replace("[", " ").replace("]", " ").split())
            said = f"![{alt}]({quote(source, safe='/:?#@!$&*+,;=%~.-_')})"
            yield tag.start, tag.stop, f" {html.escape(said, quote=False)} "


def _tables(page: str, *, paragraphs: bool) -> Iterator[tuple[int, int, str]]:
    tags = tags_of(page, ("tr", "td", "th", "caption", *_LAYOUT))
    before, after = ("<p>", "</p>") if paragraphs else ("<tr><td>", "</td></tr>")
    for i, tag in enumerate(tags):
        if tag.name != "table" or tag.closing or tag.end < 0:
            continue
        last = next(j for j in range(i + 1, tag.end + 1) if tags[j].name in _LAYOUT)
        if last < tag.end:
            continue  # a layout: what is in it stays, and a table in it is looked at by itself
        rows = _rows(page, tags[i + 1 : last], tags[last].start)
        width = max(map(len, rows), default=0)
        if len(rows) < 2 or not 2 <= width <= WIDEST or any(len(cell) > LONGEST_CELL for row in rows for cell in row):
            continue
        first = next(t.start for t in tags[i + 1 : last] if t.name in ("tr", "td", "th"))
        lines = "".join(f"{before}| {' | '.join(line)} |{after}" for line in (rows[0], ["---"] * width, *rows[1:]))
        if paragraphs:
            above = plain(page[tag.stop : first])
            yield tag.start, tags[last].stop, f"<p>{above}</p>{lines}" if above else lines
        else:
            yield first, tags[last].start, lines


def _rows(page: str, tags: Sequence[Tag], stop: int) -> list[list[str]]:
    """Cells of a table's rows as text; a cell over several columns is followed by empty ones."""
    rows: list[list[str]] = []
    for tag, behind in zip(tags, [*(t.start for t in tags[1:]), stop], strict=True):
        if tag.closing or tag.name == "caption":
            continue
        if tag.name == "tr" or not rows:
            rows.append([])
        if tag.name != "tr":
            span = attributes(tag.inside).get("colspan", "1")
            text = plain(page[tag.stop : behind]).replace("|", "\\|")
            rows[-1] += [text, *[""] * (min(int(span[:4]), SPANNED) - 1 if span.isascii() and span.isdigit() else 0)]
    return [row for row in rows if row]


__all__ = ["KINDS", "MATH", "marked"]
