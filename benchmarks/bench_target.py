"""Target-aware selection beside the library a user would take: dsir against data-selection, OT at a million rows.

    python benchmarks/bench_target.py [--megabytes 20] [--rows 1000000] [--scale 100000 1000000] [--json out.json]

Text: the standard library's and site-packages' Python files. CPU seconds of one process each. `embed`: fitting a table
on a sample of the texts, and the vectors of all of them. `--scale`: `betr`, `simcore` (a hundredth of the rows) and
`got_d` toward 100 vectors, of random vectors of 128 dimensions, every one in a process of its own with its largest
resident size, the vectors included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.scorers.static_fit import StaticFit
from winnow.scorers.static_vectors import StaticVectors
from winnow.scorers.target import optimal_transport as transport
from winnow.scorers.target.betr import Betr
from winnow.scorers.target.dsir import Dsir
from winnow.scorers.target.got_d import GotD
from winnow.selectors.target.simcore import SimCore
from winnow.testing.in_memory import MemorySource, run_fit, run_fold, run_map, run_whole

SCALED = {
    "betr": Betr(target="t"),
    "simcore": SimCore(target="t", budget=Budget(0.01, "share")),
    "got_d": GotD(target="t"),
}


def texts(megabytes: float) -> list[str]:
    """Files of the Python installation, in order of their paths."""
    found, size = [], 0
    for folder in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_paths()[folder]).rglob("*.py")):
            body = path.read_text(encoding="utf-8", errors="replace")
            found.append(body)
            size += len(body.encode())
            if size > megabytes * 1e6:
                return found
    return found


def clocked(act) -> tuple[float, object]:
    begun = time.process_time()
    result = act()
    return time.process_time() - begun, result


def dsir(bodies: list[str]) -> dict[str, float]:
    """Megabytes per CPU second of fit and weights, ours and the reference's."""
    target, pool = bodies[::10], bodies
    size = sum(len(b.encode()) for b in pool) / 1e6
    rows = pl.DataFrame({"doc_id": [i.to_bytes(16, "big") for i in range(len(pool))], "text": pool})
    ctx = Context(seed=1, work=Path(), refs={"target": MemorySource(rows=pl.DataFrame({"text": target}))})
    run_fold(Dsir(target="t"), rows[:10], ctx)  # compiled before the clock starts
    ours, weights = clocked(lambda: pl.concat(run_fold(Dsir(target="t", min_words=1), rows, ctx)))
    exact, _ = clocked(lambda: run_fold(Dsir(target="t", min_words=1, hash="sha256"), rows, ctx))
    from data_selection import HashedNgramDSIR

    with tempfile.TemporaryDirectory() as name:
        paths = []
        for kind, many in (("pool", pool), ("target", target)):
            paths.append(Path(name) / f"{kind}.jsonl")
            paths[-1].write_text("".join(json.dumps({"text": t}) + "\n" for t in many))
        peer = HashedNgramDSIR([str(paths[0])], [str(paths[1])], f"{name}/cache", num_proc=1)

        def both() -> None:
            peer.fit_importance_estimator(num_tokens_to_fit="all")
            peer.compute_importance_weights()

        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        theirs, _ = clocked(both)
        theirs += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - children
    return {"megabytes": size, "winnow_cpu_s": ours, "winnow_mb_s": size / ours, "winnow_sha256_cpu_s": exact,
            "data_selection_cpu_s": theirs, "data_selection_mb_s": size / theirs, "ratio": theirs / ours,
            "ratio_sha256": theirs / exact, "documents": weights.height}  # fmt: skip


def embed(bodies: list[str]) -> dict[str, float]:
    """CPU seconds of the fit, and megabytes per CPU second of the vectors."""
    size = sum(len(b.encode()) for b in bodies) / 1e6
    rows = pl.DataFrame({"doc_id": [i.to_bytes(16, "big") for i in range(len(bodies))], "text": bodies})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fit, _ = clocked(lambda: run_fit(StaticFit(), rows, Context(seed=1, work=folder)))
        table = MemorySource(paths={"table.npy": folder / "table.npy"})
        ctx = Context(seed=1, work=folder, refs={"table": table})
        run_map(StaticVectors(table="t"), rows[:10], ctx)  # compiled before the clock starts
        spent, _ = clocked(lambda: run_map(StaticVectors(table="t"), rows, ctx))
    return {"megabytes": size, "fit_cpu_s": fit, "vectors_cpu_s": spent, "vectors_mb_s": size / spent}


def scaled(method: str, rows: int) -> dict[str, float]:
    """One method in this process: CPU seconds and peak memory."""
    draw = np.random.default_rng(0)

    def frame(count: int, first: int) -> pl.DataFrame:
        grid = np.empty((count, 128), dtype=np.int16)
        for low in range(0, count, 100_000):
            grid[low : low + 100_000] = _grid(draw, min(100_000, count - low), 128)
        numbers = np.arange(first, first + count, dtype=">u8").repeat(2)
        cells, ids = (
            pl.from_arrow(
                pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(data)]).cast(
                    pa.large_binary()
                )
            )
            for width, data in ((256, grid), (16, numbers))
        )
        return pl.DataFrame({"doc_id": ids, "vector": cells})

    target = MemorySource(rows=frame(100, 1 << 40))
    ctx = Context(seed=1, work=Path(), refs={"target": target})
    run_whole(SCALED[method], frame(500, 0), ctx)
    pool = frame(rows, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    spent, _ = clocked(lambda: run_whole(SCALED[method], pool, ctx))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"rows": rows, "cpu_s": spent, "peak_gb": peak, "input_gb": before}


def transport_at(rows: int, *, targets: int = 2000, dim: int = 128) -> dict[str, float]:
    """Seconds of Sinkhorn on a subsample and of the c-transform over all rows; exact numbers of the grid."""
    draw = np.random.default_rng(0)
    target = _grid(draw, targets, dim)
    right = target.astype(np.float32).T
    sample = _grid(draw, 20_000, dim)
    cost = 1.0 - (sample.astype(np.float32) @ right).astype(np.float64) / knn.ONE
    epsilon = SCALED["got_d"].epsilon * float(np.median(cost))
    begun = time.perf_counter()
    fitted = transport.sinkhorn(cost, epsilon=epsilon)
    solved = time.perf_counter()
    for low in range(0, rows, 8192):
        block = _grid(draw, min(8192, rows - low), dim)
        transport.extend(
            1.0 - (block.astype(np.float32) @ right).astype(np.float64) / knn.ONE, fitted.target, epsilon=epsilon
        )
    return {"rows": rows, "targets": targets, "sinkhorn_s": solved - begun, "iterations": fitted.iterations,
            "c_transform_s": time.perf_counter() - solved,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}  # fmt: skip


def _grid(draw: np.random.Generator, rows: int, dim: int) -> knn.Grid:
    raw = draw.standard_normal((rows, dim), dtype=np.float32)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    return np.rint(raw * knn.UNIT).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--scale", type=int, nargs="*", default=[])
    parser.add_argument("--one", choices=list(SCALED))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(scaled(arguments.one, arguments.rows)))
        return
    bodies = texts(arguments.megabytes)
    found = {"dsir": dsir(bodies), "embed": embed(bodies)}
    found |= {"got_d": transport_at(arguments.rows)} if arguments.rows else {}
    for method in SCALED:
        for rows in arguments.scale:
            command = [sys.executable, __file__, "--one", method, "--rows", str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.setdefault(f"{method}_scale", []).append(json.loads(done.stdout))
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
