"""Neighbour graphs: every pair, the inverted file, faiss's inverted file and its HNSW, by CPU seconds and recall.

    python benchmarks/bench_neighbours.py --rows 50000 200000 [--kinds clustered latent] [--json benchmarks/out/neighbours.json]

Lists of 16. One process for each row and one thread in it; `cpu_s` is user and system time of the process after its
imports, compilation and data. `clustered`: 64 dimensions, as in bench_coresets.py; `latent`: 256 dimensions of which 24
matter, without clusters. Recall is on 512 rows against every pair. faiss-cpu comes with the `faiss` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K, CHECKED = 16, 512
ROWS = (
    "exact",
    "ivf 8",
    "ivf 32",
    "ivf 128",
    "faiss ivf 8",
    "faiss ivf 32",
    "faiss ivf 128",
    "hnsw 32",
    "hnsw 64",
    "hnsw 128",
)


def vectors(kind: str, rows: int) -> Any:
    """i16[rows, dim] on the grid."""
    if kind == "clustered":
        import bench_coresets

        return bench_coresets.vectors(rows)
    draw = np.random.default_rng(1)
    mix = draw.normal(size=(24, 256)).astype(np.float32)
    out = np.empty((rows, 256), dtype=np.int16)
    for low in range(0, rows, 50_000):
        size = min(50_000, rows - low)
        reals = draw.normal(size=(size, 24)).astype(np.float32) @ mix
        reals += 0.3 * draw.normal(size=reals.shape).astype(np.float32)
        out[low : low + size] = np.rint(reals / np.linalg.norm(reals, axis=1, keepdims=True) * 2048)
    return out


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def searches(grid: Any, name: str) -> Callable[[], Any]:
    """What builds and searches: i32[rows, 16] of row numbers."""
    from winnow.core.numerics import knn
    from winnow.pipeline.measure import neighbour_index

    order, lists = np.random.default_rng(2).permutation(len(grid)), 2 * int(len(grid) ** 0.5)
    how, _, size = name.rpartition(" ")

    def theirs() -> Any:
        import faiss

        dim = grid.shape[1]
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(grid[np.sort(order[: 39 * lists])].astype(np.float32))
        index.add(grid.astype(np.float32))
        index.nprobe = int(size)
        return neighbour_index.search(index, grid, K)

    return {
        "": lambda: knn.exact(grid, K),
        "ivf": lambda: knn.pruned(grid, K, order=order, num_lists=lists, num_probes=int(size)),
        "faiss ivf": theirs,
        "hnsw": lambda: neighbour_index.search(
            neighbour_index.hnsw(grid, m=32, ef_construction=40, ef_search=int(size)), grid, K
        ),
    }[how]  # fmt: skip


def one(name: str, path: Path) -> dict[str, Any]:
    """CPU seconds and recall of one search in this process."""
    from winnow.core.numerics import knn

    grid = np.load(path)
    few = searches(grid[:600], "exact" if name == "exact" else f"{name.rpartition(' ')[0]} 4")()
    rows = np.sort(np.random.default_rng(3).permutation(len(grid))[:CHECKED])
    knn.recall(grid[:600], few, np.arange(600))
    work, before = searches(grid, name), cpu()
    found = work()
    took = cpu() - before
    share = knn.recall(grid, knn.Neighbours(ids=found.ids[rows], similarities=found.similarities[rows]), rows)
    return {"search": name, "rows": len(grid), "dim": grid.shape[1], "cpu_s": took, "recall": float(share.mean())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[50_000])
    parser.add_argument("--kinds", nargs="*", default=["clustered", "latent"])
    parser.add_argument("--searches", nargs="*", default=list(ROWS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.data)))
        return
    alone = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")}
    found: list[dict[str, Any]] = []
    for kind in args.kinds:
        for rows in args.rows:
            with tempfile.TemporaryDirectory() as folder:
                data = Path(folder) / "grid.npy"
                np.save(data, vectors(kind, rows))
                for name in args.searches:
                    command = [sys.executable, __file__, "--one", name, "--data", str(data)]
                    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
                    found.append({"kind": kind, **json.loads(done.stdout)})
                    print(json.dumps(found[-1]), flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"load": os.getloadavg(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
