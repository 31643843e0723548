"""Balance and redundancy: concepts beside an automaton, k-means and neighbours beside faiss, growth by rows.

    python benchmarks/bench_balance.py --entries 500000 --faiss 100000 --rows 100000 1000000 [--json out.json]

Everything runs on one thread; `cpu_s` is to be read. `pyahocorasick` and `faiss-cpu` (the `dev` extra) get the same
texts and vectors in the same process as winnow. With `--rows` every step runs in a process of its own on vectors of
64 dimensions (clusters of Zipf-like sizes), one cluster per thousand rows, and lists of 20 of 100,000 concepts: `cpu_s`
is of the step alone, after a first call on 500 rows that loads the compiled code; `peak_gb` is the largest resident
size of the process and `input_gb` what it was before the step. `redundancy` compares within clusters,
`redundancy_all` with everything.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_coresets as shared  # sets one thread before NumPy is loaded
import numpy as np
import polars as pl
import pyarrow as pa

from winnow.pipeline.measure import concept_matcher

STEPS = (
    "clusters",
    "cluster_balanced",
    "hierarchical",
    "semdedup",
    "d4",
    "redundancy",
    "redundancy_all",
    "redundancy_codes",
    "metaclip",
    "retrieve_tail",
    "mixture",
)
MOST_CONCEPTS, PER_LIST = 100_000, 20


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


def flat_search(rows: int) -> dict[str, Any]:
    """The 16 nearest of every row among all: `knn.exact` and faiss's flat index."""
    import faiss

    from winnow.core.numerics import knn

    grid = shared.vectors(rows)
    unit = (grid / np.linalg.norm(grid, axis=1, keepdims=True)).astype(np.float32)
    knn.exact(grid[:500], 16)
    found, took = shared.timed(lambda: knn.exact(grid, 16))

    def search() -> Any:
        index = faiss.IndexFlatIP(shared.DIM)
        index.add(unit)
        return index.search(unit, 17)[1]

    theirs, others = shared.timed(search)
    same = np.mean([len(set(a) & set(b[b != n].tolist())) / 16 for n, (a, b) in
                    enumerate(zip(found.ids[:2000].tolist(), theirs[:2000], strict=True))])  # fmt: skip
    return {"rows": rows, "winnow": took, "faiss": others, "in_common": float(same)}


def lists_of_concepts(rows: int) -> tuple[pa.Array, pa.Array]:
    """`concepts` and `concept_hits`: PER_LIST different of MOST_CONCEPTS with Zipf-like frequencies, ascending."""
    draw = np.random.default_rng(1)
    shares = np.cumsum(1 / (np.arange(MOST_CONCEPTS) + 3.0))
    ids = np.empty((rows, PER_LIST), dtype=np.int32)
    for low in range(0, rows, 100_000):
        size = min(100_000, rows - low)
        some = np.searchsorted(shares, draw.random((size, PER_LIST)) * shares[-1]).astype(np.int64)
        ids[low : low + size] = np.sort(some, axis=1)
    offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * PER_LIST)
    hits = draw.integers(1, 6, size=rows * PER_LIST).astype(np.int32)
    return tuple(pa.LargeListArray.from_arrays(offsets, pa.array(v)) for v in (ids.reshape(-1), hits))


