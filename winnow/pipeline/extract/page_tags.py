"""The tags of a page that a rewriting asks for, where their elements end, and their attributes: one pass, no tree.

An element ends at the end tag that balances its own name. What scripts, styles and comments hold is no markup. An
element that never ends has no end here either, and whoever rewrites leaves it as it stands.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

# `=` opens a quoted value, in which < and > are text; possessive, so that no byte is tried twice
INSIDE = r"""(?:[^<>=]++|=\s*+"[^"]*+"|=\s*+'[^']*+'|=)*+"""
ANY_TAG = re.compile(rf"<!--.*?-->|<(/?)([a-zA-Z][\w:-]*+)({INSIDE})>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s=/"'>]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
_RAW = ("script", "style", "textarea", "title")
_RAW_END = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in _RAW}


class Tag(NamedTuple):
    """One tag: page[start:stop], and of a start tag the number of the end tag that balances it, else -1."""

    name: str
    closing: bool
    start: int
    stop: int
    inside: str  # what stands behind the name
    end: int = -1


def tags_of(page: str, names: Collection[str]) -> list[Tag]:
    """Tags of these names in order, with their ends; of raw elements both tags, and nothing between. Cost: one pass."""
    wanted = "|".join(sorted({*names, *_RAW}, key=lambda name: (-len(name), name)))
    pattern = re.compile(rf"<!--|<(/?)({wanted})(?=[\s/>])({INSIDE})>", re.IGNORECASE)
    found: list[Tag] = []
    stacks: dict[str, list[int]] = {}
    at = 0
    while (hit := pattern.search(page, at)) is not None:
        at = hit.end()
        if hit[2] is None:
            behind = page.find("-->", at)
            if behind < 0:
                break
            at = behind + 3
            continue
        name = hit[2].lower()
        tag = Tag(name, bool(hit[1]), hit.start(), hit.end(), hit[3])
        if tag.closing:
            if stacks.get(name):
                opened = stacks[name].pop()
                found[opened] = found[opened]._replace(end=len(found))
        else:
            stacks.setdefault(name, []).append(len(found))
            if name in _RAW:
                raw = _RAW_END[name].search(page, at)
                at = raw.start() if raw else len(page)
        found.append(tag)
    return found


def attributes(inside: str) -> dict[str, str]:
    """Names in small letters -> values, character references resolved; of two of one name the first counts."""
    out: dict[str, str] = {}
    for hit in _ATTRIBUTE.finditer(inside):
        out.setdefault(hit[1].lower(), html.unescape(hit[2] or hit[3] or hit[4] or ""))
    return out


def classes(given: dict[str, str]) -> set[str]:
    """The class names among attributes."""
    return set(given.get("class", "").split())


def spliced(page: str, changes: Collection[tuple[int, int, str]]) -> str:
    """The page with page[start:stop] replaced, for changes in order of which none overlaps."""
    out, at = [], 0
    for start, stop, new in changes:
        out += [page[at:start], new]
        at = stop
    return "".join([*out, page[at:]])


def plain(markup: str) -> str:
    """Markup without its tags, white space folded; character references stay as they are."""
    return " ".join(ANY_TAG.sub(" ", markup).split())


def pieces(markup: str) -> Iterator[tuple[str, Tag | None]]:
    """(text, the tag behind it) in order; the last one has no tag. Comments are dropped."""
    at = 0
    for hit in ANY_TAG.finditer(markup):
        if hit[2] is not None:
            yield markup[at : hit.start()], Tag(hit[2].lower(), bool(hit[1]), hit.start(), hit.end(), hit[3])
        elif hit.start() > at:
            yield markup[at : hit.start()], None
        at = hit.end()
    yield markup[at:], None
