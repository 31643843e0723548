"""What every driver shares: arguments in, documents in, one JSON object out. Standard library only.

A driver runs in the peer's own environment, in its own process:

    python benchmarks/peers/NAME.py TASK --input docs.jsonl --work DIR --out result.json --settings '{...}'

TASK is `dedup` or `filters`, or `collect`: reading, untimed, what `dedup` left in DIR, for tools that end in files.
Seconds of phases are CPU seconds of this process and its finished children. The whole process is timed from outside,
by the script that starts it.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

WORD = re.compile(r"\w+")


def cpu_seconds() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


class Report:
    """Collects what a driver found; `phases` are CPU seconds by name."""

    def __init__(self, packages: list[str]) -> None:
        self.found: dict[str, Any] = {"versions": versions(packages), "phases": {}}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = cpu_seconds()
        yield
        self.found["phases"][name] = self.found["phases"].get(name, 0.0) + cpu_seconds() - begun

    def __setitem__(self, key: str, value: Any) -> None:
        self.found[key] = value


def versions(packages: list[str]) -> dict[str, str]:
    out = {"python": sys.version.split()[0]}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "absent"
    return out


def peak_mb() -> float:
    """Largest resident memory of this process since its start (Linux)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def documents(path: str) -> tuple[list[str], list[str]]:
    """(names, texts) of a JSONL file, with the reader of the standard library."""
    ids, texts = [], []
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            ids.append(record["name"])
            texts.append(record["text"])
    return ids, texts


def shingle_set(text: str, n: int = 5) -> set[str]:
    """Distinct lower-case word n-grams of `\\w+`, joined by a space: what a careful script would write."""
    words = WORD.findall(text.lower())
    if len(words) < n:
        return {" ".join(words)} if words else set()
    return set(map(" ".join, zip(*(words[i:] for i in range(n)), strict=False)))


def verdicts(
    report: Report, name: str, judge: Callable[[str], Any], texts: list[str], statistics: str, *, decides: bool = True
) -> None:
    """Time one filter over texts in memory, after 20 of them as warm-up; `judge` gives a truth value if it decides."""
    for text in texts[:20]:
        judge(text)
    begun, wall = cpu_seconds(), time.perf_counter()
    kept = sum(bool(judge(text)) for text in texts)
    report.found.setdefault("whole_cpu_s", cpu_seconds())  # from the start of the process to the end of the first pass
    report.found.setdefault("filters", {})[name] = {
        "cpu_s": cpu_seconds() - begun,
        "wall_s": time.perf_counter() - wall,
        "kept": kept if decides else None,
        "statistics": statistics,
    }


def main(packages: list[str], tasks: dict[str, Callable[[argparse.Namespace, dict[str, Any], Report], None]]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=list(tasks))
    parser.add_argument("--input", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--settings", default="{}")
    given = parser.parse_args()
    Path(given.work).mkdir(parents=True, exist_ok=True)
    report = Report(packages)
    tasks[given.task](given, json.loads(given.settings), report)
    report["own_peak_mb"] = peak_mb()
    partial = Path(given.out).with_suffix(".partial")
    earlier = json.loads(partial.read_text()) if partial.is_file() else {}
    if given.task == "dedup" and "collect" in tasks:
        partial.write_text(json.dumps(report.found))
    else:
        Path(given.out).write_text(json.dumps(report.found | earlier))
