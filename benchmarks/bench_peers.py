"""winnow and its peers on the same input in the same run: filters and near-duplicates, as JSON and a Markdown table.

    python benchmarks/bench_peers.py [--megabytes 60] [--filters-mb 12] [--only NAME,...] [--json FILE] [--table FILE]

Each peer has its own environment under benchmarks/out/envs (made on the first run, by pip) and each measurement its own
process, pinned to one core with one thread. CPU seconds and memory are of the whole process with its children; wall
seconds and the load average stand beside them: on a busy machine believe only the CPU seconds. A peer that cannot be
installed or run has a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

import corpus  # noqa: E402
import scoring  # noqa: E402

ENVS = HERE / "out" / "envs"
REQUIREMENTS: dict[str, list[str]] = {
    "winnow": ["-e", str(HERE.parent)],  # like every peer: what its installation brings, and nothing else
    "datatrove": ["datatrove[processing,io,multilingual]==0.10.1", "spacy", "orjson"],
    "datasketch": ["datasketch==2.0.0"],
    "rensa": ["rensa==0.5.0"],
    "text-dedup": ["text-dedup==0.4.0"],
    "data-juicer": ["py-data-juicer==1.6.1", "aiohttp"],
    "dolma": ["dolma==1.2.1", "s3fs==2023.6.0", "boto3==1.28.17"],  # pip looks for minutes without the last two
    "nemo-curator": ["nemo-curator==1.4.0", "fasttext-predict", "sentencepiece", "beautifulsoup4", "trafilatura",
                     "justext", "resiliparse"],
}  # fmt: skip
THREADS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA", "ARROW")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in THREADS} | {"POLARS_MAX_THREADS": "1"}
OFFLINE = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement: which driver does which task with which settings, and how its row is called."""

    label: str
    peer: str
    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    large: bool = False  # filters on the input of the near-duplicate task


DEDUP = [
    Case(label="winnow", peer="winnow", task="dedup", settings={"threshold": 0.75}, note="14 x 8, pairs verified"),
    Case(label="rensa script 14 x 8", peer="rensa", task="dedup",
         settings={"mode": "script", "num_perm": 112, "num_bands": 14, "threshold": 0.75}),
    Case(label="rensa README", peer="rensa", task="dedup",
         settings={"mode": "readme", "num_perm": 128, "threshold": 0.8}, note="its defaults, sets of single words"),
    Case(label="datasketch script 14 x 8", peer="datasketch", task="dedup",
         settings={"num_perm": 112, "bands": [14, 8], "threshold": 0.75}),
    Case(label="datasketch defaults", peer="datasketch", task="dedup", settings={"num_perm": 128, "threshold": 0.9},
         note="threshold 0.9, 128 permutations"),
    Case(label="datatrove (default splitter)", peer="datatrove", task="dedup", settings={"splitter": "default"},
         note="14 x 8 = its defaults; pairs not verified"),
    Case(label="datatrove (white-space patch)", peer="datatrove", task="dedup", settings={"splitter": "white_space"},
         note="14 x 8; pairs not verified"),
    Case(label="text-dedup 14 x 8", peer="text-dedup", task="dedup",
         settings={"num_perm": 112, "bands": 14, "rows": 8, "threshold": 0.75}),
    Case(label="text-dedup defaults", peer="text-dedup", task="dedup", settings={}),
    Case(label="data-juicer 14 x 8", peer="data-juicer", task="dedup",
         settings={"num_permutations": 112, "num_bands": 14, "num_rows_per_band": 8, "jaccard_threshold": 0.75}),
    Case(label="data-juicer defaults", peer="data-juicer", task="dedup", settings={}),
]  # fmt: skip
FILTERS = [
    Case(label="winnow signals", peer="winnow", task="filters"),
    Case(label="winnow signals (large input)", peer="winnow", task="filters", large=True),
    Case(label="datatrove (default splitter)", peer="datatrove", task="filters", settings={"splitter": "default"}),
    Case(label="datatrove (white-space patch)", peer="datatrove", task="filters",
         settings={"splitter": "white_space", "parts": True}),
    Case(label="data-juicer", peer="data-juicer", task="filters"),
    Case(label="Dolma taggers", peer="dolma", task="filters"),
    Case(label="NeMo Curator heuristics", peer="nemo-curator", task="filters"),
]  # fmt: skip


