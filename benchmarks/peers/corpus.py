"""The benchmark's input: text that every machine has, with near-duplicates planted at stated similarities.

Documents are the text files of this Python's standard library and site-packages, in an order keyed by their path.
A planted copy replaces each word of its original with probability p by another word of the pool. A word 5-gram
survives with probability (1-p)^5 = s, and J = s / (2 - s), so p = 1 - (2 J / (1 + J))^(1/5). Short texts scatter
around the stated J; what counts for scores is the exact value, which `truth.py` computes for all pairs.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import WORD

SUFFIXES = (".py", ".pyi", ".md", ".rst", ".txt")
NAMES = ("METADATA", "LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One copy: its id, the id of its original, and the similarity it was made for."""

    copy: str
    original: str
    level: float


def replacement_share(jaccard: float, n: int = 5) -> float:
    """Probability of replacing a word that gives word n-grams of this Jaccard index on average."""
    return 1 - (2 * jaccard / (1 + jaccard)) ** (1 / n)


def altered(text: str, share: float, vocabulary: list[str], rng: np.random.Generator) -> str:
    """The text with about `share` of its words replaced; everything between words stays."""
    pieces, end = [], 0
    words = list(WORD.finditer(text))
    chosen = np.flatnonzero(rng.random(len(words)) < share)
    with_words = rng.integers(len(vocabulary), size=len(chosen))
    for place, word in zip(chosen, with_words, strict=True):
        match = words[place]
        pieces += [text[end : match.start()], vocabulary[word]]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def pool_files() -> list[Path]:
    """Text files of 512 bytes to 200 kB, in an order that depends on their path below the installation alone."""
    paths = sysconfig.get_paths()
    library, site = Path(paths["stdlib"]), Path(paths["purelib"])
    found = [(p, library) for p in library.rglob("*") if not {"site-packages", "pydoc_data"} & set(p.parts)]
    found += [(p, site) for p in site.rglob("*")]
    wanted = [
        (p, root)
        for p, root in found
        if (p.suffix in SUFFIXES or p.name.startswith(NAMES)) and p.is_file() and 512 <= p.stat().st_size <= 200_000
    ]
    wanted.sort(key=lambda item: _key(item[0].relative_to(item[1]).as_posix()))
    return [p for p, _ in wanted]


def build(megabytes: float, target: Path, *, share: float = 0.2, seed: int = 1) -> list[Planted]:
    """Write about `megabytes` of JSONL {"name", "text"}; `share` of the documents are planted copies.

    Raises: SystemExit where the installation holds less text than asked for.
    """
    base, size = [], 0
    budget = megabytes * 1e6 * (1 - share)
    for path in pool_files():
        if size >= budget:
            break
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        base.append((f"d{len(base):07d}", text))
        size += len(text.encode())
    if size < budget:
        raise SystemExit(f"this installation holds {size / 1e6:.0f} MB of text, {budget / 1e6:.0f} MB are needed")
    vocabulary = sorted({word for _, text in base[::50] for word in WORD.findall(text)})
    originals = [item for item in base if len(item[1]) >= 1000]
    count = round(len(base) * share / (1 - share))
    rng = np.random.default_rng(seed)
    picks = rng.choice(len(originals), size=min(count, len(originals)), replace=False)
    planted, texts = [], list(base)
    for number, pick in enumerate(picks):
        level = LEVELS[number % len(LEVELS)]
        name, text = originals[pick]
        copy = f"p{number:07d}"
        own = np.random.default_rng([seed, number])
        texts.append((copy, altered(text, replacement_share(level), vocabulary, own)))
        planted.append(Planted(copy=copy, original=name, level=level))
    texts.sort(key=lambda item: _key(item[0]))
    with target.open("w", encoding="utf-8") as sink:
        for name, text in texts:
            sink.write(json.dumps({"name": name, "text": text}, ensure_ascii=False) + "\n")
    return planted


def head(source: Path, megabytes: float, target: Path) -> None:
    """The first documents of `source` up to `megabytes`: the smaller input for slow tools, the same for all."""
    size = 0
    with source.open("rb") as lines, target.open("wb") as sink:
        for line in lines:
            if size >= megabytes * 1e6:
                break
            sink.write(line)
            size += len(line)
