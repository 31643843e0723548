"""Web pages with known main text, from the data packs, and how near a text comes to it."""

from __future__ import annotations

import gzip
import json
import logging
import re
import statistics
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

TOKEN = re.compile(r"\w+")
TWO_PART = ("co.uk", "com.au", "co.nz", "co.in", "org.uk", "com.br")


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page; `gold` is its main text, or of the pack trafilatura `has` and `lacks` are snippets of it."""

    pack: str
    key: str
    site: str
    html: str
    gold: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


def decoded(data: bytes) -> str:
    """UTF-8, or what its bytes look like."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding

        return str(bytes_to_str(data, detect_encoding(data)))


def site_of(url: str) -> str:
    """The last two labels of a host; three where the last two are common to many."""
    labels = re.sub(r"^\w+://", "", url).split("/")[0].lower().split(":")[0].split(".")
    return ".".join(labels[-3:] if ".".join(labels[-2:]) in TWO_PART else labels[-2:])


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]


def scrapinghub(packs: Path) -> Iterator[Page]:
    files = unpacked(packs / "html_scrapinghub.tar.xz")
    at = next(name for name in files if name.endswith("ground-truth.json")).rpartition("/")[0]
    for key, row in sorted(json.loads(files[f"{at}/ground-truth.json"]).items()):
        html = decoded(gzip.decompress(files[f"{at}/html/{key}.html.gz"]))
        yield Page(pack="scrapinghub", key=key, site=site_of(row["url"]), html=html, gold=row["articleBody"])


def newspaper(packs: Path) -> Iterator[Page]:
    files = unpacked(packs / "html_newspaper.tar.xz")
    for name in sorted(n for n in files if "/data/text/" in n and n.endswith(".txt")):
        page, gold = name.replace("/text/", "/html/").replace(".txt", ".html"), decoded(files[name])
        key = Path(name).stem
        if page in files and gold.strip():
            site = site_of(re.sub(r"\d+$", "", key))
            yield Page(pack="newspaper", key=key, site=site, html=decoded(files[page]), gold=gold)


def llmwebkit(packs: Path) -> Iterator[Page]:
    files = unpacked(packs / "html_llmwebkit.tar.xz")
    for name in sorted(n for n in files if "/groundtruth/" in n and n.endswith(".jsonl")):
        row = json.loads(files[name].splitlines()[0] if files[name].strip() else b"{}")
        if row.get("content", "").strip() and row.get("html", "").strip():
            key = Path(name).stem
            yield Page(pack="llmwebkit", key=key, site=site_of(row["url"]), html=row["html"], gold=row["content"])


def trafilatura(packs: Path) -> Iterator[Page]:
    files = unpacked(packs / "html_trafilatura.tar.xz")
    at = next(name for name in files if name.endswith("tests/evaldata.json")).rpartition("/")[0]
    for url, row in sorted(json.loads(files[f"{at}/evaldata.json"]).items()):
        page = files.get(f"{at}/eval/{row['file']}")
        if page is not None:
            yield Page(pack="trafilatura", key=row["file"], site=site_of(url), html=decoded(page),
                       has=tuple(row["with"]), lacks=tuple(row["without"]))  # fmt: skip


def vouched(packs: Path) -> Iterator[Page]:
    """Pages of the pack trafilatura with that library's text as gold, where it passes every snippet of its own set.

    A text that another extractor read is no gold: pages of it are for training alone.
    """
    import trafilatura as library

    logging.disable(logging.CRITICAL)
    for page in trafilatura(packs):
        text = library.extract(page.html, include_comments=False, deduplicate=False) or ""
        if page.has and all(s in text for s in page.has) and not any(s in text for s in page.lacks):
            yield replace(page, gold=text)


def gold_pages(packs: Path) -> list[Page]:
    return [*scrapinghub(packs), *newspaper(packs), *llmwebkit(packs)]


def _shingles(text: str, n: int = 4) -> Counter[tuple[str, ...]]:
    tokens = TOKEN.findall(text)
    return Counter(s for i in range(max(1, len(tokens) - n + 1)) if (s := tuple(tokens[i : i + n])))


def _matched(gold: str, text: str) -> tuple[float, float, float]:
    """Shares of 4-grams in both, in the text alone and in the gold alone; they add up to 1."""
    a, b = _shingles(gold), _shingles(text)
    tp, fp, fn = (sum(c.values()) for c in (a & b, b - a, a - b))
    total = tp + fp + fn
    return (tp / total, fp / total, fn / total) if total else (0.0, 0.0, 0.0)


def four_gram_f1(pairs: Iterable[tuple[str, str]]) -> tuple[float, float, float]:
    """(F1, precision, recall) of (gold, text) pairs, as scrapinghub's article-extraction-benchmark counts them.

    Multisets of 4-grams of `\\w+` tokens; precision and recall are means over the pages that have any, F1 is of these
    means. Its published outputs give its published figures here.
    """
    precision, recall = [], []
    for gold, text in pairs:
        tp, fp, fn = _matched(gold, text)
        if tp + fp > 0:
            precision.append(tp / (tp + fp))
        if tp + fn > 0:
            recall.append(tp / (tp + fn))
    p, r = statistics.mean(precision or [0.0]), statistics.mean(recall or [0.0])
    return (2 * p * r / (p + r) if p + r else 0.0), p, r


def snippet_f1(pairs: Sequence[tuple[Page, str]]) -> tuple[float, float, float]:
    """(F1, precision, recall) over snippets that a page's text must have, and must not have."""
    tp = sum(s in text for page, text in pairs for s in page.has)
    fp = sum(s in text for page, text in pairs for s in page.lacks)
    wanted = sum(len(page.has) for page, _ in pairs)
    p, r = tp / max(1, tp + fp), tp / max(1, wanted)
    return (2 * p * r / (p + r) if p + r else 0.0), p, r
