"""Requests of a run on an object store: by kind, per unit of work and per stage, of a first run and of one with nothing to do.

A local S3 server (moto) answers, a proxy before it counts. Counts do not depend on the machine; times would, so none are
printed. `python benchmarks/bench_store.py [--parts 24] [--workers 2]`; needs `pip install "moto[server]"`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import put_corpus, run, texts
from support_s3 import environment, make_bucket, proxied

RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [docs, sig], keep: {long: "word_count > 2"}}
  exact:  {use: exact, inputs: docs}
  unique: {use: minhash, inputs: docs, threshold: 0.7}
  plain:  {use: random, inputs: docs, budget: 60%}
  corpus: {use: write, inputs: [docs, plain]}
"""
PRICES = {
    "create": 5.0,
    "put": 5.0,
    "copy": 5.0,
    "pieces": 5.0,
    "list": 5.0,
    "get": 0.4,
    "range": 0.4,
    "head": 0.4,
    "delete": 0.0,
}


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--parts", type=int, default=24)
    asked.add_argument("--workers", type=int, default=2)
    given = asked.parse_args()
    with proxied() as proxy, tempfile.TemporaryDirectory() as scratch:
        make_bucket()
        os.environ.update(environment(proxy.endpoint, WINNOW_STORE_CACHE=f"{scratch}/cache"))
        base = Path(scratch)
        put_corpus(base / "raw", texts(40 * given.parts, seed=1), given.parts)
        size = max(p.stat().st_size for p in (base / "raw").iterdir())
        options = {"workers": given.workers, "part_bytes": size // 2, "buckets": 4}
        plain = run(RECIPE, base, base / "root", **options)
        for what in ("a first run", "a run with nothing to do"):
            proxy.clear()
            found = run(RECIPE, base, "s3://bucket/bench", **options)
            assert found.digests == plain.digests
            assert found.shards("corpus") == plain.shards("corpus")
            tell(what, proxy, found)


def tell(what: str, proxy, found) -> None:
    """One run's requests."""
    made = [r for r in proxy.seen if "/shards/" not in r.key or r.kind != "get"]  # the look at the shards is ours
    counts = proxy.counts()
    receipts = sum(r.kind == "create" and "/receipts/" in r.key for r in made)
    stages = len(found.runs)
    cost = sum(PRICES[kind] * n for kind, n in counts.items()) / 1e6
    print(f"{what}: {len(made)} requests, {receipts} units with receipts, {stages} stages")
    print("  by kind: " + ", ".join(f"{kind} {n}" for kind, n in counts.most_common()))
    if receipts:
        print("  per unit: " + ", ".join(f"{kind} {n / receipts:.1f}" for kind, n in counts.most_common(4)))
    print(f"  list prices of S3 (put and list $5, get $0.40 a million): ${cost:.4f}")


if __name__ == "__main__":
    main()
