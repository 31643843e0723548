"""How CPU and memory grow with the input: whole processes from a quarter to four times a size, and odd inputs.

    python benchmarks/bench_growth.py [--megabytes 16 32 64 128 256] [--odd files short long one packed] [--json FILE]

The recipe reads, tells languages, measures, filters, deduplicates, selects and writes. Documents are made up: words of
a Zipf vocabulary, lengths log-normal about 2.5 KB, and a fifth are near-copies of an earlier document with one word in
fifty replaced, so that clusters, pairs and removals grow with the rest. Parts are of one size throughout
(`--part-mb`), as they are from 2 GB on in any run: what grows with parts is not measured here. CPU seconds are those of
the driver and its one worker; memory is the largest of each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = """
seed: 7
stages:
  docs:   {{use: jsonl, files: "{files}"}}
  lang:   {{use: language, inputs: docs}}
  sig:    {{use: signals, inputs: docs}}
  clean:  {{use: filter, inputs: [lang, sig], keep: {{words: "word_count > 3"}}}}
  unique: {{use: minhash, inputs: docs, threshold: 0.75}}
  best:   {{use: top_k, inputs: docs, by: sig.word_count, budget: 50%}}
  corpus: {{use: write, inputs: [docs, best], shard_bytes: 16MB}}
"""
COPIES, REPLACED = 0.2, 0.02


def documents(megabytes: float, mean_words: int = 420, seed: int = 1) -> Iterator[str]:
    """Documents until their text has so many bytes (1e6)."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    vocabulary = np.array(["".join(rng.choice(letters[: 8 + n // 2500], rng.integers(2, 9))) for n in range(40_000)])
    share = 1 / np.arange(2, len(vocabulary) + 2)
    cuts = np.cumsum(share / share.sum())
    held: list[np.ndarray] = []
    size = 0.0
    while size < megabytes * 1e6:
        if held and rng.random() < COPIES:
            words = held[rng.integers(len(held))].copy()
            other = rng.random(len(words)) < REPLACED
            words[other] = np.searchsorted(cuts, rng.random(int(other.sum())))
        else:
            number = max(3, int(rng.lognormal(np.log(mean_words) - 0.3, 0.77)))
            words = np.searchsorted(cuts, rng.random(number))
            held.append(words)
        text = " ".join(vocabulary[np.minimum(words, len(vocabulary) - 1)])
        size += len(text)
        yield text


def put(folder: Path, texts: Iterator[str], files: int = 8) -> None:
    """Documents dealt to JSON Lines files."""
    sinks = [Path(folder, f"{n:05d}.jsonl").open("w") for n in range(files)]  # noqa: SIM115 - closed below
    for number, text in enumerate(texts):
        sinks[number % files].write(json.dumps({"text": text}) + "\n")
    for sink in sinks:
        sink.close()


def small_files(folder: Path, size: float) -> None:
    """20,000 files of a document or two."""
    put(folder, documents(size, mean_words=100), 500)
    every = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    shutil.rmtree(folder)
    folder.mkdir()
    for number in range(20_000):
        Path(folder, f"{number:05d}.jsonl").write_text("\n".join(every[number::20_000]) + "\n")


def short(folder: Path, size: float) -> None:
    """A million documents of about ten words."""
    rng = np.random.default_rng(2)
    words = np.array([w for text in documents(0.5) for w in text.split()])
    with Path(folder, "docs.jsonl").open("w") as sink:
        sink.writelines(
            '{"text": "' + " ".join(words[picked]) + '"}\n'
            for picked in rng.integers(0, len(words), (round(size * 1e6 / 100), 10))
        )


def long(folder: Path, size: float) -> None:
    """One document of 100 MB among others."""
    put(folder, documents(size / 4))
    with Path(folder, "00000.jsonl").open("a") as sink:
        sink.write(json.dumps({"text": "\n".join(documents(100))}) + "\n")


def one(folder: Path, size: float) -> None:
    """All in one file."""
    put(folder, documents(size), 1)


def packed(folder: Path, size: float) -> None:
    """All in one .gz, which nobody can cut."""
    one(folder, size)
    path = Path(folder, "00000.jsonl")
    with path.open("rb") as raw, gzip.open(f"{path}.gz", "wb", compresslevel=1) as sink:
        shutil.copyfileobj(raw, sink, 1 << 20)
    path.unlink()


ODD = {"files": small_files, "short": short, "long": long, "one": one, "packed": packed}


def child(files: str, root: str, part_mb: float) -> None:
    """The run, in a process of its own: prints what it and its worker used."""
    from winnow.core.store.locations import open_store
    from winnow.dags.driver.runner import Runner, RunSettings
    from winnow.dags.recipe.plan import make_plan
    from winnow.dags.recipe.yaml_recipe import parse_recipe
    from winnow.dags.shapes.stage_run import Options

    store = open_store(root)
    plan = make_plan(parse_recipe(RECIPE.format(files=files), name="growth", folder=Path.cwd()), store)
    options = Options(part_bytes=int(part_mb * (1 << 20)))
    settings = RunSettings(name="growth", engine="local", workers=1, memory_gb=16, options=options)
    result = Runner(store, settings).run(plan, plan.nodes)
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = {r.node.name: r for r in result.runs}
    counts = runs["unique.clusters"].manifest.counts
    print(json.dumps({
        "documents": runs["docs"].manifest.rows, "parts": len(runs["docs"].parts),
        "removed": counts["rows"] - counts["masked"] - counts["kept"],
        "driver_cpu_s": round(own.ru_utime + own.ru_stime, 2), "cpu_s": round(others.ru_utime + others.ru_stime, 2),
        "driver_mb": _peak_mb(), "worker_mb": others.ru_maxrss // 1000,
        "stages": {r.node.name: round(r.seconds, 2) for r in result.runs},
    }))  # fmt: skip


def _peak_mb() -> int:
    """Largest resident size of this process; `ru_maxrss` would count that of the process it was made by."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1000 if found else 0


def measured(name: str, size: float, part_mb: float, scratch: Path) -> dict[str, Any]:
    """One input, made and run."""
    raw, root = Path(scratch, "raw"), Path(scratch, "out")
    for folder in (raw, root):
        shutil.rmtree(folder, ignore_errors=True)
    raw.mkdir()
    ODD[name](raw, size) if name in ODD else put(raw, documents(size))
    held = sum(path.stat().st_size for path in raw.iterdir())
    call = [sys.executable, __file__, "--child", f"{raw}/*", str(root), str(part_mb)]
    done = subprocess.run(call, stdout=subprocess.PIPE, check=True, text=True)
    row = {
        "input": name,
        "megabytes": size,
        "on_disk_mb": round(held / 1e6, 1),
        **json.loads(done.stdout.splitlines()[-1]),
    }
    row["disk_mb"] = round(sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) / 1e6, 1)
    return row


def main() -> None:
    """Every input in turn, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, nargs="*", default=[16, 32, 64, 128, 256])
    parser.add_argument("--odd", nargs="*", choices=ODD, default=[])
    parser.add_argument("--odd-mb", type=float, default=100)
    parser.add_argument("--part-mb", type=float, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], given.child[1], float(given.child[2]))
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="winnow-growth-") as scratch:
        measured("warm", 1, given.part_mb, Path(scratch))  # kernels are compiled once per machine
        for name, size in [*(("plain", s) for s in given.megabytes), *((o, given.odd_mb) for o in given.odd)]:
            rows.append(measured(name, size, given.part_mb, Path(scratch)))
            print(json.dumps(rows[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
