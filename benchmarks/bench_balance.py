"""Concept matching beside an automaton, SemDeDup and clusters by size: `python benchmarks/bench_balance.py --json`."""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core import concept_matcher, knn, spherical_kmeans
from winnow.selectors import redundancy, semdedup


def corpus(entries: int, megabytes: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """(distinct entries of 1 to 3 words, texts of 700 words) over words with Zipf frequencies."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = sorted({"".join(draw.choices(letters, weights=range(26, 0, -1), k=2 + draw.randrange(9)))
                    for _ in range(entries)})  # fmt: skip
    draw.shuffle(words)
    shares = np.cumsum(1.0 / (np.arange(len(words)) + 2.7)).tolist()
    found: set[str] = set()
    while len(found) < entries:
        found.add(" ".join(draw.choices(words, k=draw.choice([1, 1, 2, 3]))))
    texts: list[str] = []
    size = 0
    while size < megabytes * 1e6:
        texts.append(" ".join(draw.choices(words, cum_weights=shares, k=700)) + ".")
        size += len(texts[-1])
    return sorted(found), texts


def matching(entries: int, megabytes: float) -> dict[str, Any]:
    """MB per processor second of the matcher and, where installed, of pyahocorasick on the same texts."""
    names, texts = corpus(entries, megabytes)
    array = pa.array(texts, pa.large_string())
    size = sum(len(t.encode()) for t in texts) / 1e6
    concept_matcher.build(["warm up"]).match(pa.array(["warm up"], pa.large_string()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    matcher = concept_matcher.build(names)
    built = time.process_time() - start
    best = min(timed(lambda: matcher.match(array)) for _ in range(3))
    found = matcher.match(array)
    out = {
        "entries": entries, "text_mb": round(size, 1), "build_s": round(built, 2), "mb_per_s": round(size / best, 1),
        "matches_per_text": len(found.ids) / len(texts), "more_rss_mb": rss_since(before),
    }  # fmt: skip
    try:
        import ahocorasick
    except ImportError:
        return out
    start = time.process_time()
    automaton = ahocorasick.Automaton()
    for number, name in enumerate(names):
        automaton.add_word(f" {name} ", number)
    automaton.make_automaton()
    out["automaton_build_s"] = round(time.process_time() - start, 2)
    some = texts[: max(1, len(texts) // 4)]
    padded = [f" {t.replace('.', ' . ')} " for t in some]
    sets: list[set[int]] = []
    spent = timed(lambda: sets.extend({n for _, n in automaton.iter(t)} for t in padded))
    out["automaton_mb_per_s"] = round(sum(map(len, some)) / 1e6 / spent, 1)
    ends = found.starts[1 : len(some) + 1]
    rows = np.split(found.ids[: ends[-1]], ends[:-1])
    out["equal"] = all(set(r.tolist()) == s for r, s in zip(rows, sets, strict=True))
    return out


def near(rows: int, dim: int, clusters: int) -> dict[str, Any]:
    """Seconds of clusters, SemDeDup's comparison and redundancy within clusters."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(max(rows // 200, 1), dim))
    reals = centres[draw.integers(len(centres), size=rows)] + 0.5 * draw.normal(size=(rows, dim))
    grid, _ = knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(reals.ravel()), dim))
    order = draw.permutation(rows).astype(np.int64)
    semdedup.before(grid[:10], np.zeros(10, dtype=np.int64), np.arange(10))
    redundancy.cosine(grid[:10], 0.1)
    start = time.perf_counter()
    fitted = spherical_kmeans.fit(grid, clusters, order=order)
    found = spherical_kmeans.assign(grid, fitted.grid)
    out: dict[str, Any] = {"rows": rows, "dim": dim, "clusters": clusters, "clusters_s": time.perf_counter() - start}
    home = found.home.astype(np.int64)
    inside = np.lexsort((found.similarity, home)).astype(np.int64)
    start = time.perf_counter()
    most = semdedup.before(grid, home, inside)
    out |= {"semdedup_s": time.perf_counter() - start, "largest_cluster": int(found.sizes(clusters).max())}
    out["kept_at_0.2"] = int((most <= 0.8).sum())
    start = time.perf_counter()
    kept = sum(int((redundancy.cosine(grid[m], 0.2) < 0).sum()) for m in semdedup.runs(home, inside))
    return out | {"redundancy_s": time.perf_counter() - start, "exemplars_at_0.2": kept}


def timed(work: Any) -> float:
    """Processor seconds of one call: one thread, whatever else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start


def rss_since(before: int) -> float:
    """Growth of the peak memory, MB."""
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 0)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=500_000)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = {
        "matching": matching(args.entries, args.megabytes),
        "near": [near(rows, args.dim, max(1, rows // 1000)) for rows in args.rows],
    }
    print(json.dumps(result, indent=None if args.json else 2))


if __name__ == "__main__":
    main()
