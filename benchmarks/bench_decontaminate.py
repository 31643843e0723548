"""Near copies found and unrelated texts dropped by `near`, and the speed of the search; one JSON object out.

    python benchmarks/bench_decontaminate.py [--items 400] [--mb 32] [--files 'GLOB' --pool 'GLOB']
    python benchmarks/bench_decontaminate.py --tasks 60 [--evals FOLDER] [--mb 32] [--pool 'GLOB']

Items are paragraphs of 13 to 120 words of one half of the Python language reference, the unrelated pool is the .py, .rst,
.txt and .md files of this Python installation without that reference, in pieces of 4,000 characters; or paragraphs and
pieces of files of your own. A near copy is an item with every tenth word changed, between other text. Pieces that hold 13
words of an item in a row are no unrelated text and are left out. CPU seconds; one thread.

With --tasks the speed alone, against that many evaluation files: those of --evals (JSON Lines; or paragraphs as above, 500 a
file), and beyond them as many files again of the same items with every fourth word changed, until there are enough. Beside
the operator stands the look-up that any index of n-grams has at least: a set of 13-grams, asked word by word in Python.
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
from winnow.pipeline.filter.eval_records import item_of, records_of
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


def evaluation_items(folder: str, tasks: int, spare: list[str], draw: random.Random) -> tuple[list[str], int]:
    """(items of so many evaluation files, files that were made of others)."""
    files = sorted(Path(folder).rglob("*.jsonl")) if folder else []
    held = [[item_of(record, ())[0] for _, record in records_of(path)] for path in files[:tasks]]
    held = held or [spare[at : at + 500] for at in range(0, len(spare), 500)]
    own = len(held)
    while len(held) < tasks:
        held.append([changed(item, draw, every=4) for item in held[len(held) - own]])
    return [item for task in held for item in task if item.strip()], tasks - own


def plain_seconds(items: list[str], texts: list[str]) -> float:
    """CPU seconds of a look-up of every 13 words in a row in a Python set."""
    rows = [item.lower().split() for item in items]
    known = {tuple(words[at : at + 13]) for words in rows for at in range(len(words) - 12)}
    started = time.process_time()
    for text in texts:
        words = text.lower().split()
        any(tuple(words[at : at + 13]) in known for at in range(len(words) - 12))
    return time.process_time() - started


def speed(asked: argparse.Namespace, spare: list[str], pool: list[str], draw: random.Random) -> dict[str, Any]:
    """Seconds and megabytes of one search of the pool for all items of many tasks."""
    items, made = evaluation_items(asked.evals, asked.tasks, spare, draw)
    started = time.process_time()
    protected = Protected(items=pl.Series(items), protection=Protection())
    built = time.process_time() - started
    texts = pa.array(pool, pa.large_string())
    protected.find(texts[:50])
    started = time.process_time()
    found = protected.find(texts)
    seconds = time.process_time() - started
    few = pool[:2000]
    plain, size = plain_seconds(items, few), sum(len(text.encode()) for text in pool)
    return {
        "tasks": asked.tasks, "made_of_others": made, "items": len(items), "build_s": round(built, 2),
        "documents": len(pool), "documents_found": int((np.diff(found.offsets) > 0).sum()),
        "us_per_document": round(seconds / len(pool) * 1e6, 1), "mb_per_cpu_s": round(size / 1e6 / seconds, 1),
        "plain_us_per_document": round(plain / len(few) * 1e6, 1),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--mb", type=float, default=32)
    parser.add_argument("--files", default="")
    parser.add_argument("--pool", default="")
    parser.add_argument("--tasks", type=int, default=0)
    parser.add_argument("--evals", default="")
    asked = parser.parse_args()
    draw = random.Random(1)
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    own = [p for root in roots for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES and "pydoc_data" not in p.parts]
    named = matching(asked.pool) if asked.pool else own
    held = [p.read_text("utf-8", "replace") for p in matching(asked.files)]
    items = paragraphs(held or list(halves(pydoc_data.topics.topics)["b"].values()), asked.items, draw)
    pool = read(named, asked.mb)
    if asked.tasks:
        spare = paragraphs(list(pydoc_data.topics.topics.values()), 30_000, draw)
        sys.stdout.write(json.dumps(speed(asked, spare, pool, draw)) + "\n")
        return
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
