"""Documents of the data packs with what people know of them: editions of a book, laws, pages of a manual, news agencies."""

from __future__ import annotations

import gzip
import html
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

Row = dict[str, str]  # id, text, group: documents of one group are one thing


def members(packs: Path, pack: str, pattern: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of a pack whose name matches."""
    with tarfile.open(packs / f"{pack}.tar.xz") as archive:
        for member in archive:
            if member.isfile() and re.search(pattern, member.name):
                yield member.name, archive.extractfile(member).read()  # type: ignore[union-attr]


def plain(packs: Path, pack: str, pattern: str) -> Iterator[Row]:
    """One document per file, each a group of its own."""
    for name, raw in members(packs, pack, pattern):
        yield {"id": name, "text": raw.decode("utf-8", "replace"), "group": name}


def bbc(packs: Path) -> Iterator[Row]:
    """News of the BBC."""
    return plain(packs, "text_bbc", r"\d+\.txt$")


def laws(packs: Path) -> Iterator[Row]:
    """German federal laws."""
    return plain(packs, "text_gesetze", r"index\.md$")


def manual(packs: Path) -> Iterator[Row]:
    """Pages of a C++ manual."""
    return plain(packs, "text_cppdocs", r"docs/.*\.md$")


def reuters(packs: Path) -> Iterator[Row]:
    """Stories of Reuters-21578 as they went over the wire."""
    for name, raw in members(packs, "text_reuters_sgm", r"\.sgm$"):
        for number, body in enumerate(re.findall(r"<BODY>(.*?)</BODY>", raw.decode("latin-1"), flags=re.DOTALL)):
            key = f"{name}:{number}"
            yield {"id": key, "text": html.unescape(body), "group": key}


def editions(packs: Path) -> Iterator[Row]:
    """Books of Project Gutenberg in several editions; a book is a group."""
    for name, raw in members(packs, "text_gutenberg", r"\.txt$"):
        if "SOURCE" not in name:
            yield {"id": name, "text": raw.decode("utf-8", "replace"), "group": name.split("/")[1]}


def extracted(packs: Path) -> Iterator[Row]:
    """News pages by three extractors; a page is a group."""
    from winnow.pipeline.extract.main_text import MainText
    from winnow.pipeline.extract.resiliparse_ import Resiliparse
    from winnow.pipeline.extract.trafilatura_ import Trafilatura

    ways = {one.name: one.extractor() for one in (MainText(), Resiliparse(), Trafilatura())}
    for name, raw in members(packs, "html_scrapinghub", r"\.html\.gz$"):
        page = gzip.decompress(raw).decode("utf-8", "replace")
        for way, extract in ways.items():
            yield {"id": f"{name}:{way}", "text": extract(page) or "", "group": name}


SETS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "news of the BBC": ("news", bbc),
    "Reuters, 1987": ("news", reuters),
    "German laws": ("apart", laws),
    "pages of a C++ manual": ("apart", manual),
    "editions of four books": ("one", editions),
    "pages by three extractors": ("one", extracted),
}
