"""What a tenth of new data costs against the index of the rest, beside all of it at once.

    python benchmarks/bench_against.py --megabytes 100

The texts are paragraphs of the standard library's sources, a fifth of them near-copies of others. CPU seconds are those of
whole processes (`winnow run` with one worker), the least of `--repeats` runs in turns; reading is in all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

READS = "stages:\n  docs: {{use: jsonl, files: {name}.jsonl, source: {name}, id: content}}\n"
NEAR = "  near: {{use: minhash, inputs: docs, threshold: 0.7{more}}}\n"
INDEX = "  seen: {use: dedup_index, of: near}\n"


def documents(megabytes: float) -> list[str]:
    """Texts of so many bytes, the same on any call: pieces of sources, and near-copies of a fifth of them."""
    draw, out, left = random.Random(11), [], megabytes * 1e6
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    for path in paths * 20:
        lines = path.read_text("utf-8", "replace").splitlines()
        for start in range(0, len(lines), 60):
            words = " ".join(lines[start : start + 60]).split(" ")
            for _ in range(max(1, len(words) // 12)):  # a page of its own, whichever round it is of
                words[draw.randrange(len(words))] = f"n{draw.randrange(10**6)}"
            out.append(" ".join(words))
            if draw.random() < 0.2:
                words[draw.randrange(len(words))] = "changed"
                out.append(" ".join(words))
            left -= sum(len(text.encode()) for text in out[-1:])
        if left < 0:
            break
    draw.shuffle(out)
    return out


def cpu_of(recipe: str, folder: Path, root: Path) -> float:
    """CPU seconds of `winnow run` from nothing, of the process and its children."""
    (folder / "recipe.yaml").write_text(recipe)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "winnow", "run", str(folder / "recipe.yaml"), "--out", str(root), "--workers", "0"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "POLARS_MAX_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a row per way."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=float, default=100)
    options.add_argument("--repeats", type=int, default=2)
    given = options.parse_args()
    texts = documents(given.megabytes)
    cut = len(texts) * 9 // 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, rows in (("old", texts[:cut]), ("new", texts[cut:]), ("all", texts)):
            (folder / f"{part}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
        old = folder / "root-old"
        ways = {
            "all at once": READS.format(name="all") + NEAR.format(more=""),
            "nine tenths": READS.format(name="old") + NEAR.format(more=""),
            "nine tenths, and their index": READS.format(name="old") + NEAR.format(more="") + INDEX,
            "the last tenth against it": READS.format(name="new") + NEAR.format(more=", against: root-old/seen"),
            "the last tenth by itself": READS.format(name="new") + NEAR.format(more=""),
            "reading the last tenth": READS.format(name="new"),
        }  # fmt: skip
        cpu_of(ways["nine tenths, and their index"], folder, old)
        cpu_of(ways["the last tenth against it"], folder, folder / "warm")  # kernels are compiled
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(given.repeats):
            for number, (way, recipe) in enumerate(ways.items()):
                spent[way].append(cpu_of(recipe, folder, folder / f"root-{turn}-{number}"))
        size = sum(path.stat().st_size for path in (old).glob("minhash_index-*/index/*"))
        text = sum(len(t.encode()) for t in texts[:cut])
        print(f"{len(texts):,} documents, {sum(len(t.encode()) for t in texts) / 1e6:.0f} MB")
        whole = min(spent["all at once"])
        for way, seconds in spent.items():
            print(f"{way}: {min(seconds):.1f} CPU s, {min(seconds) / whole:.2f} of all at once")
        print(f"the index: {size / 1e6:.0f} MB, {size / text:.2f} of its text")


if __name__ == "__main__":
    main()
