"""A mixed pool of about 10 MB and two held-out targets from the data packs, with columns of random numbers.

Sources: peps, BBC news, chat logs, German laws, C++ documentation, an astronomy textbook, Reuters, Wikitext-2; of peps and
news a part is held out by file. Every row has `u0`, `u1`, ...: numbers that know nothing of the text, for selections whose
truth is that they do nothing; and `pep`, 1 for what resembles the first target and 0 for the rest, for planted effects.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pack_texts import documents, pieces

SETS = {
    "peps": ("text_peps", r"/pep-\d+\.(rst|txt)$"),
    "bbc": ("text_bbc", r"/data_files/.*\.txt$"),
    "chat": ("text_irc", r"\.ascii\.txt$"),
    "laws": ("text_gesetze", r"/index\.md$"),
    "cppdocs": ("text_cppdocs", r"\.md$"),
    "astronomy": ("text_openstax_bio_etc", r"/modules/.*\.cnxml$"),
}
HELD = ("peps", "bbc")
MOST, MOST_HELD = 1_500_000, 500_000  # bytes of one source in the pool, and of a target
COLUMNS = 108  # of random numbers


def build(packs: Path, folder: Path) -> dict[str, int]:
    """Bytes by file and source; writes pool.jsonl, held_peps.jsonl and held_bbc.jsonl, always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    rows: dict[str, list[dict[str, str]]] = {"pool": [], **{f"held_{name}": [] for name in HELD}}
    for source, module, text in (*_plain(packs), *_reuters(packs), *_wiki(packs)):
        held = source in HELD and hashlib.blake2b(f"{module}x".encode(), digest_size=1).digest()[0] < 64
        name = f"held_{source}" if held else "pool"
        key = f"{name}/{source}"
        if sizes.get(key, 0) < (MOST_HELD if held else MOST):
            sizes[key] = sizes.get(key, 0) + len(text.encode())
            rows[name].append({"text": text, "source": source})
    numbers = np.random.Generator(np.random.Philox(key=7)).random((len(rows["pool"]), COLUMNS))
    for row, drawn in zip(rows["pool"], numbers.tolist(), strict=True):
        row |= {"pep": float(row["source"] == "peps"), **{f"u{i}": value for i, value in enumerate(drawn)}}  # type: ignore[dict-item]
    for name, found in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return sizes


def _plain(packs: Path) -> Iterator[tuple[str, str, str]]:
    for row in documents(packs, SETS):
        yield row["source"], row["module"], row["text"]


def _reuters(packs: Path) -> Iterator[tuple[str, str, str]]:
    with tarfile.open(packs / "text_reuters_sgm.tar.xz") as archive:
        for member in archive:
            if member.name.endswith(".sgm"):
                raw = archive.extractfile(member).read().decode("latin-1")  # type: ignore[union-attr]
                for body in re.findall(r"<BODY>(.*?)</BODY>", raw, flags=re.DOTALL):
                    if len(body) >= 400:
                        yield "reuters", member.name, body.replace("&lt;", "<").strip()


def _wiki(packs: Path) -> Iterator[tuple[str, str, str]]:
    with tarfile.open(packs / "text_wikitext2.tar.xz") as archive:
        for member in archive:
            if member.name.endswith("wikitext-2/test.txt"):
                raw = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
                for article in re.split(r"\n (?== [^=])", raw):
                    for piece in pieces(article.replace("\n", "\n\n")):
                        yield "wiki", member.name, piece
