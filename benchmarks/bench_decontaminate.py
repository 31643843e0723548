"""Near copies found and unrelated texts dropped by `near`, and the speed of the search; one JSON object out.

    python benchmarks/bench_decontaminate.py [--items 400] [--mb 32] [--files 'GLOB' --pool 'GLOB']

Items are paragraphs of 13 to 120 words of one half of the Python language reference, the unrelated pool is the .py, .rst,
.txt and .md files of this Python installation without that reference, in pieces of 4,000 characters; or paragraphs and
pieces of files of your own. A near copy is an item with every tenth word changed, between other text. Pieces that hold 13
words of an item in a row are no unrelated text and are left out. CPU seconds; one thread.
"""

from __future__ import annotations

import argparse
import glob
import json
import pydoc_data.topics
import random
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.words.protected import Protected, Protection
from winnow.pipeline.read.python_topics import halves

NEARS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
SUFFIXES = (".py", ".rst", ".txt", ".md")


def read(paths: list[Path], megabytes: float) -> list[str]:
    """Pieces of 4,000 characters of the files, up to so many bytes."""
    out: list[str] = []
    for path in paths:
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        out += [text[i : i + 4000] for i in range(0, len(text), 4000)]
        if sum(map(len, out[-1000:])) and len(out) * 4000 > megabytes * 1e6:
            break
    return out


def paragraphs(texts: list[str], count: int, draw: random.Random) -> list[str]:
    """Paragraphs of 13 to 120 words, each once."""
    found = sorted({p.strip() for text in texts for p in text.split("\n\n") if 13 <= len(p.split()) <= 120})
    return draw.sample(found, min(count, len(found)))


def changed(text: str, draw: random.Random, every: int = 10) -> str:
    """Every tenth word another one."""
    first = draw.randrange(every)
    return " ".join(f"zq{draw.randrange(10**6)}" if i % every == first else w for i, w in enumerate(text.split()))


def matching(pattern: str) -> list[Path]:
    """The files of a pattern."""
    return [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - an absolute pattern


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--mb", type=float, default=32)
    parser.add_argument("--files", default="")
    parser.add_argument("--pool", default="")
    asked = parser.parse_args()
    draw = random.Random(1)
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    own = [p for root in roots for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES and "pydoc_data" not in p.parts]
    named = matching(asked.pool) if asked.pool else own
    held = [p.read_text("utf-8", "replace") for p in matching(asked.files)]
    items = paragraphs(held or list(halves(pydoc_data.topics.topics)["b"].values()), asked.items, draw)
    pool = read(named, asked.mb)
    series, texts = pl.Series(items), pa.array(pool, pa.large_string())
    runs = Protected(items=series, protection=Protection(near=0.0)).find(texts)
    strange = np.diff(runs.offsets) == 0
    copies = pa.array([f"{draw.choice(pool)[:500]} {changed(item, draw)}" for item in items], pa.large_string())
    table: list[dict[str, Any]] = []
    for near in NEARS:
        protected = Protected(items=series, protection=Protection(near=near))
        hits = protected.find(copies)
        own_item = [i in hits.items[hits.offsets[i] : hits.offsets[i + 1]] for i in range(len(items))]
        started = time.process_time()
        found = protected.find(texts)
        seconds = time.process_time() - started
        dropped = (np.diff(found.offsets) > 0) & strange
        table.append({"near": near, "near_copies_found": float(np.mean(own_item)), "unrelated_dropped": int(dropped.sum()),
                      "mb_per_cpu_s": round(sum(map(len, pool)) / 1e6 / seconds, 1)})  # fmt: skip
    facts = {"items": len(items), "pool": int(strange.sum()), "pool_mb": round(sum(map(len, pool)) / 1e6, 1)}
    sys.stdout.write(json.dumps({**facts, "near": table}) + "\n")


if __name__ == "__main__":
    main()