def operator(step: str, rows: int) -> Any:
    from winnow.core.operators.budget import Budget
    from winnow.dags.recipe.registry import operator_class

    tenth, clusters = Budget(max(rows // 10, 1), "docs"), max(rows // 1000, 1)
    fields = {
        "clusters": {"num": clusters},
        "cluster_balanced": {"budget": tenth},
        "hierarchical": {"budget": tenth, "levels": tuple(dict.fromkeys((clusters, max(clusters // 10, 1))))},
        "semdedup": {"eps": 0.2},
        "d4": {"share": 0.5, "clusters": clusters},
        "redundancy": {"distance": 0.2, "per": ("cluster",)},
        "redundancy_all": {"distance": 0.05},
        "redundancy_codes": {"distance": 6, "metric": "hamming", "column": "code"},
        "metaclip": {"tail_share": 0.06, "top": 4},
        "retrieve_tail": {"tail_share": 0.2},
        "mixture": {"per": ("cluster",), "budget": tenth},
    }
    return operator_class(step.removesuffix("_codes").removesuffix("_all"))(**fields[step])


def frame_of(step: str, rows: int, folder: Path) -> tuple[pl.DataFrame, dict[str, pa.Array]]:
    """(columns that the step reads, what it looks up)."""
    frame, columns = shared.located(rows), dict[str, pa.Array]()
    number = np.arange(rows)
    saved = folder / f"{rows}.npz"
    if step in ("cluster_balanced", "semdedup", "redundancy", "mixture"):
        got = np.load(saved) if saved.exists() else {"home": number % 7, "near": number / rows}
        frame = frame.with_columns(cluster=pl.Series(got["home"]), cluster_similarity=pl.Series(got["near"]))
    if step == "redundancy_codes":
        draw = np.random.default_rng(2)
        codes = draw.integers(0, 2**63, size=max(rows // 2, 1), dtype=np.uint64)
        frame = frame.with_columns(code=pl.Series(codes[draw.integers(len(codes), size=rows)]))
    if step in ("metaclip", "retrieve_tail"):
        lists = lists_of_concepts(rows)
        frame = frame.with_columns(concepts=pl.from_arrow(lists[0]), concept_hits=pl.from_arrow(lists[1]))
    if step in ("clusters", "hierarchical", "semdedup", "d4", "redundancy", "redundancy_all", "retrieve_tail"):
        grid = shared.vectors(rows)
        columns["vector"] = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(2 * shared.DIM), rows, [None, pa.py_buffer(grid)]
        )
    return frame, columns


def one(step: str, rows: int, folder: Path) -> dict[str, Any]:
    """One step in this process: seconds, memory, and the summary it noted."""
    from winnow.core.operators import Context, Whole
    from winnow.testing.in_memory import run_fold

    for size in (9000 if step == "redundancy_all" else 500, rows):  # few rows are compared in another way
        frame, columns = frame_of(step, size, folder)
        op, notes = operator(step, size), dict[str, Any]()
        ctx = Context(seed=1, work=folder, access=shared.Rows(**columns), notes=notes)
        before = shared.peak_gb()
        if isinstance(op, Whole):
            frame = frame.select(*op.needs(), "_part", "_row")
            out, took = shared.timed(lambda: op.solve(frame, ctx))  # noqa: B023
        else:
            parts = [frame[low : low + shared.PART] for low in range(0, size, shared.PART)]
            (out, *_), took = shared.timed(lambda: run_fold(op, parts, dataclasses.replace(ctx, access=None)))  # noqa: B023
        peak = shared.peak_gb()
    if step == "clusters":
        np.savez(folder / f"{rows}.npz", home=out["cluster"].to_numpy(), near=out["cluster_similarity"].to_numpy())
    return {"step": step, "rows": rows, **took, "peak_gb": peak, "input_gb": before,
            "summary": notes.get("summary", notes.get("clusters"))}  # fmt: skip


def in_a_process(step: str, rows: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", step, "--rows", str(rows), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"step": step, "rows": rows, "error": done.stderr[-500:]}
    print(done.stdout.splitlines()[-1], file=sys.stderr, flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def timed(work: Any) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def rss_since(before: int) -> float:
    """Growth of the peak memory, MB."""
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 0)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="*", default=[])
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--faiss", type=int, nargs="*", default=[])
    parser.add_argument("--flat", type=int, nargs="*", default=[])
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--steps", nargs="*", default=list(STEPS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.rows[0], args.folder)))
        return
    result: dict[str, Any] = {"load": os.getloadavg()}
    result["matching"] = [matching(entries, args.megabytes) for entries in args.entries]
    result["faiss"] = [shared.beside_faiss(rows) for rows in args.faiss]
    result["flat"] = [flat_search(rows) for rows in args.flat]
    result["growth"] = []
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            result["growth"] += [in_a_process(step, rows, Path(folder)) for step in args.steps]
    result["load_after"] = os.getloadavg()
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text)


if __name__ == "__main__":
    main()
