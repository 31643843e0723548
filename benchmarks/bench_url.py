"""Addresses per CPU second: parts and block lists, beside plain Python with `urllib` and `publicsuffixlist`; JSON out.

    python benchmarks/bench_url.py [--urls 200000] [--lists FOLDER]

The addresses are made up: 100,000 sites under seven suffixes, four path segments, a query. The lists are 100,000 of other
made-up names, or UT1 folders of your own. Peers do the same work per address in Python on a tenth of the addresses:
`urlsplit`, the registered domain, and set look-ups of domain, host and address, of words and of substrings. One thread; the
best of five rounds each, in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from publicsuffixlist import PublicSuffixList

from winnow.core.operators import Context
from winnow.pipeline.url.url_list_index import UrlListIndex
from winnow.pipeline.url.url_list_lookup import UrlListLookup
from winnow.pipeline.url.url_parts import UrlParts
from winnow.testing.in_memory import MemorySource

BATCH, ROUNDS, TENTH = 8192, 5, 10
WORDS = ["casino", "sex", "porn", "live", "girls", "free", "bet"]
_SPLIT = re.compile(r"[^a-zA-Z0-9]+")


def addresses(count: int, draw: random.Random) -> list[str]:
    """Made-up addresses of pages."""
    ends = ["com", "co.uk", "de", "org", "github.io", "com.br", "ru"]
    segments = ["news", "2021", "a-b-c", "some-long-title-of-an-article", "x%20y", "index.php", "category"]
    return [
        f"https://{draw.choice(['www.', '', 'blog.', 'en.'])}site{draw.randrange(10**5)}.{draw.choice(ends)}/"
        f"{'/'.join(draw.choices(segments, k=4))}.html?id={i}" for i in range(count)
    ]  # fmt: skip


def by_hand(urls: list[str], names: set[str], psl: PublicSuffixList) -> int:
    """What plain Python finds: listed domains, hosts and addresses, words and substrings."""
    found = 0
    for url in urls:
        host = urlsplit(url).hostname or ""
        words = set(_SPLIT.split(url.lower()))
        squashed = _SPLIT.sub("", url.lower())
        found += (psl.privatesuffix(host) in names or host in names or url in names or any(w in words for w in WORDS)
                  or any(w in squashed for w in WORDS))  # fmt: skip
    return found


def best(work: Callable[[], Any], held: list[float]) -> None:
    """Add the CPU seconds of one round."""
    started = time.process_time()
    work()
    held.append(time.process_time() - started)


def lookup(folder: Path, lists: Path) -> UrlListLookup | Any:
    """The look-up of the lists, open."""
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS))
    index = UrlListIndex(lists=(str(lists),), hard_words=(str(words),), substrings=(str(words),))
    files = sorted(p for p in lists.rglob("*") if p.is_file()) if lists.is_dir() else [lists]
    (folder / "index").mkdir()
    index.run(Context(seed=0, work=folder / "index",
                      refs={"lists": files, "hard_words": [words], "substrings": [words]}))  # fmt: skip
    made = {p.name: p for p in (folder / "index").iterdir()}
    return UrlListLookup(index=".index").open(Context(seed=0, work=folder, refs={"index": MemorySource(paths=made)}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=200_000)
    parser.add_argument("--lists", type=Path)
    asked = parser.parse_args()
    urls = addresses(asked.urls, random.Random(1))
    batches = [pa.record_batch({"url": pa.array(urls[i : i + BATCH], pa.large_string())})
               for i in range(0, len(urls), BATCH)]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = {f"other{i}.com" for i in range(100_000)}
        (folder / "blocked.txt").write_text("\n".join(names))
        parts = UrlParts().open(Context(seed=0, work=folder))
        lists = lookup(folder, asked.lists or folder / "blocked.txt")
        psl, some = PublicSuffixList(), urls[: len(urls) // TENTH]
        works: dict[str, tuple[Callable[[], Any], int]] = {
            "url_parts": (lambda: [parts(b) for b in batches], len(urls)),
            "url_lists": (lambda: [lists(b) for b in batches], len(urls)),
            "python_domain": (lambda: [psl.privatesuffix(urlsplit(u).hostname or "") for u in some], len(some)),
            "python_lists": (lambda: by_hand(some, names, psl), len(some)),
        }
        parts(batches[0]), lists(batches[0])
        held: dict[str, list[float]] = {key: [] for key in works}
        for _ in range(ROUNDS):
            for key, (work, _) in works.items():
                best(work, held[key])
    rates = {key: round(many / min(held[key]) / 1e6, 3) for key, (_, many) in works.items()}
    sys.stdout.write(json.dumps({"urls": len(urls), "million_per_cpu_s": rates}) + "\n")


if __name__ == "__main__":
    main()
