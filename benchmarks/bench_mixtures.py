"""What a mixture costs at a step besides the rows themselves, and besides evaluations.

    python benchmarks/bench_mixtures.py [--domains 10] [--batch 32] [--context 256]

CPU milliseconds of one thread per step: rows of the plain run, and rows of a mixture of as many documents with the draw of
its domains. To be held against a training step: a model of 5M weights takes about 0.6 s for 32 x 256 tokens on one core.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl

from winnow.trainers.data import pack
from winnow.trainers.data.mixed import mixed_of


def main() -> None:
    """Print both times, the better of three rounds each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--documents", type=int, default=4000)
    args = parser.parse_args()
    rng = np.random.Generator(np.random.Philox(key=0))
    lengths = rng.integers(20, 600, args.documents)
    ids = [rng.integers(0, 59_999, n).tolist() for n in lengths]
    names = sorted(rng.bytes(16) for _ in ids)
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    documents = pack.documents_of(frame.select("doc_id"), frame)
    plain = pack.batches_of(documents, context=args.context, batch=args.batch, tokens=documents.num_tokens, end=60_000,
                            seed=0)  # fmt: skip
    domain = np.arange(args.documents) % args.domains
    mixed = mixed_of(plain, domain, [f"d{k:04d}" for k in range(args.domains)], max_repeats=100)
    shares, steps = np.full(args.domains, 1.0 / args.domains), min(100, plain.num_steps)
    best = {"plain_ms": np.inf, "mixed_ms": np.inf}
    for _ in range(3):
        began = time.process_time()
        for step in range(steps):
            plain.batch(step)
        best["plain_ms"] = min(best["plain_ms"], (time.process_time() - began) / steps * 1e3)
        mixed.reset()
        began = time.process_time()
        for step in range(steps):
            mixed.take(step, shares)
            mixed.batch(step)
        best["mixed_ms"] = min(best["mixed_ms"], (time.process_time() - began) / steps * 1e3)
    print({name: round(float(value), 3) for name, value in best.items()} | {"steps": steps, "domains": args.domains})


if __name__ == "__main__":
    main()
