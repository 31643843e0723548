"""Pieces of text out of the data packs: sections cut at paragraphs, with their source and file."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

MIN_CHARS, MAX_CHARS = 400, 6000  # of a piece: sections are cut at paragraphs


def pieces(text: str) -> Iterator[str]:
    """Paragraphs joined up to MAX_CHARS; what stays below MIN_CHARS is left out."""
    held = ""
    for paragraph in re.split(r"\n\s*\n", text):
        if held and len(held) + len(paragraph) > MAX_CHARS:
            yield held
            held = ""
        held = f"{held}\n\n{paragraph.strip()}".strip()
    if len(held) >= MIN_CHARS:
        yield held[:MAX_CHARS]


def plain(name: str, raw: str) -> str:
    """The text of a file; CNXML loses its tags, paragraphs stay apart."""
    if not name.endswith(".cnxml"):
        return raw
    body = raw[raw.find("<content") :]
    body = re.sub(r"</(para|title|item|note|section|caption)>", "\n\n", body)
    return re.sub(r"[ \t]+", " ", re.sub(r"<[^>]*>", " ", body))


def documents(packs: Path, sets: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, str]]:
    """One row per piece: text, source, module."""
    for source, (pack, pattern) in sets.items():
        with tarfile.open(packs / f"{pack}.tar.xz") as archive:
            for member in archive:
                if not (member.isfile() and re.search(pattern, "/" + member.name)):
                    continue
                raw = archive.extractfile(member).read().decode("utf-8", "replace")  # type: ignore[union-attr]
                for piece in pieces(plain(member.name, raw)):
                    yield {"text": piece, "source": source, "module": member.name}


def terms(packs: Path, pack: str, pattern: str) -> list[str]:
    """What the target's modules mark as a term, in lower case, each once, in alphabetical order."""
    found: set[str] = set()
    with tarfile.open(packs / f"{pack}.tar.xz") as archive:
        for member in archive:
            if member.isfile() and re.search(pattern, "/" + member.name) and is_target(member.name):
                raw = archive.extractfile(member).read().decode("utf-8", "replace")  # type: ignore[union-attr]
                marked = re.findall(r"<term[^>]*>(.*?)</term>", raw, flags=re.DOTALL)
                found |= {" ".join(re.sub(r"<[^>]*>", " ", term).lower().split()) for term in marked}
    return sorted(found - {""})


def is_target(module: str) -> bool:
    return hashlib.blake2b(module.encode(), digest_size=1).digest()[0] < 128
