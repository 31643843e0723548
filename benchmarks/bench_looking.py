"""Seconds of looking at a finished run, as commands: `why`, `sample`, `sweep`, `report`, on a million documents.

    python benchmarks/bench_looking.py [--docs 1000000] [--repeat 5] [--root DIR] [--json FILE]

The run (short texts, with user ids, duplicates, a filter, a score and two selections) is made once below `--root`
(default benchmarks/out/looking-DOCS) and used again by later calls. Every measurement is one fresh process from the
start of the interpreter to its exit; the least wall and CPU seconds of `--repeat` are told, with the peak of resident
memory, after one uncounted call: files are in the page cache, compiled caches are there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RECIPE = """
name: looking
seed: 1
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: "field:id"}
  tok:    {use: count_tokens, inputs: docs}
  clean:  {use: filter, inputs: [docs, tok], keep: {long: "token_count >= 15", short: "token_count < 60", even: "text_bytes % 7 > 0"}}
  exact:  {use: exact, inputs: docs, where: kept_clean}
  unique: {use: minhash, inputs: docs, where: kept_exact, threshold: 0.8}
  best:   {use: top_k, inputs: [docs, unique], by: token_count, budget: 40%}
  plain:  {use: random, inputs: [docs, unique], budget: 40%}
  corpus: {use: write, inputs: [docs, best], format: arrow}
"""
FIRST = "first why: the index is made"
SWEEP = [f"clean.long=token_count >= {n}" for n in range(12, 22)]


def make_input(folder: Path, docs: int) -> None:
    """Files of 50,000 short documents: words by a fixed generator, one in twenty a copy, one in twenty nearly one."""
    folder.mkdir(parents=True)
    words = np.array([f"w{number:04d}" for number in range(5000)])
    draw = np.random.default_rng(0)
    for start in range(0, docs, 50_000):
        lines, old = [], ""
        for number in range(start, min(start + 50_000, docs)):
            text = old
            if number % 20 not in (7, 13) or not old:
                text = " ".join(words[draw.integers(5000, size=int(draw.integers(8, 40)))])
            elif number % 20 == 13:
                text = old + " again"
            old = text
            lines.append(json.dumps({"id": f"doc-{number}", "text": text}) + "\n")
        (folder / f"f{start // 50_000:04d}.jsonl").write_text("".join(lines))


def make_run(root: Path, docs: int) -> float:
    """Seconds to bring the run up to date; little where it is there."""
    if not (root / "raw").exists():
        make_input(root / "raw.part", docs)
        (root / "raw.part").rename(root / "raw")
    (root / "looking.yaml").write_text(RECIPE)
    begun = time.perf_counter()
    measured([*WINNOW, "run", str(root / "looking.yaml"), "--out", str(root / "out"), "--json"], root)
    return time.perf_counter() - begun


WINNOW = [sys.executable, "-m", "winnow"]


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak MB of one process and those it started. Raises where it fails."""
    begun = time.perf_counter()
    out, wrong = folder / "stdout", folder / "stderr"
    with out.open("wb") as told, wrong.open("wb") as errors:
        actions = [(os.POSIX_SPAWN_DUP2, told.fileno(), 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}\n{wrong.read_text()[-2000:]}")
    return {"wall_s": time.perf_counter() - begun, "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss * 1024 / 1e6}  # fmt: skip


def document(root: Path) -> dict[str, str]:
    """A document by its id, user id and origin, and the id of one in a duplicate cluster."""
    measured([*WINNOW, "why", str(root / "out"), "doc-43210", "--json"], root)
    told = json.loads((root / "stdout").read_text())
    measured([*WINNOW, "sample", str(root / "out"), "--cluster", "--stage", "unique", "-n", "1", "--json"], root)
    cluster = json.loads((root / "stdout").read_text())["clusters"][0]["members"]
    return {"hex": told["doc_id"], "digits": told["doc_id"][:12], "user id": "doc-43210", "origin": told["origin"],
            "hex of a duplicate": cluster[-1]["doc_id"]}  # fmt: skip


def commands(root: Path) -> dict[str, list[str]]:
    """What is measured."""
    run = str(root / "out")
    found = {f"why by {kind}": ["why", run, name, "--json"] for kind, name in document(root).items()}
    vary = [part for clause in SWEEP for part in ("--vary", clause)]
    return {
        "help": ["--help"],
        FIRST: found["why by hex"],
        **found,
        "sample kept": ["sample", run, "--json"],
        "sample dropped by a clause": ["sample", run, "--dropped", "--by", "long", "--json"],
        "sample clusters": ["sample", run, "--cluster", "--stage", "unique", "--json"],
        "sweep of 10 values": ["sweep", run, *vary, "--json"],
        "report": ["report", run, "--json"],
    }


def main() -> None:
    """Print the table; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--docs", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--only", default="", help="a part of the names")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    root = (options.root or HERE / "out" / f"looking-{options.docs}").absolute()
    seconds = make_run(root, options.docs)
    body = {"command": " ".join(sys.argv), "docs": options.docs, "python": platform.python_version(),
            "cpus": os.cpu_count(), "run_seconds": seconds, "load_before": os.getloadavg()[0], "results": {}}  # fmt: skip
    print(f"{'':32}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}")
    for name, arguments in commands(root).items():
        if options.only not in name:
            continue
        runs = []
        for _ in range(options.repeat + 1):
            if name == FIRST:
                shutil.rmtree(root / "out" / "index", ignore_errors=True)
            runs.append(measured([*WINNOW, *arguments], root))
        del runs[0]
        best = {key: min(r[key] for r in runs) for key in runs[0]}
        body["results"][name] = best
        print(f"{name:32}{best['wall_s']:8.2f}{best['cpu_s']:8.2f}{best['peak_mb']:9.0f}", flush=True)
    body["load_after"] = os.getloadavg()[0]
    body["report_bytes"] = sum(p.stat().st_size for p in (root / "out" / "reports").glob("*.html"))
    if options.json:
        options.json.write_text(json.dumps(body, indent=2))
    print(f"load {body['load_before']:.1f} before, {body['load_after']:.1f} after")


if __name__ == "__main__":
    main()