def environment(peer: str) -> tuple[Path | None, str]:
    """(python of the peer's environment, error); made by pip where it is not there yet."""
    home = ENVS / peer
    python, done, log = home / "bin" / "python", home / ".requirements", ENVS / f"{peer}.log"
    wanted = "\n".join(REQUIREMENTS[peer])
    if done.is_file() and done.read_text() == wanted:
        return python, ""
    ENVS.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    with log.open("w") as sink:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, stdout=sink, stderr=sink)
        for what in (["--upgrade", "pip"], REQUIREMENTS[peer]):
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *what]
            code = subprocess.run(command, stdout=sink, stderr=sink, check=False).returncode
    if code:
        return None, "does not install: " + _last_line(log.read_text("utf-8", "replace"))
    done.write_text(wanted)
    return python, ""


def frozen(python: Path) -> list[str]:
    command = [str(python), "-m", "pip", "freeze", "--disable-pip-version-check"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[:-1]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1][:300] if lines else "no message"


def tree_mb(pid: int) -> float:
    """Resident memory of a process and its descendants; 0 where it has ended."""
    total, stack = 0, [pid]
    while stack:
        one = stack.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
            for task in Path(f"/proc/{one}/task").iterdir():
                stack += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):
            continue
    return total * resource.getpagesize() / 2**20


def timed(command: list[str], *, core: int | None, log: Path, limit_s: float) -> dict[str, Any]:
    """Exit code, wall and CPU seconds, peak MB and load of one command; CPU and memory include its children."""
    pin = ["taskset", "-c", str(core)] if core is not None else []
    load, before, begun = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak = 0.0
    with log.open("w") as sink:
        child = subprocess.Popen(
            [*pin, *command], stdout=sink, stderr=sink, env=os.environ | ONE_THREAD | OFFLINE, start_new_session=True
        )
        while child.poll() is None:
            peak = max(peak, tree_mb(child.pid))
            if time.perf_counter() - begun > limit_s:
                os.killpg(child.pid, 9)
            time.sleep(0.05)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"code": child.returncode, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak, "load": load}


