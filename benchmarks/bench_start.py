"""What a first run costs before its first result, and a second one: CPU seconds of whole processes, kernels kept nowhere.

    python benchmarks/bench_start.py                            # this checkout
    python benchmarks/bench_start.py --beside ../winnow-before  # another one, at the same time on the same input

A recipe in the order of FineWeb (language, signals, Gopher's, C4's and FineWeb's rules, near-duplicates, masks, shards) over
texts of this Python installation, in one process each; cold: an empty folder for compiled kernels; warm: the same again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

RECIPE = """
name: start
stages:
  docs: {use: jsonl, files: "%s"}
  lang: {use: language, inputs: docs}
  sig: {use: signals, inputs: docs}
  gopher: {use: filter, inputs: [docs, sig], preset: [gopher_repetition, gopher_quality]}
  lines: {use: c4_lines, inputs: docs, end_marks: false}
  c4_sig: {use: signals, inputs: docs}
  c4: {use: filter, inputs: [docs, lines, c4_sig], keep: {curly: c4_curly_lines = 0, sentences: sentence_count >= 5}}
  fineweb: {use: filter, inputs: [docs, c4_sig], preset: fineweb}
  unique: {use: minhash, inputs: docs, ngram: 5, num_bands: 14, rows_per_band: 8, threshold: 0.72}
  safe: {use: mask_pii, inputs: docs, kinds: [email, ip]}
  corpus: {use: write, inputs: docs, format: parquet}
"""
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print CPU seconds, cold and warm, of each checkout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another checkout")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        made = write_input(work / "input.jsonl", args.megabytes * 1e6)
        (work / "start.yaml").write_text(RECIPE % (work / "input.jsonl"))
        print(f"input: {made / 1e6:.1f} MB; load {os.getloadavg()[0]:.1f}")
        for kind in ("cold", "warm"):
            trees = [HERE, *(path.resolve() for path in args.beside)]
            with ThreadPoolExecutor() as pool:  # at the same time: under the same load
                found = dict(zip(trees, pool.map(partial(cpu_seconds, work=work), trees), strict=True))
            print("; ".join(f"{kind} {tree.name}: {found[tree]:.1f} CPU s" for tree in trees), flush=True)


def write_input(path: Path, wanted: float) -> int:
    """Sources and texts of the standard library, as often as it takes. Returns the bytes of text."""
    files = sorted(p for p in Path(sysconfig.get_path("stdlib")).rglob("*.py") if 500 < p.stat().st_size < 60_000)
    size = number = 0
    with path.open("w") as out:
        while size < wanted:
            for file in files:
                text = file.read_text(errors="replace") + f"\n# {number}\n"
                out.write(json.dumps({"id": str(number), "text": text}) + "\n")
                size, number = size + len(text.encode()), number + 1
                if size >= wanted:
                    break
    return size


def cpu_seconds(tree: Path, work: Path) -> float:
    """Of a run by this checkout, by a process in between: its children are counted by themselves."""
    root = tempfile.mkdtemp(dir=work)
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    env = os.environ | {"PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(work / f"kernels-{tree.name}")}
    run = [sys.executable, "-m", "winnow", "run", str(work / "start.yaml"), "--out", root, "--workers", "0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *run], env=env, cwd=work, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
