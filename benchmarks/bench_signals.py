"""Speed of `signals` next to a scan of the same bytes, as JSON on stdout.

    python benchmarks/bench_signals.py ["GLOB"] [--megabytes N] [--repeats N] [--groups]

Times are wall seconds of one thread (and CPU seconds beside them: on a shared machine trust those). `cold` is the first
call in this process, imports and compiled-code loading included (compiling itself where numba's cache is empty:
`cache` says which); `warm` is the best of the repeats. The scans run over the very buffers the kernel reads.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import sysconfig
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from winnow.core.operators import Context
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.measure import signals as module
from winnow.pipeline.measure.signals import DIALECTS, Signals
from winnow.pipeline.measure.signals_columns import GROUPS


def timed(work) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def best(work, repeats: int) -> dict[str, float]:
    runs = [timed(work) for _ in range(repeats)]
    return {key: min(run[key] for run in runs) for key in runs[0]}


def read(pattern: str, megabytes: float) -> list[str]:
    texts, size = [], 0
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207  (an absolute pattern)
        path = Path(name)
        if size > megabytes * 1e6 or not path.is_file():
            continue
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
        size += path.stat().st_size
    return texts


def cached_kernels() -> str:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", Path(module.__file__).parent / "__pycache__"))
    return "warm" if any(folder.rglob("signals_kernels.measure*.nbc")) else "empty: cold includes compiling"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default=sysconfig.get_path("stdlib") + "/**/*.py")
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--groups", action="store_true", help="also each group of columns, and all together")
    chosen = parser.parse_args()
    text = pa.array(read(chosen.pattern, chosen.megabytes), pa.large_string())
    batch = pa.record_batch({"text": text})
    offsets, data = utf8_buffers(text)
    size = int(offsets[-1] - offsets[0])
    used = data[: size // 8 * 8]
    raw = used.tobytes()
    cache, results = cached_kernels(), {}
    forms = {f"signals {dialect}": {"dialect": dialect} for dialect in DIALECTS} | {
        "signals unicode": {"words": "unicode"}
    }
    if chosen.groups:
        forms |= {f"signals + {group}": {"groups": (group,)} for group in GROUPS}
        forms["signals + all groups"] = {"groups": tuple(GROUPS)}
    for name, config in forms.items():
        opened = {}

        def first(config=config, opened=opened) -> None:
            opened["columns"] = Signals(**config).open(Context(seed=0, work=Path()))
            opened["columns"](batch.slice(0, 1))

        cold = timed(first)
        results[name] = ({"cold": cold} if name == "signals datatrove" else {}) | {
            "warm": best(lambda opened=opened: opened["columns"](batch), chosen.repeats),
        }
    results["u64 sum"] = {"warm": best(lambda: np.add.reduce(used.view(np.uint64)), chosen.repeats)}
    results["bytes.count newline"] = {"warm": best(lambda: raw.count(b"\n"), chosen.repeats)}
    for result in results.values():
        result["mb_per_s"] = size / 1e6 / result["warm"]["wall_s"]
        result["mb_per_cpu_s"] = size / 1e6 / max(result["warm"]["cpu_s"], 1e-9)
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine()}
    corpus = {"pattern": chosen.pattern, "documents": len(text), "megabytes": size / 1e6}
    print(json.dumps({"corpus": corpus, "machine": machine, "cache": cache, "results": results}, indent=1))


if __name__ == "__main__":
    main()
