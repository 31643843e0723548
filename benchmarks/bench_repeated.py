"""Repeated lines and substrings: megabytes of text per CPU second, beside a plain Python set of lines.

    python benchmarks/bench_repeated.py --megabytes 20

The texts are the standard library's own sources. What is measured of winnow is a whole run with the stage, less one
without it (reading, hashing, the exchange, writing the new texts); of plain Python, the loop over lines alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sysconfig
import tempfile
import time
from pathlib import Path

os.environ["WINNOW_WORKERS"] = "0"
READS = "stages:\n  docs: {use: jsonl, files: raw.jsonl, id: content}\n"
STAGES = {
    "repeated_lines": "  out: {use: repeated_lines, inputs: docs}\n",
    "repeated_substrings": "  out: {use: repeated_substrings, inputs: docs}\n",
}


def sources(megabytes: float) -> list[str]:
    """Texts of so many bytes, the same on any call."""
    out, left = [], megabytes * 1e6
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        text = path.read_text("utf-8", "replace")
        out.append(text)
        left -= len(text.encode())
        if left < 0:
            break
    return out


def ran(recipe: str, folder: Path) -> float:
    """CPU seconds of a run from nothing."""
    from winnow.cli import main as winnow

    (folder / "recipe.yaml").write_text(recipe)
    with tempfile.TemporaryDirectory() as root:
        before = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert winnow(["run", str(folder / "recipe.yaml"), "--out", root, "--workers", "0"]) == 0
        return time.process_time() - before


def by_hand(texts: list[str]) -> float:
    """CPU seconds of a Python loop that keeps the first of each line of 20 bytes or more."""
    before, seen = time.process_time(), set()
    for text in texts:
        kept = []
        for line in text.splitlines(keepends=True):
            bare = line.strip().encode()
            if len(bare) < 20 or bare not in seen:
                kept.append(line)
            seen.add(bare)
        "".join(kept)
    return time.process_time() - before


def main() -> None:
    """Print a row per operator, and one of plain Python."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=float, default=20)
    options.add_argument("--repeats", type=int, default=2)
    given = options.parse_args()
    texts = sources(given.megabytes)
    size = sum(len(t.encode()) for t in texts) / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
        ran(READS + "".join(STAGES.values()).replace("out:", "one:", 1), folder)  # kernels are compiled
        base = min(ran(READS, folder) for _ in range(given.repeats))
        for label, stage in STAGES.items():
            mine = min(ran(READS + stage, folder) for _ in range(given.repeats)) - base
            print(f"{label}: {size / mine:.0f} MB per CPU second")
    print(f"a Python set of lines: {size / min(by_hand(texts) for _ in range(given.repeats)):.0f} MB per CPU second")


if __name__ == "__main__":
    main()
