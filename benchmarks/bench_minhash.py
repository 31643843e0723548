"""MinHash signatures in MB/s next to a byte scan of the same buffers, cold and warm; one JSON object out.

    python benchmarks/bench_minhash.py [--mb 64] [--repeats 5]

The text is what every machine has: the .py, .rst, .txt and .md files of this Python installation, repeated
where they do not fill `--mb`. `load_kernels_s` is the import with the first tiny batch: `compiled` tells
whether the kernels came from numba's cache (set NUMBA_CACHE_DIR to an empty folder for a true cold start).
"cold" is the first pass over the buffers, "warm" the best of the repeats. The byte scan is a 64-bit sum over
the same buffer. One thread; CPU seconds beside wall seconds because a shared machine disturbs only the
latter.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

SUFFIXES = (".py", ".rst", ".txt", ".md")
KERNELS = ("hashing_kernels.", "kernels.")  # modules whose compiled code this uses


def texts(megabytes: float) -> pa.Array:
    """About `megabytes` of documents of this Python installation, large_string."""
    found, size = [], 0.0
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    paths = [p for root in roots for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES]
    while size < megabytes * 1e6:
        before = size
        for path in paths:
            text = path.read_text("utf-8", "replace") if path.is_file() else ""
            found.append(text)
            size += len(text)
            if size >= megabytes * 1e6:
                break
        assert size > before, "no text found"
    return pa.array(found, pa.large_string())


def timed(work: Callable[[], object], repeats: int, megabytes: float) -> dict[str, float]:
    """Wall seconds of the first and best later call, CPU seconds of the best, and MB per second of each."""
    wall, cpu = [], []
    for _ in range(repeats + 1):
        start, started = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - started)
    warm, busy = min(wall[1:]), min(cpu[1:])
    return {"cold_s": wall[0], "warm_s": warm, "mb_s": megabytes / warm, "mb_per_cpu_s": megabytes / busy}


def cache_state() -> tuple[int, int]:
    root = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).resolve().parents[1] / "winnow")
    found = [p.stat().st_mtime_ns for p in root.rglob("*kernels.*.nbc") if p.name.startswith(KERNELS)]
    return len(found), max(found, default=0)


def measure(array: pa.Array, repeats: int) -> dict[str, object]:
    """Megabytes, and per step the cold and warm seconds and MB/s."""
    from winnow.core.operators import Context
    from winnow.core.words.hashing import ngram_hashes, text_hash
    from winnow.core.words.text import utf8_buffers
    from winnow.pipeline.dedup.minhash_signatures import Signatures
    from winnow.pipeline.dedup.shingling import sketched

    batch = pa.RecordBatch.from_arrays([array], names=["text"])
    offsets, data = utf8_buffers(array)
    size = int(offsets[-1] - offsets[0])
    words = data[: size // 8 * 8].view(np.uint64)
    open_batch = Signatures().open(Context(seed=0, work=Path()))
    steps: dict[str, Callable[[], object]] = {
        "signatures": lambda: open_batch(batch),
        "byte_scan": lambda: int(words.sum()),
        "text_hash": lambda: text_hash(array),
        "part_ngrams": lambda: ngram_hashes(array, 5),
    }
    shingles = int(sketched(array, 5, 112)[0][-1])
    out: dict[str, object] = {"mb": size / 1e6, "docs": len(array), "shingles": shingles}
    for name, work in steps.items():
        out[name] = timed(work, repeats, size / 1e6)
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=float, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    array = texts(args.mb)
    before, start = cache_state(), time.perf_counter()
    from winnow.core.operators import Context
    from winnow.pipeline.dedup.minhash_signatures import Signatures

    first = pa.RecordBatch.from_arrays([array.slice(0, 1)], names=["text"])
    Signatures().open(Context(seed=0, work=Path()))(first)
    result: dict[str, object] = {
        "load_kernels_s": time.perf_counter() - start,
        "compiled": cache_state() != before,
    }
    result |= {"python": platform.python_version(), "machine": platform.processor() or platform.machine()}
    result |= measure(array, args.repeats)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
