"""Formulas of a page as TeX between dollars, in their places: MathML, KaTeX, MathJax 2 and 3, images of formulas.

A rendering is replaced whole by what it was made from: the script behind it (MathJax 2), the annotation or the MathML
in it (KaTeX, MathJax 3, wikis), its `data-mathml`, else the words of its image. Where nothing says what it was made
from, it stays. Delimiters that stand in the text (dollars, brackets behind a backslash) stay as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from winnow.pipeline.extract.mathml_tex import folded, tex_of
from winnow.pipeline.extract.page_tags import Tag, attributes, classes, spliced, tags_of

_TRIGGERS = {  # tags to look at -> what a page says, in small letters, that has such formulas
    ("math",): ("<math",),
    ("script",): ("math/tex", "math/mml", "math/asciimath"),
    ("span", "div", "mjx-container", "math", "img"): ("katex", "mathjax", "mjx-", "mwe-math"),
    ("img",): ("latex", "codecogs", "mathtex", "mimetex", "tex.cgi", "cht=tx", "ql-img", 'class="tex', "class='tex",
               'class="math', 'alt="$', "alt='$", 'alt="\\', "alt='\\"),
}  # fmt: skip
_SCRIPT = re.compile(r"math/(tex|mml|asciimath)\b", re.IGNORECASE)
_RENDERED = {
    "katex", "katex-display", "MathJax", "MathJax_Display", "MathJax_SVG", "MathJax_SVG_Display", "MathJax_CHTML",
    "MathJax_Preview", "MathJax_MathML", "MJXc-display", "mjx-chtml", "mwe-math-element",
}  # fmt: skip
_FAMILIES = ("katex", "MathJax", "MJXc", "mjx", "mwe-math")  # one of them is in every name of a class of `_RENDERED`
_WIKI_DISPLAY = "mwe-math-fallback-image-display"
_IN_DISPLAY = {"katex-display", "MathJax_Display", "MathJax_SVG_Display", "MJXc-display", _WIKI_DISPLAY}
_IMAGE_CLASSES = {"latex", "tex", "mwe-math-fallback-image-inline", "mwe-math-fallback-image-display", "mathtex",
                  "ql-img-inline-formula", "ql-img-displayed-equation", "math"}  # fmt: skip
_IMAGE_SOURCE = re.compile(
    r"latex\.php\?|codecogs\.com/|/mathtex\.cgi|/mimetex\.cgi|/media/math/render/|[?&]cht=tx|/tex\.cgi\?", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?:[?&](?:latex|chl|tex)=|\.latex\?|\.cgi\?)([^&]*+(?:&(?:space|amp|plus);[^&]*+)*+)", re.IGNORECASE
)
HOPS = 4  # renderings of one formula that may stand before its script
_DELIMITED = re.compile(r"\s*+(?:\$[^$]++\$|\$\$[^$]++\$\$|\\\(.*\\\)|\\\[.*\\\])\s*+", re.DOTALL)


def formulas(page: str, low: str) -> tuple[str, int]:
    """The page with its formulas as TeX, and how many; `low` is the page in small letters. Cost: one pass."""
    names = {name for names, said in _TRIGGERS.items() if any(words in low for words in said) for name in names}
    changes = list(_changes(page, tags_of(page, names))) if names else []
    return spliced(page, changes), sum(1 for one in changes if one[2])


def _changes(page: str, tags: Sequence[Tag]) -> Iterator[tuple[int, int, str]]:
    behind = -1
    for i, tag in enumerate(tags):
        if tag.closing or i <= behind:
            continue
        found, last = None, i
        if tag.name == "img":
            found = _image(tag)
        elif tag.end >= 0 and tag.name in ("script", "math"):
            found, last = _made(page, tags, tag), tag.end
        elif tag.end >= 0 and (tag.name == "mjx-container" or any(name in tag.inside for name in _FAMILIES)):
            given = attributes(tag.inside)
            if tag.name == "mjx-container" or classes(given) & _RENDERED:
                found, behind = _rendered(page, tags, i, given), tag.end
                last = tag.end
        if found is not None:
            behind = last
            yield tag.start, tags[last].stop, found


def _made(page: str, tags: Sequence[Tag], tag: Tag) -> str | None:
    """What the script of a formula or a `math` becomes; None for other scripts, and where it says nothing."""
    given, inner = attributes(tag.inside), page[tag.stop : tags[tag.end].start]
    if tag.name == "script":
        return _script(given.get("type", ""), inner)
    return _written(tex_of(inner, given), display=given.get("display") == "block")


def _rendered(page: str, tags: Sequence[Tag], i: int, given: dict[str, str]) -> str | None:
    """What a rendering becomes: "" where a script behind it says the same, None where nothing says what it shows."""
    if _script_follows(page, tags, tags[i].end):
        return ""
    display = given.get("display") == "true" or bool(classes(given) & _IN_DISPLAY)
    return _inside(page, tags, i, given, display=display)


def _inside(page: str, tags: Sequence[Tag], i: int, given: dict[str, str], *, display: bool) -> str | None:
    """The formula that a rendering holds: in a script, as MathML, in an attribute, or as an image."""
    last = tags[tags[i].end].start
    data, image = given.get("data-mathml", ""), None
    display = display or _WIKI_DISPLAY in page[tags[i].stop : last]
    for tag in tags[i + 1 : tags[i].end]:
        if tag.closing:
            continue
        own = attributes(tag.inside)
        if tag.name == "script" and tag.end >= 0 and _SCRIPT.search(own.get("type", "")):
            return _script(own["type"], page[tag.stop : tags[tag.end].start])
        tex = tex_of(page[tag.stop : tags[tag.end].start], own) if tag.name == "math" and tag.end >= 0 else ""
        if tex:
            return _written(tex, display=display or own.get("display") == "block")
        data = data or own.get("data-mathml", "")
        image = _image(tag) if tag.name == "img" and image is None else image
    return _of_mathml(data, display=display) if data else image


def _of_mathml(markup: str, *, display: bool) -> str | None:
    """TeX of a whole `<math ...>` as text."""
    head, _, body = markup.strip().partition(">")
    if not head.startswith("<math"):
        return _written(tex_of(markup, {}), display=display)
    given = attributes(head)
    return _written(tex_of(body, given), display=display or given.get("display") == "block")


def _script_follows(page: str, tags: Sequence[Tag], last: int) -> bool:
    """Whether the next thing behind tag number `last`, but for other renderings, is the script of a formula."""
    for _ in range(HOPS):
        if last + 1 >= len(tags):
            return False
        tag = tags[last + 1]
        if tag.closing or tag.end < 0 or page[tags[last].stop : tag.start].strip():
            return False
        given = attributes(tag.inside)
        if tag.name == "script":
            return bool(_SCRIPT.search(given.get("type", "")))
        if not classes(given) & _RENDERED:
            return False
        last = tag.end
    return False


def _script(kind: str, inner: str) -> str | None:
    """What a script of a formula says; None for other scripts."""
    found = _SCRIPT.search(kind)
    if found is None:
        return None
    language, display = found[1].lower(), "mode=display" in kind.replace(" ", "").lower()
    if language == "asciimath":
        return html.escape(f"`{folded(inner)}`", quote=False) if inner.strip() else None
    if language == "mml":
        return _of_mathml(inner, display=display)
    return _written(folded(inner), display=display)


def _image(tag: Tag) -> str | None:
    """TeX of an image of a formula: its words, else its address; None for other images."""
    given = attributes(tag.inside)
    source, alt, names = given.get("src", ""), given.get("alt", "").strip(), classes(given)
    drawn = _IMAGE_SOURCE.search(source)
    if not (drawn or (alt and names & _IMAGE_CLASSES) or _DELIMITED.fullmatch(alt)):
        return None
    query = None if alt else _QUERY.search(source)
    if query:
        alt = unquote(query[1].replace("&space;", " ").replace("&plus;", "+").replace("+", " ")).strip()
    return _written(folded(alt), display=bool(names & _IN_DISPLAY))


def _written(tex: str, *, display: bool) -> str | None:
    if not tex:
        return None
    mark = "$$" if display else "$"
    return html.escape(f"{mark}{tex}{mark}", quote=False)