def measure(case: Case, source: Path, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One row: what was measured, what the driver found, or the error."""
    row: dict[str, Any] = {"label": case.label, "peer": case.peer, "settings": case.settings, "note": case.note}
    python, error = environment(case.peer)
    if python is None:
        return row | {"error": error}
    folder = work / f"{case.task}-{case.label.replace(' ', '_')}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = folder / "result.json"
    driver = HERE / "peers" / f"peer_{case.peer.replace('-', '_')}.py"
    command = [str(python), str(driver), case.task, "--input", str(source), "--work", str(folder), "--out",
               str(result), "--settings", json.dumps(case.settings)]  # fmt: skip
    log, runs = folder / "log.txt", []
    for number in range(options.repeats + 1):  # the first, on a few documents, fills caches and is not counted
        for leftover in folder.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        tiny = work / "docs_tiny.jsonl"
        turn = [str(tiny) if part == str(source) and not number else part for part in command]
        runs.append(timed(turn, core=options.core, log=log, limit_s=options.limit))
        if not runs[-1]["code"] and not result.is_file():
            collect = ["collect" if part == case.task else part for part in turn]
            timed(collect, core=options.core, log=log, limit_s=options.limit)
        if runs[-1]["code"] or not result.is_file():
            why = "time limit" if runs[-1]["code"] == -9 else _last_line(log.read_text("utf-8", "replace"))
            return row | {"error": f"exit {runs[-1]['code']}: {why}", "runs": runs}
    warm_up, *runs = runs
    best = min(runs, key=lambda run: run["cpu_s"])
    found = json.loads(result.read_text())
    best["peak_mb"] = max(best["peak_mb"], found.get("own_peak_mb", 0.0))
    return row | {"mb": source.stat().st_size / 1e6, "warm_up": warm_up, "runs": runs, **best, "found": found}


def scored(row: dict[str, Any], ids: list[str], planted: list[corpus.Planted], truth: scoring.Truth) -> None:
    """Replace what a driver reported by its scores (in place of the lists, which are long)."""
    found = row["found"]
    removed = found.pop("removed", None)
    if removed is None:
        removed = [ids[number] for number in found.pop("removed_rows")]
    pairs = found.pop("pairs", None)
    if pairs is None and "pair_rows" in found:
        pairs = [(ids[a], ids[b]) for a, b in found.pop("pair_rows")]
    row["removals"] = {f"{t:g}": scoring.score_removals(ids, removed, truth, t) for t in (0.7, 0.75, 0.8)}
    if pairs is not None:
        row["pairs"] = {f"{t:g}": scoring.score_pairs(map(tuple, pairs), truth, t) for t in (0.7, 0.75, 0.8)}
    row["planted"] = scoring.planted_recall(planted, removed, truth)


def ground_truth(source: Path, floor: float) -> tuple[list[str], dict[tuple[str, str], float], dict[str, Any]]:
    import common
    import truth

    begun = time.process_time()
    ids, texts = common.documents(str(source))
    offsets, grams = truth.shingles(texts)
    left, right, score = truth.similar_pairs(offsets, grams, floor)
    pairs = {
        (min(ids[a], ids[b]), max(ids[a], ids[b])): jaccard
        for a, b, jaccard in zip(left.tolist(), right.tolist(), score.tolist(), strict=True)
    }
    facts = {"floor": floor, "pairs": len(pairs), "shingles": len(grams), "cpu_s": time.process_time() - begun}
    facts |= {f"pairs_from_{t}": int((score >= t).sum()) for t in (0.5, 0.7, 0.75, 0.8, 0.9)}
    return ids, pairs, facts


def byte_scan(source: Path) -> dict[str, float]:
    """MB per CPU second of one pass over the file's bytes in memory: the limit that nothing beats."""
    import numpy as np

    raw = source.read_bytes()
    words = np.frombuffer(raw[: len(raw) // 8 * 8], dtype=np.uint64)
    begun, passes = time.process_time(), 0
    while time.process_time() - begun < 0.5:
        int(words.sum())
        passes += 1
    return {"mb": len(raw) / 1e6, "mb_per_cpu_s": passes * len(raw) / 1e6 / (time.process_time() - begun)}


def chosen(cases: list[Case], only: str) -> list[Case]:
    names = [name for name in only.split(",") if name]
    return [case for case in cases if not names or any(name == case.peer or name in case.label for name in names)]


def machine() -> dict[str, Any]:
    model = next((x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
                  if x.startswith("model name")), platform.machine())  # fmt: skip
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}


def run(options: argparse.Namespace) -> dict[str, Any]:
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": machine(), "command": " ".join(sys.argv), "environments": {}}
    whole, small = work / "docs.jsonl", work / "docs_small.jsonl"
    planted = corpus.build(options.megabytes, whole, seed=options.seed)
    corpus.head(whole, options.filters_mb, small)
    corpus.head(whole, 0.5, work / "docs_tiny.jsonl")
    for name, path in (("dedup", whole), ("filters", small)):
        with path.open("rb") as lines:
            report[f"{name}_input"] = {"mb": path.stat().st_size / 1e6, "documents": sum(1 for _ in lines)}
    if "filters" in options.tasks:
        report["filters"] = []
        report["byte_scan"] = byte_scan(whole)
        for case in chosen(FILTERS, options.only):
            report["filters"].append(measure(case, whole if case.large else small, work, options))
            tell(report, options)
    if "dedup" in options.tasks:
        ids, pairs, report["truth"] = ground_truth(whole, 0.4)
        report["dedup_input"]["planted"] = len(planted)
        report["dedup"] = []
        for case in chosen(DEDUP, options.only):
            row = measure(case, whole, work, options)
            if "found" in row:
                scored(row, ids, planted, pairs)
            report["dedup"].append(row)
            tell(report, options)
    used = {row["peer"] for row in report.get("filters", []) + report.get("dedup", []) if "error" not in row}
    report["environments"] = {peer: frozen(environment(peer)[0]) for peer in sorted(used)}
    tell(report, options)
    return report


def tell(report: dict[str, Any], options: argparse.Namespace) -> None:
    """One line about the newest row, and the files as far as they go."""
    row = report["dedup" if "dedup" in report else "filters"][-1]
    shown = row.get("error") or f"{row['cpu_s']:.1f} CPU s, {row['wall_s']:.1f} s, {row['peak_mb']:.0f} MB"
    print(f"{row['label']}: {shown}", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    if options.table:
        options.table.write_text(tables(report))


def tables(report: dict[str, Any]) -> str:
    """The report as Markdown: filters, then near-duplicates."""
    lines = []
    if "filters" in report:
        size = report["filters_input"]["mb"]
        lines += [
            f"Input: {size:.1f} MB, {report['filters_input']['documents']} documents.",
            f"Byte scan: {report['byte_scan']['mb_per_cpu_s']:.0f} MB per CPU second.", "",
            "| tool | what it computes | MB/CPU-s, whole process | MB/CPU-s, warm | peak MB | kept | load |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]  # fmt: skip
        for row in report["filters"]:
            lines += filter_lines(row)
        lines.append("")
    if "dedup" in report:
        size = report["dedup_input"]["mb"]
        facts, put = report["truth"], report["dedup_input"]
        lines += [
            f"Input: {size:.1f} MB, {put['documents']} documents ({put['planted']} planted).",
            f"Pairs with J >= 0.75: {facts['pairs_from_0.75']}. P / R / F1 at 0.75.", "",
            "| tool | CPU s | MB/CPU-s | wall s | peak MB | removals | F1 at 0.7, 0.8 | pairs | load |",
            "|---|---:|---:|---:|---:|---|---|---|---:|",
        ]  # fmt: skip
        lines += [dedup_line(row, size) for row in report["dedup"]]
        lines.append("")
    return "\n".join(lines)


def filter_lines(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [f"| {row['label']} | not measured: {row['error'].replace('|', '/')} | | | | | |"]
    lines, size = [], row["mb"]
    for number, (name, part) in enumerate(row["found"]["filters"].items()):
        whole, peak = (f"{size / row['found']['whole_cpu_s']:.2f}", f"{row['peak_mb']:.0f}") if not number else ("", "")
        kept = "" if part["kept"] is None else part["kept"]
        lines.append(
            f"| {row['label']}{'' if name == 'all' else ': ' + name} | {part['statistics']} | {whole} "
            f"| {size / part['cpu_s']:.2f} | {peak} | {kept} | {row['load']:.1f} |"
        )
    return lines


def dedup_line(row: dict[str, Any], size: float) -> str:
    note = f" ({row['note']})" if row["note"] else ""
    if "error" in row:
        return f"| {row['label']}{note} | not measured: {row['error'].replace('|', '/')} | | | | | | | |"

    def three(score: dict[str, float]) -> str:
        return f"{score['precision']:.3f} / {score['recall']:.3f} / {score['f1']:.3f}"

    removals, pairs_text = row["removals"], "-"
    others = ", ".join(f"{removals[level]['f1']:.3f}" for level in ("0.7", "0.8"))
    if "pairs" in row:  # where a tool does not compare all, its recall of pairs says nothing
        pairs = row["pairs"]["0.75"]
        pairs_text = three(pairs) if row["found"]["pairs_complete"] else f"{pairs['precision']:.3f} / - / -"
    return (
        f"| {row['label']}{note} | {row['cpu_s']:.1f} | {size / row['cpu_s']:.2f} | {row['wall_s']:.1f} "
        f"| {row['peak_mb']:.0f} | {three(removals['0.75'])} | {others} "
        f"| {pairs_text} | {row['load']:.1f} |"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=float, default=60, help="size of the input for near-duplicates")
    parser.add_argument("--filters-mb", type=float, default=12, help="size of the input for filters (a head of it)")
    parser.add_argument("--tasks", default="filters,dedup")
    parser.add_argument("--only", default="", help="peers or parts of row names, by commas; winnow is one")
    parser.add_argument("--core", type=int, default=0, help="the core that everything is pinned to")
    parser.add_argument("--repeats", type=int, default=1, help="processes per row; the one with least CPU counts")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a process is ended")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=HERE / "out" / "peers", help="inputs and what the tools write")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args(arguments)
    report = run(options)
    print(tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
