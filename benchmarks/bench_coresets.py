"""Coresets beside the libraries one would take, and their time and peak memory as the pool grows.

    python benchmarks/bench_coresets.py --rows 2000 10000 --faiss 100000 --scale 100000 [--json benchmarks/out/coresets.json]

Libraries: apricot-select, submodlib-py (where installed), faiss-cpu and scikit-learn (the `dev` extra). They get the
same graph or the same vectors in the same process, one after the other, on one thread, and the value of what each chose is computed
by one function. Scale: every step runs in a process of its own; `peak_gb` is its largest resident size, `cpu_s` and
`wall_s` are of the step alone, after a first call on 500 rows that loads the compiled code. Vectors are those of 400
to rows / 250 Zipf-like clusters with noise, 64 dimensions, on the grid; lists of 16; budgets of a tenth of the rows
(`k_center_greedy`: a hundredth; `log_det`: as many, at most 1,000; `sampled`: a thousandth; `herding`: 200). `--lists` takes greedy alone to sizes whose
vectors would not fit: 16 neighbours each that are drawn nearby along a ring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
os.environ |= dict.fromkeys(THREADS, "1")  # before the libraries are loaded: everything is measured on one thread

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import pyarrow as pa  # noqa: E402

DIM, K, PART = 64, 16, 250_000
STEPS = (
    "auto",
    "lazy",
    "threshold",
    "stochastic",
    "partitioned",
    "sampled",
    "graph_cut",
    "ingenious",
    "log_det",
    "k_center_greedy",
    "herding",
)


def vectors(rows: int) -> Any:
    """i16[rows, DIM] on the grid: clusters of Zipf-like size, noise 0.7."""
    draw = np.random.default_rng(0)
    clusters = max(400, rows // 250)
    weight = np.arange(1, clusters + 1) ** -0.8
    centres = draw.normal(size=(clusters, DIM)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    out = np.empty((rows, DIM), dtype=np.int16)
    for low in range(0, rows, 100_000):
        size = min(100_000, rows - low)
        reals = centres[draw.choice(clusters, size=size, p=weight / weight.sum())]
        reals = reals + 0.7 / np.sqrt(DIM) * draw.normal(size=(size, DIM)).astype(np.float32)
        out[low : low + size] = np.rint(reals / np.linalg.norm(reals, axis=1, keepdims=True) * 2048)
    return out


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - busy}


def graph_of(grid: Any, k: int) -> Any:
    from winnow.core.numerics import knn
    from winnow.selectors.coverage import lazy_greedy

    found = knn.exact(grid, k)
    starts = np.arange(len(grid) + 1, dtype=np.int64) * k
    return lazy_greedy.symmetric(starts, found.ids.ravel(), found.similarities.ravel(), one=knn.ONE)


def beside_apricot_and_submodlib(rows: int) -> dict[str, Any]:
    """Facility location of rows / 10 documents on one graph."""
    from apricot import FacilityLocationSelection
    from scipy.sparse import csr_matrix

    from winnow.core.numerics import knn
    from winnow.selectors.coverage import lazy_greedy

    graph = graph_of(vectors(rows), K)
    picks_wanted = rows // 10
    own = np.arange(rows)
    where = np.concatenate([np.repeat(own, np.diff(graph.starts)), own])
    matrix = csr_matrix((np.concatenate([graph.similarities / knn.ONE, np.ones(rows)]),
                         (where, np.concatenate([graph.indices, own]))), shape=(rows, rows))  # fmt: skip
    ones = np.ones(rows, dtype=np.int64)

    def ours() -> Any:
        return lazy_greedy.greedy(graph, cost=ones, budget=picks_wanted, per_cost=False).order

    def apricot() -> Any:
        return FacilityLocationSelection(picks_wanted, metric="precomputed", optimizer="lazy").fit(matrix).ranking

    def submodlib() -> Any:
        from submodlib import FacilityLocationFunction

        dense = matrix.toarray().astype(np.float32)
        function = FacilityLocationFunction(n=rows, mode="dense", sijs=dense, separate_rep=False)
        return [i for i, _ in function.maximize(budget=picks_wanted, optimizer="LazyGreedy", show_progress=False)]

    out: dict[str, Any] = {"rows": rows, "picks": picks_wanted}
    small = graph_of(vectors(600), K)
    lazy_greedy.greedy(small, cost=np.ones(600, dtype=np.int64), budget=60, per_cost=False)
    for _ in range(2):  # compiles what it needs
        FacilityLocationSelection(20, metric="precomputed", optimizer="lazy").fit(matrix[:300, :300])
    for name, work in (("winnow", ours), ("apricot", apricot), ("submodlib", submodlib)):
        try:
            order, took = timed(work)
        except ImportError:
            continue
        out[name] = {**took, "value": lazy_greedy.value(graph, np.asarray(order, dtype=np.int64)) / knn.ONE}
    for name in ("apricot", "submodlib"):
        if name in out:
            out[name]["times_slower"] = out[name]["wall_s"] / out["winnow"]["wall_s"]
            out[name]["relative_difference"] = out[name]["value"] / out["winnow"]["value"] - 1
    return out


def of(found: Any, rows: Any) -> Any:
    """The lists of some rows."""
    from winnow.core.numerics import knn

    return knn.Neighbours(ids=found.ids[rows], similarities=found.similarities[rows])


def beside_faiss(rows: int) -> dict[str, Any]:
    """k-means of 4 sqrt(rows) clusters in 10 rounds, and neighbours by an inverted file with 8 probes."""
    import faiss

    from winnow.core.numerics import knn, spherical_kmeans

    grid = vectors(rows)
    unit = (grid / np.linalg.norm(grid, axis=1, keepdims=True)).astype(np.float32)
    order, clusters, lists = np.random.default_rng(1).permutation(rows), 4 * int(rows**0.5), 2 * int(rows**0.5)
    spherical_kmeans.fit(grid[:500], 5, order=np.arange(500), iterations=2)
    knn.pruned(grid[:500], K, order=np.arange(500), num_lists=5, num_probes=2)
    ours, took = timed(lambda: spherical_kmeans.fit(grid, clusters, order=order, iterations=10))
    value = float(spherical_kmeans.assign(grid, ours.grid).similarity.mean() / knn.ONE)
    out: dict[str, Any] = {"rows": rows, "kmeans": {"clusters": clusters, "winnow": {**took, "objective": value}}}
    theirs = faiss.Kmeans(DIM, clusters, niter=10, spherical=True, seed=1, max_points_per_centroid=256)
    _, took = timed(lambda: theirs.train(unit))
    out["kmeans"]["faiss"] = {**took, "objective": float(theirs.index.search(unit, 1)[0].mean())}
    checked = np.arange(0, rows, max(rows // 256, 1))
    found, took = timed(lambda: knn.pruned(grid, K, order=order, num_lists=lists, num_probes=8))
    out["knn"] = {"winnow": {**took, "recall": float(knn.recall(grid, of(found, checked), checked).mean())}}

    def search() -> Any:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(unit[np.sort(order[: 39 * lists])])
        index.add(unit)
        index.nprobe = 8
        return index.search(unit, K + 1)[1]

    near, took = timed(search)
    ids = np.array([[i for i in row if i != n][:K] for n, row in enumerate(near.tolist())], dtype=np.int32)
    same = knn.Neighbours(ids=ids, similarities=ids)
    out["knn"]["faiss"] = {**took, "recall": float(knn.recall(grid, of(same, checked), checked).mean())}
    return out


class Rows:
    """Columns in parts of `PART` rows, as a run has them."""

    def __init__(self, **columns: pa.Array) -> None:
        self.columns = columns

    def column(self, name: str, part: int) -> pa.Array:
        return self.columns[name].slice(part * PART, PART)


def operator(step: str, rows: int) -> Any:
    from winnow.core.operators.budget import Budget
    from winnow.dags.recipe.registry import operator_class

    if step == "knn_graph":
        return operator_class(step)(k=K, center=False, num_probes=8 if rows <= 1_000_000 else 16)
    few = {"k_center_greedy": max(rows // 100, 1), "log_det": min(max(rows // 100, 1), 1000), "herding": min(200, rows),
           "sampled": max(rows // 1000, 1)}  # fmt: skip
    budget = Budget(few.get(step, max(rows // 10, 1)), "docs")
    if step in ("auto", "lazy", "threshold", "stochastic", "partitioned", "sampled"):
        return operator_class("facility_location")(budget=budget, method=step)
    fields = {"center": False} if step in ("log_det", "k_center_greedy") else {}
    return operator_class(step)(budget=budget, **fields)


def located(rows: int) -> pl.DataFrame:
    number = np.arange(rows)
    ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(
        np.stack([number, number], axis=1).astype(">u8"))]).cast(pa.binary())  # fmt: skip
    return pl.DataFrame({"doc_id": pl.from_arrow(ids), "node": number.astype(np.uint32),
                         "text_bytes": np.full(rows, 400),
                         "_part": (number // PART).astype(np.uint32), "_row": (number % PART).astype(np.uint32)})  # fmt: skip


def listed(ids: Any, similarities: Any) -> dict[str, pa.Array]:
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1])
    both = {"neighbors": ids, "similarities": similarities}
    return {name: pa.LargeListArray.from_arrays(offsets, pa.array(v.reshape(-1))) for name, v in both.items()}


def ring(rows: int) -> dict[str, pa.Array]:
    """Neighbours within 200 places on a shuffled ring, similarities from 0.25 to 0.95, falling."""
    draw = np.random.default_rng(0)
    place = draw.permutation(rows).astype(np.uint32)
    ids = np.empty((rows, K), dtype=np.uint32)
    near = np.empty((rows, K), dtype=np.int32)
    for low in range(0, rows, 1_000_000):
        own = np.arange(low, min(low + 1_000_000, rows))
        away = draw.integers(1, 200, size=(len(own), K)) * draw.choice([-1, 1], size=(len(own), K))
        ids[place[own]] = place[(own[:, None] + away) % rows]
        near[own] = np.sort((draw.random((len(own), K)) * 0.7 * 2**22).astype(np.int32) + 2**20, axis=1)[:, ::-1]
    return listed(ids, near)


def peak_gb() -> float:
    """Largest resident size of this process so far, GB."""
    found = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) * 1024 / 1e9


def one(step: str, rows: int, folder: Path, lists: bool) -> dict[str, Any]:
    """One step in this process: seconds, peak memory, and what it noted."""
    from winnow.core.operators import Context

    vector_step = step in ("knn_graph", "sampled", "log_det", "k_center_greedy", "herding")
    for size in (500, rows):
        columns = {}
        if vector_step or size == 500 or step == "auto":
            grid = vectors(size)
            cells = pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * DIM), size, [None, pa.py_buffer(grid)])
            columns = {"vector": cells}
        if lists and not vector_step:
            columns |= ring(size)
        elif size == 500 and not vector_step:
            from winnow.core.numerics import knn

            found = knn.exact(grid, K)
            columns |= listed(found.ids.astype(np.uint32), found.similarities)
        elif not vector_step:
            columns |= listed(np.load(folder / "ids.npy"), np.load(folder / "similarities.npy"))
        notes: dict[str, Any] = {}
        frame, access = located(size), Rows(**columns)
        before = peak_gb()
        context = Context(seed=1, work=folder, access=access, notes=notes)
        out, took = timed(lambda: operator(step, size).solve(frame, context))  # noqa: B023
        peak = peak_gb()
    if step == "knn_graph":
        flat = {name: out[name].explode().to_numpy() for name in ("neighbors", "similarities")}
        np.save(folder / "ids.npy", flat["neighbors"].astype(np.uint32).reshape(rows, -1))
        np.save(folder / "similarities.npy", flat["similarities"].astype(np.int32).reshape(rows, -1))
    return {"step": step, "rows": rows, **took, "peak_gb": peak, "input_gb": before, "notes": notes}


def in_a_process(step: str, rows: int, folder: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", step, "--rows", str(rows), "--folder", str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"step": step, "rows": rows, "error": done.stderr[-500:]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[2_000, 10_000])
    parser.add_argument("--faiss", type=int, nargs="*", default=[])
    parser.add_argument("--scale", type=int, nargs="*", default=[])
    parser.add_argument("--lists", type=int, nargs="*", default=[])
    parser.add_argument("--steps", nargs="*", default=list(STEPS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one")
    parser.add_argument("--ring", action="store_true")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.rows[0], args.folder, args.ring)))
        return
    result: dict[str, Any] = {"python": platform.python_version(), "cpus": os.cpu_count(), "load": os.getloadavg()}
    result["libraries"] = [beside_apricot_and_submodlib(rows) for rows in args.rows]
    result["faiss"] = [beside_faiss(rows) for rows in args.faiss]
    result["scale"] = []
    for rows in args.scale:
        with tempfile.TemporaryDirectory() as folder:
            steps = ("knn_graph", *args.steps)
            result["scale"] += [in_a_process(step, rows, Path(folder)) for step in steps]
    with tempfile.TemporaryDirectory() as folder:
        result["lists"] = [in_a_process(s, rows, Path(folder), "--ring") for rows in args.lists for s in args.steps]
    result["load_after"] = os.getloadavg()
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text)


if __name__ == "__main__":
    main()
